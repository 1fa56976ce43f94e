"""`GET /customers`: filters, order and pages over what the lagging index shows."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from ops.fake_zoho.config import OrganisationConfig
from ops.fake_zoho.customer_book import Customer, CustomerBook
from ops.fake_zoho.customer_views import row
from ops.fake_zoho.listing import Page, TextFilter, contains, text_filters
from ops.fake_zoho.replies import Reply, success

# `display_name` as a filter is our guess; the others were seen, or are documented for Books.
TEXTS: dict[str, Callable[[Customer], tuple[str, ...]]] = {
    "email": lambda customer: (customer.profile["email"],),
    "first_name": lambda customer: (customer.profile["first_name"],),
    "last_name": lambda customer: (customer.profile["last_name"],),
    "company_name": lambda customer: (customer.profile["company_name"],),
    "display_name": lambda customer: (customer.profile["display_name"],),
    "contact_name": lambda customer: (customer.profile["display_name"],),
    "phone": lambda customer: (customer.profile["phone"], customer.profile["mobile"]),
    "contact_number": lambda customer: (customer.profile["phone"], customer.profile["mobile"]),
    "status": lambda customer: (customer.status,),
}
SEARCHED = ("display_name", "company_name", "first_name", "last_name", "email", "phone")
STATUSES: dict[str, Callable[[Customer], bool]] = {
    "Status.All": lambda _: True,
    "Status.Active": lambda customer: customer.status == "active",
    "Status.Inactive": lambda customer: customer.status == "inactive",
    "Status.Gapps": lambda _: False,
    "Status.Crm": lambda _: False,
    "Status.NonSubscribers": lambda _: True,
    "Status.PortalEnabled": lambda customer: customer.profile["is_portal_enabled"],
    "Status.PortalDisabled": lambda customer: not customer.profile["is_portal_enabled"],
}
ORDERS: dict[str, Callable[[Customer], Any]] = {
    "customer_name": lambda customer: customer.profile["display_name"].casefold(),
    "created_time": lambda customer: customer.created_time,
    "updated_time": lambda customer: customer.updated_time,
    "last_modified_time": lambda customer: customer.updated_time,
    "email": lambda customer: customer.profile["email"].casefold(),
    "outstanding_receivable_amount": lambda customer: customer.outstanding,
}
CUSTOM_FIELD = re.compile(r"custom_field_(\d+)")


def list_customers(
    book: CustomerBook, query: Mapping[str, str], organisation: OrganisationConfig
) -> Reply:
    page = Page.of(query, tuple(ORDERS))
    filter_by = query.get("filter_by", "")
    applied = filter_by if filter_by in STATUSES else "Status.All"
    filters = text_filters(query)
    found = [
        customer
        for customer in book.index.visible()
        if STATUSES[applied](customer) and all(_accepts(one, customer) for one in filters)
    ]
    order = ORDERS[page.sort_column]
    found.sort(
        key=lambda customer: (order(customer), customer.customer_id), reverse=page.descending
    )
    return success(
        customers=[row(customer, organisation) for customer in page.cut(found)],
        page_context=page.context(len(found), "Customers", applied),
    )


def _accepts(one: TextFilter, customer: Customer) -> bool:
    if one.name == "search_text" and not one.how:
        return any(contains(customer.profile[name], one.wanted) for name in SEARCHED)
    if (custom := CUSTOM_FIELD.fullmatch(one.name)) is not None:
        return one.accepts(str(customer.custom_values.get(custom[1], "")))
    texts = TEXTS.get(one.name)
    return texts is None or any(one.accepts(text) for text in texts(customer))
