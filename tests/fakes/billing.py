"""The catalogue and the subscriptions of both sides, in memory, as their rules ask for them.

Each part has the methods that the rules call; that Zoho itself answers so is held to its contract
with fake Zoho (tests/integration/test_subscriptions.py).
"""

# ruff: noqa: ARG002 - of the ports' methods; these parts need not look at every argument

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, cast
from zoneinfo import ZoneInfo

from billing_sync.domain.catalogue import ProductNames
from billing_sync.domain.errors import GoneInZoho, Misconfigured
from billing_sync.domain.ownership import Ownership
from billing_sync.domain.remote import (
    RemoteInvoice,
    RemotePlan,
    RemoteProduct,
    RemoteSubscription,
    Tax,
)
from billing_sync.domain.source import Customer, Invoice, Package, Service
from billing_sync.domain.states import EntityType, State
from billing_sync.domain.tax import Prices, Rounding, TaxKind, TaxSetting
from billing_sync.ports import (
    BillingApi,
    Intent,
    Organisations,
    Page,
    Permit,
    RecordKey,
    RecordView,
    Snapshots,
    SnapshotView,
    SyncRecords,
    Write,
)
from billing_sync.ports import Source as SourcePort
from billing_sync.services.catalogue import PlanRules, ProductRules
from billing_sync.services.money_rules import OrganisationMoney
from billing_sync.services.rules import Do, Remote, Source, Step
from billing_sync.services.subscriptions import SubscriptionRules
from billing_sync.services.take_rows import TakeRows

JOHANNESBURG = ZoneInfo("Africa/Johannesburg")
CHANGED = datetime(2025, 1, 1, tzinfo=UTC)
NOW = datetime(2025, 1, 20, 8, tzinfo=UTC)
STANDARD = TaxSetting(TaxKind.STANDARD, "Standard Rate", Decimal(15))
ROWS_PER_PAGE = 2


@dataclass
class Books:
    """Our own rows, by id (`ports.Source`)."""

    customer_rows: dict[str, Customer] = field(default_factory=dict)
    package_rows: dict[str, Package] = field(default_factory=dict)
    service_rows: dict[str, Service] = field(default_factory=dict)
    invoice_rows: list[Invoice] = field(default_factory=list)

    def put_customer(self, **columns: Any) -> None:
        row = Customer.model_validate({"id": "3", "updated_at": CHANGED} | columns)
        self.customer_rows[row.id] = row

    def put_package(self, **columns: Any) -> None:
        row: dict[str, Any] = {
            "id": "9",
            "updated_at": CHANGED,
            "sku": "SKY-START-10",
            "name": "SkyFibre Starter",
            "service_type": "fibre",
            "price": Decimal("459.00"),
        }
        package = Package.model_validate(row | columns)
        self.package_rows[package.id] = package

    def put_service(self, **columns: Any) -> None:
        row: dict[str, Any] = {
            "id": "7",
            "updated_at": CHANGED,
            "customer_id": "3",
            "package_id": "9",
            "monthly_price": Decimal("459.00"),
            "status": "active",
            "activation_date": date(2024, 6, 1),
            "billing_day": 1,
        }
        service = Service.model_validate(row | columns)
        self.service_rows[service.id] = service

    def put_invoice(self, **columns: Any) -> None:
        row = {"id": "1", "updated_at": CHANGED, "customer_id": "3", "service_id": "7"}
        self.invoice_rows.append(Invoice.model_validate(row | {"status": "sent"} | columns))

    # ------------------------------------------------------------------------------ the port

    def customer(self, customer_id: str) -> Customer | None:
        return self.customer_rows.get(customer_id)

    def package(self, package_id: str) -> Package | None:
        return self.package_rows.get(package_id)

    def packages(self) -> list[Package]:
        return list(self.package_rows.values())

    def service(self, service_id: str) -> Service | None:
        return self.service_rows.get(service_id)

    def invoices_of_service(self, service_id: str) -> list[Invoice]:
        return [invoice for invoice in self.invoice_rows if invoice.service_id == service_id]


@dataclass
class Records:
    """What is known of records, and who holds which of Zoho's ids (`ports.SyncRecords`)."""

    known: dict[RecordKey, RecordView] = field(default_factory=dict)

    def put(
        self,
        entity: EntityType,
        entity_id: str,
        zoho_id: str | None = None,
        *,
        state: State = State.SYNCED,
        former: Sequence[str] = (),
        facts: dict[str, Any] | None = None,
    ) -> None:
        key = RecordKey(entity, entity_id)
        self.known[key] = RecordView(
            record=key,
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
            former_zoho_ids=tuple(former),
            facts=facts or {},
        )

    def view(self, record: RecordKey) -> RecordView | None:
        return self.known.get(record)

    def holders(self, entity: EntityType, zoho_ids: Sequence[str]) -> dict[str, str]:
        return {
            view.zoho_id: key.entity_id
            for key, view in self.known.items()
            if key.entity is entity and view.zoho_id is not None and view.zoho_id in zoho_ids
        }


@dataclass
class Calendar:
    """The organisation, on a day of the test's choice (`ports.Organisations`)."""

    day: date = date(2025, 1, 20)
    tax_rows: list[Tax] = field(
        default_factory=lambda: [
            Tax(tax_id="77", name="Standard Rate", percentage=Decimal(15)),
        ]
    )
    preflight_ran: bool = True
    reads: int = 0

    def currency(self) -> str:
        self.reads += 1
        if not self.preflight_ran:
            raise Misconfigured("run preflight first", code="preflight_never_ran")
        return "ZAR"

    def time_zone(self) -> ZoneInfo:
        return JOHANNESBURG

    def price_precision(self) -> int:
        return 2

    def taxes(self) -> list[Tax]:
        return self.tax_rows

    def today(self) -> date:
        return self.day


@dataclass
class Rows:
    """Snapshots of Zoho's subscriptions; None is what was never taken (`ports.Snapshots`)."""

    taken: list[RemoteSubscription] | None = field(default_factory=list)
    age_seconds: float = 0.0

    def latest(self, entity: EntityType, *, complete: bool) -> SnapshotView | None:
        assert entity is EntityType.SUBSCRIPTION
        if self.taken is None or not complete:
            return None
        return SnapshotView(1, 1, True, True, self.age_seconds, 1, NOW)

    def begin(self, entity: EntityType, *, instead_of: int | None) -> SnapshotView:
        assert entity is EntityType.SUBSCRIPTION
        assert instead_of is None
        self.taken, self.age_seconds = [], 0.0
        return SnapshotView(1, 1, False, False, 0.0, 0, NOW)

    def store_rows(
        self,
        entity: EntityType,
        snapshot_id: int,
        page: int,
        rows: Sequence[RemoteSubscription],
        *,
        is_last: bool,
    ) -> None:
        assert self.taken is not None
        self.taken.extend(rows)

    def complete(self, entity: EntityType, snapshot_id: int) -> None:
        assert self.taken is not None

    def subscriptions(
        self,
        snapshot_id: int,
        *,
        zoho_ids: Sequence[str] = (),
        references: Sequence[str] = (),
        customer_zoho_ids: Sequence[str] = (),
    ) -> list[RemoteSubscription]:
        assert self.taken is not None
        return [
            row
            for row in self.taken
            if row.zoho_id in zoho_ids
            or row.reference_id in references
            or row.customer_id in customer_zoho_ids
        ]


@dataclass
class Zoho:
    """Zoho's side, two rows to a page; `calls` counts what was asked (`ports.BillingApi`).

    `sent` holds the bodies of writes by their call. A subscription that is made or changed is
    answered as `answers` says, else as it was before.
    """

    products: list[RemoteProduct] = field(default_factory=list)
    plans: dict[str, RemotePlan] = field(default_factory=dict)
    subscriptions: dict[str, RemoteSubscription] = field(default_factory=dict)
    invoices: dict[str, RemoteInvoice] = field(default_factory=dict)
    answers: list[RemoteSubscription] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)
    sent: dict[str, Any] = field(default_factory=dict)

    def make_ready(self) -> None:
        self.calls["make_ready"] += 1

    def list_products(self, page: int) -> Page[RemoteProduct]:
        self.calls["list_products"] += 1
        return _page(self.products, page)

    def get_product(self, zoho_id: str) -> RemoteProduct:
        self.calls["get_product"] += 1
        found = [product for product in self.products if product.zoho_id == zoho_id]
        return _there(found[0] if found else None)

    def create_product(self, payload: dict[str, Any], *, permit: Permit) -> RemoteProduct:
        self._write("create_product", payload)
        return RemoteProduct(zoho_id="501", **payload)

    def update_product(
        self, zoho_id: str, payload: dict[str, Any], *, permit: Permit
    ) -> RemoteProduct:
        self._write("update_product", payload)
        return RemoteProduct(zoho_id=zoho_id, **payload)

    def get_plan(self, code: str) -> RemotePlan:
        self.calls["get_plan"] += 1
        return _there(self.plans.get(code))

    def create_plan(self, payload: dict[str, Any], *, permit: Permit) -> RemotePlan:
        self._write("create_plan", payload)
        return RemotePlan.model_validate(payload)

    def update_plan(self, code: str, payload: dict[str, Any], *, permit: Permit) -> RemotePlan:
        self._write("update_plan", payload)
        return RemotePlan.model_validate(self.plans[code].model_dump() | payload)

    def list_subscriptions(
        self, page: int, *, newest_first: bool = False
    ) -> Page[RemoteSubscription]:
        self.calls["list_subscriptions"] += 1
        rows = sorted(
            self.subscriptions.values(),
            key=lambda row: row.created_time or NOW,
            reverse=newest_first,
        )
        # Rows of the list are flat: they show the amount of a term, and no price.
        return _page([row.model_copy(update={"price": None}) for row in rows], page)

    def get_subscription(self, zoho_id: str) -> RemoteSubscription:
        self.calls["get_subscription"] += 1
        return _there(self.subscriptions.get(zoho_id))

    def create_subscription(self, payload: dict[str, Any], *, permit: Permit) -> RemoteSubscription:
        self._write("create_subscription", payload)
        return self.answers.pop(0)

    def update_subscription(
        self, zoho_id: str, payload: dict[str, Any], *, permit: Permit
    ) -> RemoteSubscription:
        self._write("update_subscription", payload)
        return self._answer(zoho_id)

    def cancel_subscription(
        self, zoho_id: str, *, at_end: bool, permit: Permit
    ) -> RemoteSubscription:
        self._write("cancel_subscription", {"cancel_at_end": at_end})
        return self._answer(zoho_id)

    def reactivate_subscription(self, zoho_id: str, *, permit: Permit) -> RemoteSubscription:
        self._write("reactivate_subscription", {})
        return self._answer(zoho_id)

    def get_invoice(self, zoho_id: str) -> RemoteInvoice:
        self.calls["get_invoice"] += 1
        return _there(self.invoices.get(zoho_id))

    def _write(self, call: str, body: dict[str, Any]) -> None:
        self.calls[call] += 1
        self.sent[call] = body

    def _answer(self, zoho_id: str) -> RemoteSubscription:
        return self.answers.pop(0) if self.answers else self.subscriptions[zoho_id]


@dataclass
class Billing:
    """One provider and its Zoho, with the rules of the three entities between them."""

    prices: Prices = Prices.INCLUSIVE
    ownership: Ownership = field(default_factory=Ownership)
    books: Books = field(default_factory=Books)
    records: Records = field(default_factory=Records)
    calendar: Calendar = field(default_factory=Calendar)
    rows: Rows = field(default_factory=Rows)
    zoho: Zoho = field(default_factory=Zoho)

    def __post_init__(self) -> None:
        names = ProductNames("ISP: ")
        source = cast(SourcePort, self.books)
        api = cast(BillingApi, self.zoho)
        records = cast(SyncRecords, self.records)
        organisations = cast(Organisations, self.calendar)
        snapshots = cast(Snapshots, self.rows)
        self.money = OrganisationMoney(organisations, self.prices, Rounding.LINE, [STANDARD])
        self.products = ProductRules(source, api, records, names)
        self.plans = PlanRules(source, api, records, self.money, names)
        self.subscriptions = SubscriptionRules(
            source=source,
            snapshots=snapshots,
            api=api,
            records=records,
            organisations=organisations,
            money=self.money,
            ownership=self.ownership,
            rows=TakeRows(
                EntityType.SUBSCRIPTION,
                lambda page, newest: self.zoho.list_subscriptions(page, newest_first=newest),
                snapshots,
                max_age_seconds=60,
            ),
        )
        self.books.put_package()
        self.books.put_customer()
        self.books.put_service()
        self.records.put(EntityType.CUSTOMER, "3", "300")
        self.records.put(EntityType.PRODUCT, "fibre", "500")
        self.records.put(EntityType.PLAN, "9", "SKY-START-10")

    def service(self, **columns: Any) -> Source:
        """Change the service and read it."""
        self.books.put_service(**columns)
        source = self.subscriptions.read("7")
        assert source is not None
        return source

    def package(self, **columns: Any) -> Source:
        """Change the package and read it."""
        self.books.put_package(**columns)
        source = self.plans.read("9")
        assert source is not None
        return source

    def do(self, source: Source, step: Step, zoho_id: str) -> Remote:
        """Make the call that a step asks for, as the engine does."""
        assert isinstance(step, Do)
        write = Write(
            step.step, source.key, step.figures or source.figures, source.fingerprint, step.payload,
            zoho_id,
        )  # fmt: skip
        return self.subscriptions.send(write, PERMIT)


PERMIT = cast(Permit, None)
"""Zoho's side in memory asks for none."""


def create(source: Source) -> Write:
    """Give the write that makes what a source says."""
    return Write("create", source.key, source.figures, source.fingerprint, source.payload)


def lost(source: Source) -> Intent:
    """Give the intent of such a write, whose answer was lost."""
    return Intent(1, "create", "create", source.key, source.figures, source.fingerprint, None, NOW)


def _page[Row](rows: Sequence[Row], page: int) -> Page[Row]:
    start = (page - 1) * ROWS_PER_PAGE
    shown = tuple(rows[start : start + ROWS_PER_PAGE])
    return Page(shown, has_more=len(rows) > start + ROWS_PER_PAGE)


def _there[Row](found: Row | None) -> Row:
    if found is None:
        raise GoneInZoho("not there")
    return found
