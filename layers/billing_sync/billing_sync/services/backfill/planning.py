"""What a plan says of one record: a small, fixed vocabulary, decided in the engine's own order.

a write in flight ──► prove
at rest, unchanged ─► unchanged | skip | ambiguous | fail | stays
not to be sent ─────► skip | fail
in Zoho ────────────► what the rules' next step is: update, open, cancel, void, wait, ...
not in Zoho ────────► what the rules foresee: link, ambiguous, wait, create
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from billing_sync.domain.comparing import field_prints
from billing_sync.domain.source import Invoice, Package, Payment, Service
from billing_sync.domain.states import STATES, EntityType, State
from billing_sync.ports import Planned, RecordView
from billing_sync.services.rules import Anew, Do, Done, Found, Source, Step, Stuck, Wait

CREATE: Final = "create"
LINK: Final = "link"
UPDATE: Final = "update"
COMPARE: Final = "compare"
PROVE: Final = "prove"
WAIT: Final = "wait"
SKIP: Final = "skip"
FAIL: Final = "fail"
AMBIGUOUS: Final = "ambiguous"
UNCHANGED: Final = "unchanged"
STAYS: Final = "stays"
VANISHED: Final = "deleted_here"

ACTIONS: Final[Mapping[str, str]] = {
    CREATE: "made in Zoho; an invoice of ours is opened, too",
    LINK: "found in Zoho and taken over; where our fields differ, they are written",
    UPDATE: "written over what is in Zoho",
    "open": "a draft of ours is issued; nobody is mailed",
    "cancel": "a subscription ends, with its term or at once",
    "reactivate": "a cancellation at the end of the term is taken back",
    "delete": "taken out of Zoho: a draft, or a payment that was returned",
    "void": "an open, unpaid invoice is made void",
    COMPARE: "read in Zoho, and written only where it differs",
    PROVE: "a write in flight is looked for, before anything else is sent",
    WAIT: "Zoho makes it, or a date must come; looked at again by itself",
    SKIP: "not ours to send; the reason says why",
    FAIL: "our own rules refuse it; the reason names the field and both values",
    AMBIGUOUS: "a person must say which of Zoho's it is",
    UNCHANGED: "in step",
    STAYS: "red, and nothing has changed since: a person must act",
    VANISHED: "in Zoho, and its row is gone here: nothing is deleted by itself",
}
"""The words of a plan, and what each means to whoever reads it."""

CALLS: Final[Mapping[str, int]] = {
    CREATE: 1,
    LINK: 2,
    UPDATE: 2,
    "open": 2,
    "cancel": 2,
    "reactivate": 2,
    "delete": 2,
    "void": 2,
    COMPARE: 1,
    PROVE: 2,
}
"""Calls that an action costs: what is changed is read first."""

OTHER_CALLS: Final[Mapping[tuple[EntityType, str], int]] = {
    (EntityType.CUSTOMER, UPDATE): 1,  # written over, unread
    (EntityType.INVOICE, CREATE): 2,  # draft, open
    (EntityType.INVOICE, LINK): 0,  # from list pages
    (EntityType.PAYMENT, CREATE): 2,  # its invoice is read first
    (EntityType.PRODUCT, CREATE): 2,  # looked for among all, made
    (EntityType.PLAN, CREATE): 2,  # asked for by its code, made
}

_OF_STEP: Final[Mapping[str, str]] = {
    "open": "open",
    "void": "void",
    "delete": "delete",
    "reactivate": "reactivate",
    "cancel": "cancel",
    "cancel_at_end": "cancel",
    "cancel_now": "cancel",
}

_AT_REST: Final[Mapping[State, str]] = {
    State.SYNCED: UNCHANGED,
    State.SKIPPED: SKIP,
    State.AMBIGUOUS: AMBIGUOUS,
    State.FAILED: FAIL,
}

type Said = tuple[str, str | None]
"""An action, and why."""


def calls_of(each: Planned) -> int:
    """Estimate what the rows of one action cost."""
    return each.rows * OTHER_CALLS.get((each.entity, each.action), CALLS.get(each.action, 0))


def at_rest(source: Source, view: RecordView | None) -> Said | None:
    """Say what stays as it is: nothing changed since, and nobody asked for another look."""
    if view is None or not STATES[view.state].claimed_on_signal or view.signals_waiting:
        return None
    known = view.confirmed_fingerprint if view.state is State.SYNCED else view.attempted_fingerprint
    if known != source.fingerprint:
        return None
    return _AT_REST.get(view.state, STAYS), view.sentence


def before_zoho(source: Source, view: RecordView | None) -> Said | None:
    """Say what is decided without a look at Zoho; None where one is needed."""
    if view is not None and view.state in (State.IN_DOUBT, State.SYNCING):
        return PROVE, "a write to Zoho is in flight"
    if source.skip is not None:
        return SKIP, source.skip
    if source.refused is not None:
        return FAIL, source.refused.sentence
    if source.withdrawn is not None and (view is None or view.zoho_id is None):
        return SKIP, source.withdrawn
    return None


def of_found(found: Found, *, link_only: bool = False) -> Said:
    """Say what becomes of a record that is not linked yet."""
    if found.link is not None:
        return LINK, found.why
    if found.candidates:
        return AMBIGUOUS, found.why
    if found.skip is not None:
        return SKIP, found.skip
    if found.waiting_for is not None:
        if found.is_past_due:
            return FAIL, found.why or f"{found.waiting_for}: past due"
        return WAIT, found.waiting_for
    if link_only:
        return FAIL, found.why or "Zoho makes it itself, and does not have it"
    return CREATE, None


def of_step(step: Step | None, view: RecordView) -> Said:
    """Say what becomes of a record that is in Zoho; `step` is None where Zoho's was not shown."""
    match step:
        case None:
            return (COMPARE if view.state is State.MISMATCH else UPDATE), None
        case Done():
            return COMPARE, "equal by Zoho's list; confirmed by its own page"
        case Do(step=name):
            return _OF_STEP.get(name, UPDATE), None
        case Wait(sentence=sentence):
            return WAIT, sentence
        case Anew():
            return CREATE, "the one in Zoho has ended for good"
        case Stuck(state=State.AMBIGUOUS, sentence=sentence):
            return AMBIGUOUS, sentence
        case Stuck(sentence=sentence):
            return FAIL, sentence


def is_to_do(said: Said, view: RecordView | None) -> bool:
    """Say whether the record is worked on: one that waits already goes on waiting by itself."""
    return not (said[0] == WAIT and view is not None and view.state is State.WAITING)


def differing(action: str, source: Source, view: RecordView | None) -> tuple[str, ...]:
    """Name the fields that would be written: all of a new one's, else those changed since."""
    if action not in (CREATE, LINK, UPDATE, COMPARE):
        return ()
    known = view.confirmed_fields if view else {}
    prints = field_prints(source.payload)
    return tuple(sorted(field for field, value in prints.items() if known.get(field) != value))


def worth(row: object) -> Decimal | None:
    """Give what a row of the source is worth: a total, a payment, a month; None for a customer."""
    match row:
        case Invoice(total_amount=amount) | Payment(amount=amount):
            found = amount
        case Service(monthly_price=amount) | Package(price=amount):
            found = amount
        case _:
            return None
    return found if found is not None and found.is_finite() else None
