"""How Zoho shows an invoice: create and update, get, and lists each name things differently.

Create and update answer with `invoice_number`, `date`, `last_modified_time`; get answers with
`number`, `invoice_date`, `updated_time`; rows of lists carry both numbers, but no subscription and
no period.
"""

from decimal import Decimal

from ops.fake_zoho import custom_fields
from ops.fake_zoho.formats import currency, money, rounded, timestamp
from ops.fake_zoho.invoice import Invoice, InvoiceLine
from ops.fake_zoho.organisation import Organisation
from ops.fake_zoho.replies import JsonObject


def created(invoice: Invoice, organisation: Organisation) -> JsonObject:
    """Show an invoice as create and update do."""
    config = organisation.config
    return _both(invoice, organisation) | {
        "invoice_number": invoice.number,
        "date": invoice.issued_on.isoformat(),
        "invoice_items": [
            _created_line(line, place, organisation)
            for place, line in enumerate(invoice.lines, start=1)
        ],
        "payment_terms": invoice.payment_terms,
        "payment_terms_label": invoice.payment_terms_label,
        "reference_number": invoice.texts["reference_number"],
        "is_inclusive_tax": invoice.is_inclusive_tax,
        "currency_id": f"{config.id_prefix}000000000097",
        "exchange_rate": 1.0,
        "discount": 0.0,
        "is_discount_before_tax": True,
        "discount_type": "item_level",
        "is_viewed_by_client": False,
        "shipping_charge": f"{invoice.shipping_charge}",
        "adjustment": money(invoice.adjustment, config),
        "adjustment_description": invoice.texts["adjustment_description"],
        "taxes": _taxes(invoice, organisation),
        "payment_reminder_enabled": True,
        "allow_partial_payments": True,
        "price_precision": config.price_precision,
        "is_emailed": invoice.is_emailed,
        "reminders_sent": invoice.reminders_sent,
        "notes": invoice.texts["notes"],
        "terms": invoice.texts["terms"],
        "last_modified_time": timestamp(invoice.updated_time, config),
    }


def detail(invoice: Invoice, organisation: Organisation) -> JsonObject:
    """Show an invoice as get does, with its payments as they are at this moment."""
    config = organisation.config
    return _both(invoice, organisation) | {
        "number": invoice.number,
        "invoice_date": invoice.issued_on.isoformat(),
        "email": organisation.customers.get(invoice.customer_id).profile["email"],
        "transaction_type": invoice.transaction_type,
        **currency(invoice.currency_code, config),
        "invoice_items": [
            _line(line, organisation) | {"code": line.code} for line in invoice.lines
        ],
        "coupons": [],
        "credits": [
            {
                "creditnote_id": use.use_id,
                "creditnotes_number": use.number,
                "credited_date": use.date.isoformat(),
                "credited_amount": f"{rounded(use.amount, config)}",
            }
            for use in invoice.credits
        ],
        "payments": _payments(invoice, organisation),
        "comments": [],
        "documents": [],
        "updated_time": timestamp(invoice.updated_time, config),
    }


def row(invoice: Invoice, organisation: Organisation) -> JsonObject:
    """Show an invoice as lists do."""
    config = organisation.config
    customer = organisation.customers.get(invoice.customer_id)
    return {
        "invoice_id": invoice.invoice_id,
        "number": invoice.number,
        "invoice_number": invoice.number,
        "status": invoice.status(organisation.today()),
        "invoice_date": invoice.issued_on.isoformat(),
        "due_date": invoice.due_date.isoformat(),
        "customer_id": invoice.customer_id,
        "customer_name": customer.profile["display_name"],
        "email": customer.profile["email"],
        "reference_number": invoice.texts["reference_number"],
        "transaction_type": invoice.transaction_type,
        "payment_expected_date": "",
        "balance": money(invoice.balance, config),
        "total": money(invoice.total, config),
        **currency(invoice.currency_code, config),
        "has_attachment": False,
        "created_time": timestamp(invoice.created_time, config),
        "updated_time": timestamp(invoice.updated_time, config),
    }


def _both(invoice: Invoice, organisation: Organisation) -> JsonObject:
    config = organisation.config
    customer = organisation.customers.get(invoice.customer_id)
    return {
        "invoice_id": invoice.invoice_id,
        "ach_payment_initiated": False,
        "status": invoice.status(organisation.today()),
        "due_date": invoice.due_date.isoformat(),
        "payment_expected_date": "",
        "customer_id": invoice.customer_id,
        "customer_name": customer.profile["display_name"],
        "currency_code": invoice.currency_code,
        "sub_total": money(invoice.sub_total, config),
        "tax_total": money(invoice.tax_total, config),
        "total": money(invoice.total, config),
        "payment_made": money(invoice.payment_made, config),
        "credits_applied": money(invoice.credits_applied, config),
        "balance": money(invoice.balance, config),
        "write_off_amount": 0.0,
        "invoice_url": f"https://billing.example/invoices/{invoice.invoice_id}",
        "billing_address": customer.profile["billing_address"],
        "shipping_address": customer.profile["shipping_address"],
        "salesperson_name": invoice.texts["salesperson_name"],
        "custom_fields": custom_fields.shown(invoice.custom_values, config.invoice_custom_fields),
        "can_send_in_mail": False,
        "created_time": timestamp(invoice.created_time, config),
    }


def _line(line: InvoiceLine, organisation: Organisation) -> JsonObject:
    config = organisation.config
    return {
        "item_id": line.item_id,
        "product_id": line.product_id,
        "name": line.name,
        "description": line.description,
        "price": money(line.price, config),
        "quantity": _number(line.quantity),
        "discount_amount": money(line.discount, config),
        "item_total": money(line.amount, config),
        "tax_id": line.tax.tax_id if line.tax else "",
    }


def _created_line(line: InvoiceLine, place: int, organisation: Organisation) -> JsonObject:
    return _line(line, organisation) | {
        "item_order": place,
        "unit": line.unit,
        "tax_name": line.tax.tax_name if line.tax else "",
        "tax_type": "tax" if line.tax else "",
        "tax_percentage": float(line.tax.tax_percentage) if line.tax else 0.0,
    }


def _payments(invoice: Invoice, organisation: Organisation) -> list[JsonObject]:
    config = organisation.config
    return [
        {
            "payment_id": payment.payment_id,
            "invoice_payment_id": application.invoice_payment_id,
            "payment_mode": payment.payment_mode,
            "date": payment.date.isoformat(),
            "amount": money(application.amount, config),
            "amount_refunded": 0.0,
            "reference_number": payment.reference_number,
            "description": payment.description,
            "bank_charges": money(payment.bank_charges, config),
            "exchange_rate": float(payment.exchange_rate),
            "gateway_transaction_id": "",
        }
        for payment, application in organisation.receivables.payments_on(invoice)
    ]


def _taxes(invoice: Invoice, organisation: Organisation) -> list[JsonObject]:
    names = {tax.tax_id: tax.tax_name for tax in organisation.config.taxes}
    return [
        {"tax_name": names[tax_id], "tax_amount": money(amount, organisation.config)}
        for tax_id, amount in invoice.by_tax.items()
    ]


def _number(quantity: Decimal) -> int | float:
    whole = quantity.to_integral_value()
    return int(whole) if whole == quantity else float(quantity)
