"""The calls that fake Zoho knows: path and method, scope, and what they do.

Each module of Zoho brings its own tuple of operations; `ALL` is what the API host serves.
"""

from ops.fake_zoho import (
    customers,
    invoices,
    payments,
    plans,
    products,
    settings,
    subscriptions,
    transactions,
)
from ops.fake_zoho.routing import Operation

ALL: tuple[Operation, ...] = (
    *settings.OPERATIONS,
    *customers.OPERATIONS,
    *products.OPERATIONS,
    *plans.OPERATIONS,
    *subscriptions.OPERATIONS,
    *invoices.OPERATIONS,
    *payments.OPERATIONS,
    *transactions.OPERATIONS,
)
