"""How Zoho shows a customer: whole by id, flat in lists.

The fields of a list row are those seen in real answers: no addresses and no custom fields, but
names that the detail lacks (`customer_name`, `outstanding_receivable_amount`, `created_by`).
"""

from ops.fake_zoho import custom_fields
from ops.fake_zoho.config import OrganisationConfig
from ops.fake_zoho.customer_book import Customer
from ops.fake_zoho.formats import currency, money, timestamp
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


def detail(customer: Customer, organisation: OrganisationConfig) -> JsonObject:
    """Show a customer as create, update and get do."""
    profile = customer.profile
    return profile | {
        "customer_id": customer.customer_id,
        "currency_id": f"{organisation.id_prefix}000000000097",
        **currency(customer.currency_code, organisation),
        "price_precision": organisation.price_precision,
        "unused_credits": money(customer.unused_credits, organisation),
        "outstanding": money(customer.outstanding, organisation),
        "status": customer.status,
        "custom_fields": custom_fields.shown(
            customer.custom_values, organisation.customer_custom_fields
        ),
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
        **currency(customer.currency_code, organisation),
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
