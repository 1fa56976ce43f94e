"""What wakes us: four triggers, the two forms in which senders tell, and the wake-up that is left.

Nothing of a body travels on but the record's id. The handler reads the database, so that what a
sender says of a record can be late, doubled, out of order or forged, and do no harm.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError, from_json

from billing_sync.domain.errors import BillingSyncError
from billing_sync.domain.states import EntityType


class Trigger(StrEnum):
    """A door, a queue and a handler each; the value is the last part of the door's path."""

    CUSTOMER_REGISTERED = "customer-registered"
    SERVICE_ACTIVATED = "service-activated"
    INVOICE_GENERATED = "invoice-generated"
    PAYMENT_COMPLETED = "payment-completed"


ENTITY_OF_TRIGGER: Final[dict[Trigger, EntityType]] = {
    Trigger.CUSTOMER_REGISTERED: EntityType.CUSTOMER,
    Trigger.SERVICE_ACTIVATED: EntityType.SUBSCRIPTION,
    Trigger.INVOICE_GENERATED: EntityType.INVOICE,
    Trigger.PAYMENT_COMPLETED: EntityType.PAYMENT,
}
"""Whose record a trigger's id is. A subscription's is its service's id."""

TYPES_OF_TRIGGER: Final[dict[Trigger, tuple[str, ...]]] = {
    Trigger.CUSTOMER_REGISTERED: ("customer.registered", "customer.updated"),
    Trigger.SERVICE_ACTIVATED: (
        "service.activated",
        "service.changed",
        "service.suspended",
        "service.cancelled",
        "service.returned",
    ),
    Trigger.INVOICE_GENERATED: ("invoice.generated", "invoice.changed", "invoice.voided"),
    Trigger.PAYMENT_COMPLETED: ("payment.completed", "payment.reversed"),
}
"""The words that an event's `type` may be; the first one is the event that names the trigger."""

ROW_CHANGES: Final = frozenset({"INSERT", "UPDATE", "DELETE"})
"""The words that Supabase's database webhooks have for `type`: their bodies are of that form."""

LONGEST_ID: Final = 100


class InvalidBody(BillingSyncError):
    """A body is not of the form that was agreed. `fields` are names of ours, never values."""

    def __init__(self, *fields: str) -> None:
        super().__init__(f"The body is wrong in {', '.join(fields)}.")
        self.fields = fields


def _on_one_line(text: str) -> str:
    """Refuse what no id looks like: control characters, lone surrogates, spaces around it."""
    if not text.isprintable() or text != text.strip():
        raise PydanticCustomError("id", "must be printable text without spaces around it")
    return text


RecordId = Annotated[
    str, Field(min_length=1, max_length=LONGEST_ID, strict=True), AfterValidator(_on_one_line)
]


class WakeUp(BaseModel):
    """The whole message on a queue: which record somebody shall look at."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    trigger: Trigger
    id: RecordId


class _Told(BaseModel):
    """What a sender tells. The rest of its body is passed over: it is not what we act upon."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True, strict=True)


def _as_text(given: object) -> object:
    """Write a whole number as it stands in the database: ids of rows may be numbers in JSON."""
    # In Python true is a number; and 1.0 and 1e3 are not what an id looks like.
    return str(given) if type(given) is int else given


_IdInJson = Annotated[RecordId, BeforeValidator(_as_text)]


class _EventData(_Told):
    id: _IdInJson


class _Event(_Told):
    """A body as the specification of Standard Webhooks suggests it."""

    type: str
    data: _EventData


class _RowChange(_Told):
    """A body as Supabase's database webhooks write it."""

    type: Literal["INSERT", "UPDATE", "DELETE"]
    table: Annotated[str, Field(min_length=1)]
    schema_: Annotated[str, Field(min_length=1, alias="schema")]
    record: dict[str, Any] | None = None
    old_record: dict[str, Any] | None = None


class _Row(_Told):
    id: _IdInJson


def read_body(trigger: Trigger, body: bytes) -> tuple[WakeUp, bool]:
    """Read the id out of a body; the second value says whether anybody need be woken.

    An UPDATE of nothing but the columns in which we tell how the sync stands is our own doing.

    :raises InvalidBody: naming every field that is missing or wrong.
    """
    try:
        told = from_json(body, allow_inf_nan=False)
    except ValueError:
        raise InvalidBody("body") from None
    if not isinstance(told, dict):
        raise InvalidBody("body")
    # A list or an object is no word, and cannot be looked for among words.
    word = told.get("type")
    if isinstance(word, str) and word in ROW_CHANGES:
        return _of_row_change(trigger, told)
    return _of_event(trigger, told), True


def _of_event(trigger: Trigger, told: dict[str, Any]) -> WakeUp:
    wrong: list[str] = []
    if told.get("type") not in TYPES_OF_TRIGGER[trigger]:
        wrong.append("type")
    try:
        event = _Event.model_validate(told)
    except ValidationError as error:
        raise InvalidBody(*_once([*wrong, *_fields(error)])) from None
    if wrong:
        raise InvalidBody(*wrong)
    return WakeUp(trigger=trigger, id=event.data.id)


def _of_row_change(trigger: Trigger, told: dict[str, Any]) -> tuple[WakeUp, bool]:
    try:
        change = _RowChange.model_validate(told)
    except ValidationError as error:
        raise InvalidBody(*_once(_fields(error))) from None
    name = "old_record" if change.type == "DELETE" else "record"
    row = change.old_record if change.type == "DELETE" else change.record
    if row is None:
        raise InvalidBody(name)
    try:
        record_id = _Row.model_validate(row).id
    except ValidationError:
        raise InvalidBody(f"{name}.id") from None
    ours = (
        change.type == "UPDATE"
        and change.old_record is not None
        and _only_our_columns_differ(change.old_record, row)
    )
    return WakeUp(trigger=trigger, id=record_id), not ours


def _only_our_columns_differ(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Say whether an update did nothing but tell how the sync stands.

    An update that changed nothing at all is not ours, who write only what differs: somebody
    touched the row so that it is looked at.
    """
    missing = object()
    differing = {
        column
        for column in {*old, *new}
        if not _same(old.get(column, missing), new.get(column, missing))
    }
    return bool(differing - {"updated_at"}) and all(map(is_our_column, differing))


def _same(one: object, other: object) -> bool:
    # To Python 1 and True are equal; to a column of the application they need not be.
    return type(one) is type(other) and one == other


def is_our_column(column: str) -> bool:
    """Say whether a column of the application's tables is one in which we tell of the sync.

    The application sets `updated_at` by a trigger on every update, ours included.
    """
    return column.startswith("zoho_") or column == "updated_at"


def _fields(error: ValidationError) -> list[str]:
    """Name the fields; only names of the models above, as a sender's own could hold anything."""
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    return [".".join(part for part in map(str, fault["loc"]) if part in _NAMES) for fault in faults]


_NAMES: Final = frozenset(
    {"type", "data", "id", "table", "schema", "record", "old_record"},
)


def _once(names: list[str]) -> list[str]:
    return list(dict.fromkeys(names))
