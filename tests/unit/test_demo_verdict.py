"""The demo's verdict: all holds on what it should see, and each broken promise is named."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from billing_sync.domain.states import EntityType, State
from ops.cli.answers import Story, StoryIntent, StoryRecord
from ops.demo import report, scenario
from ops.demo.display import Stage
from ops.demo.mishaps import ANSWER_LOST_OF, KILLED_DURING, Happened
from ops.demo.verdict import Condition, Evidence, RunEnd, figures, judge
from ops.fake_zoho import FakeZoho, Holdings, Mail

FINAL = {
    "run_id": "second",
    "mode": "apply",
    "colour": "green",
    "why": "Everything is in step.",
    "in_step": 13,
    "total": 15,
    "created": 11,
    "linked": 2,
    "updated": 1,
    "skipped": 2,
    "failed": 0,
    "ambiguous": 0,
    "waiting": 0,
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


@pytest.fixture
def evidence() -> Evidence:
    """What a good run leaves behind: fake Zoho is the real one, in memory."""
    config = scenario.zoho()
    fake = FakeZoho(config)
    book = fake.organisation().customers
    before = fake.holdings()
    ids = {one["display_name"]: one["customer_id"] for one in before.customers}

    def body(number: str) -> dict[str, Any]:
        return {
            "display_name": f"Somebody ({number})",
            "custom_fields": [{"label": "Account Number", "value": number}],
        }

    made = {
        number: book.create(body(number), by="billing-sync").customer_id
        for number in (KILLED_DURING, ANSWER_LOST_OF)
    }
    kept, alike = ids["N. Dlamini"], ids["Newgate Medical"]
    book.update(kept, body(scenario.KEPT_BY_ACCOUNT_NUMBER))
    book.update(alike, body(scenario.LOOKS_ALIKE))
    after = fake.holdings()
    after.counters.tokens_minted, after.counters.calls = 1, 45
    return Evidence(
        config=config,
        before=before,
        after_plan=before,
        after=after,
        plan=RunEnd("SUCCEEDED", FINAL | {"run_id": "plan", "mode": "plan"}),
        first=RunEnd("FAILED", AT_FIRST, "Not in step: 1 ambiguous.", {"CoolDown": 2}),
        second=RunEnd("SUCCEEDED", FINAL),
        happened=Happened(answers_lost=1, killed_pid=4711, committed_before_kill=True),
        looks_alike_at_first=story(scenario.LOOKS_ALIKE, State.AMBIGUOUS, candidates=(alike,)),
        stories={
            scenario.KEPT_BY_ACCOUNT_NUMBER: story(
                scenario.KEPT_BY_ACCOUNT_NUMBER, State.SYNCED, zoho_id=kept, how="linked"
            ),
            scenario.LOOKS_ALIKE: story(
                scenario.LOOKS_ALIKE, State.SYNCED, zoho_id=alike, how="linked"
            ),
            **{
                number: story(number, State.SYNCED, zoho_id=zoho_id, intents=(found(),))
                for number, zoho_id in made.items()
            },
        },
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


def test_figures_are_zohos_own_and_waits_are_of_both_runs(evidence: Evidence) -> None:
    told = figures(evidence)

    assert (told["zoho_calls"], told["tokens_minted"], told["http_429"]) == (45, 1, 0)
    assert (told["in_step"], told["total"], told["created"], told["linked"]) == (13, 15, 11, 2)
    assert (told["cooldowns"], told["waited_seconds"], told["active_seconds"]) == (6, 8.5, 8.2)
    assert [run["execution"] for run in told["runs"]] == ["SUCCEEDED", "FAILED", "SUCCEEDED"]


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

    assert seen == [promise, "no account number is in Zoho twice"]


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
        "customer 7 was ambiguous, the run red; linked, the next one ended green"
    ]


def test_waits_for_a_proof_are_no_cool_down(evidence: Evidence) -> None:
    proofs = replace(evidence, first=replace(evidence.first, waits={"WorkOffCoolDown": 3}))

    assert broken(proofs) == ["the limits made it cool down in the Wait state CoolDown"]


def test_the_report_is_written_for_people_and_for_programs(
    evidence: Evidence, tmp_path: Path
) -> None:
    conditions = [*judge(evidence), Condition("pigs fly", holds=False, seen="none did")]

    people, programs = report.write(
        tmp_path / "demo", figures(evidence), conditions, [Stage("Start", 1.24)]
    )

    told = json.loads(programs.read_text(encoding="utf-8"))
    assert (told["in_step"], told["mails_sent"]) == (13, 0)
    assert told["conditions"][-1] == {"condition": "pigs fly", "holds": False, "seen": "none did"}
    assert told["stage_seconds"] == {"Start": 1.2}
    text = people.read_text(encoding="utf-8")
    assert text.startswith("# The demo: 1 of the conditions does not hold\n")
    assert "| ✗ | pigs fly | none did |" in text
    assert sorted(path.name for path in people.parent.iterdir()) == ["report.json", "report.md"]
