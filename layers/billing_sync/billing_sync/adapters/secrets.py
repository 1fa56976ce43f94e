"""Secrets Manager: Zoho's credentials, the database's, and the access token that functions share.

boto3 is imported on first use: it costs a cold start 130 ms, and not every function reads a secret.
"""

import json
from typing import TYPE_CHECKING, Any, Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, SecretStr, ValidationError

from billing_sync.adapters.zoho.oauth import ZohoCredentials
from billing_sync.domain.errors import Misconfigured
from billing_sync.ports import AccessToken, TokenStore

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

UNREADABLE: Final = frozenset(
    {"AccessDeniedException", "ResourceNotFoundException", "DecryptionFailure"}
)


class _Stored(BaseModel):
    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)


class _StoredCredentials(_Stored):
    # An empty text is the placeholder that the template leaves there.
    client_id: str = Field(min_length=1)
    client_secret: SecretStr = Field(min_length=1)
    refresh_token: SecretStr = Field(min_length=1)


class _StoredToken(_Stored):
    credential: str
    generation: int
    access_token: SecretStr
    api_domain: str
    expires_at: AwareDatetime
    minted_at: AwareDatetime


class Secrets:
    """Secrets that hold one JSON object each, named by ARN."""

    def __init__(self, client: "SecretsManagerClient | None" = None) -> None:
        self._made = client

    @property
    def _client(self) -> "SecretsManagerClient":
        if self._made is None:
            import boto3  # noqa: PLC0415 - see the module's docstring

            self._made = boto3.client("secretsmanager")
        return self._made

    def read(self, arn: str) -> dict[str, Any]:
        """Read the secret's JSON object; one that was never filled in is an empty one.

        :raises Misconfigured: it cannot be read, or is no JSON object.
        """
        from botocore.exceptions import ClientError  # noqa: PLC0415

        try:
            text = self._client.get_secret_value(SecretId=arn).get("SecretString", "")
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            if code not in UNREADABLE:
                raise
            raise Misconfigured(
                f"A secret cannot be read ({code}).", code="secret_unreadable"
            ) from None
        if not text.strip():
            return {}
        try:
            content = json.loads(text)
        except ValueError:
            content = None
        if not isinstance(content, dict):
            raise Misconfigured("A secret holds no JSON object.", code="secret_malformed")
        return content

    def write(self, arn: str, content: dict[str, Any]) -> None:
        """Replace the secret's value.

        :raises Misconfigured: it may not be written.
        """
        from botocore.exceptions import ClientError  # noqa: PLC0415

        try:
            self._client.put_secret_value(SecretId=arn, SecretString=json.dumps(content))
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            if code not in UNREADABLE:
                raise
            raise Misconfigured(
                f"The token's secret cannot be written ({code}).", code="secret_unwritable"
            ) from None

    def zoho_credentials(self, arn: str) -> ZohoCredentials:
        """Read client and refresh token.

        :raises Misconfigured: naming what is missing, never what is there.
        """
        try:
            stored = _StoredCredentials.model_validate(self.read(arn))
        except ValidationError as error:
            fields = ", ".join(str(problem["loc"][0]) for problem in error.errors())
            raise Misconfigured(f"Zoho's secret lacks {fields}.", code="secret_malformed") from None
        return ZohoCredentials(
            client_id=stored.client_id,
            client_secret=stored.client_secret.get_secret_value(),
            refresh_token=stored.refresh_token.get_secret_value(),
        )


class SecretTokenStore(TokenStore):
    """The access token in a secret of its own, with its credential and generation inside."""

    def __init__(self, secrets: Secrets, arn: str, credential: str) -> None:
        self._secrets = secrets
        self._arn = arn
        self._credential = credential

    def read(self) -> AccessToken | None:
        """Give the token, unless it is a placeholder or another credential's."""
        try:
            stored = _StoredToken.model_validate(self._secrets.read(self._arn))
        except ValidationError:
            return None
        if stored.credential != self._credential:
            return None
        return AccessToken(
            value=stored.access_token.get_secret_value(),
            generation=stored.generation,
            api_domain=stored.api_domain,
            expires_at=stored.expires_at,
            minted_at=stored.minted_at,
        )

    def write(self, token: AccessToken) -> None:
        """Store the token as the current version of the secret."""
        self._secrets.write(
            self._arn,
            {
                "credential": self._credential,
                "generation": token.generation,
                "access_token": token.value,
                "api_domain": token.api_domain,
                "expires_at": token.expires_at.isoformat(),
                "minted_at": token.minted_at.isoformat(),
            },
        )
