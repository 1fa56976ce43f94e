"""The API host: every call goes through the same checks, in the order in which Zoho makes them.

path → Authorization → live token → scope → organisation → in flight → minute → day → method
→ JSON → validation → business rule. (The order is inferred; the codes were seen.)
"""

import asyncio
import json

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ops.fake_zoho import faults, operations
from ops.fake_zoho.connection import (
    bad_gateway,
    caller_leaves,
    caller_left_within,
    drop_connection,
    truncated,
)
from ops.fake_zoho.fake import FakeZoho
from ops.fake_zoho.listing import PAGING
from ops.fake_zoho.oauth import AccessToken
from ops.fake_zoho.organisation import Organisation
from ops.fake_zoho.replies import (
    JsonObject,
    RefusedError,
    Reply,
    internal_error,
    invalid_url,
    malformed_json,
    method_not_allowed,
    no_organisation,
    not_authorised,
)
from ops.fake_zoho.requestlog import LogEntry
from ops.fake_zoho.routing import ApiCall, Operation, Route, find_route

ROOT = "/billing/v1"
ORGANISATION_HEADER = "X-com-zoho-subscriptions-organizationid"
JSON_TYPE = "application/json;charset=UTF-8"


class UnansweredError(Exception):
    """This call gets no answer: the connection is dropped, or its caller has left."""


class ApiHost:
    """Serve `/billing/v1/...` as an ASGI application."""

    def __init__(self, fake: FakeZoho) -> None:
        self._fake = fake

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        fake = self._fake
        entry = fake.log.open(
            arrived=fake.clock.now(),
            method=request.method,
            path=request.url.path,
            query_keys=sorted(request.query_params.keys()),
        )
        response: Response | None
        try:
            response = await _Visit(fake, request, entry).answer()
        except (UnansweredError, ClientDisconnect):
            response = None
        finally:
            # Before any caller can notice: one that has its answer may send the next call at once.
            entry.ended = fake.clock.now()
        if response is None:
            await drop_connection(request)
            return
        entry.status = response.status_code
        await response(scope, receive, send)


class _Visit:
    """One call on its way through the checks."""

    def __init__(self, fake: FakeZoho, request: Request, entry: LogEntry) -> None:
        self._fake = fake
        self._request = request
        self._entry = entry

    async def answer(self) -> Response:
        raw = await self._request.body()
        # A call has arrived when it is whole. Nothing awaits from here until its limits are
        # judged, by this very moment: calls are judged in the order of their arrivals, and the
        # log shows the times that counted.
        self._entry.arrived = self._fake.clock.now()
        try:
            route = self._route()
            token = self._token(route)
            organisation, reachable = self._organisation(token)
        except RefusedError as refusal:
            return self._as_json(refusal.reply)
        try:
            response = await self._admitted(raw, route, token, organisation, reachable)
        except RefusedError as refusal:
            response = self._as_json(refusal.reply)
        response.headers.update(organisation.limits.headers())
        return response

    def _route(self) -> Route:
        path = self._request.url.path.removeprefix(ROOT)
        route = find_route(operations.ALL, self._request.method, path)
        if route is None:
            raise invalid_url()
        if route.operation is not None:
            self._entry.operation = route.operation.name
        return route

    def _token(self, route: Route) -> AccessToken:
        token = self._fake.tokens.authenticate(self._request.headers.get("Authorization"))
        self._entry.token = token.ordinal
        if route.operation is not None and not token.allows(route.operation.scope):
            raise not_authorised()
        return token

    def _organisation(self, token: AccessToken) -> tuple[Organisation, list[Organisation]]:
        """Find whose call this is: header, else query, else the credential's default one."""
        allowed = token.credential.organisations
        reachable = [
            one for one in self._fake.organisations.values() if allowed is None or one.id in allowed
        ]
        if not reachable:
            raise no_organisation()
        named = self._request.headers.get(ORGANISATION_HEADER) or self._request.query_params.get(
            "organization_id"
        )
        own = next((one for one in reachable if one.config.is_default_org), reachable[0])
        organisation: Organisation | None = own
        if named:
            organisation = next((one for one in reachable if one.id == named), None)
        # The list of organisations is how a caller learns their ids: it needs none.
        if organisation is None and self._entry.operation == "list_organisations":
            organisation = own
        if organisation is None:
            raise no_organisation()
        self._entry.organisation = organisation.id
        return organisation, reachable

    async def _admitted(
        self,
        raw: bytes,
        route: Route,
        token: AccessToken,
        organisation: Organisation,
        reachable: list[Organisation],
    ) -> Response:
        fault = self._fake.faults.take(
            self._entry.operation,
            _display_name(raw),
            body=raw.decode("utf-8", "replace"),
            path=self._request.url.path,
        )
        if fault is not None:
            self._entry.fault = fault.kind
        if isinstance(fault, faults.DeadToken):
            self._fake.tokens.revoke_access_tokens()
            raise not_authorised()
        if isinstance(fault, faults.Throttled):
            if self._fake.switches.refused_calls_count:
                organisation.limits.count(self._entry.arrived)
            raise organisation.limits.refuse(fault.code)
        with organisation.limits.slot(self._entry.arrived):
            if route.operation is None:
                raise method_not_allowed()
            if isinstance(fault, faults.Refused):
                raise RefusedError(fault.status, fault.code, "Refused.")
            body = _read_json(raw) if route.operation.takes_body else {}
            query = dict(self._request.query_params)
            if isinstance(fault, faults.FiltersIgnored):
                query = {key: value for key, value in query.items() if key in PAGING}
            if isinstance(fault, faults.FieldAltered):
                fault.alter(body)
            call = ApiCall(
                organisation=organisation,
                reachable=reachable,
                user_name=token.credential.user_name,
                parameters=route.parameters,
                query=query,
                body=body,
            )
            return await self._perform(route.operation, call, fault)

    async def _perform(
        self, operation: Operation, call: ApiCall, fault: faults.AnyFault | None
    ) -> Response:
        """Commit and answer: half of the latency lies before the commit, half behind it."""
        latency = self._fake.random.uniform(*self._fake.switches.latency_ms) / 1000
        await caller_left_within(latency / 2, self._request.receive)
        match fault:
            case faults.CommitDelayed():
                reply = await self._commit_late(operation, call, fault)
            case faults.BadGateway(commits=commits):
                _commit_if(commits, operation, call)
                return bad_gateway()
            case faults.InternalError(commits=commits):
                _commit_if(commits, operation, call)
                raise internal_error()
            case faults.CodeNotZero(commits=commits):
                _commit_if(commits, operation, call)
                message = "Sorry, we could not process your request."
                reply = Reply(200, {"code": 1000, "message": message})
            case _:
                reply = _commit(operation, call)
        if isinstance(fault, faults.AnswerLost):
            raise UnansweredError
        if isinstance(fault, faults.AnswerDelayed):
            latency += 2 * fault.delay_seconds
        if await caller_left_within(latency / 2, self._request.receive):
            raise UnansweredError
        if isinstance(fault, faults.WithoutId):
            _take_ids_off(reply.body)
        response = self._as_json(reply)
        if isinstance(fault, faults.TruncatedJson):
            return truncated(response)
        return response

    async def _commit_late(
        self, operation: Operation, call: ApiCall, fault: faults.CommitDelayed
    ) -> Reply:
        """Commit in the background, so that it happens whether or not the caller waits."""
        replies: list[Reply] = []

        async def commit() -> None:
            await asyncio.sleep(fault.delay_seconds)
            replies.append(_commit(operation, call))

        commits = self._fake.later(commit())
        if not fault.hang:
            raise UnansweredError
        leaves = asyncio.ensure_future(caller_leaves(self._request.receive))
        try:
            await asyncio.wait({commits, leaves}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaves.cancel()
        if not replies:
            raise UnansweredError
        return replies[0]

    def _as_json(self, reply: Reply) -> Response:
        self._entry.code = reply.body["code"]
        content = json.dumps(reply.body, ensure_ascii=False, separators=(",", ":"))
        return Response(content.encode(), reply.status, reply.headers, media_type=JSON_TYPE)


def _commit(operation: Operation, call: ApiCall) -> Reply:
    call.organisation.turn_calendar()
    try:
        return operation.perform(call)
    except RefusedError as refusal:
        return refusal.reply


def _commit_if(commits: bool, operation: Operation, call: ApiCall) -> None:
    if commits:
        _commit(operation, call)


def _read_json(raw: bytes) -> JsonObject:
    try:
        body = json.loads(raw)
    except ValueError as error:
        raise malformed_json() from error
    if not isinstance(body, dict):
        raise malformed_json()
    return body


def _display_name(raw: bytes) -> str | None:
    """Look for a display name, so that a fault can be armed for one record."""
    try:
        name = _read_json(raw).get("display_name")
    except RefusedError:
        return None
    return name if isinstance(name, str) else None


def _take_ids_off(body: JsonObject) -> None:
    for name, resource in body.items():
        if isinstance(resource, dict):
            resource.pop(f"{name}_id", None)
            resource.pop(f"{name}_code", None)  # a plan's code is its id
