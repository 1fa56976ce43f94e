"""The report: who judges a run, what finance reads first, and what counts as what."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from billing_sync.domain.debtors import Debtor
from billing_sync.domain.states import EntityType
from billing_sync.domain.steps import Finding, Mode, Only, Phase, Severity
from billing_sync.ports import Planned, Run, RunFigures
from billing_sync.services.backfill.amounts import Amounts, InMoney, Pair
from billing_sync.services.backfill.books import BothSides
from billing_sync.services.backfill.report import (
    FIGURES,
    RUN_FIGURES,
    as_markdown,
    entities_of,
    judge,
)

NOON = datetime(2036, 3, 1, 12, tzinfo=UTC)


def run(**given: Any) -> Run:
    known: dict[str, Any] = {
        "run_id": "first",
        "execution_arn": "arn:first",
        "mode": Mode.APPLY,
        "phases": tuple(Phase),
        "only": Only(),
        "step": "report",
        "cursor": None,
        "loops": 1,
        "stop_requested": False,
        "stop_requested_by": None,
        "ended_early": None,
        "waiting_until": None,
        "waiting_reason": None,
        "waited_seconds": 0.0,
        "cooldowns": 0,
        "started_at": NOON,
        "ended_at": None,
        "work_off_seconds_left": None,
        "colour": None,
    }
    return Run(**known | given)


def figures(
    states: dict[str, int],
    *,
    parents: dict[str, int] | None = None,
    entities: dict[EntityType, dict[str, int]] | None = None,
) -> RunFigures:
    return RunFigures(states, 0, 0, 0, entities or {}, parents or {})


@pytest.mark.parametrize(
    ("states", "parents", "colour"),
    [
        ({"synced": 5, "skipped": 2}, {"synced": 2}, "green"),
        ({"synced": 5, "waiting": 1}, {}, "green"),
        ({"synced": 5, "accepted": 1}, {}, "green"),
        ({"synced": 5, "blocked": 1}, {}, "amber"),
        ({"synced": 5, "retrying": 1}, {}, "amber"),
        ({"synced": 5}, {"pending": 1}, "amber"),
        ({"synced": 5, "in_doubt": 1}, {}, "red"),
        ({"synced": 5, "failed": 1, "waiting": 1}, {}, "red"),
        ({"synced": 5}, {"mismatch": 1}, "red"),
    ],
)
def test_a_run_is_judged_by_its_records_and_by_what_came_along(
    states: dict[str, int], parents: dict[str, int], colour: str
) -> None:
    assert judge(run(), figures(states, parents=parents), [])[0] == colour


def test_a_plan_is_green_whatever_it_found() -> None:
    red = Finding(code="twice", severity=Severity.RED, sentence="Two.", what_to_do="Merge.")

    assert judge(run(mode=Mode.PLAN), figures({"failed": 3}), [red])[0] == "green"


def test_a_red_finding_makes_a_run_red_and_a_warning_does_not() -> None:
    finding = Finding(code="twice", severity=Severity.RED, sentence="Two.", what_to_do="Merge.")
    warning = finding.model_copy(update={"severity": Severity.WARNING})

    assert judge(run(), figures({"synced": 1}), [finding]) == ("red", "Not in step: 1 twice.")
    assert judge(run(), figures({"synced": 1}), [warning])[0] == "green"


def test_each_entity_is_counted_once_and_parents_are_not() -> None:
    planned = [
        Planned("invoices", EntityType.INVOICE, "create", False, 7, Decimal(700)),
        Planned("invoices", EntityType.INVOICE, "deleted_here", False, 1, Decimal(0)),
        Planned("invoices", EntityType.PLAN, "create", True, 3, Decimal(300)),
    ]
    in_money = InMoney()
    in_money.entities[EntityType.INVOICE].add(Pair(Decimal("345.00"), Decimal("345.00")))
    states = {"synced": 2, "skipped": 1, "waiting": 1, "mismatch": 1, "ambiguous": 1}

    entities = entities_of(
        run(phases=(Phase.INVOICES,)),
        planned,
        figures(states, entities={EntityType.INVOICE: states}),
        in_money,
        None,
    )

    assert entities == {
        "invoices": {
            "total": 7,
            "in_step": 2,
            "skipped": 1,
            "waiting": 1,
            "failed": 2,
            "accepted": 0,
            "under_way": 1,
            "local_amount": "345.00",
            "zoho_amount": "345.00",
        }
    }


def test_differences_that_cancel_out_are_differences() -> None:
    amounts = Amounts()
    amounts.add(Pair(Decimal("100.00"), Decimal("101.00")))
    amounts.add(Pair(Decimal("100.00"), Decimal("99.00")))
    amounts.add(Pair(Decimal("100.00"), None))

    assert amounts.local == amounts.zoho == Decimal("200.00")
    assert (amounts.difference, amounts.not_shown) == (Decimal("2.00"), 1)


def content(**given: Any) -> dict[str, Any]:
    books = BothSides(
        debtors=[
            Debtor("CT-1", Decimal("1458.00"), Decimal(0), Decimal("999.00"), Decimal(0)),
            Debtor("CT-2", Decimal(0), Decimal("71.00"), Decimal(0), Decimal("71.00")),
        ],
        waiting=Decimal("459.00"),
    )
    entity = {
        "total": 3,
        "in_step": 2,
        "skipped": 1,
        "waiting": 0,
        "failed": 0,
        "accepted": 0,
        "under_way": 0,
        "local_amount": "12345.67",
        "zoho_amount": "12345.67",
    }
    counted = dict.fromkeys((*FIGURES, *RUN_FIGURES), 0)
    return {
        **counted,
        "run_id": "first",
        "colour": "red",
        "why": "Not in step: 2 failed.",
        "debtors": {**books.control_total.figures(), "waiting": "459.00"},
        "difference": "0.00",
        "tax_difference": "0.00",
        "tax_not_shown": 4,
        "entities": {"invoices": entity},
        "parents": {"synced": 2},
        "behind_red": 1,
        "red": [
            {
                "entity": "invoice",
                "state": "failed",
                "code": "totals_differ",
                "count": 1,
                "sentence": "total_amount is 100.00; its lines come to 99.99 in Zoho.",
                "ids": ["17"],
            }
        ],
        "findings": [
            {
                "code": "subscription_without_service",
                "severity": "warning",
                "sentence": "Subscriptions that bill on: 1 (ZAR 459.00 a month).",
                "what_to_do": "Cancel them in Zoho.",
                "count": 1,
                "records": ["90001"],
            }
        ],
        **given,
    }


def test_finance_reads_the_verdict_then_what_is_owed_then_both_sides_then_what_to_do() -> None:
    text = as_markdown(content())

    places = [
        text.index(words)
        for words in (
            "# Backfill first: RED",
            "## What customers owe",
            "## Both sides",
            "## What a person must look at",
            "## Findings",
            "## Records",
            "## The run",
        )
    ]
    assert places == sorted(places)
    assert "| owed | 1,458.00 | 999.00 |" in text
    assert "Difference: 459.00; 1 customers differ." in text
    assert "Not counted: 459.00 on invoices that Zoho has yet to raise." in text
    assert "| invoices | 3 | 2 | 1 | 0 | 0 | 0 | 12,345.67 | 12,345.67 |" in text
    assert "Of 4 invoices Zoho's lists show no tax" in text
    assert "came along: 2 synced" in text
    assert "1 more wait for these" in text
    assert "ZAR 459.00 a month" in text


def test_a_report_without_anything_red_or_owed_leaves_these_parts_out() -> None:
    text = as_markdown(content(red=[], debtors=None, findings=[], tax_not_shown=0, parents={}))

    assert "must look at" not in text
    assert "owe" not in text
    assert "Findings" not in text
