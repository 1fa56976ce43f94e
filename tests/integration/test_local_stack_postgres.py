"""The embedded PostgreSQL and the databases that the fixtures make are what tests rely on."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from ops.demo.load import load
from ops.local_stack.postgres import (
    APPLICATION_ROLE,
    FUNCTIONS_ROLE,
    OWNER_ROLE,
    Database,
    PostgresServer,
)
from ops.local_stack.processes import StackError, scratch_directory


def test_application_database_holds_the_demo_as_an_application_would_have_it(
    application_database: Database,
) -> None:
    with application_database.connect(APPLICATION_ROLE) as connection:
        customers = connection.execute(
            "SELECT count(*), count(email), count(DISTINCT created_at) FROM customers"
        ).fetchone()
        packages = connection.execute("SELECT count(*) FROM service_packages").fetchone()
        schemas = connection.execute(
            "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'billing%'"
        ).fetchone()

    assert customers == (15, 14, 15)
    assert packages == (10,)
    assert schemas == (0,)


def test_phones_and_addresses_are_the_same_in_every_run(application_database: Database) -> None:
    rows = "SELECT phone, street, city, zip, tax_number, created_at FROM customers ORDER BY id"
    with application_database.connect(APPLICATION_ROLE) as connection:
        first = connection.execute(rows).fetchall()
        connection.execute("TRUNCATE customers, service_packages RESTART IDENTITY CASCADE")
        load(connection)
        second = connection.execute(rows).fetchall()

    assert first == second


def test_an_update_by_anyone_touches_updated_at(application_database: Database) -> None:
    with application_database.connect(OWNER_ROLE) as connection:
        row = connection.execute(
            "UPDATE customers SET zoho_sync_status = 'synced' WHERE id = 1"
            " RETURNING updated_at > created_at"
        ).fetchone()

    assert row == (True,)


def test_our_owner_may_read_the_tables_and_write_the_status_columns_only(
    application_database: Database,
) -> None:
    with application_database.connect(OWNER_ROLE) as connection:
        for statement in (
            "UPDATE customers SET phone = NULL",
            "UPDATE service_packages SET price = 0",
            "DELETE FROM customers",
            "INSERT INTO service_packages (sku) VALUES ('X')",
            "CREATE TABLE public.ours ()",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement.encode())


def test_the_functions_role_sees_nothing_of_the_application(
    application_database: Database,
) -> None:
    with (
        application_database.connect(FUNCTIONS_ROLE) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("SELECT FROM customers")


def test_a_wrong_password_is_refused(application_database: Database) -> None:
    forgetful = dataclasses.replace(application_database, passwords={FUNCTIONS_ROLE: "wrong"})

    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        forgetful.connect(FUNCTIONS_ROLE)


def test_what_one_test_writes_another_does_not_see(
    new_database: Callable[[str], Database], application_template: str
) -> None:
    one, other = new_database(application_template), new_database(application_template)

    with one.connect(APPLICATION_ROLE) as connection:
        connection.execute("DELETE FROM customers")

    with other.connect(APPLICATION_ROLE) as connection:
        assert connection.execute("SELECT count(*) FROM customers").fetchone() == (15,)


def test_a_stopped_server_leaves_its_log_and_nothing_else(tmp_path: Path) -> None:
    scratch = scratch_directory()
    try:
        with PostgresServer(scratch / "postgres", log=tmp_path / "postgres.log"):
            pass

        assert list(scratch.iterdir()) == []
        assert "database system is shut down" in (tmp_path / "postgres.log").read_text()
    finally:
        scratch.rmdir()


def test_a_path_too_long_for_a_socket_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    deep = tmp_path / ("deep" * 25)

    with (
        pytest.raises(StackError, match="TMPDIR"),
        PostgresServer(deep / "postgres", log=tmp_path / "postgres.log"),
    ):
        pass

    assert list(tmp_path.iterdir()) == []
