"""What Zoho accepts as an invoice.

The traps are Zoho's own: lines are `invoice_items` with a `price`. Books' names, `line_items` and
`rate`, are unknown keys here: lines of that name are no lines, and a `rate` is a price of zero.
"""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from ops.fake_zoho.body import (
    Amount,
    Body,
    CustomFieldEntry,
    Day,
    Line50,
    Line100,
    Line200,
    Lines,
    Number,
    Text,
)

# Not modelled: better refused than silently left out of a total.
NoDiscount = Annotated[Amount, Field(le=0)]


class LineBody(BaseModel):
    item_id: Line50 = ""
    product_id: Line50 = ""
    code: Line100 = ""
    name: Line200 = ""
    description: Text = ""
    price: Number = Decimal(0)
    quantity: Annotated[Number, Field(gt=0)]
    unit: Line100 = ""
    discount: Amount = Decimal(0)
    tax_id: Line50 = ""
    product_type: Line50 = ""
    item_order: int = 0


class InvoiceBody(Body):
    customer_id: Line50 = ""
    currency_code: Line50 = ""
    date: Day | None = None
    due_date: Day | None = None
    payment_terms: Annotated[int, Field(ge=0, le=3650)] | None = None
    payment_terms_label: Line200 = ""
    invoice_number: Line100 = ""
    reference_number: Line100 = ""
    is_inclusive_tax: bool = False
    invoice_items: list[LineBody] = Field(default_factory=list, min_length=1)
    discount: NoDiscount = Decimal(0)
    discount_type: Literal["entity_level", "item_level", ""] = ""
    shipping_charge: Amount = Decimal(0)
    adjustment: Number = Decimal(0)
    adjustment_description: Line100 = ""
    salesperson_name: Line200 = ""
    notes: Text = ""
    terms: Annotated[Lines, Field(max_length=10_000)] = ""
    allow_partial_payments: bool = True
    custom_fields: list[CustomFieldEntry] = Field(default_factory=list)
