"""The accounts host: `/oauth/v2/token` and its revocation."""

from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ops.fake_zoho import faults
from ops.fake_zoho.connection import bad_gateway, caller_left_within, drop_connection, truncated
from ops.fake_zoho.fake import FakeZoho
from ops.fake_zoho.oauth import SECRET_FIELDS
from ops.fake_zoho.replies import Reply
from ops.fake_zoho.requestlog import MINT_TOKEN


class Accounts:
    def __init__(self, fake: FakeZoho) -> None:
        self._fake = fake

    def routes(self) -> list[Route]:
        return [
            Route("/oauth/v2/token", self.mint, methods=["POST"]),
            Route("/oauth/v2/token/revoke", self.revoke, methods=["POST"]),
        ]

    async def mint(self, request: Request) -> Response:
        """Accept form body and query string alike, as Zoho does; note secrets in the latter."""
        fake = self._fake
        entry = fake.log.open(
            arrived=fake.clock.now(),
            method=request.method,
            path=request.url.path,
            query_keys=sorted(request.query_params.keys()),
        )
        entry.operation = MINT_TOKEN
        form = {**request.query_params, **await _text_fields(request)}
        if SECRET_FIELDS & request.query_params.keys():
            fake.tokens.secrets_in_query += 1
        fault = fake.faults.take(MINT_TOKEN)
        entry.fault = fault.kind if fault else None
        if isinstance(fault, faults.RefuseToken):
            fake.tokens.lock_out(fault.lock_out_seconds)
            response: Response = _as_json(fake.tokens.refuse())
        elif isinstance(fault, faults.BadGateway) and not fault.commits:
            response = bad_gateway()
        else:
            reply, entry.token = fake.tokens.answer(form, api_domain=_own_address(request))
            response = _as_json(reply)
        match fault:
            case faults.BadGateway():
                response = bad_gateway()
            case faults.TruncatedJson():
                response = truncated(response)
            case faults.AnswerDelayed(delay_seconds=seconds):
                await caller_left_within(seconds, request.receive)
        entry.ended = fake.clock.now()
        if isinstance(fault, faults.AnswerLost):
            await drop_connection(request)
        else:
            entry.status = response.status_code
        return response

    async def revoke(self, request: Request) -> Response:
        token = {**request.query_params, **await _text_fields(request)}.get("token", "")
        if self._fake.tokens.revoke(token):
            return JSONResponse({"status": "success"})
        return JSONResponse({"error": "invalid_code"})


def _as_json(reply: Reply) -> Response:
    return JSONResponse(reply.body, reply.status)


async def _text_fields(request: Request) -> dict[str, str]:
    """Read a urlencoded body; Starlette's parser of forms would need one package more."""
    return dict(parse_qsl((await request.body()).decode("utf-8", "replace")))


def _own_address(request: Request) -> str:
    return f"{request.url.scheme}://{request.url.netloc}"
