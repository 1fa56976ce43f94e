"""What is known of Zoho's organisation, and what a person confirmed about it."""

from datetime import datetime
from typing import Any

from sqlalchemy import Engine, text

from billing_sync.adapters.postgres.engine import one_statement
from billing_sync.domain.errors import Misconfigured


class PostgresOrganisations:
    """One organisation's facts (`Organisations`)."""

    def __init__(self, engine: Engine, organisation_id: str) -> None:
        """Keep the key; facts that never change are read once."""
        self._engine = engine
        self._organisation_id = organisation_id
        self._currency: str | None = None
        self._enforced: bool | None = None

    def currency(self) -> str:
        """Give its currency code, as preflight learnt it.

        :raises Misconfigured: preflight never ran for this organisation.
        """
        if self._currency is None:
            self._currency = self._read("currency_code")
        if not self._currency:
            raise Misconfigured(
                "The organisation's currency is not known yet: run preflight first.",
                code="preflight_never_ran",
            )
        return self._currency

    def learn(self, name: str, currency_code: str, time_zone: str) -> None:
        """Store what Zoho says of the organisation."""
        with self._engine.begin() as connection:
            connection.execute(
                text("""
                    INSERT INTO billing_sync.organisations AS o
                        (organisation_id, name, currency_code, time_zone, preflight_at)
                    VALUES (:organisation_id, :name, :currency_code, :time_zone, clock_timestamp())
                    ON CONFLICT (organisation_id) DO UPDATE SET
                        name = excluded.name, currency_code = excluded.currency_code,
                        time_zone = excluded.time_zone, preflight_at = excluded.preflight_at"""),
                {
                    "organisation_id": self._organisation_id,
                    "name": name,
                    "currency_code": currency_code,
                    "time_zone": time_zone,
                },
            )
        self._currency = currency_code

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

    def _read(self, column: str) -> Any:
        with one_statement(self._engine) as connection:
            return connection.execute(
                text(f"""SELECT {column} FROM billing_sync.organisations
                         WHERE organisation_id = :organisation_id"""),
                {"organisation_id": self._organisation_id},
            ).scalar_one_or_none()
