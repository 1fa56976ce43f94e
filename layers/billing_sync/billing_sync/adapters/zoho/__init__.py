"""Zoho Billing v1 and its OAuth server behind the ports, by httpx."""
