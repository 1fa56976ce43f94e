"""Payments: what they may be applied to, what is left over, and what follows for balances."""

from typing import Any

import pytest

from tests.integration.fake_zoho.books import Books
from tests.integration.fake_zoho.conftest import Refused


def test_payment_is_answered_with_what_it_paid(books: Books) -> None:
    invoice = books.opened()
    payment = books.pay(
        1150,
        {invoice["invoice_id"]: 1150},
        account_id="4815162000000000361",
        description="Debit order",
    )
    shown = books.api.get(f"/payments/{payment['payment_id']}").json()["payment"]

    assert payment == shown
    assert (payment["amount"], payment["status"]) == (1150.0, "success")
    assert (payment["payment_mode"], payment["date"]) == ("banktransfer", "2026-01-15")
    assert payment["reference_number"] == "PAY-1"
    (held,) = books.zoho.control.state().payments
    assert held["_account_id"] == "4815162000000000361"
    assert payment["invoices"] == [
        {
            "invoice_id": invoice["invoice_id"],
            "invoice_number": "INV-000001",
            "date": "2026-01-15",
            "invoice_amount": 1150.0,
            "amount_applied": 1150.0,
            "balance_amount": 0.0,
        }
    ]
    assert books.balances() == (0.0, 0.0)


def test_payment_of_several_invoices_leaves_the_rest_as_credit(books: Books) -> None:
    first, second = (books.opened()["invoice_id"] for _ in range(2))
    payment = books.pay("1500.50", {first: "1150", second: "250.25"})

    assert [one["amount_applied"] for one in payment["invoices"]] == [1150.0, 250.25]
    assert books.invoice(second)["balance"] == 899.75
    assert books.balances() == (899.75, 100.25)


def test_payment_without_invoices_is_all_credit(books: Books) -> None:
    payment = books.pay(300)
    body = books.payment_body(200)
    del body["invoices"]
    again = books.made("/payments", "payment", body)

    assert (payment["invoices"], again["invoices"]) == ([], [])
    assert books.balances() == (0.0, 500.0)


def test_same_payment_twice_is_there_twice(books: Books) -> None:
    first, second = (books.pay(300)["payment_id"] for _ in range(2))

    assert first != second
    assert books.balances() == (0.0, 600.0)


@pytest.mark.parametrize(
    ("change", "status", "message"),
    [
        ({"customer_id": ""}, 400, "Invalid value passed for Customer Id"),
        ({"customer_id": "4815162000000999999"}, 404, "Customer does not exist."),
        ({"payment_mode": ""}, 400, "Invalid value passed for Payment Mode"),
        ({"payment_mode": "Bank Transfer"}, 400, "Invalid value passed for Payment Mode"),
        ({"amount": 0}, 400, "Invalid value passed for Amount"),
        ({"amount": -5}, 400, "Invalid value passed for Amount"),
        ({"amount": None}, 400, "Invalid value passed for Amount"),
        ({"date": "today"}, 400, "Invalid value passed for Date"),
        ({"reference_number": "x" * 101}, 400, "Invalid value passed for Reference Number"),
        ({"invoices": [{"amount_applied": 1}]}, 400, "Invalid value passed for Invoice Id"),
        (
            {"invoices": [{"invoice_id": "1", "amount_applied": 0}]},
            400,
            "Invalid value passed for Amount Applied",
        ),
        (
            {"invoices": [{"invoice_id": "1", "amount_applied": 1}]},
            404,
            "Invoice does not exist.",
        ),
        (
            {"invoices": [{"invoice_id": "1", "amount_applied": 1}] * 2},
            400,
            "Invalid value passed for Invoices",
        ),
        ({"currency_code": "EUR"}, 400, "The currency is not the customer's own."),
        (
            {"custom_fields": [{"label": "Gateway", "value": "1"}]},
            400,
            "Please provide a valid label for the custom field.",
        ),
    ],
)
def test_payment_that_does_not_fit_is_refused(
    books: Books, refused: Refused, change: dict[str, Any], status: int, message: str
) -> None:
    answer = books.api.post("/payments", json=books.payment_body(300) | change)

    assert refused(answer) == (status, message)
    assert books.zoho.control.state().payments == []


def test_modes_of_an_organisations_own_may_be_known(books: Books) -> None:
    books.zoho.control.switch(custom_payment_modes=True)

    assert books.pay(5, payment_mode="Ozow")["payment_mode"] == "Ozow"


def test_more_than_the_balance_is_refused(books: Books, refused: Refused) -> None:
    invoice_id = books.opened()["invoice_id"]
    books.pay(1000, {invoice_id: 1000})
    answer = books.api.post("/payments", json=books.payment_body(500, {invoice_id: "150.01"}))

    assert refused(answer) == (
        400,
        "The amount applied is more than the balance of the invoice.",
    )
    assert books.invoice(invoice_id)["balance"] == 150.0
    books.pay(500, {invoice_id: 150})


def test_more_than_was_paid_is_refused(books: Books, refused: Refused) -> None:
    first, second = (books.opened()["invoice_id"] for _ in range(2))
    answer = books.api.post("/payments", json=books.payment_body(100, {first: 60, second: 50}))

    assert refused(answer)[1] == "The amounts applied are more than the amount of the payment."


@pytest.mark.parametrize("state", ["draft", "void"])
def test_payment_on_what_is_not_open_is_refused(books: Books, refused: Refused, state: str) -> None:
    invoice_id = (books.draft() if state == "draft" else books.opened())["invoice_id"]
    if state == "void":
        books.api.post(f"/invoices/{invoice_id}/void")
    answer = books.api.post("/payments", json=books.payment_body(100, {invoice_id: 100}))

    assert refused(answer) == (
        400,
        "Payments cannot be applied to invoices that are not open.",
    )


def test_payment_on_another_customers_invoice_is_refused(books: Books, refused: Refused) -> None:
    invoice_id = books.opened()["invoice_id"]
    other = books.made("/customers", "customer", {"display_name": "Sipho"})["customer_id"]
    body = books.payment_body(100, {invoice_id: 100}, customer_id=other)

    assert refused(books.api.post("/payments", json=body)) == (
        400,
        "The invoice is another customer's.",
    )


def test_invoice_keeps_the_currency_it_was_made_in(books: Books, refused: Refused) -> None:
    invoice_id = books.opened()["invoice_id"]
    books.api.put(
        f"/customers/{books.customer_id}",
        json={"display_name": "Nomvula Dlamini", "currency_code": "EUR"},
    )
    answer = books.api.post("/payments", json=books.payment_body(100, {invoice_id: 100}))

    assert refused(answer)[0] == 400


def test_update_applies_anew_to_what_is_sent(books: Books) -> None:
    first, second = (books.opened()["invoice_id"] for _ in range(2))
    payment_id = books.pay(1150, {first: 1150})["payment_id"]
    answer = books.api.put(f"/payments/{payment_id}", json=books.payment_body(1200, {second: 1150}))

    payment = answer.json()["payment"]
    assert answer.json()["message"] == "The payment details have been updated."
    assert [one["invoice_id"] for one in payment["invoices"]] == [second]
    assert (books.invoice(first)["status"], books.invoice(second)["status"]) == ("sent", "paid")
    assert books.balances() == (1150.0, 50.0)


def test_update_may_apply_again_what_it_had_applied(books: Books) -> None:
    invoice_id = books.opened()["invoice_id"]
    payment_id = books.pay(1150, {invoice_id: 1150})["payment_id"]
    answer = books.api.put(
        f"/payments/{payment_id}",
        json=books.payment_body(1150, {invoice_id: 1150}, reference_number="PAY-2"),
    )

    assert answer.json()["payment"]["reference_number"] == "PAY-2"
    assert books.balances() == (0.0, 0.0)


@pytest.mark.parametrize("missing", ["customer_id", "payment_mode", "amount", "invoices"])
def test_update_needs_the_four_fields(books: Books, refused: Refused, missing: str) -> None:
    payment_id = books.pay(300)["payment_id"]
    body = books.payment_body(300)
    del body[missing]

    assert refused(books.api.put(f"/payments/{payment_id}", json=body)) == (
        400,
        f"Invalid value passed for {missing.replace('_', ' ').title()}",
    )


def test_payment_cannot_change_its_customer(books: Books, refused: Refused) -> None:
    payment_id = books.pay(300)["payment_id"]
    other = books.made("/customers", "customer", {"display_name": "Sipho"})["customer_id"]
    body = books.payment_body(300, customer_id=other)

    assert refused(books.api.put(f"/payments/{payment_id}", json=body))[0] == 400


def test_deleted_payment_is_owed_again(books: Books, refused: Refused) -> None:
    invoice_id = books.opened()["invoice_id"]
    payment_id = books.pay(1200, {invoice_id: 1150})["payment_id"]
    answer = books.api.delete(f"/payments/{payment_id}")

    assert answer.json()["message"] == "The payment has been deleted."
    assert books.balances() == (1150.0, 0.0)
    invoice = books.invoice(invoice_id)
    assert (invoice["status"], invoice["payments"]) == ("sent", [])
    assert refused(books.api.get(f"/payments/{payment_id}")) == (404, "Payment does not exist.")


def test_credit_that_is_used_keeps_its_payment(books: Books, refused: Refused) -> None:
    books.zoho.control.switch(apply_credits_automatically=True)
    payment_id = books.pay(1200)["payment_id"]
    books.opened()

    assert refused(books.api.delete(f"/payments/{payment_id}"))[0] == 400
    less = books.payment_body(1149)
    assert refused(books.api.put(f"/payments/{payment_id}", json=less))[0] == 400
    enough = books.payment_body(1150)
    assert books.api.put(f"/payments/{payment_id}", json=enough).status_code == 200
    assert books.balances() == (0.0, 0.0)


def test_balances_are_not_counted_as_writes_to_the_customer(books: Books) -> None:
    books.opened()
    (row,) = books.rows("/customers")

    assert row["outstanding_receivable_amount"] == 1150.0
    assert books.zoho.control.customers()[0]["_writes"] == 1


def test_payments_are_listed_by_customer_and_reference(books: Books) -> None:
    other = books.made("/customers", "customer", {"display_name": "Sipho"})["customer_id"]
    books.pay(1, reference_number="T-1")
    books.pay(2, reference_number="T-11")
    books.pay(3, reference_number="T-1", customer_id=other)

    def amounts(**query: str) -> list[float]:
        return [row["amount"] for row in books.rows("/payments", **query)]

    assert amounts(customer_id=books.customer_id) == [1.0, 2.0]
    assert amounts(reference_number="T-1") == [1.0, 3.0]
    assert amounts(reference_number_contains="T-1") == [1.0, 2.0, 3.0]
    assert amounts(reference_number="") == [1.0, 2.0, 3.0]
    assert amounts(payment_mode="cash") == []
    (row,) = books.rows("/payments", customer_id=other)
    assert "invoices" not in row


def test_transactions_show_what_happened_between_a_customer_and_zoho(books: Books) -> None:
    books.zoho.control.switch(apply_credits_automatically=True)
    books.draft()
    payment_id = books.pay(100)["payment_id"]
    invoice_id = books.opened()["invoice_id"]

    rows = books.rows("/transactions", customer_id=books.customer_id)
    assert {(row["type"], row["reference_id"], row["amount"]) for row in rows} == {
        ("payment", payment_id, "100.00"),
        ("invoice", invoice_id, "1150.00"),
        ("credit", invoice_id, "100.00"),
    }
    only = books.rows(
        "/transactions",
        customer_id=books.customer_id,
        filter_by="TransactionType.PAYMENT",
    )
    assert [row["type"] for row in only] == ["payment"]
    assert books.rows("/transactions", customer_id="1") == []
