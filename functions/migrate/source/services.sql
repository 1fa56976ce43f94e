-- The customers' services. `monthly_price` is the service's own as of now, promotion included.
CREATE VIEW billing_source.services AS
SELECT
    s.id,
    s.customer_id,
    s.package_id,
    s.monthly_price,
    s.price_includes_tax,
    s.status,
    s.activation_date,
    s.billing_day,
    s.contract_end_date,
    s.cancelled_at,
    s.created_at,
    s.updated_at,
    s.zoho_subscription_id,
    s.zoho_sync_status,
    s.zoho_last_synced_at,
    s.zoho_last_sync_error
FROM public.customer_services AS s
