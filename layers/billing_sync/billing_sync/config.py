"""What the environment says, validated; each function reads only the groups that it uses."""

import os
from collections.abc import Mapping
from typing import Annotated, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from billing_sync.domain.data_centres import DATA_CENTRES
from billing_sync.domain.display_names import DisplayNames
from billing_sync.domain.errors import Misconfigured
from billing_sync.domain.timing import Timing

ACCOUNT_NUMBER_LABEL: Final = "Account Number"
"""The label of the custom field of Zoho's customers that holds ours (made once, in its UI)."""


ZOHO_LABELS: Final = frozenset({"zoho", "zohoapis", "zohocloud"})


class Settings(BaseModel):
    """A group of settings. An empty variable is an absent one, as CloudFormation writes it."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Self:
        """Read the group's variables.

        :raises Misconfigured: naming the variables that are missing or wrong, all at once.
        """
        given = {
            name.lower(): value
            for name, value in (os.environ if environment is None else environment).items()
            if value != ""
        }
        try:
            return cls.model_validate({k: v for k, v in given.items() if k in cls.model_fields})
        except ValidationError as error:
            faults = "; ".join(
                f"{'.'.join(str(part) for part in fault['loc']).upper() or 'settings'}:"
                f" {fault['msg']}"
                for fault in error.errors(include_url=False, include_input=False)
            )
            raise Misconfigured(f"Settings: {faults}.", code="settings") from None


class CommonSettings(Settings):
    """What every function knows."""

    organisation_id: Annotated[str, Field(pattern=r"^[0-9]{4,20}$")]
    time_scale: Annotated[float, Field(gt=0)] = 1.0


class DatabaseSettings(Settings):
    """The functions' way into the database."""

    database_secret_arn: str


class OwnerSettings(Settings):
    """The owner's way into the database, for `migrate` alone."""

    database_owner_secret_arn: str
    functions_role: Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]*$")] = "billing_sync_functions"


class ZohoSettings(CommonSettings):
    """Zoho's hosts, credentials, limits and clocks."""

    zoho_secret_arn: str
    zoho_token_secret_arn: str
    zoho_data_centre: Literal[tuple(DATA_CENTRES)] = "com"  # type: ignore[valid-type]  # the table is the list
    zoho_api_url: str | None = None
    zoho_accounts_url: str | None = None
    zoho_writes: Literal["off", "on"] = "off"
    http_deadline_seconds: Annotated[float, Field(gt=0, le=60)] = 20.0
    send_window_seconds: Annotated[float, Field(gt=0, le=30)] = 5.0
    proof_delay_seconds: Annotated[float, Field(ge=60)] = 300.0
    calls_per_minute: Annotated[int, Field(ge=1, le=100)] = 90
    calls_per_day: Annotated[int, Field(ge=1)] = 1000
    calls_in_flight: Annotated[int, Field(ge=1, le=10)] = 5

    @property
    def accounts_url(self) -> str:
        """The OAuth server's base URL."""
        return self.zoho_accounts_url or DATA_CENTRES[self.zoho_data_centre][1]

    @property
    def api_url(self) -> str | None:
        """The API's base URL; None takes the one that came with the token."""
        return self.zoho_api_url

    @property
    def is_real_zoho(self) -> bool:
        """Whether any of the hosts is Zoho's own."""
        hosts = (self.accounts_url, self.api_url or DATA_CENTRES[self.zoho_data_centre][0])
        return any(is_zoho_host(url) for url in hosts)

    @property
    def timing(self) -> Timing:
        """The protocol's durations."""
        return Timing(
            scale=self.time_scale,
            http_deadline_seconds=self.http_deadline_seconds,
            send_window_seconds=self.send_window_seconds,
            proof_delay_unscaled_seconds=self.proof_delay_seconds,
        )

    @model_validator(mode="after")
    def _real_zoho_has_real_time(self) -> Self:
        """Refuse a scaled clock against Zoho itself: it would breach every limit."""
        if self.time_scale != 1 and self.is_real_zoho:
            raise ValueError("TIME_SCALE must be 1 for a real Zoho host")
        return self


class SyncSettings(Settings):
    """How records are sent."""

    display_name_template: str = "{name} ({account_number})"
    status_columns: Literal["off", "on"] = "on"
    snapshot_max_age_hours: Annotated[float, Field(gt=0, le=24 * 7)] = 24.0
    work_off_hours: Annotated[float, Field(ge=0, le=24 * 7)] = 2.0

    @model_validator(mode="after")
    def _names_hold_the_account_number(self) -> Self:
        DisplayNames(self.display_name_template)
        return self


class StorageSettings(Settings):
    """Where plans and reports are kept."""

    runs_bucket: str


def is_zoho_host(url: str) -> bool:
    """Say whether a URL leads to Zoho itself."""
    labels = (urlsplit(url).hostname or "").split(".")
    return bool(ZOHO_LABELS.intersection(labels))
