"""Sync records, intents, snapshots, runs, plans, findings, audit and the sync log."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

RECORDS = """
CREATE TABLE billing_sync.records (
    organisation_id       text        NOT NULL,
    entity_type           text        NOT NULL,
    entity_id             text        NOT NULL,
    state                 text        NOT NULL DEFAULT 'pending',
    claimed_from          text,       -- the state that the running claim found
    resume_as             text,       -- what the next claim is to find, after a wait before sending
    claim_id              uuid,
    lease_until           timestamptz,
    signals               bigint      NOT NULL DEFAULT 0,
    signals_claimed       bigint      NOT NULL DEFAULT 0,
    attempt_number        integer     NOT NULL DEFAULT 0,
    next_attempt_at       timestamptz,
    waiting_for           text,
    due_at                timestamptz,
    blocked_on_type       text,
    blocked_on_id         text,
    serial_key            text,
    zoho_id               text,
    former_zoho_ids       text[]      NOT NULL DEFAULT '{}',
    source_version        timestamptz,
    attempted_fingerprint text,
    confirmed_fingerprint text,
    confirmed_fields      jsonb,      -- a hash for each field that was confirmed: what differs now
    removed_at            timestamptz,
    status_due            timestamptz,
    code                  text,
    field                 text,
    sentence              text,
    candidates            jsonb       NOT NULL DEFAULT '[]',
    create_anyway_by      text,
    accepted_at           timestamptz,
    accepted_by           text,
    accepted_reason       text,
    how                   text,       -- created | linked: how the record came to its Zoho id
    created_by_run        text,
    last_run              text,
    last_change           text,       -- created | linked | updated | unchanged, by last_run
    first_seen_at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    changed_at            timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (organisation_id, entity_type, entity_id),
    UNIQUE (organisation_id, entity_type, zoho_id),
    CHECK (entity_type IN ('customer', 'product', 'plan', 'subscription', 'invoice', 'payment')),
    CHECK (state IN ('pending', 'syncing', 'synced', 'retrying', 'waiting', 'blocked', 'in_doubt',
                     'mismatch', 'ambiguous', 'failed', 'exhausted', 'skipped')),
    CHECK ((blocked_on_type IS NULL) = (blocked_on_id IS NULL)),
    CHECK (state <> 'synced' OR zoho_id IS NOT NULL OR removed_at IS NOT NULL)
);
CREATE UNIQUE INDEX records_one_at_a_time ON billing_sync.records (organisation_id, serial_key)
    WHERE state IN ('syncing', 'in_doubt');
CREATE INDEX records_due ON billing_sync.records (organisation_id, next_attempt_at)
    WHERE state IN ('retrying', 'waiting', 'in_doubt');
CREATE INDEX records_leases ON billing_sync.records (organisation_id, lease_until)
    WHERE state = 'syncing';
CREATE INDEX records_blocked ON billing_sync.records
    (organisation_id, blocked_on_type, blocked_on_id) WHERE state = 'blocked';
CREATE INDEX records_status_due ON billing_sync.records (organisation_id, status_due)
    WHERE status_due IS NOT NULL;
CREATE INDEX records_signalled ON billing_sync.records (organisation_id, entity_type)
    WHERE signals > signals_claimed;
"""

INTENTS = """
CREATE TABLE billing_sync.intents (
    intent_id       bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organisation_id text        NOT NULL,
    entity_type     text        NOT NULL,
    entity_id       text        NOT NULL,
    step            text        NOT NULL,
    method          text        NOT NULL CHECK (method IN ('create', 'update')),
    claim_id        uuid        NOT NULL,
    key             text        NOT NULL,
    figures         jsonb       NOT NULL,
    fingerprint     text        NOT NULL,
    zoho_id         text,
    run_id          text,
    sent_at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    closed_at       timestamptz,
    closed_as       text CHECK (closed_as IN ('answered', 'never_sent', 'refused', 'found',
                                              'absent', 'applied', 'not_applied')),
    CHECK ((closed_at IS NULL) = (closed_as IS NULL)),
    FOREIGN KEY (organisation_id, entity_type, entity_id) REFERENCES billing_sync.records
);
CREATE INDEX intents_open ON billing_sync.intents (organisation_id, entity_type, entity_id)
    WHERE closed_at IS NULL;
CREATE INDEX intents_of_a_record ON billing_sync.intents (organisation_id, entity_type, entity_id);

CREATE TABLE billing_sync.stray_answers (
    stray_id        bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organisation_id text        NOT NULL,
    entity_type     text        NOT NULL,
    entity_id       text        NOT NULL,
    intent_id       bigint      NOT NULL REFERENCES billing_sync.intents,
    zoho_id         text        NOT NULL,
    arrived_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    settled_as      text CHECK (settled_as IN ('adopted', 'own', 'duplicate', 'late_update'))
);
CREATE INDEX stray_answers_open ON billing_sync.stray_answers
    (organisation_id, entity_type, entity_id) WHERE settled_as IS NULL;
"""

RUNS = """
CREATE TABLE billing_sync.runs (
    organisation_id text        NOT NULL,
    run_id          text        NOT NULL,
    execution_arn   text        NOT NULL,
    mode            text        NOT NULL CHECK (mode IN ('plan', 'apply')),
    phases          text[]      NOT NULL,
    only_filter     jsonb       NOT NULL DEFAULT '{}',
    step            text        NOT NULL DEFAULT 'preflight',
    phase           text,
    cursor          text,
    loops           integer     NOT NULL DEFAULT 0,
    canary          jsonb       NOT NULL DEFAULT '{}',
    refusals        jsonb       NOT NULL DEFAULT '{}',
    stop_requested  boolean     NOT NULL DEFAULT false,
    stop_requested_by text,
    ended_early     text,       -- why the run went to its report before its end
    waiting_since   timestamptz,
    waiting_until   timestamptz,
    waiting_reason  text,
    waited_seconds  double precision NOT NULL DEFAULT 0,
    cooldowns       integer     NOT NULL DEFAULT 0,
    work_off_until  timestamptz,
    calls_before    bigint      NOT NULL DEFAULT 0,
    throttled_before bigint     NOT NULL DEFAULT 0,
    tokens_before   bigint      NOT NULL DEFAULT 0,
    started_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at        timestamptz,
    colour          text,
    PRIMARY KEY (organisation_id, run_id)
);
CREATE UNIQUE INDEX runs_one_at_a_time ON billing_sync.runs (organisation_id)
    WHERE ended_at IS NULL;

CREATE TABLE billing_sync.backfill_plan (
    organisation_id text    NOT NULL,
    run_id          text    NOT NULL,
    position        bigint  NOT NULL,
    phase           text    NOT NULL,
    entity_type     text    NOT NULL,
    entity_id       text    NOT NULL,
    account_number  text,
    action          text    NOT NULL,
    reason          text,
    amount          numeric,
    differing       text[]  NOT NULL DEFAULT '{}',
    as_parent       boolean NOT NULL DEFAULT false,
    to_do           boolean NOT NULL,
    worked_at       timestamptz,
    PRIMARY KEY (organisation_id, run_id, position),
    UNIQUE (organisation_id, run_id, entity_type, entity_id)
);
CREATE INDEX backfill_plan_to_do ON billing_sync.backfill_plan
    (organisation_id, run_id, phase, position) WHERE to_do AND worked_at IS NULL;

CREATE TABLE billing_sync.findings (
    organisation_id text        NOT NULL,
    run_id          text        NOT NULL,
    source          text        NOT NULL CHECK (source IN ('preflight', 'plan', 'verify')),
    code            text        NOT NULL,
    severity        text        NOT NULL CHECK (severity IN ('blocking', 'red', 'confirm',
                                                             'warning', 'note')),
    sentence        text        NOT NULL,
    what_to_do      text        NOT NULL,
    records         jsonb       NOT NULL DEFAULT '[]',
    count           integer     NOT NULL DEFAULT 1,
    found_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (organisation_id, run_id, source, code)
);

CREATE TABLE billing_sync.confirmations (
    organisation_id text        NOT NULL,
    item            text        NOT NULL,
    confirmed_by    text        NOT NULL,
    confirmed_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (organisation_id, item)
);

CREATE TABLE billing_sync.audit (
    audit_id        bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organisation_id text        NOT NULL,
    at              timestamptz NOT NULL DEFAULT clock_timestamp(),
    by              text        NOT NULL,
    action          text        NOT NULL,
    entity_type     text,
    entity_id       text,
    details         jsonb       NOT NULL DEFAULT '{}'
);
CREATE INDEX audit_of_a_record ON billing_sync.audit (organisation_id, entity_type, entity_id);
"""

SNAPSHOTS = """
CREATE TABLE billing_sync.snapshots (
    organisation_id text        NOT NULL,
    entity_type     text        NOT NULL,
    snapshot_id     bigint      GENERATED ALWAYS AS IDENTITY,
    started_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    completed_at    timestamptz,
    pages_completed_at timestamptz,
    next_page       integer     NOT NULL DEFAULT 1,
    calls           integer     NOT NULL DEFAULT 0,
    PRIMARY KEY (organisation_id, entity_type, snapshot_id)
);
CREATE TABLE billing_sync.snapshot_customers (
    organisation_id text    NOT NULL,
    snapshot_id     bigint  NOT NULL,
    zoho_id         text    NOT NULL,
    display_name    text    NOT NULL DEFAULT '',
    account_number  text,
    account_in_name boolean NOT NULL DEFAULT false,
    detail_read     boolean NOT NULL DEFAULT false,
    names           text[]  NOT NULL DEFAULT '{}',   -- normalised for comparison
    email           text,                            -- normalised, NULL when empty
    phone           text,                            -- digits only, NULL when empty
    currency_code   text,
    status          text,
    outstanding     numeric NOT NULL DEFAULT 0,
    unused_credits  numeric NOT NULL DEFAULT 0,
    PRIMARY KEY (organisation_id, snapshot_id, zoho_id)
);
CREATE INDEX snapshot_customers_account ON billing_sync.snapshot_customers
    (organisation_id, snapshot_id, account_number);
CREATE INDEX snapshot_customers_email ON billing_sync.snapshot_customers
    (organisation_id, snapshot_id, email) WHERE email IS NOT NULL;
CREATE INDEX snapshot_customers_phone ON billing_sync.snapshot_customers
    (organisation_id, snapshot_id, phone) WHERE phone IS NOT NULL;
CREATE INDEX snapshot_customers_names ON billing_sync.snapshot_customers USING gin (names);
"""

ORGANISATIONS = """
CREATE TABLE billing_sync.organisations (
    organisation_id text        NOT NULL PRIMARY KEY,
    name            text,
    currency_code   text,
    time_zone       text,
    customers_known integer,
    names_enforced_since timestamptz,   -- a 3062 was once seen: the server enforces display names
    account_field_id text,              -- Zoho's id of the custom field, learnt from a detail
    preflight_at    timestamptz
);
"""

LOGS = """
CREATE TABLE billing_sync.zoho_sync_logs (
    log_id           bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organisation_id  text        NOT NULL,
    run_id           text,
    entity_type      text        NOT NULL
        CHECK (entity_type IN ('customer', 'product', 'plan', 'subscription', 'invoice',
                               'payment')),
    entity_id        text        NOT NULL,
    zoho_entity_type text        NOT NULL
        CHECK (zoho_entity_type IN ('Contacts', 'Products', 'Plans', 'Subscriptions', 'Invoices',
                                    'Payments')),
    zoho_entity_id   text,
    operation        text        NOT NULL,
    status           text        NOT NULL,
    attempt_number   integer     NOT NULL,
    error_code       text,
    error_sentence   text,
    request_masked   jsonb,
    response_masked  jsonb,
    http_status      integer,
    zoho_code        integer,
    duration_ms      integer,
    created_at       timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX zoho_sync_logs_of_a_record ON billing_sync.zoho_sync_logs
    (organisation_id, entity_type, entity_id, log_id);
CREATE INDEX zoho_sync_logs_of_a_run ON billing_sync.zoho_sync_logs (organisation_id, run_id);
"""


def upgrade() -> None:
    """Create the tables; the schema itself is made by `migrate`, before Alembic looks into it."""
    for statements in (RECORDS, INTENTS, RUNS, SNAPSHOTS, ORGANISATIONS, LOGS):
        op.execute(statements)


def downgrade() -> None:
    """Drop the tables in the order of their references."""
    for table in (
        "zoho_sync_logs",
        "organisations",
        "snapshot_customers",
        "snapshots",
        "audit",
        "confirmations",
        "findings",
        "backfill_plan",
        "runs",
        "stray_answers",
        "intents",
        "records",
    ):
        op.execute(f"DROP TABLE billing_sync.{table}")
