"""What must hold when a round has come to rest, whatever happened to it."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from billing_sync.config import ACCOUNT_NUMBER_LABEL
from billing_sync.domain.customers import differing_fields, differing_figures
from billing_sync.domain.remote import RemoteCustomer
from billing_sync.domain.states import STATES, State
from billing_sync.services.customers import read_source
from billing_sync.services.rules import Source
from ops.fake_zoho import max_in_any_window, max_in_flight
from tests.campaign.stage import Stage, number_in

ON_THE_WAY_SECONDS: Final = 0.25
"""What a byte may need from the last look at the window to fake Zoho's log, on a busy machine."""

EXPECTED_SQLSTATES: Final = ("25P03", "57P05")
"""The server ended the session of a worker that stood still in a transaction."""

PASSING_CODES: Final = ("zoho_1000", "missing_scope")
"""Refusals that an armed fault brings about; an operator's retry mends them."""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken invariant, with what both sides say of it."""

    invariant: str
    facts: Row


@dataclass(frozen=True, slots=True)
class Sides:
    """Both sides at one moment."""

    customers: dict[str, Row]
    records: dict[str, Row]
    intents: list[Row]
    audit: list[Row]
    zoho: dict[str, Row]


def look(stage: Stage) -> Sides:
    """Read everything, once."""
    customers = stage.rows("SELECT * FROM customers ORDER BY id")
    records = stage.rows("SELECT * FROM billing_sync.records ORDER BY entity_id")
    return Sides(
        customers={str(row["id"]): row for row in customers},
        records={row["entity_id"]: row for row in records},
        intents=stage.rows("SELECT * FROM billing_sync.intents ORDER BY intent_id"),
        audit=stage.rows("SELECT * FROM billing_sync.audit ORDER BY audit_id"),
        zoho={row["customer_id"]: row for row in stage.zoho.control.customers()},
    )


def check(stage: Stage, *, mended: bool) -> list[Violation]:
    """Check all that must hold at rest; `mended` says that an operator has retried what failed."""
    sides = look(stage)
    return [
        *_made_by_us(sides, _duplicates_reported(stage), mended=mended),
        *_strangers(stage, sides),
        *_records(stage, sides, mended=mended),
        *_intents(sides),
        *_status_columns(sides),
        *_limits(stage),
    ]


def _duplicates_reported(stage: Stage) -> set[str]:
    """Give the account numbers that a run's report names, because several in Zoho bear them."""
    findings = stage.rows(
        "SELECT records FROM billing_sync.findings WHERE code = 'two_customers_for_one_account'"
    )
    return {str(account) for finding in findings for account in finding["records"]}


def _made_by_us(sides: Sides, reported: set[str], *, mended: bool) -> Iterator[Violation]:
    ours = defaultdict(list)
    for zoho_id, customer in sides.zoho.items():
        if customer["_by_api"]:
            ours[number_in(customer)].append(zoho_id)
    for account, zoho_ids in ours.items():
        if len(zoho_ids) > 1:
            yield Violation(
                "one account number, one customer made by us", _story(sides, account, *zoho_ids)
            )
    if not mended:
        return  # only a whole backfill looks at both sides, and reports
    held = {record["zoho_id"]: record for record in sides.records.values()}
    linked_by_hand = {row["entity_id"] for row in sides.audit if row["action"] == "link"}
    for account, zoho_ids in ours.items():
        by_hand = any(
            record["entity_id"] in linked_by_hand
            for record in sides.records.values()
            if _account(sides, record) == account
        )
        # A record that was ambiguous may be skipped by now; the report still names the number.
        asked_for = set(zoho_ids) if account in reported else _named(sides, zoho_ids)
        for zoho_id in zoho_ids:
            if zoho_id not in held and not by_hand and zoho_id not in asked_for:
                yield Violation(
                    "what we made, a record of ours holds", _story(sides, account, zoho_id)
                )


def _named(sides: Sides, zoho_ids: Sequence[str]) -> set[str]:
    """Give those that a person was shown: as candidates of an ambiguous record."""
    candidates = {one for record in sides.records.values() for one in record["candidates"]}
    return candidates.intersection(zoho_ids)


def _strangers(stage: Stage, sides: Sides) -> Iterator[Violation]:
    links = {
        (row["entity_id"], row["details"].get("zoho_id"))
        for row in sides.audit
        if row["action"] == "link"
    }
    for zoho_id, stranger in stage.strangers.items():
        customer = sides.zoho.get(zoho_id)
        if customer is None:
            yield Violation("nobody is deleted in Zoho", {"zoho_id": zoho_id})
            continue
        if not customer["_writes"]:
            continue
        bears = stranger.account_number if stranger.shares in ("account", "display_name") else None
        holders = [
            record
            for record in sides.records.values()
            if zoho_id in (record["zoho_id"], *record["former_zoho_ids"])
        ]
        allowed = any(
            (record["entity_id"], zoho_id) in links
            or (bears is not None and bears == number_in(customer))
            for record in holders
        )
        if not allowed:
            yield Violation(
                "no stranger is written to",
                {"stranger": stranger, **_story(sides, stranger.account_number, zoho_id)},
            )


def _records(stage: Stage, sides: Sides, *, mended: bool) -> Iterator[Violation]:
    for entity_id in sorted({*sides.customers, *sides.records}):
        why = _judge(stage, sides, entity_id, mended=mended)
        if why is not None:
            row = sides.customers.get(entity_id)
            account = row["account_number"] if row else None
            record = sides.records.get(entity_id)
            zoho_id = record["zoho_id"] if record else None
            yield Violation(
                f"every record ends in a state that is right: {why}",
                {"entity_id": entity_id, **_story(sides, account, zoho_id, entity_id=entity_id)},
            )


def _judge(stage: Stage, sides: Sides, entity_id: str, *, mended: bool) -> str | None:  # noqa: C901
    """Say what is wrong with a record at rest, or None."""
    record = sides.records.get(entity_id)
    customer = stage.parent.source.customer(entity_id)
    if record is None:
        return "it is silently missing"
    state, code = State(record["state"]), record["code"]
    if not STATES[state].claimed_on_signal:
        return f"{state} is no rest"
    if record["signals"] > record["signals_claimed"]:
        return "a signal is still unclaimed"
    if not mended and (
        state is State.EXHAUSTED or (state is State.FAILED and code in PASSING_CODES)
    ):
        return None
    if customer is None:
        if record["zoho_id"] is None:
            return None
        if state is State.FAILED and code == "deleted_here":
            return None
        # Only a whole backfill notices rows that are gone.
        return "its row is gone, and it does not say so" if mended else None
    ours = read_source(
        customer,
        stage.parent.names,
        account_label=ACCOUNT_NUMBER_LABEL,
        default_currency=stage.parent.organisations.currency(),
    )
    if ours.skip is not None:
        return None if state is State.SKIPPED else f"{state} instead of skipped"
    if ours.refused is not None:
        refused = ours.refused.code
        return None if (state, code) == (State.FAILED, refused) else f"{state} instead of {refused}"
    if state is State.SYNCED:
        return _judge_synced(sides, record, ours)
    if state is State.AMBIGUOUS:
        # Until somebody asks again it says what was true when it was looked at.
        return _judge_ambiguous(sides, record, ours) if mended else None
    if state is State.FAILED and code in ("zoho_3062", "taken"):
        return _judge_taken(stage, sides, record, ours)
    return f"{state} ({code}) without a reason"


def _judge_taken(stage: Stage, sides: Sides, record: Row, ours: Source) -> str | None:
    """Look for somebody else who bears the name: people's namesakes were there before."""
    namesakes = {
        zoho_id
        for zoho_id, one in sides.zoho.items()
        if one["display_name"].casefold() == ours.payload["display_name"].casefold()
    }
    if stage.weather.names_may_repeat or not namesakes - {record["zoho_id"]}:
        return f"{record['code']}, and nobody bears its name"
    return None


def _judge_synced(sides: Sides, record: Row, ours: Source) -> str | None:
    customer = sides.zoho.get(record["zoho_id"])
    if customer is None:
        return "synced, and not in Zoho"
    # What is owed plays no part, and amounts came as floats.
    profile = {key: value for key, value in customer.items() if not isinstance(value, float)}
    theirs = RemoteCustomer.read(profile, ACCOUNT_NUMBER_LABEL)
    differing = [
        *differing_figures(ours.figures, theirs),
        *differing_fields(ours.payload, ours.key, theirs),
    ]
    if differing:
        return f"synced, and yet different in {', '.join(differing)}"
    if record["confirmed_fingerprint"] != ours.fingerprint:
        return "synced, and yet its fingerprint is another one"
    return None


def _judge_ambiguous(sides: Sides, record: Row, ours: Source) -> str | None:
    """Look for the reason without the product's own way of finding it."""
    row = ours.row
    candidates = [sides.zoho[zoho_id] for zoho_id in record["candidates"] if zoho_id in sides.zoho]
    if not candidates:
        return "ambiguous without a candidate in Zoho"
    match record["code"]:
        case "plausible":
            name = f"{row.first_name} {row.last_name}"
            shares = all(
                number_in(one) is None
                and (
                    (row.email and one["email"] == row.email)
                    or one["phone"] == row.phone
                    or f"{one['first_name']} {one['last_name']}" == name
                )
                for one in candidates
            )
            return None if shares else "ambiguous, and a candidate shares nothing with it"
        case "several" | "duplicate":
            bearing = [one for one in candidates if number_in(one) == ours.key]
            return None if len(bearing) > 1 else "ambiguous, and not several bear its number"
        case "linked_elsewhere":
            held = {one["zoho_id"] for one in sides.records.values() if one is not record}
            return None if held & set(record["candidates"]) else "ambiguous, and nobody holds it"
        case code:
            return f"ambiguous ({code}) without a reason"


def _intents(sides: Sides) -> Iterator[Violation]:
    for intent in sides.intents:
        if intent["closed_at"] is None:
            yield Violation("no intent stays open", {"intent": intent})


def _status_columns(sides: Sides) -> Iterator[Violation]:
    for entity_id, row in sides.customers.items():
        record = sides.records.get(entity_id)
        if record is None or not STATES[State(record["state"])].status_written:
            continue
        expected = (record["zoho_id"], STATES[State(record["state"])].sync_status)
        if (row["zoho_billing_customer_id"], row["zoho_sync_status"]) != expected:
            yield Violation(
                "the status columns tell the record's state",
                {"expected": expected, **_story(sides, None, entity_id=entity_id)},
            )
        if record["status_due"] is not None:
            yield Violation("no status columns stay due", {"record": record})


def _limits(stage: Stage) -> Iterator[Violation]:
    log = stage.zoho.control.log()
    calls = [entry for entry in log if entry.is_api_call]
    mints = [entry for entry in log if not entry.is_api_call]
    weather = stage.weather
    per_minute = max_in_any_window(calls, 60)
    if per_minute > weather.calls_per_minute:
        yield Violation("the minute's limit is kept", {"calls": per_minute})
    if (at_once := max_in_flight(calls)) > weather.calls_in_flight:
        yield Violation("the limit in flight is kept", {"calls": at_once})
    of_their_own = [e for e in calls if e.status == 429 and e.fault != "throttled"]
    if of_their_own:
        yield Violation(
            "no call is refused for its number", Counter(str(e.code) for e in of_their_own)
        )
    if (tokens := max_in_any_window(mints, 600)) > 10:
        yield Violation("no more tokens are asked for than Zoho gives", {"tokens": tokens})
    if stage.zoho.control.counters().secrets_in_query:
        yield Violation("no secret is in a query", {})


def late_writes(stage: Stage) -> dict[str, int]:
    """Count, by account, the writes that came after the window of any intent of theirs.

    A worker that is stopped inside the socket's write, after the last look at the window, sends
    when it wakes up: the one gap that the protocol names (§3.3). In real life it is as wide as a
    system call; a campaign that stops workers hundreds of times may meet it.
    """
    timing = stage.weather.timing
    most = timedelta(seconds=timing.send_window_seconds + ON_THE_WAY_SECONDS)
    sent = defaultdict(list)
    for intent in stage.rows("SELECT key, sent_at FROM billing_sync.intents"):
        sent[intent["key"]].append(intent["sent_at"])
    return Counter(
        seen.account_number
        for seen in stage.desk.seen
        if not any(
            timedelta(0) <= seen.arrived - sent_at + timedelta(milliseconds=5) <= most
            for sent_at in sent[seen.account_number]
        )
    )


def unexpected_errors(trace: Sequence[Row]) -> list[Violation]:
    """Find what a worker raised that no fault of the round explains."""
    stopped = {line["worker"] for line in trace if line["event"] == "stopped"}
    return [
        Violation("no worker raises what nothing explains", line)
        for line in trace
        if line["event"] == "raised" and not (line["who"] in stopped and _lost_its_session(line))
    ]


def _lost_its_session(line: Row) -> bool:
    """Tell an end of the session from all else; whether it says why is a matter of luck."""
    return line["sqlstate"] in EXPECTED_SQLSTATES or "server closed" in line["message"]


def _account(sides: Sides, record: Row) -> str | None:
    row = sides.customers.get(record["entity_id"])
    return row["account_number"] if row else None


def _story(
    sides: Sides, account: str | None, *zoho_ids: str | None, entity_id: str | None = None
) -> Row:
    """Give both sides' rows of one customer."""
    ours = {
        id_: row
        for id_, row in sides.customers.items()
        if id_ == entity_id or (account is not None and row["account_number"] == account)
    }
    known = {entity_id, *ours}
    return {
        "source": list(ours.values()),
        "records": [one for id_, one in sides.records.items() if id_ in known],
        "intents": [one for one in sides.intents if one["entity_id"] in known],
        "zoho": [
            one
            for id_, one in sides.zoho.items()
            if id_ in zoho_ids or (account is not None and number_in(one) == account)
        ],
    }
