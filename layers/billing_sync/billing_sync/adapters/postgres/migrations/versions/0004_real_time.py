"""From when on records are carried as they come, who paused the writes, and what came in real time.

Revision ID: 0004
Revises: 0003
"""

from typing import Final

from alembic import op

revision: Final = "0004"
down_revision: Final = "0003"
branch_labels: Final = None
depends_on: Final = None

ORGANISATIONS: Final = """
ALTER TABLE billing_sync.organisations
    ADD COLUMN live_from timestamptz,    -- NULL: triggers and sweep only record
    ADD COLUMN paused_at timestamptz,    -- NULL: writes go on
    ADD COLUMN paused_by text,
    ADD COLUMN paused_reason text,
    ADD CONSTRAINT organisations_paused_by_somebody
        CHECK (paused_at IS NULL OR paused_by IS NOT NULL AND paused_reason IS NOT NULL)
"""

RECORDS: Final = """
ALTER TABLE billing_sync.records
    ADD COLUMN live_since timestamptz    -- since when what came in real time waits; NULL: history
"""

# The sweep looks every minute for what is live and not at rest: mostly nothing, however many
# records there are. (What rests is found by `records_signalled`.)
DUE: Final = """
CREATE INDEX records_live_due ON billing_sync.records (organisation_id, live_since)
    WHERE live_since IS NOT NULL
      AND state IN ('pending', 'syncing', 'retrying', 'waiting', 'blocked', 'in_doubt')
"""

PAUSED: Final = """
CREATE INDEX records_paused ON billing_sync.records (organisation_id)
    WHERE code = 'writes_paused' AND state IN ('retrying', 'in_doubt')
"""


def upgrade() -> None:
    """Add the columns and their indexes."""
    for statement in (ORGANISATIONS, RECORDS, DUE, PAUSED):
        op.execute(statement)


def downgrade() -> None:
    """Take them away again."""
    op.execute("""
        DROP INDEX billing_sync.records_live_due, billing_sync.records_paused;
        ALTER TABLE billing_sync.records DROP COLUMN live_since;
        ALTER TABLE billing_sync.organisations
            DROP CONSTRAINT organisations_paused_by_somebody,
            DROP COLUMN live_from, DROP COLUMN paused_at, DROP COLUMN paused_by,
            DROP COLUMN paused_reason;
    """)
