"""Alembic migrations of the schema `billing_sync`."""
