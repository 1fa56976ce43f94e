"""Subscriptions: what is sent for a service, when it begins, changes, ends, and which is ours."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

from billing_sync.domain.comparing import fingerprint
from billing_sync.domain.errors import Unsendable
from billing_sync.domain.matching import Match, MatchKind, match_by_key
from billing_sync.domain.money import figure, is_figure, price_of
from billing_sync.domain.ownership import (
    BILLING_DAYS,
    WITHDRAWN,
    Ownership,
    Period,
    RecurringInvoicesOwner,
    Span,
    first_day_in_zoho,
    word_of,
)
from billing_sync.domain.reading import Sendable, Skip
from billing_sync.domain.remote import RemoteSubscription
from billing_sync.domain.source import Invoice, Package, Service
from billing_sync.domain.tax import MoneyRules

ENDED: Final = frozenset(
    ("cancelled", "expired", "cancelled_from_dunning", "trial_expired", "creation_failed")
)
ENDING: Final = "non_renewing"
"""The only status from which Zoho reactivates (billing-api §4.3)."""
NOT_BEGUN: Final = "future"


@dataclass(frozen=True, slots=True)
class Ending:
    """The service is cancelled here, from `on`; None is a cancellation without a date."""

    service_id: str
    on: date | None
    fingerprint: str


type ServiceReading = Skip | Sendable | Ending


def start_of(
    service: Service,
    invoices: Iterable[Invoice],
    ownership: Ownership,
    *,
    today: date,
    not_before: date | None = None,
) -> date:
    """Compute, on the day of sending, from when Zoho bills a service.

    `invoices` are all of the service's own. `today` is a day of the organisation's time zone.

    :raises Unsendable: the activation or the billing day is missing or impossible.
    """
    if service.activation_date is None:
        raise Unsendable("activation_date_missing", "activation_date", "activation_date is empty.")
    billing_day = service.billing_day
    if billing_day is None or billing_day not in BILLING_DAYS:
        raise Unsendable(
            "billing_day_impossible",
            "billing_day",
            f"billing_day is {billing_day}; it must be 1 to 28.",
        )
    recurring: list[Period] = []
    billed: list[Period] = []
    for invoice in invoices:
        if word_of(invoice.status) in {"draft", *WITHDRAWN}:
            continue
        period = Period.of(invoice, billing_day)
        if period is not None:
            is_recurring = word_of(invoice.invoice_type) in ownership.recurring_types
            (recurring if is_recurring else billed).append(period)
    return first_day_in_zoho(
        activated_on=service.activation_date,
        billing_day=billing_day,
        today=today,
        billed=billed,
        recurring=recurring,
        not_before=not_before,
    )


def read_service(
    service: Service,
    package: Package | None,
    rules: MoneyRules,
    ownership: Ownership,
    *,
    starts_at: date,
    customer_zoho_id: str | None,
) -> ServiceReading:
    """Decide what a service is in Zoho: a subscription, one that ends, or none.

    A suspended service keeps its subscription; whether it ever had one is `decide`'s to see.
    `customer_zoho_id` is None in a plan whose customer is not there yet.

    :raises Unsendable: package or price are missing or unusable, or the status is unknown.
    """
    if ownership.recurring_invoices is RecurringInvoicesOwner.APPLICATION:
        return _skip("the application raises recurring invoices itself")
    status = word_of(service.status)
    match status:
        case "pending":
            return _skip("not active yet")
        case "cancelled":
            on = (
                None
                if service.cancelled_at is None
                else service.cancelled_at.astimezone(rules.time_zone).date()
            )
            content = {"reference_id": service.id, "local_status": status, "on": str(on)}
            return Ending(service.id, on, fingerprint(content))
        case "active" | "suspended":
            return _subscription(service, package, rules, status, starts_at, customer_zoho_id)
        case _:
            raise Unsendable(
                "status_unknown",
                "status",
                f"status is «{status[:40]}»; known are pending, active, suspended, cancelled.",
            )


def _subscription(
    service: Service,
    package: Package | None,
    rules: MoneyRules,
    status: str,
    starts_at: date,
    customer_zoho_id: str | None,
) -> Sendable:
    if package is None or not (package.sku or "").strip():
        named = (
            "empty" if service.package_id is None else f"{service.package_id}, no usable package"
        )
        raise Unsendable("package_missing", "package_id", f"package_id is {named}.")
    price = price_of(service.monthly_price, "monthly_price", rules.precision)
    sent = rules.price_to_send(
        price, includes_tax=service.price_includes_tax, column="monthly_price"
    )
    code = (package.sku or "").strip()
    payload: dict[str, Any] = {
        "customer_id": customer_zoho_id,
        "plan": {"plan_code": code, "price": sent, "exclude_setup_fee": True},
        "reference_id": service.id,
        "auto_collect": False,
        "starts_at": starts_at.isoformat(),
    }
    payload = {name: value for name, value in payload.items() if value is not None}
    figures = {
        "plan_code": code,
        "price": figure(sent, rules.precision),
        "starts_at": starts_at.isoformat(),
        "reference_id": service.id,
    }
    # The start is computed from the day of sending: it is no change of the service's.
    lasting = {name: value for name, value in payload.items() if name != "starts_at"}
    return Sendable(
        key=service.id,
        payload=payload,
        figures=figures,
        fingerprint=fingerprint({**lasting, "local_status": status}),
    )


# ------------------------------------------------------------------------------- decisions


class Step(StrEnum):
    """What is done in Zoho for a service. All but the first speak of the one that is there."""

    CREATE = "create"
    UPDATE_AT_END = "update_at_end"
    UPDATE_NOW = "update_now"
    """Only of one whose first term has not begun."""
    REACTIVATE = "reactivate"
    CANCEL_AT_END = "cancel_at_end"
    CANCEL_NOW = "cancel_now"
    WAIT = "wait"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Decision:
    """The step, its body, what must be equal afterwards, and why.

    `after` is set where the former subscription ended: the new one must begin no earlier, so the
    service is read once more with `start_of(..., not_before=after)`. `due` is when a waiting one
    is looked at again.
    """

    step: Step
    why: str = ""
    body: dict[str, Any] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)
    after: date | None = None
    due: date | None = None


def decide(
    reading: ServiceReading,
    found: RemoteSubscription | None,
    *,
    is_active: bool,
    today: date,
) -> Decision:
    """Say what is to be done, with the subscription that the service's record holds, if any.

    A cancelled subscription is never reactivated: Zoho allows it from `non_renewing` only, so a
    service that returns gets a new one from its next billing day.
    """
    match reading:
        case Skip():
            # Nothing is undone in Zoho by itself; a live one is a finding.
            return Decision(Step.NOTHING, reading.reason)
        case Ending():
            return _end(reading, found, today)
        case Sendable():
            return _carry(reading, found, is_active=is_active)


def _carry(reading: Sendable, found: RemoteSubscription | None, *, is_active: bool) -> Decision:
    if found is None or found.status in ENDED:
        if not is_active:
            return Decision(Step.NOTHING, "suspended before it had a subscription")
        if found is None:
            return Decision(Step.CREATE, "active", dict(reading.payload), dict(reading.figures))
        return Decision(
            Step.CREATE,
            "the service returned after its subscription had ended",
            dict(reading.payload),
            dict(reading.figures),
            after=_last_term_ends(found),
        )
    if found.status == ENDING:
        return Decision(Step.REACTIVATE, "the cancellation was taken back before the term's end")
    figures = {name: value for name, value in reading.figures.items() if name != "starts_at"}
    if not found.end_of_term and not subscription_differences(figures, found):
        return Decision(Step.NOTHING, "equal", figures=figures)
    # A change that waits already is replaced: what it was is not what the service costs now.
    # Before the first term there is no term to wait for, and nothing to be prorated.
    waits = found.status != NOT_BEGUN
    body = {"plan": dict(reading.payload["plan"]), "end_of_term": waits}
    return Decision(
        Step.UPDATE_AT_END if waits else Step.UPDATE_NOW,
        "plan or price changed",
        body,
        {**figures, "at_end_of_term": waits},
    )


def _end(reading: Ending, found: RemoteSubscription | None, today: date) -> Decision:
    if found is None:
        return Decision(Step.NOTHING, "cancelled before it had a subscription")
    if found.status in ENDED or found.status == ENDING:
        return Decision(Step.NOTHING, "cancelled in Zoho")
    on = today if reading.on is None else reading.on
    renews_on = found.next_billing_at or found.current_term_ends_at
    if found.status == NOT_BEGUN:
        begins = found.starts_on or renews_on
        if begins is None or on < begins:
            return Decision(Step.CANCEL_NOW, "cancelled before its first term")
        return Decision(Step.WAIT, f"cancelled from {on}, a day of a term to come", due=begins)
    if found.current_term_starts_at is not None and on < found.current_term_starts_at:
        return Decision(
            Step.CANCEL_NOW, f"the term of {on} ended before {found.current_term_starts_at}"
        )
    if renews_on is not None and on >= renews_on > today:
        return Decision(Step.WAIT, f"cancelled from {on}, a day of a term to come", due=renews_on)
    return Decision(Step.CANCEL_AT_END, f"cancelled from {on}")


def _last_term_ends(found: RemoteSubscription) -> date | None:
    """Give the first day that an ended subscription does not bill any more.

    Cancelled at the end of its term, it bills to that end; cancelled at once, no longer.
    """
    known = [day for day in (found.cancelled_at, found.expires_at) if day is not None]
    return max(known) if known else found.current_term_ends_at


def span_of(found: RemoteSubscription) -> Span | None:
    """Give the days that a subscription of Zoho bills, None where it never bills any."""
    starts_on = found.starts_on
    if starts_on is None or found.status == "creation_failed":
        return None
    if found.status in ENDED:
        ends = _last_term_ends(found)
        return Span(starts_on, ends) if ends is None or ends > starts_on else None
    if found.status == ENDING:
        return Span(starts_on, found.current_term_ends_at or found.next_billing_at)
    return Span(starts_on)


# ------------------------------------------------------------------------------ comparisons


def subscription_differences(figures: Mapping[str, Any], found: RemoteSubscription) -> list[str]:
    """Name what must be equal in Zoho and is not; only what stands in `figures` is compared.

    After an update at the end of the term, plan and price are the old ones until then: while Zoho
    says that a change is waiting (`end_of_term`), they are compared with what is scheduled, where
    that was read, and else not held against it.
    """
    differing = []
    plan_code, price = found.plan_code, found.price
    if figures.get("at_end_of_term") and found.end_of_term:
        plan_code = found.scheduled_plan_code or figures.get("plan_code", plan_code)
        price = found.scheduled_price
        if price is None and "price" in figures:
            price = Decimal(figures["price"])
    if "plan_code" in figures and figures["plan_code"] != plan_code:
        differing.append("plan_code")
    if "price" in figures and not is_figure(figures["price"], price):
        differing.append("price")
    starts_on = found.starts_on
    if "starts_at" in figures and (
        starts_on is None or figures["starts_at"] != starts_on.isoformat()
    ):
        differing.append("starts_at")
    if "reference_id" in figures and figures["reference_id"] != found.reference_id:
        differing.append("reference_id")
    return differing


@dataclass(frozen=True, slots=True)
class LateChange:
    """A change that Zoho's next invoice will not show: what it costs, in the price as sent."""

    renews_on: date
    price_there: Decimal
    price_here: Decimal

    @property
    def amount(self) -> Decimal:
        """What the next invoice is too high (above zero) or too low."""
        return self.price_there - self.price_here


def late_change(
    reading: Sendable, found: RemoteSubscription, *, sent_on: date
) -> LateChange | None:
    """Say whether a changed price reaches Zoho too late for the renewal.

    A change at the end of the term counts from the renewal after it was sent; `sent_on` is when
    the plan expects to send it, which is days away on a small quota.
    """
    renews_on = found.next_billing_at or found.current_term_ends_at
    if (
        renews_on is None
        or renews_on > sent_on
        or found.price is None
        or found.end_of_term
        or is_figure(reading.figures["price"], found.price)
    ):
        return None
    return LateChange(renews_on, found.price, Decimal(reading.figures["price"]))


# --------------------------------------------------------------------------------- matching


def match_subscription(
    reference_id: str,
    plan_code: str,
    customer_zoho_id: str,
    rows: Iterable[RemoteSubscription],
    holders: Mapping[str, str],
    *,
    former_ids: Collection[str] = (),
) -> Match:
    """Find a service's subscription among Zoho's, before one is created or to prove that one was.

    By equality of `reference_id` (`reference_contains` is a substring search). Ended ones are a
    returning service's past. One of the same customer and plan without any reference may be the
    service, typed in by hand: a second one would bill twice, so a person decides.
    """
    bearing: list[str] = []
    plausible: list[str] = []
    for row in rows:
        if row.status in ENDED or row.zoho_id in former_ids:
            continue
        if row.reference_id == reference_id:
            bearing.append(row.zoho_id)
        elif (
            not row.reference_id
            and row.customer_id == customer_zoho_id != ""
            and row.plan_code == plan_code
            and row.zoho_id not in holders
        ):
            plausible.append(row.zoho_id)
    if bearing or not plausible:
        return match_by_key(bearing, holders, reference_id, "reference")
    return Match(
        MatchKind.PLAUSIBLE,
        tuple(sorted(plausible)),
        f"{len(plausible)} of the same customer and plan in Zoho without reference",
    )


def _skip(reason: str) -> Skip:
    return Skip(reason, fingerprint({"skipped": reason}))
