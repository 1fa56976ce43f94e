"""What is known of Zoho's organisation, and what a person confirmed about it."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import Engine, text

from billing_sync.adapters.postgres.engine import one_statement
from billing_sync.domain.errors import Misconfigured
from billing_sync.domain.remote import Tax
from billing_sync.ports import Standing

LEARN: Final = text("""
    INSERT INTO billing_sync.organisations
        (organisation_id, name, currency_code, time_zone, price_precision, taxes, preflight_at)
    VALUES (:organisation_id, :name, :currency_code, :time_zone, :price_precision,
            CAST(:taxes AS jsonb), clock_timestamp())
    ON CONFLICT (organisation_id) DO UPDATE SET
        name = excluded.name, currency_code = excluded.currency_code,
        time_zone = excluded.time_zone, price_precision = excluded.price_precision,
        taxes = excluded.taxes, preflight_at = excluded.preflight_at
""")

FACTS_SECONDS: Final = 60.0

FACTS: Final = text("""
    SELECT currency_code, time_zone, price_precision, CAST(taxes AS text) AS taxes
    FROM billing_sync.organisations WHERE organisation_id = :organisation_id
""")

# Zoho's documents bear the day that it is where the organisation is.
TODAY: Final = text("""
    SELECT coalesce(today, CAST(clock_timestamp() AT TIME ZONE CAST(:time_zone AS text) AS date))
    FROM billing_sync.organisations WHERE organisation_id = :organisation_id
""")


STANDING: Final = text("""
    SELECT live_from, paused_at, paused_by, paused_reason
    FROM billing_sync.organisations WHERE organisation_id = :organisation_id
""")


@dataclass(frozen=True, slots=True)
class _Facts:
    """What preflight learnt. It is read again now and then: a process may outlive many runs."""

    read_at: float
    currency_code: str
    time_zone: str
    price_precision: int
    taxes: tuple[Tax, ...]


class PostgresOrganisations:
    """One organisation's facts (`Organisations`)."""

    def __init__(self, engine: Engine, organisation_id: str) -> None:
        """Keep the key; what preflight learnt is remembered for a minute."""
        self._engine = engine
        self._organisation_id = organisation_id
        self._known: _Facts | None = None
        self._enforced: bool | None = None

    def currency(self) -> str:
        """Give its currency code, as preflight learnt it.

        :raises Misconfigured: preflight never ran for this organisation.
        """
        return self._facts().currency_code

    def time_zone(self) -> ZoneInfo:
        """Give its time zone.

        :raises Misconfigured: preflight never ran for this organisation, or nobody knows the zone.
        """
        try:
            return ZoneInfo(self._facts().time_zone)
        except (ZoneInfoNotFoundError, ValueError):
            raise Misconfigured(
                "The organisation's time zone in Zoho is none that we know.",
                code="time_zone_unknown",
            ) from None

    def price_precision(self) -> int:
        """Give the decimals of its prices.

        :raises Misconfigured: preflight never ran for this organisation.
        """
        return self._facts().price_precision

    def taxes(self) -> list[Tax]:
        """Give its taxes as preflight last read them; none where it is not registered for VAT.

        :raises Misconfigured: preflight never ran for this organisation.
        """
        return list(self._facts().taxes)

    def today(self) -> date:
        """Give the day that it is there, by the database's clock; never remembered.

        :raises Misconfigured: preflight never ran for this organisation.
        """
        # Asked before a connection is taken: a pool may hold only one.
        zone = str(self.time_zone())
        with one_statement(self._engine) as connection:
            day: date = connection.execute(
                TODAY, {"organisation_id": self._organisation_id, "time_zone": zone}
            ).scalar_one()
        return day

    def calendar(self) -> date | None:
        """Give the day that a test or a demo set, None where the days are the real ones."""
        day: date | None = self._read("today")
        return day

    def learn(
        self,
        name: str,
        currency_code: str,
        time_zone: str,
        *,
        price_precision: int = 2,
        taxes: Sequence[Tax] = (),
    ) -> None:
        """Store what Zoho says of the organisation."""
        with self._engine.begin() as connection:
            connection.execute(
                LEARN,
                {
                    "organisation_id": self._organisation_id,
                    "name": name,
                    "currency_code": currency_code,
                    "time_zone": time_zone,
                    "price_precision": price_precision,
                    # As text, a percentage of 15.5 stays what it is.
                    "taxes": json.dumps([tax.model_dump(mode="json") for tax in taxes]),
                },
            )
        self._known = None

    def names_are_enforced(self) -> bool:
        """Say whether the server was once seen to refuse a duplicate display name."""
        if not self._enforced:
            self._enforced = self._read("names_enforced_since") is not None
        return self._enforced

    def names_were_enforced(self) -> None:
        """Remember the first time that it was."""
        with self._engine.begin() as connection:
            connection.execute(
                text("""UPDATE billing_sync.organisations
                        SET names_enforced_since = coalesce(names_enforced_since,
                                                            clock_timestamp())
                        WHERE organisation_id = :organisation_id"""),
                {"organisation_id": self._organisation_id},
            )

    def standing(self) -> Standing:
        """Say what people have decided; before the first preflight, nothing."""
        with one_statement(self._engine) as connection:
            row = connection.execute(
                STANDING, {"organisation_id": self._organisation_id}
            ).one_or_none()
        return Standing() if row is None else Standing(**row._asdict())

    def confirm(self, items: tuple[str, ...], by: str) -> None:
        """Store what a person has looked at in Zoho, with name and date."""
        with self._engine.begin() as connection:
            connection.execute(
                text("""INSERT INTO billing_sync.confirmations AS c
                            (organisation_id, item, confirmed_by)
                        VALUES (:organisation_id, :item, :by)
                        ON CONFLICT (organisation_id, item) DO UPDATE SET
                            confirmed_by = excluded.confirmed_by,
                            confirmed_at = clock_timestamp()"""),
                [
                    {"organisation_id": self._organisation_id, "item": item, "by": by}
                    for item in items
                ],
            )

    def confirmed(self) -> dict[str, tuple[str, datetime]]:
        """Give what was confirmed: by whom, and when."""
        with one_statement(self._engine) as connection:
            rows = connection.execute(
                text("""SELECT item, confirmed_by, confirmed_at FROM billing_sync.confirmations
                        WHERE organisation_id = :organisation_id"""),
                {"organisation_id": self._organisation_id},
            )
            return {row.item: (row.confirmed_by, row.confirmed_at) for row in rows}

    def facts(self) -> dict[str, Any] | None:
        """Give the organisation's id, name and currency, None before the first preflight."""
        with one_statement(self._engine) as connection:
            row = connection.execute(
                text("""SELECT organisation_id AS id, name, currency_code AS currency
                        FROM billing_sync.organisations
                        WHERE organisation_id = :organisation_id"""),
                {"organisation_id": self._organisation_id},
            ).one_or_none()
        return None if row is None else dict(row._asdict())

    def _facts(self) -> _Facts:
        known = self._known
        if known is None or time.monotonic() - known.read_at > FACTS_SECONDS:
            with one_statement(self._engine) as connection:
                row = connection.execute(
                    FACTS, {"organisation_id": self._organisation_id}
                ).one_or_none()
            if row is None or not row.currency_code:
                raise Misconfigured(
                    "The organisation's currency is not known yet: run preflight first.",
                    code="preflight_never_ran",
                )
            known = self._known = _Facts(
                read_at=time.monotonic(),
                currency_code=row.currency_code,
                time_zone=row.time_zone or "",
                price_precision=row.price_precision,
                taxes=tuple(Tax.model_validate(tax) for tax in json.loads(row.taxes)),
            )
        return known

    def _read(self, column: str) -> Any:
        with one_statement(self._engine) as connection:
            return connection.execute(
                text(f"""SELECT {column} FROM billing_sync.organisations
                         WHERE organisation_id = :organisation_id"""),
                {"organisation_id": self._organisation_id},
            ).scalar_one_or_none()
