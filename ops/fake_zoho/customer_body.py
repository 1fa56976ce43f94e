"""What Zoho accepts as a customer: types, lengths, characters.

Lengths are those of Books' description, assumed equal in Billing. Unknown top-level keys are
ignored, as Zoho does: flat `street` or `cf_...` keys get no error and no effect.
"""

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field

from ops.fake_zoho.body import (
    Body,
    CustomFieldEntry,
    Line,
    Line25,
    Line50,
    Line100,
    Line200,
    Lines,
    Tag,
)

EMAIL = re.compile(r"[^@\s,;<>()\"]+@[^@\s,;<>()\".]+(\.[^@\s,;<>()\".]+)+")


def _an_email_or_nothing(value: str) -> str:
    if value and not EMAIL.fullmatch(value):
        raise ValueError("not an e-mail address")
    return value


class Address(BaseModel):
    attention: Line100 = ""
    street: Annotated[Lines, Field(max_length=500)] = ""
    city: Line100 = ""
    state: Line100 = ""
    zip: Line50 = ""
    country: Line100 = ""
    state_code: Line50 = ""
    fax: Line50 = ""


class DefaultTemplates(BaseModel):
    invoice_template_id: Line = ""
    creditnote_template_id: Line = ""


class CustomerBody(Body):
    """The fields of Zoho's create and update calls that it keeps; absent ones stay as they are."""

    display_name: Annotated[Line200, Field(min_length=1)] = ""
    salutation: Line25 = ""
    first_name: Line100 = ""
    last_name: Line100 = ""
    email: Annotated[Line100, AfterValidator(_an_email_or_nothing)] = ""
    company_name: Line200 = ""
    phone: Line50 = ""
    mobile: Line50 = ""
    department: Line50 = ""
    designation: Line100 = ""
    website: Line200 = ""
    billing_address: Address = Address()
    shipping_address: Address = Address()
    payment_terms: int = 0
    payment_terms_label: Line200 = "Due on Receipt"
    currency_code: Line = ""
    ach_supported: bool = False
    twitter: Line100 = ""
    facebook: Line100 = ""
    skype: Line50 = ""
    notes: Lines = ""
    is_portal_enabled: bool = False
    is_taxable: bool = True
    tax_id: Line50 = ""
    tax_exemption_id: Line50 = ""
    tax_exemption_code: Line50 = ""
    tax_reg_no: Line50 = ""
    tax_treatment: Line50 = ""
    vat_treatment: Line50 = ""
    vat_reg_no: Annotated[Line, Field(pattern=r"^(.{2,12})?$")] = ""
    gst_no: Line50 = ""
    gst_treatment: Line50 = ""
    place_of_contact: Line50 = ""
    tags: list[Tag] = Field(default_factory=list)
    default_templates: DefaultTemplates = DefaultTemplates()
    custom_fields: list[CustomFieldEntry] = Field(default_factory=list)
