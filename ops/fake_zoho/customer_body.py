"""What Zoho accepts as a customer: types, lengths, characters.

Lengths are those of Books' description, assumed equal in Billing. Unknown top-level keys are
ignored, as Zoho does: flat `street` or `cf_...` keys get no error and no effect.
"""

import re
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
)

from ops.fake_zoho.config import Switches
from ops.fake_zoho.replies import JsonObject, invalid_value

EMAIL = re.compile(r"[^@\s,;<>()\"]+@[^@\s,;<>()\".]+(\.[^@\s,;<>()\".]+)+")

UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def _only_characters_of_text(value: str) -> str:
    if UNPRINTABLE.search(value):
        raise ValueError("control characters or lone surrogates")
    return value


def _only_breaks_and_tabs(value: str) -> str:
    _only_characters_of_text(re.sub(r"[\r\n\t]", " ", value))
    return value


def _no_emoji_unless_accepted(value: str, info: ValidationInfo[Switches]) -> str:
    if not info.context.accept_emoji and any(ord(character) > 0xFFFF for character in value):
        raise ValueError("characters beyond the basic plane")
    return value


def _an_email_or_nothing(value: str) -> str:
    if value and not EMAIL.fullmatch(value):
        raise ValueError("not an e-mail address")
    return value


Line = Annotated[
    str, AfterValidator(_only_characters_of_text), AfterValidator(_no_emoji_unless_accepted)
]
Lines = Annotated[
    str, AfterValidator(_only_breaks_and_tabs), AfterValidator(_no_emoji_unless_accepted)
]
Line25 = Annotated[Line, Field(max_length=25)]
Line50 = Annotated[Line, Field(max_length=50)]
Line100 = Annotated[Line, Field(max_length=100)]
Line200 = Annotated[Line, Field(max_length=200)]


class Address(BaseModel):
    attention: Line100 = ""
    street: Annotated[Lines, Field(max_length=500)] = ""
    city: Line100 = ""
    state: Line100 = ""
    zip: Line50 = ""
    country: Line100 = ""
    state_code: Line50 = ""
    fax: Line50 = ""


class Tag(BaseModel):
    tag_id: Line | int
    tag_option_id: Line | int


class DefaultTemplates(BaseModel):
    invoice_template_id: Line = ""
    creditnote_template_id: Line = ""


class CustomFieldEntry(BaseModel):
    """One custom field as written: named by label (documented), or by index, id or API name."""

    label: str | None = None
    index: int | None = None
    customfield_id: str | None = None
    api_name: str | None = None
    value: Line | int | float | bool = ""


class CustomerBody(BaseModel):
    """The fields of Zoho's create and update calls that it keeps; absent ones stay as they are."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

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
    tags: list[Tag] = []
    default_templates: DefaultTemplates = DefaultTemplates()
    custom_fields: list[CustomFieldEntry] = []


# An error's place also names list positions and the branches of unions; these are the fields.
FIELDS = frozenset(
    CustomerBody.model_fields.keys()
    | Address.model_fields.keys()
    | Tag.model_fields.keys()
    | DefaultTemplates.model_fields.keys()
    | CustomFieldEntry.model_fields.keys()
)


def read_body(body: JsonObject, switches: Switches) -> CustomerBody:
    """Validate a body; raise the refusal that names the first field that does not fit."""
    if not switches.refuse_nulls:
        body = _without_nulls(body)
    try:
        return CustomerBody.model_validate(body, context=switches)
    except ValidationError as error:
        place = error.errors()[0]["loc"]
        raise invalid_value([str(step) for step in place if step in FIELDS][-1]) from error


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value if item is not None]
    return value
