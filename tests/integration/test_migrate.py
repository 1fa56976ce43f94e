"""The function `migrate`: the views that it makes of what the application has."""

from billing_sync.adapters.postgres.engine import make_engine
from billing_sync.adapters.postgres.migrate import migrate
from billing_sync.domain.steps import MigrateAnswer
from ops.local_stack.postgres import APPLICATION_ROLE, FUNCTIONS_ROLE, Database
from tests.conftest import SOURCE_VIEWS


def test_the_optional_view_comes_and_goes_with_the_applications_table(database: Database) -> None:
    engine = make_engine(database.owner_url)

    def again() -> MigrateAnswer:
        return migrate(engine, functions_role=FUNCTIONS_ROLE, views_directory=SOURCE_VIEWS)

    with database.connect(FUNCTIONS_ROLE) as connection:
        before = connection.execute(
            "SELECT count(*) FROM billing_source.payment_allocations"
        ).fetchone()
    with database.connect(APPLICATION_ROLE) as connection:
        connection.execute("ALTER TABLE payment_allocations RENAME TO kept")
        without = again()
        connection.execute("ALTER TABLE kept RENAME TO payment_allocations")
        back = again()
    engine.dispose()

    assert before == (0,)
    assert set(back.views) - set(without.views) == {"payment_allocations"}
    assert len(without.views) == 5
