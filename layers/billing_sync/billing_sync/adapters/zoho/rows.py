"""Records and lists in Zoho's answers: read whole, or not at all."""

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from billing_sync.domain.errors import Unavailable
from billing_sync.ports import Page


def rows_of(rows: object) -> list[Any]:
    """Give the rows of a list.

    :raises Unavailable: the answer holds none; «no list» is not «an empty list».
    """
    if not isinstance(rows, list):
        raise Unavailable("Zoho's answer holds no list.")
    return rows


def page_of[Row](
    envelope: Mapping[str, Any], name: str, read_row: Callable[[object], Row]
) -> Page[Row]:
    """Read one page of a list; `name` is its key in the envelope.

    :raises Unavailable: a row cannot be read, or nothing says whether more pages follow. There is
        no total (billing-api §3.1): a page whose end is unknown would end a walk too early.
    """
    context = envelope.get("page_context")
    has_more = context.get("has_more_page") if isinstance(context, dict) else None
    if str(has_more).lower() not in {"true", "false"}:
        raise Unavailable("Zoho's list does not say whether there are more pages.")
    return Page(
        rows=tuple(read_row(row) for row in rows_of(envelope.get(name))),
        has_more=str(has_more).lower() == "true",
    )


def read_as[Model: BaseModel](model: type[Model], row: object) -> Model:
    """Read one record.

    :raises Unavailable: it is none; names the fields that cannot be read, never their values.
    """
    try:
        return model.model_validate(row)
    except ValidationError as error:
        raise unreadable(error) from None


def unreadable(error: ValidationError) -> Unavailable:
    """Name the fields that cannot be read, never their values."""
    fields = sorted({str(problem["loc"][0]) for problem in error.errors() if problem["loc"]})
    return Unavailable(f"Zoho's answer cannot be read: {', '.join(fields) or 'not an object'}.")
