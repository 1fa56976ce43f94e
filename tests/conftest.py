"""What tests of every kind may ask for: above all PostgreSQL, with databases made in a blink."""

import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from ops.demo.load import APPLICATION_SQL, load
from ops.local_stack.interruptions import interruptible
from ops.local_stack.postgres import APPLICATION_ROLE, FUNCTIONS_ROLE, Database, PostgresServer
from ops.local_stack.processes import project_root, scratch_directory

SOURCE_VIEWS = project_root() / "functions" / "migrate" / "source"

_numbers = itertools.count(1)


WORKFLOW = Path(__file__).with_name("workflow")


class _OneStackBesideTheRest(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """Give a process whole files, and all that share the deployed stack as if they were one.

    xdist's own groups are marks that it writes into a test's id, which pytest 9.2 does not show.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return WORKFLOW.name if WORKFLOW.name in Path(file).parts else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Distribute tests over the processes of `make test`."""
    return _OneStackBesideTheRest(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the deployed stack's: they mostly wait, and the other process does the rest."""
    items.sort(key=lambda item: not item.path.is_relative_to(WORKFLOW))


@pytest.fixture(scope="session", autouse=True)
def _ends_in_order() -> Iterator[None]:
    """Unwind on TERM, too, so that no server outlives a run that CI broke off."""
    with interruptible():
        yield


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server with the three roles, and no database of ours yet."""
    scratch = scratch_directory()
    try:
        with PostgresServer(scratch / "postgres", log=scratch / "postgres.log") as server:
            yield server
    finally:
        shutil.rmtree(scratch)


@pytest.fixture(scope="session")
def application_template(postgres: PostgresServer) -> str:
    """The name of a database with the application's tables and the demo's rows, to copy from."""
    database = postgres.create_database("application_template")
    database.run_script(APPLICATION_SQL, APPLICATION_ROLE)
    with database.connect(APPLICATION_ROLE) as connection:
        load(connection)
    return database.name


@pytest.fixture(scope="session")
def migrated_template(postgres: PostgresServer, application_template: str) -> str:
    """The name of a copy of it that has been migrated, to copy from."""
    # Not at the top: a test that needs no database need not import SQLAlchemy and Alembic.
    from billing_sync.adapters.postgres.engine import make_engine  # noqa: PLC0415
    from billing_sync.adapters.postgres.migrate import migrate  # noqa: PLC0415

    database = postgres.create_database("migrated_template", template=application_template)
    engine = make_engine(database.owner_url)
    migrate(engine, functions_role=FUNCTIONS_ROLE, views_directory=SOURCE_VIEWS)
    # A database that somebody is connected to cannot be copied.
    engine.dispose()
    return database.name


@pytest.fixture
def new_database(postgres: PostgresServer) -> Iterator[Callable[[str], Database]]:
    """Copy a template into a database of this test's own; dropped when the test is over."""
    made: list[str] = []

    def copy(template: str) -> Database:
        database = postgres.create_database(f"test_{next(_numbers)}", template=template)
        made.append(database.name)
        return database

    yield copy
    for name in made:
        postgres.drop_database(name)


@pytest.fixture
def application_database(
    new_database: Callable[[str], Database], application_template: str
) -> Database:
    """A fresh database as the application made it: its tables, the demo's rows, nothing of ours."""
    return new_database(application_template)


@pytest.fixture
def database(new_database: Callable[[str], Database], migrated_template: str) -> Database:
    """A fresh database with the application's rows, our views and our tables."""
    return new_database(migrated_template)
