"""Our tables as the dashboard needs them, all as of one moment."""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import Engine, text

from billing_sync.adapters.postgres.records import sql_list
from billing_sync.domain.states import Colour, EntityType, State, states_coloured
from billing_sync.ports import CauseGroup, DashboardTables, OrganisationNow, StateCount

IDS_SHOWN: Final = 10

RED: Final = sql_list(states_coloured(Colour.RED))

# Ids are compared as text, which no index of the application's serves: without this, a planner that
# expects few red records would walk a whole view for each of them.
ONCE_EACH: Final = text("SET LOCAL enable_nestloop = off")

NOW: Final = text("SELECT clock_timestamp()")

# As JSON, so that a database which is one migration behind is read as well.
ORGANISATION: Final = text("""
    SELECT to_jsonb(o) AS columns FROM billing_sync.organisations o
    WHERE organisation_id = :organisation_id
""")

STATES: Final = text(f"""
    SELECT entity_type, state, accepted_at IS NOT NULL AND state IN ({RED}) AS accepted,
           count(*) AS records
    FROM billing_sync.records WHERE organisation_id = :organisation_id
    GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
""")

CAUSES: Final = text(f"""
    SELECT r.entity_type, r.state, r.code, r.accepted_at IS NOT NULL AS accepted,
           count(*) AS records,
           sum(coalesce(i.total_amount, p.amount, s.monthly_price)) AS amount,
           coalesce(min(r.sentence), '') AS sentence,
           count(DISTINCT coalesce(r.sentence, '')) = 1 AS alike,
           (array_agg(coalesce(c.account_number, r.entity_id)
                      ORDER BY r.entity_id))[1:{IDS_SHOWN}] AS ids,
           (array_agg(r.accepted_reason ORDER BY r.entity_id))[1] AS reason
    FROM billing_sync.records r
    LEFT JOIN billing_source.customers c
           ON r.entity_type = 'customer' AND CAST(c.id AS text) = r.entity_id
    LEFT JOIN billing_source.services s
           ON r.entity_type = 'subscription' AND CAST(s.id AS text) = r.entity_id
    LEFT JOIN billing_source.invoices i
           ON r.entity_type = 'invoice' AND CAST(i.id AS text) = r.entity_id
    LEFT JOIN billing_source.payments p
           ON r.entity_type = 'payment' AND CAST(p.id AS text) = r.entity_id
    WHERE r.organisation_id = :organisation_id AND r.state IN ({RED})
    GROUP BY 1, 2, 3, 4 ORDER BY 5 DESC, 1, 2, 3
""")


class PostgresDashboard:
    """One organisation's tables (`DashboardReading`)."""

    def __init__(self, engine: Engine, organisation_id: str) -> None:
        """Keep what every statement needs."""
        self._engine = engine
        self._organisation_id = organisation_id

    def read(self) -> DashboardTables:
        """Read all of it in one transaction that cannot write, and that sees one moment only."""
        key = {"organisation_id": self._organisation_id}
        reading = self._engine.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )
        with reading.begin() as connection:
            connection.execute(ONCE_EACH)
            now = connection.execute(NOW).scalar_one()
            columns = connection.execute(ORGANISATION, key).scalar_one_or_none()
            states = connection.execute(STATES, key).all()
            causes = connection.execute(CAUSES, key).all()
        return DashboardTables(
            now=now,
            organisation=_organisation(columns) if columns else None,
            states=tuple(
                StateCount(EntityType(row.entity_type), State(row.state), row.accepted, row.records)
                for row in states
            ),
            causes=tuple(
                CauseGroup(
                    entity=EntityType(row.entity_type),
                    state=State(row.state),
                    code=row.code,
                    accepted=row.accepted,
                    count=row.records,
                    amount=row.amount,
                    sentence=row.sentence,
                    alike=row.alike,
                    ids=tuple(row.ids),
                    reason=row.reason,
                )
                for row in causes
            ),
        )


def _organisation(columns: dict[str, Any]) -> OrganisationNow:
    return OrganisationNow(
        name=columns.get("name") or "",
        currency=columns.get("currency_code") or "",
        live_from=_moment(columns.get("live_from")),
        paused_at=_moment(columns.get("paused_at")),
        paused_by=columns.get("paused_by"),
        paused_reason=columns.get("paused_reason"),
    )


def _moment(written: str | None) -> datetime | None:
    return datetime.fromisoformat(written) if written else None
