"""The five views that the software reads: their columns, keys and words, as data (design §9).

Preflight holds a live database against this table; the guide for adopters is written from it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from billing_sync.domain.states import EntityType
from billing_sync.domain.steps import Phase


class Kind(StrEnum):
    """What a column must be able to hold; the value says it to people."""

    ID = "an integer, a uuid or text"
    TEXT = "text"
    WRITTEN_TEXT = "text that may be written"
    AMOUNT = "numeric: amounts are exact"
    INTEGER = "an integer"
    FLAG = "boolean"
    DATE = "date"
    MOMENT = "timestamp with time zone"
    JSON = "jsonb"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a view. `required`: a NULL in it is a fault of the row."""

    name: str
    kind: Kind
    required: bool = False
    is_key: bool = False
    """A key is required, not blank and unique."""
    is_status: bool = False
    """Ours to write, and needed only while StatusColumns is on."""
    is_zoho_id: bool = False
    shortest: int = 0
    """The length that a text column must have room for at least."""
    is_vital: bool = False
    """What is wrong in it stops a run: the row cannot be read, or is somebody else's. What is wrong
    in any other column fails that one record, and the others go on."""


@dataclass(frozen=True, slots=True)
class View:
    """A view of the schema `billing_source`."""

    name: str
    entity: EntityType
    columns: tuple[Column, ...]
    phase: Phase | None = None
    """The phase that carries its rows."""
    words: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """For a column of states or types: each word that we know, and how it is read."""

    def keys(self) -> tuple[Column, ...]:
        """Give the columns that must be unique."""
        return tuple(column for column in self.columns if column.is_key)

    def status_columns(self) -> tuple[Column, ...]:
        """Give the columns that are ours to write."""
        return tuple(column for column in self.columns if column.is_status)


def _key(name: str, kind: Kind = Kind.TEXT, *, is_vital: bool = False) -> Column:
    return Column(name, kind, required=True, is_key=True, is_vital=is_vital)


def _required(kind: Kind, *names: str) -> tuple[Column, ...]:
    return tuple(Column(name, kind, required=True) for name in names)


def _vital(kind: Kind, *names: str) -> tuple[Column, ...]:
    return tuple(Column(name, kind, required=True, is_vital=True) for name in names)


def _optional(kind: Kind, *names: str) -> tuple[Column, ...]:
    return tuple(Column(name, kind) for name in names)


ID: Final = _key("id", Kind.ID, is_vital=True)
UPDATED_AT: Final = Column("updated_at", Kind.MOMENT, required=True, is_vital=True)
CREATED_AT: Final = Column("created_at", Kind.MOMENT)


def _status(*id_columns: str) -> tuple[Column, ...]:
    """Give the columns that tell the application about the sync; Zoho's ids come first."""
    return (
        *(
            Column(name, Kind.WRITTEN_TEXT, is_status=True, is_zoho_id=True, shortest=25)
            for name in id_columns
        ),
        Column("zoho_sync_status", Kind.WRITTEN_TEXT, is_status=True, shortest=8),
        Column("zoho_last_synced_at", Kind.MOMENT, is_status=True),
        Column("zoho_last_sync_error", Kind.WRITTEN_TEXT, is_status=True, shortest=255),
    )


VIEWS: Final = (
    View(
        "customers",
        EntityType.CUSTOMER,
        (
            ID,
            _key("account_number", is_vital=True),
            *_optional(
                Kind.TEXT,
                "account_type",
                "account_status",
                "first_name",
                "last_name",
                "company_name",
                "tax_number",
                "email",
                "phone",
                "street",
                "city",
                "state",
                "zip",
                "country",
                "currency",
            ),
            CREATED_AT,
            UPDATED_AT,
            *_status("zoho_billing_customer_id"),
        ),
        phase=Phase.CUSTOMERS,
        words={
            "account_type": {
                "personal": "sent under the person's name",
                "business": "sent under the company's name",
                "internal_test": "never sent",
            },
            "account_status": {
                "active": "sent",
                "suspended": "sent",
                "cancelled": "sent",
            },
        },
    ),
    View(
        "packages",
        EntityType.PLAN,
        (
            ID,
            _key("sku"),
            *_required(Kind.TEXT, "name", "service_type"),
            *_required(Kind.AMOUNT, "price"),
            *_vital(Kind.FLAG, "price_includes_tax", "active"),
            UPDATED_AT,
        ),
        phase=Phase.SUBSCRIPTIONS,
    ),
    View(
        "services",
        EntityType.SUBSCRIPTION,
        (
            ID,
            *_vital(Kind.ID, "customer_id"),
            *_required(Kind.ID, "package_id"),
            *_required(Kind.AMOUNT, "monthly_price"),
            *_vital(Kind.FLAG, "price_includes_tax"),
            *_required(Kind.TEXT, "status"),
            *_optional(Kind.DATE, "activation_date"),
            *_required(Kind.INTEGER, "billing_day"),
            *_optional(Kind.DATE, "contract_end_date"),
            *_optional(Kind.MOMENT, "cancelled_at"),
            CREATED_AT,
            UPDATED_AT,
            *_status("zoho_subscription_id"),
        ),
        phase=Phase.SUBSCRIPTIONS,
        words={
            "status": {
                "pending": "not sent yet",
                "active": "billed by a subscription",
                "suspended": "its subscription is kept",
                "cancelled": "its subscription ends with its term",
            }
        },
    ),
    View(
        "invoices",
        EntityType.INVOICE,
        (
            ID,
            *_vital(Kind.ID, "customer_id"),
            *_optional(Kind.ID, "service_id"),
            _key("invoice_number"),
            *_required(Kind.TEXT, "invoice_type"),
            *_required(Kind.DATE, "invoice_date", "due_date"),
            *_optional(Kind.DATE, "period_start", "period_end"),
            *_required(
                Kind.AMOUNT, "subtotal", "tax_amount", "total_amount", "amount_paid", "amount_due"
            ),
            *_optional(Kind.TEXT, "currency"),
            *_vital(Kind.FLAG, "tax_inclusive"),
            *_required(Kind.TEXT, "status"),
            *_optional(Kind.JSON, "line_items"),
            CREATED_AT,
            UPDATED_AT,
            *_status("zoho_billing_invoice_id", "zoho_invoice_number"),
        ),
        phase=Phase.INVOICES,
        words={
            # Verify compares what each customer owes by our books with what Zoho says.
            "status": {
                **dict.fromkeys(("sent", "paid", "partial", "overdue"), "its amount due is owed"),
                "draft": "not sent yet, nothing of it is owed",
                **dict.fromkeys(("cancelled", "voided"), "withdrawn, nothing of it is owed"),
            }
        },
    ),
    View(
        "payments",
        EntityType.PAYMENT,
        (
            ID,
            _key("transaction_id"),
            *_optional(Kind.TEXT, "provider"),
            *_required(Kind.AMOUNT, "amount"),
            *_optional(Kind.AMOUNT, "refunded_amount"),
            *_optional(Kind.TEXT, "currency"),
            *_required(Kind.TEXT, "status"),
            *_optional(Kind.TEXT, "payment_method"),
            *_vital(Kind.ID, "customer_id"),
            *_optional(Kind.ID, "invoice_id"),
            *_optional(Kind.MOMENT, "completed_at"),
            CREATED_AT,
            UPDATED_AT,
            *_status("zoho_payment_id"),
        ),
        phase=Phase.PAYMENTS,
        words={
            "status": {
                **dict.fromkeys(
                    ("pending", "processing", "failed", "cancelled", "expired"), "never sent"
                ),
                "completed": "sent",
                "reversed": "taken out of Zoho again",
                "refunded": "failed: a refund in Zoho is needed",
            }
        },
    ),
)
