"""The catalogue's rules for the engine: service types as products, packages as plans.

Both are made on demand, as the parents of the first subscription that needs them.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

from billing_sync.domain.catalogue import (
    ProductNames,
    match_plan,
    match_product,
    plan_differences,
    plan_field_differences,
    plan_update,
    product_differences,
    read_package,
    read_product,
)
from billing_sync.domain.comparing import fingerprint, same_name
from billing_sync.domain.errors import GoneInZoho, Unsendable, may_mean_taken
from billing_sync.domain.matching import Match
from billing_sync.domain.reading import Sendable
from billing_sync.domain.remote import RemotePlan, RemoteProduct
from billing_sync.domain.source import Package
from billing_sync.domain.states import EntityType, State
from billing_sync.ports import BillingApi, Intent, Permit, RecordKey, SyncRecords, Write
from billing_sync.ports import Source as SourcePort
from billing_sync.services.customers import found_of
from billing_sync.services.money_rules import OrganisationMoney
from billing_sync.services.rules import EntityRules, Found, Remote, Source, Step, Stuck


class ProductRules(EntityRules):
    """A product for each service type, recognised by its name within our own prefix.

    The record's id is the service type, as the packages write it. Zoho keeps no name unique and
    filters by none, so all products are read: they are as few as a provider's kinds of service.
    """

    entity = EntityType.PRODUCT

    def __init__(
        self, source: SourcePort, api: BillingApi, records: SyncRecords, names: ProductNames
    ) -> None:
        """Keep the ports and the names' prefix."""
        self._source = source
        self._api = api
        self._records = records
        self._names = names

    def read(self, entity_id: str) -> Source | None:
        """Read the service type from the packages that name it; None where none does any more."""
        packages = [one for one in self._source.packages() if service_type_of(one) == entity_id]
        if not packages:
            return None
        version = max(package.updated_at for package in packages)
        try:
            return _sent(entity_id, version, read_product(entity_id, self._names))
        except Unsendable as refused:
            return _refused(entity_id, version, refused)

    def find(self, source: Source) -> Found:
        """Look among all products, by the whole name."""
        products = list(self._products())
        holders = self._records.holders(self.entity, [product.zoho_id for product in products])
        return _found(match_product(source.key, products, holders, source.row))

    def make_ready(self) -> None:
        """Have a live token at hand."""
        self._api.make_ready()

    def send(self, write: Write, permit: Permit) -> Remote:
        """Create the product, or write its name."""
        if write.zoho_id is None:
            return _product(self._api.create_product(write.payload, permit=permit))
        return _product(self._api.update_product(write.zoho_id, write.payload, permit=permit))

    def get(self, zoho_id: str) -> Remote:
        """Read the product by id."""
        return _product(self._api.get_product(zoho_id))

    def look_up(self, intent: Intent) -> list[Remote]:
        """Read all products; one that bears the name was looked for before ours was sent.

        An inactive one of the name would have been found then, had there been no other.
        """
        same = [one for one in self._products() if same_name(one.name) == same_name(intent.key)]
        active = [product for product in same if product.status != "inactive"]
        return [_product(product) for product in active or same]

    def figures_differ(self, figures: dict[str, Any], remote: Remote) -> list[str]:
        """Compare the name."""
        return product_differences(figures, remote.body)

    def fields_differ(self, source: Source, remote: Remote) -> list[str]:
        """Compare the name: nothing else of a product is ours."""
        return product_differences(source.figures, remote.body)

    def masked(self, write: Write) -> dict[str, Any]:
        """Show the whole of it: nothing in it is personal."""
        return dict(write.payload)

    def masked_answer(self, remote: Remote) -> dict[str, Any]:
        """Show id, name and status."""
        product: RemoteProduct = remote.body
        return {"product_id": product.zoho_id, "name": product.name, "status": product.status}

    def _products(self) -> Iterator[RemoteProduct]:
        page = 1
        while True:
            listed = self._api.list_products(page)
            yield from listed.rows
            if not listed.has_more:
                return
            page += 1


class PlanRules(EntityRules):
    """A plan for each package. Its id in Zoho is the `plan_code`, our sku.

    It is read by its code, which no index delays: before it is made, where a write was lost, and
    where one was refused that may mean that finance has just made it.
    """

    entity = EntityType.PLAN
    key_field = "sku"

    def __init__(
        self,
        source: SourcePort,
        api: BillingApi,
        records: SyncRecords,
        money: OrganisationMoney,
        names: ProductNames,
    ) -> None:
        """Keep the ports, the organisation's money and the names of products."""
        self._source = source
        self._api = api
        self._records = records
        self._money = money
        self._names = names

    def parents(self, entity_id: str) -> tuple[RecordKey, ...]:
        """Name the product of its service type."""
        package = self._source.package(entity_id)
        if package is None or not service_type_of(package):
            return ()
        return (product_of(package),)

    def read(self, entity_id: str) -> Source | None:
        """Read the package as it would be sent now."""
        package = self._source.package(entity_id)
        if package is None:
            return None
        try:
            self._names.make(package.service_type)
            product = self._records.view(product_of(package))
            sent = read_package(
                package,
                self._money.rules(),
                product_zoho_id=None if product is None else product.zoho_id,
            )
        except Unsendable as refused:
            return _refused(package, package.updated_at, refused)
        return _sent(package, package.updated_at, sent)

    def find(self, source: Source) -> Found:
        """Ask for the plan by its code. One that finance has made is taken over, whole."""
        package: Package = source.row
        found = self._plan(source.key)
        holders = self._records.holders(self.entity, [source.key])
        return _found(match_plan(source.key, found, holders, package.id), found)

    def make_ready(self) -> None:
        """Have a live token at hand."""
        self._api.make_ready()

    def send(self, write: Write, permit: Permit) -> Remote:
        """Create the plan, or write the whole of it: a partial update once set prices to 0."""
        if write.zoho_id is None:
            return _plan(self._api.create_plan(write.payload, permit=permit))
        body = plan_update(write.payload)
        return _plan(self._api.update_plan(write.zoho_id, body, permit=permit))

    def get(self, zoho_id: str) -> Remote:
        """Read the plan by its code."""
        return _plan(self._api.get_plan(zoho_id))

    def look_up(self, intent: Intent) -> list[Remote]:
        """Read the plan by the code that was sent."""
        found = self._plan(intent.key)
        return [] if found is None else [_plan(found)]

    def is_taken(self, zoho_code: int | None) -> bool:
        """Say that a look by the code will tell: no refusal's meaning is published (§5)."""
        return may_mean_taken(zoho_code)

    def looks_first(self) -> bool:
        """Say yes: a plan whose code has changed here is not to be written over."""
        return True

    def next_step(self, source: Source, remote: Remote, *, after: str | None = None) -> Step:
        """Write our fields over the plan, but never another code: it is its id there."""
        plan: RemotePlan = remote.body
        if after is None and plan.plan_code != source.key:
            return Stuck(
                State.MISMATCH,
                "plan_code_changed",
                f"sku is {source.key}; its plan in Zoho is {plan.plan_code}, and is on the"
                " subscriptions there. Put the sku back, and make a package for the new one.",
                "sku",
            )
        return super().next_step(source, remote, after=after)

    def figures_differ(self, figures: dict[str, Any], remote: Remote) -> list[str]:
        """Compare code, price, interval and cycles."""
        return plan_differences(figures, remote.body)

    def fields_differ(self, source: Source, remote: Remote) -> list[str]:
        """Compare these, and name and tax. Its product is given once: no update changes it."""
        differing = plan_field_differences(source.payload, source.figures, remote.body)
        return [name for name in differing if name != "product_id"]

    def masked(self, write: Write) -> dict[str, Any]:
        """Show the whole of it: nothing in a price list is personal."""
        return {name: _plain(value) for name, value in write.payload.items()}

    def masked_answer(self, remote: Remote) -> dict[str, Any]:
        """Show code, price and how it is billed."""
        plan: RemotePlan = remote.body
        return {
            "plan_code": plan.plan_code,
            "status": plan.status,
            "recurring_price": _plain(plan.recurring_price),
            "interval": plan.interval,
            "interval_unit": plan.interval_unit,
            "billing_cycles": plan.billing_cycles,
        }

    def _plan(self, code: str) -> RemotePlan | None:
        try:
            return self._api.get_plan(code)
        except GoneInZoho:
            return None


def service_type_of(package: Package) -> str:
    """Give the id of a package's product record: its service type, empty where it has none."""
    return (package.service_type or "").strip()


def product_of(package: Package) -> RecordKey:
    """Name the product record of a package."""
    return RecordKey(EntityType.PRODUCT, service_type_of(package))


def _sent(row: object, version: datetime, sent: Sendable) -> Source:
    return Source(
        row,
        version,
        sent.fingerprint,
        key=sent.key,
        payload=sent.payload,
        figures=sent.figures,
        reading=sent,
    )


def _refused(row: object, version: datetime, refused: Unsendable) -> Source:
    # The sentence holds both values: another price that cannot be sent is another refusal.
    content = {"refused": refused.code, "field": refused.field, "sentence": refused.sentence}
    return Source(row, version, fingerprint(content), refused=refused)


def _found(match: Match, plan: RemotePlan | None = None) -> Found:
    found = found_of(match.kind, match.zoho_ids, match.why)
    return found if found.link is None or plan is None else replace(found, remote=_plan(plan))


def _plain(value: object) -> object:
    return value if value is None or isinstance(value, int) else str(value)


def _product(product: RemoteProduct) -> Remote:
    return Remote(product.zoho_id, product)


def _plan(plan: RemotePlan) -> Remote:
    return Remote(plan.plan_code, plan)
