"""What Zoho holds, page by page, in our own tables."""

import json
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, Engine, text

from billing_sync.adapters.postgres.engine import one_statement
from billing_sync.domain.customers import Candidate
from billing_sync.domain.remote import RemoteInvoice, RemoteSubscription
from billing_sync.domain.states import EntityType
from billing_sync.ports import SnapshotCustomer, SnapshotView

UPSERT: Final = text("""
    INSERT INTO billing_sync.snapshot_customers
        (organisation_id, snapshot_id, zoho_id, display_name, account_number, account_in_name,
         detail_read, names, email, phone, currency_code, status, outstanding, unused_credits)
    VALUES (:organisation_id, :snapshot_id, :zoho_id, :display_name, :account_number,
            :account_in_name, :detail_read, :names, :email, :phone, :currency_code, :status,
            :outstanding, :unused_credits)
    ON CONFLICT (organisation_id, snapshot_id, zoho_id) DO UPDATE SET
        display_name = excluded.display_name,
        account_number = coalesce(excluded.account_number, snapshot_customers.account_number),
        account_in_name = excluded.account_in_name,
        detail_read = snapshot_customers.detail_read OR excluded.detail_read,
        names = excluded.names, email = excluded.email, phone = excluded.phone,
        currency_code = excluded.currency_code, status = excluded.status,
        outstanding = excluded.outstanding, unused_credits = excluded.unused_credits
""")

CANDIDATES: Final = text("""
    SELECT s.zoho_id, s.account_number, s.names, coalesce(s.email, '') AS email,
           coalesce(s.phone, '') AS phone, r.entity_id AS held_by
    FROM billing_sync.snapshot_customers s
    LEFT JOIN billing_sync.records r
      ON r.organisation_id = s.organisation_id AND r.entity_type = 'customer'
     AND r.zoho_id = s.zoho_id
    WHERE s.organisation_id = :organisation_id AND s.snapshot_id = :snapshot_id
      AND (s.account_number = ANY(:accounts) OR s.email = ANY(:emails)
           OR s.phone = ANY(:phones) OR s.names && CAST(:names AS text[]))
""")

ROWS_OF: Final = {
    EntityType.CUSTOMER: "snapshot_customers",
    EntityType.SUBSCRIPTION: "snapshot_subscriptions",
    EntityType.INVOICE: "snapshot_invoices",
}
KEY_COLUMN: Final = {EntityType.SUBSCRIPTION: "reference_id", EntityType.INVOICE: "number"}
"""What our own ones are known by; the same name in the table and in the model."""

ONE_BEGINS: Final = text("""
    SELECT pg_advisory_xact_lock(
        hashtextextended('billing_sync.snapshots ' || :organisation_id || :entity_type, 0))
""")


class PostgresSnapshots:
    """The snapshots of one organisation."""

    def __init__(self, engine: Engine, organisation_id: str) -> None:
        """Keep what every statement needs."""
        self._engine = engine
        self._organisation_id = organisation_id

    def latest(self, entity: EntityType, *, complete: bool) -> SnapshotView | None:
        """Give the newest snapshot: a complete one, or the one that is being taken."""
        with one_statement(self._engine) as connection:
            return self._latest(connection, entity, complete=complete)

    def _latest(
        self, connection: Connection, entity: EntityType, *, complete: bool
    ) -> SnapshotView | None:
        row = connection.execute(
            text("""SELECT snapshot_id, next_page, pages_completed_at, completed_at, calls,
                           started_at,
                           extract(epoch FROM clock_timestamp() - started_at) AS age_seconds,
                           extract(epoch FROM clock_timestamp()
                                              - coalesce(renewed_at, started_at)) AS renewed_seconds
                    FROM billing_sync.snapshots
                    WHERE organisation_id = :organisation_id AND entity_type = :entity_type
                      AND (completed_at IS NOT NULL) = :complete
                    ORDER BY snapshot_id DESC LIMIT 1"""),
            {**self._key(entity), "complete": complete},
        ).one_or_none()
        if row is None:
            return None
        return SnapshotView(
            snapshot_id=row.snapshot_id,
            next_page=row.next_page,
            pages_complete=row.pages_completed_at is not None,
            complete=row.completed_at is not None,
            age_seconds=float(row.age_seconds),
            calls=row.calls,
            started_at=row.started_at,
            renewed_seconds=float(row.renewed_seconds),
        )

    def begin(self, entity: EntityType, *, instead_of: int | None) -> SnapshotView:
        """Begin a new snapshot, forgetting unfinished ones and all but the last complete one.

        Workers that begin at the same moment share the one that was first: each would otherwise
        take away what the others walk.
        """
        with self._engine.begin() as connection:
            connection.execute(ONE_BEGINS, self._key(entity))
            begun = self._latest(connection, entity, complete=False)
            if begun is not None and begun.snapshot_id != instead_of:
                return begun
            connection.execute(
                text("""DELETE FROM billing_sync.snapshots
                        WHERE organisation_id = :organisation_id AND entity_type = :entity_type
                          AND (completed_at IS NULL OR snapshot_id < (
                               SELECT max(snapshot_id) FROM billing_sync.snapshots
                               WHERE organisation_id = :organisation_id
                                 AND entity_type = :entity_type AND completed_at IS NOT NULL))"""),
                self._key(entity),
            )
            # Also of a walk that had lost its place and went on storing pages.
            connection.execute(
                text(f"""DELETE FROM billing_sync.{ROWS_OF[entity]} c
                        WHERE organisation_id = :organisation_id AND NOT EXISTS (
                            SELECT 1 FROM billing_sync.snapshots s
                            WHERE s.organisation_id = c.organisation_id
                              AND s.snapshot_id = c.snapshot_id)"""),
                self._key(entity),
            )
            connection.execute(
                text("""INSERT INTO billing_sync.snapshots (organisation_id, entity_type)
                        VALUES (:organisation_id, :entity_type)"""),
                self._key(entity),
            )
            begun = self._latest(connection, entity, complete=False)
        assert begun is not None  # noqa: S101 - it was inserted just above
        return begun

    def store_page(
        self,
        entity: EntityType,
        snapshot_id: int,
        page: int,
        rows: Sequence[SnapshotCustomer],
        *,
        is_last: bool,
    ) -> None:
        """Store a page and move on; a page that was stored twice is the same page.

        The snapshot before its rows, as in `begin`: in the other order the two deadlock. A worker
        whose snapshot was forgotten meanwhile stores nothing.
        """
        with self._engine.begin() as connection:
            if self._turn_page(connection, entity, snapshot_id, page, is_last=is_last) and rows:
                connection.execute(UPSERT, [self._row(snapshot_id, row) for row in rows])

    def _turn_page(
        self,
        connection: Connection,
        entity: EntityType,
        snapshot_id: int,
        page: int,
        *,
        is_last: bool,
    ) -> bool:
        """Move the walk on and hold its row; False where the snapshot was forgotten."""
        kept = connection.execute(
            text("""UPDATE billing_sync.snapshots SET
                        next_page = greatest(next_page, :page + 1), calls = calls + 1,
                        pages_completed_at = CASE WHEN :is_last THEN clock_timestamp() END
                    WHERE organisation_id = :organisation_id AND entity_type = :entity_type
                      AND snapshot_id = :snapshot_id"""),
            {**self._key(entity), "snapshot_id": snapshot_id, "page": page, "is_last": is_last},
        )
        return kept.rowcount > 0

    def unread_details(self, snapshot_id: int, limit: int) -> list[str]:
        """Give customers that show no account number and that no record of ours knows."""
        with one_statement(self._engine) as connection:
            return list(
                connection.execute(
                    text("""SELECT s.zoho_id FROM billing_sync.snapshot_customers s
                            WHERE s.organisation_id = :organisation_id
                              AND s.snapshot_id = :snapshot_id
                              AND NOT s.account_in_name AND NOT s.detail_read
                              AND NOT EXISTS (
                                  SELECT 1 FROM billing_sync.records r
                                  WHERE r.organisation_id = s.organisation_id
                                    AND r.entity_type = 'customer' AND r.zoho_id = s.zoho_id)
                            ORDER BY s.zoho_id LIMIT :limit"""),
                    {
                        "organisation_id": self._organisation_id,
                        "snapshot_id": snapshot_id,
                        "limit": limit,
                    },
                ).scalars()
            )

    def store_detail(self, snapshot_id: int, row: SnapshotCustomer) -> None:
        """Store what a customer's own page says, its custom field above all."""
        with self._engine.begin() as connection:
            kept = connection.execute(
                text("""UPDATE billing_sync.snapshots SET calls = calls + 1
                        WHERE organisation_id = :organisation_id AND snapshot_id = :snapshot_id"""),
                {"organisation_id": self._organisation_id, "snapshot_id": snapshot_id},
            )
            if kept.rowcount:
                connection.execute(UPSERT, self._row(snapshot_id, row))

    def details_without(
        self, snapshot_id: int, account_number: str, zoho_ids: Sequence[str]
    ) -> set[str]:
        """Give those of the ids whose own page was read and did not show the account number."""
        with one_statement(self._engine) as connection:
            return set(
                connection.execute(
                    text("""SELECT zoho_id FROM billing_sync.snapshot_customers
                            WHERE organisation_id = :organisation_id
                              AND snapshot_id = :snapshot_id AND zoho_id = ANY(:zoho_ids)
                              AND detail_read
                              AND account_number IS DISTINCT FROM :account_number"""),
                    {
                        "organisation_id": self._organisation_id,
                        "snapshot_id": snapshot_id,
                        "account_number": account_number,
                        "zoho_ids": list(zoho_ids),
                    },
                ).scalars()
            )

    def carry_details(self, snapshot_id: int) -> None:
        """Take over what the last complete snapshot read of customers' own pages."""
        with self._engine.begin() as connection:
            connection.execute(
                text("""UPDATE billing_sync.snapshot_customers s SET
                            account_number = coalesce(s.account_number, o.account_number),
                            detail_read = true
                        FROM billing_sync.snapshot_customers o
                        WHERE s.organisation_id = :organisation_id
                          AND s.snapshot_id = :snapshot_id
                          AND o.organisation_id = s.organisation_id AND o.zoho_id = s.zoho_id
                          AND o.detail_read AND o.snapshot_id = (
                              SELECT max(snapshot_id) FROM billing_sync.snapshots
                              WHERE organisation_id = :organisation_id
                                AND entity_type = 'customer' AND completed_at IS NOT NULL)"""),
                {"organisation_id": self._organisation_id, "snapshot_id": snapshot_id},
            )

    def forget(self, snapshot_id: int, zoho_id: str) -> None:
        """Take out a customer that was deleted while we walked."""
        with self._engine.begin() as connection:
            connection.execute(
                text("""DELETE FROM billing_sync.snapshot_customers
                        WHERE organisation_id = :organisation_id AND snapshot_id = :snapshot_id
                          AND zoho_id = :zoho_id"""),
                {
                    "organisation_id": self._organisation_id,
                    "snapshot_id": snapshot_id,
                    "zoho_id": zoho_id,
                },
            )

    def complete(self, entity: EntityType, snapshot_id: int) -> None:
        """Declare the snapshot complete: from now on it may answer «none»."""
        with self._engine.begin() as connection:
            connection.execute(
                text("""UPDATE billing_sync.snapshots SET completed_at = clock_timestamp()
                        WHERE organisation_id = :organisation_id AND entity_type = :entity_type
                          AND snapshot_id = :snapshot_id"""),
                {**self._key(entity), "snapshot_id": snapshot_id},
            )

    def candidates(
        self,
        snapshot_id: int,
        *,
        accounts: Sequence[str],
        emails: Sequence[str],
        phones: Sequence[str],
        names: Sequence[str],
    ) -> list[Candidate]:
        """Give everybody in Zoho who could be one of the described; empty values find nobody."""
        with one_statement(self._engine) as connection:
            rows = connection.execute(
                CANDIDATES,
                {
                    "organisation_id": self._organisation_id,
                    "snapshot_id": snapshot_id,
                    "accounts": [value for value in accounts if value],
                    "emails": [value for value in emails if value],
                    "phones": [value for value in phones if value],
                    "names": [value for value in names if value],
                },
            )
            return [
                Candidate(
                    zoho_id=row.zoho_id,
                    account_number=row.account_number,
                    names=frozenset(row.names),
                    email=row.email,
                    phone=row.phone,
                    held_by=row.held_by,
                )
                for row in rows
            ]

    def count(self, snapshot_id: int) -> int:
        """Count the snapshot's customers."""
        with one_statement(self._engine) as connection:
            counted = connection.execute(
                text("""SELECT count(*) FROM billing_sync.snapshot_customers
                        WHERE organisation_id = :organisation_id
                          AND snapshot_id = :snapshot_id"""),
                {"organisation_id": self._organisation_id, "snapshot_id": snapshot_id},
            )
            return int(counted.scalar_one())

    # -------------------------------------------------------------- subscriptions and invoices

    def store_rows(
        self,
        entity: EntityType,
        snapshot_id: int,
        page: int,
        rows: Sequence[RemoteSubscription | RemoteInvoice],
        *,
        is_last: bool,
    ) -> None:
        """Store a page of subscriptions or invoices and move on, as `store_page` does."""
        with self._engine.begin() as connection:
            if self._turn_page(connection, entity, snapshot_id, page, is_last=is_last):
                self._put(connection, entity, snapshot_id, rows)

    def renew_rows(
        self,
        entity: EntityType,
        snapshot_id: int,
        rows: Sequence[RemoteSubscription | RemoteInvoice],
        *,
        renewed: bool = False,
    ) -> None:
        """Put newer rows over a complete snapshot's; `renewed` marks it as walked again just now.

        One that was forgotten meanwhile gets nothing. What a row leaves out is taken out: a value
        of an older row beside newer ones would be a row that never was.
        """
        with self._engine.begin() as connection:
            kept = connection.execute(
                text("""UPDATE billing_sync.snapshots SET
                            renewed_at = CASE WHEN :renewed THEN clock_timestamp()
                                              ELSE renewed_at END
                        WHERE organisation_id = :organisation_id AND entity_type = :entity_type
                          AND snapshot_id = :snapshot_id"""),
                {**self._key(entity), "snapshot_id": snapshot_id, "renewed": renewed},
            )
            if kept.rowcount:
                self._put(connection, entity, snapshot_id, rows)

    def subscriptions(
        self,
        snapshot_id: int,
        *,
        zoho_ids: Sequence[str] = (),
        references: Sequence[str] = (),
        customer_zoho_ids: Sequence[str] = (),
    ) -> list[RemoteSubscription]:
        """Give the subscriptions that fit any of what is given; empty values find none."""
        rows = self._fitting(
            EntityType.SUBSCRIPTION, snapshot_id, zoho_ids, references, customer_zoho_ids
        )
        return [RemoteSubscription.model_validate(row) for row in rows]

    def invoices(
        self,
        snapshot_id: int,
        *,
        zoho_ids: Sequence[str] = (),
        numbers: Sequence[str] = (),
        customer_zoho_ids: Sequence[str] = (),
    ) -> list[RemoteInvoice]:
        """Give the invoices that fit any of what is given; empty values find none."""
        rows = self._fitting(EntityType.INVOICE, snapshot_id, zoho_ids, numbers, customer_zoho_ids)
        return [RemoteInvoice.model_validate(row) for row in rows]

    def count_rows(self, entity: EntityType, snapshot_id: int) -> int:
        """Count a snapshot's rows of an entity."""
        with one_statement(self._engine) as connection:
            counted = connection.execute(
                text(f"""SELECT count(*) FROM billing_sync.{ROWS_OF[entity]}
                         WHERE organisation_id = :organisation_id
                           AND snapshot_id = :snapshot_id"""),
                {"organisation_id": self._organisation_id, "snapshot_id": snapshot_id},
            )
            return int(counted.scalar_one())

    def _put(
        self,
        connection: Connection,
        entity: EntityType,
        snapshot_id: int,
        rows: Sequence[RemoteSubscription | RemoteInvoice],
    ) -> None:
        if not rows:
            return
        key = KEY_COLUMN[entity]
        # In one order, or two workers that put the same rows deadlock.
        ordered = sorted(rows, key=lambda row: row.zoho_id)
        connection.execute(
            text(f"""INSERT INTO billing_sync.{ROWS_OF[entity]}
                         (organisation_id, snapshot_id, zoho_id, {key}, customer_id, content)
                     VALUES (:organisation_id, :snapshot_id, :zoho_id, :key, :customer_id,
                             CAST(:content AS jsonb))
                     ON CONFLICT (organisation_id, snapshot_id, zoho_id) DO UPDATE SET
                         {key} = excluded.{key}, customer_id = excluded.customer_id,
                         content = excluded.content"""),
            [
                {
                    "organisation_id": self._organisation_id,
                    "snapshot_id": snapshot_id,
                    "zoho_id": row.zoho_id,
                    "key": getattr(row, key) or None,
                    "customer_id": row.customer_id or None,
                    # Pydantic writes money as text. What the row did not show is left out.
                    "content": row.model_dump_json(exclude_defaults=True),
                }
                for row in ordered
            ],
        )

    def _fitting(
        self,
        entity: EntityType,
        snapshot_id: int,
        zoho_ids: Sequence[str],
        keys: Sequence[str],
        customer_zoho_ids: Sequence[str],
    ) -> list[dict[str, Any]]:
        with one_statement(self._engine) as connection:
            rows = connection.execute(
                text(f"""SELECT CAST(content AS text) FROM billing_sync.{ROWS_OF[entity]}
                         WHERE organisation_id = :organisation_id AND snapshot_id = :snapshot_id
                           AND (zoho_id = ANY(:zoho_ids) OR {KEY_COLUMN[entity]} = ANY(:keys)
                                OR customer_id = ANY(:customer_zoho_ids))
                         ORDER BY zoho_id"""),
                {
                    "organisation_id": self._organisation_id,
                    "snapshot_id": snapshot_id,
                    "zoho_ids": [value for value in zoho_ids if value],
                    "keys": [value for value in keys if value],
                    "customer_zoho_ids": [value for value in customer_zoho_ids if value],
                },
            ).scalars()
            return [json.loads(row) for row in rows]

    def _key(self, entity: EntityType) -> dict[str, Any]:
        return {"organisation_id": self._organisation_id, "entity_type": entity.value}

    def _row(self, snapshot_id: int, row: SnapshotCustomer) -> dict[str, Any]:
        return {
            "organisation_id": self._organisation_id,
            "snapshot_id": snapshot_id,
            "zoho_id": row.zoho_id,
            "display_name": row.display_name,
            "account_number": row.account_number,
            "account_in_name": row.account_in_name,
            "detail_read": row.detail_read,
            "names": list(row.names),
            "email": row.email or None,
            "phone": row.phone or None,
            "currency_code": row.currency_code,
            "status": row.status,
            "outstanding": row.outstanding,
            "unused_credits": row.unused_credits,
        }
