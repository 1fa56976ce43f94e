"""Zoho Billing v1 as far as the sync needs it: narrow, typed, with permit and token inside.

What is sent and read of each entity; one call as such, with its permit and its failures, is
`calls`'. Facts about the API, each with its evidence, are quoted as «billing-api §n».
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import httpx
from pydantic import BaseModel, ValidationError

from billing_sync.adapters.zoho.calls import Operation, ZohoCalls, ZohoSettings
from billing_sync.adapters.zoho.rows import page_of, read_as, rows_of, unreadable
from billing_sync.domain.errors import GoneInZoho, OutcomeUnknown, Unavailable
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
from billing_sync.domain.timing import Timing
from billing_sync.ports import BillingApi, Clock, Page, Permit, Quota, Tokens

__all__ = ["ZohoBilling", "ZohoSettings"]

ROWS_PER_PAGE: Final = 200
PAGING: Final = frozenset({"page", "per_page", "sort_column", "sort_order", "organization_id"})

OWN_NUMBER: Final = {"ignore_auto_number_generation": "true"}
"""Else Zoho numbers an invoice itself and ours is lost (billing-api §3.3)."""
UNSENT: Final = {"send": "false"}
"""A draft, mailed to nobody (billing-api §4.4)."""


class ZohoBilling(BillingApi):
    """The entities of one organisation. For what calls have in common, see `ZohoCalls`."""

    def __init__(
        self,
        http: httpx.Client,
        tokens: Tokens,
        quota: Quota,
        settings: ZohoSettings,
        timing: Timing,
        clock: Clock,
    ) -> None:
        self._calls = ZohoCalls(http, tokens, quota, settings, timing, clock)
        self._account_number_label = settings.account_number_label

    def make_ready(self) -> None:
        """Have a live token at hand, so that no permit's window is spent on minting one."""
        self._calls.make_ready()

    # --------------------------------------------------------------------------------- settings

    def organisations(self) -> list[Organisation]:
        """List the organisations that the token may see; needs none of them itself.

        Being the cheapest read, it is the hourly probe of a paused day, too.
        """
        envelope = self._calls.read(
            Operation("GET", "/organizations", "settings", for_organisation=False)
        )
        return [read_as(Organisation, row) for row in rows_of(envelope.get("organizations"))]

    def taxes(self) -> list[Tax]:
        """List the organisation's taxes."""
        envelope = self._calls.read(Operation("GET", "/settings/taxes", "settings"))
        return [read_as(Tax, row) for row in rows_of(envelope.get("taxes"))]

    # -------------------------------------------------------------------------------- customers

    def list_customers(
        self,
        page: int,
        *,
        sort_created_descending: bool = False,
        filters: Mapping[str, str] | None = None,
    ) -> CustomerPage:
        """Read one page of customers, oldest first unless told otherwise.

        :raises ValueError: for an empty filter. Zoho answers an empty filter with *all* customers;
            that is how a stranger was once overwritten (billing-api §3.2).
        """
        filters = dict(filters or {})
        for name, value in filters.items():
            if not value.strip() or not name or name in PAGING:
                raise ValueError(f"not a filter: {name or 'without a name'}")
        query = {**filters, **_by_age(newest_first=sort_created_descending)}
        found = self._page("customers", page, query, self._customer)
        return CustomerPage(rows=found.rows, has_more=found.has_more)

    def get_customer(self, zoho_id: str) -> RemoteCustomer:
        """Read one customer by id: strongly consistent, and with custom fields."""
        return self._one(
            Operation("GET", "/customers/{id}", "customers", "customer", zoho_id), self._customer
        )

    def create_customer(self, payload: dict[str, Any], *, permit: Permit) -> RemoteCustomer:
        """Make a customer. Not idempotent, and nothing at the server prevents a second one."""
        operation = Operation("POST", "/customers", "customers", "customer")
        return self._written(operation, self._customer, permit, payload)

    def update_customer(
        self, zoho_id: str, payload: dict[str, Any], *, permit: Permit
    ) -> RemoteCustomer:
        """Change the given fields of a customer; others stay."""
        operation = Operation("PUT", "/customers/{id}", "customers", "customer", zoho_id)
        return self._written(operation, self._customer, permit, payload)

    # -------------------------------------------------------------------------------- catalogue

    def list_products(self, page: int) -> Page[RemoteProduct]:
        """Read one page of products, active and inactive; no order of them is documented."""
        every = {"filter_by": "ProductStatus.All"}
        return self._page("products", page, every, _read(RemoteProduct))

    def get_product(self, zoho_id: str) -> RemoteProduct:
        """Read one product."""
        operation = Operation("GET", "/products/{id}", "products", "product", zoho_id)
        return self._one(operation, _read(RemoteProduct))

    def create_product(self, payload: dict[str, Any], *, permit: Permit) -> RemoteProduct:
        """Make a product. Its name is not unique: a second POST makes a second one."""
        operation = Operation("POST", "/products", "products", "product")
        return self._written(operation, _read(RemoteProduct), permit, payload)

    def update_product(
        self, zoho_id: str, payload: dict[str, Any], *, permit: Permit
    ) -> RemoteProduct:
        """Change the given fields of a product."""
        operation = Operation("PUT", "/products/{id}", "products", "product", zoho_id)
        return self._written(operation, _read(RemoteProduct), permit, payload)

    def get_plan(self, code: str) -> RemotePlan:
        """Read one plan; paths carry the code, not the id (billing-api §3)."""
        operation = Operation("GET", "/plans/{id}", "plans", "plan", code)
        return self._one(operation, _read(RemotePlan))

    def create_plan(self, payload: dict[str, Any], *, permit: Permit) -> RemotePlan:
        """Make a plan; the server keeps `plan_code` unique."""
        operation = Operation("POST", "/plans", "plans", "plan")
        return self._written(operation, _read(RemotePlan), permit, payload)

    def update_plan(self, code: str, payload: dict[str, Any], *, permit: Permit) -> RemotePlan:
        """Write the whole plan: what a PUT leaves out may become zero there."""
        operation = Operation("PUT", "/plans/{id}", "plans", "plan", code)
        return self._written(operation, _read(RemotePlan), permit, payload)

    # ---------------------------------------------------------------------------- subscriptions

    def list_subscriptions(
        self, page: int, *, newest_first: bool = False
    ) -> Page[RemoteSubscription]:
        """Read one page of subscriptions of any status, oldest first unless told otherwise."""
        query = {"filter_by": "SubscriptionStatus.All", **_by_age(newest_first=newest_first)}
        return self._page("subscriptions", page, query, _read(RemoteSubscription))

    def get_subscription(self, zoho_id: str) -> RemoteSubscription:
        """Read one subscription; where a change waits for the end of its term, that with it."""
        found = self._subscription("/subscriptions/{id}", zoho_id)
        if not found.end_of_term:
            return found
        try:
            waiting = self._subscription("/subscriptions/{id}/scheduledchanges", zoho_id)
        except GoneInZoho:
            # Nothing waits any more: the term ended between the two calls, and the first is old.
            return self._subscription("/subscriptions/{id}", zoho_id)
        scheduled = {"scheduled_plan_code": waiting.plan_code, "scheduled_price": waiting.price}
        return found.model_copy(update=scheduled)

    def create_subscription(self, payload: dict[str, Any], *, permit: Permit) -> RemoteSubscription:
        """Make a subscription. Not idempotent: `reference_id` is not unique there."""
        operation = Operation("POST", "/subscriptions", "subscriptions", "subscription")
        return self._written(operation, _read(RemoteSubscription), permit, payload)

    def update_subscription(
        self, zoho_id: str, payload: dict[str, Any], *, permit: Permit
    ) -> RemoteSubscription:
        """Change plan and price. The answer says that a change waits, but not which."""
        operation = Operation(
            "PUT", "/subscriptions/{id}", "subscriptions", "subscription", zoho_id
        )
        return self._written(operation, _read(RemoteSubscription), permit, payload)

    def cancel_subscription(
        self, zoho_id: str, *, at_end: bool, permit: Permit
    ) -> RemoteSubscription:
        """End it with its term (`non_renewing`), or at once (`cancelled`)."""
        operation = Operation(
            "POST",
            "/subscriptions/{id}/cancel",
            "subscriptions",
            "subscription",
            zoho_id,
            query={"cancel_at_end": "true" if at_end else "false"},
        )
        return self._written(operation, _read(RemoteSubscription), permit)

    def reactivate_subscription(self, zoho_id: str, *, permit: Permit) -> RemoteSubscription:
        """Take back a cancellation at the end of the term; from `non_renewing` only."""
        operation = Operation(
            "POST", "/subscriptions/{id}/reactivate", "subscriptions", "subscription", zoho_id
        )
        return self._written(operation, _read(RemoteSubscription), permit)

    # --------------------------------------------------------------------------------- invoices

    def list_invoices(
        self, page: int, *, newest_first: bool = False, subscription_zoho_id: str | None = None
    ) -> Page[RemoteInvoice]:
        """Read one page of invoices of any status, oldest first unless told otherwise."""
        query = {"filter_by": "Status.All", **_by_age(newest_first=newest_first)}
        if subscription_zoho_id:
            query["subscription_id"] = subscription_zoho_id
        return self._page("invoices", page, query, _read(RemoteInvoice))

    def get_invoice(self, zoho_id: str) -> RemoteInvoice:
        """Read one invoice with lines and payments, which no index delays."""
        operation = Operation("GET", "/invoices/{id}", "invoices", "invoice", zoho_id)
        return self._one(operation, _read(RemoteInvoice))

    def create_invoice(self, payload: dict[str, Any], *, permit: Permit) -> RemoteInvoice:
        """Make a draft under our own number, which the server keeps unique; mails nobody."""
        operation = Operation(
            "POST", "/invoices", "invoices", "invoice", query={**OWN_NUMBER, **UNSENT}
        )
        return self._written(operation, _read(RemoteInvoice), permit, payload)

    def update_invoice(
        self, zoho_id: str, payload: dict[str, Any], *, permit: Permit
    ) -> RemoteInvoice:
        """Change an invoice; its lines are those that are sent, and no others."""
        operation = Operation(
            "PUT", "/invoices/{id}", "invoices", "invoice", zoho_id, query=OWN_NUMBER
        )
        return self._written(operation, _read(RemoteInvoice), permit, payload)

    def open_invoice(self, zoho_id: str, *, permit: Permit) -> None:
        """Make a draft an issued invoice, by the documented one of three routes; mails nobody."""
        operation = Operation("POST", "/invoices/{id}/converttoopen", "invoices", path_id=zoho_id)
        self._calls.write(operation, permit)

    def void_invoice(self, zoho_id: str, *, permit: Permit) -> None:
        """Void an open invoice. What was paid on it would become the customer's credit."""
        operation = Operation("POST", "/invoices/{id}/void", "invoices", path_id=zoho_id)
        self._calls.write(operation, permit)

    def delete_invoice(self, zoho_id: str, *, permit: Permit) -> None:
        """Delete an invoice; its number is free again."""
        operation = Operation("DELETE", "/invoices/{id}", "invoices", path_id=zoho_id)
        self._calls.write(operation, permit)

    # --------------------------------------------------------------------------------- payments

    def get_payment(self, zoho_id: str) -> RemotePayment:
        """Read one payment with its shares."""
        operation = Operation("GET", "/payments/{id}", "payments", "payment", zoho_id)
        return self._one(operation, _read(RemotePayment))

    def create_payment(self, payload: dict[str, Any], *, permit: Permit) -> RemotePayment:
        """Record a payment. Not idempotent: nothing of a payment is unique there."""
        operation = Operation("POST", "/payments", "payments", "payment")
        return self._written(operation, _read(RemotePayment), permit, payload)

    def update_payment(
        self, zoho_id: str, payload: dict[str, Any], *, permit: Permit
    ) -> RemotePayment:
        """Write the whole payment anew: it is applied to the invoices that are sent, no others."""
        operation = Operation("PUT", "/payments/{id}", "payments", "payment", zoho_id)
        return self._written(operation, _read(RemotePayment), permit, payload)

    def delete_payment(self, zoho_id: str, *, permit: Permit) -> None:
        """Take a payment out; its invoices are open again."""
        operation = Operation("DELETE", "/payments/{id}", "payments", path_id=zoho_id)
        self._calls.write(operation, permit)

    def list_transactions(self, customer_zoho_id: str, page: int) -> Page[RemoteTransaction]:
        """Read one page of a customer's transactions, which need the customers' scope.

        :raises ValueError: no customer is named; Zoho would answer with everybody's.
        """
        if not customer_zoho_id.strip():
            raise ValueError("transactions of no customer")
        query = {"customer_id": customer_zoho_id, "filter_by": "TransactionType.All"}
        read_row = _read(RemoteTransaction)
        return self._page("transactions", page, query, read_row, module="customers")

    # ------------------------------------------------------------------- what entities have alike

    def _page[Row](
        self,
        name: str,
        page: int,
        query: Mapping[str, str],
        read_row: Callable[[object], Row],
        *,
        module: str | None = None,
    ) -> Page[Row]:
        paged = {**query, "page": str(page), "per_page": str(ROWS_PER_PAGE)}
        operation = Operation("GET", f"/{name}", module or name, name, query=paged)
        return page_of(self._calls.read(operation), name, read_row)

    def _one[Record](self, operation: Operation, read_one: Callable[[object], Record]) -> Record:
        return read_one(self._calls.read(operation).get(operation.envelope))

    def _written[Record](
        self,
        operation: Operation,
        read_one: Callable[[object], Record],
        permit: Permit,
        payload: Mapping[str, Any] | None = None,
    ) -> Record:
        envelope = self._calls.write(operation, permit, payload)
        try:
            return read_one(envelope.get(operation.envelope))
        except Unavailable:
            # It was done, but as what? Without an id only a proof can tell.
            raise OutcomeUnknown(
                "Zoho confirmed the write in words that could not be read.", zoho_code=0
            ) from None

    def _subscription(self, path: str, zoho_id: str) -> RemoteSubscription:
        operation = Operation("GET", path, "subscriptions", "subscription", zoho_id)
        return self._one(operation, _read(RemoteSubscription))

    def _customer(self, row: object) -> RemoteCustomer:
        if not isinstance(row, dict):
            raise Unavailable("Zoho's answer holds no customer.")
        try:
            return RemoteCustomer.read(row, self._account_number_label)
        except ValidationError as error:
            raise unreadable(error) from None


def _by_age(*, newest_first: bool) -> dict[str, str]:
    """Ask for the order of making; pages shift least under rows that are added at the end."""
    return {"sort_column": "created_time", "sort_order": "D" if newest_first else "A"}


def _read[Record: BaseModel](model: type[Record]) -> Callable[[object], Record]:
    return lambda row: read_as(model, row)
