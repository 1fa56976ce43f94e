"""Customers: what is sent, what is skipped, who is the same in Zoho, what must be equal."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from billing_sync.domain.comparing import fingerprint, same_email, same_name, same_phone
from billing_sync.domain.display_names import DisplayNames
from billing_sync.domain.errors import Unsendable
from billing_sync.domain.matching import Match, MatchKind
from billing_sync.domain.reading import Sendable, Skip
from billing_sync.domain.remote import RemoteCustomer
from billing_sync.domain.source import Customer

TEST_ACCOUNT: Final = "internal_test"
ADDRESS_FIELDS: Final = ("street", "city", "state", "zip", "country")


def customer_name(customer: Customer) -> str:
    """Give the name that a person would use: a business's own, else first and last name."""
    person = " ".join(
        part for part in (_text(customer.first_name), _text(customer.last_name)) if part
    )
    company = _text(customer.company_name)
    if customer.account_type == "business":
        return company or person
    return person or company


def read_customer(
    customer: Customer, names: DisplayNames, *, account_label: str, default_currency: str
) -> Skip | Sendable:
    """Decide whether a customer is sent, and with what.

    :raises Unsendable: the account number or the name is missing, or a text cannot be written.
    """
    if customer.account_type == TEST_ACCOUNT:
        return Skip("test account", fingerprint({"skipped": "test account"}))
    for field in ("account_number", *_TEXT_FIELDS):
        _refuse_unwritable(field, getattr(customer, field))
    account_number = _text(customer.account_number)
    if not account_number:
        raise Unsendable(
            "account_number_missing",
            "account_number",
            "The account number is empty: without it a customer cannot be recognised in Zoho.",
        )
    name = customer_name(customer)
    if not name:
        raise Unsendable(
            "name_missing",
            "first_name",
            "First name, last name and company name are all empty.",
        )
    display_name = names.make(name, account_number)
    address = {
        field: value for field in ADDRESS_FIELDS if (value := _text(getattr(customer, field)))
    }
    payload: dict[str, Any] = {
        "display_name": display_name,
        "first_name": _text(customer.first_name),
        "last_name": _text(customer.last_name),
        "company_name": _text(customer.company_name),
        "email": _text(customer.email),
        "phone": _text(customer.phone),
        "vat_reg_no": _text(customer.tax_number),
        "currency_code": _text(customer.currency),
        "billing_address": address,
        "custom_fields": [{"label": account_label, "value": account_number}],
    }
    # Nothing empty is ever sent: an empty value would overwrite what finance wrote by hand.
    payload = {field: value for field, value in payload.items() if value}
    figures = {
        "display_name": display_name,
        "account_number": account_number,
        "currency_code": _text(customer.currency) or default_currency,
    }
    return Sendable(
        key=account_number,
        payload=payload,
        figures=figures,
        fingerprint=fingerprint({**payload, "local_status": customer.account_status}),
    )


def differing_fields(payload: dict[str, Any], key: str, found: RemoteCustomer) -> list[str]:
    """Name what differs between our owned, non-empty fields and the customer in Zoho.

    The currency is left out: it cannot be changed there, and is compared as a figure.
    """
    address = found.billing_address.model_dump()
    differing = [
        field
        for field, value in payload.items()
        if field in _COMPARED and value != getattr(found, field)
    ]
    if any(value != address[part] for part, value in payload.get("billing_address", {}).items()):
        differing.append("billing_address")
    if found.account_number != key:
        differing.append("account_number")
    return differing


def differing_figures(figures: dict[str, Any], found: RemoteCustomer) -> list[str]:
    """Name what must be equal in Zoho's answer and is not: name, account number, currency."""
    differing = []
    if same_name(figures["display_name"]) != same_name(found.display_name):
        differing.append("display_name")
    if figures["account_number"] != found.account_number:
        differing.append("account_number")
    if figures["currency_code"] != found.currency_code:
        differing.append("currency_code")
    return differing


@dataclass(frozen=True, slots=True)
class Candidate:
    """A customer in Zoho as the comparison needs it; texts are normalised already.

    `held_by` is the id of the customer of ours whose record holds this Zoho id.
    """

    zoho_id: str
    account_number: str | None
    names: frozenset[str]
    email: str
    phone: str
    held_by: str | None = None


def candidate_names(display_name: str, first: str, last: str, company: str) -> frozenset[str]:
    """Collect the normalised names under which a customer in Zoho may be known."""
    names = {same_name(display_name), same_name(f"{first} {last}"), same_name(company)}
    return frozenset(name for name in names if name)


def match_customer(customer: Customer, candidates: Iterable[Candidate]) -> Match:
    """Say who among Zoho's customers is this one: by account number, or merely plausible.

    Empty values match nothing: the search for an empty e-mail once overwrote a stranger. A
    candidate with another account number, or held by another record, is never meant.
    """
    account_number = _text(customer.account_number)
    name = same_name(customer_name(customer))
    email = same_email(customer.email)
    phone = same_phone(customer.phone)
    same: list[Candidate] = []
    plausible: dict[str, set[str]] = {}
    for candidate in candidates:
        if candidate.account_number is not None:
            if candidate.account_number == account_number:
                same.append(candidate)
            continue
        if candidate.held_by is not None:
            continue
        why = {
            what
            for what, ours, theirs in (
                ("e-mail", email, {candidate.email}),
                ("name", name, candidate.names),
                ("phone", phone, {candidate.phone}),
            )
            if ours and ours in theirs
        }
        if why:
            plausible[candidate.zoho_id] = why
    if len(same) == 1:
        holder = same[0].held_by
        if holder is not None and holder != customer.id:
            return Match(MatchKind.TAKEN, (same[0].zoho_id,), f"linked to customer {holder}")
        return Match(MatchKind.SAME, (same[0].zoho_id,), "same account number")
    if same:
        ids = tuple(sorted(candidate.zoho_id for candidate in same))
        return Match(
            MatchKind.SEVERAL, ids, f"{len(ids)} customers in Zoho bear this account number"
        )
    if plausible:
        reasons = sorted(set().union(*plausible.values()))
        return Match(
            MatchKind.PLAUSIBLE,
            tuple(sorted(plausible)),
            f"{len(plausible)} in Zoho without account number, but with the same "
            f"{' and '.join(reasons)}",
        )
    return Match(MatchKind.NONE)


_COMPARED: Final = frozenset(
    ("display_name", "first_name", "last_name", "company_name", "email", "phone", "vat_reg_no")
)
_TEXT_FIELDS: Final = (
    "first_name", "last_name", "company_name", "tax_number", "email", "phone", *ADDRESS_FIELDS,
    "currency",
)  # fmt: skip


def _text(value: str | None) -> str:
    return (value or "").strip()


def _refuse_unwritable(field: str, value: str | None) -> None:
    """Refuse what is no text for JSON or for Zoho, naming the column and never the value."""
    if value is None:
        return
    if "\x00" in value:
        raise Unsendable("unwritable_text", field, f"{field} contains a NUL character.")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise Unsendable(
            "unwritable_text", field, f"{field} contains half a character (a lone surrogate)."
        )
