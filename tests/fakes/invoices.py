"""One customer's books and what Zoho holds of them, in memory, as the invoices' rules ask.

Each part has the methods that the rules call; that Zoho itself answers so is held to its contract
with fake Zoho (tests/integration/test_invoices.py).
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, cast
from zoneinfo import ZoneInfo

from billing_sync.domain.errors import CallFailed, GoneInZoho
from billing_sync.domain.invoices import DRAFT, Linking
from billing_sync.domain.ownership import Ownership
from billing_sync.domain.remote import RemoteInvoice
from billing_sync.domain.source import Customer, Invoice, Service
from billing_sync.domain.states import EntityType, State
from billing_sync.domain.tax import MoneyRules, Prices, Rounding, Taxes, TaxKind, TaxRate
from billing_sync.ports import (
    BillingApi,
    Organisations,
    Page,
    Permit,
    RecordKey,
    RecordView,
    Snapshots,
    SnapshotView,
    SyncRecords,
)
from billing_sync.ports import Source as SourcePort
from billing_sync.services.invoices import InvoiceRules
from billing_sync.services.money_rules import OrganisationMoney
from billing_sync.services.take_rows import TakeRows

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
ZONE = ZoneInfo("Africa/Johannesburg")
HOUR = 3600.0
DAY = 24 * HOUR
RULES = MoneyRules(
    "ZAR",
    ZONE,
    Prices.INCLUSIVE,
    Rounding.LINE,
    Taxes(
        {
            TaxKind.STANDARD: TaxRate("77", "Standard Rate", Decimal(15)),
            TaxKind.ZERO: TaxRate("78", "Zero Rate", Decimal(0)),
        }
    ),
)
CUSTOMER = RecordKey(EntityType.CUSTOMER, "3")
SUBSCRIPTION = RecordKey(EntityType.SUBSCRIPTION, "8")
INVOICE = RecordKey(EntityType.INVOICE, "12")


@dataclass
class Books:
    """Our own rows, by id (`ports.Source`)."""

    customers: dict[str, Customer] = field(default_factory=dict)
    services: dict[str, Service] = field(default_factory=dict)
    invoices: dict[str, Invoice] = field(default_factory=dict)

    def customer(self, customer_id: str) -> Customer | None:
        return self.customers.get(customer_id)

    def service(self, service_id: str) -> Service | None:
        return self.services.get(service_id)

    def invoice(self, invoice_id: str) -> Invoice | None:
        return self.invoices.get(invoice_id)

    def invoices_of_service(self, service_id: str) -> list[Invoice]:
        return [each for each in self.invoices.values() if each.service_id == service_id]

    def same_number(self, number: str, invoice_id: str) -> list[str]:
        return [
            each.id
            for each in self.invoices.values()
            if each.invoice_number == number and each.id != invoice_id
        ]

    def our_numbers(self, numbers: Sequence[str]) -> set[str]:
        return {each.invoice_number or "" for each in self.invoices.values()} & set(numbers)


@dataclass
class Records:
    """The sync records that the rules look at (`ports.SyncRecords`)."""

    known: dict[RecordKey, RecordView] = field(default_factory=dict)
    held: dict[str, str] = field(default_factory=dict)
    sent: dict[RecordKey, list[dict[str, Any]]] = field(default_factory=dict)

    def put(
        self,
        record: RecordKey,
        zoho_id: str | None = None,
        state: State = State.SYNCED,
        *,
        spans: Sequence[Sequence[str | None]] = (),
        former: Sequence[str] = (),
    ) -> None:
        self.known[record] = RecordView(
            record=record,
            state=state,
            zoho_id=zoho_id,
            code=None,
            field=None,
            sentence=None,
            candidates=(),
            attempt_number=0,
            next_attempt_at=None,
            confirmed_fingerprint=None,
            attempted_fingerprint=None,
            confirmed_fields={},
            source_version=None,
            signals_waiting=False,
            how=None,
            facts={"spans": spans} if spans else {},
            former_zoho_ids=tuple(former),
        )

    def view(self, record: RecordKey) -> RecordView | None:
        return self.known.get(record)

    def holders(self, entity: EntityType, zoho_ids: Sequence[str]) -> dict[str, str]:
        assert entity is EntityType.INVOICE
        return {one: self.held[one] for one in zoho_ids if one in self.held}

    def sent_figures(self, record: RecordKey) -> list[dict[str, Any]]:
        return self.sent.get(record, [])


@dataclass
class Zoho:
    """Zoho's invoices, by id (`ports.BillingApi`). `calls` names what was asked, in its order.

    Lists show no tax and no lines, no answer names a subscription (but `list_of_one` heeds it,
    unless it `ignores_filters`); `refuses[call]` is raised instead of an answer.
    """

    invoices: dict[str, RemoteInvoice] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    sent: list[dict[str, Any]] = field(default_factory=list)
    refuses: dict[str, CallFailed] = field(default_factory=dict)
    billed_by: dict[str, str] = field(default_factory=dict)
    ignores_filters: bool = False

    def put(self, zoho_id: str, **fields: Any) -> RemoteInvoice:
        """Put an invoice there: without fields, invoice 12 as it is when it was made and opened."""
        invoice = self.invoices[zoho_id] = RemoteInvoice.model_validate(
            {
                "invoice_id": zoho_id,
                "number": "INV-2026-00012",
                "invoice_date": "2026-02-10",
                "due_date": "2026-02-17",
                "customer_id": "300",
                "currency_code": "ZAR",
                "status": "sent",
                "sub_total": Decimal("1000.00"),
                "tax_total": Decimal("150.00"),
                "total": Decimal("1150.00"),
                "balance": Decimal("1150.00"),
                "created_time": NOW.isoformat(),
            }
            | fields
        )
        return invoice

    def raise_invoice(self, zoho_id: str, subscription_id: str, **fields: Any) -> RemoteInvoice:
        """Put an invoice there as a subscription raises it: 459.00 on the first of March."""
        self.billed_by[zoho_id] = subscription_id
        return self.put(
            zoho_id,
            **{
                "number": f"INV-0000{zoho_id}",
                "invoice_date": "2026-03-01",
                "sub_total": Decimal("399.13"),
                "tax_total": Decimal("59.87"),
                "total": Decimal("459.00"),
                "balance": Decimal("459.00"),
            }
            | fields,
        )

    # ------------------------------------------------------------------------------ the port

    def make_ready(self) -> None:
        self.calls.append("make_ready")

    def list_invoices(
        self, page: int, *, newest_first: bool = False, subscription_zoho_id: str | None = None
    ) -> Page[RemoteInvoice]:
        assert page == 1
        rows = tuple(as_row(each) for each in self.invoices.values())
        if subscription_zoho_id is None:
            self._called("list_newest" if newest_first else "list")
        else:
            self._called("list_of_one")
            rows = tuple(
                row
                for row in rows
                if self.ignores_filters or self.billed_by.get(row.zoho_id) == subscription_zoho_id
            )
        return Page(rows, has_more=False)

    def get_invoice(self, zoho_id: str) -> RemoteInvoice:
        self._called("get")
        return self._there(zoho_id)

    def create_invoice(self, payload: dict[str, Any], *, permit: Permit) -> RemoteInvoice:  # noqa: ARG002 - of the port
        self._called("create")
        self.sent.append(payload)
        return self.put("601", status=DRAFT)

    def update_invoice(
        self,
        zoho_id: str,
        payload: dict[str, Any],
        *,
        permit: Permit,  # noqa: ARG002 - of the port
    ) -> RemoteInvoice:
        self._called("update")
        self.sent.append(payload)
        return self._there(zoho_id)

    def open_invoice(self, zoho_id: str, *, permit: Permit) -> None:  # noqa: ARG002 - of the port
        self._called("open")
        self._become(zoho_id, "sent")

    def void_invoice(self, zoho_id: str, *, permit: Permit) -> None:  # noqa: ARG002 - of the port
        self._called("void")
        self._become(zoho_id, "void")

    def delete_invoice(self, zoho_id: str, *, permit: Permit) -> None:  # noqa: ARG002 - of the port
        self._called("delete")
        del self.invoices[zoho_id]

    def _become(self, zoho_id: str, status: str) -> None:
        self.invoices[zoho_id] = self._there(zoho_id).model_copy(update={"status": status})

    def _there(self, zoho_id: str) -> RemoteInvoice:
        if zoho_id not in self.invoices:
            raise GoneInZoho("not there", http_status=404, zoho_code=1002)
        return self.invoices[zoho_id]

    def _called(self, call: str) -> None:
        self.calls.append(call)
        if call in self.refuses:
            raise self.refuses[call]


def as_row(invoice: RemoteInvoice) -> RemoteInvoice:
    """Show an invoice as a list does."""
    return invoice.model_copy(update={"sub_total": None, "tax_total": None, "items": ()})


@dataclass
class FakeSnapshots:
    """One complete snapshot of the invoices at most, `age_seconds` old (`ports.Snapshots`)."""

    age_seconds: float | None = None
    renewed_seconds: float = 0.0
    rows: dict[str, RemoteInvoice] = field(default_factory=dict)
    _ids: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))
    _snapshot_id: int = 0

    def take(self, zoho: Zoho, age_seconds: float = 0.0) -> None:
        """Have a snapshot of what is in Zoho now."""
        self._snapshot_id = next(self._ids)
        self.age_seconds = self.renewed_seconds = age_seconds
        self.rows = {zoho_id: as_row(each) for zoho_id, each in zoho.invoices.items()}

    def latest(self, entity: EntityType, *, complete: bool) -> SnapshotView | None:
        assert entity is EntityType.INVOICE
        if self.age_seconds is None or not complete:
            return None
        began = NOW - timedelta(seconds=self.age_seconds)
        return SnapshotView(
            self._snapshot_id, 2, True, True, self.age_seconds, 1, began, self.renewed_seconds
        )

    def begin(self, entity: EntityType, *, instead_of: int | None) -> SnapshotView:
        assert instead_of is None
        self._snapshot_id = next(self._ids)
        self.rows = {}
        self.age_seconds = self.renewed_seconds = 0.0
        begun = self.latest(entity, complete=True)
        assert begun is not None
        return replace(begun, next_page=1, pages_complete=False, complete=False)

    def store_rows(
        self,
        _entity: EntityType,
        snapshot_id: int,
        _page: int,
        rows: Sequence[RemoteInvoice],
        *,
        is_last: bool,
    ) -> None:
        assert is_last
        assert snapshot_id == self._snapshot_id
        self.rows |= {row.zoho_id: row for row in rows}

    def renew_rows(
        self,
        _entity: EntityType,
        snapshot_id: int,
        rows: Sequence[RemoteInvoice],
        *,
        renewed: bool = False,
    ) -> None:
        assert snapshot_id == self._snapshot_id
        self.rows |= {row.zoho_id: row for row in rows}
        if renewed:
            self.renewed_seconds = 0.0

    def complete(self, _entity: EntityType, snapshot_id: int) -> None:
        assert snapshot_id == self._snapshot_id

    def invoices(
        self,
        snapshot_id: int,
        *,
        zoho_ids: Sequence[str] = (),
        numbers: Sequence[str] = (),
        customer_zoho_ids: Sequence[str] = (),
    ) -> list[RemoteInvoice]:
        assert snapshot_id == self._snapshot_id
        return [
            row
            for row in self.rows.values()
            if row.zoho_id in zoho_ids
            or row.number in numbers
            or row.customer_id in customer_zoho_ids
        ]


@dataclass
class Calendar:
    """The organisation's day (`ports.Organisations`)."""

    day: date = date(2026, 3, 2)

    def today(self) -> date:
        return self.day

    def time_zone(self) -> ZoneInfo:
        return ZONE


class Money:
    """The rules of money of an organisation that preflight has seen (`OrganisationMoney`)."""

    def rules(self) -> MoneyRules:
        return RULES


@dataclass
class Case:
    """Customer 3, in Zoho as 300, with one-off invoice 12, and service 8, subscription 500 there.

    The subscription bills from the first of March; `add_recurring` adds the invoice of a month.
    """

    books: Books = field(default_factory=Books)
    records: Records = field(default_factory=Records)
    zoho: Zoho = field(default_factory=Zoho)
    snapshots: FakeSnapshots = field(default_factory=FakeSnapshots)
    calendar: Calendar = field(default_factory=Calendar)

    def __post_init__(self) -> None:
        self.add_customer()
        self.records.put(CUSTOMER, "300")
        self.add_service()
        self.records.put(SUBSCRIPTION, "500", spans=[["2026-03-01", None]])
        self.add_invoice()

    def add_customer(self, **columns: Any) -> None:
        row = {"id": "3", "updated_at": NOW, **columns}
        self.books.customers["3"] = Customer.model_validate(row)

    def add_service(self, service_id: str = "8", **columns: Any) -> None:
        row = {
            "id": service_id,
            "updated_at": NOW,
            "customer_id": "3",
            "package_id": "4",
            "monthly_price": Decimal("459.00"),
            "status": "active",
            "activation_date": date(2025, 6, 1),
            "billing_day": 1,
        }
        self.books.services[service_id] = Service.model_validate(row | columns)

    def add_invoice(self, invoice_id: str = "12", **columns: Any) -> None:
        row = {
            "id": invoice_id,
            "updated_at": NOW,
            "customer_id": "3",
            "invoice_number": f"INV-2026-000{invoice_id}",
            "invoice_type": "equipment",
            "invoice_date": date(2026, 2, 10),
            "due_date": date(2026, 2, 17),
            "subtotal": Decimal("1000.00"),
            "tax_amount": Decimal("150.00"),
            "total_amount": Decimal("1150.00"),
            "status": "sent",
            "line_items": [{"name": "Router", "unit_price": Decimal("1150.00"), "quantity": 1}],
        }
        self.books.invoices[invoice_id] = Invoice.model_validate(row | columns)

    def add_recurring(
        self, invoice_id: str, first: date = date(2026, 3, 1), **columns: Any
    ) -> None:
        row = {
            "invoice_type": "recurring",
            "service_id": "8",
            "invoice_date": first,
            "due_date": first + timedelta(days=7),
            "period_start": first,
            "period_end": first + timedelta(days=27),
            "subtotal": Decimal("399.13"),
            "tax_amount": Decimal("59.87"),
            "total_amount": Decimal("459.00"),
            "line_items": None,
        }
        self.add_invoice(invoice_id, **(row | columns))

    def rules(self, ownership: Ownership | None = None) -> InvoiceRules:
        """Give the rules of a new process."""
        snapshots = cast(Snapshots, self.snapshots)
        api = cast(BillingApi, self.zoho)
        return InvoiceRules(
            cast(SourcePort, self.books),
            snapshots,
            api,
            cast(SyncRecords, self.records),
            cast(Organisations, self.calendar),
            cast(OrganisationMoney, Money()),
            ownership or Ownership(),
            Linking(),
            TakeRows(
                EntityType.INVOICE,
                lambda page, newest_first: api.list_invoices(page, newest_first=newest_first),
                snapshots,
                max_age_seconds=DAY,
            ),
            hour_seconds=HOUR,
        )
