"""`GET /`: what fake Zoho holds, for people."""

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from ops.fake_zoho.fake import FakeZoho


def routes(fake: FakeZoho) -> list[Route]:
    templates = Environment(
        loader=PackageLoader("ops.fake_zoho"),
        autoescape=select_autoescape(),
        undefined=StrictUndefined,
    )

    async def holdings(_request: Request) -> Response:
        fake.turn_calendar()
        page = templates.get_template("holdings.html")
        return HTMLResponse(
            page.render(organisations=fake.organisations.values(), counters=fake.counters())
        )

    return [Route("/", holdings)]
