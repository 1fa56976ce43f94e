"""The states of a sync record: one table, which code, documents and tests read."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class EntityType(StrEnum):
    """What a sync record stands for."""

    CUSTOMER = "customer"
    PRODUCT = "product"
    PLAN = "plan"
    SUBSCRIPTION = "subscription"
    INVOICE = "invoice"
    PAYMENT = "payment"


MADE_ON_DEMAND: Final = frozenset((EntityType.PRODUCT, EntityType.PLAN))
"""Made, or linked, with the first record that needs them; no list of theirs is in a snapshot."""


class State(StrEnum):
    """Where a record stands between our database and Zoho."""

    PENDING = "pending"
    SYNCING = "syncing"
    SYNCED = "synced"
    RETRYING = "retrying"
    WAITING = "waiting"
    BLOCKED = "blocked"
    IN_DOUBT = "in_doubt"
    MISMATCH = "mismatch"
    AMBIGUOUS = "ambiguous"
    FAILED = "failed"
    EXHAUSTED = "exhausted"
    SKIPPED = "skipped"


class Colour(StrEnum):
    """How the report shows a state. `NONE`: work under way, never the last word on a record."""

    GREEN = "green"
    AMBER = "amber"
    RED = "red"
    GREY = "grey"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class StateRule:
    """What a state means, what the application's status column says, and how it is left."""

    meaning: str
    leaves_by: str
    colour: Colour
    sync_status: str | None
    """`zoho_sync_status`; None is NULL. Meaningless where `status_written` is False."""
    status_written: bool = True
    claimed_when_due: bool = False
    """Claimable once `next_attempt_at` has passed."""
    claimed_on_signal: bool = False
    """Claimable when `signals > signals_claimed`: the source or a person asked again."""
    signal_makes_pending: bool = False
    """Settling into it becomes `pending` when a signal came meanwhile."""


STATES: Final[dict[State, StateRule]] = {
    State.PENDING: StateRule("to be sent", "claim", Colour.NONE, None, status_written=False),
    State.SYNCING: StateRule(
        "claimed, lease running",
        "settling; lease over: open intent makes it in_doubt, none makes it pending",
        Colour.NONE,
        None,
        status_written=False,
    ),
    State.SYNCED: StateRule(
        "confirmed by Zoho, figures equal (or rightly gone)",
        "source change; difference found",
        Colour.GREEN,
        "synced",
        claimed_on_signal=True,
        signal_makes_pending=True,
    ),
    State.RETRYING: StateRule(
        "temporary fault",
        "next_attempt_at",
        Colour.AMBER,
        "retrying",
        claimed_when_due=True,
    ),
    State.WAITING: StateRule(
        "for something that is not ours to make, with a due date",
        "it arrives; past due it is failed",
        Colour.AMBER,
        "retrying",
        claimed_when_due=True,
        signal_makes_pending=True,
    ),
    State.BLOCKED: StateRule("a parent is not ready", "parent ready", Colour.AMBER, "retrying"),
    State.IN_DOUBT: StateRule(
        "a write was sent, no readable answer came",
        "proof",
        Colour.RED,
        "retrying",
        claimed_when_due=True,
    ),
    State.MISMATCH: StateRule(
        "is in Zoho with other figures",
        "source change, operator, equal at last",
        Colour.RED,
        "failed",
        claimed_on_signal=True,
    ),
    State.AMBIGUOUS: StateRule(
        "several, or merely plausible, candidates in Zoho",
        "link, create-anyway, source change",
        Colour.RED,
        "failed",
        claimed_on_signal=True,
    ),
    State.FAILED: StateRule(
        "Zoho or our own rules refuse it, or it is gone there or here",
        "source change, retry",
        Colour.RED,
        "failed",
        claimed_on_signal=True,
        signal_makes_pending=True,
    ),
    State.EXHAUSTED: StateRule(
        "the ladder is used up",
        "retry, source change",
        Colour.RED,
        "failed",
        claimed_on_signal=True,
    ),
    State.SKIPPED: StateRule(
        "not ours to send",
        "source change",
        Colour.GREY,
        None,
        claimed_on_signal=True,
        signal_makes_pending=True,
    ),
}


def states_where(flag: str) -> tuple[State, ...]:
    """Give the states whose rule has the named flag set."""
    return tuple(state for state, rule in STATES.items() if getattr(rule, flag))


def states_coloured(colour: Colour) -> tuple[State, ...]:
    """Give the states that a report shows in `colour`."""
    return tuple(state for state, rule in STATES.items() if rule.colour is colour)
