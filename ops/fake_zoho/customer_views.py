"""How Zoho shows a customer: whole by id, flat in lists.

The fields of a list row are those seen in real answers: no addresses and no custom fields, but
names that the detail lacks (`customer_name`, `outstanding_receivable_amount`, `created_by`).
"""

from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from zoneinfo import ZoneInfo

from ops.fake_zoho.config import OrganisationConfig
from ops.fake_zoho.customer_book import Customer
from ops.fake_zoho.replies import JsonObject

BOTH = (
    "display_name",
    "salutation",
    "first_name",
    "last_name",
    "email",
    "company_name",
    "phone",
    "mobile",
    "website",
    "department",
    "designation",
    "currency_code",
    "payment_terms",
    "payment_terms_label",
    "tags",
)


def money(amount: Decimal, organisation: OrganisationConfig) -> float:
    """Round half up to the organisation's precision; Zoho answers JSON numbers."""
    step = Decimal(1).scaleb(-organisation.price_precision)
    return float(amount.quantize(step, rounding=ROUND_HALF_UP))


def timestamp(moment: datetime, organisation: OrganisationConfig) -> str:
    """Write a time in the organisation's zone; its offset has no colon: `...T02:30:08+0200`."""
    return moment.astimezone(ZoneInfo(organisation.time_zone)).strftime("%Y-%m-%dT%H:%M:%S%z")


def detail(customer: Customer, organisation: OrganisationConfig) -> JsonObject:
    """Show a customer as create, update and get do."""
    profile = customer.profile
    return profile | {
        "customer_id": customer.customer_id,
        "currency_id": f"{organisation.id_prefix}000000000097",
        "currency_symbol": _symbol(customer, organisation),
        "price_precision": organisation.price_precision,
        "unused_credits": money(customer.unused_credits, organisation),
        "outstanding": money(customer.outstanding, organisation),
        "status": customer.status,
        "custom_fields": _custom_fields(customer, organisation),
        "created_time": timestamp(customer.created_time, organisation),
        "updated_time": timestamp(customer.updated_time, organisation),
        "source": "api" if customer.by_api else "user",
        "primary_contactperson_id": customer.contact_person_id,
        "can_add_card": True,
        "can_add_bank_account": False,
        "is_linked_with_zohocrm": False,
        "zcrm_account_id": "",
        "zcrm_contact_id": "",
        "documents": [],
    }


def row(customer: Customer, organisation: OrganisationConfig) -> JsonObject:
    """Show a customer as lists do."""
    outstanding = money(customer.outstanding, organisation)
    unused_credits = money(customer.unused_credits, organisation)
    return {name: customer.profile[name] for name in BOTH} | {
        "customer_id": customer.customer_id,
        "contact_id": customer.customer_id,
        "customer_name": customer.profile["display_name"],
        "currency_symbol": _symbol(customer, organisation),
        "status": customer.status,
        "unused_credits": unused_credits,
        "unused_credits_receivable_amount_bcy": unused_credits,
        "outstanding": outstanding,
        "outstanding_receivable_amount": outstanding,
        "outstanding_receivable_amount_bcy": outstanding,
        "is_gapps_customer": False,
        "is_portal_invitation_accepted": False,
        "created_time": timestamp(customer.created_time, organisation),
        "updated_time": timestamp(customer.updated_time, organisation),
        "created_by": customer.created_by,
        "has_attachment": False,
    }


def _symbol(customer: Customer, organisation: OrganisationConfig) -> str:
    currency: str = customer.profile["currency_code"]
    return organisation.currency_symbol if currency == organisation.currency_code else currency


def _custom_fields(customer: Customer, organisation: OrganisationConfig) -> list[JsonObject]:
    return [
        {
            "customfield_id": known.customfield_id,
            "api_name": known.api_name,
            "index": known.index,
            "label": known.label,
            "data_type": known.data_type,
            "value": customer.custom_values[known.customfield_id],
            "value_formatted": str(customer.custom_values[known.customfield_id]),
        }
        for known in organisation.customer_custom_fields
        if customer.custom_values.get(known.customfield_id, "") != ""
    ]
