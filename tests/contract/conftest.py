"""Zoho's description for the tests that need it, and a fake Zoho to compare with it."""

import os
from collections.abc import Iterator

import httpx
import pytest

from ops.fake_zoho import (
    Credential,
    CustomField,
    FakeZohoConfig,
    LimitsClock,
    OrganisationConfig,
    RunningFake,
    running_fake_zoho,
)
from tests.contract.zoho_description import HOW_TO_GET_IT, ZohoDescription, the_description


def found_description() -> ZohoDescription:
    """Leave a test out where the description is absent, but never in CI."""
    found = the_description()
    if found is None and os.environ.get("CI") == "true":
        pytest.fail(HOW_TO_GET_IT, pytrace=False)
    if found is None:
        pytest.skip(HOW_TO_GET_IT)
    return found


@pytest.fixture(scope="session")
def description() -> ZohoDescription:
    return found_description()


@pytest.fixture(scope="package")
def zoho() -> Iterator[RunningFake]:
    """Run a fake Zoho with a custom field of each kind, and limits that stand still."""
    fields = {
        f"{kind}_custom_fields": [
            CustomField(
                label="Account Number",
                customfield_id=f"481516200000000030{number}",
                api_name="cf_account_number",
            )
        ]
        for number, kind in enumerate(("customer", "subscription", "invoice", "payment"))
    }
    organisation = OrganisationConfig.model_validate(fields)
    config = FakeZohoConfig(organisations=[organisation])
    with running_fake_zoho(config, LimitsClock(monotonic=lambda: 0.0)) as running:
        running.control.limit(calls_per_minute=1000)
        yield running


@pytest.fixture(scope="package")
def access_token(zoho: RunningFake) -> str:
    own = Credential()
    form = {
        "grant_type": "refresh_token",
        "client_id": own.client_id,
        "client_secret": own.client_secret,
        "refresh_token": own.refresh_token,
    }
    token: str = httpx.post(f"{zoho.url}/oauth/v2/token", data=form).json()["access_token"]
    return token
