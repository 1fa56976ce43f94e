"""What every body that Zoho accepts is made of: text, money, dates, custom fields.

Unknown top-level keys are ignored, as Zoho does; a value that does not fit is refused by the name
of the first field that is wrong.
"""

import re
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from functools import cache
from typing import Annotated, Any, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
)

from ops.fake_zoho.config import Switches
from ops.fake_zoho.replies import JsonObject, invalid_value

UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
DAY = re.compile(r"\d{4}-\d\d-\d\d")


def _only_characters_of_text(value: str) -> str:
    if UNPRINTABLE.search(value):
        raise ValueError("control characters or lone surrogates")
    return value


def _only_breaks_and_tabs(value: str) -> str:
    _only_characters_of_text(re.sub(r"[\r\n\t]", " ", value))
    return value


def _no_emoji_unless_accepted(value: str, info: ValidationInfo[Switches]) -> str:
    if not info.context.accept_emoji and any(ord(character) > 0xFFFF for character in value):
        raise ValueError("characters beyond the basic plane")
    return value


def _a_day(value: Any) -> Any:
    """Take a date only as Zoho writes it; pydantic alone would also take a number of seconds."""
    if not isinstance(value, str) or not DAY.fullmatch(value):
        raise ValueError("not a date as yyyy-MM-dd")
    return value


def _not_a_boolean(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("not a number")  # noqa: TRY004 - pydantic reads ValueError only
    return value


Line = Annotated[
    str, AfterValidator(_only_characters_of_text), AfterValidator(_no_emoji_unless_accepted)
]
Lines = Annotated[
    str, AfterValidator(_only_breaks_and_tabs), AfterValidator(_no_emoji_unless_accepted)
]
Line25 = Annotated[Line, Field(max_length=25)]
Line50 = Annotated[Line, Field(max_length=50)]
Line100 = Annotated[Line, Field(max_length=100)]
Line200 = Annotated[Line, Field(max_length=200)]
Text = Annotated[Lines, Field(max_length=2000)]
# Requests may carry money as a number or as a numeric string.
Number = Annotated[Decimal, BeforeValidator(_not_a_boolean), Field(allow_inf_nan=False)]
Amount = Annotated[Number, Field(ge=0, lt=Decimal(10) ** 12)]
Count = Annotated[int, BeforeValidator(_not_a_boolean), Field(ge=1, le=10_000)]
Day = Annotated[date, BeforeValidator(_a_day)]


class CustomFieldEntry(BaseModel):
    """One custom field as written: named by label (documented), or by index, id or API name."""

    label: str | None = None
    index: int | None = None
    customfield_id: str | None = None
    api_name: str | None = None
    value: Line | int | float | bool = ""


class Tag(BaseModel):
    tag_id: Line | int
    tag_option_id: Line | int


class Body(BaseModel):
    """The fields that Zoho keeps of a call; absent ones are not in `model_fields_set`."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)


def read[Kept: Body](model: type[Kept], sent: JsonObject, switches: Switches) -> Kept:
    """Validate a body; raise the refusal that names the first field that does not fit."""
    known = _field_names(model)
    if not switches.refuse_nulls:
        sent = _without_nulls(sent)
    elif (null := _first_null(sent, known)) is not None:
        raise invalid_value(null)
    try:
        return model.model_validate(sent, context=switches)
    except ValidationError as error:
        # An error's place also names list positions and the branches of unions.
        place = error.errors()[0]["loc"]
        raise invalid_value([str(step) for step in place if step in known][-1]) from error


def require(body: Body, *names: str) -> None:
    """Refuse a body that lacks one of these fields, or has it blank."""
    for name in names:
        value = getattr(body, name)
        if name not in body.model_fields_set or (isinstance(value, str) and not value.strip()):
            raise invalid_value(name)


@cache
def _field_names(model: type[BaseModel]) -> frozenset[str]:
    names = set(model.model_fields)
    for field in model.model_fields.values():
        for part in _models_in(field.annotation):
            names |= _field_names(part)
    return frozenset(names)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


def _first_null(value: Any, known: frozenset[str]) -> str | None:
    """Name the first field that was sent as null; what Zoho does not know may be anything."""
    if isinstance(value, list):
        found = (_first_null(item, known) for item in value)
        return next((name for name in found if name is not None), None)
    if isinstance(value, dict):
        for key, item in value.items():
            name = str(key)
            if name in known and item is None:
                return name
            if name in known and (inner := _first_null(item, known)) is not None:
                return inner
    return None


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value if item is not None]
    return value
