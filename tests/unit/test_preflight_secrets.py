"""Secrets and bucket as preflight meets them: never filled in, malformed, out of reach."""

import json
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from billing_sync.adapters.postgres.engine import make_url
from billing_sync.adapters.s3 import S3RunFiles
from billing_sync.adapters.secrets import Secrets
from billing_sync.domain.errors import Misconfigured

NOBODY: dict[str, Any] = {
    "region_name": "af-south-1",
    "aws_access_key_id": "nobody",
    "aws_secret_access_key": "nothing",
}
GOOD = {"client_id": "1000.ID", "client_secret": "hush", "refresh_token": "1000.refresh"}


def read_credentials(text: str) -> object:
    client = boto3.client("secretsmanager", **NOBODY)
    with Stubber(client) as stub:
        stub.add_response("get_secret_value", {"SecretString": text}, {"SecretId": "arn"})
        return Secrets(client).zoho_credentials("arn")


def test_a_secret_that_is_filled_in_is_read() -> None:
    assert repr(read_credentials(json.dumps(GOOD))) == "ZohoCredentials()"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '{"client_id": "", "client_secret": "", "refresh_token": ""}',
            "Zoho's secret lacks client_id, client_secret, refresh_token.",
        ),
        (json.dumps(GOOD | {"refresh_token": ""}), "Zoho's secret lacks refresh_token."),
        ("{}", "Zoho's secret lacks client_id, client_secret, refresh_token."),
        ("1000.refresh", "A secret holds no JSON object."),
        ("[]", "A secret holds no JSON object."),
    ],
)
def test_a_secret_that_was_never_filled_in_is_named_by_its_fields(text: str, said: str) -> None:
    with pytest.raises(Misconfigured) as refused:
        read_credentials(text)

    assert (refused.value.code, refused.value.sentence) == ("secret_malformed", said)


@pytest.mark.parametrize("code", ["AccessDeniedException", "ResourceNotFoundException"])
def test_a_secret_out_of_reach_is_misconfigured(code: str) -> None:
    client = boto3.client("secretsmanager", **NOBODY)
    with Stubber(client) as stub:
        stub.add_client_error("get_secret_value", code)

        with pytest.raises(Misconfigured) as refused:
            Secrets(client).read("arn")

    assert refused.value.code == "secret_unreadable"


@pytest.mark.parametrize(
    ("secret", "said"),
    [
        ({}, "The database's secret lacks host, dbname, username."),
        (
            {"host": "", "port": 5432, "dbname": "", "username": "", "password": ""},
            "The database's secret lacks host, dbname, username.",
        ),
        (
            {"host": "h", "port": "five", "dbname": "d", "username": "u", "password": "p"},
            "The database's secret lacks port (a number).",
        ),
    ],
)
def test_a_database_secret_that_was_never_filled_in_is_named_by_its_fields(
    secret: dict[str, Any], said: str
) -> None:
    with pytest.raises(Misconfigured) as refused:
        make_url(secret)

    assert (refused.value.code, refused.value.sentence) == ("secret_malformed", said)


def test_a_bucket_that_may_not_be_written_is_misconfigured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = boto3.client("s3", **NOBODY)
    files = S3RunFiles("runs-of-nobody")
    monkeypatch.setitem(vars(files), "_client", client)
    with Stubber(client) as stub:
        stub.add_client_error("put_object", "AccessDenied", http_status_code=403)

        with pytest.raises(Misconfigured) as refused:
            files.probe()

    assert refused.value.sentence == "S3 answers AccessDenied."
