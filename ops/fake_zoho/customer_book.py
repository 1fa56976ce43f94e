"""The customers that one organisation holds."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from ops.fake_zoho.clock import CalendarClock
from ops.fake_zoho.config import CustomField, OrganisationConfig, SeedCustomer, Switches
from ops.fake_zoho.customer_body import CustomerBody, CustomFieldEntry, read_body
from ops.fake_zoho.lagging_index import LaggingIndex
from ops.fake_zoho.outbox import Outbox
from ops.fake_zoho.replies import (
    JsonObject,
    already_exists,
    does_not_exist,
    invalid_value,
    unknown_custom_field,
)


@dataclass
class Customer:
    """One customer; `writes` counts the API's writes, so that a test can prove it untouched."""

    customer_id: str
    contact_person_id: str
    profile: JsonObject
    created_time: datetime
    updated_time: datetime
    created_by: str
    custom_values: dict[str, Any] = field(default_factory=dict)
    status: str = "active"
    outstanding: Decimal = Decimal(0)
    unused_credits: Decimal = Decimal(0)
    writes: int = 0
    by_api: bool = True


class CustomerBook:
    """Keep customers by Zoho's rules. No method awaits: each is one commit."""

    def __init__(
        self,
        organisation: OrganisationConfig,
        switches: Switches,
        calendar: CalendarClock,
        index: LaggingIndex[Customer],
        outbox: Outbox,
        next_id: Callable[[], str],
    ) -> None:
        self.index = index
        self._organisation = organisation
        self._switches = switches
        self._calendar = calendar
        self._outbox = outbox
        self._next_id = next_id
        self._customers: dict[str, Customer] = {}

    def all(self) -> list[Customer]:
        """Return all customers, those that the index does not show yet included."""
        return list(self._customers.values())

    def get(self, customer_id: str) -> Customer:
        try:
            return self._customers[customer_id]
        except KeyError:
            raise does_not_exist("Customer") from None

    def create(self, sent: JsonObject, by: str) -> Customer:
        body = read_body(sent, self._switches)
        self._require(body, "display_name")
        if self._switches.email_required:
            self._require(body, "email")
        self._check_currency(body)
        self._check_name(body)
        customer = self._new(body, by=by, at=self._calendar.now())
        customer.writes = 1
        self.index.put(customer.customer_id, customer)
        if customer.profile["is_portal_enabled"] and customer.profile["email"]:
            self._outbox.send("portal_invitation", "customer", customer.customer_id)
        return customer

    def seed(self, made: list[SeedCustomer]) -> list[Customer]:
        """Add customers made by hand, all or none; lists show them at once.

        Names may repeat: an organisation can hold namesakes from before it disallowed them.
        """
        bodies = [read_body(one.profile, self._switches) for one in made]
        for body in bodies:
            self._require(body, "display_name")
            self._check_currency(body)
            self._custom_values(body.custom_fields)
        return [self._seed(body, one) for body, one in zip(bodies, made, strict=True)]

    def update(self, customer_id: str, sent: JsonObject) -> Customer:
        """Change the fields that were sent; the others, and other custom fields, stay."""
        customer = self.get(customer_id)
        body = read_body(sent, self._switches)
        if self._switches.update_requires_display_name or "display_name" in body.model_fields_set:
            self._require(body, "display_name")
        if self._switches.email_required and "email" in body.model_fields_set:
            self._require(body, "email")
        self._check_currency(body)
        self._check_name(body, but_not=customer_id)
        custom_values = self._custom_values(body.custom_fields)
        was_in_portal = customer.profile["is_portal_enabled"]
        _merge(customer.profile, body.model_dump(exclude_unset=True, exclude={"custom_fields"}))
        customer.custom_values |= custom_values
        self._written(customer)
        in_portal = customer.profile["is_portal_enabled"]
        if in_portal and not was_in_portal and customer.profile["email"]:
            self._outbox.send("portal_invitation", "customer", customer_id)
        return customer

    def set_status(self, customer_id: str, status: str) -> None:
        customer = self.get(customer_id)
        customer.status = status
        self._written(customer)

    def delete(self, customer_id: str) -> None:
        self.get(customer_id)
        del self._customers[customer_id]
        self.index.put(customer_id, None)

    def _seed(self, body: CustomerBody, made: SeedCustomer) -> Customer:
        customer = self._new(body, by=made.created_by, at=made.created_time)
        customer.by_api = False
        customer.status = made.status
        customer.outstanding = made.outstanding
        customer.unused_credits = made.unused_credits
        self.index.put(customer.customer_id, customer, at_once=True)
        return customer

    def _new(self, body: CustomerBody, *, by: str, at: datetime) -> Customer:
        custom_values = self._custom_values(body.custom_fields)
        profile = body.model_dump(exclude={"custom_fields"})
        profile["currency_code"] = body.currency_code or self._organisation.currency_code
        customer = Customer(
            customer_id=self._next_id(),
            contact_person_id=self._next_id(),
            profile=profile,
            custom_values=custom_values,
            created_time=at,
            updated_time=at,
            created_by=by,
        )
        self._customers[customer.customer_id] = customer
        return customer

    def _written(self, customer: Customer) -> None:
        customer.writes += 1
        customer.updated_time = self._calendar.now()
        self.index.put(customer.customer_id, customer)

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
        for other in self._customers.values():
            same = other.profile["display_name"].casefold() == body.display_name.casefold()
            if same and other.customer_id != but_not:
                raise already_exists(body.display_name)

    def _custom_values(self, entries: list[CustomFieldEntry]) -> dict[str, Any]:
        return {self._custom_field(entry).customfield_id: entry.value for entry in entries}

    def _custom_field(self, entry: CustomFieldEntry) -> CustomField:
        for known in self._organisation.customer_custom_fields:
            names = (
                (entry.label, known.label),
                (entry.customfield_id, known.customfield_id),
                (entry.api_name, known.api_name),
                (entry.index, known.index),
            )
            given = [(sent, name) for sent, name in names if sent is not None]
            if given and all(sent == name for sent, name in given):
                return known
        raise unknown_custom_field()


def _merge(kept: JsonObject, sent: JsonObject) -> None:
    """Put what was sent over what is kept; of an address only the parts that were sent."""
    for key, value in sent.items():
        if isinstance(value, dict) and isinstance(kept.get(key), dict):
            _merge(kept[key], value)
        else:
            kept[key] = value
