"""The client of `/_fake/...`, for demo, command and tests in other processes."""

import ssl
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import httpx
from pydantic import TypeAdapter

from ops.fake_zoho.by_hand import ByHand, MadeIds
from ops.fake_zoho.config import Limits, SeedCustomer, Switches
from ops.fake_zoho.fake import Counters, Holdings
from ops.fake_zoho.faults import AnyFault
from ops.fake_zoho.replies import JsonObject
from ops.fake_zoho.requestlog import LogEntry

LOG: TypeAdapter[list[LogEntry]] = TypeAdapter(list[LogEntry])


class FakeZohoControl:
    """Steer a fake Zoho that listens at `url`; raises httpx.HTTPStatusError if it refuses."""

    def __init__(self, url: str, timeout_seconds: float = 10) -> None:
        self._http = httpx.Client(
            base_url=f"{url.rstrip('/')}/_fake",
            timeout=timeout_seconds,
            trust_env=False,
            # Plain HTTP: do not spend 80 ms on loading the authorities of the whole web.
            verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def state(self) -> Holdings:
        return Holdings.model_validate_json(self._ask("GET", "/state").content)

    def counters(self) -> Counters:
        return self.state().counters

    def customers(self) -> list[JsonObject]:
        return self.state().customers

    def log(
        self, *, operation: str | None = None, organization_id: str | None = None
    ) -> list[LogEntry]:
        """Fetch the log, whole or what concerns one operation or organisation."""
        return [
            entry
            for entry in LOG.validate_json(self._ask("GET", "/log").content)
            if operation in (None, entry.operation)
            and organization_id in (None, entry.organisation)
        ]

    def seed(self, customers: list[SeedCustomer], organization_id: str | None = None) -> list[str]:
        """Add customers as if people had made them in Zoho; answer their ids."""
        sent = {
            "organization_id": organization_id,
            "customers": [customer.model_dump(mode="json") for customer in customers],
        }
        ids: list[str] = self._ask("POST", "/seed", sent).json()["customer_ids"]
        return ids

    def seed_by_hand(self, made: ByHand, organization_id: str | None = None) -> MadeIds:
        """Add plans, customers and what is theirs as if people had made them in Zoho."""
        sent = made.model_dump(mode="json") | {"organization_id": organization_id}
        return MadeIds.model_validate_json(self._ask("POST", "/seed", sent).content)

    def reset(self, *, keep_tokens: bool = False) -> None:
        """Go back to the start; tokens that clients hold die with the rest, unless kept."""
        self._ask("POST", "/reset", {"keep_tokens": keep_tokens})

    def arm(self, fault: AnyFault) -> int:
        """Arm a fault; answer its id."""
        armed: int = self._ask("POST", "/faults", fault.model_dump(mode="json")).json()["id"]
        return armed

    def faults_met(self) -> dict[int, int]:
        """Tell how many calls met each fault, by its id."""
        return {armed["id"]: armed["met"] for armed in self._ask("GET", "/faults").json()}

    def clear_faults(self) -> None:
        self._ask("DELETE", "/faults")

    def switches(self) -> Switches:
        return Switches.model_validate_json(self._ask("GET", "/switches").content)

    def switch(self, **changes: Any) -> Switches:
        """Change switches by their names, e.g. `switch(index_lag_seconds=10)`."""
        return Switches.model_validate_json(self._ask("PATCH", "/switches", changes).content)

    def limit(self, organization_id: str | None = None, **changes: int) -> Limits:
        """Change limits by their names, e.g. `limit(calls_per_minute=20)`."""
        sent = {"organization_id": organization_id, **changes}
        return Limits.model_validate_json(self._ask("PATCH", "/limits", sent).content)

    def set_calendar(self, moment: datetime) -> None:
        self._ask("POST", "/calendar", {"set": moment.isoformat()})

    def advance_calendar(self, seconds: float) -> None:
        self._ask("POST", "/calendar", {"advance_seconds": seconds})

    def advance_clock(self, seconds: float) -> None:
        """Let Zoho's seconds pass at once for limits, tokens and index. Clients do not notice."""
        self._ask("POST", "/clock", {"advance_seconds": seconds})

    def revoke_access_tokens(self) -> None:
        self._ask("DELETE", "/tokens")

    def _ask(self, method: str, path: str, sent: JsonObject | None = None) -> httpx.Response:
        answer = self._http.request(method, path, json=sent)
        answer.raise_for_status()
        return answer
