-- What a database administrator runs once, in the application's database, before the first
-- deployment. Passwords are set afterwards, by hand, and stored in the two database secrets:
--   ALTER ROLE billing_sync_owner PASSWORD '...';
--   ALTER ROLE billing_sync_functions PASSWORD '...';
-- The application's owner then grants the first role what it may read, and the status columns
-- that it may write: see the end of ops/demo/application.sql.
--
-- It may be run again: what is there stays as it is.

DO $$
BEGIN
  -- Owns the schemas billing_source (views over the application's tables) and billing_sync
  -- (our own tables). Only the function `migrate` connects as it.
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'billing_sync_owner') THEN
    CREATE ROLE billing_sync_owner LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS;
  END IF;

  -- All other functions connect as this one. It owns nothing; `migrate` grants it what it needs.
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'billing_sync_functions') THEN
    CREATE ROLE billing_sync_functions LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS;
  END IF;

  -- To create the two schemas; it is given nothing in those of the application.
  EXECUTE format('GRANT CONNECT, CREATE ON DATABASE %I TO billing_sync_owner', current_database());
  EXECUTE format('GRANT CONNECT ON DATABASE %I TO billing_sync_functions', current_database());
END
$$;
