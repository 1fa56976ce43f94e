"""What Zoho holds of subscriptions and invoices, and what records and organisation need for them.

Revision ID: 0003
Revises: 0002
"""

from typing import Final

from alembic import op

revision: Final = "0003"
down_revision: Final = "0002"
branch_labels: Final = None
depends_on: Final = None

COLUMNS: Final = """
ALTER TABLE billing_sync.records
    ADD COLUMN facts jsonb NOT NULL DEFAULT '{}';  -- of the one in Zoho, for children and reports
ALTER TABLE billing_sync.organisations
    ADD COLUMN price_precision integer NOT NULL DEFAULT 2 CHECK (price_precision BETWEEN 0 AND 6),
    ADD COLUMN taxes jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN today date;  -- a calendar of its own, for tests and demos; NULL: the real day
ALTER TABLE billing_sync.snapshots
    ADD COLUMN renewed_at timestamptz;  -- walked again, newest first, for what was new
"""

# The columns are what is looked up; the row is the model's, its money as text.
ROWS: Final = """
CREATE TABLE billing_sync.snapshot_subscriptions (
    organisation_id text   NOT NULL,
    snapshot_id     bigint NOT NULL,
    zoho_id         text   NOT NULL,
    reference_id    text,                            -- NULL when empty
    customer_id     text,
    content         jsonb  NOT NULL,
    PRIMARY KEY (organisation_id, snapshot_id, zoho_id)
);
CREATE INDEX snapshot_subscriptions_reference ON billing_sync.snapshot_subscriptions
    (organisation_id, snapshot_id, reference_id) WHERE reference_id IS NOT NULL;
CREATE INDEX snapshot_subscriptions_customer ON billing_sync.snapshot_subscriptions
    (organisation_id, snapshot_id, customer_id);

CREATE TABLE billing_sync.snapshot_invoices (
    organisation_id text   NOT NULL,
    snapshot_id     bigint NOT NULL,
    zoho_id         text   NOT NULL,
    number          text,
    customer_id     text,
    content         jsonb  NOT NULL,
    PRIMARY KEY (organisation_id, snapshot_id, zoho_id)
);
CREATE INDEX snapshot_invoices_number ON billing_sync.snapshot_invoices
    (organisation_id, snapshot_id, number) WHERE number IS NOT NULL;
CREATE INDEX snapshot_invoices_customer ON billing_sync.snapshot_invoices
    (organisation_id, snapshot_id, customer_id);
"""


def upgrade() -> None:
    """Add the columns and the two tables."""
    for statements in (COLUMNS, ROWS):
        op.execute(statements)


def downgrade() -> None:
    """Take them away again."""
    op.execute("DROP TABLE billing_sync.snapshot_subscriptions, billing_sync.snapshot_invoices")
    op.execute("""
        ALTER TABLE billing_sync.snapshots DROP COLUMN renewed_at;
        ALTER TABLE billing_sync.organisations
            DROP COLUMN today, DROP COLUMN taxes, DROP COLUMN price_precision;
        ALTER TABLE billing_sync.records DROP COLUMN facts;
    """)
