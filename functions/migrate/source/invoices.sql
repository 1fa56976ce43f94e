-- The invoices. Any type but 'recurring' is a one-off.
CREATE VIEW billing_source.invoices AS
SELECT
    i.id,
    i.customer_id,
    i.service_id,
    i.invoice_number,
    i.invoice_type,
    i.invoice_date,
    i.due_date,
    i.period_start,
    i.period_end,
    i.subtotal,
    i.tax_amount,
    i.total_amount,
    i.amount_paid,
    i.amount_due,
    i.currency,
    i.tax_inclusive,
    i.status,
    i.line_items,
    i.created_at,
    i.updated_at,
    i.zoho_billing_invoice_id,
    i.zoho_invoice_number,
    i.zoho_sync_status,
    i.zoho_last_synced_at,
    i.zoho_last_sync_error
FROM public.customer_invoices AS i
