-- optional: public.payment_allocations
-- Shares of payments that pay several invoices. Left out where the application has no such table;
-- a payment then pays its one invoice_id. A changed share must change the payment's updated_at.
CREATE VIEW billing_source.payment_allocations AS
SELECT
    a.payment_id,
    a.invoice_id,
    a.amount
FROM public.payment_allocations AS a
