"""The rules of the business: plain Python and pydantic, no database, no network, no clock."""
