"""Zoho Billing, and what is known of its organisation."""

from collections.abc import Mapping
from typing import Any, Protocol

from billing_sync.domain.remote import CustomerPage, Organisation, RemoteCustomer
from billing_sync.ports.governor import Permit


class Organisations(Protocol):
    """What is known of Zoho's organisation, learnt by preflight and by refusals."""

    def currency(self) -> str:
        """Give its currency code."""

    def learn(self, name: str, currency_code: str, time_zone: str) -> None:
        """Store what Zoho says of the organisation."""

    def names_are_enforced(self) -> bool:
        """Say whether the server was once seen to refuse a duplicate display name."""

    def names_were_enforced(self) -> None:
        """Remember that it was."""


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
