"""The provider's rows, through the views `billing_source`."""

from collections.abc import Sequence
from datetime import datetime
from functools import cached_property
from typing import Any, Final

from sqlalchemy import Engine, text
from sqlalchemy.exc import DataError

from billing_sync.adapters.postgres.engine import one_statement
from billing_sync.adapters.postgres.records import sql_list
from billing_sync.adapters.postgres.source_views import (
    ALLOCATIONS,
    VIEW_OF,
    ColumnTypes,
    has_column,
    read_columns,
    relation,
)
from billing_sync.adapters.postgres.status_columns import PostgresStatusColumns
from billing_sync.domain.money import read_json
from billing_sync.domain.source import (
    Customer,
    Invoice,
    Package,
    Payment,
    PaymentAllocation,
    Service,
    SourceRow,
)
from billing_sync.domain.states import MADE_ON_DEMAND, EntityType, State, states_where
from billing_sync.domain.steps import Only
from billing_sync.ports import RecordKey

__all__ = ["PostgresSource", "PostgresStatusColumns"]

COMPLETED: Final = "AND lower(btrim(CAST(s.status AS text))) = 'completed'"

MODEL_OF: Final[dict[EntityType, type[SourceRow]]] = {
    EntityType.CUSTOMER: Customer,
    EntityType.PLAN: Package,
    EntityType.SUBSCRIPTION: Service,
    EntityType.INVOICE: Invoice,
    EntityType.PAYMENT: Payment,
}


UNTOLD: Final = f"""
    r.signals <= r.signals_claimed
    AND r.state IN ({sql_list((*states_where("claimed_on_signal"), State.WAITING))})
"""
"""Whoever is on the way is read again anyway; one that waits may do so for a day."""

CHANGED: Final = f"""
    (r.entity_id IS NULL OR r.source_version IS DISTINCT FROM s.updated_at AND {UNTOLD})
"""

# Of what was changed since, also those that are still the backfill's, such as one that a trigger
# told of before the sync went live. What our own status columns made of an old row's time is no
# change: they are written for no record that is `pending`, and with its version for all that was
# read.
CHANGED_SINCE: Final = f"""
    ({{created}} OR s.updated_at >= :since) AND (
        {CHANGED}
        OR r.live_since IS NULL
           AND (r.state IN ('pending', 'retrying', 'waiting', 'blocked', 'in_doubt')
                OR r.state = 'syncing' AND r.lease_until < clock_timestamp()
                OR r.signals > r.signals_claimed)
           AND ({{created}} OR r.state = 'pending'
                OR r.source_version IS NOT NULL AND r.source_version <> s.updated_at))
"""


class PostgresSource:
    """Reads rows by key and by keyset; never by offset, never the first so many."""

    def __init__(self, engine: Engine, organisation_id: str) -> None:
        """Keep the engine; the types of the ids are asked for once, at first use."""
        self._engine = engine
        self._organisation_id = organisation_id
        self._types = ColumnTypes(engine)

    # ------------------------------------------------------------------------------ one by its id

    def customer(self, customer_id: str) -> Customer | None:
        """Read one customer, None when there is none (or the id cannot be one)."""
        return self._one(EntityType.CUSTOMER, Customer, customer_id)

    def package(self, package_id: str) -> Package | None:
        """Read one package."""
        return self._one(EntityType.PLAN, Package, package_id)

    def service(self, service_id: str) -> Service | None:
        """Read one service."""
        return self._one(EntityType.SUBSCRIPTION, Service, service_id)

    def invoice(self, invoice_id: str) -> Invoice | None:
        """Read one invoice."""
        return self._one(EntityType.INVOICE, Invoice, invoice_id)

    def payment(self, payment_id: str) -> Payment | None:
        """Read one payment."""
        return self._one(EntityType.PAYMENT, Payment, payment_id)

    def _one[Row: SourceRow](self, entity: EntityType, model: type[Row], row_id: str) -> Row | None:
        found = self._fitting(entity, model, "id", row_id)
        return found[0] if found else None

    # ---------------------------------------------------------------------------- many, by keyset

    def customers_after(self, cursor: str | None, limit: int, only: Only) -> list[Customer]:
        """Read the next customers by primary key, restricted as a run is."""
        return self._after(EntityType.CUSTOMER, Customer, cursor, limit, only)

    def rows_after(
        self, entity: EntityType, cursor: str | None, limit: int, only: Only
    ) -> Sequence[SourceRow]:
        """Read the next rows of an entity by primary key, restricted as a run is.

        Packages belong to no customer and have no time of creation: of them only ids and states
        are asked.
        """
        return self._after(entity, MODEL_OF[entity], cursor, limit, only)

    def _after[Row: SourceRow](
        self,
        entity: EntityType,
        model: type[Row],
        cursor: str | None,
        limit: int,
        only: Only,
    ) -> list[Row]:
        view, id_type = VIEW_OF[entity], self._id_type(entity)
        conditions, values = [], {**self._key(entity), "limit": limit}

        def hold(condition: str, name: str, value: object) -> None:
            conditions.append(condition)
            values[name] = value

        if cursor is not None:
            hold(f"s.id > CAST(:cursor AS {id_type})", "cursor", cursor)
        if only.ids:
            hold(f"s.id = ANY(CAST(:ids AS {id_type}[]))", "ids", list(only.ids))
        if only.accounts and entity is EntityType.CUSTOMER:
            hold("s.account_number = ANY(:accounts)", "accounts", list(only.accounts))
        elif only.accounts and has_column(view, "customer_id"):
            hold(
                """s.customer_id IN (SELECT c.id FROM billing_source.customers c
                                     WHERE c.account_number = ANY(:accounts))""",
                "accounts",
                list(only.accounts),
            )
        if has_column(view, "created_at"):
            if only.since is not None:
                hold("s.created_at >= :since", "since", only.since)
            if only.until is not None:
                hold("s.created_at < :until", "until", only.until)
        if only.states:
            hold(
                """EXISTS (SELECT 1 FROM billing_sync.records r
                           WHERE r.organisation_id = :organisation_id
                             AND r.entity_type = :entity_type
                             AND r.entity_id = CAST(s.id AS text) AND r.state = ANY(:states))""",
                "states",
                [state.value for state in only.states],
            )
        where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
        return self._rows(entity, model, f"{where} ORDER BY s.id LIMIT :limit", values)

    def packages(self) -> list[Package]:
        """Read the whole price list, by id."""
        return self._rows(EntityType.PLAN, Package, "ORDER BY s.id", {})

    # ----------------------------------------------------------------------- by what they name

    def invoices_of_service(self, service_id: str) -> list[Invoice]:
        """Read all invoices of one service, by id."""
        return self._fitting(EntityType.INVOICE, Invoice, "service_id", service_id)

    def completed_payments_on(self, invoice_id: str) -> list[Payment]:
        """Read the completed payments that name one invoice, by id."""
        return self._fitting(
            EntityType.PAYMENT,
            Payment,
            "invoice_id",
            invoice_id,
            COMPLETED,
        )

    def allocations(self, payment_id: str) -> list[PaymentAllocation]:
        """Read a payment's shares by invoice, none where the optional view does not exist."""
        try:
            return self.shares([payment_id]).get(payment_id, [])
        except DataError:
            return []

    def shares(self, payment_ids: Sequence[str]) -> dict[str, list[PaymentAllocation]]:
        """Read the shares of payments by invoice; a payment that has none is left out."""
        if not payment_ids or not self._has_allocations:
            return {}
        statement = text(f"""
            SELECT payment_id, invoice_id, amount FROM billing_source.{ALLOCATIONS}
            WHERE payment_id = ANY(CAST(:ids AS {self._types.of(ALLOCATIONS, "payment_id")}[]))
            ORDER BY invoice_id
        """)
        with one_statement(self._engine) as connection:
            rows = connection.execute(statement, {"ids": list(payment_ids)}).all()
        found: dict[str, list[PaymentAllocation]] = {}
        for row in rows:
            share = PaymentAllocation.model_validate(row._asdict())
            found.setdefault(share.payment_id, []).append(share)
        return found

    @cached_property
    def _has_allocations(self) -> bool:
        with one_statement(self._engine) as connection:
            found = connection.execute(
                text("SELECT to_regclass(:view) IS NOT NULL"),
                {"view": f"billing_source.{ALLOCATIONS}"},
            )
            return bool(found.scalar_one())

    def same_number(self, number: str, invoice_id: str) -> list[str]:
        """Give the ids of other invoices of ours that bear a number."""
        with one_statement(self._engine) as connection:
            return list(
                connection.execute(
                    text("""SELECT CAST(id AS text) FROM billing_source.invoices
                            WHERE invoice_number = :number AND CAST(id AS text) <> :id
                            ORDER BY id"""),
                    {"number": number, "id": invoice_id},
                ).scalars()
            )

    def our_numbers(self, numbers: Sequence[str]) -> set[str]:
        """Say which of the given invoice numbers are ours."""
        return self._known("invoices", "invoice_number", numbers)

    def customer_id_of(self, id_or_account: str) -> str | None:
        """Find a customer by account number or by id, as a person may name either."""
        with one_statement(self._engine) as connection:
            found = connection.execute(
                text("""SELECT CAST(id AS text) FROM billing_source.customers
                        WHERE account_number = :given OR CAST(id AS text) = :given
                        ORDER BY (account_number = :given) DESC LIMIT 1"""),
                {"given": id_or_account},
            ).scalar_one_or_none()
        return None if found is None else str(found)

    def known_account_numbers(self, numbers: Sequence[str]) -> set[str]:
        """Say which of the given account numbers are customers of ours."""
        return self._known("customers", "account_number", numbers)

    def account_numbers(self, ids: Sequence[str]) -> dict[str, str]:
        """Give the account numbers of customers by id."""
        id_type = self._id_type(EntityType.CUSTOMER)
        with one_statement(self._engine) as connection:
            rows = connection.execute(
                text(f"""SELECT CAST(id AS text) AS id, account_number
                         FROM billing_source.customers
                         WHERE id = ANY(CAST(:ids AS {id_type}[]))"""),
                {"ids": list(ids)},
            )
            return {row.id: row.account_number for row in rows}

    # ------------------------------------------------------------------------ as a whole

    def count(self, entity: EntityType) -> int:
        """Count the rows of an entity's view; products are the service types of the packages."""
        if entity is EntityType.PRODUCT:
            return len(self._service_types())
        with one_statement(self._engine) as connection:
            counted = connection.execute(text(f"SELECT count(*) FROM {relation(VIEW_OF[entity])}"))
            return int(counted.scalar_one())

    def changed(
        self, entity: EntityType, limit: int, *, since: datetime | None = None
    ) -> list[RecordKey]:
        """Give records whose row is new, or is not the version that was last read.

        Our own write of the status columns is no change: the version that it made is stored.
        Nothing of a product can change but its name, and under that it is another one. A package
        that nothing needed so far is no news either: its plan is made with the first that does.
        """
        if entity is EntityType.PRODUCT:
            return []
        view = VIEW_OF[entity]
        created = "s.created_at >= :since" if has_column(view, "created_at") else "false"
        where = CHANGED if since is None else CHANGED_SINCE.format(created=created)
        if since is not None and entity in MADE_ON_DEMAND:
            where += " AND r.entity_id IS NOT NULL"
        with one_statement(self._engine) as connection:
            rows = connection.execute(
                text(f"""
                    SELECT CAST(s.id AS text) AS id FROM {relation(view)} s
                    LEFT JOIN billing_sync.records r
                      ON r.organisation_id = :organisation_id AND r.entity_type = :entity_type
                     AND r.entity_id = CAST(s.id AS text)
                    WHERE {where}
                    ORDER BY s.id LIMIT :limit"""),
                {**self._key(entity), "limit": limit, "since": since},
            )
            return [RecordKey(entity, row.id) for row in rows]

    def come_back(self, entity: EntityType) -> list[RecordKey]:
        """Give records of real time that were said to be deleted here, and whose row is here."""
        if entity is EntityType.PRODUCT:
            return []
        with one_statement(self._engine) as connection:
            rows = connection.execute(
                text(f"""SELECT r.entity_id FROM billing_sync.records r
                         JOIN {relation(VIEW_OF[entity])} s ON CAST(s.id AS text) = r.entity_id
                         WHERE r.organisation_id = :organisation_id
                           AND r.entity_type = :entity_type AND r.code = 'deleted_here'
                           AND r.live_since IS NOT NULL AND r.signals <= r.signals_claimed
                         ORDER BY r.entity_id"""),
                self._key(entity),
            ).all()
        return [RecordKey(entity, row.entity_id) for row in rows]

    def vanished(self, entity: EntityType, *, unsaid: bool = False) -> list[RecordKey]:
        """Give records that are in Zoho and whose row is gone here, not yet said to be so.

        `unsaid` leaves out those of which somebody was told, or who are on their way.
        """
        if entity is EntityType.PRODUCT:
            still_here, values = "r.entity_id = ANY(:here)", {"here": self._service_types()}
        else:
            still_here, values = (
                f"""EXISTS (SELECT 1 FROM {relation(VIEW_OF[entity])} s
                            WHERE CAST(s.id AS text) = r.entity_id)""",
                {},
            )
        with one_statement(self._engine) as connection:
            rows = connection.execute(
                text(f"""SELECT r.entity_id FROM billing_sync.records r
                         WHERE r.organisation_id = :organisation_id
                           AND r.entity_type = :entity_type AND r.zoho_id IS NOT NULL
                           AND r.removed_at IS NULL
                           AND r.code IS DISTINCT FROM 'deleted_here'
                           AND (NOT :unsaid OR {UNTOLD})
                           AND NOT {still_here}
                         ORDER BY r.entity_id"""),
                {**self._key(entity), **values, "unsaid": unsaid},
            ).all()
        return [RecordKey(entity, row.entity_id) for row in rows]

    # ---------------------------------------------------------------------------------- reading

    def _service_types(self) -> list[str]:
        """Give the products' ids, read as the catalogue reads them: stripped, none where empty."""
        named = {(package.service_type or "").strip() for package in self.packages()}
        return sorted(named - {""})

    def _known(self, view: str, column: str, values: Sequence[str]) -> set[str]:
        if not values:
            return set()
        with one_statement(self._engine) as connection:
            return set(
                connection.execute(
                    text(f"""SELECT {column} FROM billing_source.{view}
                             WHERE {column} = ANY(:values)"""),
                    {"values": list(values)},
                ).scalars()
            )

    def _fitting[Row: SourceRow](
        self, entity: EntityType, model: type[Row], column: str, value: str, further: str = ""
    ) -> list[Row]:
        """Read the rows with one id in a column; none where no id there can be that."""
        value_type = self._types.of(VIEW_OF[entity].name, column)
        where = f"WHERE s.{column} = CAST(:value AS {value_type}) {further} ORDER BY s.id"
        try:
            return self._rows(entity, model, where, {"value": value})
        except DataError:
            return []

    def _rows[Row: SourceRow](
        self, entity: EntityType, model: type[Row], where: str, values: dict[str, Any]
    ) -> list[Row]:
        view = VIEW_OF[entity]
        statement = text(f"SELECT {read_columns(view)} FROM {relation(view)} s {where}")
        with one_statement(self._engine) as connection:
            rows = connection.execute(statement, values).all()
        return [model.model_validate(_exactly(row._asdict())) for row in rows]

    def _id_type(self, entity: EntityType) -> str:
        return self._types.of(VIEW_OF[entity].name, "id")

    def _key(self, entity: EntityType) -> dict[str, Any]:
        return {"organisation_id": self._organisation_id, "entity_type": entity.value}


def _exactly(row: dict[str, Any]) -> dict[str, Any]:
    """Read a row's JSON with its numbers as they were written."""
    written = row.get("line_items")
    if written is None:
        return row
    try:
        return {**row, "line_items": read_json(written)}
    except ValueError:
        # Python reads no integer of more than 4300 digits. The row is refused for what it is, and
        # does not take the others of its page with it.
        return {**row, "line_items": written}
