"""How a group of settings is read from the environment; and the group of the webhooks' door.

Both are apart from `billing_sync.config`, whose groups need half of the domain: that is more than a
function may import for which a sender waits.
"""

import os
from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from billing_sync.domain.errors import Misconfigured
from billing_sync.domain.triggers import Trigger


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
            known = {field.alias or name for name, field in cls.model_fields.items()}
            return cls.model_validate({k: v for k, v in given.items() if k in known})
        except ValidationError as error:
            faults = "; ".join(
                f"{'.'.join(str(part) for part in fault['loc']).upper() or 'settings'}:"
                f" {fault['msg']}"
                for fault in error.errors(include_url=False, include_input=False)
            )
            raise Misconfigured(f"Settings: {faults}.", code="settings") from None


class WebhookSettings(Settings):
    """The way in for the provider's own application."""

    webhook_secret_arn: str
    webhook_tolerance_seconds: Annotated[float, Field(gt=0, le=3600)] = 300.0
    webhook_largest_body_bytes: Annotated[int, Field(ge=1024, le=6 * 1024 * 1024)] = 131_072
    queue_url_customer_registered: str
    queue_url_service_activated: str
    queue_url_invoice_generated: str
    queue_url_payment_completed: str

    @property
    def queue_urls(self) -> dict[Trigger, str]:
        """The queue of each trigger."""
        return {
            trigger: getattr(self, f"queue_url_{trigger.value.replace('-', '_')}")
            for trigger in Trigger
        }
