-- The customers, as billing-sync reads them. Edit the right-hand side for your own tables.
-- An account_type of 'internal_test' is never sent. email, phone and currency may be NULL.
CREATE VIEW billing_source.customers AS
SELECT
    c.id,
    c.account_number,
    c.account_type,
    c.account_status,
    c.first_name,
    c.last_name,
    c.company_name,
    c.tax_number,
    c.email,
    c.phone,
    c.street,
    c.city,
    c.state,
    c.zip,
    c.country,
    c.currency,
    c.created_at,
    c.updated_at,
    c.zoho_billing_customer_id,
    c.zoho_sync_status,
    c.zoho_last_synced_at,
    c.zoho_last_sync_error
FROM public.customers AS c
