"""The queues that wake the handlers, and the keys by which a sender is known."""

from typing import Protocol

from billing_sync.domain.signatures import SenderKeys
from billing_sync.domain.triggers import WakeUp


class Queues(Protocol):
    """One standard queue for each trigger. Order and repetition mean nothing on them."""

    def wake(self, wake_up: WakeUp, event_hash: str) -> None:
        """Put the message on its trigger's queue; `event_hash` goes along as an attribute.

        :raises Unreachable: it is not known to be on the queue.
        """


class KeyRing(Protocol):
    """The keys of those who may knock."""

    def keys(self) -> SenderKeys:
        """Give the keys as they were minutes ago at the most, so that rotation needs no deploy.

        :raises Unreachable: they cannot be read, or one of them is no key.
        """
