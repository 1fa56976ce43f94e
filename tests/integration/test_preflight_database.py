"""What preflight finds in a real database, looking as the functions' role."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine, text

from billing_sync.adapters.postgres.engine import make_engine, make_url
from billing_sync.adapters.postgres.schema_check import PostgresSourceCheck
from billing_sync.domain.ownership import Ownership, RecurringInvoicesOwner
from billing_sync.domain.source_contract import VIEWS
from billing_sync.domain.steps import Finding, Only, Phase, Severity
from ops.local_stack.postgres import (
    APPLICATION_ROLE,
    FUNCTIONS_ROLE,
    OWNER_ROLE,
    SUPERUSER,
    Database,
)
from tests.conftest import SOURCE_VIEWS

ORGANISATION = "60098765432"
CUSTOMERS = (Phase.CUSTOMERS,)

SOME_OF_EACH = (
    """INSERT INTO customer_services (id, customer_id, package_id, monthly_price,
                                      price_includes_tax, status)
       SELECT n, 1, (SELECT min(id) FROM service_packages), 459, n <> 2, 'active'
       FROM generate_series(1, 3) AS n""",
    """INSERT INTO customer_invoices (id, customer_id, invoice_number, invoice_type, invoice_date,
                                      due_date, subtotal, tax_amount, total_amount, status)
       VALUES (1, 1, 'INV-1', 'recurring', '2026-01-01', '2026-01-08', 399.13, 59.87, 459, 'sent'),
              (2, 1, 'INV-2', 'installation', '2026-01-01', '2026-01-08', 100, 0, 100, 'sent')""",
    """INSERT INTO payment_transactions (transaction_id, provider, amount, status, payment_method,
                                         customer_id)
       VALUES ('T1', 'netcash', 459, 'completed', 'eft', 1),
              ('T2', 'netcash', 459, 'completed', 'eft', 1),
              ('T3', 'paypal', 459, 'completed', NULL, 1),
              ('T4', 'snapscan', 459, 'failed', 'qr', 1)""",
)

KNOWN_RECORDS = """
    INSERT INTO billing_sync.records (organisation_id, entity_type, entity_id)
    SELECT '{organisation}', 'customer', n::text FROM generate_series(1, {count}) AS n
"""


@pytest.fixture
def engine(database: Database) -> Iterator[Engine]:
    engine = make_engine(database.functions_url)
    yield engine
    engine.dispose()


@pytest.fixture
def check(engine: Engine) -> PostgresSourceCheck:
    return PostgresSourceCheck(engine, ORGANISATION, status_columns=True)


class As:
    """Statements of the others in the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def application(self, *statements: str) -> None:
        self._run(APPLICATION_ROLE, statements)

    def owner(self, *statements: str) -> None:
        self._run(OWNER_ROLE, statements)

    def superuser(self, *statements: str) -> None:
        self._run(SUPERUSER, statements)

    def view(self, name: str, *, replace: str, by: str) -> None:
        """Make a view anew with a part of its SQL replaced, as an adopter's edit would."""
        sql = (SOURCE_VIEWS / f"{name}.sql").read_text(encoding="utf-8")
        assert replace in sql
        self.owner(f"DROP VIEW billing_source.{name}", sql.replace(replace, by))
        self.grant(name)

    def grant(self, name: str) -> None:
        """Give the functions' role what `migrate` gives it on a view, as far as that is there."""
        self.owner(f"GRANT SELECT ON billing_source.{name} TO {FUNCTIONS_ROLE}")
        ours = {column.name for view in VIEWS for column in view.status_columns()}
        with self._database.connect(OWNER_ROLE) as connection:
            there = connection.execute(f"TABLE billing_source.{name} LIMIT 0".encode())
            columns = sorted(ours & {column.name for column in there.description or ()})
        if columns:
            self.owner(
                f"GRANT UPDATE ({', '.join(columns)}) ON billing_source.{name} TO {FUNCTIONS_ROLE}"
            )

    def _run(self, role: str, statements: tuple[str, ...]) -> None:
        with self._database.connect(role) as connection:
            for statement in statements:
                connection.execute(statement.encode())


@pytest.fixture
def as_(database: Database) -> As:
    return As(database)


def faults(findings: tuple[Finding, ...] | list[Finding]) -> dict[str, Finding]:
    """Give what is more than a note, by code; each of these tests breaks one thing."""
    wrong = [one for one in findings if one.severity is not Severity.NOTE]
    assert len({one.code for one in wrong}) == len(wrong), wrong
    return {one.code: one for one in wrong}


def source(check: PostgresSourceCheck) -> dict[str, Finding]:
    return faults(check.source(CUSTOMERS).findings)


def status_columns(check: PostgresSourceCheck) -> str:
    [finding] = check.status_columns(CUSTOMERS)
    assert finding.code == "status_column_not_writable"
    assert finding.severity is Severity.BLOCKING
    return finding.sentence.removeprefix(
        "The status columns of the view customers cannot be written: "
    )


# ------------------------------------------------------------------------------------ in order


def test_a_migrated_database_is_in_order(check: PostgresSourceCheck) -> None:
    report = check.source(CUSTOMERS)

    assert check.reach() == []
    assert check.own_tables().findings == ()
    assert check.own_tables().unusable == frozenset()
    assert check.sync_log() == []
    assert faults(report.findings) == {}
    assert report.rows["customers"] == 15
    assert check.status_columns(CUSTOMERS) == []


def test_the_checks_leave_nothing_behind(check: PostgresSourceCheck, engine: Engine) -> None:
    def everything() -> list[tuple[object, ...]]:
        with engine.connect() as connection:
            return [
                tuple(row)
                for table in ("billing_source.customers", "billing_sync.zoho_sync_logs")
                for row in connection.execute(text(f"TABLE {table} ORDER BY 1"))
            ]

    before = everything()
    check.own_tables()
    check.sync_log()
    check.source(CUSTOMERS)
    check.status_columns(CUSTOMERS)

    assert everything() == before


# -------------------------------------------------------------------------------------- reaching


def test_a_wrong_password_is_one_clear_finding(database: Database) -> None:
    engine = make_engine(make_url(database.secret(FUNCTIONS_ROLE) | {"password": "wrong"}))

    [finding] = PostgresSourceCheck(engine, ORGANISATION, status_columns=True).reach()

    assert (finding.code, finding.severity) == ("database_unreachable", Severity.BLOCKING)
    engine.dispose()


def test_the_owner_as_the_functions_role_is_a_warning(database: Database) -> None:
    engine = make_engine(database.owner_url)

    [finding] = PostgresSourceCheck(engine, ORGANISATION, status_columns=True).reach()

    assert (finding.code, finding.severity) == ("database_role_too_mighty", Severity.WARNING)
    engine.dispose()


# --------------------------------------------------------------------------------- our own tables


def test_a_database_that_was_never_migrated_is_told_so(application_database: Database) -> None:
    engine = make_engine(application_database.functions_url)
    check = PostgresSourceCheck(engine, ORGANISATION, status_columns=True)

    tables, views = check.own_tables(), check.source(CUSTOMERS)

    assert [one.code for one in tables.findings] == ["schema_not_migrated"]
    assert "was never migrated" in tables.findings[0].sentence
    assert {"permits", "runs", "token"} <= tables.unusable
    assert [one.code for one in views.findings] == ["view_missing"] * len(VIEWS)
    engine.dispose()


def test_an_older_revision_is_named(check: PostgresSourceCheck, as_: As) -> None:
    as_.owner("UPDATE billing_sync.alembic_version SET version_num = '0001'")

    [finding] = check.own_tables().findings

    assert finding.code == "schema_not_migrated"
    assert "stands at revision 0001" in finding.sentence


def test_a_right_that_is_lacking_on_our_own_tables_is_named(
    check: PostgresSourceCheck, as_: As
) -> None:
    as_.owner(f"REVOKE INSERT, UPDATE ON billing_sync.permits FROM {FUNCTIONS_ROLE}")

    tables = check.own_tables()

    assert tables.unusable == {"permits"}
    assert faults(tables.findings)["own_table_not_writable"].sentence.endswith(
        "on our own tables: permits (INSERT, UPDATE)."
    )


def test_a_database_function_that_may_not_be_executed_is_named(
    check: PostgresSourceCheck, as_: As
) -> None:
    as_.owner(f"REVOKE EXECUTE ON FUNCTION billing_sync.take_permit FROM {FUNCTIONS_ROLE}")

    tables = check.own_tables()

    assert "take_permit" in faults(tables.findings)["own_function_not_executable"].sentence
    assert "quota" in tables.unusable


def test_a_log_that_refuses_a_kind_of_row_is_found_before_the_run(
    check: PostgresSourceCheck, as_: As
) -> None:
    as_.owner(
        "ALTER TABLE billing_sync.zoho_sync_logs ADD CHECK"
        " (zoho_entity_type NOT IN ('Subscriptions', 'Payments'))"
    )

    [finding] = check.sync_log()

    assert (finding.code, finding.count) == ("sync_log_refuses", 2)
    assert finding.sentence == "The table zoho_sync_logs refuses rows of subscription, payment."


# ------------------------------------------------------------------------------- views and columns


def test_a_missing_view_hides_no_other_fault(check: PostgresSourceCheck, as_: As) -> None:
    as_.owner("DROP VIEW billing_source.payments")
    as_.view("customers", replace="    c.phone,\n", by="")

    found = source(check)

    assert found.keys() == {"view_missing", "column_missing"}
    assert found["view_missing"].sentence == "There is no view billing_source.payments."


def test_a_missing_column_is_named_with_its_view(check: PostgresSourceCheck, as_: As) -> None:
    as_.view("customers", replace="    c.email,\n", by="")

    assert source(check)["column_missing"].sentence == (
        "The view has no column customers.email; it must be text."
    )


@pytest.mark.parametrize(
    ("view", "column", "expression", "said"),
    [
        ("customers", "c.email", "to_jsonb(c.email) AS email", "customers.email is jsonb"),
        ("customers", "c.id", "c.id::float8 AS id", "customers.id is double precision"),
        ("customers", "c.updated_at", "c.updated_at::text AS updated_at", "updated_at is text"),
        ("invoices", "i.amount_due", "i.amount_due::float8 AS amount_due", "double precision"),
        ("packages", "p.active", "p.active::int AS active", "packages.active is integer"),
    ],
)
def test_a_column_of_a_wrong_type_is_named_with_what_it_must_be(
    check: PostgresSourceCheck, as_: As, view: str, column: str, expression: str, said: str
) -> None:
    as_.view(view, replace=f"    {column},\n", by=f"    {expression},\n")

    finding = source(check)["column_type"]

    assert finding.severity is Severity.BLOCKING
    assert said in finding.sentence


def test_domains_and_enums_are_judged_by_what_they_hold(
    check: PostgresSourceCheck, as_: As
) -> None:
    as_.superuser(
        "CREATE TYPE kind AS ENUM ('personal', 'business', 'internal_test')",
        "CREATE DOMAIN mail AS varchar(200)",
        "CREATE DOMAIN work_mail AS mail",
    )
    as_.view("customers", replace="c.account_type,", by="c.account_type::kind AS account_type,")
    as_.view("customers", replace="c.email,", by="c.email::work_mail AS email,")

    assert source(check) == {}


def test_a_time_without_zone_is_said_and_blocks_nothing(
    check: PostgresSourceCheck, as_: As
) -> None:
    as_.view(
        "customers", replace="c.updated_at,", by="c.updated_at AT TIME ZONE 'UTC' AS updated_at,"
    )

    assert source(check)["column_without_time_zone"].severity is Severity.WARNING


def test_a_status_column_that_is_too_short_is_found(check: PostgresSourceCheck, as_: As) -> None:
    as_.owner("DROP VIEW billing_source.customers")
    as_.application("ALTER TABLE customers ALTER zoho_last_sync_error TYPE varchar(80)")
    as_.owner((SOURCE_VIEWS / "customers.sql").read_text(encoding="utf-8"))
    as_.grant("customers")

    assert "room for 80 characters" in source(check)["column_too_short"].sentence


def test_a_view_that_the_role_may_not_read_is_found(check: PostgresSourceCheck, as_: As) -> None:
    as_.owner(f"REVOKE ALL ON billing_source.customers FROM {FUNCTIONS_ROLE}")

    assert source(check)["view_not_readable"].count == 22


def test_a_column_that_the_role_may_not_read_is_named(check: PostgresSourceCheck, as_: As) -> None:
    readable = [column.name for column in VIEWS[1].columns if column.name != "sku"]
    as_.owner(
        f"REVOKE ALL ON billing_source.packages FROM {FUNCTIONS_ROLE}",
        f"GRANT SELECT ({', '.join(readable)}) ON billing_source.packages TO {FUNCTIONS_ROLE}",
    )

    assert source(check)["view_not_readable"].sentence == (
        "The functions' role may not read packages: sku."
    )


# ------------------------------------------------------------------------------------------ rows


def test_null_empty_and_repeated_keys_are_counted_with_the_ids_of_their_rows(
    check: PostgresSourceCheck, as_: As
) -> None:
    as_.view(
        "customers",
        replace="c.account_number,",
        by="CASE c.id WHEN 1 THEN NULL WHEN 2 THEN ' ' WHEN 3 THEN 'CT-2025-00024'"
        " WHEN 4 THEN 'CT-2025-00024' ELSE c.account_number END AS account_number,",
    )
    as_.application("DELETE FROM customers WHERE account_number = 'CT-2025-00024'")

    found = source(check)

    assert found.keys() == {"null_in_key", "empty_key", "duplicate_key"}
    assert all(one.severity is Severity.BLOCKING for one in found.values())
    assert found["null_in_key"].records == ("1",)
    assert found["empty_key"].records == ("2",)
    assert found["duplicate_key"].records == ("3", "4")
    assert "CT-2025" not in found["duplicate_key"].sentence


def test_a_null_in_the_id_is_found(check: PostgresSourceCheck, as_: As) -> None:
    as_.view("customers", replace="    c.id,\n", by="    nullif(c.id, 5) AS id,\n")

    assert source(check)["null_in_key"].sentence == "customers.id is NULL in 1 rows."


def test_a_null_in_updated_at_is_found(check: PostgresSourceCheck, as_: As) -> None:
    as_.view(
        "customers",
        replace="c.updated_at,",
        by="CASE WHEN c.id > 2 THEN c.updated_at END AS updated_at,",
    )

    assert source(check)["null"].records == ("1", "2")


def test_faults_in_rows_that_no_phase_carries_are_warnings(
    check: PostgresSourceCheck, as_: As
) -> None:
    as_.view("packages", replace="p.sku,", by="nullif(p.sku, 'SKY-START-10') AS sku,")

    assert source(check)["null_in_key"].severity is Severity.WARNING


# ---------------------------------------------------------------------------------------- counts


def test_a_view_that_shows_no_rows_by_row_level_security_stops_the_run(
    check: PostgresSourceCheck, as_: As
) -> None:
    as_.application("ALTER TABLE customers ENABLE ROW LEVEL SECURITY")

    found = source(check)

    assert found["view_empty"].severity is Severity.BLOCKING
    assert found["row_level_security"].sentence.startswith(
        "The table customers under the view customers has row-level security"
    )


def test_rows_that_only_the_owner_sees_are_counted(check: PostgresSourceCheck, as_: As) -> None:
    as_.application(
        "ALTER TABLE customers ENABLE ROW LEVEL SECURITY",
        f"CREATE POLICY of_the_owner ON customers USING (current_user = '{OWNER_ROLE}' OR id < 4)",
    )

    finding = source(check)["rows_hidden"]

    assert (finding.severity, finding.count) == (Severity.BLOCKING, 12)
    assert "sees 3 rows of the view customers, its owner 15" in finding.sentence


def test_a_policy_that_shows_all_rows_is_still_a_warning(
    check: PostgresSourceCheck, as_: As
) -> None:
    as_.application(
        "ALTER TABLE customers ENABLE ROW LEVEL SECURITY",
        f"CREATE POLICY for_billing_sync ON customers TO {OWNER_ROLE} USING (true)",
    )

    assert source(check).keys() == {"row_level_security"}


def test_a_view_that_yields_under_half_of_what_we_knew_stops_the_run(
    check: PostgresSourceCheck, as_: As
) -> None:
    as_.owner(
        KNOWN_RECORDS.format(organisation=ORGANISATION, count=31),
    )

    finding = source(check)["view_shrunk"]

    assert finding.severity is Severity.BLOCKING
    assert finding.sentence == "The view customers yields 15 rows; we knew 31 of them."


def test_records_of_another_organisation_are_not_what_we_knew(
    check: PostgresSourceCheck, as_: As
) -> None:
    as_.owner(
        KNOWN_RECORDS.format(organisation="60011111111", count=31),
    )

    assert source(check) == {}


def test_a_count_as_owner_that_is_not_there_is_found(check: PostgresSourceCheck, as_: As) -> None:
    as_.owner("DROP FUNCTION billing_source.count_as_owner")

    codes = [one.code for one in check.source(CUSTOMERS).findings]

    assert codes.count("view_not_readable") == len(VIEWS)


# ----------------------------------------------------------------------------------------- words


def test_each_word_is_listed_with_its_count_and_how_it_is_read(
    check: PostgresSourceCheck,
) -> None:
    sentences = [one.sentence for one in check.source(CUSTOMERS).findings if one.code == "words"]

    assert sentences[0] == (
        "customers.account_type: personal 8 (sent under the person's name), business 5 (sent under"
        " the company's name), internal_test 2 (never sent)."
    )


def test_an_unknown_account_type_is_a_warning_and_is_cut(
    check: PostgresSourceCheck, as_: As
) -> None:
    as_.view(
        "customers",
        replace="c.account_type,",
        by="CASE WHEN c.id < 4 THEN repeat('x', 60) || chr(10) ELSE c.account_type END"
        " AS account_type,",
    )

    finding = source(check)["word_unknown"]

    assert (finding.severity, finding.count) == (Severity.WARNING, 3)
    assert "x" * 40 + "…" in finding.sentence
    assert "x" * 41 not in finding.sentence


def test_what_holds_tax_and_how_was_paid_is_counted(check: PostgresSourceCheck, as_: As) -> None:
    as_.application(*SOME_OF_EACH)

    report = check.source(tuple(Phase))

    assert report.taxed == {"packages": 10, "services": 2, "invoices": 1}
    assert report.paid_by == {("netcash", "eft"): 2, ("paypal", ""): 1}


def test_types_of_invoices_are_read_by_who_raises_them(engine: Engine, as_: As) -> None:
    as_.application(*SOME_OF_EACH)

    def said(owner: RecurringInvoicesOwner) -> str:
        check = PostgresSourceCheck(
            engine, ORGANISATION, status_columns=True, ownership=Ownership(owner)
        )
        [sentence] = [
            one.sentence
            for one in check.source(CUSTOMERS).findings
            if one.sentence.startswith("invoices.invoice_type")
        ]
        return sentence

    assert said(RecurringInvoicesOwner.ZOHO) == (
        "invoices.invoice_type: installation 1 (one-off, and ours), recurring 1 (recurring: raised"
        " by Zoho from the subscription's start on)."
    )
    assert "recurring 1 (recurring, and ours)" in said(RecurringInvoicesOwner.APPLICATION)


def test_a_fault_that_fails_one_record_alone_stops_no_run(
    check: PostgresSourceCheck, as_: As
) -> None:
    as_.application(*SOME_OF_EACH)
    as_.view("invoices", replace="i.due_date,", by="nullif(i.due_date, i.due_date) AS due_date,")
    as_.view("services", replace="s.customer_id,", by="NULL::bigint AS customer_id,")

    found = [one for one in check.source(tuple(Phase)).findings if one.code == "null"]

    assert {(one.sentence.partition(" ")[0], one.severity) for one in found} == {
        ("services.customer_id", Severity.BLOCKING),
        ("invoices.due_date", Severity.WARNING),
    }


# -------------------------------------------------------------------------------- status columns


def test_an_update_that_was_not_granted_on_the_view_is_named(
    check: PostgresSourceCheck, as_: As
) -> None:
    as_.owner(f"REVOKE UPDATE (zoho_sync_status) ON billing_source.customers FROM {FUNCTIONS_ROLE}")

    assert status_columns(check) == "the functions' role may not update zoho_sync_status."


def test_an_update_that_the_views_owner_may_not_make_is_told_apart(
    check: PostgresSourceCheck, as_: As
) -> None:
    as_.application(f"REVOKE UPDATE (zoho_sync_status) ON customers FROM {OWNER_ROLE}")

    assert status_columns(check) == "the view's owner may not update the table under it."


def test_a_view_that_joins_cannot_be_written(check: PostgresSourceCheck, as_: As) -> None:
    as_.view(
        "customers",
        replace="FROM public.customers AS c",
        by="FROM public.customers AS c CROSS JOIN (SELECT 1 AS one) AS other",
    )

    assert status_columns(check).startswith("PostgreSQL cannot update through this view")


def test_a_computed_status_column_cannot_be_written(check: PostgresSourceCheck, as_: As) -> None:
    as_.view(
        "customers",
        replace="c.zoho_sync_status,",
        by="c.zoho_sync_status || '' AS zoho_sync_status,",
    )

    assert status_columns(check).startswith("PostgreSQL cannot update through this view")


def test_a_status_that_the_applications_check_refuses_is_named(
    check: PostgresSourceCheck, as_: As
) -> None:
    as_.application("ALTER TABLE customers ADD CHECK (zoho_sync_status <> 'retrying')")

    assert status_columns(check) == "a CHECK of the application refuses the status retrying."


def test_a_trigger_that_refuses_is_found_and_its_words_are_not_repeated(
    check: PostgresSourceCheck, as_: As
) -> None:
    as_.application(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " RAISE EXCEPTION 'not for %', NEW.email; END $$",
        "CREATE TRIGGER refuse BEFORE UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION refuse()",
    )

    assert status_columns(check) == ("the application's table refuses the update (SQLSTATE P0001).")


def test_rows_that_are_locked_are_passed_over(
    check: PostgresSourceCheck, database: Database
) -> None:
    with database.connect(APPLICATION_ROLE) as other, other.transaction():
        other.execute("SELECT * FROM customers FOR UPDATE")

        assert check.status_columns(CUSTOMERS) == []


def test_status_columns_of_views_that_no_phase_carries_are_warnings(
    check: PostgresSourceCheck, as_: As
) -> None:
    as_.application(f"REVOKE UPDATE (zoho_sync_status) ON payment_transactions FROM {OWNER_ROLE}")

    [finding] = check.status_columns(CUSTOMERS)

    assert finding.severity is Severity.WARNING


def test_with_status_columns_off_none_is_needed(engine: Engine, as_: As) -> None:
    check = PostgresSourceCheck(engine, ORGANISATION, status_columns=False)
    as_.view("customers", replace="    c.zoho_sync_status,\n", by="")

    assert source(check) == {}
    assert check.status_columns(CUSTOMERS) == []


# ---------------------------------------------------------------------------------------- filter


@pytest.mark.parametrize(
    ("only", "field"),
    [
        (Only(ids=("1", "2")), None),
        (Only(ids=("1", "CT-2025-00002")), "only.ids"),
        (Only(ids=("99999999999999999999",)), "only.ids"),
        (Only(accounts=("CT-2025-00002",)), None),
        (Only(accounts=("CT-2025-00002\0",)), "only.accounts"),
        (Only(since=datetime(2025, 1, 1, tzinfo=UTC)), None),
    ],
)
def test_an_id_that_the_source_can_never_have_is_named(
    check: PostgresSourceCheck, only: Only, field: str | None
) -> None:
    assert check.impossible(only, CUSTOMERS) == field


def test_an_id_is_judged_by_the_rows_of_the_phases_that_are_asked_for(
    check: PostgresSourceCheck, as_: As
) -> None:
    as_.view("payments", replace="p.id,", by="'P-' || p.id AS id,")
    only = Only(ids=("P-17",))

    assert check.impossible(only, [Phase.PAYMENTS]) is None
    assert check.impossible(only, [Phase.PAYMENTS, Phase.INVOICES]) == "only.ids"
