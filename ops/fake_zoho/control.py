"""`/_fake/...`: how demo, tests and people steer fake Zoho and look into it. Never logged."""

from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import AwareDatetime, BaseModel, Field, TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ops.fake_zoho import by_hand, operations
from ops.fake_zoho.by_hand import ByHand
from ops.fake_zoho.config import Document, Limits
from ops.fake_zoho.fake import FakeZoho
from ops.fake_zoho.faults import FAULTS, ArmedFault
from ops.fake_zoho.replies import JsonObject, RefusedError
from ops.fake_zoho.requestlog import MINT_TOKEN

KNOWN_OPERATIONS = {None, MINT_TOKEN, *(operation.name for operation in operations.ALL)}

type Endpoint = Callable[[Request], Awaitable[Response]]


class Seed(ByHand):
    """Records to add as if made by hand; no organisation: the default one."""

    organization_id: str | None = None


class Reset(Document):
    keep_tokens: bool = False


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


class Control:
    """The endpoints; each method is one."""

    def __init__(self, fake: FakeZoho) -> None:
        self._fake = fake

    def routes(self) -> list[Route]:
        return [
            _route("/state", self.state, "GET"),
            _route("/log", self.log, "GET"),
            _route("/seed", self.seed, "POST"),
            _route("/reset", self.reset, "POST"),
            _route("/faults", self.show_faults, "GET"),
            _route("/faults", self.arm_fault, "POST"),
            _route("/faults", self.clear_faults, "DELETE"),
            _route("/switches", self.show_switches, "GET"),
            _route("/switches", self.change_switches, "PATCH"),
            _route("/limits", self.change_limits, "PATCH"),
            _route("/calendar", self.change_calendar, "POST"),
            _route("/clock", self.advance_clock, "POST"),
            _route("/tokens", self.revoke_access_tokens, "DELETE"),
        ]

    async def state(self, _request: Request) -> Response:
        return _json(self._fake.holdings())

    async def log(self, _request: Request) -> Response:
        return JSONResponse([entry.model_dump() for entry in self._fake.log.entries])

    async def seed(self, request: Request) -> Response:
        asked = await _read(request, Seed)
        organisation = self._fake.organisation(asked.organization_id)
        return _json(by_hand.keep(organisation, asked))

    async def reset(self, request: Request) -> Response:
        asked = Reset.model_validate_json(await request.body() or b"{}")
        self._fake.reset(keep_tokens=asked.keep_tokens)
        return JSONResponse({})

    async def show_faults(self, _request: Request) -> Response:
        return JSONResponse([_shown(armed) for armed in self._fake.faults.armed])

    async def arm_fault(self, request: Request) -> Response:
        fault = FAULTS.validate_json(await request.body())
        if fault.operation not in KNOWN_OPERATIONS:
            return JSONResponse({"error": f"unknown operation {fault.operation}"}, 400)
        return JSONResponse(_shown(self._fake.faults.arm(fault)), 201)

    async def clear_faults(self, _request: Request) -> Response:
        self._fake.faults.clear()
        return JSONResponse({})

    async def show_switches(self, _request: Request) -> Response:
        return _json(self._fake.switches)

    async def change_switches(self, request: Request) -> Response:
        changes = TypeAdapter(dict[str, Any]).validate_json(await request.body())
        return _json(self._fake.switch(changes))

    async def change_limits(self, request: Request) -> Response:
        change = await _read(request, LimitsChange)
        limits = self._fake.organisation(change.organization_id).limits
        wanted = change.model_dump(exclude_none=True, exclude={"organization_id"})
        limits.limits = Limits.model_validate(limits.limits.model_dump() | wanted)
        return _json(limits.limits)

    async def change_calendar(self, request: Request) -> Response:
        change = await _read(request, CalendarChange)
        calendar = self._fake.calendar
        if change.set is not None:
            calendar.set(change.set)
        calendar.advance(change.advance_seconds)
        self._fake.turn_calendar()
        return JSONResponse({"calendar_now": calendar.now().isoformat()})

    async def advance_clock(self, request: Request) -> Response:
        self._fake.clock.advance((await _read(request, ClockChange)).advance_seconds)
        return JSONResponse({"limits_now": self._fake.clock.now()})

    async def revoke_access_tokens(self, _request: Request) -> Response:
        self._fake.tokens.revoke_access_tokens()
        return JSONResponse({})


def _route(path: str, endpoint: Endpoint, method: str) -> Route:
    async def say_what_is_wrong(request: Request) -> Response:
        try:
            return await endpoint(request)
        except ValidationError as error:
            wrong = error.errors(include_url=False, include_context=False, include_input=False)
            return JSONResponse({"error": wrong}, 400)
        except RefusedError as refusal:
            return JSONResponse({"error": refusal.reply.body["message"]}, 400)
        except KeyError as error:
            return JSONResponse({"error": f"unknown organisation {error.args[0]}"}, 404)

    return Route(path, say_what_is_wrong, methods=[method])


async def _read[Model: BaseModel](request: Request, model: type[Model]) -> Model:
    return model.model_validate_json(await request.body())


def _shown(armed: ArmedFault) -> JsonObject:
    return {"id": armed.id, "met": armed.met, **armed.fault.model_dump()}


def _json(model: BaseModel) -> Response:
    return Response(model.model_dump_json(), media_type="application/json")
