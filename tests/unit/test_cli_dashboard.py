"""`billing-sync dashboard`: a page for this machine alone, whose buttons reach one function."""

import json
import re
import socket
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from typer.testing import CliRunner

from ops.cli.app import app
from ops.cli.dashboard import LARGEST_BODY_BYTES, LOCALHOST, Dashboard, DashboardServer
from ops.cli.stack import StackFault
from tests.fakes.stack import FakeStack

OPERATE = "arn:aws:lambda:us-east-1:000000000000:function:billing-sync-operate"
RETRY = {"action": "retry", "by": "dashboard", "entity": "invoice", "code": "totals_differ"}
LOOK = {"theme": "dark", "offset": "+02:00"}


class Response(NamedTuple):
    status: int
    headers: dict[str, str]
    body: str


class Browser:
    """Speaks HTTP to the server over a pair of sockets: unit tests connect to nothing."""

    def __init__(self, server: DashboardServer) -> None:
        self.server = server
        self.host = f"{LOCALHOST}:{server.server_port}"
        self.key = server.dashboard.key

    def ask(
        self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b""
    ) -> Response:
        head = {"Host": self.host, **(headers or {})}
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {head[name]}" for name in head), "", ""]
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.sendall("\r\n".join(lines).encode() + body)
            ours.shutdown(socket.SHUT_WR)
            answering = threading.Thread(
                target=self.server.finish_request, args=(theirs, (LOCALHOST, 1))
            )
            answering.start()
            answering.join()
            theirs.shutdown(socket.SHUT_WR)
            told = b"".join(iter(lambda: ours.recv(65_536), b"")).decode()
        first, _, rest = told.partition("\r\n")
        written, _, content = rest.partition("\r\n\r\n")
        pairs = (line.split(": ", 1) for line in written.split("\r\n"))
        return Response(int(first.split()[1]), dict(pairs), content)

    def post(self, path: str, given: object, **headers: str) -> Response:
        body = given if isinstance(given, bytes) else json.dumps(given).encode()
        return self.ask(
            "POST",
            path,
            {"X-Billing-Sync-Key": self.key, "Content-Length": str(len(body)), **headers},
            body,
        )

    def press(self, params: dict[str, Any], endpoint: str = OPERATE) -> Response:
        return self.post("/call", {"endpoint": endpoint, "params": params})


@pytest.fixture
def stack() -> FakeStack:
    return FakeStack()


@pytest.fixture
def browser(stack: FakeStack) -> Iterator[Browser]:
    with DashboardServer(Dashboard(stack), 0) as server:
        yield Browser(server)


# ------------------------------------------------------------------------------------------ page


def test_the_page_names_the_stack_and_runs_its_own_script_only(browser: Browser) -> None:
    found = browser.ask("GET", f"/?key={browser.key}")

    assert found.status == 200
    assert "billing-sync (nowhere)" in found.body
    nonces = re.findall(r'<script nonce="([^"]+)">', found.body)
    assert len(nonces) == found.body.count("<script") == 1
    policy = found.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert f"script-src 'nonce-{nonces[0]}';" in policy
    assert "frame-ancestors 'none'" in policy
    assert found.headers["Referrer-Policy"] == "no-referrer"
    assert found.headers["Cache-Control"] == "no-store"


def test_a_hostile_label_stays_words(stack: FakeStack) -> None:
    stack.label = "</title><script>alert(1)</script>"

    html = Dashboard(stack).page("n")

    assert "<script>alert" not in html
    assert "&lt;script&gt;" in html


def test_each_page_has_a_nonce_and_each_start_a_key_of_its_own(
    browser: Browser, stack: FakeStack
) -> None:
    one, other = (browser.ask("GET", f"/?key={browser.key}") for _ in range(2))

    assert one.headers["Content-Security-Policy"] != other.headers["Content-Security-Policy"]
    assert Dashboard(stack).key != Dashboard(stack).key
    assert len(browser.key) >= 40


def test_the_widget_is_asked_for_in_the_readers_theme_and_zone(
    browser: Browser, stack: FakeStack
) -> None:
    stack.widget = "<b>20 records are red</b>"

    found = browser.post("/widget", LOOK)

    assert (found.status, found.body) == (200, "<b>20 records are red</b>")
    assert stack.asked == [
        {"dashboard": {"widgetContext": {"theme": "dark", "timezone": {"offsetISO": "+02:00"}}}}
    ]


# --------------------------------------------------------------------------------------- buttons


def test_a_button_asks_operate_and_says_in_words_what_came_of_it(
    browser: Browser, stack: FakeStack
) -> None:
    stack.answers["retry"] = {"ok": True, "signalled": 14}

    assert browser.press(RETRY).body == "14 records will be tried again."
    assert stack.asked == [RETRY]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"ok": True, "signalled": 1}, "1 record will be tried again."),
        ({"ok": True, "signalled": 0}, "No record is like that any more: nothing was changed."),
        ({"ok": True}, "Done."),
        ({"ok": False, "error": "NotNow", "why": "Paused."}, "NotNow: Paused."),
        ({"ok": False}, "Refused: no reason was given"),
    ],
)
def test_an_answer_is_a_sentence(
    browser: Browser, stack: FakeStack, answer: dict[str, Any], words: str
) -> None:
    stack.answers["retry"] = answer

    assert browser.press(RETRY).body == words


@pytest.mark.parametrize(
    "endpoint",
    [
        "arn:aws:lambda:us-east-1:000000000000:function:somebody-elses",
        "arn:aws:lambda:us-east-1:000000000000:function:billing-sync-operate:7",
        "billing-sync-operate",
        "",
    ],
)
def test_no_other_function_is_called(browser: Browser, stack: FakeStack, endpoint: str) -> None:
    found = browser.press(RETRY, endpoint)

    assert found.status == 403
    assert stack.asked == []


@pytest.mark.parametrize(
    "params", [{}, {"action": "dance"}, {**RETRY, "entity": "client"}, {**RETRY, "more": 1}]
)
def test_what_operate_does_not_know_is_not_sent(
    browser: Browser, stack: FakeStack, params: dict[str, Any]
) -> None:
    assert browser.press(params).status == 400
    assert stack.asked == []


def test_a_stack_that_does_not_answer_is_told(browser: Browser, stack: FakeStack) -> None:
    stack.widget = StackFault("NotOurStack", "It has no output DashboardFunctionName.")

    found = browser.post("/widget", LOOK)

    assert found.status == 502
    assert found.body == "NotOurStack: It has no output DashboardFunctionName."


# ------------------------------------------------------------------------------- who is let in


@pytest.mark.parametrize("path", ["/", "/?key=", "/?key=guess", "/?Key=guess&key=%C3%A9"])
def test_without_the_key_nobody_reads_the_page(browser: Browser, path: str) -> None:
    found = browser.ask("GET", path)

    assert found.status == 403
    assert browser.key not in found.body


@pytest.mark.parametrize("path", ["/widget", "/call"])
@pytest.mark.parametrize("key", ["", "guess", "ééé"])
def test_another_page_cannot_press_a_button(
    browser: Browser, stack: FakeStack, path: str, key: str
) -> None:
    """A form of another page may post here; it knows no key, and can send no header."""
    found = browser.post(
        path, {"endpoint": OPERATE, "params": RETRY}, **{"X-Billing-Sync-Key": key}
    )

    assert found.status == 403
    assert stack.asked == []


@pytest.mark.parametrize("host", ["evil.example", f"{LOCALHOST}:1", ""])
def test_a_name_that_was_bent_to_this_machine_is_refused(
    browser: Browser, stack: FakeStack, host: str
) -> None:
    assert browser.ask("GET", f"/?key={browser.key}", {"Host": host}).status == 403
    assert browser.post("/widget", LOOK, Host=host).status == 403
    assert stack.asked == []


def test_it_listens_to_this_machine_alone(browser: Browser) -> None:
    assert browser.server.server_address[0] == "127.0.0.1"
    assert browser.server.url.startswith("http://127.0.0.1:")


def test_nothing_else_is_there(browser: Browser) -> None:
    assert browser.ask("GET", f"/page.html?key={browser.key}").status == 404
    assert browser.post("/", {}).status == 404
    assert browser.ask("DELETE", "/").status == 501


@pytest.mark.parametrize(
    ("given", "headers"),
    [
        (b"{", {}),
        (b"\xff", {}),
        (b"[]", {}),
        (b"{}", {}),
        (json.dumps({**LOOK, "more": 1}).encode(), {}),
        (b"", {"Content-Length": str(LARGEST_BODY_BYTES + 1)}),
        (b"", {"Content-Length": "-1"}),
        (b"", {"Content-Length": "many"}),
    ],
)
def test_what_is_no_request_of_the_page_is_refused(
    browser: Browser, stack: FakeStack, given: bytes, headers: dict[str, str]
) -> None:
    assert browser.post("/widget", given, **headers).status == 400
    assert stack.asked == []


# --------------------------------------------------------------------------------------- command


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Press Ctrl-C as soon as the server serves."""

    def serve(_server: DashboardServer) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(DashboardServer, "serve_forever", serve)


@pytest.mark.usefixtures("interrupted")
def test_the_command_prints_the_address_and_ends_cleanly_with_ctrl_c(stack: FakeStack) -> None:
    result = CliRunner().invoke(app, ["dashboard"], obj=lambda _name, _local: stack)

    assert result.exit_code == 0
    assert re.search(r"^http://127\.0\.0\.1:\d+/\?key=[\w-]{40,}$", result.stdout, re.MULTILINE)
    assert "buttons ask billing-sync-operate" in result.stderr
    assert result.stderr.rstrip().endswith("ended")


@pytest.mark.usefixtures("interrupted")
def test_with_json_the_address_is_for_a_program(stack: FakeStack) -> None:
    result = CliRunner().invoke(app, ["dashboard", "--json"], obj=lambda _name, _local: stack)

    assert json.loads(result.stdout)["url"].startswith("http://127.0.0.1:")


def test_a_port_that_is_taken_is_said(browser: Browser, stack: FakeStack) -> None:
    port = str(browser.server.server_port)

    result = CliRunner().invoke(app, ["dashboard", "--port", port], obj=lambda _name, _local: stack)

    assert result.exit_code == 1
    assert f"NoPort (port): 127.0.0.1:{port} cannot be listened on" in result.stderr


def test_a_port_that_is_none_is_refused(stack: FakeStack) -> None:
    result = CliRunner().invoke(
        app, ["dashboard", "--port", "70000"], obj=lambda _name, _local: stack
    )

    assert result.exit_code == 2
