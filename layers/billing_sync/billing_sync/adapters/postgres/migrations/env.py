"""Run the migrations on the connection that `migrate` hands over; there is no offline mode."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    version_table_schema="billing_sync",
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
