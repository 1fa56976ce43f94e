"""The plans of one organisation: addressed by a code of the caller's own, which is unique."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from ops.fake_zoho.body import (
    Amount,
    Body,
    Count,
    CustomFieldEntry,
    Line50,
    Line100,
    Line200,
    Text,
    read,
    require,
)
from ops.fake_zoho.config import SeedPlan
from ops.fake_zoho.custom_fields import read_values
from ops.fake_zoho.formats import rounded
from ops.fake_zoho.premises import Premises
from ops.fake_zoho.product_book import ProductBook
from ops.fake_zoho.replies import JsonObject, invalid_value
from ops.fake_zoho.rules import Rule, against
from ops.fake_zoho.shelf import Record, Shelf
from ops.fake_zoho.tax import find_tax

ENDLESS = -1


def _cycles(value: int) -> int:
    if value != ENDLESS and value < 1:
        raise ValueError("-1 is endless; a plan of no cycle bills nobody")
    return value


BillingCycles = Annotated[int, AfterValidator(_cycles)]
IntervalUnit = Literal["months", "years", "weeks", "days"]


class PlanBody(Body):
    """The fields of Zoho's create and update calls that it keeps."""

    plan_code: Annotated[Line100, Field(pattern=r"^\S*$")] = ""
    name: Line100 = ""
    recurring_price: Amount = Decimal(0)
    interval: Count = 1
    interval_unit: IntervalUnit = "months"
    billing_cycles: BillingCycles = ENDLESS
    trial_period: Annotated[int, Field(ge=0, le=10_000)] = 0
    setup_fee: Amount = Decimal(0)
    unit: Line100 = ""
    description: Text = ""
    store_markup_description: Text = ""
    product_id: Line50 = ""
    product_type: Line50 = ""
    tax_id: Line50 = ""
    redirect_url: Line200 = ""
    custom_fields: list[CustomFieldEntry] = Field(default_factory=list)


@dataclass(kw_only=True)
class Plan(Record):
    plan_id: str
    product_id: str
    terms: PlanBody
    status: str = "active"

    @property
    def plan_code(self) -> str:
        return self.terms.plan_code


class PlanBook:
    def __init__(self, premises: Premises, products: ProductBook) -> None:
        self._premises = premises
        self._products = products
        self.shelf: Shelf[Plan] = Shelf("Plan", premises, lambda one: one.plan_code)
        self.index = self.shelf.index

    def all(self) -> list[Plan]:
        return self.shelf.all()

    def get(self, plan_code: str) -> Plan:
        return self.shelf.get(plan_code)

    def create(self, sent: JsonObject, by: str) -> Plan:
        body = self._read(sent)
        require(body, "product_id")
        plan = self._new(body, by, self._premises.now())
        plan.writes = 1
        self.shelf.add(plan)
        return plan

    def seed(self, made: SeedPlan) -> Plan:
        product = self._products.seed(made.product, made.created_by, made.created_time)
        body = self._read({"interval": 1, **made.profile, "product_id": product.product_id})
        plan = self._new(body, made.created_by, made.created_time)
        plan.by_api = False
        plan.status = made.status
        self.shelf.add(plan)
        return plan

    def update(self, plan_code: str, sent: JsonObject) -> Plan:
        """Change what was sent; four fields always have to be, price and interval among them.

        A price that a caller sends without having read it is a price that it overwrites.
        """
        plan = self.get(plan_code)
        body = self._read(sent)
        if body.plan_code != plan_code:
            raise invalid_value("plan_code")
        read_values(body.custom_fields, [])
        plan.terms = plan.terms.model_copy(update=body.model_dump(exclude_unset=True))
        self.shelf.written(plan)
        return plan

    def set_status(self, plan_code: str, status: str) -> None:
        plan = self.get(plan_code)
        plan.status = status
        self.shelf.written(plan)

    def delete(self, plan_code: str) -> None:
        self.shelf.remove(plan_code)

    def _read(self, sent: JsonObject) -> PlanBody:
        body = read(PlanBody, sent, self._premises.switches)
        require(body, "plan_code", "name", "recurring_price", "interval")
        find_tax(body.tax_id, self._premises.config)
        config = self._premises.config
        changes: JsonObject = {
            name: rounded(getattr(body, name), config)
            for name in ("recurring_price", "setup_fee")
            if name in body.model_fields_set
        }
        return body.model_copy(update=changes)

    def _new(self, body: PlanBody, by: str, at: datetime) -> Plan:
        read_values(body.custom_fields, [])
        if self._products.get(body.product_id).status != "active":
            raise invalid_value("product_id")
        if self.shelf.holds(body.plan_code):
            raise against(Rule.PLAN_CODE_TAKEN)
        return Plan(
            plan_id=self._premises.next_id(),
            product_id=body.product_id,
            terms=body,
            created_time=at,
            updated_time=at,
            created_by=by,
        )
