"""`/_fake/...`: how demo, tests and people steer fake Zoho and look into it. Never logged."""

from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import AwareDatetime, BaseModel, Field, TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ops.fake_zoho.config import Document, Limits, SeedCustomer
from ops.fake_zoho.fake import FakeZoho
from ops.fake_zoho.faults import FAULTS, ArmedFault
from ops.fake_zoho.replies import JsonObject, ZohoRefusal

type Endpoint = Callable[[Request], Awaitable[Response]]


class Seed(Document):
    """Customers to add as if made by hand; no organisation: the default one."""

    organization_id: str | None = None
    customers: list[SeedCustomer]


class LimitsChange(Document):
    organization_id: str | None = None
    calls_per_minute: int | None = Field(default=None, ge=1)
    calls_per_day: int | None = Field(default=None, ge=1)
    calls_in_flight: int | None = Field(default=None, ge=1)


class CalendarChange(Document):
    set: AwareDatetime | None = None
    advance_seconds: float = 0


class ClockChange(Document):
    advance_seconds: float = Field(ge=0)


def routes(fake: FakeZoho) -> list[Route]:
    async def state(request: Request) -> Response:
        return _json(fake.holdings())

    async def log(request: Request) -> Response:
        return JSONResponse([entry.model_dump() for entry in fake.log.entries])

    async def seed(request: Request) -> Response:
        asked = await _read(request, Seed)
        customers = fake.organisation(asked.organization_id).customers
        return JSONResponse(
            {"customer_ids": [customers.seed(one).customer_id for one in asked.customers]}
        )

    async def reset(request: Request) -> Response:
        fake.reset()
        return JSONResponse({})

    async def show_faults(request: Request) -> Response:
        return JSONResponse([_shown(armed) for armed in fake.faults.armed])

    async def arm_fault(request: Request) -> Response:
        fault = FAULTS.validate_json(await request.body())
        return JSONResponse(_shown(fake.faults.arm(fault)), 201)

    async def clear_faults(request: Request) -> Response:
        fake.faults.clear()
        return JSONResponse({})

    async def show_switches(request: Request) -> Response:
        return _json(fake.switches)

    async def change_switches(request: Request) -> Response:
        return _json(fake.switch(await _read_object(request)))

    async def change_limits(request: Request) -> Response:
        change = await _read(request, LimitsChange)
        limits = fake.organisation(change.organization_id).limits
        kept = limits.limits.model_dump()
        wanted = change.model_dump(exclude_none=True, exclude={"organization_id"})
        limits.limits = Limits.model_validate(kept | wanted)
        return _json(limits.limits)

    async def change_calendar(request: Request) -> Response:
        change = await _read(request, CalendarChange)
        if change.set is not None:
            fake.calendar.set(change.set)
        fake.calendar.advance(change.advance_seconds)
        return JSONResponse({"calendar_now": fake.calendar.now().isoformat()})

    async def advance_clock(request: Request) -> Response:
        fake.clock.advance((await _read(request, ClockChange)).advance_seconds)
        return JSONResponse({"limits_now": fake.clock.now()})

    async def revoke_access_tokens(request: Request) -> Response:
        fake.tokens.revoke_access_tokens()
        return JSONResponse({})

    return [
        _route("/state", state, "GET"),
        _route("/log", log, "GET"),
        _route("/seed", seed, "POST"),
        _route("/reset", reset, "POST"),
        _route("/faults", show_faults, "GET"),
        _route("/faults", arm_fault, "POST"),
        _route("/faults", clear_faults, "DELETE"),
        _route("/switches", show_switches, "GET"),
        _route("/switches", change_switches, "PATCH"),
        _route("/limits", change_limits, "PATCH"),
        _route("/calendar", change_calendar, "POST"),
        _route("/clock", advance_clock, "POST"),
        _route("/tokens", revoke_access_tokens, "DELETE"),
    ]


def _route(path: str, endpoint: Endpoint, method: str) -> Route:
    async def say_what_is_wrong(request: Request) -> Response:
        try:
            return await endpoint(request)
        except ValidationError as error:
            wrong = error.errors(include_url=False, include_context=False, include_input=False)
            return JSONResponse({"error": wrong}, 400)
        except ZohoRefusal as refusal:
            return JSONResponse({"error": refusal.reply.body["message"]}, 400)
        except KeyError as error:
            return JSONResponse({"error": f"unknown organisation {error.args[0]}"}, 404)

    return Route(path, say_what_is_wrong, methods=[method])


async def _read[Model: BaseModel](request: Request, model: type[Model]) -> Model:
    return model.model_validate_json(await request.body())


async def _read_object(request: Request) -> JsonObject:
    return TypeAdapter(dict[str, Any]).validate_json(await request.body())


def _shown(armed: ArmedFault) -> JsonObject:
    return {"id": armed.id, "met": armed.met, **armed.fault.model_dump()}


def _json(model: BaseModel) -> Response:
    return Response(model.model_dump_json(), media_type="application/json")
