"""The governor of Zoho's limits and the row of the shared token (protocol §6 and §7).

Revision ID: 0002
Revises: 0001
"""

from typing import Final

from alembic import op

revision: Final = "0002"
down_revision: Final = "0001"
branch_labels: Final = None
depends_on: Final = None

TABLES: Final = """
CREATE TABLE billing_sync.quota (
    organisation_id text PRIMARY KEY,
    -- Divides every duration below but the deadlines of calls, which are given in real seconds.
    time_scale double precision NOT NULL CHECK (time_scale > 0),
    configured_limit integer NOT NULL CHECK (configured_limit > 0),
    configured_in_flight integer NOT NULL CHECK (configured_in_flight > 0),
    configured_day_cap integer NOT NULL CHECK (configured_day_cap > 0),
    -- What 429s taught. The limits in force are computed from these and the time that passed
    -- (quota_in_force), so that nothing has to be written for a limit to recover.
    reduced_limit integer,
    limit_reduced_at timestamptz,
    reduced_in_flight integer,
    in_flight_reduced_at timestamptz,
    in_flight_blocked_until timestamptz,
    block_started_at timestamptz,
    blocked_until timestamptz,
    block_seconds double precision,
    learnt_day_cap integer,
    day_cap_learnt_at timestamptz,
    -- paused_at: the start of the latest pause of the day's calls; it stands while probe_at does.
    paused_at timestamptz,
    probe_at timestamptz,
    probe_permit_id bigint,
    priority_until timestamptz,
    triggers_since_backfill integer NOT NULL DEFAULT 0,
    backfill_next_at timestamptz,
    -- Ever since, for reports: a run notes them at its start.
    calls_taken bigint NOT NULL DEFAULT 0,
    answers_429 bigint NOT NULL DEFAULT 0
);

-- The rolling day, in buckets of an hour: hour = epoch * time_scale / 3600.
CREATE TABLE billing_sync.quota_hours (
    organisation_id text NOT NULL REFERENCES billing_sync.quota,
    hour bigint NOT NULL,
    taken integer NOT NULL,
    PRIMARY KEY (organisation_id, hour)
);

CREATE TABLE billing_sync.permits (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organisation_id text NOT NULL REFERENCES billing_sync.quota,
    priority text NOT NULL CHECK (priority IN ('trigger', 'backfill')),
    taken_at timestamptz NOT NULL,
    deadline timestamptz NOT NULL,
    answered_at timestamptz,
    free_at timestamptz NOT NULL
);

CREATE INDEX permits_by_free_at ON billing_sync.permits (organisation_id, free_at);

-- One row for each credential, since that is what Zoho's OAuth server counts by: two organisations
-- may share a refresh token. `credential` is a hash; the token itself is in Secrets Manager.
CREATE TABLE billing_sync.token (
    credential text PRIMARY KEY,
    -- The newest token that stands in the secret, and the newest number that was given to a worker
    -- to mint: a worker that stalls cannot come back with the number of another's token.
    generation bigint NOT NULL DEFAULT 0,
    reserved_generation bigint NOT NULL DEFAULT 0,
    minted_at timestamptz,
    expires_at timestamptz,
    lease_id uuid,
    lease_until timestamptz,
    mint_attempts timestamptz[] NOT NULL DEFAULT '{}',
    cooldown_until timestamptz,
    refusal text,
    tokens_minted bigint NOT NULL DEFAULT 0
);
"""

# The limits in force at a moment: what is configured, less what 429s taught and time has not yet
# given back.
QUOTA_IN_FORCE: Final = """
CREATE FUNCTION billing_sync.quota_in_force(
    q billing_sync.quota,
    moment timestamptz,
    OUT per_minute integer,
    OUT in_flight integer,
    OUT per_day integer,
    OUT per_day_for_backfill integer
)
LANGUAGE plpgsql STABLE SECURITY INVOKER
SET search_path = billing_sync, pg_temp
AS $$
DECLARE
    since double precision;
BEGIN
    per_minute := q.configured_limit;
    IF q.reduced_limit IS NOT NULL THEN
        -- Reduced for an hour; from then on 5 more for every clean ten minutes. Any new block
        -- starts the hour again.
        since := extract(epoch FROM moment - q.limit_reduced_at) * q.time_scale;
        per_minute := least(
            q.configured_limit,
            q.reduced_limit
                + 5 * CASE WHEN since < 3600 THEN 0 ELSE 1 + floor((since - 3600) / 600) END
        );
    END IF;

    in_flight := q.configured_in_flight;
    IF q.reduced_in_flight IS NOT NULL THEN
        since := extract(epoch FROM moment - q.in_flight_reduced_at) * q.time_scale;
        in_flight := least(q.configured_in_flight, q.reduced_in_flight + floor(since / 600));
    END IF;

    per_day := q.configured_day_cap;
    IF q.learnt_day_cap IS NOT NULL
        AND extract(epoch FROM moment - q.day_cap_learnt_at) * q.time_scale < 86400
    THEN
        per_day := least(q.configured_day_cap, q.learnt_day_cap);
    END IF;
    -- A tenth is kept for triggers: a customer who registers does not wait for history.
    per_day_for_backfill := per_day - per_day / 10;
END
$$;
"""

# Why a permit is refused at a moment, and until when; NULL when it would be granted. take_permit
# asks it under the lock of the quota's row, wait_for without one.
PERMIT_REFUSAL: Final = """
CREATE FUNCTION billing_sync.permit_refusal(
    q billing_sync.quota,
    asked_priority text,
    may_probe boolean,
    moment timestamptz,
    OUT refusal text,
    OUT refused_until timestamptz
)
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = billing_sync, pg_temp
AS $$
DECLARE
    limits record;
    is_backfill boolean := asked_priority <> 'trigger';
    this_hour bigint := floor(extract(epoch FROM moment) * q.time_scale / 3600);
    taken_today bigint;
    day_limit integer;
    taken_in_minute integer;
    unanswered integer;
BEGIN
    limits := quota_in_force(q, moment);

    IF q.blocked_until > moment THEN
        refusal := 'blocked';
        refused_until := q.blocked_until;
        RETURN;
    END IF;

    IF q.probe_at IS NOT NULL THEN
        -- Zoho said that the day is used up. One read an hour, by one worker, finds out whether it
        -- counts anew; our own count says nothing meanwhile. A write never probes.
        IF q.probe_at > moment THEN
            refusal := 'paused';
            refused_until := q.probe_at;
            RETURN;
        ELSIF NOT may_probe THEN
            refusal := 'probe_due';
            refused_until := moment + make_interval(secs => 15 / q.time_scale);
            RETURN;
        END IF;
    ELSE
        -- The hour that runs and 24 full ones: never less than the last 24 hours.
        SELECT coalesce(sum(h.taken), 0) INTO taken_today
        FROM quota_hours h
        WHERE h.organisation_id = q.organisation_id AND h.hour BETWEEN this_hour - 24 AND this_hour;
        day_limit :=
            CASE WHEN is_backfill THEN limits.per_day_for_backfill ELSE limits.per_day END;
        IF taken_today >= day_limit THEN
            refusal := 'day';
            SELECT to_timestamp((min(gone.hour) + 25) * 3600 / q.time_scale) INTO refused_until
            FROM (
                SELECT h.hour, sum(h.taken) OVER (ORDER BY h.hour) AS taken
                FROM quota_hours h
                WHERE h.organisation_id = q.organisation_id
                    AND h.hour BETWEEN this_hour - 24 AND this_hour
            ) gone
            WHERE gone.taken > taken_today - day_limit;
            RETURN;
        END IF;
    END IF;

    IF q.in_flight_blocked_until > moment THEN
        refusal := 'in_flight';
        refused_until := q.in_flight_blocked_until;
        RETURN;
    END IF;

    SELECT count(*), count(*) FILTER (WHERE p.answered_at IS NULL AND p.deadline > moment)
    INTO taken_in_minute, unanswered
    FROM permits p
    WHERE p.organisation_id = q.organisation_id AND p.free_at > moment;

    IF unanswered >= limits.in_flight THEN
        -- Nobody knows when a call is answered: look again soon, a few times within the 2 s (of
        -- the scaled clock) that a worker waits for a permit.
        refusal := 'in_flight';
        refused_until := moment + make_interval(secs => greatest(0.3 / q.time_scale, 0.01));
        RETURN;
    END IF;

    IF taken_in_minute >= limits.per_minute THEN
        refusal := 'minute';
        SELECT p.free_at INTO refused_until
        FROM permits p
        WHERE p.organisation_id = q.organisation_id AND p.free_at > moment
        ORDER BY p.free_at
        OFFSET taken_in_minute - limits.per_minute
        LIMIT 1;
        RETURN;
    END IF;

    IF is_backfill THEN
        -- A trigger was refused a moment ago: stand back, except for every tenth permit, or the
        -- backfill would starve while triggers keep coming.
        IF q.priority_until > moment AND q.triggers_since_backfill < 9 THEN
            refusal := 'priority';
            refused_until := q.priority_until;
            RETURN;
        END IF;
        IF q.backfill_next_at > moment THEN
            refusal := 'pace';
            refused_until := q.backfill_next_at;
            RETURN;
        END IF;
    END IF;
END
$$;
"""

# The lock comes first and the counting after it: one statement that does both counts as of before
# it waited for the lock, and 20 threads were granted 68 to 104 of 50 (each statement of a PL/pgSQL
# function sees what was committed before *it* began).
TAKE_PERMIT: Final = """
CREATE FUNCTION billing_sync.take_permit(
    asked_organisation text,
    asked_priority text,
    deadline_seconds double precision,
    may_probe boolean,
    OUT permit_id bigint,
    OUT granted_at timestamptz,
    OUT refusal text,
    OUT resume_at timestamptz,
    OUT wait_seconds double precision
)
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = billing_sync, pg_temp
AS $$
DECLARE
    q quota;
    moment timestamptz;
    gap interval;
    catch_up interval;
    this_hour bigint;
    call_deadline timestamptz;
BEGIN
    SELECT * INTO q FROM quota WHERE quota.organisation_id = asked_organisation FOR UPDATE;
    IF NOT FOUND THEN
        refusal := 'not_configured';
        RETURN;
    END IF;
    -- Only now: the lock may have been waited for.
    moment := clock_timestamp();

    SELECT r.refusal, r.refused_until INTO refusal, resume_at
    FROM permit_refusal(q, asked_priority, may_probe, moment) r;
    IF refusal IS NOT NULL THEN
        wait_seconds := extract(epoch FROM resume_at - moment);
        IF asked_priority = 'trigger' THEN
            PERFORM trigger_refused(asked_organisation, refusal);
        END IF;
        RETURN;
    END IF;

    -- As many leave as come: about one row each time, by the index.
    DELETE FROM permits p WHERE p.organisation_id = asked_organisation AND p.free_at <= moment;

    -- Until an answer is seen, the call may be counted by Zoho as late as its deadline.
    call_deadline := moment + make_interval(secs => deadline_seconds);
    INSERT INTO permits (organisation_id, priority, taken_at, deadline, free_at)
    VALUES (
        asked_organisation, asked_priority, moment, call_deadline,
        call_deadline + make_interval(secs => 61 / q.time_scale)
    )
    RETURNING permits.id INTO permit_id;
    granted_at := moment;

    this_hour := floor(extract(epoch FROM moment) * q.time_scale / 3600);
    UPDATE quota_hours h SET taken = h.taken + 1
    WHERE h.organisation_id = asked_organisation AND h.hour = this_hour;
    IF NOT FOUND THEN
        DELETE FROM quota_hours h
        WHERE h.organisation_id = asked_organisation AND h.hour < this_hour - 24;
        INSERT INTO quota_hours (organisation_id, hour, taken)
        VALUES (asked_organisation, this_hour, 1);
    END IF;

    IF asked_priority = 'trigger' THEN
        q.triggers_since_backfill := q.triggers_since_backfill + 1;
    ELSE
        q.triggers_since_backfill := 0;
        gap := make_interval(
            secs => 60.0 / (quota_in_force(q, moment)).per_minute / q.time_scale
        );
        -- A gap of up to 2 s is slept out by the worker, and the next slot is met. A longer one
        -- goes through a Wait state, which lasts 15 s at least: without the slots missed during
        -- that wait, a limit of 10 a minute (one in 6 s) would yield 4. At most these 15 s are
        -- made up for, so that a long pause is not followed by a burst.
        catch_up := CASE
            WHEN gap > make_interval(secs => 2 / q.time_scale)
            THEN make_interval(secs => 15 / q.time_scale)
            ELSE interval '0'
        END;
        q.backfill_next_at := greatest(q.backfill_next_at, moment - catch_up) + gap;
    END IF;
    IF q.probe_at IS NOT NULL THEN
        q.probe_permit_id := permit_id;
        q.probe_at := moment + make_interval(secs => 3600 / q.time_scale);
    END IF;
    UPDATE quota
    SET calls_taken = quota.calls_taken + 1,
        triggers_since_backfill = q.triggers_since_backfill,
        backfill_next_at = q.backfill_next_at,
        probe_permit_id = q.probe_permit_id,
        probe_at = q.probe_at
    WHERE quota.organisation_id = asked_organisation;
END
$$;
"""

# Whoever paces itself stands back for 5 s when a trigger found no room.
TRIGGER_REFUSED: Final = """
CREATE FUNCTION billing_sync.trigger_refused(asked_organisation text, why text)
RETURNS void
LANGUAGE sql VOLATILE SECURITY INVOKER
SET search_path = billing_sync, pg_temp
AS $$
    UPDATE quota
    SET priority_until = clock_timestamp() + make_interval(secs => 5 / time_scale)
    WHERE organisation_id = asked_organisation AND why IN ('minute', 'in_flight');
$$;
"""

# The permit comes back 61 s after its answer: by then Zoho has counted it, whatever the jitter, and
# no window of 60 s can hold more calls than there are permits.
PERMIT_ANSWERED: Final = """
CREATE FUNCTION billing_sync.permit_answered(
    asked_organisation text, answered_permit bigint, readable boolean
)
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = billing_sync, pg_temp
AS $$
BEGIN
    -- The probe was answered, and not by 45: Zoho counts anew, and so do we. (Its day may be a
    -- calendar's; our rolling one would hold the backfill up for the rest of it.)
    IF readable THEN
        UPDATE quota q SET probe_at = NULL, probe_permit_id = NULL
        WHERE q.organisation_id = asked_organisation AND q.probe_permit_id = answered_permit;
        IF FOUND THEN
            DELETE FROM quota_hours h WHERE h.organisation_id = asked_organisation;
        END IF;
    ELSE
        -- A probe that met a dead token or a time-out proved nothing: not an hour is lost by it,
        -- and not more than one a minute is spent. (After a 45 it is no probe any more.)
        UPDATE quota q
        SET probe_at = clock_timestamp() + make_interval(secs => 60 / q.time_scale),
            probe_permit_id = NULL
        WHERE q.organisation_id = asked_organisation AND q.probe_permit_id = answered_permit;
    END IF;
    UPDATE permits p
    SET answered_at = clock_timestamp(),
        free_at = clock_timestamp() + make_interval(secs => 61 / q.time_scale)
    FROM quota q
    WHERE p.id = answered_permit AND p.answered_at IS NULL
        AND q.organisation_id = p.organisation_id AND p.organisation_id = asked_organisation;
END
$$;
"""

# Nothing left this side: neither the minute nor the day was used.
PERMIT_NEVER_SENT: Final = """
CREATE FUNCTION billing_sync.permit_never_sent(asked_organisation text, unused_permit bigint)
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = billing_sync, pg_temp
AS $$
DECLARE
    q quota;
    unused_since timestamptz;
BEGIN
    -- The quota's row before all others, as in take_permit: one order, no deadlock.
    SELECT * INTO q FROM quota WHERE quota.organisation_id = asked_organisation FOR UPDATE;
    DELETE FROM permits p
    WHERE p.id = unused_permit AND p.organisation_id = asked_organisation AND p.answered_at IS NULL
    RETURNING p.taken_at INTO unused_since;
    IF unused_since IS NULL THEN
        RETURN;
    END IF;
    UPDATE quota_hours h SET taken = greatest(h.taken - 1, 0)
    WHERE h.organisation_id = asked_organisation
        AND h.hour = floor(extract(epoch FROM unused_since) * q.time_scale / 3600);
    UPDATE quota SET calls_taken = quota.calls_taken - 1
    WHERE quota.organisation_id = asked_organisation;
    -- A probe that never left may be made by the next worker.
    UPDATE quota SET probe_permit_id = NULL, probe_at = clock_timestamp()
    WHERE quota.organisation_id = asked_organisation AND quota.probe_permit_id = unused_permit;
END
$$;
"""

# What a 429 teaches every worker. A call that was sent before the block began belongs to the event
# that began it, however late its answer comes: ten refused together are one.
LEARN_429: Final = """
CREATE FUNCTION billing_sync.learn_429(
    asked_organisation text,
    refused_permit bigint,
    sent_at timestamptz,
    zoho_code integer,
    retry_after_seconds double precision,
    OUT wait_seconds double precision
)
LANGUAGE plpgsql VOLATILE SECURITY INVOKER
SET search_path = billing_sync, pg_temp
AS $$
DECLARE
    q quota;
    limits record;
    moment timestamptz;
    until timestamptz;
    this_hour bigint;
    taken_today bigint;
BEGIN
    SELECT * INTO q FROM quota WHERE quota.organisation_id = asked_organisation FOR UPDATE;
    moment := clock_timestamp();
    limits := quota_in_force(q, moment);

    IF q.probe_permit_id = refused_permit THEN
        -- The probe found no room; the next one is due an hour after this one.
        q.probe_permit_id := NULL;
    END IF;

    IF zoho_code = 45 THEN
        IF q.probe_at IS NULL AND sent_at >= coalesce(q.paused_at, '-infinity') THEN
            this_hour := floor(extract(epoch FROM moment) * q.time_scale / 3600);
            SELECT coalesce(sum(h.taken), 0) INTO taken_today
            FROM quota_hours h
            WHERE h.organisation_id = asked_organisation
                AND h.hour BETWEEN this_hour - 24 AND this_hour;
            -- The cap is what we got through, for a day. Other applications share it: a day that
            -- they used up must not teach us a cap of nothing, hence a tenth at least; and a
            -- second refusal within the day, after a probe began a new count, does not lower it.
            q.learnt_day_cap := greatest(
                taken_today,
                q.configured_day_cap / 10,
                CASE WHEN limits.per_day < q.configured_day_cap THEN limits.per_day END,
                1
            );
            q.day_cap_learnt_at := moment;
            q.paused_at := moment;
            q.probe_at := moment + make_interval(secs => 3600 / q.time_scale);
        END IF;
        until := coalesce(q.probe_at, moment);

    ELSIF zoho_code = 1070 THEN
        IF sent_at >= coalesce(q.in_flight_reduced_at, '-infinity') THEN
            q.reduced_in_flight := greatest(limits.in_flight - 1, 1);
            q.in_flight_reduced_at := moment;
            -- Calls of other applications are in flight too: let some of them end.
            q.in_flight_blocked_until :=
                moment + make_interval(secs => (1 + 9 * random()) / q.time_scale);
        END IF;
        until := q.in_flight_blocked_until;

    ELSE
        -- 44, and every code that nobody knows yet.
        IF sent_at >= coalesce(q.block_started_at, '-infinity') THEN
            -- Twice as long as the last one, unless ten clean minutes lie between.
            q.block_seconds := CASE
                WHEN moment < q.blocked_until + make_interval(secs => 600 / q.time_scale)
                THEN least(2 * q.block_seconds, 900)
                ELSE 60
            END;
            q.block_started_at := moment;
            q.blocked_until := moment + make_interval(secs => q.block_seconds / q.time_scale);
            -- No source shows Zoho sending Retry-After; should it, up to an hour is believed.
            IF retry_after_seconds > 0 THEN
                q.blocked_until := greatest(
                    q.blocked_until,
                    moment + make_interval(secs => least(retry_after_seconds, 3600) / q.time_scale)
                );
            END IF;
            q.reduced_limit := least(q.configured_limit, greatest(limits.per_minute / 2, 10));
            q.limit_reduced_at := moment;
        END IF;
        until := q.blocked_until;
    END IF;

    UPDATE quota
    SET answers_429 = quota.answers_429 + 1,
        reduced_limit = q.reduced_limit,
        limit_reduced_at = q.limit_reduced_at,
        reduced_in_flight = q.reduced_in_flight,
        in_flight_reduced_at = q.in_flight_reduced_at,
        in_flight_blocked_until = q.in_flight_blocked_until,
        block_started_at = q.block_started_at,
        blocked_until = q.blocked_until,
        block_seconds = q.block_seconds,
        learnt_day_cap = q.learnt_day_cap,
        day_cap_learnt_at = q.day_cap_learnt_at,
        paused_at = q.paused_at,
        probe_at = q.probe_at,
        probe_permit_id = q.probe_permit_id
    WHERE quota.organisation_id = asked_organisation;
    wait_seconds := greatest(extract(epoch FROM until - moment), 0);
END
$$;
"""


def upgrade() -> None:
    """Make the tables, then the functions in the order in which they name each other."""
    for statement in (
        TABLES,
        QUOTA_IN_FORCE,
        PERMIT_REFUSAL,
        TRIGGER_REFUSED,
        TAKE_PERMIT,
        PERMIT_ANSWERED,
        PERMIT_NEVER_SENT,
        LEARN_429,
    ):
        op.execute(statement)


def downgrade() -> None:
    """Drop them; the tables go with what depends on their row types."""
    for function in (
        "learn_429",
        "permit_never_sent",
        "permit_answered",
        "take_permit",
        "trigger_refused",
        "permit_refusal",
        "quota_in_force",
    ):
        op.execute(f"DROP FUNCTION billing_sync.{function}")
    op.execute(
        "DROP TABLE billing_sync.token, billing_sync.permits, billing_sync.quota_hours,"
        " billing_sync.quota"
    )
