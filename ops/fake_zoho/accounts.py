"""The accounts host: `/oauth/v2/token` and its revocation."""

from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ops.fake_zoho.fake import FakeZoho
from ops.fake_zoho.faults import RefuseToken
from ops.fake_zoho.oauth import SECRET_FIELDS
from ops.fake_zoho.requestlog import MINT_TOKEN


def routes(fake: FakeZoho) -> list[Route]:
    async def mint(request: Request) -> Response:
        """Accept form body and query string alike, as Zoho does; note secrets in the latter."""
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
        if isinstance(fault, RefuseToken):
            entry.fault = fault.kind
            fake.tokens.lock_out(fault.lock_out_seconds)
            reply = fake.tokens.refuse(fault.status)
        else:
            reply, entry.token = fake.tokens.answer(form, api_domain=_own_address(request))
        entry.status, entry.ended = reply.status, fake.clock.now()
        return JSONResponse(reply.body, reply.status)

    async def revoke(request: Request) -> Response:
        token = {**request.query_params, **await _text_fields(request)}.get("token", "")
        if fake.tokens.revoke(token):
            return JSONResponse({"status": "success"})
        return JSONResponse({"error": "invalid_code"})

    return [
        Route("/oauth/v2/token", mint, methods=["POST"]),
        Route("/oauth/v2/token/revoke", revoke, methods=["POST"]),
    ]


async def _text_fields(request: Request) -> dict[str, str]:
    """Read a urlencoded body; Starlette's parser of forms would need one package more."""
    return dict(parse_qsl((await request.body()).decode("utf-8", "replace")))


def _own_address(request: Request) -> str:
    return f"{request.url.scheme}://{request.url.netloc}"
