"""What touches the world: PostgreSQL, Zoho Billing, Secrets Manager, S3, Step Functions."""
