"""A fake Zoho whose limits stand still until a test moves them, and callers for it."""

import ssl
from collections.abc import Callable, Iterator

import httpx
import pytest

from ops.fake_zoho import Credential, FakeZohoConfig, LimitsClock, RunningFake, running_fake_zoho
from tests.integration.fake_zoho.books import Books

READER = Credential(
    client_id="1000.READER",
    client_secret="reader-secret",
    refresh_token="1000.reader.refresh",
    scopes=["ZohoSubscriptions.customers.READ"],
)

# All is plain HTTP here, and loading the authorities of the whole web takes each client 80 ms.
NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

type Mint = Callable[..., httpx.Response]
type Refused = Callable[[httpx.Response], tuple[int, str]]
type Caller = Callable[..., httpx.Client]


@pytest.fixture(scope="package")
def running() -> Iterator[RunningFake]:
    config = FakeZohoConfig(credentials=[Credential(), READER])
    with running_fake_zoho(config, LimitsClock(monotonic=lambda: 0.0)) as zoho:
        yield zoho


@pytest.fixture
def zoho(running: RunningFake) -> RunningFake:
    running.control.reset()
    return running


@pytest.fixture
def mint(zoho: RunningFake) -> Iterator[Mint]:
    """Ask for an access token; keyword arguments replace fields of the form."""
    with httpx.Client(base_url=zoho.accounts_url, verify=NO_AUTHORITIES) as http:

        def ask(**changes: str) -> httpx.Response:
            own = Credential()
            form = {
                "grant_type": "refresh_token",
                "client_id": own.client_id,
                "client_secret": own.client_secret,
                "refresh_token": own.refresh_token,
            }
            return http.post("/oauth/v2/token", data=form | changes)

        yield ask


@pytest.fixture
def caller(zoho: RunningFake) -> Iterator[Caller]:
    """Make a client of the API host that shows this Authorization."""
    clients: list[httpx.Client] = []

    def make(authorization: str) -> httpx.Client:
        client = httpx.Client(
            base_url=f"{zoho.api_url}/billing/v1",
            headers={"Authorization": authorization},
            verify=NO_AUTHORITIES,
        )
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def api(mint: Mint, caller: Caller) -> httpx.Client:
    """Call the API with a good token."""
    return caller(f"Zoho-oauthtoken {mint().json()['access_token']}")


@pytest.fixture
def books(zoho: RunningFake, api: httpx.Client) -> Books:
    return Books(zoho, api).open()


@pytest.fixture
def refused() -> Refused:
    """Tell status and message of a refusal, and be sure that it is one."""

    def tell(answer: httpx.Response) -> tuple[int, str]:
        body = answer.json()
        assert body["code"] != 0, answer.text
        return answer.status_code, body["message"]

    return tell
