"""What Zoho accepts as a subscription."""

from typing import Annotated, Any

from pydantic import BaseModel, Field

from ops.fake_zoho.body import (
    Amount,
    Body,
    Count,
    CustomFieldEntry,
    Day,
    Line50,
    Line100,
    Line200,
    Text,
)
from ops.fake_zoho.plan_book import BillingCycles


class PlanPart(BaseModel):
    plan_code: Annotated[Line100, Field(min_length=1)]
    plan_description: Text = ""
    price: Amount | None = None
    quantity: Count = 1
    setup_fee: Amount | None = None
    exclude_setup_fee: bool = False
    exclude_trial: bool = False
    trial_days: Annotated[int, Field(ge=0, le=10_000)] | None = None
    billing_cycles: BillingCycles | None = None
    tax_id: Line50 = ""


class AddonPart(BaseModel):
    addon_code: Annotated[Line100, Field(min_length=1)]


class SubscriptionBody(Body):
    """The fields of Zoho's create and update calls that it keeps."""

    customer_id: Line50 = ""
    customer: dict[str, Any] | None = None
    currency_code: Line50 = ""
    plan: PlanPart | None = None
    addons: list[AddonPart] = Field(default_factory=list)
    coupon_code: Line100 = ""
    starts_at: Day | None = None
    create_backdated_invoice: bool = False
    add_to_unbilled_charges: bool = False
    auto_collect: bool = True
    card_id: Line50 = ""
    account_id: Line50 = ""
    reference_id: Line100 = ""
    payment_terms: Annotated[int, Field(ge=0, le=3650)] | None = None
    payment_terms_label: Line200 = ""
    salesperson_name: Line200 = ""
    end_of_term: bool = False
    custom_fields: list[CustomFieldEntry] = Field(default_factory=list)


class Postponement(Body):
    renewal_at: Day | None = None


class Reference(Body):
    reference_id: Line100 = ""
