"""A customer's books and its payments in Zoho, in memory, as the payments' rules ask for them.

Each part has the methods that the rules call; that Zoho itself answers so is held to its contract
with fake Zoho (tests/integration/test_payments.py).
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, cast
from zoneinfo import ZoneInfo

from billing_sync.domain.errors import GoneInZoho
from billing_sync.domain.ownership import Ownership
from billing_sync.domain.payments import PaymentMode, PaymentWay, PaymentWays
from billing_sync.domain.remote import RemoteInvoice, RemotePayment, RemoteTransaction
from billing_sync.domain.source import Customer, Invoice, Payment, PaymentAllocation
from billing_sync.domain.states import EntityType, State
from billing_sync.domain.tax import MoneyRules, Prices, Rounding, Taxes
from billing_sync.ports import BillingApi, Page, Permit, RecordKey, RecordView, SyncRecords
from billing_sync.ports import Source as SourcePort
from billing_sync.services.money_rules import OrganisationMoney
from billing_sync.services.payments import PaymentRules

COMPLETED = datetime(2025, 1, 10, 9, tzinfo=UTC)
RULES = MoneyRules(
    "ZAR", ZoneInfo("Africa/Johannesburg"), Prices.INCLUSIVE, Rounding.LINE, Taxes({})
)
WAYS = PaymentWays((PaymentWay("netcash", "eft", PaymentMode.BANK_TRANSFER, "900"),))


@dataclass
class Books:
    """Our own rows, by id (`ports.Source`)."""

    customers: dict[str, Customer] = field(default_factory=dict)
    invoices: dict[str, Invoice] = field(default_factory=dict)
    payments: dict[str, Payment] = field(default_factory=dict)
    shares: list[PaymentAllocation] = field(default_factory=list)

    def add_customer(self, customer_id: str, **columns: Any) -> None:
        row = {"id": customer_id, "updated_at": COMPLETED, **columns}
        self.customers[customer_id] = Customer.model_validate(row)

    def add_invoice(self, invoice_id: str, customer_id: str = "3", **columns: Any) -> None:
        row = {
            "id": invoice_id,
            "updated_at": COMPLETED,
            "customer_id": customer_id,
            "invoice_type": "installation",
            "invoice_date": "2025-01-05",
            "total_amount": Decimal(459),
            "status": "sent",
        }
        self.invoices[invoice_id] = Invoice.model_validate(row | columns)

    def add_payment(self, payment_id: str, **columns: Any) -> None:
        row = {
            "id": payment_id,
            "updated_at": COMPLETED,
            "transaction_id": f"TX-{payment_id}",
            "provider": "netcash",
            "amount": Decimal("459.00"),
            "status": "completed",
            "payment_method": "eft",
            "customer_id": "3",
            "invoice_id": "12",
            "completed_at": COMPLETED + timedelta(days=int(payment_id) - 40),
        }
        self.payments[payment_id] = Payment.model_validate(row | columns)

    def share(self, payment_id: str, invoice_id: str, amount: str | None) -> None:
        row = {"payment_id": payment_id, "invoice_id": invoice_id, "amount": amount}
        self.shares.append(PaymentAllocation.model_validate(row))

    # ------------------------------------------------------------------------------ the port

    def customer(self, customer_id: str) -> Customer | None:
        return self.customers.get(customer_id)

    def invoice(self, invoice_id: str) -> Invoice | None:
        return self.invoices.get(invoice_id)

    def payment(self, payment_id: str) -> Payment | None:
        return self.payments.get(payment_id)

    def completed_payments_on(self, invoice_id: str) -> list[Payment]:
        return [
            payment
            for payment in self.payments.values()
            if payment.invoice_id == invoice_id and payment.status == "completed"
        ]

    def allocations(self, payment_id: str) -> list[PaymentAllocation]:
        return [share for share in self.shares if share.payment_id == payment_id]


@dataclass
class Records:
    """The sync records of the parents, and who holds which of Zoho's ids (`ports.SyncRecords`)."""

    known: dict[RecordKey, RecordView] = field(default_factory=dict)
    held: dict[str, str] = field(default_factory=dict)

    def put(
        self,
        entity: EntityType,
        entity_id: str,
        *,
        zoho_id: str | None = None,
        state: State = State.SYNCED,
        sentence: str | None = None,
        removed: bool = False,
    ) -> None:
        key = RecordKey(entity, entity_id)
        self.known[key] = RecordView(
            record=key,
            state=state,
            zoho_id=zoho_id,
            code=None,
            field=None,
            sentence=sentence,
            candidates=(),
            attempt_number=0,
            next_attempt_at=None,
            confirmed_fingerprint=None,
            attempted_fingerprint=None,
            confirmed_fields={},
            source_version=None,
            signals_waiting=False,
            how=None,
            removed=removed,
        )

    def view(self, record: RecordKey) -> RecordView | None:
        return self.known.get(record)

    def views(self, entity: EntityType, ids: Sequence[str]) -> dict[str, RecordView]:
        found = ((one, self.known.get(RecordKey(entity, one))) for one in ids)
        return {one: view for one, view in found if view is not None}

    def holders(self, entity: EntityType, zoho_ids: Sequence[str]) -> dict[str, str]:
        assert entity is EntityType.PAYMENT
        return {one: self.held[one] for one in zoho_ids if one in self.held}


@dataclass
class Zoho:
    """What Zoho holds, by id (`ports.BillingApi`). `calls` names what was asked, in its order.

    `on[call]` is run as that call begins: somebody else may do something in that very moment.
    """

    invoices: dict[str, RemoteInvoice] = field(default_factory=dict)
    payments: dict[str, RemotePayment] = field(default_factory=dict)
    pages: list[Page[RemoteTransaction]] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    on: dict[str, Callable[[], object]] = field(default_factory=dict)
    sent: list[dict[str, Any]] = field(default_factory=list)

    @property
    def counts(self) -> Counter[str]:
        return Counter(self.calls)

    def put_invoice(self, zoho_id: str, balance: str | None, *payments: RemotePayment) -> None:
        rows = [
            {
                "payment_id": payment.zoho_id,
                "reference_number": payment.reference_number,
                "amount": payment.amount,
            }
            for payment in payments
        ]
        self.invoices[zoho_id] = RemoteInvoice.model_validate(
            {"invoice_id": zoho_id, "balance": balance, "payments": rows}
        )

    def put_payment(
        self,
        zoho_id: str,
        reference: str = "",
        amount: str = "459",
        applied: dict[str, str] | None = None,
        **columns: Any,
    ) -> RemotePayment:
        rows = [
            {"invoice_id": invoice_id, "amount_applied": each}
            for invoice_id, each in (applied or {}).items()
        ]
        payment = self.payments[zoho_id] = RemotePayment.model_validate(
            {
                "payment_id": zoho_id,
                "customer_id": "300",
                "reference_number": reference,
                "amount": amount,
                "invoices": rows,
                **columns,
            }
        )
        return payment

    def list_on_page(self, *rows: dict[str, str], has_more: bool = False) -> None:
        """Add a page to the customer's transactions."""
        read = (RemoteTransaction.model_validate({"type": "payment"} | row) for row in rows)
        self.pages.append(Page(tuple(read), has_more))

    # ------------------------------------------------------------------------------ the port

    def make_ready(self) -> None:
        self.calls.append("make_ready")

    def get_invoice(self, zoho_id: str) -> RemoteInvoice:
        self._called("get_invoice")
        return self._there(self.invoices, zoho_id)

    def get_payment(self, zoho_id: str) -> RemotePayment:
        self._called("get_payment")
        return self._there(self.payments, zoho_id)

    def list_transactions(self, customer_zoho_id: str, page: int) -> Page[RemoteTransaction]:
        assert customer_zoho_id == "300"
        self._called("list_transactions")
        return self.pages[page - 1]

    def create_payment(self, payload: dict[str, Any], *, permit: Permit) -> RemotePayment:  # noqa: ARG002 - of the port
        self._called("create_payment")
        return self._keep("777", payload)

    def update_payment(
        self,
        zoho_id: str,
        payload: dict[str, Any],
        *,
        permit: Permit,  # noqa: ARG002 - of the port
    ) -> RemotePayment:
        self._called("update_payment")
        self._there(self.payments, zoho_id)
        return self._keep(zoho_id, payload)

    def delete_payment(self, zoho_id: str, *, permit: Permit) -> None:  # noqa: ARG002 - of the port
        self._called("delete_payment")
        self._there(self.payments, zoho_id)
        del self.payments[zoho_id]

    def _keep(self, zoho_id: str, payload: dict[str, Any]) -> RemotePayment:
        self.sent.append(payload)
        kept = self.payments[zoho_id] = RemotePayment.model_validate(
            {"payment_id": zoho_id, "status": "success", **payload}
        )
        return kept

    def _called(self, call: str) -> None:
        self.calls.append(call)
        if call in self.on:
            self.on[call]()

    @staticmethod
    def _there[Row](rows: dict[str, Row], zoho_id: str) -> Row:
        if zoho_id not in rows:
            raise GoneInZoho("not there", http_status=404, zoho_code=1002)
        return rows[zoho_id]


class Money:
    """The rules of money of an organisation that preflight has seen (`OrganisationMoney`)."""

    def rules(self) -> MoneyRules:
        return RULES


@dataclass
class Case:
    """Customer 3 with invoice 12 of 459.00 and payment 40 on it; its parents are in Zoho."""

    books: Books = field(default_factory=Books)
    records: Records = field(default_factory=Records)
    zoho: Zoho = field(default_factory=Zoho)

    def __post_init__(self) -> None:
        self.books.add_customer("3")
        self.records.put(EntityType.CUSTOMER, "3", zoho_id="300")
        self.add_invoice("12", zoho_id="600")
        self.books.add_payment("40")

    def add_invoice(self, invoice_id: str, *, zoho_id: str, **columns: Any) -> None:
        """Add an invoice that is in Zoho, opened and unpaid."""
        self.books.add_invoice(invoice_id, **columns)
        self.records.put(EntityType.INVOICE, invoice_id, zoho_id=zoho_id)
        self.zoho.put_invoice(zoho_id, "459.00")

    def rules(
        self, ownership: Ownership | None = None, ways: PaymentWays | None = None
    ) -> PaymentRules:
        return PaymentRules(
            cast(SourcePort, self.books),
            cast(BillingApi, self.zoho),
            cast(SyncRecords, self.records),
            cast(OrganisationMoney, Money()),
            ways or WAYS,
            ownership or Ownership(),
        )
