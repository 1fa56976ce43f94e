"""The catalogue: a service type becomes a product, a package a plan (`plan_code` = sku)."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from billing_sync.domain.comparing import fingerprint, same_name
from billing_sync.domain.errors import Unsendable
from billing_sync.domain.matching import Match, match_by_key
from billing_sync.domain.money import figure, is_figure, price_of
from billing_sync.domain.reading import Sendable
from billing_sync.domain.remote import RemotePlan, RemoteProduct
from billing_sync.domain.source import Package
from billing_sync.domain.tax import MoneyRules

ENDLESS: Final = -1
"""`billing_cycles`: until cancelled. Zoho refuses 0 (billing-api §4.2)."""

PLAN_PUT_NEEDS: Final = ("plan_code", "name", "recurring_price", "interval")
"""What every PUT of a plan must carry: a partial one once set prices to 0 (lessons A)."""

USABLE_PLAN_CODE: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._ -]{0,98}[A-Za-z0-9])?")
"""A plan is addressed by its code in the path: what a path may mistake is kept out of it."""


@dataclass(frozen=True, slots=True)
class ProductNames:
    """Names of products within our own prefix: Zoho's are neither unique nor filterable."""

    prefix: str = ""

    def make(self, service_type: str | None) -> str:
        """Name the product of a service type.

        :raises Unsendable: the service type is empty.
        """
        bare = " ".join((service_type or "").split())
        if not bare:
            raise Unsendable("service_type_missing", "service_type", "service_type is empty.")
        return f"{self.prefix}{bare}"


def read_product(service_type: str | None, names: ProductNames) -> Sendable:
    """Give what is sent for a service type.

    :raises Unsendable: it is empty.
    """
    name = names.make(service_type)
    payload = {"name": name}
    return Sendable(
        key=name, payload=payload, figures=dict(payload), fingerprint=fingerprint(payload)
    )


def match_product(
    name: str, products: Iterable[RemoteProduct], holders: Mapping[str, str], record_id: str
) -> Match:
    """Find our product among all of Zoho's, by its whole name, active ones first.

    `holders` gives the records of ours that hold a Zoho id.
    """
    same = [product for product in products if same_name(product.name) == same_name(name)]
    active = [product for product in same if product.status != "inactive"]
    return match_by_key([product.zoho_id for product in active or same], holders, record_id, "name")


def product_differences(figures: Mapping[str, Any], found: RemoteProduct) -> list[str]:
    """Name what must be equal in Zoho's product and is not: its name."""
    return [] if same_name(figures["name"]) == same_name(found.name) else ["name"]


def read_package(package: Package, rules: MoneyRules, *, product_zoho_id: str | None) -> Sendable:
    """Give what is sent for a package; `product_zoho_id` is None while the product is not there.

    An inactive package is sent all the same: a service may still be on it. Nothing is sent that was
    not read, and no setup fee: an installation is an invoice of ours.

    :raises Unsendable: sku, name or price is missing or unusable, or the price cannot be expressed.
    """
    code = (package.sku or "").strip()
    if not USABLE_PLAN_CODE.fullmatch(code):
        raise Unsendable(
            "plan_code_unusable",
            "sku",
            "sku must be letters, digits, spaces, dots, dashes and underscores, at most 100.",
        )
    name = " ".join((package.name or "").split())
    if not name:
        raise Unsendable("name_missing", "name", "name is empty.")
    price = price_of(package.price, "price", rules.precision)
    sent = rules.price_to_send(price, includes_tax=package.price_includes_tax, column="price")
    payload: dict[str, Any] = {
        "plan_code": code,
        "name": name,
        "recurring_price": sent,
        "interval": 1,
        "interval_unit": "months",
        "billing_cycles": ENDLESS,
        "product_id": product_zoho_id,
        "tax_id": rules.taxes.of_price("price").tax_id,
    }
    payload = {field: value for field, value in payload.items() if value not in (None, "")}
    figures = {
        "plan_code": code,
        "recurring_price": figure(sent, rules.precision),
        "interval": 1,
        "interval_unit": "months",
        "billing_cycles": ENDLESS,
    }
    return Sendable(
        key=code,
        payload=payload,
        figures=figures,
        fingerprint=fingerprint({**payload, "local_status": package.active}),
    )


def plan_update(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Give the body of a PUT: the whole plan, and never without the four that it needs.

    Its product is left out: that is given once, and is no field of a PUT in Zoho's description.

    :raises ValueError: one of the four is missing; the PUT would damage the plan.
    """
    missing = [field for field in PLAN_PUT_NEEDS if payload.get(field) in (None, "")]
    if missing:
        raise ValueError(f"a plan's update needs {', '.join(missing)}")
    return {name: value for name, value in payload.items() if name != "product_id"}


def match_plan(
    code: str, found: RemotePlan | None, holders: Mapping[str, str], record_id: str
) -> Match:
    """Judge the plan that Zoho holds under a code, which it keeps unique."""
    bearing = [found.plan_code] if found is not None and found.plan_code == code else []
    return match_by_key(bearing, holders, record_id, "plan code")


def plan_differences(figures: Mapping[str, Any], found: RemotePlan) -> list[str]:
    """Name what must be equal in Zoho's plan and is not: code, price, interval, cycles."""
    differing = [
        field
        for field in ("plan_code", "interval", "interval_unit", "billing_cycles")
        if figures[field] != getattr(found, field)
    ]
    if not is_figure(figures["recurring_price"], found.recurring_price):
        differing.append("recurring_price")
    return differing


def plan_field_differences(
    payload: Mapping[str, Any], figures: Mapping[str, Any], found: RemotePlan
) -> list[str]:
    """Name which of our non-empty fields differ, name, product and tax included."""
    differing = plan_differences(figures, found)
    if same_name(payload["name"]) != same_name(found.name):
        differing.append("name")
    # What a list row leaves out is not known to differ.
    differing += [
        field
        for field in ("product_id", "tax_id")
        if field in payload and getattr(found, field) not in ("", payload[field])
    ]
    return differing
