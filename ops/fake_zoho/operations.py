"""The calls that fake Zoho knows: path and method, scope, and what they do.

Each module of Zoho brings its own tuple of operations; `ALL` is what the API host serves.
"""

from ops.fake_zoho import customers, plans, products, settings
from ops.fake_zoho.routing import Operation

ALL: tuple[Operation, ...] = (
    *settings.OPERATIONS,
    *customers.OPERATIONS,
    *products.OPERATIONS,
    *plans.OPERATIONS,
)
