"""The dashboard of a stack as a page on this machine: what CloudWatch's custom widget shows."""

import json
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined
from pydantic import BaseModel, ConfigDict, ValidationError

from billing_sync.domain.steps import OperateEvent, first_fault
from ops.cli.session import FINE, Session
from ops.cli.stack import Stack, StackFault

LOCALHOST: Final = "127.0.0.1"
LARGEST_BODY_BYTES: Final = 10_000
PATIENCE_SECONDS: Final = 10.0
"""How long a browser may take to say what it wants."""

_PLAIN: Final = "text/plain; charset=utf-8"
_HTML: Final = "text/html; charset=utf-8"


class Refused(Exception):
    """A request that is not answered, with its status and a sentence."""

    def __init__(self, status: HTTPStatus, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


class _FromPage(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class _Look(_FromPage):
    """How the page wants the widget drawn."""

    theme: str
    offset: str


class _Call(_FromPage):
    """A button that was pressed: the function that it names, and what it sends."""

    endpoint: str
    params: dict[str, Any]


class Dashboard:
    """The page, the widget and its buttons; one for each start of the command.

    `key` is drawn anew each time and stands in the page's address. Other pages, and whoever else
    uses this machine, do not know it, so they can neither read the page nor press its buttons.
    """

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self.key = secrets.token_urlsafe(32)
        environment = Environment(
            loader=PackageLoader("ops.cli", "."), autoescape=True, undefined=StrictUndefined
        )
        self._page = environment.get_template("page.html")

    def page(self, nonce: str) -> str:
        """Give the page around the widget. Only scripts that bear the nonce run in it."""
        return self._page.render(label=self._stack.label, token=self.key, nonce=nonce)

    def widget(self, given: object) -> str:
        """Ask the stack for the widget's content.

        :raises Refused: the request is not one of the page's.
        :raises StackFault: the stack does not answer.
        """
        look = _read(_Look, given)
        return self._stack.dashboard(
            {"widgetContext": {"theme": look.theme, "timezone": {"offsetISO": look.offset}}}
        )

    def call(self, given: object) -> str:
        """Do what a button asks for; no other function than the stack's `operate` is called.

        :raises Refused: another function was named, or something that `operate` does not know.
        :raises StackFault: the stack does not answer.
        """
        call = _read(_Call, given)
        # The name counts, in this stack's account and region: wherever the rest leads, nobody goes.
        if call.endpoint.partition(":function:")[2] != self._stack.operate_function:
            raise Refused(
                HTTPStatus.FORBIDDEN, "This page calls the stack's own operate function only."
            )
        return _in_words(self._stack.operate(_read(OperateEvent, call.params)))


def _read[M: BaseModel](model: type[M], given: object) -> M:
    try:
        return model.model_validate(given)
    except ValidationError as error:
        field, why = first_fault(error)
        raise Refused(HTTPStatus.BAD_REQUEST, f"{field or 'request'}: {why}") from None


def _in_words(answer: Mapping[str, Any]) -> str:
    if not answer.get("ok"):
        return f"{answer.get('error') or 'Refused'}: {answer.get('why') or 'no reason was given'}"
    if "signalled" in answer:
        count = answer["signalled"]
        if not count:
            return "No record is like that any more: nothing was changed."
        return f"{count} record{'' if count == 1 else 's'} will be tried again."
    return "Done."


class DashboardServer(ThreadingHTTPServer):
    """Serves the page to this machine alone."""

    daemon_threads = True

    def __init__(self, dashboard: Dashboard, port: int) -> None:
        """Listen; port 0 takes a free one.

        :raises OSError: the port is taken.
        """
        super().__init__((LOCALHOST, port), _Handler)
        self.dashboard = dashboard

    @property
    def url(self) -> str:
        """The address to open, with the key."""
        return f"http://{LOCALHOST}:{self.server_port}/?key={self.dashboard.key}"


class _Handler(BaseHTTPRequestHandler):
    server: DashboardServer
    timeout = PATIENCE_SECONDS

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._answer(self._post)

    def _get(self) -> None:
        address = urlsplit(self.path)
        if address.path != "/":
            raise Refused(HTTPStatus.NOT_FOUND, "There is nothing here.")
        self._admit(parse_qs(address.query).get("key", [""])[0])
        nonce = secrets.token_urlsafe(16)
        self._send(HTTPStatus.OK, self.server.dashboard.page(nonce), _HTML, nonce)

    def _post(self) -> None:
        # Asked for in a header: a form of another page can send none.
        self._admit(self.headers.get("X-Billing-Sync-Key", ""))
        answers: dict[str, Callable[[object], str]] = {
            "/widget": self.server.dashboard.widget,
            "/call": self.server.dashboard.call,
        }
        answer = answers.get(self.path)
        if answer is None:
            raise Refused(HTTPStatus.NOT_FOUND, "There is nothing here.")
        self._send(HTTPStatus.OK, answer(self._body()), _PLAIN)

    def _admit(self, key: str) -> None:
        """Refuse whoever lacks the key, and names other than this machine's (DNS rebinding)."""
        ours = {f"{LOCALHOST}:{self.server.server_port}", f"localhost:{self.server.server_port}"}
        known = secrets.compare_digest(key.encode(), self.server.dashboard.key.encode())
        if self.headers.get("Host") not in ours or not known:
            raise Refused(HTTPStatus.FORBIDDEN, "Open the address that the command printed.")

    def _body(self) -> object:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > LARGEST_BODY_BYTES:
            raise Refused(HTTPStatus.BAD_REQUEST, "The request is too long, or does not say.")
        try:
            return json.loads(self.rfile.read(int(length)))
        except ValueError:
            raise Refused(HTTPStatus.BAD_REQUEST, "The request is no JSON.") from None

    def _answer(self, method: Callable[[], None]) -> None:
        # A browser that went away wants no answer.
        with suppress(ConnectionError):
            try:
                method()
            except Refused as refused:
                self._send(refused.status, refused.sentence, _PLAIN)
            except StackFault as fault:
                self._send(HTTPStatus.BAD_GATEWAY, f"{fault.code}: {fault.sentence}", _PLAIN)

    def _send(self, status: HTTPStatus, text: str, kind: str, nonce: str = "") -> None:
        body = text.encode()
        scripts = f"'nonce-{nonce}'" if nonce else "'none'"
        self.send_response(status)
        for name, value in {
            "Content-Type": kind,
            "Content-Length": str(len(body)),
            "Cache-Control": "no-store",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
            # The widget's own styles are inline; whatever else it may hold is not run or fetched.
            "Content-Security-Policy": f"default-src 'none'; script-src {scripts}; style-src"
            " 'unsafe-inline'; connect-src 'self'; base-uri 'none'; form-action 'none';"
            " frame-ancestors 'none'",
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_given: object) -> None:
        """Say nothing: an address holds the key."""


def serve(session: Session, port: int) -> int:
    """Serve the page until Ctrl-C."""
    stack = session.stack
    # Known before anybody opens the page: a stack that cannot be asked is told here.
    session.say(f"buttons ask {stack.operate_function}", style="dim")
    try:
        server = DashboardServer(Dashboard(stack), port)
    except OSError as error:
        why = f"{LOCALHOST}:{port} cannot be listened on: {error.strerror}."
        return session.refuse({"ok": False, "error": "NoPort", "field": "port", "why": why})
    with server:
        session.emit({"ok": True, "url": server.url})
        session.show(f"{server.url}\nOpen it in a browser of this machine; Ctrl-C ends it.")
        with suppress(KeyboardInterrupt):
            server.serve_forever()
    session.say("ended", style="dim")
    return FINE
