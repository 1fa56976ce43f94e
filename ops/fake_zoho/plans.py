"""The plans module of the API: paths carry the plan's code, not an id."""

from ops.fake_zoho.config import OrganisationConfig
from ops.fake_zoho.formats import money, timestamp
from ops.fake_zoho.listing import ListOf
from ops.fake_zoho.plan_book import Plan
from ops.fake_zoho.replies import JsonObject, Reply, success
from ops.fake_zoho.routing import ApiCall, Operation
from ops.fake_zoho.rules import Rule, against


def row(plan: Plan, organisation: OrganisationConfig) -> JsonObject:
    """Show a plan as lists do."""
    terms = plan.terms
    return terms.model_dump(exclude={"custom_fields", "redirect_url"}) | {
        "plan_id": plan.plan_id,
        "product_id": plan.product_id,
        "recurring_price": money(terms.recurring_price, organisation),
        "setup_fee": money(terms.setup_fee, organisation),
        "status": plan.status,
        "addons": [],
        "created_time": timestamp(plan.created_time, organisation),
        "updated_time": timestamp(plan.updated_time, organisation),
    }


def detail(plan: Plan, organisation: OrganisationConfig) -> JsonObject:
    """Show a plan as create, update and get do."""
    return row(plan, organisation) | {
        "url": f"https://billing.example/subscribe/{plan.plan_id}/{plan.plan_code}",
        "tags": [],
        "custom_fields": [],
    }


def _create(call: ApiCall) -> Reply:
    plan = call.organisation.plans.create(call.body, by=call.user_name)
    return success(
        "The plan has been created.", status=201, plan=detail(plan, call.organisation.config)
    )


def _list(call: ApiCall) -> Reply:
    listed = ListOf[Plan](
        envelope="plans",
        report_name="Plans",
        row=lambda plan: row(plan, call.organisation.config),
        key=lambda plan: plan.plan_code,
        orders={
            "name": lambda plan: plan.terms.name.casefold(),
            "created_time": lambda plan: plan.created_time,
        },
        filters={
            "PlanStatus.All": lambda _: True,
            "PlanStatus.ACTIVE": lambda plan: plan.status == "active",
            "PlanStatus.INACTIVE": lambda plan: plan.status == "inactive",
        },
        texts={
            "product_id": lambda plan: plan.product_id,
            "plan_code": lambda plan: plan.plan_code,
        },
        searched=lambda plan: (plan.plan_code, plan.terms.name),
    )
    return listed.answer(call.organisation.plans.index.visible(), call.query)


def _get(call: ApiCall) -> Reply:
    plan = call.organisation.plans.get(call.parameters["plan_code"])
    return success(plan=detail(plan, call.organisation.config))


def _update(call: ApiCall) -> Reply:
    plan = call.organisation.plans.update(call.parameters["plan_code"], call.body)
    return success(
        "The plan details has been updated.", plan=detail(plan, call.organisation.config)
    )


def _delete(call: ApiCall) -> Reply:
    plan = call.organisation.plans.get(call.parameters["plan_code"])
    if call.organisation.subscriptions.of_plan(plan.plan_code):
        raise against(Rule.PLAN_IN_USE)
    call.organisation.plans.delete(plan.plan_code)
    return success("The plan has been deleted.")


def _mark_as_active(call: ApiCall) -> Reply:
    call.organisation.plans.set_status(call.parameters["plan_code"], "active")
    return success("The plan has been marked as active.")


def _mark_as_inactive(call: ApiCall) -> Reply:
    call.organisation.plans.set_status(call.parameters["plan_code"], "inactive")
    return success("The plan has been marked as inactive.")


COLLECTION = "/plans"
ONE = "/plans/{plan_code}"
CREATE = "ZohoSubscriptions.plans.CREATE"
READ = "ZohoSubscriptions.plans.READ"
UPDATE = "ZohoSubscriptions.plans.UPDATE"
DELETE = "ZohoSubscriptions.plans.DELETE"

OPERATIONS = (
    Operation("create_plan", "POST", COLLECTION, CREATE, _create, takes_body=True),
    Operation("list_plans", "GET", COLLECTION, READ, _list),
    Operation("get_plan", "GET", ONE, READ, _get),
    Operation("update_plan", "PUT", ONE, UPDATE, _update, takes_body=True),
    Operation("delete_plan", "DELETE", ONE, DELETE, _delete),
    Operation("mark_plan_as_active", "POST", f"{ONE}/markasactive", CREATE, _mark_as_active),
    Operation("mark_plan_as_inactive", "POST", f"{ONE}/markasinactive", CREATE, _mark_as_inactive),
)
