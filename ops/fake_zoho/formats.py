"""How Zoho writes money, times and dates in its answers."""

from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from zoneinfo import ZoneInfo

from ops.fake_zoho.config import OrganisationConfig
from ops.fake_zoho.replies import JsonObject


def rounded(amount: Decimal, organisation: OrganisationConfig) -> Decimal:
    """Round half up to the organisation's precision: what Zoho keeps is never finer."""
    step = Decimal(1).scaleb(-organisation.price_precision)
    return amount.quantize(step, rounding=ROUND_HALF_UP)


def money(amount: Decimal, organisation: OrganisationConfig) -> float:
    """Write an amount as Zoho answers it: a JSON number."""
    return float(rounded(amount, organisation))


def timestamp(moment: datetime, organisation: OrganisationConfig) -> str:
    """Write a time in the organisation's zone; its offset has no colon: `...T02:30:08+0200`."""
    return moment.astimezone(ZoneInfo(organisation.time_zone)).strftime("%Y-%m-%dT%H:%M:%S%z")


def day(when: date | None) -> str:
    """Write a date; one that is not set is an empty string, not null."""
    return "" if when is None else when.isoformat()


def currency(code: str, organisation: OrganisationConfig) -> JsonObject:
    """Name a currency; of a foreign one the fake knows no symbol but its code."""
    own = code == organisation.currency_code
    return {"currency_code": code, "currency_symbol": organisation.currency_symbol if own else code}
