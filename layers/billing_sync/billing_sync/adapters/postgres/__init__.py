"""PostgreSQL behind the ports, by SQLAlchemy Core; its migrations live beside it."""
