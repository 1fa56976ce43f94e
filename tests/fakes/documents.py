"""A document in memory: made as a draft, compared, opened; voided or deleted when withdrawn."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from billing_sync.domain.errors import GoneInZoho, OutcomeUnknown
from billing_sync.domain.states import EntityType, State
from billing_sync.ports import Intent, Permit, Write
from billing_sync.services.rules import DELETE, Anew, Do, Done, Remote, Source, Step, Stuck, Wait
from tests.fakes.rules import FakeRules

DRAFT = "draft "
VOID = "void"
ENDED = "ended"


@dataclass
class FakeDocuments(FakeRules):
    """`zoho` holds a document's text, after `draft ` where it is one; `void` and `ended` are words.

    A text of `wait` waits; `returned` begins anew where Zoho's has ended.
    """

    entity: EntityType = EntityType.INVOICE
    withdrawn: bool = False
    link_only: bool = False
    looks: bool = True
    wait: Wait | None = None
    opens: bool = True
    """Whether opening does what its answer says."""
    strangers: dict[str, str] = field(default_factory=dict)
    """Documents of others that bear our key."""
    key_field: str | None = None
    writes: list[str] = field(default_factory=list)

    def read(self, entity_id: str) -> Source | None:
        source = super().read(entity_id)
        if source is None or source.skip is not None:
            return source
        if self.withdrawn:
            return replace(
                source,
                fingerprint="withdrawn",
                payload={},
                withdrawn="cancelled before it was sent",
            )
        return replace(source, link_only=self.link_only)

    def looks_first(self) -> bool:
        return self.looks

    def send(self, write: Write, permit: Permit) -> Remote | None:
        if write.step in {"create", "update"}:
            self.writes.append(write.step)
            return super().send(write, permit)
        assert write.zoho_id is not None
        if write.zoho_id not in self.zoho:
            raise GoneInZoho("not there")
        self.writes.append(write.step)
        try:
            self._called(write.step)
        except OutcomeUnknown:
            if self.loses_answers:
                self._do(write.step, write.zoho_id)
            raise
        self._do(write.step, write.zoho_id)
        return None

    def _do(self, step: str, zoho_id: str) -> None:
        if step == DELETE:
            del self.zoho[zoho_id]
        elif step == "void":
            self.zoho[zoho_id] = VOID
        elif self.opens:
            self.zoho[zoho_id] = self.zoho[zoho_id].removeprefix(DRAFT)

    def _keep(self, write: Write, zoho_id: str) -> None:
        was_draft = self.zoho.get(zoho_id, DRAFT).startswith(DRAFT)
        super()._keep(write, zoho_id)
        if was_draft:
            self.zoho[zoho_id] = DRAFT + self.zoho[zoho_id]

    def figures_differ(self, figures: dict[str, Any], remote: Remote) -> list[str]:
        return [] if figures["text"] == remote.body.removeprefix(DRAFT) else ["text"]

    def fields_differ(self, source: Source, remote: Remote) -> list[str]:
        return self.figures_differ(source.figures, remote)

    def look_up(self, intent: Intent) -> list[Remote]:
        strangers = [Remote(id_, text, is_ours=False) for id_, text in self.strangers.items()]
        return strangers + [
            Remote(zoho_id, text)
            for zoho_id, text in self.zoho.items()
            if text.removeprefix(DRAFT) == intent.figures["text"]
        ]

    def next_step(self, source: Source, remote: Remote, *, after: str | None = None) -> Step:
        is_draft = remote.body.startswith(DRAFT) and after != "open"
        if self.withdrawn:
            return self._end(remote, is_draft=is_draft, after=after)
        if self.wait is not None:
            return self.wait
        if remote.body == ENDED:
            return Anew(source)
        if not self.fields_differ(source, remote):
            return Do("open") if is_draft else Done()
        if after is None and is_draft:
            return Do("update", source.payload)
        if is_draft:
            return Do(
                DELETE, ending=Stuck(State.FAILED, "totals_differ", "1 here, 2 there", "text")
            )
        return Stuck(State.MISMATCH, "cannot_be_changed", "It is paid.", "text")

    def _end(self, remote: Remote, *, is_draft: bool, after: str | None) -> Step:
        if is_draft:
            return Do(DELETE)
        return Done() if remote.body == VOID or after == "void" else Do("void")

    def facts(self, remote: Remote, former: Mapping[str, Any]) -> dict[str, Any]:
        return {"seen": sorted({*former.get("seen", []), remote.zoho_id})}
