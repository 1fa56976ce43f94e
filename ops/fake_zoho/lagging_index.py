"""The index behind Zoho's lists: it shows each write only some seconds later.

Reads by id ask the record itself and are never late; lists and searches ask this.
"""

import math
from copy import deepcopy

from ops.fake_zoho.clock import LimitsClock
from ops.fake_zoho.config import Switches


class LaggingIndex[Record]:
    def __init__(self, switches: Switches, clock: LimitsClock) -> None:
        self._switches = switches
        self._clock = clock
        self._versions: dict[str, list[tuple[float, Record | None]]] = {}

    def put(self, record_id: str, record: Record | None, *, at_once: bool = False) -> None:
        """Note a copy of a record as it now is; None: it was deleted."""
        visible_at = self._clock.now() + self._switches.index_lag_seconds
        self._versions.setdefault(record_id, []).append(
            (-math.inf if at_once else visible_at, deepcopy(record))
        )

    def visible(self) -> list[Record]:
        """Return what lists show at this moment, in order of first writing."""
        now = self._clock.now()
        shown: list[Record] = []
        for versions in self._versions.values():
            seen = [place for place, (visible_at, _) in enumerate(versions) if visible_at <= now]
            if not seen:
                continue
            del versions[: seen[-1]]
            record = versions[0][1]
            if record is not None:
                shown.append(record)
        return shown
