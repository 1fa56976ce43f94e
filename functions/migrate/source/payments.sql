-- The payments. `transaction_id` becomes Zoho's reference_number.
CREATE VIEW billing_source.payments AS
SELECT
    p.id,
    p.transaction_id,
    p.provider,
    p.amount,
    p.refunded_amount,
    p.currency,
    p.status,
    p.payment_method,
    p.customer_id,
    p.invoice_id,
    p.completed_at,
    p.created_at,
    p.updated_at,
    p.zoho_payment_id,
    p.zoho_sync_status,
    p.zoho_last_synced_at,
    p.zoho_last_sync_error
FROM public.payment_transactions AS p
