"""How Zoho shows a subscription: whole by id, flat in lists."""

from datetime import timedelta

from ops.fake_zoho import custom_fields
from ops.fake_zoho.formats import currency, day, money, timestamp
from ops.fake_zoho.organisation import Organisation
from ops.fake_zoho.replies import JsonObject
from ops.fake_zoho.subscription import Subscription, Terms
from ops.fake_zoho.tax import Taxed, apply_tax, find_tax

IN_CUSTOMER = (
    "display_name",
    "first_name",
    "last_name",
    "email",
    "company_name",
    "payment_terms",
    "payment_terms_label",
)
IN_ADDRESS = ("attention", "street", "city", "state", "zip", "country", "fax")


def detail(subscription: Subscription, organisation: Organisation) -> JsonObject:
    """Show a subscription as create, get, update and the actions do."""
    customer = organisation.customers.get(subscription.customer_id)
    config = organisation.config
    return _both(subscription, subscription.terms, organisation) | {
        "sub_total": money(_taxed(subscription.terms, organisation).sub_total, config),
        "child_invoice_id": subscription.child_invoice_id,
        "unbilled_charge_id": subscription.unbilled_charge_id,
        "end_of_term": subscription.scheduled is not None,
        "product_name": subscription.terms.product_name,
        "plan": _plan(subscription.terms, organisation),
        "addons": [],
        "taxes": _taxes(subscription.terms, organisation),
        "payment_terms": subscription.payment_terms,
        "payment_terms_label": subscription.payment_terms_label,
        "can_add_bank_account": False,
        "customer": {"customer_id": customer.customer_id}
        | {name: customer.profile[name] for name in IN_CUSTOMER}
        | {
            kind: {name: customer.profile[kind][name] for name in IN_ADDRESS}
            for kind in ("billing_address", "shipping_address")
        },
        "custom_fields": custom_fields.shown(
            subscription.custom_values, config.subscription_custom_fields
        ),
        "contactpersons": [{"contactperson_id": customer.contact_person_id}],
        "notes": [],
        "payment_gateways": [],
    }


def scheduled(subscription: Subscription, terms: Terms, organisation: Organisation) -> JsonObject:
    """Show what a subscription will be from its next term on."""
    return _both(subscription, terms, organisation) | {
        "plan": _plan(terms, organisation),
        "addons": [],
        "taxes": _taxes(terms, organisation),
    }


def row(subscription: Subscription, organisation: Organisation) -> JsonObject:
    """Show a subscription as lists do."""
    customer = organisation.customers.get(subscription.customer_id)
    config = organisation.config
    terms = subscription.terms
    ends = subscription.term_ends_on if subscription.status == "non_renewing" else None
    return _both(subscription, terms, organisation) | {
        "customer_id": customer.customer_id,
        "customer_name": customer.profile["display_name"],
        "email": customer.profile["email"],
        "plan_name": terms.plan_name,
        "plan_code": terms.plan_code,
        "scheduled_cancellation_date": day(ends),
        "billing_mode": "prepaid",
        "custom_field_hash": {
            known.api_name: subscription.custom_values[known.customfield_id]
            for known in config.subscription_custom_fields
            if known.customfield_id in subscription.custom_values
        },
    }


def _both(subscription: Subscription, terms: Terms, organisation: Organisation) -> JsonObject:
    config = organisation.config
    taxed = _taxed(terms, organisation)
    ends = subscription.term_ends_on
    if ends is not None and organisation.switches.terms_end_the_day_before:
        ends -= timedelta(days=1)
    return {
        "subscription_id": subscription.subscription_id,
        "subscription_number": subscription.number,
        "name": terms.name,
        "status": subscription.status,
        "amount": money(taxed.sub_total + taxed.tax_total, config),
        "created_at": day(subscription.created_on),
        "activated_at": day(subscription.activated_on),
        "current_term_starts_at": day(subscription.term_started_on),
        "current_term_ends_at": day(ends),
        "last_billing_at": day(subscription.last_billed_on),
        "next_billing_at": day(subscription.next_billing_on),
        "expires_at": day(subscription.expires_on),
        "interval": terms.interval,
        "interval_unit": terms.interval_unit,
        "auto_collect": subscription.auto_collect,
        "reference_id": subscription.reference_id,
        "salesperson_name": subscription.salesperson_name,
        "product_id": terms.product_id,
        **currency(subscription.currency_code, config),
        "created_time": timestamp(subscription.created_time, config),
        "updated_time": timestamp(subscription.updated_time, config),
    }


def _plan(terms: Terms, organisation: Organisation) -> JsonObject:
    config = organisation.config
    return {
        "plan_code": terms.plan_code,
        "name": terms.name,
        "quantity": terms.quantity,
        "price": money(terms.price, config),
        "discount": 0.0,
        "total": money(terms.total, config),
        "setup_fee": money(terms.setup_fee, config),
        "plan_description": terms.description,
        "tax_id": terms.tax_id,
        "trial_days": terms.trial_days,
    }


def _taxes(terms: Terms, organisation: Organisation) -> list[JsonObject]:
    tax = find_tax(terms.tax_id, organisation.config)
    if tax is None:
        return []
    taxed = _taxed(terms, organisation)
    return [
        {
            "tax_id": tax.tax_id,
            "tax_name": tax.tax_name,
            "tax_amount": f"{taxed.tax_total}",
        }
    ]


def _taxed(terms: Terms, organisation: Organisation) -> Taxed:
    return apply_tax(
        [(terms.total, find_tax(terms.tax_id, organisation.config))],
        inclusive=organisation.switches.prices_inclusive,
        rounding=organisation.switches.tax_rounding,
        round_half_up=organisation.rounded,
    )
