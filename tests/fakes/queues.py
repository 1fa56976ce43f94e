"""The queues and the senders' keys, in memory."""

from billing_sync.domain.errors import Unreachable
from billing_sync.domain.signatures import SenderKeys, SenderSecrets
from billing_sync.domain.triggers import WakeUp
from billing_sync.ports.queues import KeyRing, Queues

SIGNING_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
"""The one of Standard Webhooks' own examples; `events/` is signed with it."""
STATIC_SECRET = "an-example-of-a-static-secret"


class FakeQueues(Queues):
    def __init__(self) -> None:
        self.sent: list[tuple[WakeUp, str]] = []
        self.fault: str | None = None

    def wake(self, wake_up: WakeUp, event_hash: str) -> None:
        if self.fault is not None:
            raise Unreachable(self.fault)
        self.sent.append((wake_up, event_hash))


class FakeKeyRing(KeyRing):
    def __init__(
        self,
        signing: tuple[str, ...] = (SIGNING_SECRET,),
        static: tuple[str, ...] = (STATIC_SECRET,),
    ) -> None:
        self.secrets = SenderSecrets(signing_secrets=signing, static_secrets=static)
        self.fault: str | None = None

    def keys(self) -> SenderKeys:
        if self.fault is not None:
            raise Unreachable(self.fault)
        return SenderKeys.of(self.secrets)
