"""The products module of the API."""

from ops.fake_zoho.config import OrganisationConfig
from ops.fake_zoho.formats import timestamp
from ops.fake_zoho.listing import ListOf
from ops.fake_zoho.product_book import Product
from ops.fake_zoho.replies import JsonObject, Reply, success
from ops.fake_zoho.routing import ApiCall, Operation
from ops.fake_zoho.rules import Rule, against


def shown(product: Product, organisation: OrganisationConfig) -> JsonObject:
    """Show a product; its rows in lists are the same."""
    return product.profile | {
        "product_id": product.product_id,
        "status": product.status,
        "created_time": timestamp(product.created_time, organisation),
        "updated_time": timestamp(product.updated_time, organisation),
    }


def _create(call: ApiCall) -> Reply:
    product = call.organisation.products.create(call.body, by=call.user_name)
    return success(
        "The product has been created",
        status=201,
        product=shown(product, call.organisation.config),
    )


def _list(call: ApiCall) -> Reply:
    """List products. There is no filter by name: one has to read them all."""
    listed = ListOf[Product](
        envelope="products",
        report_name="Products",
        row=lambda product: shown(product, call.organisation.config),
        key=lambda product: product.product_id,
        orders={
            "name": lambda product: product.name.casefold(),
            "created_time": lambda product: product.created_time,
        },
        filters={
            "ProductStatus.All": lambda _: True,
            "ProductStatus.ACTIVE": lambda product: product.status == "active",
            "ProductStatus.INACTIVE": lambda product: product.status == "inactive",
        },
    )
    return listed.answer(call.organisation.products.index.visible(), call.query)


def _get(call: ApiCall) -> Reply:
    product = call.organisation.products.get(call.parameters["product_id"])
    return success(product=shown(product, call.organisation.config))


def _update(call: ApiCall) -> Reply:
    product = call.organisation.products.update(call.parameters["product_id"], call.body)
    return success(
        "The product details have been updated.",
        product=shown(product, call.organisation.config),
    )


def _delete(call: ApiCall) -> Reply:
    product = call.organisation.products.get(call.parameters["product_id"])
    if any(plan.product_id == product.product_id for plan in call.organisation.plans.all()):
        raise against(Rule.PRODUCT_IN_USE)
    call.organisation.products.delete(product.product_id)
    return success("The product has been deleted.")


def _mark_as_active(call: ApiCall) -> Reply:
    call.organisation.products.set_status(call.parameters["product_id"], "active")
    return success("The product has been marked as active.")


def _mark_as_inactive(call: ApiCall) -> Reply:
    call.organisation.products.set_status(call.parameters["product_id"], "inactive")
    return success("The product has been marked as inactive.")


COLLECTION = "/products"
ONE = "/products/{product_id}"
CREATE = "ZohoSubscriptions.products.CREATE"
READ = "ZohoSubscriptions.products.READ"
UPDATE = "ZohoSubscriptions.products.UPDATE"
DELETE = "ZohoSubscriptions.products.DELETE"

OPERATIONS = (
    Operation("create_product", "POST", COLLECTION, CREATE, _create, takes_body=True),
    Operation("list_products", "GET", COLLECTION, READ, _list),
    Operation("get_product", "GET", ONE, READ, _get),
    Operation("update_product", "PUT", ONE, UPDATE, _update, takes_body=True),
    Operation("delete_product", "DELETE", ONE, DELETE, _delete),
    Operation("mark_product_as_active", "POST", f"{ONE}/markasactive", CREATE, _mark_as_active),
    Operation(
        "mark_product_as_inactive", "POST", f"{ONE}/markasinactive", CREATE, _mark_as_inactive
    ),
)
