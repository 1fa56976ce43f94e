"""Zoho Billing, and what is known of its organisation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from billing_sync.domain.remote import (
    CustomerPage,
    Organisation,
    RemoteCustomer,
    RemoteInvoice,
    RemotePayment,
    RemotePlan,
    RemoteProduct,
    RemoteSubscription,
    RemoteTransaction,
    Tax,
)
from billing_sync.ports.governor import Permit


@dataclass(frozen=True, slots=True)
class Page[Row]:
    """One page of a list. `has_more` as Zoho says it; there is no total."""

    rows: tuple[Row, ...]
    has_more: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """What people have decided about the sync as a whole.

    Until `live_from` is set, triggers and sweep only record: history belongs to the backfill.
    """

    live_from: datetime | None = None
    paused_at: datetime | None = None
    paused_by: str | None = None
    paused_reason: str | None = None

    @property
    def is_paused(self) -> bool:
        """Say whether all writes to Zoho are held back."""
        return self.paused_at is not None


class Organisations(Protocol):
    """What is known of Zoho's organisation, learnt by preflight and by refusals."""

    def currency(self) -> str:
        """Give its currency code."""

    def time_zone(self) -> ZoneInfo:
        """Give its time zone, in which dates of documents are read."""

    def price_precision(self) -> int:
        """Give the decimals of its prices."""

    def taxes(self) -> list[Tax]:
        """Give its taxes as preflight last read them; none where it is not registered for VAT."""

    def today(self) -> date:
        """Give the day that it is there, by the database's clock.

        A calendar of its own (tests and demos; preflight refuses it for a real Zoho) goes before.
        """

    def learn(
        self,
        name: str,
        currency_code: str,
        time_zone: str,
        *,
        price_precision: int = 2,
        taxes: Sequence[Tax] = (),
    ) -> None:
        """Store what Zoho says of the organisation."""

    def names_are_enforced(self) -> bool:
        """Say whether the server was once seen to refuse a duplicate display name."""

    def names_were_enforced(self) -> None:
        """Remember that it was."""

    def standing(self) -> Standing:
        """Say what people have decided, as of now; nothing of it is ever remembered here."""


class BillingApi(Protocol):
    """Zoho Billing, with permits and token inside; every read may raise `CallFailed`."""

    def make_ready(self) -> None:
        """Have a live token at hand, so that no permit's window is spent on minting one."""

    def organisations(self) -> list[Organisation]:
        """List the organisations that the token may see."""

    def list_customers(
        self,
        page: int,
        *,
        sort_created_descending: bool = False,
        filters: Mapping[str, str] | None = None,
    ) -> CustomerPage:
        """Read one page of 200 customers; rows carry no custom fields."""

    def get_customer(self, zoho_id: str) -> RemoteCustomer:
        """Read one customer by id.

        :raises GoneInZoho: it is not there any more.
        """

    def create_customer(self, payload: dict[str, Any], *, permit: Permit) -> RemoteCustomer:
        """Make a customer. Not idempotent: the caller holds an intent."""

    def update_customer(
        self, zoho_id: str, payload: dict[str, Any], *, permit: Permit
    ) -> RemoteCustomer:
        """Change the given fields of a customer."""

    def taxes(self) -> list[Tax]:
        """List the organisation's taxes."""

    # -------------------------------------------------------------------------------- catalogue

    def list_products(self, page: int) -> Page[RemoteProduct]:
        """Read one page of products, active and inactive."""

    def get_product(self, zoho_id: str) -> RemoteProduct:
        """Read one product.

        :raises GoneInZoho: it is not there any more.
        """

    def create_product(self, payload: dict[str, Any], *, permit: Permit) -> RemoteProduct:
        """Make a product. Neither its name nor anything else is unique there."""

    def update_product(
        self, zoho_id: str, payload: dict[str, Any], *, permit: Permit
    ) -> RemoteProduct:
        """Change the given fields of a product."""

    def get_plan(self, code: str) -> RemotePlan:
        """Read one plan by its code.

        :raises GoneInZoho: there is none.
        """

    def create_plan(self, payload: dict[str, Any], *, permit: Permit) -> RemotePlan:
        """Make a plan; the server keeps `plan_code` unique."""

    def update_plan(self, code: str, payload: dict[str, Any], *, permit: Permit) -> RemotePlan:
        """Write the whole plan (`domain.catalogue.plan_update`)."""

    # ---------------------------------------------------------------------------- subscriptions

    def list_subscriptions(
        self, page: int, *, newest_first: bool = False
    ) -> Page[RemoteSubscription]:
        """Read one page of subscriptions of any status."""

    def get_subscription(self, zoho_id: str) -> RemoteSubscription:
        """Read one subscription, with the change that is scheduled, where one is.

        :raises GoneInZoho: it is not there any more.
        """

    def create_subscription(self, payload: dict[str, Any], *, permit: Permit) -> RemoteSubscription:
        """Make a subscription. Not idempotent: the caller holds an intent."""

    def update_subscription(
        self, zoho_id: str, payload: dict[str, Any], *, permit: Permit
    ) -> RemoteSubscription:
        """Change plan and price, at once or at the end of the term, as the payload says."""

    def cancel_subscription(
        self, zoho_id: str, *, at_end: bool, permit: Permit
    ) -> RemoteSubscription:
        """End it with its term, or at once."""

    def reactivate_subscription(self, zoho_id: str, *, permit: Permit) -> RemoteSubscription:
        """Take back a cancellation at the end of the term; from `non_renewing` only."""

    # --------------------------------------------------------------------------------- invoices

    def list_invoices(
        self, page: int, *, newest_first: bool = False, subscription_zoho_id: str | None = None
    ) -> Page[RemoteInvoice]:
        """Read one page of invoices of any status; rows show no subscription and no tax.

        With `subscription_zoho_id` those of one subscription, if Zoho heeds the filter.
        """

    def get_invoice(self, zoho_id: str) -> RemoteInvoice:
        """Read one invoice with lines and payments.

        :raises GoneInZoho: it is not there any more.
        """

    def create_invoice(self, payload: dict[str, Any], *, permit: Permit) -> RemoteInvoice:
        """Make a draft under our own number, which the server keeps unique; mails nobody."""

    def update_invoice(
        self, zoho_id: str, payload: dict[str, Any], *, permit: Permit
    ) -> RemoteInvoice:
        """Change a draft or an open, unpaid invoice."""

    def open_invoice(self, zoho_id: str, *, permit: Permit) -> None:
        """Make a draft an issued invoice; mails nobody."""

    def void_invoice(self, zoho_id: str, *, permit: Permit) -> None:
        """Void an open and unpaid invoice."""

    def delete_invoice(self, zoho_id: str, *, permit: Permit) -> None:
        """Delete a draft; its number is free again."""

    # --------------------------------------------------------------------------------- payments

    def get_payment(self, zoho_id: str) -> RemotePayment:
        """Read one payment.

        :raises GoneInZoho: it is not there any more.
        """

    def create_payment(self, payload: dict[str, Any], *, permit: Permit) -> RemotePayment:
        """Record a payment; mails nobody. Not idempotent: the caller holds an intent."""

    def update_payment(
        self, zoho_id: str, payload: dict[str, Any], *, permit: Permit
    ) -> RemotePayment:
        """Write the whole payment anew (`domain.payments.payment_update`)."""

    def delete_payment(self, zoho_id: str, *, permit: Permit) -> None:
        """Take a payment out; its invoices are open again."""

    def list_transactions(self, customer_zoho_id: str, page: int) -> Page[RemoteTransaction]:
        """Read one page of a customer's transactions; pure credits are seen only here."""
