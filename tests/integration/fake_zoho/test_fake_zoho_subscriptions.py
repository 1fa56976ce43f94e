"""Subscriptions: what Zoho keeps and refuses, and what its calendar makes of them."""

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from ops.fake_zoho import (
    ByHand,
    FakeZohoConfig,
    OrganisationConfig,
    SeedCustomer,
    SeedInvoice,
    SeedPayment,
    SeedPlan,
    SeedSubscription,
    running_fake_zoho,
)
from tests.integration.fake_zoho.books import STANDARD_RATE, Books
from tests.integration.fake_zoho.conftest import Refused


def test_subscription_from_today_is_live_and_billed_at_once(books: Books) -> None:
    subscription = books.subscribe(reference_id="S-1")

    assert subscription["status"] == "live"
    assert subscription["name"] == "Internet-Fibre 50"
    assert subscription["reference_id"] == "S-1"
    assert subscription["activated_at"] == "2026-01-15"
    assert subscription["current_term_starts_at"] == "2026-01-15"
    assert subscription["current_term_ends_at"] == "2026-02-15"
    assert subscription["next_billing_at"] == "2026-02-15"
    assert subscription["expires_at"] == ""
    assert subscription["auto_collect"] is False
    invoice = books.invoice(subscription["child_invoice_id"])
    assert (invoice["status"], invoice["number"]) == ("sent", "INV-000001")
    assert (invoice["total"], invoice["tax_total"], invoice["balance"]) == (459.0, 59.87, 459.0)
    (line,) = invoice["invoice_items"]
    assert (line["code"], line["name"], line["price"]) == ("FIBRE-50", "Fibre 50", 459.0)
    assert line["description"] == (
        "Charges for this duration (from 15-January-2026 to 15-February-2026)"
    )
    assert books.balances() == (459.0, 0.0)


@pytest.mark.parametrize(
    ("inclusive", "price", "sub_total"), [(True, 459, 399.13), (False, "399.13", 399.13)]
)
def test_both_kinds_of_organisation_bill_459_with_59_87_of_vat(
    books: Books, inclusive: bool, price: Any, sub_total: float
) -> None:
    books.zoho.control.switch(prices_inclusive=inclusive)
    subscription = books.subscribe(plan={"plan_code": "FIBRE-50", "price": price})

    (invoice,) = books.invoices()
    assert invoice["is_inclusive_tax"] is inclusive
    figures = (invoice["sub_total"], invoice["tax_total"], invoice["total"])
    assert figures == (sub_total, 59.87, 459.0)
    assert (subscription["amount"], subscription["sub_total"]) == (459.0, 399.13)
    assert subscription["taxes"] == [
        {"tax_id": STANDARD_RATE, "tax_name": "Standard Rate", "tax_amount": "59.87"}
    ]


def test_subscription_of_a_later_day_waits_for_it(books: Books) -> None:
    subscription = books.subscribe(starts_at="2026-02-01")

    assert subscription["status"] == "future"
    assert (subscription["next_billing_at"], subscription["activated_at"]) == ("2026-02-01", "")
    assert subscription["child_invoice_id"] == ""
    assert books.invoices() == []
    books.go_to(2026, 1, 31)
    assert books.subscription(subscription["subscription_id"])["status"] == "future"
    books.go_to(2026, 2, 1)
    live = books.subscription(subscription["subscription_id"])
    assert (live["status"], live["activated_at"]) == ("live", "2026-02-01")
    assert live["next_billing_at"] == "2026-03-01"
    assert [invoice["invoice_date"] for invoice in books.invoices()] == ["2026-02-01"]


@pytest.mark.parametrize(("flag", "dates"), [(False, []), (True, ["2026-01-03"])])
def test_subscription_of_an_earlier_day_bills_its_current_term_only_if_told(
    books: Books, flag: bool, dates: list[str]
) -> None:
    subscription = books.subscribe(starts_at="2025-09-03", create_backdated_invoice=flag)

    assert subscription["status"] == "live"
    assert subscription["activated_at"] == "2025-09-03"
    assert subscription["current_term_starts_at"] == "2026-01-03"
    assert subscription["next_billing_at"] == "2026-02-03"
    assert [invoice["invoice_date"] for invoice in books.invoices()] == dates
    books.go_to(2026, 2, 3)
    assert [one["invoice_date"] for one in books.invoices()] == [*dates, "2026-02-03"]


def test_first_charge_can_be_held_back(books: Books) -> None:
    subscription = books.subscribe(add_to_unbilled_charges=True)

    assert (subscription["status"], subscription["child_invoice_id"]) == ("live", "")
    assert subscription["unbilled_charge_id"] != ""
    assert books.invoices() == []


def test_renewals_keep_the_day_of_the_month(books: Books) -> None:
    subscription = books.subscribe(starts_at="2026-01-31")
    books.go_to(2026, 5, 31)

    assert [invoice["invoice_date"] for invoice in books.invoices()] == [
        "2026-01-31",
        "2026-02-28",
        "2026-03-31",
        "2026-04-30",
        "2026-05-31",
    ]
    renewed = books.subscription(subscription["subscription_id"])
    assert (renewed["last_billing_at"], renewed["next_billing_at"]) == ("2026-05-31", "2026-06-30")
    newest = books.invoices()[-1]
    assert (renewed["child_invoice_id"], newest["transaction_type"]) == (
        newest["invoice_id"],
        "renewal",
    )
    assert newest["created_time"] == "2026-05-31T00:00:00+0200"


def test_yearly_and_weekly_plans_renew_by_their_own_measure(books: Books) -> None:
    books.plan(plan_code="YEAR", interval_unit="years")
    books.plan(plan_code="FORTNIGHT", interval_unit="weeks", interval=2)
    yearly = books.subscribe(plan={"plan_code": "YEAR"}, starts_at="2024-02-29")
    weekly = books.subscribe(plan={"plan_code": "FORTNIGHT"})

    assert yearly["next_billing_at"] == "2026-02-28"
    assert weekly["next_billing_at"] == "2026-01-29"


def test_invoices_of_one_day_are_numbered_by_the_calendar_across_subscriptions(
    books: Books,
) -> None:
    books.subscribe(starts_at="2026-01-20", reference_id="late")
    books.subscribe(starts_at="2026-01-16", reference_id="early")
    books.go_to(2026, 2, 25)

    dated = [(one["number"], one["invoice_date"]) for one in books.invoices()]
    assert dated == [
        ("INV-000001", "2026-01-16"),
        ("INV-000002", "2026-01-20"),
        ("INV-000003", "2026-02-16"),
        ("INV-000004", "2026-02-20"),
    ]


def test_invoices_fall_due_by_the_terms_and_become_overdue(books: Books) -> None:
    subscription = books.subscribe(payment_terms=7, payment_terms_label="Net 7")
    (invoice,) = books.invoices()

    assert invoice["invoice_id"] == subscription["child_invoice_id"]
    assert (invoice["due_date"], invoice["payment_terms_label"]) == ("2026-01-22", "Net 7")
    books.go_to(2026, 1, 22)
    assert books.invoice(invoice["invoice_id"])["status"] == "sent"
    books.go_to(2026, 1, 23)
    assert books.invoice(invoice["invoice_id"])["status"] == "overdue"


def test_price_of_the_subscription_goes_before_that_of_the_plan(books: Books) -> None:
    subscription = books.subscribe(
        plan={"plan_code": "FIBRE-50", "price": "399.005", "quantity": 2}
    )

    assert subscription["plan"]["price"] == 399.01
    assert subscription["plan"]["total"] == 798.02
    assert books.invoice(subscription["child_invoice_id"])["total"] == 798.02


@pytest.mark.parametrize(("excluded", "total"), [(False, 559.0), (True, 459.0)])
def test_setup_fee_is_billed_once_unless_excluded(
    books: Books, excluded: bool, total: float
) -> None:
    books.plan(plan_code="FEE", setup_fee=100)
    subscription = books.subscribe(plan={"plan_code": "FEE", "exclude_setup_fee": excluded})
    books.go_to(2026, 2, 15)

    assert [invoice["total"] for invoice in books.invoices()] == [total, 459.0]
    assert subscription["plan"]["setup_fee"] == (0.0 if excluded else 100.0)


def test_trial_is_billed_when_it_ends(books: Books) -> None:
    books.plan(plan_code="TRIAL", trial_period=14)
    trial = books.subscribe(plan={"plan_code": "TRIAL"})
    without = books.subscribe(plan={"plan_code": "TRIAL", "exclude_trial": True})

    assert (trial["status"], trial["next_billing_at"]) == ("trial", "2026-01-29")
    assert without["status"] == "live"
    books.go_to(2026, 1, 29)
    live = books.subscription(trial["subscription_id"])
    assert (live["status"], live["next_billing_at"]) == ("live", "2026-02-28")


@pytest.mark.parametrize(
    ("change", "status", "message"),
    [
        ({"customer_id": ""}, 400, "Invalid value passed for Customer Id"),
        ({"customer_id": "4815162000000999999"}, 404, "Customer does not exist."),
        (
            {"customer": {"display_name": "Another"}},
            400,
            "Give either a customer_id or a customer.",
        ),
        ({"plan": None}, 400, "Invalid value passed for Plan"),
        ({"plan": {"plan_id": "1"}}, 400, "Invalid value passed for Plan Code"),
        ({"plan": {"plan_code": "NO-SUCH"}}, 404, "Plan does not exist."),
        (
            {"plan": {"plan_code": "FIBRE-50", "billing_cycles": 0}},
            400,
            "Invalid value passed for Billing Cycles",
        ),
        (
            {"plan": {"plan_code": "FIBRE-50", "price": "free"}},
            400,
            "Invalid value passed for Price",
        ),
        (
            {"plan": {"plan_code": "FIBRE-50", "tax_id": "7"}},
            400,
            "Invalid value passed for Tax Id",
        ),
        ({"starts_at": "01/02/2026"}, 400, "Invalid value passed for Starts At"),
        ({"starts_at": 1767225600}, 400, "Invalid value passed for Starts At"),
        ({"payment_terms": "Net 7"}, 400, "Invalid value passed for Payment Terms"),
        ({"auto_collect": True}, 400, "Charging automatically needs a card or an account."),
        ({"card_id": "1"}, 404, "Card does not exist."),
        ({"addons": [{"addon_code": "x"}]}, 404, "Addon does not exist."),
        ({"coupon_code": "x"}, 404, "Coupon does not exist."),
        ({"currency_code": "USD"}, 400, "The currency is not the customer's own."),
        (
            {"custom_fields": [{"label": "Service Id", "value": "1"}]},
            400,
            "Please provide a valid label for the custom field.",
        ),
    ],
)
def test_subscription_that_does_not_fit_is_refused(
    books: Books, refused: Refused, change: dict[str, Any], status: int, message: str
) -> None:
    answer = books.api.post("/subscriptions", json=books.subscription_body(**change))

    assert refused(answer) == (status, message)
    state = books.zoho.control.state()
    assert (state.subscriptions, state.invoices, len(state.customers)) == ([], [], 1)


def test_automatic_charge_is_what_a_call_means_that_does_not_say(
    books: Books, refused: Refused
) -> None:
    body = books.subscription_body()
    del body["auto_collect"]

    assert refused(books.api.post("/subscriptions", json=body))[0] == 400


def test_customer_can_come_with_the_subscription(books: Books) -> None:
    body = books.subscription_body(customer={"display_name": "Sipho"})
    del body["customer_id"]
    subscription = books.made("/subscriptions", "subscription", body)

    assert subscription["customer"]["display_name"] == "Sipho"
    assert len(books.zoho.control.customers()) == 2


def test_reference_is_not_unique_and_is_found_by_any_part(books: Books) -> None:
    first = books.subscribe(reference_id="SVC-1")
    again = books.subscribe(reference_id="SVC-1")
    longer = books.subscribe(reference_id="SVC-11")

    def found(**query: str) -> list[str]:
        return [row["subscription_id"] for row in books.rows("/subscriptions", **query)]

    everyone = [one["subscription_id"] for one in (first, again, longer)]
    assert found(reference_contains="svc-1") == everyone
    assert found(reference_contains="C-11") == [longer["subscription_id"]]
    assert found(reference_contains="") == everyone


def test_rows_of_the_list_are_flat(books: Books) -> None:
    made = books.subscribe(reference_id="S-1")
    (row,) = books.rows("/subscriptions", customer_id=books.customer_id)

    assert row["subscription_id"] == made["subscription_id"]
    assert (row["customer_name"], row["plan_code"]) == ("Nomvula Dlamini", "FIBRE-50")
    assert (row["status"], row["amount"]) == ("live", 459.0)
    assert not {"plan", "customer", "child_invoice_id"} & row.keys()
    assert books.rows("/subscriptions", customer_id="1") == []


def test_list_can_be_asked_by_status(books: Books) -> None:
    books.subscribe()
    books.subscribe(starts_at="2026-03-01")
    ended = books.subscribe()
    books.api.post(f"/subscriptions/{ended['subscription_id']}/cancel")

    def statuses(filter_by: str) -> list[str]:
        return [row["status"] for row in books.rows("/subscriptions", filter_by=filter_by)]

    assert statuses("SubscriptionStatus.LIVE") == ["live"]
    assert statuses("SubscriptionStatus.FUTURE") == ["future"]
    assert statuses("SubscriptionStatus.CANCELLED") == ["cancelled"]
    assert statuses("SubscriptionStatus.All") == ["live", "future", "cancelled"]
    assert statuses("SubscriptionMode.OFFLINE") == ["live", "future", "cancelled"]


def test_change_at_the_end_of_the_term_comes_with_the_renewal(books: Books) -> None:
    subscription_id = books.subscribe()["subscription_id"]
    answer = books.api.put(
        f"/subscriptions/{subscription_id}",
        json={"plan": {"plan_code": "FIBRE-50", "price": 399}, "end_of_term": True},
    )

    changed = answer.json()["subscription"]
    assert answer.json()["message"] == "Subscription has been updated successfully."
    assert (changed["end_of_term"], changed["plan"]["price"]) == (True, 459.0)
    changes = books.api.get(f"/subscriptions/{subscription_id}/scheduledchanges").json()
    assert changes["subscription"]["plan"]["price"] == 399.0
    books.go_to(2026, 2, 15)
    after = books.subscription(subscription_id)
    assert (after["end_of_term"], after["plan"]["price"]) == (False, 399.0)
    assert [invoice["total"] for invoice in books.invoices()] == [459.0, 399.0]


def test_scheduled_change_can_be_dropped(books: Books, refused: Refused) -> None:
    subscription_id = books.subscribe()["subscription_id"]
    path = f"/subscriptions/{subscription_id}/scheduledchanges"
    change = {"plan": {"plan_code": "FIBRE-50", "price": 399}, "end_of_term": True}
    books.api.put(f"/subscriptions/{subscription_id}", json=change)

    assert books.api.delete(path).status_code == 200
    assert refused(books.api.get(path))[0] == 404
    books.go_to(2026, 2, 15)
    assert books.invoices()[-1]["total"] == 459.0


@pytest.mark.parametrize(
    ("price", "totals", "credit"), [(769, [459.0, 210.0], 0.0), (149, [459.0], 210.0)]
)
def test_change_in_the_middle_of_a_term_is_prorated(
    books: Books, price: int, totals: list[float], credit: float
) -> None:
    # 31 days in this term, 21 of them left: 310 more or less a month is 210 now.
    subscription_id = books.subscribe()["subscription_id"]
    books.go_to(2026, 1, 25)
    books.api.put(
        f"/subscriptions/{subscription_id}",
        json={"plan": {"plan_code": "FIBRE-50", "price": price}},
    )

    assert [invoice["total"] for invoice in books.invoices()] == totals
    assert books.balances()[1] == credit


def test_change_without_proration_only_changes_what_comes(books: Books) -> None:
    books.zoho.control.switch(prorate_changes=False)
    subscription_id = books.subscribe()["subscription_id"]
    books.api.put(
        f"/subscriptions/{subscription_id}",
        json={"plan": {"plan_code": "FIBRE-50", "price": 769}},
    )

    assert [invoice["total"] for invoice in books.invoices()] == [459.0]


def test_update_without_a_price_takes_the_plans_own_again(books: Books) -> None:
    subscription_id = books.subscribe(plan={"plan_code": "FIBRE-50", "price": 399})[
        "subscription_id"
    ]
    body = {"plan": {"plan_code": "FIBRE-50"}, "end_of_term": True}
    books.api.put(f"/subscriptions/{subscription_id}", json=body)
    books.go_to(2026, 2, 15)

    assert books.subscription(subscription_id)["plan"]["price"] == 459.0


def test_update_needs_a_plan(books: Books, refused: Refused) -> None:
    subscription_id = books.subscribe()["subscription_id"]
    answer = books.api.put(f"/subscriptions/{subscription_id}", json={"reference_id": "S-2"})

    assert refused(answer) == (400, "Invalid value passed for Plan")


def test_reference_alone_can_be_changed(books: Books) -> None:
    subscription_id = books.subscribe()["subscription_id"]
    answer = books.api.post(
        f"/subscriptions/{subscription_id}/reference", json={"reference_id": "S-2"}
    )

    assert answer.json()["subscription"]["reference_id"] == "S-2"


def test_cancelled_at_the_end_it_bills_no_further_term(books: Books) -> None:
    subscription_id = books.subscribe()["subscription_id"]
    answer = books.api.post(
        f"/subscriptions/{subscription_id}/cancel", params={"cancel_at_end": "true"}
    )

    assert answer.json()["subscription"]["status"] == "non_renewing"
    assert answer.json()["message"] == (
        "Your subscription will be canceled at the end of this term."
    )
    (row,) = books.rows("/subscriptions")
    assert row["scheduled_cancellation_date"] == "2026-02-15"
    books.go_to(2026, 4, 1)
    ended = books.subscription(subscription_id)
    (held,) = books.zoho.control.state().subscriptions
    assert (ended["status"], held["_cancelled_on"]) == ("cancelled", "2026-02-15")
    assert (ended["current_term_ends_at"], ended["next_billing_at"]) == ("2026-02-15", "")
    assert len(books.invoices()) == 1


def test_cancelled_at_once_it_is_over(books: Books, refused: Refused) -> None:
    subscription_id = books.subscribe()["subscription_id"]
    path = f"/subscriptions/{subscription_id}"

    assert books.api.post(f"{path}/cancel").json()["subscription"]["status"] == "cancelled"
    assert refused(books.api.post(f"{path}/cancel"))[0] == 400
    assert refused(books.api.post(f"{path}/reactivate"))[0] == 400
    assert refused(books.api.put(path, json={"plan": {"plan_code": "FIBRE-50"}}))[0] == 400
    books.go_to(2026, 4, 1)
    assert len(books.invoices()) == 1


def test_only_one_that_is_not_to_renew_can_be_reactivated(books: Books, refused: Refused) -> None:
    subscription_id = books.subscribe()["subscription_id"]
    path = f"/subscriptions/{subscription_id}"

    assert refused(books.api.post(f"{path}/reactivate"))[0] == 400
    books.api.post(f"{path}/cancel", params={"cancel_at_end": "true"})
    assert books.api.post(f"{path}/reactivate").json()["subscription"]["status"] == "live"
    books.go_to(2026, 2, 15)
    assert len(books.invoices()) == 2


def test_future_one_can_be_cancelled_before_it_starts(books: Books) -> None:
    subscription_id = books.subscribe(starts_at="2026-02-01")["subscription_id"]
    books.api.post(f"/subscriptions/{subscription_id}/cancel", params={"cancel_at_end": "true"})
    books.go_to(2026, 3, 1)

    assert books.subscription(subscription_id)["status"] == "cancelled"
    assert books.invoices() == []


def test_renewal_can_only_be_moved_to_later(books: Books, refused: Refused) -> None:
    subscription_id = books.subscribe()["subscription_id"]
    path = f"/subscriptions/{subscription_id}/postpone"

    assert refused(books.api.post(path, json={"renewal_at": "2026-02-15"}))[0] == 400
    assert refused(books.api.post(path, json={}))[0] == 400
    moved = books.api.post(path, json={"renewal_at": "2026-02-20"}).json()["subscription"]
    assert moved["next_billing_at"] == "2026-02-20"
    books.go_to(2026, 3, 20)
    assert [one["invoice_date"] for one in books.invoices()] == [
        "2026-01-15",
        "2026-02-20",
        "2026-03-20",
    ]


def test_cycles_run_out(books: Books) -> None:
    subscription = books.subscribe(plan={"plan_code": "FIBRE-50", "billing_cycles": 2})
    books.go_to(2026, 6, 1)

    assert subscription["expires_at"] == "2026-03-15"
    ended = books.subscription(subscription["subscription_id"])
    assert (ended["status"], ended["expires_at"]) == ("expired", "2026-03-15")
    assert len(books.invoices()) == 2


def test_cycles_may_have_run_out_before_today(books: Books) -> None:
    ended = books.subscribe(
        starts_at="2025-06-15", plan={"plan_code": "FIBRE-50", "billing_cycles": 2}
    )

    assert (ended["status"], ended["expires_at"]) == ("expired", "2025-08-15")
    assert books.invoices() == []


def test_day_is_that_of_the_organisation(books: Books) -> None:
    subscription_id = books.subscribe(starts_at="2026-02-01")["subscription_id"]
    books.zoho.control.set_calendar(datetime(2026, 1, 31, 21, 59, tzinfo=UTC))
    assert books.subscription(subscription_id)["status"] == "future"
    books.zoho.control.set_calendar(datetime(2026, 1, 31, 22, 0, tzinfo=UTC))
    assert books.subscription(subscription_id)["status"] == "live"


def test_term_may_end_the_day_before_the_next_billing(books: Books) -> None:
    books.zoho.control.switch(terms_end_the_day_before=True)
    subscription = books.subscribe()

    assert subscription["current_term_ends_at"] == "2026-02-14"
    assert subscription["next_billing_at"] == "2026-02-15"


@pytest.mark.parametrize(("notifications", "mails"), [(False, 0), (True, 2)])
def test_renewals_are_mailed_only_where_the_organisation_notifies(
    books: Books, notifications: bool, mails: int
) -> None:
    books.zoho.control.switch(notifications=notifications)
    books.subscribe()
    books.go_to(2026, 2, 15)

    sent = books.zoho.control.state().mails
    assert [mail.reason for mail in sent] == ["invoice_notification"] * mails


@pytest.mark.parametrize(("reminders", "mails"), [(False, 0), (True, 1)])
def test_late_customers_are_reminded_only_where_the_organisation_does(
    books: Books, reminders: bool, mails: int
) -> None:
    books.subscribe()
    assert books.zoho.control.state().customers_zoho_could_mail == []
    books.zoho.control.switch(reminders=reminders)
    books.go_to(2026, 1, 16)
    books.go_to(2026, 1, 17)

    state = books.zoho.control.state()
    assert [mail.reason for mail in state.mails] == ["payment_reminder"] * mails
    assert state.customers_zoho_could_mail == [books.customer_id]


def test_plan_and_customer_in_use_stay(books: Books, refused: Refused) -> None:
    subscription_id = books.subscribe()["subscription_id"]
    customer = f"/customers/{books.customer_id}"

    assert refused(books.api.delete("/plans/FIBRE-50"))[0] == 400
    assert refused(books.api.delete(customer))[0] == 400
    assert refused(books.api.post(f"{customer}/markasinactive"))[0] == 400
    books.api.post(f"/subscriptions/{subscription_id}/cancel")
    assert books.api.post(f"{customer}/markasinactive").status_code == 200


def test_inactive_plan_takes_no_new_subscription(books: Books, refused: Refused) -> None:
    subscription_id = books.subscribe()["subscription_id"]
    books.api.post("/plans/FIBRE-50/markasinactive")

    assert refused(books.api.post("/subscriptions", json=books.subscription_body()))[0] == 400
    kept = {"plan": {"plan_code": "FIBRE-50", "price": 1}, "end_of_term": True}
    assert books.api.put(f"/subscriptions/{subscription_id}", json=kept).status_code == 200


def test_subscription_can_be_deleted(books: Books) -> None:
    subscription_id = books.subscribe(starts_at="2026-02-01")["subscription_id"]
    answer = books.api.delete(f"/subscriptions/{subscription_id}")
    books.go_to(2026, 3, 1)

    assert answer.json()["message"] == "The subscription has been deleted."
    assert books.invoices() == []


MADE = datetime(2024, 3, 1, 9, tzinfo=UTC)
PLAN = SeedPlan(
    product="Internet",
    profile={
        "plan_code": "FIBRE-50",
        "name": "Fibre 50",
        "recurring_price": 459,
        "interval": 1,
        "tax_id": STANDARD_RATE,
    },
    created_time=MADE,
)
BY_HAND = SeedCustomer(
    profile={"display_name": "Thandi"},
    created_time=MADE,
    subscriptions=[
        SeedSubscription(
            profile={
                "plan": {"plan_code": "FIBRE-50"},
                "auto_collect": False,
                "starts_at": "2024-03-01",
                "create_backdated_invoice": True,
            },
            created_time=MADE,
            status="non_renewing",
        )
    ],
    invoices=[
        SeedInvoice(
            profile={
                "date": "2024-03-01",
                "invoice_number": "OLD-1",
                "invoice_items": [{"name": "Router", "price": 900, "quantity": 1}],
            },
            created_time=MADE,
        )
    ],
    payments=[
        SeedPayment(
            profile={
                "payment_mode": "cash",
                "amount": 1000,
                "date": "2024-03-02",
                "invoices": [{"invoice_number": "OLD-1", "amount_applied": 900}],
            },
            created_time=MADE,
        )
    ],
)


def test_what_people_made_is_there_from_the_start() -> None:
    config = FakeZohoConfig(
        seed_plans={OrganisationConfig().organization_id: [PLAN]},
        seed={OrganisationConfig().organization_id: [BY_HAND]},
        calendar_start=datetime(2026, 1, 15, 8, tzinfo=UTC),
    )
    with running_fake_zoho(config) as own:
        state = own.control.state()

    (customer,) = state.customers
    assert (customer["outstanding"], customer["unused_credits"]) == (459.0, 100.0)
    (subscription,) = state.subscriptions
    assert (subscription["status"], subscription["_writes"]) == ("non_renewing", 0)
    old, raised = sorted(state.invoices, key=lambda one: one["invoice_date"])
    assert (old["number"], old["status"], old["_by_api"]) == ("OLD-1", "paid", False)
    assert raised["_subscription_id"] == subscription["subscription_id"]
    assert [payment["amount"] for payment in state.payments] == [1000.0]


def test_people_go_on_making_records_while_the_fake_runs(books: Books) -> None:
    made = books.zoho.control.seed_by_hand(
        ByHand(
            plans=[PLAN.model_copy(update={"profile": PLAN.profile | {"plan_code": "HAND"}})],
            invoices={books.customer_id: BY_HAND.invoices},
            payments={books.customer_id: BY_HAND.payments},
        )
    )

    assert made.plan_codes == ["HAND"]
    assert books.invoice(made.invoice_ids[0])["status"] == "paid"
    rows = books.api.get("/payments", params={"customer_id": books.customer_id}).json()["payments"]
    assert [row["payment_id"] for row in rows] == made.payment_ids
    assert books.balances() == (0.0, 100.0)


def test_writes_to_a_subscription_are_counted_renewals_are_not(books: Books) -> None:
    subscription_id = books.subscribe()["subscription_id"]
    books.api.post(f"/subscriptions/{subscription_id}/reference", json={"reference_id": "S"})
    books.go_to(2026, 3, 15)

    (held,) = books.zoho.control.state().subscriptions
    assert held["_writes"] == 2
    assert {one["_writes"] for one in books.invoices()} == {0}


def test_unknown_subscription_does_not_exist(api: httpx.Client, refused: Refused) -> None:
    assert refused(api.get("/subscriptions/4815162000000999999")) == (
        404,
        "Subscription does not exist.",
    )
