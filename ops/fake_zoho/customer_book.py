"""The customers that one organisation holds."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from ops.fake_zoho import custom_fields
from ops.fake_zoho.body import read
from ops.fake_zoho.config import SeedCustomer
from ops.fake_zoho.customer_body import CustomerBody
from ops.fake_zoho.premises import Premises
from ops.fake_zoho.replies import JsonObject, already_exists, invalid_value
from ops.fake_zoho.shelf import Record, Shelf


@dataclass(kw_only=True)
class Customer(Record):
    """One customer. The opening figures stand for invoices and credits older than this fake."""

    customer_id: str
    contact_person_id: str
    profile: JsonObject
    status: str = "active"
    opening_outstanding: Decimal = Decimal(0)
    opening_credits: Decimal = Decimal(0)
    outstanding: Decimal = Decimal(0)
    unused_credits: Decimal = Decimal(0)

    @property
    def currency_code(self) -> str:
        code: str = self.profile["currency_code"]
        return code

    @property
    def can_be_mailed(self) -> bool:
        return bool(self.profile["email"])


class CustomerBook:
    """Keep customers by Zoho's rules. No method awaits: each is one commit."""

    def __init__(self, premises: Premises) -> None:
        self._premises = premises
        self._organisation = premises.config
        self._switches = premises.switches
        self.shelf: Shelf[Customer] = Shelf("Customer", premises, lambda one: one.customer_id)
        self.index = self.shelf.index

    def all(self) -> list[Customer]:
        """Return all customers, those that the index does not show yet included."""
        return self.shelf.all()

    def get(self, customer_id: str) -> Customer:
        return self.shelf.get(customer_id)

    def create(self, sent: JsonObject, by: str) -> Customer:
        body = read(CustomerBody, sent, self._switches)
        self._require(body, "display_name")
        if self._switches.email_required:
            self._require(body, "email")
        self._check_currency(body)
        self._check_name(body)
        customer = self._new(body, by=by, at=self._premises.now())
        customer.writes = 1
        self.shelf.add(customer)
        if customer.profile["is_portal_enabled"] and customer.can_be_mailed:
            self._premises.outbox.send("portal_invitation", "customer", customer.customer_id)
        return customer

    def seed(self, made: list[SeedCustomer]) -> list[Customer]:
        """Add customers made by hand, all or none; lists show them at once.

        Names may repeat: an organisation can hold namesakes from before it disallowed them.
        """
        bodies = [read(CustomerBody, one.profile, self._switches) for one in made]
        for body in bodies:
            self._require(body, "display_name")
            self._check_currency(body)
            self._custom_values(body)
        return [self._seed(body, one) for body, one in zip(bodies, made, strict=True)]

    def update(self, customer_id: str, sent: JsonObject) -> Customer:
        """Change the fields that were sent; the others, and other custom fields, stay."""
        customer = self.get(customer_id)
        body = read(CustomerBody, sent, self._switches)
        if self._switches.update_requires_display_name or "display_name" in body.model_fields_set:
            self._require(body, "display_name")
        if self._switches.email_required and "email" in body.model_fields_set:
            self._require(body, "email")
        self._check_currency(body)
        self._check_name(body, but_not=customer_id)
        custom_values = self._custom_values(body)
        was_in_portal = customer.profile["is_portal_enabled"]
        _merge(customer.profile, body.model_dump(exclude_unset=True, exclude={"custom_fields"}))
        customer.custom_values |= custom_values
        self.shelf.written(customer)
        in_portal = customer.profile["is_portal_enabled"]
        if in_portal and not was_in_portal and customer.can_be_mailed:
            self._premises.outbox.send("portal_invitation", "customer", customer_id)
        return customer

    def set_status(self, customer_id: str, status: str) -> None:
        customer = self.get(customer_id)
        customer.status = status
        self.shelf.written(customer)

    def delete(self, customer_id: str) -> None:
        self.shelf.remove(customer_id)

    def set_balances(
        self, customer_id: str, *, outstanding: Decimal, unused_credits: Decimal
    ) -> None:
        """Follow what invoices and payments say; no write of the API's to the customer."""
        customer = self.get(customer_id)
        outstanding += customer.opening_outstanding
        unused_credits += customer.opening_credits
        if (outstanding, unused_credits) != (customer.outstanding, customer.unused_credits):
            customer.outstanding = outstanding
            customer.unused_credits = unused_credits
            self.shelf.changed(customer)

    def grant_credit(self, customer_id: str, amount: Decimal) -> None:
        """Give credit that no payment stands behind."""
        customer = self.get(customer_id)
        customer.opening_credits += amount
        customer.unused_credits += amount
        self.shelf.changed(customer)

    def _seed(self, body: CustomerBody, made: SeedCustomer) -> Customer:
        customer = self._new(body, by=made.created_by, at=made.created_time)
        customer.by_api = False
        customer.status = made.status
        customer.outstanding = customer.opening_outstanding = made.outstanding
        customer.unused_credits = customer.opening_credits = made.unused_credits
        self.shelf.add(customer)
        return customer

    def _new(self, body: CustomerBody, *, by: str, at: datetime) -> Customer:
        custom_values = self._custom_values(body)
        profile = body.model_dump(exclude={"custom_fields"})
        profile["currency_code"] = body.currency_code or self._organisation.currency_code
        return Customer(
            customer_id=self._premises.next_id(),
            contact_person_id=self._premises.next_id(),
            profile=profile,
            custom_values=custom_values,
            created_time=at,
            updated_time=at,
            created_by=by,
        )

    def _require(self, body: CustomerBody, name: str) -> None:
        if not str(getattr(body, name)).strip():
            raise invalid_value(name)

    def _check_currency(self, body: CustomerBody) -> None:
        known = {"", self._organisation.currency_code, *self._organisation.other_currencies}
        if body.currency_code not in known:
            raise invalid_value("currency_code")

    def _check_name(self, body: CustomerBody, but_not: str | None = None) -> None:
        if self._switches.allow_duplicate_display_names or not body.display_name:
            return
        # Not by the index: the server enforces this on what is committed, however recent.
        for other in self.all():
            same = other.profile["display_name"].casefold() == body.display_name.casefold()
            if same and other.customer_id != but_not:
                raise already_exists(body.display_name)

    def _custom_values(self, body: CustomerBody) -> dict[str, Any]:
        return custom_fields.read_values(
            body.custom_fields, self._organisation.customer_custom_fields
        )


def _merge(kept: JsonObject, sent: JsonObject) -> None:
    """Put what was sent over what is kept; of an address only the parts that were sent."""
    for key, value in sent.items():
        if isinstance(value, dict) and isinstance(kept.get(key), dict):
            _merge(kept[key], value)
        else:
            kept[key] = value
