"""The customers' rules for the engine: read, find, send, prove, compare."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, Final

from billing_sync.domain.comparing import fingerprint, same_email, same_name, same_phone
from billing_sync.domain.customers import (
    customer_name,
    differing_fields,
    differing_figures,
    match_customer,
    read_customer,
)
from billing_sync.domain.display_names import DisplayNames
from billing_sync.domain.errors import ALREADY_EXISTS, GoneInZoho, Unsendable
from billing_sync.domain.matching import MatchKind
from billing_sync.domain.reading import Sendable, Skip
from billing_sync.domain.remote import RemoteCustomer
from billing_sync.domain.source import Customer
from billing_sync.domain.states import EntityType
from billing_sync.ports import (
    BillingApi,
    Intent,
    Organisations,
    Permit,
    Snapshots,
    Write,
)
from billing_sync.ports import Source as SourcePort
from billing_sync.services.newest_first import newest_first, since_there
from billing_sync.services.rules import EntityRules, Found, Remote, Source
from billing_sync.services.take_snapshot import TakeSnapshot

SUSPECTS_AT_ONCE: Final = 200
"""A page of Zoho's."""


def read_source(
    customer: Customer, names: DisplayNames, *, account_label: str, default_currency: str
) -> Source:
    """Give a customer as the engine and the plan see it: sent, skipped or refused."""
    try:
        decided = read_customer(
            customer, names, account_label=account_label, default_currency=default_currency
        )
    except Unsendable as refused:
        print_of_refusal = fingerprint({"refused": refused.code, "field": refused.field})
        return Source(customer, customer.updated_at, print_of_refusal, refused=refused)
    match decided:
        case Skip(reason, its_fingerprint):
            return Source(customer, customer.updated_at, its_fingerprint, skip=reason)
        case Sendable():
            return Source(
                customer,
                customer.updated_at,
                decided.fingerprint,
                key=decided.key,
                payload=decided.payload,
                figures=decided.figures,
            )


def found_of(match_kind: MatchKind, zoho_ids: tuple[str, ...], why: str) -> Found:
    """Turn a verdict among Zoho's customers into what the engine does with it."""
    match match_kind:
        case MatchKind.NONE:
            return Found()
        case MatchKind.SAME:
            return Found(link=zoho_ids[0], why=why)
        case MatchKind.TAKEN:
            return Found(candidates=zoho_ids, code="linked_elsewhere", why=why)
        case MatchKind.SEVERAL:
            return Found(candidates=zoho_ids, code="several", why=why)
        case MatchKind.PLAUSIBLE:
            return Found(candidates=zoho_ids, code="plausible", why=why, may_create_anyway=True)


class CustomerRules(EntityRules):
    """Customers, recognised by their account number. They stand by themselves: no parents."""

    entity = EntityType.CUSTOMER

    def __init__(
        self,
        source: SourcePort,
        snapshots: Snapshots,
        take_snapshot: TakeSnapshot,
        api: BillingApi,
        organisations: Organisations,
        names: DisplayNames,
        *,
        account_label: str,
    ) -> None:
        """Keep the ports and the names' template."""
        self._source = source
        self._snapshots = snapshots
        self._take_snapshot = take_snapshot
        self._api = api
        self._organisations = organisations
        self._names = names
        self._account_label = account_label

    def read(self, entity_id: str) -> Source | None:
        """Read the customer as it would be sent now."""
        customer = self._source.customer(entity_id)
        if customer is None:
            return None
        return read_source(
            customer,
            self._names,
            account_label=self._account_label,
            default_currency=self._organisations.currency(),
        )

    def find(self, source: Source) -> Found:
        """Look in a complete and young snapshot; where there is none, take one now."""
        customer: Customer = source.row
        snapshot_id = self._take_snapshot.young_snapshot()
        candidates = self._snapshots.candidates(
            snapshot_id,
            accounts=[source.key],
            emails=[same_email(customer.email)],
            phones=[same_phone(customer.phone)],
            names=[same_name(customer_name(customer))],
        )
        match = match_customer(customer, candidates)
        return found_of(match.kind, match.zoho_ids, match.why)

    def make_ready(self) -> None:
        """Have a live token at hand."""
        self._api.make_ready()

    def send(self, write: Write, permit: Permit) -> Remote:
        """Create or update the customer."""
        if write.zoho_id is None:
            return _remote(self._api.create_customer(write.payload, permit=permit))
        # A customer's currency cannot be changed once there are transactions.
        payload = {k: v for k, v in write.payload.items() if k != "currency_code"}
        return _remote(self._api.update_customer(write.zoho_id, payload, permit=permit))

    def get(self, zoho_id: str) -> Remote:
        """Read the customer by id."""
        return _remote(self._api.get_customer(zoho_id))

    def look_up(self, intent: Intent) -> list[Remote]:
        """Walk Zoho's customers, newest first, back to before the intent.

        Complete by construction and without trust in any filter. List rows show no custom field,
        so whoever was made since then and shows no other account number of ours is read whole.
        """
        listed = newest_first(
            lambda page: self._api.list_customers(page, sort_created_descending=True),
            since_there(intent.sent_at, self._organisations),
            lambda row: row.created_time,
        )
        hits: dict[str, Remote] = {}
        for suspects in itertools.batched(listed, SUSPECTS_AT_ONCE, strict=False):
            for remote in self._bearing(intent.key, suspects):
                hits[remote.zoho_id] = remote
        return list(hits.values())

    def _bearing(self, account_number: str, rows: Sequence[RemoteCustomer]) -> Iterator[Remote]:
        """Read whole whoever does not show *another* account number of ours, and compare.

        Who was read is remembered in the snapshot: a look that the quota breaks off goes on where
        it stopped. Beginning anew each time, it would never end once finance has imported more
        customers than a minute has calls, and use up every minute for that. (What bore no number
        when it was read was not made by us.)
        """
        shown = {row.zoho_id: self._names.account_number_in(row.display_name) for row in rows}
        ours = self._source.known_account_numbers([number for number in shown.values() if number])
        snapshot = self._snapshots.latest(EntityType.CUSTOMER, complete=True)
        read = (
            set[str]()
            if snapshot is None
            else self._snapshots.details_without(snapshot.snapshot_id, account_number, list(shown))
        )
        for row in rows:
            if shown[row.zoho_id] in ours - {account_number} or row.zoho_id in read:
                continue
            try:
                whole = self._api.get_customer(row.zoho_id)
            except GoneInZoho:
                continue
            named = self._names.account_number_in(whole.display_name)
            if account_number in (whole.account_number, named):
                yield _remote(whole)
            elif snapshot is not None:
                self._take_snapshot.add(snapshot.snapshot_id, whole)

    def server_enforces_key(self) -> bool:
        """Display names are unique at the server once it was seen to refuse one."""
        return self._organisations.names_are_enforced()

    def is_taken(self, zoho_code: int | None) -> bool:
        """3062: the display name exists."""
        return zoho_code == ALREADY_EXISTS

    def taken(self, zoho_code: int | None) -> None:
        """Remember that this organisation refuses duplicate display names."""
        if zoho_code == ALREADY_EXISTS:
            self._organisations.names_were_enforced()

    def figures_differ(self, figures: dict[str, Any], remote: Remote) -> list[str]:
        """Compare display name, account number and currency."""
        return differing_figures(figures, remote.body)

    def fields_differ(self, source: Source, remote: Remote) -> list[str]:
        """Compare every field that we would send and that is not empty."""
        return differing_fields(source.payload, source.key, remote.body)

    def repairs_by_update(self) -> bool:
        """Say yes: a customer's fields may be mended by one PUT."""
        return True

    def masked(self, write: Write) -> dict[str, Any]:
        """Names of the fields, and the account number: nothing else of a person."""
        return {"account_number": write.key, "fields": sorted(write.payload)}

    def masked_answer(self, remote: Remote) -> dict[str, Any]:
        """Id, status and currency, and which fields came back with something in them."""
        customer: RemoteCustomer = remote.body
        filled = [name for name, value in customer.model_dump().items() if value]
        return {
            "customer_id": customer.zoho_id,
            "status": customer.status,
            "currency_code": customer.currency_code,
            "account_number": customer.account_number,
            "fields": sorted(filled),
        }


def _remote(customer: RemoteCustomer) -> Remote:
    return Remote(customer.zoho_id, customer)
