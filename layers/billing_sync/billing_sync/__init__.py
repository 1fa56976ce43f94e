"""Keep an internet provider's PostgreSQL and Zoho Billing in step, to the cent, once each."""
