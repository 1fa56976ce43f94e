"""A client on a fake Zoho without any database, and bodies as the domain makes them."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import httpx

from billing_sync.adapters.zoho.client import ZohoBilling, ZohoSettings
from billing_sync.domain.catalogue import ProductNames, read_package, read_product
from billing_sync.domain.invoices import read_invoice
from billing_sync.domain.ownership import Owner, Ownership
from billing_sync.domain.parents import CustomerInZoho
from billing_sync.domain.payments import (
    PaidInvoice,
    PaymentMode,
    PaymentWay,
    PaymentWays,
    Share,
    read_payment,
)
from billing_sync.domain.reading import Sendable
from billing_sync.domain.source import Invoice, Package, Payment, Service
from billing_sync.domain.subscriptions import read_service
from billing_sync.domain.tax import (
    MoneyRules,
    Prices,
    Rounding,
    TaxKind,
    TaxSetting,
    find_taxes,
)
from billing_sync.domain.timing import Timing
from billing_sync.ports import AccessToken, Permit, Priority
from ops.fake_zoho import Credential, OrganisationConfig, RunningFake
from tests.fakes.clock import FakeClock
from tests.fakes.quota import FakeQuota
from tests.fakes.tokens import FakeTokens

# All is plain HTTP here, and loading the authorities of the whole web takes each client 80 ms.
NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

TODAY = date(2026, 1, 15)
CALENDAR = datetime(2026, 1, 15, 8, tzinfo=UTC)
CHANGED = datetime(2026, 1, 15, 7, tzinfo=UTC)
TAXES = (
    TaxSetting(TaxKind.STANDARD, "Standard Rate", Decimal(15)),
    TaxSetting(TaxKind.ZERO, "Zero Rate", Decimal(0)),
)
WAYS = PaymentWays((PaymentWay("*", "*", PaymentMode.BANK_TRANSFER),))


class MintedOnce(FakeTokens):
    """The token of one mint, for as long as it lives."""

    def __init__(self, clock: FakeClock, zoho: RunningFake) -> None:
        super().__init__(clock, api_domain=zoho.url)
        own = Credential()
        form = {
            "grant_type": "refresh_token",
            "client_id": own.client_id,
            "client_secret": own.client_secret,
            "refresh_token": own.refresh_token,
        }
        minted = httpx.post(f"{zoho.url}/oauth/v2/token", data=form, verify=NO_AUTHORITIES)
        self._value: str = minted.json()["access_token"]

    def current(self) -> AccessToken:
        return replace(super().current(), value=self._value)


@dataclass
class Session:
    """One client; `sent` are its requests, `tokens.taken_for` the scopes they were made with."""

    billing: ZohoBilling
    quota: FakeQuota
    tokens: MintedOnce
    sent: list[httpx.Request]

    def permit(self) -> Permit:
        return self.quota.take(Priority.TRIGGER)

    def bodies(self) -> "Bodies":
        taxes = find_taxes(TAXES, self.billing.taxes())
        zone = ZoneInfo("Africa/Johannesburg")
        return Bodies(MoneyRules("ZAR", zone, Prices.INCLUSIVE, Rounding.LINE, taxes))

    def customer(self, name: str = "Ann (CT-1)") -> str:
        made = self.billing.create_customer({"display_name": name}, permit=self.permit())
        return made.zoho_id


@contextmanager
def open_session(zoho: RunningFake) -> Iterator[Session]:
    """Open a client with limits that never bind."""
    clock = FakeClock()
    quota = FakeQuota(clock, limit=10_000, day_cap=100_000, in_flight_limit=10_000)
    tokens = MintedOnce(clock, zoho)
    sent: list[httpx.Request] = []
    hooks = {"request": [sent.append]}
    settings = ZohoSettings(
        organisation_id=OrganisationConfig().organization_id,
        writes=True,
        priority=Priority.TRIGGER,
    )
    with httpx.Client(event_hooks=hooks, verify=NO_AUTHORITIES) as http:
        billing = ZohoBilling(http, tokens, quota, settings, Timing(), clock)
        yield Session(billing, quota, tokens, sent)


@dataclass(frozen=True)
class Bodies:
    """What the domain sends for rows of ours, with the ids that their parents have in Zoho."""

    rules: MoneyRules

    def product(self, service_type: str = "SkyFibre") -> dict[str, Any]:
        return read_product(service_type, ProductNames("ISP: ")).payload

    def plan(self, product_id: str, **columns: Any) -> dict[str, Any]:
        row = {
            "id": 9,
            "updated_at": CHANGED,
            "sku": "SKY-START-10",
            "name": "SkyFibre Starter",
            "service_type": "SkyFibre",
            "price": Decimal("459.00"),
        }
        package = Package.model_validate(row | columns)
        return read_package(package, self.rules, product_zoho_id=product_id).payload

    def subscription(self, customer_id: str, **columns: Any) -> dict[str, Any]:
        row = {
            "id": 7,
            "updated_at": CHANGED,
            "customer_id": 3,
            "package_id": 9,
            "monthly_price": Decimal("399.00"),
            "status": "active",
            "activation_date": date(2025, 6, 1),
            "billing_day": 15,
        }
        package = Package.model_validate({"id": 9, "updated_at": CHANGED, "sku": "SKY-START-10"})
        reading = read_service(
            Service.model_validate(row | columns),
            package,
            self.rules,
            Ownership(),
            starts_at=TODAY,
            customer_zoho_id=customer_id,
        )
        return payload_of(reading)

    def change(self, price: str) -> dict[str, Any]:
        """Give the body of a change at the end of the term (`domain.subscriptions.decide`)."""
        plan = self.subscription("", monthly_price=Decimal(price))["plan"]
        return {"plan": plan, "end_of_term": True}

    def invoice(self, customer_id: str, **columns: Any) -> dict[str, Any]:
        row = {
            "id": 12,
            "updated_at": CHANGED,
            "customer_id": 3,
            "invoice_number": "INV-2026-00012",
            "invoice_type": "equipment",
            "invoice_date": TODAY,
            "due_date": date(2026, 1, 31),
            "subtotal": Decimal("1000.00"),
            "tax_amount": Decimal("150.00"),
            "total_amount": Decimal("1150.00"),
            "tax_inclusive": True,
            "status": "sent",
            "line_items": [
                {"name": "Router", "unit_price": Decimal("575.00"), "quantity": 2},
            ],
        }
        reading = read_invoice(
            Invoice.model_validate(row | columns),
            Owner.ONE_OFF,
            self.rules,
            CustomerInZoho(customer_id),
        )
        return payload_of(reading)

    def payment(self, customer_id: str, invoice_id: str | None, **columns: Any) -> dict[str, Any]:
        """Give a payment of 1150.00 on an invoice, or one that is nothing but credit."""
        row = {
            "id": 40,
            "updated_at": CHANGED,
            "transaction_id": "TX-40",
            "provider": "netcash",
            "amount": Decimal("1150.00"),
            "refunded_amount": Decimal(0),
            "status": "completed",
            "payment_method": "eft",
            "customer_id": 3,
            "completed_at": CHANGED,
        }
        payment = Payment.model_validate(row | columns)
        amount = payment.amount or Decimal(0)
        reading = read_payment(
            payment,
            [] if invoice_id is None else [Share("12", amount)],
            {"12": PaidInvoice("12", "3", invoice_id)},
            self.rules,
            WAYS,
            Ownership(),
            CustomerInZoho(customer_id),
        )
        return payload_of(reading)


def payload_of(reading: object) -> dict[str, Any]:
    assert isinstance(reading, Sendable), reading
    return reading.payload
