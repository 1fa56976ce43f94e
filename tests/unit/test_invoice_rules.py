"""Invoices for the engine: whose they are, how they are found, and the next step of each."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from billing_sync.domain.errors import INVOICE_NUMBER_TAKEN, Rejected
from billing_sync.domain.ownership import Ownership, RecurringInvoicesOwner
from billing_sync.domain.remote import RemoteInvoice
from billing_sync.domain.states import EntityType, State
from billing_sync.ports import Intent, Permit, RecordKey, Write
from billing_sync.services.invoices import InvoiceRules
from billing_sync.services.rules import DELETE, Do, Done, Found, Remote, Source, Step, Stuck
from tests.fakes.invoices import (
    CUSTOMER,
    DAY,
    HOUR,
    INVOICE,
    NOW,
    SUBSCRIPTION,
    Case,
    as_row,
)

PERMIT = Permit(1, NOW, 0.0)
BY_THE_APPLICATION = Ownership(recurring_invoices=RecurringInvoicesOwner.APPLICATION)
FROM_FEBRUARY = Ownership(invoices_from=date(2026, 2, 1))


@pytest.fixture
def case() -> Case:
    return Case()


def read(case: Case, invoice_id: str = "12", ownership: Ownership | None = None) -> Source:
    source = case.rules(ownership).read(invoice_id)
    assert source is not None
    return source


def write(source: Source, step: str, zoho_id: str | None = "600") -> Write:
    return Write(step, source.key, source.figures, source.fingerprint, source.payload, zoho_id)


# ---------------------------------------------------------------------------------- parents


def test_a_one_off_invoice_needs_its_customer_and_nothing_else(case: Case) -> None:
    case.add_invoice(service_id="8")

    assert case.rules().parents("12") == (CUSTOMER,)
    assert case.rules().parents("99") == ()


@pytest.mark.parametrize("status", ["active", "Suspended", "cancelled"])
def test_a_recurring_invoice_needs_the_subscription_that_decides_whose_it_is(
    case: Case, status: str
) -> None:
    case.add_service(status=status)
    case.add_recurring("20")

    assert case.rules().parents("20") == (CUSTOMER, SUBSCRIPTION)


@pytest.mark.parametrize(
    "change",
    [
        lambda case: case.add_service(status="pending"),
        lambda case: case.records.known.pop(SUBSCRIPTION) and case.add_service(status="cancelled"),
        lambda case: case.books.services.clear(),
        lambda case: case.add_recurring("20", service_id=None),
    ],
    ids=["pending", "cancelled, never sent", "not there", "of no service"],
)
def test_a_recurring_invoice_of_a_service_that_is_never_sent_needs_no_subscription(
    case: Case, change: Callable[[Case], Any]
) -> None:
    case.add_recurring("20")
    change(case)

    assert case.rules().parents("20") == (CUSTOMER,)


def test_where_the_application_owns_recurring_invoices_none_needs_a_subscription(
    case: Case,
) -> None:
    case.add_recurring("20")

    assert case.rules(BY_THE_APPLICATION).parents("20") == (CUSTOMER,)


@pytest.mark.parametrize(
    "columns",
    [
        {"status": "draft"},
        {"total_amount": Decimal(0)},
        {"total_amount": Decimal(-1)},
        {"invoice_date": date(2026, 1, 31)},
    ],
    ids=["draft", "zero", "refused", "before cut-over"],
)
def test_what_is_not_sent_whatever_its_parents_are_waits_for_none(
    case: Case, columns: dict[str, Any]
) -> None:
    case.add_invoice(**columns)

    assert case.rules(FROM_FEBRUARY).parents("12") == ()


def test_before_the_cut_over_a_recurring_one_may_still_be_zohos(case: Case) -> None:
    case.add_recurring("20", invoice_date=date(2026, 1, 31))

    assert case.rules(FROM_FEBRUARY).parents("20") == (CUSTOMER, SUBSCRIPTION)


# ---------------------------------------------------------------------------------- reading


def test_a_one_off_invoice_is_sent_under_its_number_to_its_customer_there(case: Case) -> None:
    source = read(case)

    assert source.key == "INV-2026-00012"
    assert source.payload["customer_id"] == "300"
    assert source.figures["total"] == "1150.00"
    assert (source.skip, source.refused, source.withdrawn, source.link_only) == (
        None,
        None,
        None,
        False,
    )


def test_a_recurring_invoice_is_history_before_the_subscription_and_zohos_from_its_start(
    case: Case,
) -> None:
    case.add_recurring("20", date(2026, 2, 1))
    case.add_recurring("21", date(2026, 3, 1))

    assert read(case, "20").key == "INV-2026-00020"
    assert (read(case, "21").link_only, read(case, "21").payload) == (True, {})


def test_days_that_a_former_subscription_billed_stay_zohos(case: Case) -> None:
    case.records.put(
        SUBSCRIPTION, "501", spans=[["2026-01-01", "2026-02-01"], ["2026-03-01", None]]
    )
    case.add_recurring("20", date(2026, 1, 1))
    case.add_recurring("21", date(2026, 2, 1))

    assert read(case, "20").link_only
    assert not read(case, "21").link_only


def test_a_plan_foresees_whose_it_will_be_before_the_subscription_is_there(case: Case) -> None:
    del case.records.known[SUBSCRIPTION]
    case.add_recurring("20", date(2026, 3, 1))
    case.add_recurring("21", date(2026, 4, 1))

    # Today is the second of March: the service's next billing day is the first of April.
    assert not read(case, "20").link_only
    assert read(case, "21").link_only


@pytest.mark.parametrize(
    "change",
    [
        lambda case: case.records.put(SUBSCRIPTION, state=State.SKIPPED),
        lambda case: (case.records.known.clear(), case.add_service(status="suspended")),
        lambda case: (case.records.known.clear(), case.add_service(billing_day=31)),
        lambda case: case.books.services.clear() or case.records.known.pop(SUBSCRIPTION),
    ],
    ids=["skipped", "suspended before it had one", "refused", "not there"],
)
def test_the_recurring_invoices_of_a_service_without_subscription_are_ours(
    case: Case, change: Callable[[Case], Any]
) -> None:
    case.add_recurring("20", date(2026, 4, 1))
    change(case)

    assert read(case, "20").key == "INV-2026-00020"


def test_where_the_application_owns_recurring_invoices_all_are_ours(case: Case) -> None:
    case.add_recurring("20")

    assert read(case, "20", BY_THE_APPLICATION).key == "INV-2026-00020"


def test_before_the_cut_over_history_is_skipped(case: Case) -> None:
    case.add_recurring("20", date(2026, 1, 1))

    assert read(case, "20", FROM_FEBRUARY).skip == "before cut-over"


@pytest.mark.parametrize("has_record", [True, False])
def test_invoices_of_a_customer_that_is_not_sent_are_skipped(case: Case, has_record: bool) -> None:
    if has_record:
        case.records.put(CUSTOMER, state=State.SKIPPED)
    else:
        del case.records.known[CUSTOMER]
        case.add_customer(account_type="internal_test")
    case.add_invoice(line_items="even one that is refused")

    assert read(case).skip == "its customer is not sent"


def test_in_a_plan_the_customer_need_not_be_there_yet(case: Case) -> None:
    del case.records.known[CUSTOMER]

    assert "customer_id" not in read(case).payload


def test_bad_input_is_refused_with_its_field_and_is_not_sent(case: Case) -> None:
    case.add_invoice(total_amount=Decimal("1150.01"))

    source = read(case)

    assert source.refused is not None
    assert source.refused.field == "total_amount"
    assert "1150.01" in source.refused.sentence
    assert "1150.00" in source.refused.sentence
    assert source.payload == {}
    assert case.zoho.calls == []


def test_a_number_that_two_of_ours_bear_is_refused(case: Case) -> None:
    case.add_invoice("13", invoice_number="INV-2026-00012")

    refused = read(case).refused

    assert refused is not None
    assert refused.code == "number_duplicate"


def test_one_that_is_void_here_before_it_was_sent_stays_here(case: Case) -> None:
    case.add_invoice(status="voided")

    assert read(case).withdrawn == "cancelled here before it was sent"


def test_one_that_zoho_raises_and_is_void_here_is_looked_for_until_it_is_linked(
    case: Case,
) -> None:
    case.add_recurring("20", status="cancelled")
    unlinked = read(case, "20")
    case.records.put(RecordKey(EntityType.INVOICE, "20"), "701")

    assert unlinked.withdrawn is None
    assert read(case, "20").withdrawn == "cancelled here"


def test_the_row_of_a_vanished_invoice_is_none(case: Case) -> None:
    assert case.rules().read("99") is None


# ------------------------------------------------------------------------- finding our number


def test_a_number_that_a_young_snapshot_does_not_show_costs_no_call(case: Case) -> None:
    case.snapshots.take(case.zoho)

    assert case.rules().find(read(case)) == Found()
    assert case.zoho.calls == []


def test_without_a_young_snapshot_the_post_itself_is_the_proof(case: Case) -> None:
    case.zoho.put("600")
    case.snapshots.take(case.zoho, age_seconds=2 * DAY)

    assert case.rules().find(read(case)) == Found()
    assert case.zoho.calls == []


def test_our_number_that_a_snapshot_shows_is_read_by_id_and_linked(case: Case) -> None:
    there = case.zoho.put("600")
    case.snapshots.take(case.zoho)

    found = case.rules().find(read(case))

    assert (found.link, found.remote) == ("600", Remote("600", there))
    assert case.zoho.calls == ["get"]


def test_our_number_is_ours_by_figures_that_were_sent_before_the_row_changed(case: Case) -> None:
    case.zoho.put("600", total=Decimal("999.00"))
    case.snapshots.take(case.zoho)
    source = read(case)
    case.records.sent[INVOICE] = [{**source.figures, "total": "999.00"}]

    assert case.rules().find(source).link == "600"


def test_our_number_on_another_invoice_is_told_with_both_values(case: Case) -> None:
    case.zoho.put("600", total=Decimal("999.00"))
    case.snapshots.take(case.zoho)

    found = case.rules().find(read(case))

    assert (found.link, found.candidates, found.code) == (None, ("600",), "taken")
    assert "invoice_number INV-2026-00012" in found.why
    assert "total: 1150.00 here, 999.00 in Zoho" in found.why
    assert not found.may_create_anyway


def test_our_number_that_another_record_holds_is_named(case: Case) -> None:
    case.zoho.put("600")
    case.snapshots.take(case.zoho)
    case.records.held["600"] = "13"

    found = case.rules().find(read(case))

    assert (found.candidates, found.code, found.why) == (
        ("600",),
        "linked_elsewhere",
        "linked to 13",
    )


def test_one_deleted_or_renumbered_since_the_snapshot_is_not_ours(case: Case) -> None:
    case.zoho.put("600")
    case.zoho.put("602")
    case.snapshots.take(case.zoho)
    del case.zoho.invoices["600"]
    case.zoho.put("602", number="INV-9")

    assert case.rules().find(read(case)) == Found()


# ------------------------------------------------------------------------- finding Zoho's own


def test_zohos_invoice_is_linked_from_the_list_once_its_price_was_seen_taxed_rightly(
    case: Case,
) -> None:
    case.add_recurring("20")
    case.add_recurring("21", date(2026, 4, 1))
    case.zoho.raise_invoice("701", "500")
    case.zoho.raise_invoice("702", "500", invoice_date="2026-04-01")
    rules = case.rules()

    first, second = (rules.find(read(case, each)) for each in ("20", "21"))

    assert (first.link, second.link) == ("701", "702")
    assert second.remote == Remote("702", as_row(case.zoho.invoices["702"]))
    assert case.zoho.calls == ["list", "get"]


def test_each_price_is_proved_and_one_that_is_taxed_otherwise_never_passes(case: Case) -> None:
    rules = case.rules()
    for each, first in (("20", date(2026, 3, 1)), ("21", date(2026, 4, 1))):
        case.add_recurring(each, first)
        case.zoho.raise_invoice(
            f"7{each}", "500", invoice_date=str(first), tax_total=Decimal("59.86")
        )

    for each in ("20", "21"):
        source = read(case, each)
        remote = rules.find(source).remote
        assert remote is not None
        step = rules.next_step(source, remote)
        assert isinstance(step, Stuck)
        assert step.state is State.MISMATCH
        assert "tax_total: 59.87 here, 59.86 in Zoho" in step.sentence
    assert case.zoho.calls == ["list", "get", "get"]


def test_all_waiting_ones_share_one_list_walk_an_hour(case: Case) -> None:
    rules = case.rules()
    for each in ("20", "21", "22"):
        case.add_recurring(each)
        assert rules.find(read(case, each)).waiting_for == "Zoho's invoice"
    assert case.zoho.calls == ["list"]

    case.snapshots.renewed_seconds = HOUR + 1
    rules.find(read(case, "20"))
    rules.find(read(case, "21"))

    assert case.zoho.calls == ["list", "list_newest"]


def test_one_that_zoho_has_not_raised_is_waited_for_until_three_days_into_its_period(
    case: Case,
) -> None:
    case.add_recurring("20")
    case.zoho.raise_invoice("701", "500", total=Decimal("529.00"))

    early = case.rules().find(read(case, "20"))
    case.calendar.day = date(2026, 3, 4)
    late = case.rules().find(read(case, "20"))

    # Midnight in Johannesburg.
    assert early.due_at == datetime(2026, 3, 3, 22, tzinfo=UTC)
    assert (early.is_past_due, late.is_past_due) == (False, True)
    assert "total 459.00 here, 529.00 in Zoho" in late.why


def test_of_two_that_fit_the_subscriptions_own_list_decides_once_for_both(case: Case) -> None:
    case.add_recurring("20")
    case.add_recurring("21", service_id="9")
    case.add_service("9")
    case.records.put(RecordKey(EntityType.SUBSCRIPTION, "9"), "501", spans=[["2026-03-01", None]])
    case.zoho.raise_invoice("701", "501")
    case.zoho.raise_invoice("702", "500")
    rules = case.rules()

    assert rules.find(read(case, "20")).link == "702"
    case.records.held["702"] = "20"
    assert rules.find(read(case, "21")).link == "701"
    assert case.zoho.calls == ["list", "list_of_one", "get"]


def test_a_former_subscriptions_invoice_is_its_services_too(case: Case) -> None:
    case.records.put(SUBSCRIPTION, "501", spans=[["2026-03-01", None]], former=["500"])
    case.add_recurring("20")
    case.zoho.raise_invoice("701", "500")
    case.zoho.raise_invoice("702", "999")

    assert case.rules().find(read(case, "20")).link == "701"


@pytest.mark.parametrize("customer", ["300", "301"])
def test_a_filter_that_zoho_ignores_decides_nothing(case: Case, customer: str) -> None:
    case.add_recurring("20")
    case.zoho.raise_invoice("701", "500")
    case.zoho.raise_invoice("702", "999")
    case.zoho.raise_invoice("703", "999", customer_id=customer, total=Decimal(1))
    case.zoho.ignores_filters = True

    found = case.rules().find(read(case, "20"))

    assert (found.candidates, found.code) == (("701", "702"), "several")


def test_two_of_one_subscription_are_for_a_person_to_judge(case: Case) -> None:
    case.add_recurring("20")
    case.zoho.raise_invoice("701", "500")
    case.zoho.raise_invoice("702", "500")

    found = case.rules().find(read(case, "20"))

    assert (found.candidates, found.code) == (("701", "702"), "several")


def test_what_other_services_were_billed_is_not_taken_for_this_ones(case: Case) -> None:
    case.add_recurring("20")
    case.zoho.raise_invoice("701", "900")
    case.zoho.raise_invoice("702", "901")

    assert case.rules().find(read(case, "20")).waiting_for is not None
    assert case.zoho.calls == ["list", "list_of_one"]


def test_an_invoice_that_we_pushed_is_not_taken_for_zohos(case: Case) -> None:
    case.add_recurring("20")
    case.zoho.raise_invoice("701", "", number="INV-2026-00012")

    assert case.rules().find(read(case, "20")).waiting_for is not None


def test_one_that_is_gone_since_the_list_was_read_is_waited_for(case: Case) -> None:
    case.add_recurring("20")
    case.zoho.raise_invoice("701", "500")
    case.snapshots.take(case.zoho)
    case.zoho.invoices.clear()

    assert case.rules().find(read(case, "20")).waiting_for is not None


def test_one_that_is_void_here_is_found_to_be_voided_and_skipped_if_zoho_never_raised_it(
    case: Case,
) -> None:
    case.add_recurring("20", status="cancelled")
    source = read(case, "20")

    early = case.rules().find(source)
    case.calendar.day = date(2026, 3, 4)
    late = case.rules().find(source)
    there = case.zoho.raise_invoice("701", "500")
    case.snapshots.take(case.zoho)
    raised = case.rules().find(source)

    assert (early.waiting_for, early.is_past_due) == ("Zoho's invoice", False)
    assert late.skip == "cancelled here, and Zoho has not raised it"
    assert raised.link == "701"
    assert case.rules().next_step(source, Remote("701", there)) == Do("void")


# ---------------------------------------------------------------------------------- a plan


def test_a_plan_foresees_links_and_makes_no_call(case: Case) -> None:
    case.add_recurring("20")
    case.add_recurring("21", service_id="9", invoice_date=date(2026, 2, 1))
    case.zoho.put("600")
    case.zoho.raise_invoice("701", "500")
    case.snapshots.take(case.zoho, age_seconds=2 * DAY)
    rules = case.rules()

    assert rules.foresee(read(case, "12")).link == "600"
    assert rules.foresee(read(case, "20")).link == "701"
    assert rules.foresee(read(case, "21")) == Found()
    assert case.zoho.calls == []


def test_a_plan_leaves_two_that_fit_to_be_told_apart_later(case: Case) -> None:
    case.add_recurring("20")
    case.zoho.raise_invoice("701", "500")
    case.zoho.raise_invoice("702", "501")
    case.snapshots.take(case.zoho)

    found = case.rules().foresee(read(case, "20"))

    assert (found.link, found.why) == ("701", "2 of this customer, date and total")
    assert case.zoho.calls == []


@pytest.mark.parametrize("has_snapshot", [True, False])
def test_a_plan_foresees_what_will_be_waited_for(case: Case, has_snapshot: bool) -> None:
    del case.records.known[CUSTOMER]
    case.add_recurring("20")
    if has_snapshot:
        case.snapshots.take(case.zoho)

    assert case.rules().foresee(read(case, "20")).waiting_for == "Zoho's invoice"
    assert case.rules().foresee(read(case, "12")) == Found()


def test_what_the_newest_snapshot_shows_is_a_row(case: Case) -> None:
    assert case.rules().shown("600") is None
    case.zoho.put("600")
    case.snapshots.take(case.zoho)

    shown = case.rules().shown("600")

    assert shown is not None
    assert shown.body.tax_total is None
    assert case.rules().fields_differ(read(case), shown) == []
    assert case.rules().shown("601") is None


# ------------------------------------------------------------------------------ the next step


def step_for(case: Case, invoice_id: str = "12", after: str | None = None, **fields: Any) -> Step:
    there = case.zoho.put("600", **fields)
    return case.rules().next_step(read(case, invoice_id), Remote("600", there), after=after)


def test_a_draft_that_is_equal_is_opened(case: Case) -> None:
    for after in ("create", "update", None):
        step = step_for(case, after=after, status="draft")
        assert isinstance(step, Do)
        assert step.step == "open"


def test_a_draft_that_zoho_adds_up_otherwise_is_deleted_with_both_figures(case: Case) -> None:
    for after in ("create", "update"):
        step = step_for(
            case, after=after, status="draft", tax_total=Decimal("149.99"), total=Decimal("1150.01")
        )
        assert isinstance(step, Do)
        assert step.step == DELETE
        assert step.ending is not None
        assert (step.ending.state, step.ending.code) == (State.FAILED, "totals_differ")
        assert "tax_total: 150.00 here, 149.99 in Zoho" in step.ending.sentence
        assert "total: 1150.00 here, 1150.01 in Zoho" in step.ending.sentence


def test_a_draft_of_before_the_row_changed_is_written_over_first(case: Case) -> None:
    for changed in (
        {"total": Decimal("999.00")},
        {"due_date": "2026-02-16"},
        {"invoice_items": [{"name": "Modem", "price": 1150, "quantity": 1, "tax_id": "77"}]},
    ):
        step = step_for(case, status="draft", **changed)
        assert isinstance(step, Do)
        assert step.step == "update"
        assert step.payload == read(case).payload


def test_an_opened_or_voided_one_is_done(case: Case) -> None:
    assert step_for(case, after="open", status="draft") == Done()
    case.add_invoice(status="voided")
    assert step_for(case, after="void") == Done()


def test_an_open_one_that_is_equal_needs_nothing(case: Case) -> None:
    line = {"name": "Router", "price": 1150, "quantity": 1, "tax_id": "77"}

    assert step_for(case, invoice_items=[line]) == Done()
    assert step_for(case, after="create", invoice_items=[line]) == Done()


@pytest.mark.parametrize(
    "fields",
    [
        {"total": Decimal("999.00"), "balance": Decimal("999.00")},
        {"due_date": "2026-02-16"},
        {"invoice_items": []},
        {"invoice_items": [{"name": "Router", "price": 1, "quantity": 1150, "tax_id": "77"}]},
    ],
    ids=["total", "due date", "nothing but what is shown", "line"],
)
def test_an_open_and_unpaid_one_follows_its_row(case: Case, fields: dict[str, Any]) -> None:
    step = step_for(case, status="overdue", **fields)

    if fields == {"invoice_items": []}:
        assert step == Done()
    else:
        assert step == Do("update", read(case).payload, read(case).figures)


def test_an_update_that_zoho_makes_something_else_of_is_not_repeated(case: Case) -> None:
    step = step_for(case, after="update", total=Decimal("999.00"))

    assert isinstance(step, Stuck)
    assert (step.state, step.code) == (State.MISMATCH, "differs_in_zoho")
    assert "total: 1150.00 here, 999.00 in Zoho" in step.sentence


@pytest.mark.parametrize(
    "money",
    [
        {"status": "paid", "balance": 0},
        {"status": "partially_paid", "payment_made": 10},
        {"credits_applied": 10},
    ],
)
def test_one_with_money_on_it_is_never_altered(case: Case, money: dict[str, Any]) -> None:
    step = step_for(case, **{"sub_total": 900, "total": 1050} | money)

    assert isinstance(step, Stuck)
    assert (step.state, step.code, step.field) == (
        State.MISMATCH,
        "cannot_be_changed",
        "sub_total",
    )
    assert "total: 1150.00 here, 1050 in Zoho" in step.sentence


def test_a_paid_one_that_differs_in_no_figure_is_left_as_it_is(case: Case) -> None:
    assert step_for(case, status="paid", balance=0, due_date="2026-02-16") == Done()


def test_one_that_is_void_in_zoho_and_valid_here_is_for_a_person(case: Case) -> None:
    step = step_for(case, status="void")

    assert isinstance(step, Stuck)
    assert (step.state, step.code) == (State.MISMATCH, "void_in_zoho")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"status": "draft"}, Do(DELETE)),
        ({"status": "sent"}, Do("void")),
        ({"status": "overdue"}, Do("void")),
        ({"status": "void"}, Done()),
    ],
)
def test_one_that_is_void_here_is_brought_to_an_end(
    case: Case, fields: dict[str, Any], expected: Step
) -> None:
    case.add_invoice(status="cancelled")

    assert step_for(case, **fields) == expected


def test_a_paid_one_that_is_void_here_is_a_mismatch_with_what_to_do(case: Case) -> None:
    case.add_invoice(status="cancelled")

    step = step_for(case, status="paid", balance=0)

    assert isinstance(step, Stuck)
    assert (step.state, step.code) == (State.MISMATCH, "cannot_be_voided")
    assert "refund" in step.sentence


def test_zohos_own_is_compared_by_total_and_by_tax_where_it_is_shown(case: Case) -> None:
    case.add_recurring("20")
    source, rules = read(case, "20"), case.rules()
    there = case.zoho.raise_invoice("701", "500")
    paid = case.zoho.raise_invoice("702", "500", status="paid", balance=0)
    wrong = case.zoho.raise_invoice("703", "500", total=Decimal("529.00"))

    assert rules.next_step(source, Remote("701", as_row(there))) == Done()
    assert rules.next_step(source, Remote("701", there)) == Done()
    assert rules.next_step(source, Remote("702", paid)) == Done()
    step = rules.next_step(source, Remote("703", as_row(wrong)))
    assert isinstance(step, Stuck)
    assert (step.state, step.field) == (State.MISMATCH, "total")


def test_what_a_subscription_raised_is_never_written_whoever_owns_recurring_ones_now(
    case: Case,
) -> None:
    case.add_recurring("20", invoice_date=date(2026, 3, 2))
    source, rules = read(case, "20", BY_THE_APPLICATION), case.rules(BY_THE_APPLICATION)
    there = case.zoho.raise_invoice("701", "500")
    other = case.zoho.raise_invoice("702", "500", total=Decimal("529.00"))

    assert rules.next_step(source, Remote("701", there)) == Done()
    assert isinstance(rules.next_step(source, Remote("702", other)), Stuck)


def test_what_may_be_done_depends_on_how_it_stands_there(case: Case) -> None:
    assert case.rules().looks_first()
    assert not case.rules().repairs_by_update()


# ----------------------------------------------------------------------------------- calls


@pytest.mark.parametrize("step", ["open", "void", "delete"])
def test_each_step_is_one_call_that_answers_nothing_more(case: Case, step: str) -> None:
    case.zoho.put("600", status="draft")
    rules = case.rules()

    assert rules.send(write(read(case), step), PERMIT) is None
    assert case.zoho.calls == [step]


def test_creating_and_updating_answer_with_the_invoice(case: Case) -> None:
    rules, source = case.rules(), read(case)
    made = rules.send(write(source, "create", None), PERMIT)
    assert made is not None

    changed = rules.send(write(source, "update", made.zoho_id), PERMIT)

    assert changed == made
    assert case.zoho.sent == [source.payload, source.payload]
    assert rules.get(made.zoho_id) == made
    rules.make_ready()
    assert case.zoho.calls == ["create", "update", "get", "make_ready"]


def test_one_that_a_person_opened_before_us_is_open(case: Case) -> None:
    there = case.zoho.put("600", status="sent")
    case.zoho.refuses["open"] = Rejected("not a draft", zoho_code=1)

    assert case.rules().send(write(read(case), "open"), PERMIT) == Remote("600", there)


def test_a_draft_that_zoho_will_not_open_is_refused(case: Case) -> None:
    case.zoho.put("600", status="draft")
    case.zoho.refuses["open"] = Rejected("no", zoho_code=1)

    with pytest.raises(Rejected):
        case.rules().send(write(read(case), "open"), PERMIT)


# ----------------------------------------------------------------------------------- proofs


def intent_of(source: Source) -> Intent:
    return Intent(1, "create", "create", source.key, source.figures, "", None, NOW)


def looked_up(case: Case, rules: InvoiceRules | None = None) -> list[RemoteInvoice]:
    found = (rules or case.rules()).look_up(intent_of(read(case)))
    return [each.body for each in found if each.is_ours]


def test_the_server_keeps_the_number_and_may_say_so_by_any_unknown_code(case: Case) -> None:
    rules = case.rules()

    assert rules.server_enforces_key()
    assert rules.is_taken(INVOICE_NUMBER_TAKEN)
    assert rules.is_taken(36004)
    assert not rules.is_taken(2)
    assert not rules.is_taken(None)


def test_what_a_write_made_is_found_in_the_snapshot_or_among_the_newest(case: Case) -> None:
    there = case.zoho.put("600", status="draft")
    case.snapshots.take(case.zoho)
    assert looked_up(case) == [there]

    case.snapshots.rows.clear()
    assert looked_up(case) == [there]

    assert case.zoho.calls == ["get", "list_newest", "get"]


def test_without_a_young_snapshot_the_whole_list_is_read_before_nobody_holds_it(
    case: Case,
) -> None:
    case.zoho.put("600", created_time=(NOW - timedelta(days=30)).isoformat())

    assert [each.zoho_id for each in looked_up(case)] == ["600"]
    assert case.zoho.calls == ["list_newest", "list", "get"]


def test_nobody_holds_it_where_neither_snapshot_nor_newest_shows_it(case: Case) -> None:
    case.zoho.put("600", number="INV-9")
    case.snapshots.take(case.zoho)

    assert looked_up(case) == []
    assert case.zoho.calls == ["list_newest"]


def test_a_number_of_other_figures_is_not_ours_unless_they_were_sent_once(case: Case) -> None:
    case.zoho.put("600", total=Decimal("999.00"))
    case.snapshots.take(case.zoho)
    assert looked_up(case) == []

    case.records.sent[INVOICE] = [{**read(case).figures, "total": "999.00"}]

    assert [each.zoho_id for each in looked_up(case)] == ["600"]


def test_what_was_asked_for_by_another_version_is_proved_by_its_own_figures(case: Case) -> None:
    case.zoho.put("600", total=Decimal("999.00"))
    source = read(case)
    asked = replace(intent_of(source), figures={"total": "999.00", "customer_id": "300"})

    assert [each.zoho_id for each in case.rules().look_up(asked)] == ["600"]


# ------------------------------------------------------------------------------ facts, logs


def test_facts_are_figures_as_text_and_keep_a_tax_that_lists_leave_out(case: Case) -> None:
    there = case.zoho.put("600")
    rules = case.rules()
    whole = rules.facts(Remote("600", there), {})

    assert whole == {
        "number": "INV-2026-00012",
        "date": "2026-02-10",
        "total": "1150.00",
        "tax": "150.00",
        "balance": "1150.00",
    }
    assert rules.facts(Remote("600", as_row(there)), whole) == whole
    assert "tax" not in rules.facts(Remote("600", as_row(there)), {})
    assert "tax" not in rules.facts(Remote("600", as_row(there)), {**whole, "total": "1.00"})


def test_logs_hold_numbers_dates_and_sums_and_nothing_personal(case: Case) -> None:
    case.add_invoice(line_items=[{"name": "For Thandi Nkosi", "unit_price": Decimal(1150)}])
    source = read(case)
    there = case.zoho.put("600", invoice_items=[{"name": "For Thandi Nkosi"}])

    assert case.rules().masked(write(source, "create", None)) == {
        "invoice_number": "INV-2026-00012",
        "date": "2026-02-10",
        "due_date": "2026-02-17",
        "sub_total": "1000.00",
        "tax_total": "150.00",
        "total": "1150.00",
        "lines": 1,
    }
    opened = replace(write(source, "open"), payload={})
    assert "lines" not in case.rules().masked(opened)
    answer = case.rules().masked_answer(Remote("600", there))
    assert answer["total"] == "1150.00"
    assert "Thandi" not in str(answer)
