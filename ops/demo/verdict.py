"""Whether the demo showed what it promises: judged by the sync records and by fake Zoho's state.

Nothing here is counted by the demo itself; only the seconds of its webhooks are its own.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Final

from billing_sync.domain.money import total_of
from billing_sync.domain.states import State
from billing_sync.domain.triggers import Trigger
from ops.cli.answers import Story
from ops.cli.triggers import ACCEPTED
from ops.demo import newcomer, scenario
from ops.demo.mishaps import ANSWER_LOST_OF, DRAFT_LOST, KILLED_DURING, PAYMENT_LOST, Happened
from ops.demo.real_time import RealTime
from ops.demo.reckoning import (
    NOT_OWED,
    Application,
    Reckoning,
    Row,
    account_number,
    duplicates,
    reckon,
)
from ops.fake_zoho import Holdings, LogEntry
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


@dataclass(frozen=True)
class Calls:
    """What an entity cost: how many of it we wrote, in how many calls, and what was read of it."""

    records: int
    writes: int
    reads: int
    pages: int


type CallsPerEntity = dict[str, Calls]

_KINDS: Final = ("customer", "product", "plan", "subscription", "invoice", "payment")


def calls_per_entity(log: Iterable[LogEntry], zoho: Holdings) -> CallsPerEntity:
    """Count the calls of a log by what they are about."""
    counted = {kind: Counter[str]() for kind in _KINDS}
    for entry in log:
        operation = entry.operation or ""
        kind = next((kind for kind in _KINDS if kind in operation), None)
        if kind is not None:
            sort, _, _ = operation.partition("_")
            counted[kind][sort if sort in {"get", "list"} else "write"] += 1
    return {
        f"{kind}s": Calls(
            sum(1 for one in held if one["_writes"]),
            counted[kind]["write"],
            counted[kind]["get"],
            counted[kind]["list"],
        )
        for kind, held in zip(_KINDS, _records(zoho).values(), strict=True)
    }


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
    # After the calendar had passed two renewals.
    third: RunEnd
    happened: Happened
    # By account number, invoice number or transaction: stories of what something happened to.
    looks_alike_at_first: Story
    stories: dict[str, Story]
    application: Application
    calls: CallsPerEntity
    # Since when the sync was live: after the first run, and after the second.
    live: tuple[datetime | None, datetime | None]
    real_time: RealTime

    @property
    def runs(self) -> tuple[RunEnd, RunEnd, RunEnd]:
        """The runs that wrote."""
        return self.first, self.second, self.third


@dataclass(frozen=True)
class Condition:
    """One promise: what must hold, and what was seen."""

    sentence: str
    holds: bool
    seen: str


def figures(evidence: Evidence) -> dict[str, Any]:
    """Give `report.json`: the last run's records, all runs' waits, and Zoho's own counters.

    All are runs over all records, so the last one's report has the final state of all of them;
    what a run counts for itself (updates, waits) is summed.
    """
    zoho = evidence.after
    summed = {
        name: round(sum(run.report[name] for run in evidence.runs), 1)
        for name in ("updated", "cooldowns", "active_seconds", "waited_seconds")
    }
    return evidence.third.report | {
        **summed,
        "duplicates_in_zoho": sum(duplicates(zoho).values()),
        "mails_sent": len(zoho.mails),
        "zoho_calls": zoho.counters.calls,
        "http_429": sum(zoho.counters.http_429.values()),
        "tokens_minted": zoho.counters.tokens_minted,
        "triggers": {trigger.value: _seconds(evidence, trigger) for trigger in Trigger},
        "calls_per_record": {entity: asdict(one) for entity, one in evidence.calls.items()},
        "runs": [
            {
                "run_id": run.report["run_id"],
                "mode": run.report["mode"],
                "execution": run.status,
                "colour": run.report["colour"],
                "why": run.report["why"],
            }
            for run in (evidence.plan, *evidence.runs)
        ],
    }


def judge(evidence: Evidence) -> list[Condition]:
    """Hold every promise of the demo against what was seen."""
    told = figures(evidence)
    reckoning = reckon(evidence.application, evidence.after)
    return [
        _all_in_step(told),
        *_to_the_cent(reckoning),
        _told_as_reckoned(told),
        _debtors(reckoning),
        _days(reckoning),
        _waiting(evidence),
        Condition(
            "nothing is in Zoho twice",
            told["duplicates_in_zoho"] == 0,
            f"{told['duplicates_in_zoho']} duplicates among"
            f" {sum(map(len, _records(evidence.after).values()))} records",
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
        _lost_draft(evidence),
        _lost_payment(evidence),
        _killed(evidence),
        _live(evidence),
        _arrived(evidence),
        _once_each(evidence),
    ]


_OUT_OF_STEP: Final = (
    "failed",
    "ambiguous",
    "mismatch",
    "exhausted",
    "in_doubt",
    "retrying",
    "blocked",
    "pending",
)


def _all_in_step(told: dict[str, Any]) -> Condition:
    """Require that nothing is left over: in step, not to be sent, or Zoho's own turn."""
    entities = told["entities"]
    whole = all(
        one["in_step"] + one["skipped"] + one["waiting"] == one["total"] and one["in_step"] > 0
        for one in entities.values()
    )
    skipped = {name: one["skipped"] for name, one in entities.items()}
    left = [f"{told[state]} {state}" for state in _OUT_OF_STEP if told.get(state)]
    return Condition(
        "every record is in step, rightly skipped, or waits for Zoho",
        whole and not left and skipped == scenario.SKIPPED,
        "; ".join(
            (
                *(
                    f"{name}: {one['in_step']} in step and {one['skipped']} skipped"
                    f" of {one['total']}"
                    for name, one in entities.items()
                ),
                *left,
            )
        ),
    )


def _to_the_cent(reckoning: Reckoning) -> list[Condition]:
    """Compare sums that the demo takes from both sides itself."""
    sides = (
        ("subscriptions", "what is billed every month is the same", reckoning.monthly),
        ("invoices", "what was invoiced is the same to the cent", reckoning.invoices),
        ("invoices", "its VAT is the same to the cent", reckoning.tax),
        ("payments", "what was paid is the same to the cent", reckoning.payments),
    )
    return [
        Condition(
            sentence,
            figure.equal and reckoning.counts[entity][0] == reckoning.counts[entity][1] > 0,
            f"{figure}; {reckoning.counts[entity][0]} and {reckoning.counts[entity][1]} {entity}",
        )
        for entity, sentence, figure in sides
    ]


def _told_as_reckoned(told: dict[str, Any]) -> Condition:
    """Hold the product's own report against it."""
    debtors = told["debtors"]
    differences = (told["difference"], told["tax_difference"], debtors["difference"])
    return Condition(
        "the last run's own report finds no difference",
        set(differences) == {"0.00"} and debtors["customers_that_differ"] == 0,
        "amounts {}, VAT {}, debtors {}".format(*differences),
    )


def _debtors(reckoning: Reckoning) -> Condition:
    differing = [
        f"{one.account_number}: owed {one.owed}; credit {one.credit}"
        for one in reckoning.debtors
        if not (one.owed.equal and one.credit.equal)
    ]
    owed = total_of(one.owed.here for one in reckoning.debtors)
    credit = total_of(one.credit.here for one in reckoning.debtors)
    return Condition(
        "each customer owes the same on both sides, and has the same credit",
        len(reckoning.debtors) == scenario.CUSTOMERS + scenario.NEWCOMERS and not differing,
        "; ".join(differing) or f"{owed:,.2f} owed, {credit:,.2f} of credit",
    )


def _days(reckoning: Reckoning) -> Condition:
    days = reckoning.days
    return Condition(
        "each day of each service is billed once in Zoho",
        days.billed > 0 and not (days.twice or days.missing or days.too_many),
        f"{days.billed} days: {days.twice} twice, {days.missing} missing, {days.too_many} too many",
    )


def _waiting(evidence: Evidence) -> Condition:
    waiting = sorted(evidence.application.waiting)
    kinds = {entity for entity, _ in waiting}
    numbers = {
        ("invoice", str(one["id"])): one["invoice_number"] for one in evidence.application.invoices
    }
    return Condition(
        "only the invoice that Zoho has not raised yet waits",
        len(waiting) == scenario.WAITING and kinds == {"invoice"},
        ", ".join(numbers.get(record, " ".join(record)) for record in waiting) or "none",
    )


def _test_accounts(evidence: Evidence) -> Condition:
    sent = [number for number in scenario.TEST_ACCOUNTS if _with_number(evidence.after, number)]
    skipped = evidence.third.report["entities"]["customers"]["skipped"]
    return Condition(
        "the two test accounts were not sent",
        not sent and skipped == len(scenario.TEST_ACCOUNTS),
        ", ".join(sent) or f"{skipped} skipped, neither is in Zoho",
    )


def _plan_wrote_nothing(evidence: Evidence) -> Condition:
    before = _records(evidence.before)
    return Condition(
        "the plan wrote nothing to Zoho",
        evidence.plan.status == SUCCEEDED and _records(evidence.after_plan) == before,
        f"execution {evidence.plan.status},"
        f" {sum(map(len, before.values()))} records in Zoho as before",
    )


def _records(zoho: Holdings) -> dict[str, list[dict[str, Any]]]:
    return {f"{kind}s": getattr(zoho, f"{kind}s") for kind in _KINDS}


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
        "customer 7 was ambiguous, the run red; linked, the next two ended green",
        at_first.state is State.AMBIGUOUS
        and (evidence.first.status, evidence.first.report["colour"]) == (FAILED, "red")
        and all(
            (run.status, run.report["colour"]) == (SUCCEEDED, "green")
            for run in (evidence.second, evidence.third)
        )
        and at_last.how == "linked"
        and after == list(at_first.candidates),
        f"first {at_first.state}, execution {evidence.first.status};"
        f" then {at_last.how or at_last.state}, executions {evidence.second.status} and"
        f" {evidence.third.status}",
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
    seeded = [field["value"] for field in profile.get("custom_fields", [])]
    return account_number(customer) == next(iter(seeded), None) and all(
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
    in_zoho = _ids(_with_number(evidence.after, ANSWER_LOST_OF))
    return _lost(evidence, ANSWER_LOST_OF, "customer", in_zoho)


def _lost_draft(evidence: Evidence) -> Condition:
    bearing = [one for one in evidence.after.invoices if one["number"] == DRAFT_LOST]
    opened = [one["invoice_id"] for one in bearing if one["status"] not in NOT_OWED]
    return _lost(evidence, DRAFT_LOST, "invoice", opened)


def _lost_payment(evidence: Evidence) -> Condition:
    payments = evidence.after.payments
    bearing = [one["payment_id"] for one in payments if one["reference_number"] == PAYMENT_LOST]
    return _lost(evidence, PAYMENT_LOST, "payment", bearing)


def _lost(evidence: Evidence, name: str, kind: str, in_zoho: list[str]) -> Condition:
    lost = evidence.happened.answers_lost.get(name, 0)
    return _survived(
        evidence,
        name,
        in_zoho,
        sentence=f"the answer that Zoho lost after it committed made no second {kind}",
        happened=lost == 1,
        what=f"{lost} answer lost",
    )


def _killed(evidence: Evidence) -> Condition:
    pid, committed = evidence.happened.killed_pid, evidence.happened.committed_before_kill
    return _survived(
        evidence,
        KILLED_DURING,
        _ids(_with_number(evidence.after, KILLED_DURING)),
        sentence="the killed Lambda made no second customer",
        happened=pid is not None and committed,
        what=f"worker {pid} killed" if pid else "no worker was killed",
    )


def _survived(
    evidence: Evidence, name: str, in_zoho: list[str], *, sentence: str, happened: bool, what: str
) -> Condition:
    """Require one record in Zoho, and a proof that found it: neither luck nor a second POST.

    A write that was proved never to have happened beside it is none: its worker may have died, or
    stalled, before the first byte. Nor is one that Zoho refused: a number is sent again, for Zoho
    takes each once.
    """
    story = evidence.stories[name]
    creates = [intent for intent in story.intents if intent.method == "create"]
    ends = Counter(str(intent.closed_as) for intent in creates)
    proved = ends["found"] == 1 and set(ends) <= {"found", "absent", "never_sent", "refused"}
    return Condition(
        sentence,
        happened and proved and in_zoho == [story.record.zoho_id],
        f"{what}; the create of {name}: {', '.join(ends)}; {len(in_zoho)} in Zoho",
    )


def _live(evidence: Evidence) -> Condition:
    at_first, live_from = evidence.live
    return Condition(
        "the sync went live by its first clean run, and not before",
        at_first is None and live_from is not None,
        "never" if live_from is None else f"live from {live_from:%-d %B %Y %H:%M:%S} UTC",
    )


def _arrived(evidence: Evidence) -> Condition:
    """Hold the rows of the application, as they are at the end, against fake Zoho's state."""
    rows = _newcomers_rows(evidence.application)
    there = {
        trigger: [one.is_right for one in newcomer.shown(trigger, row, evidence.after)]
        for trigger, row in rows.items()
    }
    seconds = {trigger: _seconds(evidence, trigger) for trigger in Trigger}
    return Condition(
        "each of four webhooks brought its record into Zoho, equal to the cent",
        None not in seconds.values() and all(any(there.get(trigger, ())) for trigger in Trigger),
        "; ".join(
            f"{trigger} {'never' if took is None else f'after {took} s'}"
            for trigger, took in seconds.items()
        ),
    )


def _once_each(evidence: Evidence) -> Condition:
    """Require that the second time was heard and worked off, or it would prove nothing."""
    rows, real_time = _newcomers_rows(evidence.application), evidence.real_time
    found = {
        trigger: len(newcomer.shown(trigger, row, evidence.after)) for trigger, row in rows.items()
    }
    return Condition(
        "each webhook came twice, and made one record",
        real_time.again == dict.fromkeys(Trigger, ACCEPTED)
        and real_time.is_worked_off
        and real_time.writes_again == 0
        and found == dict.fromkeys(Trigger, 1),
        f"{len(real_time.again)} came again, for {real_time.writes_again} writes;"
        f" {sum(found.values())} records",
    )


def _newcomers_rows(application: Application) -> dict[Trigger, Row]:
    """Find what the application holds of her, as it is at the end."""
    hers = [
        one for one in application.customers if one["account_number"] == newcomer.ACCOUNT_NUMBER
    ]
    ids = {one["id"] for one in hers}
    tables = {
        Trigger.CUSTOMER_REGISTERED: hers,
        Trigger.SERVICE_ACTIVATED: application.services,
        Trigger.INVOICE_GENERATED: application.invoices,
        Trigger.PAYMENT_COMPLETED: application.payments,
    }
    return {
        trigger: row
        for trigger, rows in tables.items()
        for row in rows
        if row.get("customer_id", row["id"]) in ids
    }


def _seconds(evidence: Evidence, trigger: Trigger) -> float | None:
    """Give the seconds from a trigger's post to its record in Zoho; None: it never came."""
    for arrival in evidence.real_time.arrivals:
        if arrival.trigger is trigger and arrival.seconds is not None:
            return round(arrival.seconds, 1)
    return None


def _with_number(holdings: Holdings, number: str) -> list[dict[str, Any]]:
    """Find who bears an account number, in the custom field or in the name."""
    return [
        one
        for one in holdings.customers
        if number == account_number(one) or f"({number})" in one["display_name"]
    ]


def _ids(customers: list[dict[str, Any]]) -> list[str]:
    return [one["customer_id"] for one in customers]
