"""The ASGI application: both hosts of Zoho by path, the control endpoints, and the page."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from ops.fake_zoho import page
from ops.fake_zoho.accounts import Accounts
from ops.fake_zoho.api import ROOT, ApiHost
from ops.fake_zoho.control import Control
from ops.fake_zoho.fake import FakeZoho
from ops.fake_zoho.replies import invalid_url


def create_app(fake: FakeZoho) -> Starlette:
    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        fake.stop()

    async def unknown(_request: Request, _error: Exception) -> Response:
        reply = invalid_url().reply
        return JSONResponse(reply.body, reply.status)

    return Starlette(
        routes=[
            *page.routes(fake),
            *Accounts(fake).routes(),
            Mount("/_fake", routes=Control(fake).routes()),
            # A Route, not a Mount: a Mount would change the path that the log shows.
            Route(f"{ROOT}/{{path:path}}", ApiHost(fake)),
        ],
        exception_handlers={404: unknown},
        lifespan=lifespan,
    )
