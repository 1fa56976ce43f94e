"""The payments' rules: what is read, looked for, sent, proved and compared, call by call."""

import dataclasses
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from billing_sync.domain.errors import LookUpFailed, Rejected
from billing_sync.domain.ownership import Ownership
from billing_sync.domain.payments import PaymentWays
from billing_sync.domain.states import EntityType, State
from billing_sync.ports import Intent, Permit, RecordKey, Write
from billing_sync.services.payments import PaymentRules, amount_of
from billing_sync.services.rules import DELETE, Do, Done, Found, Remote, Source, Stuck
from tests.fakes.payments import Case

PERMIT = Permit(1, datetime(2026, 3, 1, tzinfo=UTC), 0.0)
CUSTOMER_3 = RecordKey(EntityType.CUSTOMER, "3")
INVOICE_12 = RecordKey(EntityType.INVOICE, "12")


@pytest.fixture
def case() -> Case:
    return Case()


def read(case: Case, payment_id: str = "40", **settings: Any) -> Source:
    source = case.rules(**settings).read(payment_id)
    assert source is not None
    return source


def refusal(case: Case, payment_id: str = "40", **settings: Any) -> tuple[str, str, str]:
    refused = read(case, payment_id, **settings).refused
    assert refused is not None
    return refused.code, refused.field, refused.sentence


def applied(case: Case, payment_id: str = "40") -> Any:
    return read(case, payment_id).figures["applied"]


def find(case: Case, payment_id: str = "40") -> Found:
    return case.rules().find(read(case, payment_id))


def write(source: Source, step: str, zoho_id: str | None = None) -> Write:
    return Write(step, source.key, source.figures, source.fingerprint, source.payload, zoho_id)


def intent(source: Source) -> Intent:
    sent_at = datetime(2026, 3, 1, tzinfo=UTC)
    return Intent(1, "create", "create", source.key, source.figures, "", None, sent_at)


def sent(rules: PaymentRules, source: Source) -> Remote:
    remote = rules.send(write(source, "create"), PERMIT)
    assert remote is not None
    return remote


# --------------------------------------------------------------------------------------- parents


def test_a_payments_parents_are_its_customer_and_then_its_invoice(case: Case) -> None:
    assert case.rules().parents("40") == (CUSTOMER_3, INVOICE_12)


def test_allocations_name_the_invoices_and_each_is_a_parent_once(case: Case) -> None:
    case.add_invoice("13", zoho_id="601")
    case.books.share("40", "13", "100")
    case.books.share("40", "12", "200")
    case.books.share("40", "13", "159")

    assert case.rules().parents("40") == (
        CUSTOMER_3,
        RecordKey(EntityType.INVOICE, "13"),
        INVOICE_12,
    )


def test_a_credit_has_only_its_customer_for_a_parent(case: Case) -> None:
    case.books.add_payment("41", invoice_id=None)

    assert case.rules().parents("41") == (CUSTOMER_3,)


@pytest.mark.parametrize("status", ["pending", "failed", "cancelled", "expired", "reversed"])
def test_what_is_not_sent_waits_for_no_parent(case: Case, status: str) -> None:
    case.books.add_payment("40", status=status)

    assert case.rules().parents("40") == ()


def test_nobody_elses_invoice_and_none_that_is_not_here_is_brought(case: Case) -> None:
    case.books.add_customer("4")
    case.books.add_invoice("15", customer_id="4")
    case.books.add_payment("41", invoice_id="15")
    case.books.add_payment("42", invoice_id="99")
    case.books.add_payment("43", customer_id="98")

    assert case.rules().parents("41") == (CUSTOMER_3,)
    assert case.rules().parents("42") == (CUSTOMER_3,)
    assert case.rules().parents("43") == ()
    assert case.rules().parents("97") == ()


def test_payments_of_one_customer_are_serial(case: Case) -> None:
    case.books.add_payment("41", invoice_id=None)

    rules = case.rules()

    assert (rules.serial_key("40"), rules.serial_key("41")) == ("customer:3", "customer:3")
    assert rules.serial_key("99") is None


# ------------------------------------------------------------------------------------------ read


def test_a_payment_that_is_not_here_is_none(case: Case) -> None:
    assert case.rules().read("99") is None


def test_a_completed_payment_is_read_with_its_parents_ids_in_zoho(case: Case) -> None:
    source = read(case)

    assert source.key == "TX-40"
    assert source.payload == {
        "customer_id": "300",
        "payment_mode": "banktransfer",
        "amount": Decimal("459.00"),
        "date": "2025-01-10",
        "reference_number": "TX-40",
        "invoices": [{"invoice_id": "600", "amount_applied": Decimal("459.00")}],
        "account_id": "900",
    }
    assert amount_of(source) == Decimal(459)
    assert case.zoho.calls == []


def test_what_an_earlier_payment_filled_is_credit_by_our_books(case: Case) -> None:
    case.books.add_payment("39", amount=Decimal(400))
    case.books.add_payment("41", amount=Decimal(459))

    assert applied(case, "39") == {"600": "400.00"}
    assert applied(case, "40") == {"600": "59.00"}
    assert applied(case, "41") == {}


def test_an_earlier_payment_that_our_books_put_elsewhere_fills_only_its_share(case: Case) -> None:
    case.add_invoice("13", zoho_id="601")
    case.books.add_payment("39", amount=Decimal(459))
    case.books.share("39", "13", "300")
    case.books.share("39", "12", "59")

    assert applied(case, "40") == {"600": "400.00"}


@pytest.mark.parametrize(
    "columns",
    [
        {"customer_id": "4"},
        {"amount": Decimal(-5)},
        {"amount": None},
        {"amount": Decimal("NaN")},
        {"completed_at": None},
    ],
)
def test_a_payment_that_is_refused_itself_fills_no_invoice(
    case: Case, columns: dict[str, Any]
) -> None:
    case.books.add_payment("39", **columns)

    assert applied(case, "40") == {"600": "459.00"}


def test_allocations_are_the_shares_and_the_rest_is_credit(case: Case) -> None:
    case.add_invoice("13", zoho_id="601")
    case.books.share("40", "12", "200")
    case.books.share("40", "13", "100.50")

    assert applied(case) == {"600": "200.00", "601": "100.50"}


def test_an_unfinished_payment_is_skipped_whatever_its_shares_say(case: Case) -> None:
    case.books.add_payment("40", status="pending", customer_id="98")
    case.books.share("40", "12", None)

    assert read(case).skip == "not completed: pending"


def test_a_payment_follows_a_customer_that_is_not_sent(case: Case) -> None:
    case.records.put(EntityType.CUSTOMER, "3", state=State.SKIPPED, sentence="internal test")

    assert read(case).skip == "its customer is not sent"


def test_a_plan_knows_a_test_account_before_it_has_a_record(case: Case) -> None:
    case.records.known.clear()
    case.books.add_customer("3", account_type="internal_test")

    assert read(case).skip == "its customer is not sent"


def test_a_payment_follows_an_invoice_of_before_the_cut_over(case: Case) -> None:
    case.records.put(EntityType.INVOICE, "12", state=State.SKIPPED, sentence="before cut-over")

    assert read(case).skip == "before cut-over, as its invoice"


def test_a_plan_foresees_that_an_invoice_of_before_the_cut_over_takes_its_payment_along(
    case: Case,
) -> None:
    del case.records.known[INVOICE_12]
    ownership = Ownership(invoices_from=date(2025, 1, 6))

    assert read(case, ownership=ownership).skip == "before cut-over, as its invoice"


def test_a_plan_reads_a_payment_whose_parents_are_still_to_come(case: Case) -> None:
    case.records.known.clear()
    case.books.add_invoice("12", total_amount=None)

    source = read(case)

    assert source.refused is None
    assert (source.figures["customer_id"], source.figures["applied"]) == (None, {})
    assert case.rules().foresee(source) == Found()


@pytest.mark.parametrize("is_removed", [True, False])
def test_a_payment_on_an_invoice_that_is_withdrawn_is_refused(case: Case, is_removed: bool) -> None:
    if is_removed:
        case.records.put(EntityType.INVOICE, "12", removed=True)
    else:
        case.books.add_invoice("12", status="voided")

    code, field, sentence = refusal(case)

    assert (code, field) == ("invoice_left_out", "invoice_id")
    assert sentence.startswith("459.00 of it is on invoices that are not sent (")


def test_bad_input_is_refused_with_its_field_and_both_values(case: Case) -> None:
    case.books.add_customer("4", currency="USD")
    case.books.add_invoice("15", customer_id="4")
    case.books.add_payment("41", invoice_id="15")
    case.books.add_payment("42", amount=Decimal("-459.00"))
    case.books.add_payment("43", payment_method="shells")
    case.books.add_payment("44", customer_id="4", invoice_id=None, currency="ZAR")
    case.books.add_payment("45", customer_id="98")
    case.books.add_payment("46", invoice_id="99")
    case.books.add_payment("47", invoice_id="12")
    case.books.share("47", "12", "-1")

    assert refusal(case, "41") == (
        "invoice_of_another",
        "invoice_id",
        "Invoice 15 is customer 4's, the payment is customer 3's.",
    )
    assert refusal(case, "42") == (
        "amount_not_positive",
        "amount",
        "amount is -459.00; a payment must be above 0.00.",
    )
    assert refusal(case, "43") == (
        "payment_method_unmapped",
        "payment_method",
        "payment_method «shells» of provider «netcash» has no payment mode of Zoho.",
    )
    assert refusal(case, "44") == (
        "currency_differs",
        "currency",
        "currency is ZAR, the customer's is USD.",
    )
    assert refusal(case, "45") == (
        "customer_unknown",
        "customer_id",
        "customer_id is 98, no customer.",
    )
    assert refusal(case, "46") == ("invoice_unknown", "invoice_id", "invoice_id is 99, no invoice.")
    assert refusal(case, "47")[:2] == ("share_not_positive", "allocations.amount")
    assert case.zoho.calls == []


def test_an_invoice_whose_total_is_no_amount_refuses_its_payment(case: Case) -> None:
    case.books.add_invoice("12", total_amount=Decimal("NaN"))

    assert refusal(case) == (
        "not_an_amount",
        "invoice.total_amount",
        "invoice.total_amount is not an amount.",
    )


def test_another_reason_is_another_fingerprint_so_that_a_person_reads_the_new_one(
    case: Case,
) -> None:
    case.books.add_payment("40", amount=Decimal(-1))
    first = read(case).fingerprint
    case.books.add_payment("40", amount=Decimal(-2))

    assert read(case).fingerprint != first


def test_amounts_that_are_none_are_none_in_a_plan(case: Case) -> None:
    for amount in (None, Decimal("NaN")):
        case.books.add_payment("40", amount=amount)
        assert amount_of(read(case)) is None


# ------------------------------------------------------------------------------------------ find


def test_a_payment_of_one_invoice_costs_two_calls(case: Case) -> None:
    rules, source = case.rules(), read(case)

    assert rules.find(source) == Found()
    remote = sent(rules, source)

    assert rules.next_step(source, remote, after="create") == Done()
    assert case.zoho.calls == ["get_invoice", "create_payment"]
    assert case.zoho.sent == [source.payload]


def test_our_own_on_the_invoice_is_linked_whatever_is_open(case: Case) -> None:
    ours = case.zoho.put_payment("700", "TX-40", applied={"600": "459"})
    case.zoho.put_invoice("600", "0", ours)

    found = find(case)

    assert found.link == "700"
    assert case.zoho.calls == ["get_invoice"]


def test_one_that_another_record_holds_is_for_a_person(case: Case) -> None:
    case.zoho.put_invoice("600", "0", case.zoho.put_payment("700", "TX-40"))
    case.records.held["700"] = "39"

    found = find(case)

    assert (found.candidates, found.code, found.why) == (
        ("700",),
        "linked_elsewhere",
        "linked to 39",
    )


def test_two_that_bear_our_reference_are_for_a_person(case: Case) -> None:
    both = [case.zoho.put_payment(one, "TX-40") for one in ("700", "701")]
    case.zoho.put_invoice("600", "0", *both)

    found = find(case)

    assert (found.candidates, found.code) == (("700", "701"), "several")


def test_what_is_paid_there_already_is_read_once_more_and_never_capped(case: Case) -> None:
    case.zoho.put_invoice("600", "59", case.zoho.put_payment("700", "by hand", "400"))

    found = find(case)

    assert found == Found(
        candidates=("700",),
        code="already_paid",
        why="459.00 on invoice 600, of which 59.00 is open: already paid there by 700",
        may_create_anyway=False,
    )
    assert case.zoho.calls == ["get_invoice", "get_invoice"]


def test_what_is_open_at_the_second_look_is_paid(case: Case) -> None:
    case.zoho.put_invoice("600", "0")
    looks = iter(["0", "459"])
    case.zoho.on["get_invoice"] = lambda: case.zoho.put_invoice("600", next(looks))

    assert find(case) == Found()


def test_our_own_that_shows_at_the_second_look_is_linked(case: Case) -> None:
    ours = case.zoho.put_payment("700", "TX-40")
    looks = iter([(), (ours,)])
    case.zoho.on["get_invoice"] = lambda: case.zoho.put_invoice("600", "0", *next(looks))

    assert find(case).link == "700"


def test_paid_there_by_credit_names_the_invoice_and_creates_nothing(case: Case) -> None:
    case.zoho.put_invoice("600", "0")

    found = find(case)

    assert (found.candidates, found.code, found.may_create_anyway) == (
        ("600",),
        "already_paid",
        False,
    )
    assert found.why.endswith("already paid there by credit")


def test_of_several_invoices_only_the_short_one_is_read_again(case: Case) -> None:
    case.add_invoice("13", zoho_id="601")
    case.books.share("40", "12", "200")
    case.books.share("40", "13", "200")
    case.zoho.put_invoice("601", "100", case.zoho.put_payment("700", "by hand", "359"))

    found = find(case)

    assert found.candidates == ("700",)
    assert found.why == (
        "200.00 on invoice 601, of which 100.00 is open: already paid there by 700"
    )
    assert case.zoho.calls == ["get_invoice"] * 3


def test_a_credit_is_looked_for_on_every_page_of_the_customers_transactions(case: Case) -> None:
    case.books.add_payment("41", invoice_id=None)
    case.zoho.list_on_page(
        {"transaction_id": "800", "type": "invoice", "amount": "459"}, has_more=True
    )
    case.zoho.list_on_page(
        {"transaction_id": "701", "amount": "100"},
        {"transaction_id": "702", "amount": "459"},
        {"transaction_id": "703", "amount": "459"},
        {"transaction_id": "704", "amount": "459"},
    )
    case.records.held["702"] = "38"
    case.zoho.put_payment("703", "of somebody")
    ours = case.zoho.put_payment("704", "TX-41")

    found = find(case, "41")

    assert (found.link, found.remote) == ("704", Remote("704", ours))
    # Other amounts, other kinds and what is another record's are not read.
    assert case.zoho.calls == ["list_transactions"] * 2 + ["get_payment"] * 2


def test_a_credit_that_is_not_there_is_made(case: Case) -> None:
    case.books.add_payment("41", invoice_id=None)
    case.zoho.list_on_page()

    assert find(case, "41") == Found()
    assert case.zoho.calls == ["list_transactions"]


def test_a_row_that_bears_our_reference_is_read_by_the_id_that_it_has(case: Case) -> None:
    case.books.add_payment("41", invoice_id=None)
    case.zoho.list_on_page(
        {"transaction_id": "9001", "reference_id": "704", "amount": "459"},
        {"transaction_id": "705", "reference_id": "TX-41", "amount": "1"},
    )
    for zoho_id in ("704", "705"):
        case.zoho.put_payment(zoho_id, "TX-41")

    found = find(case, "41")

    assert (found.candidates, found.code) == (("704", "705"), "several")


def test_a_listed_payment_that_cannot_be_read_proves_nothing(case: Case) -> None:
    case.books.add_payment("41", invoice_id=None)
    case.zoho.list_on_page({"transaction_id": "705", "reference_id": "", "amount": "459"})

    with pytest.raises(LookUpFailed):
        find(case, "41")


def test_a_list_that_goes_round_in_circles_proves_nothing(case: Case) -> None:
    case.books.add_payment("41", invoice_id=None)
    for _ in range(2):
        case.zoho.list_on_page({"transaction_id": "705", "amount": "1"}, has_more=True)

    with pytest.raises(LookUpFailed):
        find(case, "41")
    assert case.zoho.calls == ["list_transactions"] * 2


@pytest.mark.parametrize("parent", [CUSTOMER_3, INVOICE_12])
def test_nothing_is_sent_while_a_parent_is_not_in_zoho(case: Case, parent: RecordKey) -> None:
    case.records.put(parent.entity, parent.entity_id, state=State.PENDING)

    with pytest.raises(LookUpFailed) as failed:
        find(case)

    assert failed.value.sentence == f"{parent} is not in Zoho."
    assert case.zoho.calls == []


def test_an_invoice_that_is_gone_in_zoho_is_said_to_be_the_one(case: Case) -> None:
    case.zoho.invoices.clear()

    with pytest.raises(Rejected) as refused:
        find(case)

    assert refused.value.field == "invoice_id"
    assert refused.value.sentence == "Zoho does not know invoice 600, which it pays, any more."


# ------------------------------------------------------------------------- taken by Zoho itself


def test_what_zoho_took_itself_is_linked_and_never_made(case: Case) -> None:
    case.books.add_payment("40", provider="zoho_billing", payment_method="card")
    ours = case.zoho.put_payment("700", "TX-40", applied={"600": "459"})
    case.zoho.put_invoice("600", "0", ours)
    rules, source = case.rules(ways=PaymentWays()), read(case)

    assert source.link_only
    assert rules.foresee(source).why == "taken by Zoho itself: looked for by its reference"
    assert source.payload == {}
    assert rules.find(source).link == "700"
    assert rules.next_step(source, rules.get("700")) == Done()


def test_what_zoho_took_with_other_figures_is_for_a_person_and_never_changed(case: Case) -> None:
    case.books.add_payment("40", provider="zoho_billing")
    case.zoho.put_payment("700", "TX-40", "400", applied={"600": "400"})
    rules, source = case.rules(), read(case)

    step = rules.next_step(source, rules.get("700"))

    assert isinstance(step, Stuck)
    assert (step.state, step.code, step.field) == (State.MISMATCH, "differs_in_zoho", "amount")


# ---------------------------------------------------------------------------------------- proofs


def test_a_lost_post_is_found_on_the_invoice_that_it_paid(case: Case) -> None:
    rules, source = case.rules(), read(case)
    ours = case.zoho.put_payment("700", "TX-40")
    case.zoho.put_invoice("600", "0", case.zoho.put_payment("699", "TX-4"), ours)

    assert rules.look_up(intent(source)) == [Remote("700", ours)]
    assert case.zoho.calls == ["get_invoice", "get_payment"]


def test_a_proof_looks_where_the_post_went_whatever_our_books_say_today(case: Case) -> None:
    rules, source = case.rules(), read(case)
    case.zoho.put_invoice("600", "0", case.zoho.put_payment("700", "TX-40"))
    case.books.add_payment("40", invoice_id=None, transaction_id="another")

    assert [found.zoho_id for found in rules.look_up(intent(source))] == ["700"]


def test_a_payment_of_two_invoices_is_found_once(case: Case) -> None:
    case.add_invoice("13", zoho_id="601")
    case.books.share("40", "12", "200")
    case.books.share("40", "13", "200")
    rules, source = case.rules(), read(case)
    ours = case.zoho.put_payment("700", "TX-40")
    for zoho_id in ("600", "601"):
        case.zoho.put_invoice(zoho_id, "259", ours)

    assert rules.look_up(intent(source)) == [Remote("700", ours)]


def test_a_lost_post_that_did_not_happen_is_nowhere(case: Case) -> None:
    rules, source = case.rules(), read(case)

    assert rules.look_up(intent(source)) == []
    assert case.zoho.calls == ["get_invoice"]


def test_a_lost_credit_is_found_among_the_transactions(case: Case) -> None:
    case.books.add_payment("41", invoice_id=None)
    rules, source = case.rules(), read(case, "41")
    case.zoho.list_on_page({"transaction_id": "704", "amount": "459"})
    ours = case.zoho.put_payment("704", "TX-41")

    assert rules.look_up(intent(source)) == [Remote("704", ours)]


def test_of_an_invoice_that_is_gone_the_payment_is_looked_for_as_a_credit(case: Case) -> None:
    rules, source = case.rules(), read(case)
    case.zoho.invoices.clear()
    case.zoho.list_on_page({"transaction_id": "704", "amount": "459"})
    ours = case.zoho.put_payment("704", "TX-40")

    assert rules.look_up(intent(source)) == [Remote("704", ours)]


def test_what_a_person_took_out_between_two_looks_is_not_there(case: Case) -> None:
    rules, source = case.rules(), read(case)
    case.zoho.put_invoice("600", "0", case.zoho.put_payment("700", "TX-40"))
    case.zoho.payments.clear()

    assert rules.look_up(intent(source)) == []


# ---------------------------------------------------------------------------- compared and changed


@pytest.mark.parametrize(
    ("kept", "field"),
    [
        ({"amount": "400"}, "amount"),
        ({"applied": {"600": "400"}}, "applied"),
        ({"applied": {}}, "applied"),
        ({"customer_id": "301"}, "customer_id"),
    ],
)
def test_an_answer_with_other_figures_is_for_a_person(
    case: Case, kept: dict[str, Any], field: str
) -> None:
    rules, source = case.rules(), read(case)
    wanted: dict[str, Any] = {"reference": "TX-40", "applied": {"600": "459"}}
    other = Remote("700", case.zoho.put_payment("700", **(wanted | kept)))

    for after in ("create", "update"):
        step = rules.next_step(source, other, after=after)
        assert isinstance(step, Stuck)
        assert (step.state, step.field) == (State.MISMATCH, field)


def test_a_changed_payment_is_written_whole_after_a_look(case: Case) -> None:
    rules = case.rules()
    sent(rules, read(case))
    case.books.add_payment("40", amount=Decimal(500))
    source = read(case)

    step = rules.next_step(source, rules.get("777"))

    assert rules.looks_first()
    assert step == Do("update", source.payload)
    answered = rules.send(write(source, "update", "777"), PERMIT)
    assert answered is not None
    assert rules.next_step(source, answered, after="update") == Done()
    # A proof of the update sees by the payment alone that it was done.
    assert rules.next_step(source, rules.get("777")) == Done()
    assert case.zoho.counts == {"create_payment": 1, "get_payment": 2, "update_payment": 1}


@pytest.mark.parametrize(
    ("shown", "step"),
    [
        ({"date": "2025-01-10", "payment_mode": "Bank Transfer"}, None),
        ({"date": "2025-01-11"}, "update"),
        ({"payment_mode": "cash"}, "update"),
        ({}, None),
    ],
)
def test_day_and_mode_are_ours_where_zoho_shows_them(
    case: Case, shown: dict[str, str], step: str | None
) -> None:
    rules, source = case.rules(), read(case)
    there = Remote("700", case.zoho.put_payment("700", "TX-40", applied={"600": "459"}, **shown))

    next_step = rules.next_step(source, there)

    assert (next_step.step if isinstance(next_step, Do) else None) == step


def test_a_payment_in_zoho_whose_invoice_left_it_is_for_a_person(case: Case) -> None:
    rules = case.rules()
    remote = sent(rules, read(case))
    case.records.put(EntityType.INVOICE, "12", state=State.FAILED)

    step = rules.next_step(read(case), remote)

    assert isinstance(step, Stuck)
    assert (step.state, step.sentence) == (
        State.MISMATCH,
        "It is in Zoho, but invoice 12 is not.",
    )


# --------------------------------------------------------------------------------------- removals


def test_a_returned_payment_is_taken_out(case: Case) -> None:
    rules = case.rules()
    remote = sent(rules, read(case))
    case.books.add_payment("40", status="reversed")
    source = read(case)

    assert source.withdrawn == "reversed before it reached Zoho"
    assert rules.next_step(source, remote) == Do(DELETE)
    assert rules.send(write(source, DELETE, "777"), PERMIT) is None
    assert case.zoho.payments == {}


def test_a_lost_post_that_is_found_after_the_return_is_taken_out(case: Case) -> None:
    rules = case.rules()
    remote = sent(rules, read(case))
    case.books.add_payment("40", status="reversed")

    assert rules.next_step(read(case), remote, after="create") == Do(DELETE)


def test_one_that_somebody_took_out_first_is_out(case: Case) -> None:
    case.books.add_payment("40", status="reversed")

    assert case.rules().send(write(read(case), DELETE, "777"), PERMIT) is None
    assert case.zoho.calls == ["delete_payment"]


def test_a_return_frees_the_invoice_for_the_payment_after_it(case: Case) -> None:
    case.books.add_payment("41")
    assert applied(case, "41") == {}

    case.books.add_payment("40", status="reversed")

    assert applied(case, "41") == {"600": "459.00"}


# ------------------------------------------------------------------------------- facts, logs, plan


def test_facts_are_amounts_as_text(case: Case) -> None:
    remote = sent(case.rules(), read(case))

    assert case.rules().facts(remote, {}) == {"amount": "459.00", "applied": {"600": "459.00"}}


def test_nothing_personal_is_logged(case: Case) -> None:
    case.books.add_payment("40", transaction_id="Thandi Mokoena EFT")
    rules, source = case.rules(), read(case)
    remote = sent(rules, source)

    logged = [rules.masked(write(source, "create")), rules.masked_answer(remote)]

    assert logged == [
        {"amount": "459.00", "payment_mode": "banktransfer", "invoices": 1},
        {
            "payment_id": "777",
            "amount": "459.00",
            "payment_mode": "banktransfer",
            "status": "success",
            "invoices": 1,
        },
    ]
    assert "Thandi" not in json.dumps(logged)


def test_a_deletion_is_logged_without_figures(case: Case) -> None:
    case.books.add_payment("40", status="reversed")
    source = dataclasses.replace(read(case), figures={})

    assert case.rules().masked(write(source, DELETE, "777")) == {
        "amount": None,
        "payment_mode": None,
        "invoices": 0,
    }


def test_no_snapshot_shows_payments(case: Case) -> None:
    assert case.rules().shown("777") is None
