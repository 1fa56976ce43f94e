"""How the system before this one did it, on a fake Zoho of its own: what went wrong, and why.

Three of its habits, and nothing invented: a new client and a new access token for every record; a
search by e-mail whose first hit is taken; and that search made even where there is no e-mail. The
figures are read from the fake, not assumed.
"""

import csv
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from ops.demo import scenario
from ops.demo.load import DATA
from ops.fake_zoho import Credential, FakeZohoConfig, RunningFake, running_fake_zoho

_TIMEOUT_SECONDS: Final = 10


@dataclass
class OldWay:
    """What became of the customers, by their place in the order of sending."""

    created: list[int] = field(default_factory=list)
    # Place in the order → Zoho id of whoever the search found first.
    overwritten: dict[int, str] = field(default_factory=dict)
    # Place → how many rows the search for its e-mail gave.
    hits: dict[int, int] = field(default_factory=dict)
    refused: list[int] = field(default_factory=list)
    refusal: str = ""
    tokens_minted: int = 0
    names_before: dict[str, str] = field(default_factory=dict)
    names_after: dict[str, str] = field(default_factory=dict)
    without_email: list[int] = field(default_factory=list)

    @property
    def sent(self) -> int:
        """Count what the old system reported as synced."""
        return len(self.created) + len(self.overwritten)

    def lines(self) -> Iterator[str]:
        """Tell it in ten lines."""
        total = self.sent + len(self.refused)
        yield f"{total} customers, each with a client and an access token of its own."
        yield f"  {_places(self.created):<11} created"
        for place, zoho_id in self.overwritten.items():
            before, after = self.names_before[zoho_id], self.names_after[zoho_id]
            if place not in self.without_email:
                yield f"  {place:<11} found by e-mail and overwritten: «{before}»"
                continue
            yield f"  {place:<11} no e-mail, searched all the same: {self.hits[place]} found"
            yield f"  {'':<11} the first one taken, a stranger: «{before}»"
            yield f"  {'':<11} who is called «{after}» in Zoho now"
        yield f"  {_places(self.refused):<11} refused: {self.refusal}"
        yield f"Tokens minted: {self.tokens_minted}, all that Zoho gives in ten minutes."
        yield f"Synced by its own count: {self.sent} of {total}; {len(self.refused)} left out."
        yield "The old command ended with exit code 0 all the same, and named no stranger."


def run_old_way() -> OldWay:
    """Send the 13 customers as the old system did, to a fake Zoho that ends with this call."""
    config = scenario.zoho()
    # At real speed: ten tokens in ten minutes are not forgotten while this runs. The minute's
    # limit was never what stopped it.
    roomy = [
        one.model_copy(update={"limits": one.limits.model_copy(update={"calls_per_minute": 100})})
        for one in config.organisations
    ]
    with running_fake_zoho(
        config.model_copy(update={"time_scale": 1, "organisations": roomy})
    ) as zoho:
        told = OldWay(names_before=_names(zoho))
        for place, customer in enumerate(_customers(), start=1):
            _sync(zoho, told, place, customer, config)
        told.names_after = _names(zoho)
        told.tokens_minted = zoho.control.counters().tokens_minted
    return told


def _sync(
    zoho: RunningFake, told: OldWay, place: int, customer: dict[str, str], config: FakeZohoConfig
) -> None:
    with httpx.Client(
        base_url=zoho.url,
        timeout=_TIMEOUT_SECONDS,
        trust_env=False,
        # Plain HTTP: thirteen clients need not load the authorities of the whole web.
        verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
    ) as client:
        answer = client.post("/oauth/v2/token", data=_grant(config.credentials[0])).json()
        if "access_token" not in answer:
            told.refused.append(place)
            told.refusal = answer["error"]
            return
        client.headers["Authorization"] = f"Zoho-oauthtoken {answer['access_token']}"
        body = {
            "display_name": f"{customer['first_name']} {customer['last_name']}",
            "first_name": customer["first_name"],
            "last_name": customer["last_name"],
            "company_name": customer["business_name"],
            "email": customer["email"],
        }
        if not customer["email"]:
            told.without_email.append(place)
        found = client.get(
            "/billing/v1/customers",
            params={"email": customer["email"], "sort_column": "created_time"},
        ).json()["customers"]
        if found:
            zoho_id = found[0]["customer_id"]
            client.put(f"/billing/v1/customers/{zoho_id}", json=body).raise_for_status()
            told.overwritten[place], told.hits[place] = zoho_id, len(found)
        else:
            client.post("/billing/v1/customers", json=body).raise_for_status()
            told.created.append(place)


def _grant(credential: Credential) -> dict[str, str]:
    return {
        "grant_type": "refresh_token",
        "client_id": credential.client_id,
        "client_secret": credential.client_secret,
        "refresh_token": credential.refresh_token,
    }


def _customers() -> list[dict[str, str]]:
    """Read the customers in the order in which they were sent in November 2025."""
    with (DATA / "customers.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["order"]]
    return sorted(rows, key=lambda row: int(row["order"]))


def _names(zoho: RunningFake) -> dict[str, str]:
    customers: list[dict[str, Any]] = zoho.control.customers()
    return {one["customer_id"]: one["display_name"] for one in customers}


def _places(places: list[int]) -> str:
    """Write 1, 2, 3, 5 as `1-3, 5`."""
    runs: list[list[int]] = []
    for place in places:
        if runs and runs[-1][-1] == place - 1:
            runs[-1].append(place)
        else:
            runs.append([place])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
