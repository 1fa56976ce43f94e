-- The price list. `sku` becomes Zoho's plan_code.
CREATE VIEW billing_source.packages AS
SELECT
    p.id,
    p.sku,
    p.name,
    p.service_type,
    p.price,
    p.price_includes_tax,
    p.active,
    p.updated_at
FROM public.service_packages AS p
