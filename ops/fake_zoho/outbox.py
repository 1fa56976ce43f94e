"""Every mail that Zoho would have sent to somebody's customer, and why."""

from pydantic import BaseModel

from ops.fake_zoho.clock import LimitsClock


class Mail(BaseModel):
    organization_id: str
    reason: str
    resource: str
    resource_id: str
    sent_at: float


class Outbox:
    def __init__(self, organization_id: str, clock: LimitsClock) -> None:
        self.mails: list[Mail] = []
        self._organization_id = organization_id
        self._clock = clock

    def send(self, reason: str, resource: str, resource_id: str) -> None:
        self.mails.append(
            Mail(
                organization_id=self._organization_id,
                reason=reason,
                resource=resource,
                resource_id=resource_id,
                sent_at=self._clock.now(),
            )
        )
