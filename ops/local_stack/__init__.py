"""The whole system on one machine: PostgreSQL, local AWS, fake Zoho, the real deployment."""
