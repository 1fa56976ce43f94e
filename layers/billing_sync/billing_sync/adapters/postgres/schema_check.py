"""Judge the live database before a run: our tables, the five views, the status columns, the log.

Drift between code and schema cost the system before this one five outages, and a log table that
refused two kinds of rows hid behind a logger that swallowed the error. So nothing is taken on
trust: what will be written later is written here first, and rolled back.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Engine, TextClause, text
from sqlalchemy.exc import DataError, DBAPIError, OperationalError

from billing_sync.adapters.postgres.migrate import MIGRATIONS, TABLE_RIGHTS
from billing_sync.adapters.postgres.records import INSERT_LOG, log_values
from billing_sync.domain.findings import blocking
from billing_sync.domain.ownership import Ownership, RecurringInvoicesOwner, word_of
from billing_sync.domain.source_contract import VIEWS, Kind, View
from billing_sync.domain.states import STATES, EntityType
from billing_sync.domain.steps import Finding, Only, Phase, Severity
from billing_sync.ports import (
    LogEntry,
    RecordKey,
    SourceCheck,
    SourceReport,
    TablesReport,
)

STATEMENT_SECONDS: Final = 10
"""One look at a large table may take so long; all of them must end before the function does."""

SHOWN_IDS: Final = 50
SHOWN_VALUES: Final = 20
LONGEST_VALUE: Final = 40

MIGRATE: Final = "Run the function `migrate` of this version."
EDIT_VIEW: Final = "Edit functions/migrate/source/{view}.sql, deploy, and run `migrate`."

# SQLSTATEs, as PostgreSQL's appendix A names them.
INSUFFICIENT_PRIVILEGE: Final = "42501"
CHECK_VIOLATION: Final = "23514"
NOT_UPDATABLE: Final = ("55000", "0A000")
LOCK_NOT_AVAILABLE: Final = "55P03"
QUERY_CANCELED: Final = "57014"

WHO_AM_I: Final = text("""
    SELECT current_user AS role,
           r.rolsuper OR r.rolbypassrls AS sees_all,
           coalesce(pg_has_role(current_user, n.nspowner, 'USAGE'), false) AS owns_us
    FROM pg_catalog.pg_roles r
    LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = 'billing_sync'
    WHERE r.rolname = current_user
""")

# From the catalogue, not from information_schema: that one hides what the role has no right to.
OWN_TABLES: Final = text("""
    SELECT c.relname AS name,
           ARRAY(SELECT wanted FROM unnest(CAST(:rights AS text[])) AS wanted
                 WHERE has_table_privilege(c.oid, wanted)) AS rights
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'billing_sync' AND c.relkind IN ('r', 'p')
      AND has_schema_privilege(n.oid, 'USAGE')
""")
FORBIDDEN_FUNCTIONS: Final = text("""
    SELECT p.proname FROM pg_catalog.pg_proc p
    JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname = 'billing_sync' AND NOT has_function_privilege(p.oid, 'EXECUTE')
    ORDER BY 1
""")

# A domain is judged as the type under it; a domain may stand upon a domain.
COLUMNS: Final = text("""
    WITH RECURSIVE seen AS (
        SELECT c.relname AS view, a.attname AS name, a.atttypid AS shown, a.atttypid AS type,
               a.atttypmod AS modifier,
               has_schema_privilege(n.oid, 'USAGE')
                   AND has_column_privilege(c.oid, a.attnum, 'SELECT') AS readable
        FROM pg_catalog.pg_class c
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        JOIN pg_catalog.pg_attribute a
          ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        WHERE n.nspname = 'billing_source' AND c.relkind IN ('v', 'm', 'r', 'p', 'f')
        UNION ALL
        SELECT s.view, s.name, s.shown, t.typbasetype, t.typtypmod, s.readable
        FROM seen s JOIN pg_catalog.pg_type t ON t.oid = s.type AND t.typtype = 'd'
    )
    SELECT s.view, s.name, format_type(s.shown, NULL) AS shown, s.readable,
           CASE t.typtype WHEN 'e' THEN 'enum' ELSE t.typname END AS type,
           CASE WHEN t.typname IN ('varchar', 'bpchar') AND s.modifier > 4
                THEN s.modifier - 4 END AS length
    FROM seen s JOIN pg_catalog.pg_type t ON t.oid = s.type
    WHERE t.typtype <> 'd'
""")

# Every table that a view reads, through views of views; the policies that count are the ones for
# the view's owner, because PostgreSQL asks for rights in the owner's name.
ROW_SECURITY: Final = text("""
    WITH RECURSIVE below AS (
        SELECT c.oid AS view, c.relname AS name, c.relowner AS reader, c.oid AS relation
        FROM pg_catalog.pg_class c
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = 'billing_source' AND c.relkind = 'v'
        UNION
        SELECT b.view, b.name, b.reader, d.refobjid
        FROM below b
        JOIN pg_catalog.pg_rewrite w ON w.ev_class = b.relation
        JOIN pg_catalog.pg_depend d
          ON d.classid = CAST('pg_rewrite' AS regclass) AND d.objid = w.oid
         AND d.refclassid = CAST('pg_class' AS regclass)
    )
    SELECT DISTINCT b.name AS view, c.relname AS relation
    FROM below b
    JOIN pg_catalog.pg_class c ON c.oid = b.relation AND c.relrowsecurity
    JOIN pg_catalog.pg_roles r ON r.oid = b.reader
    WHERE NOT r.rolsuper AND NOT r.rolbypassrls
      AND (c.relforcerowsecurity OR NOT pg_has_role(b.reader, c.relowner, 'USAGE'))
    ORDER BY 1, 2
""")

COLUMN_RIGHTS: Final = text("""
    SELECT a.attname FROM pg_catalog.pg_attribute a
    WHERE a.attrelid = CAST(:view AS regclass) AND a.attname = ANY(:columns)
      AND has_column_privilege(a.attrelid, a.attnum, 'UPDATE')
""")

TEXTS: Final = frozenset({"text", "varchar", "bpchar", "citext", "name"})
INTEGERS: Final = frozenset({"int2", "int4", "int8"})
TYPES: Final[dict[Kind, frozenset[str]]] = {
    Kind.ID: INTEGERS | {"uuid", "text", "varchar", "bpchar", "citext"},
    Kind.TEXT: TEXTS | {"enum"},
    # Compared with text parameters, which PostgreSQL does not do with an enum.
    Kind.WRITTEN_TEXT: TEXTS,
    Kind.AMOUNT: INTEGERS | {"numeric"},
    Kind.INTEGER: INTEGERS,
    Kind.FLAG: frozenset({"bool"}),
    Kind.DATE: frozenset({"date"}),
    Kind.MOMENT: frozenset({"timestamptz", "timestamp"}),
    Kind.JSON: frozenset({"jsonb", "json"}),
}

TAXED: Final = {
    EntityType.PLAN: ("price_includes_tax", "price_includes_tax"),
    EntityType.SUBSCRIPTION: ("price_includes_tax", "price_includes_tax"),
    EntityType.INVOICE: ("tax_amount", "tax_amount <> 0"),
}
"""The column that says whether a row holds tax, and the condition that it does."""

WAYS_NEED: Final = frozenset({"status", "provider", "payment_method"})
PAID_BY: Final = text("""
    SELECT coalesce(CAST(provider AS text), '') AS provider,
           coalesce(CAST(payment_method AS text), '') AS method, count(*) AS payments
    FROM billing_source.payments
    WHERE lower(btrim(CAST(status AS text))) = 'completed'
    GROUP BY 1, 2
""")

LOG_STATUSES: Final = ("answered", "refused", "never_sent", "in_doubt")


@dataclass(frozen=True, slots=True)
class _Found:
    """A column as the catalogue has it."""

    shown: str
    type: str
    length: int | None
    readable: bool


type _Columns = dict[str, _Found]


class PostgresSourceCheck(SourceCheck):
    """Look as the functions' role, and as nobody else: the owner's rights prove nothing."""

    def __init__(
        self,
        engine: Engine,
        organisation_id: str,
        *,
        status_columns: bool,
        ownership: Ownership | None = None,
    ) -> None:
        """`status_columns` is the parameter StatusColumns; `ownership` tells how types are read."""
        self._engine = engine
        self._ownership = ownership or Ownership()
        self._organisation_id = organisation_id
        self._status_columns_are_on = status_columns

    # ---------------------------------------------------------------------------------- reaching

    def reach(self) -> list[Finding]:
        """Connect, and see who we are."""
        try:
            with self._engine.connect() as connection:
                me = connection.execute(WHO_AM_I).one()
        except OperationalError:
            return [
                blocking(
                    "database_unreachable",
                    "The database cannot be reached with what its secret says.",
                    "Compare host, port, database, user and password in DatabaseSecret"
                    " with the server, and see whether the function's network leads there.",
                )
            ]
        if me.sees_all or me.owns_us:
            return [
                Finding(
                    code="database_role_too_mighty",
                    severity=Severity.WARNING,
                    sentence="The functions connect as a role that owns our schema or sees past"
                    " row-level security: what is checked here says less than it seems to.",
                    what_to_do="Put the role of FunctionsRole into DatabaseSecret, not the owner.",
                )
            ]
        return []

    # ---------------------------------------------------------------------------------- our own

    def own_tables(self) -> TablesReport:
        """Compare the revision with the code's, then the rights on each table."""
        wanted, found = self._head(), self._revision()
        if found != wanted:
            stands = "was never migrated" if found is None else f"stands at revision {found}"
            finding = blocking(
                "schema_not_migrated",
                f"The schema billing_sync {stands}; this version needs {wanted}.",
                MIGRATE,
            )
            return TablesReport((finding,), frozenset(TABLE_RIGHTS))
        rights_of = self._rights()
        unusable = {
            table: lacking
            for table, rights in TABLE_RIGHTS.items()
            if (lacking := set(rights.split(", ")) - rights_of.get(table, set()))
        }
        findings = []
        if unusable:
            findings.append(
                blocking(
                    "own_table_not_writable",
                    "The functions' role lacks rights on our own tables: "
                    + "; ".join(
                        f"{table} ({', '.join(sorted(lacking))})"
                        for table, lacking in sorted(unusable.items())
                    )
                    + ".",
                    MIGRATE,
                    count=len(unusable),
                )
            )
        with self._engine.connect() as connection:
            forbidden = list(connection.execute(FORBIDDEN_FUNCTIONS).scalars())
        if forbidden:
            findings.append(
                blocking(
                    "own_function_not_executable",
                    "The functions' role may not execute our own database functions: "
                    + ", ".join(forbidden)
                    + ".",
                    MIGRATE,
                    count=len(forbidden),
                )
            )
            # They are the quota's rules: without them no call can leave.
            unusable["quota"] = {"EXECUTE"}
        return TablesReport(tuple(findings), frozenset(unusable))

    @staticmethod
    def _head() -> str | None:
        from alembic.script import ScriptDirectory  # noqa: PLC0415 - only preflight asks

        return ScriptDirectory(str(MIGRATIONS)).get_current_head()

    def _revision(self) -> str | None:
        if "SELECT" not in self._rights().get("alembic_version", set()):
            return None
        with self._engine.connect() as connection:
            found = connection.execute(
                text("SELECT version_num FROM billing_sync.alembic_version")
            ).scalar_one_or_none()
        return None if found is None else str(found)

    def _rights(self) -> dict[str, set[str]]:
        rights = ["SELECT", "INSERT", "UPDATE", "DELETE"]
        with self._engine.connect() as connection:
            rows = connection.execute(OWN_TABLES, {"rights": rights})
            return {row.name: set(row.rights) for row in rows}

    def sync_log(self) -> list[Finding]:
        """Write a row of each entity and status, and take it back."""
        refused = []
        with self._rolled_back() as connection:
            for entity in EntityType:
                rows = [self._log_row(entity, status) for status in LOG_STATUSES]
                if self._fault(connection, INSERT_LOG, rows) is not None:
                    refused.append(entity.value)
        if not refused:
            return []
        return [
            blocking(
                "sync_log_refuses",
                f"The table zoho_sync_logs refuses rows of {', '.join(refused)}.",
                "See which constraint or trigger was added to"
                f" billing_sync.zoho_sync_logs, or whether rights are missing. {MIGRATE}",
                count=len(refused),
            )
        ]

    def _log_row(self, entity: EntityType, status: str) -> dict[str, Any]:
        entry = LogEntry(
            RecordKey(entity, "preflight"),
            "create",
            status,
            1,
            request_masked={},
            response_masked={},
        )
        return log_values(self._organisation_id, entry)

    # ------------------------------------------------------------------------------- the source

    def source(self, phases: Sequence[Phase]) -> SourceReport:
        """Judge each view by itself, so that one that is wrong hides no other."""
        found = self._columns()
        findings: list[Finding] = []
        rows: dict[str, int] = {}
        taxed: dict[str, int] = {}
        paid_by: dict[tuple[str, str], int] = {}
        for view in VIEWS:
            columns = found.get(view.name)
            if columns is None:
                findings.append(_view_missing(view))
                continue
            findings += self._judge_shape(view, columns)
            usable = {name for name, column in columns.items() if column.readable}
            if not usable:
                continue
            grave = _grave(view, phases)
            findings += self._judge_counts(view, grave, rows)
            findings += self._judge_rows(view, columns, usable, grave)
            findings += self._list_words(view, usable)
            findings += self._count_taxed(view, usable, taxed)
            findings += self._count_ways(view, usable, paid_by)
        findings += self._row_security()
        return SourceReport(tuple(findings), rows, taxed, paid_by)

    def _columns(self) -> dict[str, _Columns]:
        with self._engine.connect() as connection:
            views: dict[str, _Columns] = {}
            for row in connection.execute(COLUMNS):
                views.setdefault(row.view, {})[row.name] = _Found(
                    row.shown, row.type, row.length, row.readable
                )
            return views

    def _judge_shape(self, view: View, columns: _Columns) -> Iterator[Finding]:
        unreadable = [
            column.name
            for column in view.columns
            if column.name in columns and not columns[column.name].readable
        ]
        if unreadable:
            yield blocking(
                "view_not_readable",
                f"The functions' role may not read {view.name}: {', '.join(unreadable)}.",
                MIGRATE,
                count=len(unreadable),
            )
        for column in view.columns:
            if column.is_status and not self._status_columns_are_on:
                continue
            found = columns.get(column.name)
            name = f"{view.name}.{column.name}"
            todo = EDIT_VIEW.format(view=view.name)
            if found is None:
                yield blocking(
                    "column_missing",
                    f"The view has no column {name}; it must be {column.kind.value}.",
                    todo,
                )
            elif found.type not in TYPES[column.kind]:
                yield blocking(
                    "column_type",
                    f"The column {name} is {found.shown}; it must be {column.kind.value}.",
                    f"Cast it in the view. {todo}",
                )
            elif column.kind is Kind.MOMENT and found.type == "timestamp":
                yield Finding(
                    code="column_without_time_zone",
                    severity=Severity.WARNING,
                    sentence=f"The column {name} is a time without a zone: it is read in the time"
                    " zone of the database's sessions.",
                    what_to_do="Say in the view which zone is meant: AT TIME ZONE '...'.",
                )
            elif found.length is not None and found.length < column.shortest:
                yield blocking(
                    "column_too_short",
                    f"The column {name} has room for {found.length} characters; it must"
                    f" have room for {column.shortest}.",
                    "Widen it in the application's table, or make it text.",
                )

    def _judge_counts(self, view: View, grave: Severity, rows: dict[str, int]) -> Iterator[Finding]:
        """Count as ourselves, as the owner, and compare with what we knew."""
        try:
            with self._looking() as connection:
                ours = rows[view.name] = int(
                    connection.execute(text(f"SELECT count(*) FROM {_sql(view)}")).scalar_one()
                )
                theirs = int(
                    connection.execute(
                        text("SELECT billing_source.count_as_owner(:view)"), {"view": view.name}
                    ).scalar_one()
                )
        except DBAPIError as error:
            yield _not_checked(view, "count its rows", error)
            return
        if ours != theirs:
            yield blocking(
                "rows_hidden",
                f"The functions' role sees {ours} rows of the view {view.name}, its owner"
                f" {theirs}: row-level security hides the rest.",
                "Give both roles a policy that shows all rows, and see that the view is"
                " no security_invoker.",
                count=abs(theirs - ours),
            )
        elif 2 * ours < (known := self._known(view)):
            yield blocking(
                "view_shrunk",
                f"The view {view.name} yields {ours} rows; we knew {known} of them.",
                "See whether rows were deleted, or are hidden by row-level security or"
                " by the view's WHERE.",
                count=known - ours,
            )
        elif ours == 0:
            is_carried = grave is Severity.BLOCKING
            yield Finding(
                code="view_empty",
                # Every ISP has customers; to have no invoices yet is no fault.
                severity=(
                    grave
                    if view.phase is Phase.CUSTOMERS
                    else Severity.WARNING
                    if is_carried
                    else Severity.NOTE
                ),
                sentence=f"The view {view.name} yields no row.",
                what_to_do="If the table under it is not empty, row-level security hides its rows"
                " from billing_sync_owner, or the view's WHERE does.",
            )

    def _known(self, view: View) -> int:
        """Count the records that this view once gave us; none where our tables are not usable."""
        try:
            with self._looking() as connection:
                known = connection.execute(
                    text("""SELECT count(*) FROM billing_sync.records
                            WHERE organisation_id = :organisation_id AND entity_type = :entity
                              AND code IS DISTINCT FROM 'deleted_here'
                              AND code IS DISTINCT FROM 'not_found_here'"""),
                    {"organisation_id": self._organisation_id, "entity": view.entity.value},
                )
                return int(known.scalar_one())
        except DBAPIError:  # `own_tables` says why
            return 0

    def _judge_rows(
        self, view: View, columns: _Columns, usable: set[str], grave: Severity
    ) -> Iterator[Finding]:
        """Look for NULLs, blanks and repetitions where there must be none."""
        has_id = "id" in usable and columns["id"].type in TYPES[Kind.ID]
        for column in view.columns:
            if column.name not in usable or not column.required:
                continue
            faults = [("is NULL", "null_in_key" if column.is_key else "null", "{c} IS NULL")]
            # A column of a wrong type was named already; json, say, cannot even be compared.
            if column.is_key and columns[column.name].type in TYPES[column.kind]:
                faults += [
                    ("is empty", "empty_key", "btrim(CAST({c} AS text)) = ''"),
                    (
                        "is not unique",
                        "duplicate_key",
                        "{c} IN (SELECT {c} FROM {v} GROUP BY {c} HAVING count(*) > 1)",
                    ),
                ]
            for what, code, condition in faults:
                where = condition.format(c=column.name, v=_sql(view))
                shown = "CAST(id AS text)" if has_id else "NULL"
                try:
                    with self._looking() as connection:
                        count, ids = connection.execute(
                            text(f"""
                                WITH wrong AS (SELECT {shown} AS id FROM {_sql(view)} WHERE {where})
                                SELECT (SELECT count(*) FROM wrong),
                                       ARRAY(SELECT id FROM wrong WHERE id IS NOT NULL
                                             ORDER BY id LIMIT {SHOWN_IDS})""")
                        ).one()
                except DBAPIError as error:
                    yield _not_checked(view, f"see where {column.name} {what}", error)
                    continue
                if count:
                    yield Finding(
                        code=code,
                        severity=grave if column.is_vital else Severity.WARNING,
                        sentence=f"{view.name}.{column.name} {what} in {count} rows"
                        + ("." if column.is_vital else ": where it counts, they will be failed."),
                        what_to_do="Mend these rows in the application, or leave them out in the"
                        f" view {view.name}.",
                        count=count,
                        records=tuple(ids),
                    )

    def _list_words(self, view: View, usable: set[str]) -> Iterator[Finding]:
        """List each state and type with its count and how it will be read."""
        for column, known, others in self._words(view):
            if column not in usable:
                continue
            try:
                with self._looking() as connection:
                    rows = connection.execute(
                        text(f"""SELECT CAST({column} AS text) AS word, count(*) AS rows
                                 FROM {_sql(view)} GROUP BY 1 ORDER BY 2 DESC, 1
                                 LIMIT {SHOWN_VALUES + 1}""")
                    ).all()
            except DBAPIError as error:
                yield _not_checked(view, f"list the words of {column}", error)
                continue
            if not rows:
                continue
            yield Finding(
                code="words",
                severity=Severity.NOTE,
                sentence=f"{view.name}.{column}: "
                + ", ".join(_read_as(row, known, others) for row in rows[:SHOWN_VALUES])
                + (", and more." if len(rows) > SHOWN_VALUES else "."),
                what_to_do="See that this is what is meant; the view may translate words.",
                count=len(rows),
            )
            unknown = [
                row for row in rows if row.word is not None and word_of(row.word) not in known
            ]
            if unknown and others is None:
                yield Finding(
                    code="word_unknown",
                    # Of a customer the status decides nothing: all of them are sent.
                    severity=Severity.NOTE if column == "account_status" else Severity.WARNING,
                    sentence=f"{view.name}.{column} has words that we do not know: "
                    + ", ".join(_cut(row.word) for row in unknown[:SHOWN_VALUES])
                    + f". We know {', '.join(known)}.",
                    what_to_do=f"Translate them in the view. {EDIT_VIEW.format(view=view.name)}",
                    count=sum(row.rows for row in unknown),
                )

    def _words(self, view: View) -> Iterator[tuple[str, Mapping[str, str], str | None]]:
        """Give each column of words, how they are read, and how any other is: None is unknown."""
        for column, known in view.words.items():
            yield column, known, None
        if view.entity is EntityType.INVOICE:
            owner = self._ownership
            read_as = (
                "recurring: raised by Zoho from the subscription's start on"
                if owner.recurring_invoices is RecurringInvoicesOwner.ZOHO
                else "recurring, and ours"
            )
            yield "invoice_type", dict.fromkeys(owner.recurring_types, read_as), "one-off, and ours"

    def _count_taxed(self, view: View, usable: set[str], taxed: dict[str, int]) -> list[Finding]:
        """Count the rows that say that they hold tax: Zoho must charge some then."""
        column, condition = TAXED.get(view.entity, ("", ""))
        if column not in usable:
            return []
        try:
            with self._looking() as connection:
                taxed[view.name] = int(
                    connection.execute(
                        text(f"SELECT count(*) FROM {_sql(view)} WHERE {condition}")
                    ).scalar_one()
                )
        except DBAPIError as error:
            return [_not_checked(view, f"see which rows hold tax by {column}", error)]
        return []

    def _count_ways(
        self, view: View, usable: set[str], paid_by: dict[tuple[str, str], int]
    ) -> list[Finding]:
        """Count completed payments by provider and method: each pair needs a mode of Zoho."""
        if view.entity is not EntityType.PAYMENT or WAYS_NEED - usable:
            return []
        try:
            with self._looking() as connection:
                for row in connection.execute(PAID_BY):
                    paid_by[row.provider, row.method] = row.payments
        except DBAPIError as error:
            return [_not_checked(view, "list providers and methods", error)]
        return []

    def _row_security(self) -> Iterator[Finding]:
        """Name tables whose policies may hide rows from both roles alike, so that counts agree."""
        with self._engine.connect() as connection:
            rows = connection.execute(ROW_SECURITY).all()
        for row in rows:
            yield Finding(
                code="row_level_security",
                severity=Severity.WARNING,
                sentence=f"The table {row.relation} under the view {row.view} has row-level"
                " security: rows that its policies hide are missing here, and nothing shows it.",
                what_to_do="Give billing_sync_owner a policy that shows all rows of the table.",
            )

    # --------------------------------------------------------------------------- status columns

    def status_columns(self, phases: Sequence[Phase]) -> list[Finding]:
        """Write each status into one row of each view, as a run will, and take it back."""
        if not self._status_columns_are_on:
            return []
        present = self._columns()
        findings: list[Finding] = []
        for view in VIEWS:
            columns = [column.name for column in view.status_columns()]
            # What is missing was said already, and there is nothing to write to.
            if not columns or not {"id", *columns} <= present.get(view.name, {}).keys():
                continue
            why = self._why_not_writable(view, columns)
            if why is not None:
                sentence, what_to_do = why
                findings.append(
                    Finding(
                        code="status_column_not_writable",
                        severity=_grave(view, phases),
                        sentence=f"The status columns of the view {view.name} cannot be written:"
                        f" {sentence}.",
                        what_to_do=f"{what_to_do} Or set StatusColumns to off.",
                    )
                )
        return findings

    def _why_not_writable(self, view: View, columns: list[str]) -> tuple[str, str] | None:
        try:
            with self._looking() as connection:
                writable = set(
                    connection.execute(
                        COLUMN_RIGHTS, {"view": _sql(view), "columns": columns}
                    ).scalars()
                )
        except DBAPIError as error:
            if _sqlstate(error) != INSUFFICIENT_PRIVILEGE:
                raise
            writable = set()
        lacking = [column for column in columns if column not in writable]
        if lacking:
            return f"the functions' role may not update {', '.join(lacking)}", MIGRATE
        statuses = {rule.sync_status for rule in STATES.values() if rule.status_written}
        with self._rolled_back() as connection:
            for status in sorted(statuses, key=lambda word: word or ""):
                fault = self._fault(connection, _write_status(view), _status_values(status))
                if fault is not None:
                    return _explain(fault, status)
        return None

    # ------------------------------------------------------------------------------- the filter

    def impossible(self, only: Only, phases: Sequence[Phase]) -> str | None:
        """Let PostgreSQL read what was asked for: an id that it cannot be finds no row, ever.

        The ids are those of each phase's own rows, whose type need not be the customers'.
        """
        columns = self._columns()
        carried = [view.name for view in VIEWS if view.phase in phases]
        id_types = {columns[name]["id"].shown for name in carried if "id" in columns.get(name, {})}
        if only.ids and not all(self._reads(only.ids, id_type) for id_type in id_types):
            return "only.ids"
        if only.accounts and not self._reads(only.accounts, "text"):
            return "only.accounts"
        return None

    def _reads(self, given: tuple[str, ...], type_name: str) -> bool:
        try:
            with self._looking() as connection:
                # The type's name comes from the catalogue.
                connection.execute(
                    text(f"SELECT CAST(:given AS {type_name}[])"), {"given": list(given)}
                )
        except DataError:
            return False
        return True

    # ------------------------------------------------------------------------------ connections

    @contextmanager
    def _looking(self) -> Iterator[Connection]:
        """Give a connection whose statements end in time."""
        with self._engine.connect() as connection:
            connection.execute(text(f"SET LOCAL statement_timeout = '{STATEMENT_SECONDS}s'"))
            yield connection

    @contextmanager
    def _rolled_back(self) -> Iterator[Connection]:
        """Give a transaction of which nothing stays."""
        with self._engine.connect() as connection, connection.begin() as transaction:
            connection.execute(text("SET LOCAL lock_timeout = '2s'"))
            connection.execute(text(f"SET LOCAL statement_timeout = '{STATEMENT_SECONDS}s'"))
            try:
                yield connection
            finally:
                transaction.rollback()

    @staticmethod
    def _fault(connection: Connection, statement: TextClause, values: Any) -> DBAPIError | None:
        """Try in a savepoint, so that the next probe finds a working transaction."""
        savepoint = connection.begin_nested()
        try:
            connection.execute(statement, values)
        except DBAPIError as error:
            return error
        finally:
            savepoint.rollback()
        return None


def _write_status(view: View) -> TextClause:
    """Write as transaction B does, into a row that nobody holds locked; into none if none is free.

    An UPDATE that finds no row is rewritten, planned and checked for rights all the same.
    """
    zoho_ids = [column.name for column in view.status_columns() if column.is_zoho_id]
    return text(f"""
        UPDATE {_sql(view)} SET
            {", ".join(f"{name} = {name}" for name in zoho_ids)},
            zoho_sync_status = :status,
            zoho_last_sync_error = :sentence,
            zoho_last_synced_at = clock_timestamp()
        WHERE id = (SELECT id FROM {_sql(view)} LIMIT 1 FOR UPDATE SKIP LOCKED)
    """)


def _status_values(status: str | None) -> dict[str, str | None]:
    sentence = None if status == "synced" else "Preflight looks whether this can be written."
    return {"status": status, "sentence": sentence}


def _explain(error: DBAPIError, status: str | None) -> tuple[str, str]:
    """Say what PostgreSQL's refusal means; never its message, which may quote a row."""
    state = _sqlstate(error)
    if state == INSUFFICIENT_PRIVILEGE:
        return (
            "the view's owner may not update the table under it",
            "As the application's owner, grant billing_sync_owner UPDATE on them in the table.",
        )
    if state in NOT_UPDATABLE:
        return (
            "PostgreSQL cannot update through this view (it joins, or computes these columns)",
            "Make it a plain view of one table, or give it an INSTEAD OF UPDATE trigger.",
        )
    if state == CHECK_VIOLATION:
        return (
            f"a CHECK of the application refuses the status {status or 'NULL'}",
            "Let its CHECK admit synced, retrying, failed and NULL.",
        )
    if state in (LOCK_NOT_AVAILABLE, QUERY_CANCELED):
        return (
            "the application holds the row or the table locked",
            "Look again later; if it stays so, find out who holds the lock.",
        )
    return (
        f"the application's table refuses the update (SQLSTATE {state})",
        "See which trigger or constraint of the table does.",
    )


def _view_missing(view: View) -> Finding:
    return blocking(
        "view_missing",
        f"There is no view billing_source.{view.name}.",
        f"Is functions/migrate/source/{view.name}.sql there? {MIGRATE}",
    )


def _not_checked(view: View, what: str, error: DBAPIError) -> Finding:
    """Turn a refused look into a finding: not to know is not to be fine."""
    state = _sqlstate(error)
    if state == QUERY_CANCELED:
        return Finding(
            code="not_checked_in_time",
            severity=Severity.WARNING,
            sentence=f"It took longer than {STATEMENT_SECONDS} s to {what} ({view.name}).",
            what_to_do="See whether the table lacks an index or the database is overloaded.",
        )
    return blocking(
        "view_not_readable",
        f"The view {view.name} could not be read to {what} (SQLSTATE {state}).",
        f"Read it by hand as the functions' role. {MIGRATE}",
    )


def _grave(view: View, phases: Sequence[Phase]) -> Severity:
    return Severity.BLOCKING if view.phase in phases else Severity.WARNING


def _read_as(row: Any, known: Mapping[str, str], others: str | None) -> str:
    if row.word is None:
        return f"none {row.rows}"
    meaning = known.get(word_of(row.word), others or "unknown")
    return f"{_cut(row.word)} {row.rows} ({meaning})"


def _cut(word: str) -> str:
    """Show a word of a column of words, on one line and not without end."""
    printable = "".join(c if c.isprintable() else "?" for c in word)
    return printable if len(printable) <= LONGEST_VALUE else f"{printable[:LONGEST_VALUE]}…"


def _sql(view: View) -> str:
    return f"billing_source.{view.name}"


def _sqlstate(error: DBAPIError) -> str:
    return str(getattr(error.orig, "sqlstate", None) or "unknown")
