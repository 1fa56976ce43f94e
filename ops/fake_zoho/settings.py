"""The settings that a client reads before it writes: organisations and taxes."""

from ops.fake_zoho.replies import Reply, success
from ops.fake_zoho.routing import ApiCall, Operation

READ = "ZohoSubscriptions.settings.READ"
SHOWN = {
    "organization_id",
    "name",
    "is_default_org",
    "is_org_active",
    "plan_name",
    "currency_code",
    "currency_symbol",
    "time_zone",
    "price_precision",
}


def _list_organisations(call: ApiCall) -> Reply:
    return success(
        organizations=[
            organisation.config.model_dump(mode="json", include=SHOWN)
            for organisation in call.reachable
        ]
    )


def _list_taxes(call: ApiCall) -> Reply:
    return success(
        taxes=[
            {
                "tax_id": tax.tax_id,
                "tax_name": tax.tax_name,
                "tax_percentage": float(tax.tax_percentage),
                "tax_type": "tax",
                "is_default_tax": tax.is_default_tax,
                "is_editable": True,
            }
            for tax in call.organisation.config.usable_taxes()
        ]
    )


OPERATIONS = (
    Operation("list_organisations", "GET", "/organizations", READ, _list_organisations),
    Operation("list_taxes", "GET", "/settings/taxes", READ, _list_taxes),
)
