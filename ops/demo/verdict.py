"""Whether the demo showed what it promises: judged by the sync records and by fake Zoho's state.

Nothing here is counted by the demo itself.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from billing_sync.domain.states import State
from ops.cli.answers import Story
from ops.demo import scenario
from ops.demo.mishaps import ANSWER_LOST_OF, KILLED_DURING, Happened
from ops.fake_zoho import Holdings
from ops.fake_zoho.config import FakeZohoConfig

SUCCEEDED: Final = "SUCCEEDED"
FAILED: Final = "FAILED"


@dataclass(frozen=True)
class RunEnd:
    """A run: how its execution ended, and its `report.json`."""

    status: str
    report: dict[str, Any]
    # Why a failed execution failed, as Step Functions tells it.
    cause: str = ""
    # How often the execution entered each of its Wait states.
    waits: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """All that is judged."""

    config: FakeZohoConfig
    before: Holdings
    after_plan: Holdings
    after: Holdings
    plan: RunEnd
    first: RunEnd
    second: RunEnd
    happened: Happened
    # By account number: the stories of those whom something happened to.
    looks_alike_at_first: Story
    stories: dict[str, Story]


@dataclass(frozen=True)
class Condition:
    """One promise: what must hold, and what was seen."""

    sentence: str
    holds: bool
    seen: str


def figures(evidence: Evidence) -> dict[str, Any]:
    """Give `report.json`: the last run's records, both runs' waits, and Zoho's own counters.

    Both are runs of the same plan over the same rows, so the last one's report has the final state
    of all of them; what a run counts for itself (updates, waits) is summed.
    """
    first, second, zoho = evidence.first.report, evidence.second.report, evidence.after
    summed = {
        name: round(first[name] + second[name], 1)
        for name in ("updated", "cooldowns", "active_seconds", "waited_seconds")
    }
    return second | {
        **summed,
        "duplicates_in_zoho": sum(count - 1 for count in _bearers(zoho).values()),
        "mails_sent": len(zoho.mails),
        "zoho_calls": zoho.counters.calls,
        "http_429": sum(zoho.counters.http_429.values()),
        "tokens_minted": zoho.counters.tokens_minted,
        "runs": [
            {
                "run_id": run.report["run_id"],
                "mode": run.report["mode"],
                "execution": run.status,
                "colour": run.report["colour"],
                "why": run.report["why"],
            }
            for run in (evidence.plan, evidence.first, evidence.second)
        ],
    }


def judge(evidence: Evidence) -> list[Condition]:
    """Hold every promise of the demo against what was seen."""
    told = figures(evidence)
    return [
        Condition(
            f"{scenario.IN_STEP} of {scenario.IN_STEP} are in step",
            (told["in_step"], told["total"]) == (scenario.IN_STEP, scenario.SOURCE_ROWS),
            f"{told['in_step']} in step of {told['total']} rows, {told['skipped']} skipped",
        ),
        _test_accounts(evidence),
        _plan_wrote_nothing(evidence),
        _kept_by_account_number(evidence),
        _looked_alike(evidence),
        _strangers(evidence),
        Condition(
            "one access token was minted", told["tokens_minted"] == 1, str(told["tokens_minted"])
        ),
        Condition(
            "no call was answered 429",
            told["http_429"] == 0,
            f"{told['http_429']} of {told['zoho_calls']} calls",
        ),
        _cooled_down(evidence),
        Condition("nobody was mailed", told["mails_sent"] == 0, str(told["mails_sent"])),
        _lost_answer(evidence),
        _killed(evidence),
        Condition(
            "no account number is in Zoho twice",
            told["duplicates_in_zoho"] == 0,
            f"{told['duplicates_in_zoho']} duplicates among {len(evidence.after.customers)}",
        ),
    ]


def _test_accounts(evidence: Evidence) -> Condition:
    sent = [number for number in scenario.TEST_ACCOUNTS if _with_number(evidence.after, number)]
    skipped = evidence.second.report["skipped"]
    return Condition(
        "the two test accounts were not sent",
        not sent and skipped == len(scenario.TEST_ACCOUNTS),
        ", ".join(sent) or f"{skipped} skipped, neither is in Zoho",
    )


def _plan_wrote_nothing(evidence: Evidence) -> Condition:
    return Condition(
        "the plan wrote nothing to Zoho",
        evidence.plan.status == SUCCEEDED
        and evidence.after_plan.customers == evidence.before.customers,
        f"execution {evidence.plan.status},"
        f" {len(evidence.after_plan.customers)} customers in Zoho as before",
    )


def _kept_by_account_number(evidence: Evidence) -> Condition:
    number = scenario.KEPT_BY_ACCOUNT_NUMBER
    before = _ids(_with_number(evidence.before, number))
    after = _ids(_with_number(evidence.after, number))
    record = evidence.stories[number].record
    return Condition(
        "customer 10 was linked and not duplicated",
        len(before) == 1 and after == before and [record.zoho_id] == before
        and record.how == "linked",
        f"{number} is {record.zoho_id}, {record.how or record.state}; {len(after)} in Zoho bear it",
    )  # fmt: skip


def _looked_alike(evidence: Evidence) -> Condition:
    number = scenario.LOOKS_ALIKE
    at_first, at_last = evidence.looks_alike_at_first.record, evidence.stories[number].record
    after = _ids(_with_number(evidence.after, number))
    return Condition(
        "customer 7 was ambiguous, the run red; linked, the next one ended green",
        at_first.state is State.AMBIGUOUS
        and (evidence.first.status, evidence.first.report["colour"]) == (FAILED, "red")
        and (evidence.second.status, evidence.second.report["colour"]) == (SUCCEEDED, "green")
        and at_last.how == "linked"
        and after == list(at_first.candidates),
        f"first {at_first.state}, execution {evidence.first.status};"
        f" then {at_last.how or at_last.state}, execution {evidence.second.status}",
    )


def _strangers(evidence: Evidence) -> Condition:
    """Compare those whom nobody here has: as they were made, and never written to."""
    ours = {scenario.KEPT_BY_ACCOUNT_NUMBER, scenario.LOOKS_ALIKE}
    met = {id_ for number in ours for id_ in _ids(_with_number(evidence.after, number))}
    before = {one["customer_id"]: one for one in evidence.before.customers}
    after = {one["customer_id"]: one for one in evidence.after.customers}
    strangers = [id_ for id_ in before if id_ not in met]
    profiles = {
        seed.profile["display_name"]: seed.profile
        for seeds in evidence.config.seed.values()
        for seed in seeds
    }
    touched = [
        id_
        for id_ in strangers
        if id_ not in after
        or after[id_] != before[id_]
        or after[id_]["_writes"] != 0
        or not _is_as_seeded(after[id_], profiles.get(after[id_]["display_name"]))
    ]
    return Condition(
        "strangers are untouched",
        len(strangers) == len(before) - len(ours) and not touched,
        f"{len(strangers) - len(touched)} of {len(strangers)} are as they were",
    )


def _is_as_seeded(customer: dict[str, Any], profile: dict[str, Any] | None) -> bool:
    if profile is None:
        return False
    numbers = [field["value"] for field in profile.get("custom_fields", [])]
    return _numbers(customer) == numbers and all(
        customer[name] == value for name, value in profile.items() if name != "custom_fields"
    )


def _cooled_down(evidence: Evidence) -> Condition:
    """Count only the waits between batches: those for a proof would be there without any limit."""
    waits = evidence.first.waits
    named = ", ".join(f"{name} {count}" for name, count in waits.items()) or "none"
    return Condition(
        "the limits made it cool down in the Wait state CoolDown",
        waits.get("CoolDown", 0) > 0,
        named,
    )


def _lost_answer(evidence: Evidence) -> Condition:
    lost = evidence.happened.answers_lost
    return _survived(
        evidence,
        ANSWER_LOST_OF,
        sentence="the answer that Zoho lost after it committed made no second customer",
        happened=lost == 1,
        what=f"{lost} answer lost",
    )


def _killed(evidence: Evidence) -> Condition:
    pid, committed = evidence.happened.killed_pid, evidence.happened.committed_before_kill
    return _survived(
        evidence,
        KILLED_DURING,
        sentence="the killed Lambda made no second customer",
        happened=pid is not None and committed,
        what=f"worker {pid} killed" if pid else "no worker was killed",
    )


def _survived(
    evidence: Evidence, number: str, *, sentence: str, happened: bool, what: str
) -> Condition:
    """Require one customer in Zoho, and a proof that found it: neither luck nor a second POST.

    A write that was proved never to have happened beside it is none: its worker may have died, or
    stalled, before the first byte.
    """
    story = evidence.stories[number]
    creates = [intent for intent in story.intents if intent.method == "create"]
    ends = Counter(str(intent.closed_as) for intent in creates)
    proved = ends["found"] == 1 and set(ends) <= {"found", "absent", "never_sent"}
    in_zoho = _ids(_with_number(evidence.after, number))
    return Condition(
        sentence,
        happened and proved and in_zoho == [story.record.zoho_id],
        f"{what}; the create of {number}: {', '.join(ends)}; {len(in_zoho)} in Zoho",
    )


def _bearers(holdings: Holdings) -> Counter[str]:
    """Count Zoho's customers by account number."""
    return Counter(number for one in holdings.customers for number in _numbers(one))


def _with_number(holdings: Holdings, number: str) -> list[dict[str, Any]]:
    """Find who bears an account number, in the custom field or in the name."""
    return [
        one
        for one in holdings.customers
        if number in _numbers(one) or f"({number})" in one["display_name"]
    ]


def _numbers(customer: dict[str, Any]) -> list[str]:
    return [
        field["value"] for field in customer["custom_fields"] if field["label"] == "Account Number"
    ]


def _ids(customers: list[dict[str, Any]]) -> list[str]:
    return [one["customer_id"] for one in customers]
