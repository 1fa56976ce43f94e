"""How the five views are named and typed in this database, for those that read and write them."""

from collections.abc import Mapping
from functools import cache
from typing import Final

from sqlalchemy import Engine, text

from billing_sync.adapters.postgres.engine import one_statement
from billing_sync.domain.source_contract import VIEWS, Kind, View
from billing_sync.domain.states import EntityType

VIEW_OF: Final[Mapping[EntityType, View]] = {view.entity: view for view in VIEWS}
"""A product has none: it is a service type, which packages name."""

ALLOCATIONS: Final = "payment_allocations"
"""The optional sixth view."""

COLUMN_TYPE: Final = text("""
    SELECT format_type(atttypid, atttypmod) FROM pg_attribute
    WHERE attrelid = CAST(:view AS regclass) AND attname = :column
""")


def relation(view: View) -> str:
    """Name a view in a statement."""
    return f"billing_source.{view.name}"


def has_column(view: View, name: str) -> bool:
    """Say whether the view has a column by its contract."""
    return any(column.name == name for column in view.columns)


def read_columns(view: View) -> str:
    """List what is read of the view `s`: all but what is ours to write.

    JSON comes as its text: the driver would make binary floats of its numbers.
    """
    return ", ".join(
        f"CAST(s.{column.name} AS text) AS {column.name}"
        if column.kind is Kind.JSON
        else f"s.{column.name}"
        for column in view.columns
        if not column.is_status
    )


def zoho_id_columns(view: View) -> tuple[str, ...]:
    """Give the columns for Zoho's id and, of an invoice, its number there; packages have none."""
    return tuple(column.name for column in view.columns if column.is_zoho_id)


class ColumnTypes:
    """The types of columns, each asked for once.

    Parameters are cast to them, never columns to text: a column that is cast finds no index.
    """

    def __init__(self, engine: Engine) -> None:
        """Keep the engine; nothing is asked before its first use."""
        self._engine = engine
        self.of = cache(self._read)

    def _read(self, view: str, column: str) -> str:
        with one_statement(self._engine) as connection:
            found = connection.execute(
                COLUMN_TYPE, {"view": f"billing_source.{view}", "column": column}
            ).scalar_one()
        return str(found)
