"""The accounts host: who gets a token, how many, and what tokens open."""

from collections.abc import Callable

import httpx
import pytest

from ops.fake_zoho import Credential, RefuseToken, RunningFake
from ops.fake_zoho.faults import AnswerLost, BadGateway

type Mint = Callable[..., httpx.Response]
type Caller = Callable[..., httpx.Client]

ACCESS_DENIED = {
    "error_description": "You have made too many requests continuously. "
    "Please try again after some time.",
    "error": "Access Denied",
    "status": "failure",
}


def test_refresh_answers_a_token_its_life_and_the_own_address(
    zoho: RunningFake, mint: Mint
) -> None:
    answer = mint()

    body = answer.json()
    assert answer.status_code == 200
    assert [len(part) for part in body["access_token"].split(".")] == [4, 32, 32]
    assert body["access_token"].startswith("1000.")
    assert (body["expires_in"], body["token_type"]) == (3600, "Bearer")
    assert body["api_domain"] == zoho.url
    assert "refresh_token" not in body


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"refresh_token": "1000.nobody.knows"}, "invalid_code"),
        ({"refresh_token": ""}, "invalid_code"),
        ({"refresh_token": "1000.reader.refresh"}, "invalid_code"),
        ({"client_id": "1000.NOBODY"}, "invalid_client"),
        ({"client_secret": "guess"}, "invalid_client_secret"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
    ],
)
def test_wrong_credentials_are_answered_200_with_an_error(
    mint: Mint, wrong: dict[str, str], error: str
) -> None:
    answer = mint(**wrong)

    assert (answer.status_code, answer.json()) == (200, {"error": error})


@pytest.mark.parametrize("status", [200, 400])
def test_eleventh_token_in_ten_minutes_is_refused_until_the_window_ends(
    zoho: RunningFake, mint: Mint, status: int
) -> None:
    zoho.control.switch(throttled_token_status=status)
    for _ in range(10):
        assert "access_token" in mint().json()

    eleventh = mint()
    zoho.control.advance_clock(600)
    after_the_window = mint()

    assert (eleventh.status_code, eleventh.json()) == (status, ACCESS_DENIED)
    assert "access_token" in after_the_window.json()
    counters = zoho.control.counters()
    assert (counters.token_requests, counters.tokens_minted, counters.token_refusals) == (12, 11, 1)


def test_asking_while_refused_extends_the_lock_out(zoho: RunningFake, mint: Mint) -> None:
    for _ in range(11):
        mint()
    zoho.control.advance_clock(599)

    assert mint().json() == ACCESS_DENIED
    zoho.control.advance_clock(599)
    assert mint().json() == ACCESS_DENIED
    zoho.control.advance_clock(600)
    assert "access_token" in mint().json()


def test_switch_lets_the_lock_out_end_although_somebody_asked(
    zoho: RunningFake, mint: Mint
) -> None:
    zoho.control.switch(asking_while_refused_extends=False)
    for _ in range(11):
        mint()
    zoho.control.advance_clock(599)

    assert mint().json() == ACCESS_DENIED
    zoho.control.advance_clock(1)
    assert "access_token" in mint().json()


def test_each_refresh_token_has_its_own_ten(mint: Mint) -> None:
    for _ in range(11):
        mint()

    other = mint(
        client_id="1000.READER", client_secret="reader-secret", refresh_token="1000.reader.refresh"
    )

    assert "access_token" in other.json()


def test_token_dies_after_an_hour(zoho: RunningFake, api: httpx.Client) -> None:
    zoho.control.advance_clock(3599)
    assert api.get("/customers").status_code == 200
    zoho.control.advance_clock(1)

    answer = api.get("/customers")

    assert (answer.status_code, answer.json()["code"]) == (401, 57)


def test_sixteenth_live_token_drops_the_oldest(
    zoho: RunningFake, mint: Mint, caller: Caller
) -> None:
    tokens = [mint().json()["access_token"] for _ in range(8)]
    zoho.control.advance_clock(600)
    tokens += [mint().json()["access_token"] for _ in range(8)]

    answers = [caller(f"Zoho-oauthtoken {token}").get("/customers") for token in tokens]

    assert [answer.status_code for answer in answers] == [401] + [200] * 15


@pytest.mark.parametrize("authorization", ["", "Basic abc", "Zoho-oauthtoken", "1000.a.b"])
def test_garbled_authorization_is_14(caller: Caller, authorization: str) -> None:
    answer = caller(authorization).get("/customers")

    assert (answer.status_code, answer.json()["code"]) == (401, 14)


@pytest.mark.parametrize("scheme", ["Zoho-oauthtoken", "Bearer"])
def test_both_schemes_open_the_api(mint: Mint, caller: Caller, scheme: str) -> None:
    token = mint().json()["access_token"]

    assert caller(f"{scheme} {token}").get("/customers").status_code == 200


def test_missing_scope_looks_like_a_dead_token(mint: Mint, caller: Caller) -> None:
    token = mint(
        client_id="1000.READER", client_secret="reader-secret", refresh_token="1000.reader.refresh"
    ).json()["access_token"]
    reader = caller(f"Zoho-oauthtoken {token}")

    read = reader.get("/customers")
    created = reader.post("/customers", json={"display_name": "Nobody"})
    dead = caller("Zoho-oauthtoken 1000.dead.token").get("/customers")

    assert read.status_code == 200
    assert (created.status_code, created.json()) == (dead.status_code, dead.json())
    assert created.json()["code"] == 57


def test_revoked_refresh_token_kills_its_access_tokens(
    zoho: RunningFake, mint: Mint, api: httpx.Client
) -> None:
    revoked = httpx.post(
        f"{zoho.url}/oauth/v2/token/revoke", params={"token": Credential().refresh_token}
    )

    assert revoked.json() == {"status": "success"}
    assert api.get("/customers").json()["code"] == 57
    assert mint().json() == {"error": "invalid_code"}


def test_secrets_in_a_query_are_noticed_and_never_kept(zoho: RunningFake) -> None:
    own = Credential()
    secrets = {
        "grant_type": "refresh_token",
        "client_id": own.client_id,
        "client_secret": own.client_secret,
        "refresh_token": own.refresh_token,
    }

    answer = httpx.post(f"{zoho.url}/oauth/v2/token", params=secrets)

    assert "access_token" in answer.json()
    assert zoho.control.counters().secrets_in_query == 1
    assert zoho.control.log()[0].query_keys == sorted(secrets)
    log = httpx.get(f"{zoho.url}/_fake/log").text
    assert own.client_secret not in log
    assert answer.json()["access_token"] not in log


@pytest.mark.parametrize("status", [200, 400])
def test_token_refused_on_demand_and_for_the_lock_out(
    zoho: RunningFake, mint: Mint, status: int
) -> None:
    zoho.control.switch(throttled_token_status=status)
    zoho.control.arm(RefuseToken(lock_out_seconds=60))

    refused = mint()
    zoho.control.advance_clock(60)

    assert (refused.status_code, refused.json()["error"]) == (status, "Access Denied")
    assert "access_token" in mint().json()


def test_token_minted_but_its_answer_lost(zoho: RunningFake, mint: Mint) -> None:
    zoho.control.arm(AnswerLost(operation="mint_token"))

    with pytest.raises(httpx.RemoteProtocolError):
        mint()

    assert zoho.control.counters().tokens_minted == 1
    assert zoho.control.log()[0].status is None


def test_gateway_fails_before_a_token_is_minted(zoho: RunningFake, mint: Mint) -> None:
    zoho.control.arm(BadGateway(operation="mint_token"))

    assert mint().status_code == 502
    assert zoho.control.counters().tokens_minted == 0
