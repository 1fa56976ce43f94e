"""The demo's verdict: all holds on what it should see, and each broken promise is named."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from billing_sync.domain.states import EntityType, State
from billing_sync.domain.triggers import Trigger
from ops.cli.answers import Story, StoryIntent, StoryRecord
from ops.demo import newcomer, report, scenario
from ops.demo.books import at_noon, rows
from ops.demo.display import Stage
from ops.demo.mishaps import ANSWER_LOST_OF, DRAFT_LOST, KILLED_DURING, PAYMENT_LOST, Happened
from ops.demo.real_time import Arrival, RealTime
from ops.demo.reckoning import Application
from ops.demo.verdict import Condition, Evidence, RunEnd, calls_per_entity, figures, judge
from ops.fake_zoho import FakeZoho, Holdings, LogEntry, Mail, SeedPlan

TODAY = date(2026, 12, 20)


def entity(total: int, skipped: int = 0, waiting: int = 0) -> dict[str, Any]:
    return {
        "total": total,
        "in_step": total - skipped - waiting,
        "skipped": skipped,
        "waiting": waiting,
        "failed": 0,
        "local_amount": "0.00",
        "zoho_amount": "0.00",
    }


FINAL: dict[str, Any] = {
    "run_id": "third",
    "mode": "apply",
    "colour": "green",
    "why": "Everything is in step.",
    "in_step": 17,
    "total": 20,
    "created": 11,
    "linked": 2,
    "updated": 1,
    "skipped": 2,
    "failed": 0,
    "ambiguous": 0,
    "waiting": 1,
    "entities": {
        "customers": entity(15, skipped=2),
        "subscriptions": entity(5, skipped=4),
        "invoices": entity(10, skipped=7, waiting=1),
        "payments": entity(7, skipped=6),
    },
    "difference": "0.00",
    "tax_difference": "0.00",
    "debtors": {
        "local": "459.00",
        "zoho": "459.00",
        "difference": "0.00",
        "customers_that_differ": 0,
    },
    "duplicates_in_zoho": 0,
    "zoho_calls": 8,
    "http_429": 0,
    "tokens_minted": 0,
    "cooldowns": 1,
    "active_seconds": 2.25,
    "waited_seconds": 0.5,
}
AT_FIRST = FINAL | {
    "run_id": "first",
    "colour": "red",
    "why": "Not in step: 1 ambiguous.",
    "in_step": 12,
    "ambiguous": 1,
    "updated": 0,
    "cooldowns": 5,
    "active_seconds": 6.0,
    "waited_seconds": 8.0,
}


DUPLICATE = "nothing is in Zoho twice"
DAYS = "each day of each service is billed once in Zoho"
INVOICED = ("what was invoiced is the same to the cent", "its VAT is the same to the cent")
LOST_PAYMENT = "the answer that Zoho lost after it committed made no second payment"


def story(number: str, state: State, **facts: Any) -> Story:
    intents = facts.pop("intents", ())
    record = StoryRecord(
        entity=EntityType.CUSTOMER, id="1", account_number=number, state=state, **facts
    )
    return Story(record=record, intents=intents)


def found(closed_as: str = "found") -> StoryIntent:
    return StoryIntent.model_validate(
        {
            "step": "create",
            "method": "create",
            "sent_at": "2026-01-01T00:00:00Z",
            "closed_as": closed_as,
        }
    )


class Zoho:
    """Fake Zoho, the real one in memory, as a good run leaves it behind."""

    def __init__(self) -> None:
        self.fake = FakeZoho(scenario.zoho())
        self.fake.calendar.set(at_noon(TODAY))
        self.organisation = self.fake.organisation()
        self.before = self.fake.holdings()
        self.ids: dict[str, str] = {
            one["display_name"]: one["customer_id"] for one in self.before.customers
        }
        self.tax_id = self.organisation.config.taxes[0].tax_id
        self.customers = {number: self.customer(number) for number in ACCOUNTS}

    def customer(self, number: str) -> str:
        body = {
            "display_name": f"Somebody ({number})",
            "custom_fields": [{"label": "Account Number", "value": number}],
        }
        book = self.organisation.customers
        by_hand = {
            scenario.KEPT_BY_ACCOUNT_NUMBER: "N. Dlamini",
            scenario.LOOKS_ALIKE: "Newgate Medical",
        }
        if number not in by_hand:
            return book.create(body, by="billing-sync").customer_id
        kept = self.ids[by_hand[number]]
        book.update(kept, body)
        return kept

    def subscription(self, customer_id: str) -> None:
        plan = {
            "plan_code": "START",
            "name": "Starter",
            "recurring_price": 459,
            "interval": 1,
            "tax_id": self.tax_id,
        }
        self.organisation.plans.seed(
            SeedPlan(product="Fibre", profile=plan, created_time=at_noon(TODAY))
        )
        self.organisation.subscriptions.create(
            {
                "customer_id": customer_id,
                "plan": {"plan_code": "START", "price": 459},
                "reference_id": "1",
                "auto_collect": False,
                "starts_at": "2027-01-01",
            },
            by="billing-sync",
        )

    def invoice(self, customer_id: str) -> str:
        invoices = self.organisation.invoices
        made = invoices.create(
            {
                "customer_id": customer_id,
                "invoice_number": DRAFT_LOST,
                "date": "2026-12-18",
                "is_inclusive_tax": True,
                "invoice_items": [
                    {"name": "Router", "price": 899, "quantity": 1, "tax_id": self.tax_id}
                ],
            },
            by="billing-sync",
            own_number=True,
            send=False,
        )
        invoices.open(made.invoice_id)
        return made.invoice_id

    def payment(self, customer_id: str, invoice_id: str) -> str:
        sent = {
            "customer_id": customer_id,
            "payment_mode": "cash",
            "amount": 900,
            "reference_number": PAYMENT_LOST,
            "invoices": [{"invoice_id": invoice_id, "amount_applied": 899}],
        }
        return self.organisation.payments.create(sent, by="billing-sync").payment_id

    def newcomer(self) -> None:
        """Make what the four webhooks bring."""
        body = {
            "display_name": f"Naledi Mokoena ({newcomer.ACCOUNT_NUMBER})",
            "email": "naledi.mokoena@mail.example",
            "custom_fields": [{"label": "Account Number", "value": newcomer.ACCOUNT_NUMBER}],
        }
        made = self.organisation
        customer_id = made.customers.create(body, by="billing-sync").customer_id
        subscription = {
            "customer_id": customer_id,
            "plan": {"plan_code": "START", "price": 459},
            "reference_id": "2",
            "auto_collect": False,
            "starts_at": "2027-03-01",
        }
        made.subscriptions.create(subscription, by="billing-sync")
        invoice = made.invoices.create(
            {
                "customer_id": customer_id,
                "invoice_number": newcomer.INVOICE,
                "date": "2027-01-20",
                "is_inclusive_tax": True,
                "invoice_items": [
                    {"name": name, "price": float(price), "quantity": 1, "tax_id": self.tax_id}
                    for name, price in newcomer.LINES.items()
                ],
            },
            by="billing-sync",
            own_number=True,
            send=False,
        )
        made.invoices.open(invoice.invoice_id)
        payment = {
            "customer_id": customer_id,
            "payment_mode": "creditcard",
            "amount": 2398,
            "reference_number": newcomer.PAYMENT,
            "invoices": [{"invoice_id": invoice.invoice_id, "amount_applied": 2398}],
        }
        made.payments.create(payment, by="billing-sync")


ACCOUNTS = sorted(row["account_number"] for row in rows("customers.csv") if row["order"])
HER_ID = len(ACCOUNTS) + 1
PRICE = Decimal("459.00")


def application() -> Application:
    """What the application holds beside it: one service, what it billed, and one payment."""

    def invoice(number: int, name: str, total: str, tax: str, **more: Any) -> dict[str, Any]:
        return {
            "id": number,
            "customer_id": 1,
            "service_id": None,
            "invoice_number": name,
            "status": "sent",
            "total_amount": Decimal(total),
            "tax_amount": Decimal(tax),
            "period_start": None,
            "period_end": None,
        } | more

    january = {
        "service_id": 1,
        "period_start": date(2027, 1, 1),
        "period_end": date(2027, 1, 31),
    }
    february = {
        "service_id": 1,
        "period_start": date(2027, 2, 1),
        "period_end": date(2027, 2, 28),
    }
    return Application(
        customers=[
            *(
                {"id": place, "account_number": number}
                for place, number in enumerate(ACCOUNTS, start=1)
            ),
            {
                "id": HER_ID,
                "account_number": newcomer.ACCOUNT_NUMBER,
                "first_name": "Naledi",
                "last_name": "Mokoena",
                "email": "naledi.mokoena@mail.example",
            },
        ],
        services=[
            {"id": place, "customer_id": customer_id, "status": "active", "monthly_price": PRICE}
            for place, customer_id in ((1, 1), (2, HER_ID))
        ],
        invoices=[
            invoice(1, DRAFT_LOST, "899.00", "117.26"),
            invoice(2, "CTI-2", "459.00", "59.87", **january),
            invoice(3, "CTI-3", "459.00", "59.87", **february),
            invoice(4, "CTI-4", "100.00", "13.04", status="voided"),
            invoice(5, "CTI-5", "0.00", "0.00"),
            invoice(6, newcomer.INVOICE, "2398.00", "312.78", customer_id=HER_ID, status="paid"),
        ],
        payments=[
            {
                "id": 1,
                "customer_id": 1,
                "invoice_id": 1,
                "amount": Decimal("900.00"),
                "status": "completed",
                "transaction_id": PAYMENT_LOST,
            },
            {
                "id": 2,
                "customer_id": HER_ID,
                "invoice_id": 6,
                "amount": Decimal("2398.00"),
                "status": "completed",
                "transaction_id": newcomer.PAYMENT,
            },
        ],
        shares={},
        waiting=frozenset({("invoice", "3")}),
    )


@pytest.fixture
def evidence() -> Evidence:
    """What a good run leaves behind."""
    zoho = Zoho()
    first = zoho.customers[ACCOUNTS[0]]
    zoho.subscription(first)
    invoice_id = zoho.invoice(first)
    payment_id = zoho.payment(first, invoice_id)
    zoho.fake.calendar.set(at_noon(date(2027, 1, 20)))
    zoho.newcomer()
    after = zoho.fake.holdings()
    after.counters.tokens_minted, after.counters.calls = 1, 45
    made = zoho.customers
    alike = made[scenario.LOOKS_ALIKE]
    log = [
        LogEntry(sequence=1, arrived=0, method="", path="", query_keys=[], operation=operation)
        for operation in (
            "create_invoice",
            "convert_invoice_to_open",
            "get_invoice",
            "list_invoices",
        )
    ]
    return Evidence(
        config=zoho.fake.config,
        before=zoho.before,
        after_plan=zoho.before,
        after=after,
        plan=RunEnd("SUCCEEDED", FINAL | {"run_id": "plan", "mode": "plan"}),
        first=RunEnd("FAILED", AT_FIRST, "Not in step: 1 ambiguous.", {"CoolDown": 2}),
        second=RunEnd("SUCCEEDED", FINAL | {"run_id": "second"}),
        third=RunEnd("SUCCEEDED", FINAL),
        happened=Happened(
            answers_lost={ANSWER_LOST_OF: 1, DRAFT_LOST: 1, PAYMENT_LOST: 1},
            killed_pid=4711,
            committed_before_kill=True,
        ),
        looks_alike_at_first=story(scenario.LOOKS_ALIKE, State.AMBIGUOUS, candidates=(alike,)),
        stories={
            **{
                number: story(number, State.SYNCED, zoho_id=made[number], how="linked")
                for number in (scenario.KEPT_BY_ACCOUNT_NUMBER, scenario.LOOKS_ALIKE)
            },
            **{
                name: story(name, State.SYNCED, zoho_id=zoho_id, intents=(found(),))
                for name, zoho_id in (
                    (KILLED_DURING, made[KILLED_DURING]),
                    (ANSWER_LOST_OF, made[ANSWER_LOST_OF]),
                    (DRAFT_LOST, invoice_id),
                    (PAYMENT_LOST, payment_id),
                )
            },
        },
        application=application(),
        calls=calls_per_entity(log, after),
        live=(None, datetime(2026, 12, 20, 10, tzinfo=UTC)),
        real_time=RealTime(
            arrivals=[
                Arrival(trigger=trigger, record_id="2", answered=202, seconds=1.26, seen="it")
                for trigger in Trigger
            ],
            again=dict.fromkeys(Trigger, 202),
            is_worked_off=True,
        ),
    )


def broken(evidence: Evidence) -> list[str]:
    return [one.sentence for one in judge(evidence) if not one.holds]


def with_zoho(evidence: Evidence, change: Callable[[Holdings], None]) -> Evidence:
    after = evidence.after.model_copy(deep=True)
    change(after)
    return replace(evidence, after=after)


def customer(holdings: Holdings, text: str) -> dict[str, Any]:
    [one] = [one for one in holdings.customers if text in one["display_name"]]
    return one


def again(holdings: Holdings, number: str) -> None:
    """Put a second customer of an account number into Zoho."""
    second = customer(holdings, number) | {"customer_id": "4815162000000999999"}
    holdings.customers.append(second)


def mail() -> Mail:
    return Mail(organization_id="1", reason="r", resource="customer", resource_id="2", sent_at=0)


def test_a_good_run_holds_every_promise(evidence: Evidence) -> None:
    assert broken(evidence) == []


def test_figures_are_zohos_own_and_waits_are_of_all_runs(evidence: Evidence) -> None:
    told = figures(evidence)

    assert (told["zoho_calls"], told["tokens_minted"], told["http_429"]) == (45, 1, 0)
    assert (told["in_step"], told["total"], told["created"], told["linked"]) == (17, 20, 11, 2)
    assert (told["cooldowns"], told["waited_seconds"], told["active_seconds"]) == (7, 9.0, 10.5)
    assert [run["execution"] for run in told["runs"]] == [
        "SUCCEEDED",
        "FAILED",
        "SUCCEEDED",
        "SUCCEEDED",
    ]


def test_calls_are_counted_for_each_kind_of_record_and_lists_apart(evidence: Evidence) -> None:
    told = figures(evidence)["calls_per_record"]

    assert told["invoices"] == {"records": 2, "writes": 2, "reads": 1, "pages": 1}
    assert told["customers"] == {"records": 14, "writes": 0, "reads": 0, "pages": 0}


@pytest.mark.parametrize(
    ("change", "promise"),
    [
        (lambda zoho: setattr(zoho.counters, "tokens_minted", 2), "one access token was minted"),
        (lambda zoho: zoho.counters.http_429.update({44: 1}), "no call was answered 429"),
        (lambda zoho: zoho.mails.append(mail()), "nobody was mailed"),
        (
            lambda zoho: customer(zoho, "Dlamini Trading").update(phone="+27315550000"),
            "strangers are untouched",
        ),
        (
            lambda zoho: customer(zoho, "Lindiwe Khumalo").update(_writes=1),
            "strangers are untouched",
        ),
        (
            lambda zoho: zoho.customers.remove(customer(zoho, "Lindiwe Khumalo")),
            "strangers are untouched",
        ),
    ],
)
def test_what_zoho_holds_against_us_breaks_the_promise(
    evidence: Evidence, change: Callable[[Holdings], None], promise: str
) -> None:
    assert broken(with_zoho(evidence, change)) == [promise]


@pytest.mark.parametrize(
    ("number", "promise"),
    [
        (scenario.KEPT_BY_ACCOUNT_NUMBER, "customer 10 was linked and not duplicated"),
        (KILLED_DURING, "the killed Lambda made no second customer"),
        (
            ANSWER_LOST_OF,
            "the answer that Zoho lost after it committed made no second customer",
        ),
    ],
)
def test_a_second_customer_breaks_two_promises(
    evidence: Evidence, number: str, promise: str
) -> None:
    seen = broken(with_zoho(evidence, lambda zoho: again(zoho, number)))

    assert seen == [DUPLICATE, promise]


def invoice(zoho: Holdings, *, ours: bool) -> dict[str, Any]:
    [found] = [
        one
        for one in zoho.invoices
        if (one["number"] == DRAFT_LOST if ours else one["_subscription_id"])
    ]
    return found


def another(zoho: Holdings, **changes: Any) -> None:
    """Put another invoice into Zoho: the one that it raised, changed."""
    zoho.invoices.append(invoice(zoho, ours=False) | {"number": "INV-000099"} | changes)


@pytest.mark.parametrize(
    ("change", "promises"),
    [
        (
            lambda zoho: zoho.subscriptions[0]["plan"].update(price=459.01),
            ["what is billed every month is the same"],
        ),
        (
            lambda zoho: zoho.subscriptions[0].update(_scheduled_price=529.0),
            ["what is billed every month is the same"],
        ),
        (
            lambda zoho: invoice(zoho, ours=True).update(total=899.01),
            ["what was invoiced is the same to the cent"],
        ),
        (
            lambda zoho: invoice(zoho, ours=True).update(tax_total=117.27),
            ["its VAT is the same to the cent"],
        ),
        (
            lambda zoho: zoho.payments[0].update(amount=899.0),
            ["what was paid is the same to the cent"],
        ),
        (
            lambda zoho: zoho.payments.append(dict(zoho.payments[0], amount=0.0)),
            ["what was paid is the same to the cent", DUPLICATE, LOST_PAYMENT],
        ),
        (
            lambda zoho: customer(zoho, ACCOUNTS[0]).update(unused_credits=0.0),
            ["each customer owes the same on both sides, and has the same credit"],
        ),
        (
            lambda zoho: customer(zoho, ACCOUNTS[0]).update(outstanding=458.99),
            ["each customer owes the same on both sides, and has the same credit"],
        ),
        (
            lambda zoho: another(zoho, invoice_date="2027-01-02"),
            [*INVOICED, DAYS],
        ),
        (
            another,
            [*INVOICED, DAYS, DUPLICATE],
        ),
        (
            lambda zoho: zoho.invoices.remove(invoice(zoho, ours=False)),
            [*INVOICED, DAYS],
        ),
        (
            lambda zoho: another(zoho, status="void", _subscription_id=""),
            [],
        ),
    ],
)
def test_what_differs_is_found_by_reckoning_anew(
    evidence: Evidence, change: Callable[[Holdings], None], promises: list[str]
) -> None:
    assert broken(with_zoho(evidence, change)) == promises


def test_days_that_our_books_do_not_bill_are_too_many_in_zoho(evidence: Evidence) -> None:
    kept = [one for one in evidence.application.invoices if one["id"] != 2]
    seen = replace(evidence, application=replace(evidence.application, invoices=kept))

    assert DAYS in broken(seen)


@pytest.mark.parametrize(
    "waiting",
    [frozenset(), frozenset({("payment", "1")}), frozenset({("invoice", "3"), ("invoice", "5")})],
)
def test_one_invoice_may_wait_and_nothing_else(
    evidence: Evidence, waiting: frozenset[tuple[str, str]]
) -> None:
    seen = replace(evidence, application=replace(evidence.application, waiting=waiting))

    assert "only the invoice that Zoho has not raised yet waits" in broken(seen)


@pytest.mark.parametrize(
    "told",
    [
        {"difference": "0.01"},
        {"tax_difference": "-0.01"},
        {"debtors": FINAL["debtors"] | {"customers_that_differ": 1}},
    ],
)
def test_a_difference_that_the_run_reports_breaks_the_promise(
    evidence: Evidence, told: dict[str, Any]
) -> None:
    third = replace(evidence.third, report=evidence.third.report | told)

    assert broken(replace(evidence, third=third)) == [
        "the last run's own report finds no difference"
    ]


@pytest.mark.parametrize(
    "told",
    [
        {"failed": 1},
        {"entities": {"payments": entity(0)}},
        {"entities": {"payments": entity(7, skipped=5)}},
        {"entities": {"payments": entity(8, skipped=6) | {"in_step": 1}}},
    ],
)
def test_what_is_left_over_breaks_the_promise(evidence: Evidence, told: dict[str, Any]) -> None:
    entities = FINAL["entities"] | told.get("entities", {})
    third = replace(evidence.third, report=evidence.third.report | told | {"entities": entities})

    assert broken(replace(evidence, third=third)) == [
        "every record is in step, rightly skipped, or waits for Zoho"
    ]


def test_a_test_account_in_zoho_breaks_the_promise(evidence: Evidence) -> None:
    def send(zoho: Holdings) -> None:
        number = scenario.TEST_ACCOUNTS[0]
        sent = customer(zoho, KILLED_DURING) | {
            "customer_id": "4815162000000999998",
            "display_name": f"Test Account ({number})",
            "custom_fields": [],
        }
        zoho.customers.append(sent)

    assert broken(with_zoho(evidence, send)) == ["the two test accounts were not sent"]


def test_a_plan_that_wrote_breaks_the_promise(evidence: Evidence) -> None:
    wrote = replace(evidence, after_plan=evidence.after)

    assert broken(wrote) == ["the plan wrote nothing to Zoho"]


def test_mishaps_that_did_not_happen_prove_nothing(evidence: Evidence) -> None:
    assert broken(replace(evidence, happened=Happened())) == [
        "the answer that Zoho lost after it committed made no second customer",
        "the answer that Zoho lost after it committed made no second invoice",
        LOST_PAYMENT,
        "the killed Lambda made no second customer",
    ]


@pytest.mark.parametrize("closed_as", ["answered", "absent"])
def test_a_record_that_was_not_found_by_proof_breaks_the_promise(
    evidence: Evidence, closed_as: str
) -> None:
    zoho_id = evidence.stories[KILLED_DURING].record.zoho_id
    told = story(KILLED_DURING, State.SYNCED, zoho_id=zoho_id, intents=(found(closed_as),))
    seen = replace(evidence, stories=evidence.stories | {KILLED_DURING: told})

    assert broken(seen) == ["the killed Lambda made no second customer"]


def test_a_write_that_was_proved_absent_before_is_no_second_customer(evidence: Evidence) -> None:
    zoho_id = evidence.stories[ANSWER_LOST_OF].record.zoho_id
    intents = (found(), found("absent"))
    told = story(ANSWER_LOST_OF, State.SYNCED, zoho_id=zoho_id, intents=intents)
    seen = replace(evidence, stories=evidence.stories | {ANSWER_LOST_OF: told})

    assert broken(seen) == []


def test_a_first_run_that_was_green_breaks_the_promise(evidence: Evidence) -> None:
    green = replace(evidence, first=replace(evidence.first, status="SUCCEEDED"))

    assert broken(green) == [
        "customer 7 was ambiguous, the run red; linked, the next two ended green"
    ]


def test_waits_for_a_proof_are_no_cool_down(evidence: Evidence) -> None:
    proofs = replace(evidence, first=replace(evidence.first, waits={"WorkOffCoolDown": 3}))

    assert broken(proofs) == ["the limits made it cool down in the Wait state CoolDown"]


LIVE = "the sync went live by its first clean run, and not before"
ARRIVED = "each of four webhooks brought its record into Zoho, equal to the cent"
ONCE = "each webhook came twice, and made one record"


def hers(records: list[dict[str, Any]], key: str, value: str) -> dict[str, Any]:
    [found] = [one for one in records if one[key] == value]
    return found


def with_real_time(evidence: Evidence, **changes: Any) -> Evidence:
    return replace(evidence, real_time=replace(evidence.real_time, **changes))


@pytest.mark.parametrize(
    "live", [(None, None), (datetime(2026, 12, 20, tzinfo=UTC), datetime(2026, 12, 20, tzinfo=UTC))]
)
def test_a_sync_that_is_never_live_or_too_early_breaks_the_promise(
    evidence: Evidence, live: tuple[datetime | None, datetime | None]
) -> None:
    assert broken(replace(evidence, live=live)) == [LIVE]


def test_a_trigger_whose_record_never_came_breaks_two_promises(evidence: Evidence) -> None:
    *others, last = evidence.real_time.arrivals
    arrivals = [*others, replace(last, seconds=None)]
    seen = with_real_time(evidence, arrivals=arrivals, again={}, is_worked_off=False)

    assert broken(seen) == [ARRIVED, ONCE]
    assert figures(seen)["triggers"]["payment-completed"] is None


@pytest.mark.parametrize(
    "change",
    [
        lambda zoho: customer(zoho, newcomer.ACCOUNT_NUMBER).update(email=""),
        lambda zoho: hers(zoho.subscriptions, "reference_id", "2").update(status="cancelled"),
        lambda zoho: hers(zoho.invoices, "number", newcomer.INVOICE).update(tax_total=312.77),
        lambda zoho: hers(zoho.payments, "reference_number", newcomer.PAYMENT).update(invoices=[]),
    ],
)
def test_a_trigger_s_record_with_other_figures_breaks_the_promise(
    evidence: Evidence, change: Callable[[Holdings], None]
) -> None:
    assert ARRIVED in broken(with_zoho(evidence, change))


def test_a_trigger_s_second_record_breaks_the_promise(evidence: Evidence) -> None:
    def send_twice(zoho: Holdings) -> None:
        zoho.payments.append(dict(hers(zoho.payments, "reference_number", newcomer.PAYMENT)))

    seen = broken(with_zoho(evidence, send_twice))

    assert seen == ["what was paid is the same to the cent", DUPLICATE, ONCE]


@pytest.mark.parametrize(
    "changes",
    [
        {"writes_again": 1},
        {"is_worked_off": False},
        {"again": {Trigger.CUSTOMER_REGISTERED: 202}},
        {"again": dict.fromkeys(Trigger, 401)},
    ],
)
def test_a_webhook_s_second_time_that_was_not_heard_or_wrote_breaks_the_promise(
    evidence: Evidence, changes: dict[str, Any]
) -> None:
    assert broken(with_real_time(evidence, **changes)) == [ONCE]


def test_the_report_is_written_for_people_and_for_programs(
    evidence: Evidence, tmp_path: Path
) -> None:
    conditions = [*judge(evidence), Condition("pigs fly", holds=False, seen="none did")]

    people, programs = report.write(
        tmp_path / "demo",
        figures(evidence),
        conditions,
        [Stage("Start", 1.24)],
        evidence.real_time.arrivals,
    )

    told = json.loads(programs.read_text(encoding="utf-8"))
    assert (told["in_step"], told["mails_sent"]) == (17, 0)
    assert told["entities"]["invoices"]["waiting"] == 1
    assert told["conditions"][-1] == {"condition": "pigs fly", "holds": False, "seen": "none did"}
    assert told["triggers"] == {
        "customer-registered": 1.3,
        "service-activated": 1.3,
        "invoice-generated": 1.3,
        "payment-completed": 1.3,
    }
    assert told["stage_seconds"] == {"Start": 1.2}
    text = people.read_text(encoding="utf-8")
    assert text.startswith("# The demo: 1 of the conditions does not hold\n")
    assert "| ✗ | pigs fly | none did |" in text
    assert "| invoices | 10 | 2 | 7 | 1 | 0.00 | 0.00 |" in text
    assert "| invoices | 2 | 2 | 1 | 1 |" in text
    assert "| invoice-generated | it | 1.3 |" in text
    assert sorted(path.name for path in people.parent.iterdir()) == ["report.json", "report.md"]
