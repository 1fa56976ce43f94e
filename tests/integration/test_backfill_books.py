"""Four phases over the demo's books: plan, apply, verify and report, without local AWS."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest

from billing_sync.domain.discrepancies import Code
from billing_sync.domain.errors import RecordsNotInStep
from billing_sync.domain.steps import Only, OperateEvent, StepEvent
from ops.demo import scenario
from ops.demo.books import Books, at_noon, read_books
from ops.demo.load import load_books
from ops.fake_zoho import AnswerLost
from ops.local_stack.postgres import APPLICATION_ROLE, Database
from tests.backfill import MemoryFiles, StillRunning, apply, begin, drive, files, plan_of
from tests.world import ORGANISATION, World, world


@pytest.fixture
def books(database: Database) -> Books:
    made = read_books(scenario.demo_day(datetime.now(UTC).date()))
    with database.connect(APPLICATION_ROLE) as connection:
        load_books(connection, made)
    return made


@pytest.fixture
def both(database: Database, books: Books) -> Iterator[World]:
    config = scenario.zoho()
    [organisation] = config.organisations
    limits = organisation.limits.model_copy(
        update={"calls_per_minute": 2000, "calls_per_day": 100_000}
    )
    roomy = organisation.model_copy(update={"limits": limits})
    config = config.model_copy(update={"organisations": [roomy], "time_scale": 100})
    with world(database, config) as made:
        made.set_today(books.today)
        made.worker.run_files = MemoryFiles()
        made.worker.executions = StillRunning()
        yield made
        assert made.zoho.control.state().mails == []


EVERYTHING = ("customers", "subscriptions", "invoices", "payments")
ONE_CUSTOMER = "CT-2025-00002"
LOOKS_ALIKE = scenario.LOOKS_ALIKE
"""The customer whom a person has to link; its service, invoices and payment wait for that."""


def link_who_looks_alike(both: World) -> None:
    [there] = [
        one for one in both.zoho.control.customers() if one["display_name"] == "Newgate Medical"
    ]
    answer = both.worker.operate(
        OperateEvent.model_validate(
            {
                "action": "link",
                "by": "test",
                "entity": "customer",
                "id": LOOKS_ALIKE,
                "zoho_id": there["customer_id"],
            }
        )
    )
    assert answer.ok, answer.why


def actions_of(lines: list[dict[str, Any]], phase: str) -> Counter[str]:
    return Counter(
        line["action"] for line in lines if line["phase"] == phase and not line["as_parent"]
    )


def writes(both: World) -> int:
    return sum(entry.is_api_call and entry.method != "GET" for entry in both.zoho.control.log())


def test_a_plan_of_four_phases_names_actions_money_and_parents_and_writes_nothing(
    both: World,
) -> None:
    begin(both.worker, "plan")
    drive(both, "plan", "snapshot")
    drive(both, "plan", "plan")

    lines = plan_of(both, "plan")
    assert actions_of(lines, "customers") == {"create": 11, "link": 1, "ambiguous": 1, "skip": 2}
    assert actions_of(lines, "subscriptions") == {"create": 13, "skip": 4}
    assert actions_of(lines, "invoices") == {"create": 39, "skip": 5, "wait": 1}
    assert actions_of(lines, "payments") == {"create": 32, "skip": 4}
    parents = Counter(line["entity"] for line in lines if line["as_parent"])
    assert parents == {"product": 3, "plan": 10}
    summary = json.loads(files(both)["runs/plan/plan.json"])
    assert summary["total"] == 113
    wanted = sum(
        (Decimal(line["amount"]) for line in lines if line["phase"] == "payments"), Decimal(0)
    )
    assert sum(map(Decimal, summary["money"]["payments"].values())) == wanted
    assert summary["could_be_reminded"] == 4
    assert both.zoho.control.state().invoices == []
    assert both.sql("SELECT count(*) FROM billing_sync.records")[0].count == 0


def test_four_phases_bring_both_sides_in_step_to_the_cent(both: World) -> None:
    before = both.worker.quota.view().taken_today
    red = apply(both, "first")
    with pytest.raises(RecordsNotInStep, match="5 ambiguous"):
        both.worker.conclude(StepEvent(run_id="first"))
    estimated = json.loads(files(both)["runs/first/plan.json"])["calls"]
    spent = both.worker.quota.view().taken_today - before
    link_who_looks_alike(both)
    green = apply(both, "second")
    both.worker.conclude(StepEvent(run_id="second"))
    written = writes(both)
    again = apply(both, "third")

    # One cause is told once; what waits for it counts as it does.
    assert [(group["entity"], group["count"]) for group in red["red"]] == [("customer", 1)]
    assert (red["ambiguous"], red["behind_red"], red["waiting"]) == (5, 4, 0)
    assert red["debtors"]["customers_that_differ"] == 1
    assert abs(estimated - spent) < spent / 10, "what the plan said that the run would cost"
    canaries = both.sql("SELECT canary FROM billing_sync.runs WHERE run_id = 'first'")[0].canary
    assert {phase: each["state"] for phase, each in canaries.items()} == dict.fromkeys(
        EVERYTHING, "passed"
    )

    assert (green["colour"], green["total"]) == ("green", 113)
    assert (green["in_step"], green["skipped"], green["behind_red"]) == (98, 15, 0)
    assert (green["difference"], green["tax_difference"], green["tax_not_shown"]) == (
        "0.00",
        "0.00",
        0,
    )
    assert green["debtors"]["difference"] == "0.00"
    assert green["debtors"]["customers_that_differ"] == 0
    assert green["debtors"]["local_credit"] == green["debtors"]["zoho_credit"] == "221.00"
    for phase in EVERYTHING:
        entity = green["entities"][phase]
        assert entity["local_amount"] == entity["zoho_amount"] != "0.00"
        assert entity["in_step"] + entity["skipped"] == entity["total"]
    assert red["parents"] == {"synced": 13}

    assert writes(both) == written, "a third run sends nothing"
    assert (again["in_step"], again["updated"], again["colour"]) == (98, 0, "green")
    assert {line["action"] for line in plan_of(both, "third")} == {"unchanged", "skip"}


def test_a_payment_in_doubt_holds_its_customers_others_and_loses_none_of_them(
    both: World,
) -> None:
    both.zoho.control.arm(AnswerLost(operation="create_payment", body_contains="TX-0019"))

    report = apply(both, "first", only={"accounts": ["CT-2025-00007"]})

    payments = both.zoho.control.state().payments
    assert len({one["reference_number"] for one in payments}) == len(payments) == 4
    assert report["entities"]["payments"]["in_step"] == 4
    assert report["in_doubt"] == report["pending"] == 0


def test_a_restricted_run_brings_the_parents_along_and_lists_them(both: World) -> None:
    [paid] = both.sql("SELECT id FROM payment_transactions WHERE transaction_id = 'TX-0005'")
    only = {"ids": [str(paid.id)]}

    report = apply(both, "first", phases=["payments"], only=only)

    lines = plan_of(both, "first")
    assert [line["entity"] for line in lines if not line["as_parent"]] == ["payment"]
    parents = Counter(line["entity"] for line in lines if line["as_parent"])
    assert parents == {"customer": 1, "product": 1, "plan": 1, "subscription": 1, "invoice": 1}
    assert (report["total"], report["in_step"], report["parents"]) == (1, 1, {"synced": 5})
    assert len(both.zoho.control.state().payments) == 1


def test_what_was_altered_in_zoho_since_is_found_and_said(both: World) -> None:
    first_run(both)
    voided, other = both.sql(
        """SELECT v.id, r.zoho_id, v.invoice_number FROM customer_invoices v
           JOIN billing_sync.records r ON r.entity_type = 'invoice'
            AND r.entity_id = CAST(v.id AS text)
           WHERE v.invoice_number IN ('CTI-00001', 'CTI-00039') ORDER BY 1 DESC"""
    )
    by_hand(both, "POST", f"/invoices/{voided.zoho_id}/void")
    both.sql(
        "UPDATE billing_sync.records SET zoho_id = '999999' WHERE zoho_id = :id", id=other.zoho_id
    )

    report = apply(both, "second", only={"accounts": [ONE_CUSTOMER]})

    states = {
        row.entity_id: (row.state, row.code)
        for row in both.sql("SELECT * FROM billing_sync.records WHERE entity_type = 'invoice'")
    }
    assert states[str(voided.id)] == ("pending", "differs_in_zoho")
    assert states[str(other.id)] == ("failed", "gone_in_zoho")
    codes = {finding["code"] for finding in report["findings"]}
    assert {"gone_in_zoho", "debtors_differ"} <= codes


def test_a_list_that_lags_behind_the_runs_own_payments_raises_no_alarm(
    both: World, books: Books
) -> None:
    first_run(both)
    both.zoho.control.switch(index_lag_seconds=100_000)
    [unpaid] = both.sql(
        """UPDATE customer_invoices SET status = 'paid', amount_paid = total_amount
           WHERE invoice_number = 'CTI-00039' RETURNING id, customer_id, total_amount"""
    )
    both.insert(
        "payment_transactions",
        customer_id=unpaid.customer_id,
        invoice_id=unpaid.id,
        transaction_id="TX-1000",
        provider="bank",
        payment_method="eft",
        amount=unpaid.total_amount,
        status="completed",
        completed_at=at_noon(books.today),
    )

    report = apply(both, "second", only={"accounts": [ONE_CUSTOMER]})

    assert report["entities"]["payments"]["in_step"] == 7
    codes = {finding["code"] for finding in report["findings"]}
    assert codes.isdisjoint({"paid_here_open_there", "debtors_differ"})


def test_a_changed_price_that_misses_the_renewal_is_counted_in_rand(both: World) -> None:
    first_run(both)
    both.sql("UPDATE customer_services SET monthly_price = monthly_price + 100 WHERE id = 1")

    soon = both.worker.compare_books(Only(), days=0).discrepancies
    too_late = both.worker.compare_books(Only(), days=40).discrepancies

    assert Code.LATE_PRICE_CHANGE not in {each.code for each in soon}
    [late] = [each for each in too_late if each.code is Code.LATE_PRICE_CHANGE]
    assert (late.record, abs(late.amount)) == ("1", Decimal(100))


def by_hand(both: World, method: str, path: str) -> None:
    """Do something in Zoho's own screens, in the way that the API offers."""
    headers = {
        "Authorization": f"Zoho-oauthtoken {both.worker.tokens.current().value}",
        "X-com-zoho-subscriptions-organizationid": ORGANISATION,
    }
    url = f"{both.zoho.api_url}/billing/v1{path}"
    httpx.request(method, url, headers=headers).raise_for_status()


def first_run(both: World) -> None:
    """Bring one customer in step, with all that is theirs."""
    apply(both, "first", only={"accounts": [ONE_CUSTOMER]})
    both.worker.runs.end("first", "red")


def test_a_changed_package_is_updated_with_the_first_service_that_needs_it(both: World) -> None:
    first_run(both)
    both.sql("UPDATE service_packages SET name = 'Renamed' WHERE id = 10")
    both.sql("UPDATE customer_services SET monthly_price = monthly_price + 100 WHERE id = 1")

    report = apply(both, "second", only={"accounts": [ONE_CUSTOMER]})

    lines = plan_of(both, "second")
    changed = [line for line in lines if line["action"] not in ("unchanged", "skip")]
    assert [(line["entity"], line["action"]) for line in changed] == [
        ("plan", "update"),
        ("subscription", "update"),
    ]
    assert {one["name"] for one in both.zoho.control.state().plans} == {"Renamed"}
    # What Zoho keeps for the end of the term is what our books say.
    assert (report["colour"], report["difference"]) == ("green", "0.00")


def test_prices_that_an_exclusive_organisation_cannot_express_fail_with_both_figures(
    both: World,
) -> None:
    exclusive = both.container(PRICES_IN_ZOHO="exclusive")
    exclusive.run_files, exclusive.executions = both.worker.run_files, both.worker.executions
    both.worker = exclusive
    begin(both.worker, "plan", phases=["subscriptions"])
    drive(both, "plan", "snapshot")

    drive(both, "plan", "plan")

    failing = [line for line in plan_of(both, "plan") if line["action"] == "fail"]
    assert failing
    for line in failing:
        # Our price, tax included, and what Zoho would make of its nearest net one.
        assert len(set(re.findall(r"[0-9]+\.[0-9]{2}", line["reason"]))) >= 2, line["reason"]
    codes = {each.code for each in both.worker.runs.findings("plan")}
    assert "unsendable_subscriptions" in codes


def test_what_is_out_of_step_with_money_in_it_is_found_with_what_it_is_worth(
    both: World, books: Books
) -> None:
    first_run(both)
    yesterday = at_noon(books.today - timedelta(days=1))
    customer_id = both.customer_id(ONE_CUSTOMER)
    both.change("customer_services", 1, status="cancelled", cancelled_at=yesterday)
    without = both.insert(
        "customer_services",
        customer_id=customer_id,
        package_id=1,
        monthly_price=Decimal("459.00"),
        status="active",
        activation_date=books.today,
        billing_day=1,
    )
    both.sql(
        "UPDATE customer_invoices SET amount_paid = total_amount, status = 'paid'"
        " WHERE invoice_number = 'CTI-00039'"
    )

    sides = both.worker.compare_books(Only(accounts=(ONE_CUSTOMER,)))

    found = {(each.code, each.record): each.amount for each in sides.discrepancies}
    assert found[Code.SERVICE_WITHOUT_SUBSCRIPTION, without] == Decimal("459.00")
    [paid] = both.sql("SELECT * FROM customer_invoices WHERE invoice_number = 'CTI-00039'")
    assert found[Code.PAID_HERE_OPEN_THERE, str(paid.id)] == paid.total_amount
    assert found[Code.PAID_WITHOUT_PAYMENTS, str(paid.id)] == paid.total_amount
    assert sum(code is Code.SUBSCRIPTION_WITHOUT_SERVICE for code, _ in found) == 1
    [debtor] = sides.debtors
    assert debtor.owed_there - debtor.owed_here == paid.total_amount
