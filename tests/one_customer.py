"""One customer of the application with what it buys and pays, and how that stands in fake Zoho."""

import itertools
from collections import Counter
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final

from billing_sync.domain.states import EntityType
from billing_sync.ports import RecordKey
from tests.records import calls, closed_as, expire_lease, intents, make_due, row
from tests.world import World

ACCOUNT: Final = "CT-2025-00004"
TODAY: Final = date(2036, 3, 10)
"""Beyond the real day, for calendars go forward: what is older than a write is passed over."""

UNSETTLED: Final = frozenset(
    ("pending", "syncing", "in_doubt", "retrying", "blocked", "waiting", "exhausted")
)


class OneCustomer:
    """Both sides of one customer. What it is given has plain figures: R 460.00, of which 60 VAT."""

    def __init__(self, w: World) -> None:
        self.w = w
        self.customer_id = w.customer_id(ACCOUNT)
        self._numbers = itertools.count(1)
        w.set_today(TODAY)
        w.worker.take_snapshot.young_snapshot()

    # ----------------------------------------------------------------------------- our own rows

    def add_invoice(self, **columns: Any) -> RecordKey:
        """Write a one-off invoice that was sent to the customer."""
        columns = {
            "customer_id": self.customer_id,
            "invoice_number": f"CTI-2036-{next(self._numbers):04}",
            "invoice_type": "installation",
            "invoice_date": date(2036, 3, 2),
            "due_date": date(2036, 3, 9),
            "subtotal": Decimal(400),
            "tax_amount": Decimal(60),
            "total_amount": Decimal(460),
            "status": "sent",
            **columns,
        }
        return RecordKey(EntityType.INVOICE, self.w.insert("customer_invoices", **columns))

    def add_payment(self, on: RecordKey | None = None, **columns: Any) -> RecordKey:
        """Write a completed payment, on one invoice or on none."""
        number = next(self._numbers)
        columns = {
            "customer_id": self.customer_id,
            "transaction_id": f"TX-{number:04}",
            "provider": "netcash",
            "payment_method": "debit_order",
            "amount": Decimal(460),
            "status": "completed",
            "invoice_id": None if on is None else on.entity_id,
            "completed_at": datetime(2036, 3, 5, 9, number, tzinfo=UTC),
            **columns,
        }
        return RecordKey(EntityType.PAYMENT, self.w.insert("payment_transactions", **columns))

    def share(self, payment: RecordKey, invoice: RecordKey, amount: int) -> None:
        self.w.sql(
            "INSERT INTO payment_allocations (payment_id, invoice_id, amount)"
            " VALUES (:payment, :invoice, :amount)",
            payment=payment.entity_id,
            invoice=invoice.entity_id,
            amount=amount,
        )

    def add_service(self, **columns: Any) -> RecordKey:
        """Write an active service that was activated today: its first day in Zoho."""
        package = self.w.sql("SELECT id, price FROM service_packages ORDER BY id LIMIT 1")[0]
        columns = {
            "customer_id": self.customer_id,
            "package_id": package.id,
            "monthly_price": package.price,
            "status": "active",
            "activation_date": TODAY,
            "billing_day": TODAY.day,
            **columns,
        }
        return RecordKey(EntityType.SUBSCRIPTION, self.w.insert("customer_services", **columns))

    # ------------------------------------------------------------------------------------- work

    def bring(self, *records: RecordKey) -> list[str]:
        """Bring records in step, as triggers would; gives the states that they end in."""
        for record in records:
            self.w.bring(record.entity, record.entity_id)
        return [self.state(record) for record in records]

    def state(self, record: RecordKey) -> str:
        return str(row(self.w.database, record).state)

    def let_it_heal(self, *records: RecordKey, rounds: int = 8) -> None:
        """Do what the next minutes do: leases run out, proofs fall due, somebody comes by."""
        # Zoho's index shows by then what was made: the proof waits for longer than it lags.
        self.w.zoho.control.advance_clock(10)
        self.bring(*(record for record in records if self.w.worker.records.view(record) is None))
        for _ in range(rounds):
            for record in records:
                state = self.state(record)
                if state == "syncing":
                    expire_lease(self.w.database, record)
                if state in {"in_doubt", "retrying"}:
                    make_due(self.w.database, record)
                if state in UNSETTLED:
                    self.w.bring(record.entity, record.entity_id)
            if all(self.state(record) not in UNSETTLED for record in records):
                break
        for record in self.w.worker.records.status_due(50):
            self.w.worker.status_columns.write(record)

    # ------------------------------------------------------------------------------ Zoho's side

    def calls_of(self, *records: RecordKey) -> list[str]:
        """Bring records in step, and name the calls that this took."""
        before = len(calls(self.w.zoho))
        self.bring(*records)
        return calls(self.w.zoho)[before:]

    def zoho_id(self, record: RecordKey) -> str:
        return str(row(self.w.database, record).zoho_id)

    def invoice_in_zoho(self, invoice: RecordKey) -> dict[str, Any]:
        [found] = [
            each
            for each in self.w.zoho.control.state().invoices
            if each["invoice_id"] == self.zoho_id(invoice)
        ]
        return found

    def payments_in_zoho(self) -> dict[str, dict[str, float]]:
        """Say of each payment there, by reference, what it put on which invoice."""
        return {
            payment["reference_number"]: {
                each["invoice_id"]: each["amount_applied"] for each in payment["invoices"]
            }
            for payment in self.w.zoho.control.state().payments
        }

    def account(self) -> tuple[float, float]:
        """Give what the customer owes in Zoho, and its unused credit there."""
        [customer] = self.w.in_zoho(ACCOUNT)
        return customer["outstanding"], customer["unused_credits"]

    def made(self) -> Counter[str]:
        """Count what is in fake Zoho, of each kind."""
        state = self.w.zoho.control.state()
        return Counter(
            customers=len(state.customers),
            products=len(state.products),
            plans=len(state.plans),
            subscriptions=len(state.subscriptions),
            invoices=len(state.invoices),
            payments=len(state.payments),
        )

    def assert_in_step(self, *records: RecordKey) -> None:
        """Be sure that records rest in `synced`, with no write unaccounted for, and no mail."""
        for record in records:
            assert self.state(record) == "synced", row(self.w.database, record).sentence
            assert None not in closed_as(self.w.database, record), intents(self.w.database, record)
        assert self.w.zoho.control.state().mails == []
