"""The subscriptions' rules: one for each service, at its own price, from the right day on."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from billing_sync.domain.ownership import Ownership, RecurringInvoicesOwner
from billing_sync.domain.remote import RemoteInvoice, RemoteSubscription
from billing_sync.domain.states import EntityType, State
from billing_sync.domain.subscriptions import LateChange
from billing_sync.domain.tax import Prices
from billing_sync.ports import RecordKey
from billing_sync.services.rules import Anew, Do, Done, Found, Remote, Source, Stuck, Wait
from billing_sync.services.subscriptions import late_change_of
from tests.fakes.billing import JOHANNESBURG, NOW, PERMIT, Billing, create, lost

CUSTOMER = RecordKey(EntityType.CUSTOMER, "3")
PLAN = RecordKey(EntityType.PLAN, "9")
CANCELLED_AT = datetime(2025, 1, 20, 10, tzinfo=UTC)


def subscription(**fields: Any) -> RemoteSubscription:
    row = {
        "subscription_id": "900",
        "customer_id": "300",
        "reference_id": "7",
        "status": "live",
        "plan_code": "SKY-START-10",
        "price": Decimal(459),
        "amount": Decimal(459),
        "activated_at": "2024-07-01",
        "current_term_starts_at": "2025-01-01",
        "current_term_ends_at": "2025-02-01",
        "next_billing_at": "2025-02-01",
    }
    return RemoteSubscription.model_validate(row | fields)


def remote(**fields: Any) -> Remote:
    found = subscription(**fields)
    return Remote(found.zoho_id, found)


def made(**fields: Any) -> Remote:
    """Give what Zoho answers to a create of today: it is billed from next month on."""
    future = {
        "status": "future",
        "activated_at": "",
        "current_term_starts_at": "",
        "current_term_ends_at": "",
    }
    return remote(**future | fields)


@pytest.fixture
def billing() -> Billing:
    return Billing()


def linked(billing: Billing) -> Billing:
    """Let the service's record hold a subscription."""
    billing.records.put(EntityType.SUBSCRIPTION, "7", "900")
    return billing


# ------------------------------------------------------------------------------- what is sent


def test_a_service_becomes_an_offline_subscription_at_its_own_price(billing: Billing) -> None:
    source = billing.service(monthly_price=Decimal("259.00"))

    assert source.key == "7"
    assert source.payload == {
        "customer_id": "300",
        "plan": {
            "plan_code": "SKY-START-10",
            "price": Decimal("259.00"),
            "exclude_setup_fee": True,
        },
        "reference_id": "7",
        "auto_collect": False,
        "starts_at": "2025-02-01",
    }


def test_a_create_is_one_call(billing: Billing) -> None:
    source = billing.service()
    billing.zoho.answers = [made().body]

    answered = billing.subscriptions.send(create(source), PERMIT)

    assert billing.subscriptions.next_step(source, answered, after="create") == Done()
    assert billing.zoho.calls == {"create_subscription": 1}


def test_the_start_is_computed_on_the_day_of_sending(billing: Billing) -> None:
    first = billing.service()
    billing.calendar.day = date(2025, 2, 2)
    later = billing.service()

    assert first.payload["starts_at"] == "2025-02-01"
    assert later.payload["starts_at"] == "2025-03-01"
    assert first.fingerprint == later.fingerprint


def test_a_local_pro_rata_stays_ours_and_billing_begins_after_it(billing: Billing) -> None:
    billing.books.put_invoice(
        invoice_type="pro_rata", period_start=date(2025, 1, 20), period_end=date(2025, 1, 31)
    )

    source = billing.service(activation_date=date(2025, 1, 20))

    assert source.payload["starts_at"] == "2025-02-01"


def test_a_service_without_a_past_starts_on_its_activation(billing: Billing) -> None:
    source = billing.service(activation_date=date(2025, 1, 25))

    assert source.payload["starts_at"] == "2025-01-25"


def test_a_price_with_tax_is_sent_net_where_prices_are_without() -> None:
    billing = Billing(prices=Prices.EXCLUSIVE)

    assert billing.service().figures["price"] == "399.13"


def test_a_price_that_cannot_be_expressed_is_refused_with_both_figures() -> None:
    source = Billing(prices=Prices.EXCLUSIVE).service(monthly_price=Decimal(379))

    assert source.refused is not None
    assert source.refused.field == "monthly_price"
    assert "379.00" in source.refused.sentence
    assert "379.01" in source.refused.sentence


@pytest.mark.parametrize(
    ("columns", "field"),
    [
        ({"package_id": None}, "package_id"),
        ({"package_id": "10"}, "package_id"),
        ({"monthly_price": None}, "monthly_price"),
        ({"monthly_price": Decimal(0)}, "monthly_price"),
        ({"status": "dormant"}, "status"),
        ({"activation_date": None}, "activation_date"),
        ({"billing_day": 31}, "billing_day"),
    ],
)
def test_a_service_without_package_or_price_is_refused_by_its_column(
    billing: Billing, columns: dict[str, Any], field: str
) -> None:
    source = billing.service(**columns)

    assert source.refused is not None
    assert source.refused.field == field
    assert field in source.refused.sentence
    assert source.payload == {}


def test_a_plan_under_another_code_is_named_before_zoho_refuses_it(billing: Billing) -> None:
    billing.books.put_package(sku="SKY-20")

    source = billing.service()

    assert source.refused is not None
    assert "SKY-20" in source.refused.sentence
    assert "SKY-START-10" in source.refused.sentence


def test_a_service_that_is_not_there_is_nothing(billing: Billing) -> None:
    assert billing.subscriptions.read("8") is None
    assert billing.subscriptions.parents("8") == ()


# ----------------------------------------------------------------------------------- parents


def test_a_subscription_brings_its_customer_and_its_plan(billing: Billing) -> None:
    assert billing.subscriptions.parents("7") == (CUSTOMER, PLAN)


@pytest.mark.parametrize("status", ["pending", "cancelled"])
def test_what_is_not_begun_brings_nobody(billing: Billing, status: str) -> None:
    billing.service(status=status)

    assert billing.subscriptions.parents("7") == ()


def test_where_the_application_bills_nothing_is_begun_nor_brought() -> None:
    billing = Billing(ownership=Ownership(RecurringInvoicesOwner.APPLICATION))

    assert billing.service(activation_date=None).skip is not None
    assert billing.subscriptions.parents("7") == ()


def test_a_service_without_a_usable_package_brings_no_plan(billing: Billing) -> None:
    billing.books.put_package(sku=" ")

    assert billing.subscriptions.parents("7") == (CUSTOMER,)


def test_a_service_of_a_customer_that_is_not_sent_is_skipped(billing: Billing) -> None:
    billing.records.put(EntityType.CUSTOMER, "3", state=State.SKIPPED)

    assert billing.service().skip == "its customer is not sent"
    assert billing.subscriptions.parents("7") == (CUSTOMER,)


def test_a_plan_of_a_run_sees_that_a_test_account_is_not_sent(billing: Billing) -> None:
    del billing.records.known[CUSTOMER]
    billing.books.put_customer(account_type="internal_test")

    assert billing.service().skip == "its customer is not sent"


def test_before_its_customer_is_there_a_service_is_read_all_the_same(billing: Billing) -> None:
    del billing.records.known[CUSTOMER]

    source = billing.service()

    assert source.refused is None
    assert "customer_id" not in source.payload


# ------------------------------------------------------------- pending, suspended, cancelled


def test_a_service_that_is_not_active_yet_is_skipped(billing: Billing) -> None:
    assert billing.service(status="pending", activation_date=None).skip == "not active yet"


def test_a_suspended_service_keeps_its_subscription(billing: Billing) -> None:
    source = linked(billing).service(status="suspended")

    assert source.withdrawn is None
    assert billing.subscriptions.next_step(source, remote()) == Done()


def test_a_suspended_service_that_never_had_one_gets_none(billing: Billing) -> None:
    assert billing.service(status="suspended").withdrawn == (
        "suspended before it had a subscription"
    )


def test_a_cancelled_service_that_never_had_one_gets_none(billing: Billing) -> None:
    source = billing.service(status="cancelled", activation_date=None)

    assert source.withdrawn == "cancelled before it had a subscription"


def test_a_cancelled_service_ends_with_the_term_that_contains_the_date(billing: Billing) -> None:
    source = linked(billing).service(status="cancelled", cancelled_at=CANCELLED_AT)
    rules = billing.subscriptions

    step = rules.next_step(source, remote())
    billing.zoho.answers = [subscription(status="non_renewing")]
    answered = billing.do(source, step, "900")

    assert billing.zoho.sent["cancel_subscription"] == {"cancel_at_end": True}
    assert rules.next_step(source, answered, after="cancel_at_end") == Done()


def test_whether_a_cancellation_was_done_is_seen_by_id_alone(billing: Billing) -> None:
    source = linked(billing).service(status="cancelled", cancelled_at=CANCELLED_AT)

    assert billing.subscriptions.next_step(source, remote(status="non_renewing")) == Done()
    assert isinstance(billing.subscriptions.next_step(source, remote()), Do)


def test_a_cancellation_of_a_term_to_come_waits_until_that_begins(billing: Billing) -> None:
    source = linked(billing).service(
        status="cancelled", cancelled_at=datetime(2025, 3, 5, tzinfo=UTC)
    )

    step = billing.subscriptions.next_step(source, remote())

    assert isinstance(step, Wait)
    assert step.again_at == datetime(2025, 2, 1, tzinfo=JOHANNESBURG)


def test_a_cancellation_before_the_first_term_ends_it_at_once(billing: Billing) -> None:
    source = linked(billing).service(status="cancelled", cancelled_at=CANCELLED_AT)

    step = billing.subscriptions.next_step(source, made())
    billing.zoho.answers = [subscription(status="cancelled")]
    billing.do(source, step, "900")

    assert billing.zoho.sent["cancel_subscription"] == {"cancel_at_end": False}


def test_a_cancellation_that_was_answered_and_not_done_is_a_mismatch(billing: Billing) -> None:
    source = linked(billing).service(status="cancelled", cancelled_at=CANCELLED_AT)

    step = billing.subscriptions.next_step(source, remote(), after="cancel_at_end")

    assert isinstance(step, Stuck)
    assert step.state is State.MISMATCH


# ---------------------------------------------------------------------------------- changes


@pytest.mark.parametrize("before", [remote(price=Decimal(529)), remote(plan_code="SKY-ESS-25")])
def test_a_price_or_package_change_is_written_at_the_end_of_the_term(
    billing: Billing, before: Remote
) -> None:
    source = linked(billing).service()
    rules = billing.subscriptions

    step = rules.next_step(source, before)
    billing.zoho.answers = [before.body.model_copy(update={"end_of_term": True})]
    answered = billing.do(source, step, "900")

    assert rules.looks_first()
    assert billing.zoho.sent["update_subscription"] == {
        "plan": {
            "plan_code": "SKY-START-10",
            "price": Decimal("459.00"),
            "exclude_setup_fee": True,
        },
        "end_of_term": True,
    }
    assert rules.next_step(source, answered, after="update_at_end") == Done()


def test_an_answered_change_that_the_answer_does_not_show_is_a_mismatch(billing: Billing) -> None:
    source = linked(billing).service()
    ignored = remote(price=Decimal(529))

    step = billing.subscriptions.next_step(source, ignored, after="update_at_end")

    assert isinstance(step, Stuck)
    assert (step.state, step.field) == (State.MISMATCH, "price")


def test_whether_a_change_waits_there_is_seen_by_id_alone(billing: Billing) -> None:
    source = linked(billing).service()
    waiting = {"price": Decimal(529), "end_of_term": True, "scheduled_plan_code": "SKY-START-10"}
    rules = billing.subscriptions

    ours = rules.next_step(source, remote(**waiting, scheduled_price=Decimal("459.00")))
    another = rules.next_step(source, remote(**waiting, scheduled_price=Decimal(499)))

    assert ours == Done()
    assert isinstance(another, Do)
    assert rules.fields_differ(source, remote(**waiting, scheduled_price=Decimal(459))) == []


def test_a_change_that_was_taken_back_replaces_the_one_that_waits(billing: Billing) -> None:
    source = linked(billing).service()
    waiting = remote(end_of_term=True, scheduled_plan_code="SKY-START-10", scheduled_price="499")

    step = billing.subscriptions.next_step(source, waiting)

    assert isinstance(step, Do)
    assert step.payload["plan"]["price"] == Decimal("459.00")


def test_before_the_first_term_a_change_is_written_at_once(billing: Billing) -> None:
    source = linked(billing).service()

    step = billing.subscriptions.next_step(source, made(price=Decimal(529)))
    billing.zoho.answers = [made().body]
    answered = billing.do(source, step, "900")

    assert billing.zoho.sent["update_subscription"]["end_of_term"] is False
    assert billing.subscriptions.next_step(source, answered, after="update_now") == Done()


def test_one_that_a_person_linked_bears_our_reference_from_then_on(billing: Billing) -> None:
    source = linked(billing).service()

    step = billing.subscriptions.next_step(source, remote(reference_id=""))

    assert isinstance(step, Do)
    assert step.payload["reference_id"] == "7"


def test_late_price_changes_are_counted_in_rand_from_rows_of_the_list(billing: Billing) -> None:
    billing.rows.taken = [subscription(price=None, amount=Decimal(529))]
    source = linked(billing).service()

    shown = billing.subscriptions.shown("900")

    assert shown is not None
    late = late_change_of(source, shown, sent_on=date(2025, 2, 1))
    assert late == LateChange(date(2025, 2, 1), Decimal(529), Decimal("459.00"))
    assert late.amount == Decimal("70.00")
    assert late_change_of(source, shown, sent_on=date(2025, 1, 31)) is None
    assert billing.zoho.calls == {}


def test_where_prices_are_without_tax_a_row_s_price_is_told_from_its_amount() -> None:
    billing = Billing(prices=Prices.EXCLUSIVE)
    billing.rows.taken = [subscription(price=None, amount=Decimal(459))]

    shown = billing.subscriptions.shown("900")

    assert shown is not None
    assert shown.body.price == Decimal("399.13")
    assert late_change_of(billing.service(), shown, sent_on=date(2025, 2, 1)) is None


def test_nothing_is_shown_that_no_snapshot_holds(billing: Billing) -> None:
    assert billing.subscriptions.shown("900") is None
    billing.rows.taken = None
    assert billing.subscriptions.shown("900") is None


def test_the_end_of_a_service_is_no_late_change(billing: Billing) -> None:
    source = billing.service(status="cancelled")

    assert late_change_of(source, remote(), sent_on=date(2025, 2, 1)) is None


# ----------------------------------------------------------------------- ended, and returned


def test_a_cancelled_one_is_never_reactivated_but_begun_anew_from_the_next_billing_day(
    billing: Billing,
) -> None:
    source = linked(billing).service()
    ended = remote(status="cancelled", cancelled_at="2025-01-15", current_term_ends_at="")

    step = billing.subscriptions.next_step(source, ended)

    assert isinstance(step, Anew)
    assert step.source.payload["starts_at"] == "2025-02-01"
    assert billing.zoho.calls == {}


def test_a_new_one_begins_no_earlier_than_the_former_one_billed(billing: Billing) -> None:
    source = linked(billing).service()
    ended = remote(status="cancelled", cancelled_at="2025-03-01")

    step = billing.subscriptions.next_step(source, ended)

    assert isinstance(step, Anew)
    assert step.source.payload["starts_at"] == "2025-03-01"


def test_a_worker_killed_before_the_new_one_was_made_forgets_nothing(billing: Billing) -> None:
    ended = remote(status="cancelled", cancelled_at="2025-03-01")
    facts = billing.subscriptions.facts(ended, {})
    billing.records.put(EntityType.SUBSCRIPTION, "7", former=["900"], facts=facts)

    assert billing.service().payload["starts_at"] == "2025-03-01"


def test_only_a_cancellation_at_the_end_of_a_term_is_taken_back(billing: Billing) -> None:
    source = linked(billing).service()
    rules = billing.subscriptions

    step = rules.next_step(source, remote(status="non_renewing", price=Decimal(529)))
    billing.zoho.answers = [subscription(price=Decimal(529))]
    answered = billing.do(source, step, "900")
    then = rules.next_step(source, answered, after="reactivate")

    assert billing.zoho.calls == {"reactivate_subscription": 1}
    assert isinstance(then, Do)
    assert then.step == "update_at_end"


# -------------------------------------------------------------------------- after a create


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"price": Decimal(460)}, "price"),
        ({"plan_code": "SKY-ESS-25"}, "plan_code"),
        ({"next_billing_at": "2025-03-01"}, "starts_at"),
        ({"reference_id": ""}, "reference_id"),
    ],
)
def test_a_new_one_with_other_figures_is_a_mismatch_for_a_person(
    billing: Billing, fields: dict[str, Any], field: str
) -> None:
    step = billing.subscriptions.next_step(billing.service(), made(**fields), after="create")

    assert isinstance(step, Stuck)
    assert (step.state, step.field) == (State.MISMATCH, field)


def raised(total: str, tax: str) -> RemoteInvoice:
    return RemoteInvoice.model_validate(
        {"invoice_id": "800", "total": Decimal(total), "tax_total": Decimal(tax)}
    )


def live_today(billing: Billing) -> tuple[Source, Remote]:
    source = billing.service(activation_date=date(2025, 1, 20))
    return source, remote(activated_at="2025-01-20", child_invoice_id="800")


def test_the_first_invoice_proves_how_zoho_reads_prices_once(billing: Billing) -> None:
    source, begun = live_today(billing)
    billing.zoho.invoices["800"] = raised("459.00", "59.87")

    steps = [billing.subscriptions.next_step(source, begun, after="create") for _ in range(2)]

    assert steps == [Done(), Done()]
    assert billing.zoho.calls == {"get_invoice": 1}


@pytest.mark.parametrize(("total", "tax"), [("527.85", "68.85"), ("459.00", "59.86")])
def test_prices_or_roundings_set_otherwise_are_told_with_both_figures(
    billing: Billing, total: str, tax: str
) -> None:
    source, begun = live_today(billing)
    billing.zoho.invoices["800"] = raised(total, tax)

    step = billing.subscriptions.next_step(source, begun, after="create")

    assert isinstance(step, Stuck)
    assert (step.state, step.code) == (State.MISMATCH, "prices_setting_differs")
    assert f"{total}, of which tax {tax}" in step.sentence
    assert "459.00, of which tax 59.87" in step.sentence


def test_an_exclusive_organisation_s_invoice_is_the_same_to_the_cent() -> None:
    billing = Billing(prices=Prices.EXCLUSIVE)
    source, begun = live_today(billing)
    net = Remote("900", begun.body.model_copy(update={"price": Decimal("399.13")}))
    billing.zoho.invoices["800"] = raised("459.00", "59.87")

    assert billing.subscriptions.next_step(source, net, after="create") == Done()


def test_an_invoice_that_is_gone_proves_nothing_and_spoils_nothing(billing: Billing) -> None:
    source, begun = live_today(billing)

    steps = [billing.subscriptions.next_step(source, begun, after="create") for _ in range(2)]

    assert steps == [Done(), Done()]
    assert billing.zoho.calls == {"get_invoice": 2}


# ------------------------------------------------------------------------------ find and prove


def test_a_service_s_subscription_is_found_by_its_reference_in_a_young_snapshot(
    billing: Billing,
) -> None:
    billing.rows.taken = [subscription(subscription_id="1", reference_id="17"), subscription()]

    assert billing.subscriptions.find(billing.service()).link == "900"
    assert billing.zoho.calls == {}


def test_without_a_young_snapshot_the_list_is_walked_first(billing: Billing) -> None:
    billing.rows.age_seconds = 3600
    billing.zoho.subscriptions = {
        each: subscription(subscription_id=each, reference_id=each) for each in ("5", "6", "7")
    }

    found = billing.subscriptions.find(billing.service())

    assert found.link == "7"
    assert billing.zoho.calls == {"list_subscriptions": 2}


def test_a_subscription_typed_in_by_hand_is_never_doubled(billing: Billing) -> None:
    billing.rows.taken = [subscription(reference_id="")]

    found = billing.subscriptions.find(billing.service())

    assert found.candidates == ("900",)
    assert found.may_create_anyway


def test_one_that_another_service_holds_is_not_taken(billing: Billing) -> None:
    billing.rows.taken = [subscription()]
    billing.records.put(EntityType.SUBSCRIPTION, "8", "900")

    assert billing.subscriptions.find(billing.service()).code == "linked_elsewhere"


def test_what_a_service_had_before_is_not_found_again(billing: Billing) -> None:
    billing.rows.taken = [subscription()]
    billing.records.put(EntityType.SUBSCRIPTION, "7", former=["900"])

    assert billing.subscriptions.find(billing.service()) == Found()


def test_a_plan_of_a_run_looks_into_our_own_tables_only(billing: Billing) -> None:
    source = billing.service()
    billing.rows.age_seconds = 10**6
    billing.rows.taken = [subscription()]

    assert billing.subscriptions.foresee(source).link == "900"
    billing.rows.taken = None
    assert billing.subscriptions.foresee(source) == Found()
    assert billing.zoho.calls == {}


def test_a_create_whose_answer_was_lost_is_found_by_equality_of_its_reference(
    billing: Billing,
) -> None:
    billing.records.put(EntityType.SUBSCRIPTION, "7", former=["899"])
    rows = [
        subscription(subscription_id="700", created_time=NOW - timedelta(days=1)),
        subscription(subscription_id="701", reference_id="77", created_time=NOW),
        subscription(subscription_id="702", reference_id="", created_time=NOW),
        subscription(subscription_id="899", created_time=NOW),
        subscription(created_time=NOW),
    ]
    billing.zoho.subscriptions = {row.zoho_id: row for row in rows}

    proofs = billing.subscriptions.look_up(lost(billing.service()))

    assert proofs == [remote(created_time=NOW)]
    # Those of another reference and of before are not read; the one that shows none is.
    assert billing.zoho.calls["get_subscription"] == 2


def test_on_a_calendar_of_its_own_the_whole_list_is_walked(billing: Billing) -> None:
    billing.calendar.day = date(2024, 6, 1)
    rows = [
        subscription(subscription_id=str(number), created_time=NOW - timedelta(days=200 + number))
        for number in range(3)
    ]
    billing.zoho.subscriptions = {row.zoho_id: row for row in rows}

    proofs = billing.subscriptions.look_up(lost(billing.service(activation_date=date(2024, 6, 1))))

    assert [found.zoho_id for found in proofs] == ["0", "1", "2"]


def test_a_create_that_never_happened_is_proved_absent(billing: Billing) -> None:
    assert billing.subscriptions.look_up(lost(billing.service())) == []


# -------------------------------------------------------------------------------------- facts


def test_facts_keep_every_day_that_was_ever_billed(billing: Billing) -> None:
    rules = billing.subscriptions
    first = rules.facts(remote(), {})
    ended = rules.facts(remote(status="cancelled", cancelled_at="2025-02-01"), first)
    second = rules.facts(
        remote(subscription_id="901", activated_at="2025-03-01", next_billing_at="2025-04-01"),
        ended,
    )

    assert first["spans"] == [["2024-07-01", None]]
    assert ended["renews_on"] is None
    assert second["spans"] == [["2024-07-01", "2025-02-01"], ["2025-03-01", None]]
    assert (second["starts_on"], second["renews_on"]) == ("2025-03-01", "2025-04-01")
    assert (second["plan_code"], second["price"]) == ("SKY-START-10", "459.00")


def test_a_row_that_shows_the_running_term_alone_moves_no_first_day(billing: Billing) -> None:
    first = billing.subscriptions.facts(remote(), {})

    later = billing.subscriptions.facts(
        remote(activated_at="", current_term_starts_at="2025-02-01", price=None), first
    )

    assert later["starts_on"] == "2024-07-01"
    assert later["spans"] == [["2024-07-01", None]]
    assert later["price"] == "459.00"


def test_one_that_never_billed_leaves_no_day(billing: Billing) -> None:
    future = billing.subscriptions.facts(made(), {})
    gone = billing.subscriptions.facts(
        made(status="cancelled", activated_at="2025-02-01", cancelled_at="2025-01-20"), future
    )

    assert future["spans"] == [["2025-02-01", None]]
    assert gone["spans"] == []


# ---------------------------------------------------------------------------------- compare


@pytest.mark.parametrize(
    ("fields", "differing"),
    [
        ({}, []),
        ({"price": Decimal(529)}, ["price"]),
        ({"status": "cancelled"}, ["status"]),
        ({"status": "non_renewing"}, ["status"]),
    ],
)
def test_what_lasts_is_compared(
    billing: Billing, fields: dict[str, Any], differing: list[str]
) -> None:
    assert billing.subscriptions.fields_differ(billing.service(), remote(**fields)) == differing


def test_a_cancelled_service_differs_while_its_subscription_goes_on(billing: Billing) -> None:
    source = billing.service(status="cancelled")

    assert billing.subscriptions.fields_differ(source, remote()) == ["status"]
    assert billing.subscriptions.fields_differ(source, remote(status="non_renewing")) == []


def test_the_log_shows_plan_price_and_days_and_nobody(billing: Billing) -> None:
    source = billing.service()

    assert billing.subscriptions.masked(create(source)) == {
        "step": "create",
        "reference_id": "7",
        "plan_code": "SKY-START-10",
        "price": "459.00",
        "starts_at": "2025-02-01",
    }
    assert "customer_id" not in billing.subscriptions.masked_answer(remote())


def test_a_step_that_is_no_call_on_a_subscription_is_a_mistake(billing: Billing) -> None:
    write = replace(create(billing.service()), step="wait", zoho_id="900")

    with pytest.raises(ValueError, match="wait"):
        billing.subscriptions.send(write, PERMIT)
