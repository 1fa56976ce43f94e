"""The quota port on PostgreSQL: permits, priorities and what 429s taught, in rows that all share.

The rules stand in the functions of migration 0002, because they count after they have locked.
"""

import logging
from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row, text
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from billing_sync.adapters.postgres.engine import one_statement
from billing_sync.domain.errors import Misconfigured, NotNow, QuotaExhausted, Throttled
from billing_sync.domain.timing import Timing
from billing_sync.ports import Permit, Priority, Quota, QuotaView

LOGGER: Final = logging.getLogger(__name__)

LOCK_TIMEOUT_SECONDS: Final = 2.0

_REASONS: Final = {
    "blocked": "Zoho has blocked the organisation for a while.",
    "paused": "Zoho's calls of the day are used up; it is asked again once an hour.",
    "probe_due": "Zoho's calls of the day are used up; a read finds out whether they are back.",
    "day": "The day's calls are used up.",
    "in_flight": "As many calls as are allowed are in flight.",
    "minute": "The minute's calls are used up.",
    "priority": "A trigger goes first.",
    "pace": "The backfill's next call is not due yet.",
    "busy": "The quota's row is held by another worker.",
}

_SET_TIMEOUTS: Final = text(
    "SELECT set_config('lock_timeout', :lock, true),"
    " set_config('idle_in_transaction_session_timeout', :idle, true)"
)
_TAKE: Final = text(
    "SELECT permit_id, granted_at, refusal, resume_at, wait_seconds"
    " FROM billing_sync.take_permit(:organisation, :priority, :deadline_seconds, :may_probe)"
)
_WAIT_FOR: Final = text(
    "SELECT r.refusal, extract(epoch FROM r.refused_until - clock_timestamp())::float8 AS seconds"
    " FROM billing_sync.quota q"
    " CROSS JOIN LATERAL billing_sync.permit_refusal(q, :priority, true, clock_timestamp()) r"
    " WHERE q.organisation_id = :organisation"
)
_PROBE_IS_DUE: Final = text(
    "SELECT 1 FROM billing_sync.quota"
    " WHERE organisation_id = :organisation AND probe_at <= clock_timestamp()"
)
_CONFIGURE: Final = text(
    "INSERT INTO billing_sync.quota"
    " (organisation_id, time_scale, configured_limit, configured_in_flight, configured_day_cap)"
    " VALUES (:organisation, :time_scale, :limit, :in_flight, :day_cap)"
    " ON CONFLICT (organisation_id) DO UPDATE SET"
    " time_scale = excluded.time_scale, configured_limit = excluded.configured_limit,"
    " configured_in_flight = excluded.configured_in_flight,"
    " configured_day_cap = excluded.configured_day_cap"
    # Every cold start configures; a write only when something changed keeps the row's lock free.
    " WHERE (quota.time_scale, quota.configured_limit, quota.configured_in_flight,"
    " quota.configured_day_cap)"
    " IS DISTINCT FROM (excluded.time_scale, excluded.configured_limit,"
    " excluded.configured_in_flight, excluded.configured_day_cap)"
)
_VIEW: Final = text(
    "SELECT limits.per_minute, q.configured_limit, limits.in_flight AS in_flight_limit,"
    " limits.per_day,"
    " CASE WHEN q.blocked_until > now.moment THEN q.blocked_until END AS blocked_until,"
    " q.probe_at,"
    " (SELECT count(*) FROM billing_sync.permits p"
    "  WHERE p.organisation_id = q.organisation_id AND p.free_at > now.moment) AS taken_in_minute,"
    " (SELECT count(*) FROM billing_sync.permits p"
    "  WHERE p.organisation_id = q.organisation_id AND p.answered_at IS NULL"
    "  AND p.deadline > now.moment) AS in_flight,"
    " (SELECT coalesce(sum(h.taken), 0) FROM billing_sync.quota_hours h"
    "  WHERE h.organisation_id = q.organisation_id AND h.hour BETWEEN"
    "  floor(extract(epoch FROM now.moment) * q.time_scale / 3600) - 24 AND"
    "  floor(extract(epoch FROM now.moment) * q.time_scale / 3600)) AS taken_today"
    " FROM billing_sync.quota q"
    " CROSS JOIN (SELECT clock_timestamp() AS moment) now"
    " CROSS JOIN LATERAL billing_sync.quota_in_force(q, now.moment) limits"
    " WHERE q.organisation_id = :organisation"
)


def take_permit(
    connection: Connection,
    organisation_id: str,
    priority: Priority,
    timing: Timing,
    *,
    send_by: float,
) -> Permit:
    """Take a permit inside the caller's transaction, so that the intent stands or falls with it.

    For writes: unlike `PostgresQuota.take` it is never given the hourly probe of a paused day.
    `send_by` is the caller's monotonic time at the *start* of its transaction plus the send window.
    From here on the server ends the transaction if the caller stalls in it for longer than the
    send window (nothing may be sent after that anyway), or the row's lock would stall everybody.

    :raises Throttled: not now; the caller rolls back. A trigger's caller then calls
        `PostgresQuota.note_refused_trigger`, or the rollback takes the trigger's priority with it.
    :raises QuotaExhausted: not today.
    :raises Misconfigured: `configure` was never called for this organisation.
    """
    row = _take(connection, organisation_id, priority, timing, may_probe=False)
    return _permit(row, send_by)


def _take(
    connection: Connection,
    organisation_id: str,
    priority: Priority,
    timing: Timing,
    *,
    may_probe: bool,
) -> Row[Any]:
    connection.execute(
        _SET_TIMEOUTS,
        {
            "lock": f"{int(LOCK_TIMEOUT_SECONDS * 1000)}ms",
            "idle": f"{int(timing.send_window_seconds * 1000)}ms",
        },
    )
    try:
        return connection.execute(
            _TAKE,
            {
                "organisation": organisation_id,
                "priority": priority.value,
                "deadline_seconds": timing.send_window_seconds + timing.http_deadline_seconds,
                "may_probe": may_probe,
            },
        ).one()
    except OperationalError as error:
        if getattr(error.orig, "sqlstate", None) != "55P03":  # lock_not_available
            raise
        raise Throttled(
            _REASONS["busy"], wait_seconds=timing.longest_sleep_seconds, reason="busy"
        ) from None


def _permit(row: Row[Any], send_by: float) -> Permit:
    """Turn the function's answer into a permit, or into the refusal that it is."""
    if row.refusal is None:
        return Permit(permit_id=row.permit_id, taken_at=row.granted_at, send_by=send_by)
    if row.refusal == "not_configured":
        raise Misconfigured(
            "The quota of this organisation was never configured.", code="quota_not_configured"
        )
    kind: type[NotNow] = (
        QuotaExhausted if row.refusal in {"paused", "probe_due", "day"} else Throttled
    )
    raise kind(
        _REASONS[row.refusal],
        wait_seconds=max(row.wait_seconds, 0.0),
        reason=row.refusal,
        resume_at=row.resume_at if kind is QuotaExhausted else None,
    )


class PostgresQuota(Quota):
    """The governor of one organisation, shared by all workers through the database."""

    def __init__(
        self,
        engine: Engine,
        organisation_id: str,
        timing: Timing,
        monotonic: Callable[[], float],
    ) -> None:
        self._engine = engine
        self._organisation_id = organisation_id
        self._timing = timing
        self._monotonic = monotonic

    def configure(self, limit: int, day_cap: int, in_flight_limit: int) -> None:
        """Set the limits that a person configured; what 429s taught stays."""
        with one_statement(self._engine) as connection:
            connection.execute(
                _CONFIGURE,
                {
                    "organisation": self._organisation_id,
                    "time_scale": self._timing.scale,
                    "limit": limit,
                    "in_flight": in_flight_limit,
                    "day_cap": day_cap,
                },
            )

    def take(self, priority: Priority) -> Permit:
        """Take a permit for a read, in a transaction of its own."""
        send_by = self._monotonic() + self._timing.send_window_seconds
        with self._engine.begin() as connection:
            row = _take(connection, self._organisation_id, priority, self._timing, may_probe=True)
        # Only after the commit: a refused trigger has just made the others stand back.
        return _permit(row, send_by)

    def note_refused_trigger(self) -> None:
        """Make everybody else stand back for a trigger whose refusal was rolled back."""
        with one_statement(self._engine) as connection:
            connection.execute(
                text("SELECT billing_sync.trigger_refused(:organisation, 'minute')"),
                {"organisation": self._organisation_id},
            )

    def wait_for(self, priority: Priority) -> float:
        """Say for how many real seconds a `take` would be refused."""
        with one_statement(self._engine) as connection:
            row = connection.execute(
                _WAIT_FOR, {"organisation": self._organisation_id, "priority": priority.value}
            ).one_or_none()
        if row is None or row.refusal is None:
            return 0.0
        return max(float(row.seconds), 0.0)

    def probe_is_due(self) -> bool:
        """Say whether the day is paused and a read should find out if Zoho counts anew."""
        with one_statement(self._engine) as connection:
            parameters = {"organisation": self._organisation_id}
            return connection.execute(_PROBE_IS_DUE, parameters).first() is not None

    def answered(self, permit: Permit, *, readable: bool = True) -> None:
        """Let the permit come back 60 s + margin from now."""
        self._settle(
            "SELECT billing_sync.permit_answered(:organisation, :permit_id, :readable)",
            permit,
            readable=readable,
        )

    def never_sent(self, permit: Permit) -> None:
        """Give the permit back at once."""
        self._settle("SELECT billing_sync.permit_never_sent(:organisation, :permit_id)", permit)

    def throttled(
        self, permit: Permit, zoho_code: int | None, *, retry_after_seconds: float | None = None
    ) -> float:
        """Write down what the 429 teaches, once per event; give the real seconds to wait."""
        with one_statement(self._engine) as connection:
            wait_seconds = connection.execute(
                text(
                    "SELECT wait_seconds FROM billing_sync.learn_429("
                    ":organisation, :permit_id, :sent_at, :zoho_code, :retry_after)"
                ),
                {
                    "organisation": self._organisation_id,
                    "permit_id": permit.permit_id,
                    # Zoho's call left a moment later; the earlier time never escalates twice.
                    "sent_at": permit.taken_at,
                    "zoho_code": zoho_code,
                    "retry_after": retry_after_seconds,
                },
            ).scalar_one()
        return float(wait_seconds)

    def view(self) -> QuotaView:
        """Show the limits in force and what is taken."""
        with one_statement(self._engine) as connection:
            row = connection.execute(_VIEW, {"organisation": self._organisation_id}).one_or_none()
        if row is None:
            raise Misconfigured(
                "The quota of this organisation was never configured.", code="quota_not_configured"
            )
        return QuotaView(
            limit_per_minute=row.per_minute,
            configured_per_minute=row.configured_limit,
            taken_in_minute=row.taken_in_minute,
            in_flight=row.in_flight,
            in_flight_limit=row.in_flight_limit,
            taken_today=int(row.taken_today),
            day_cap=row.per_day,
            blocked_until=row.blocked_until,
            paused_until=row.probe_at,
        )

    def _settle(self, statement: str, permit: Permit, **parameters: object) -> None:
        """Tell the database what became of a call, without ever hiding that from the caller.

        A permit that nobody settles frees itself 60 s after its deadline, so a database that is
        out of reach costs a minute of a slot; an exception here would cost Zoho's answer, and with
        it the id of what was just created.
        """
        try:
            with one_statement(self._engine) as connection:
                connection.execute(
                    text(statement),
                    {
                        "organisation": self._organisation_id,
                        "permit_id": permit.permit_id,
                        **parameters,
                    },
                )
        except SQLAlchemyError as error:
            LOGGER.exception(
                "permit not settled",
                extra={
                    "permit_id": permit.permit_id,
                    "sqlstate": getattr(getattr(error, "orig", None), "sqlstate", None),
                },
            )
