"""What an operator asks for: about records, about runs, and about the sync as a whole."""

from datetime import datetime
from typing import Any, Final

from billing_sync.domain.errors import Misconfigured
from billing_sync.domain.states import STATES, EntityType, State
from billing_sync.domain.steps import (
    Accept,
    Confirm,
    CreateAnyway,
    GoLive,
    Link,
    OperateAnswer,
    OperateEvent,
    Pause,
    ReportKeys,
    Resume,
    Retry,
    Show,
    Status,
    Stop,
)
from billing_sync.ports import (
    Confirmations,
    Operations,
    Organisations,
    Quota,
    RecordKey,
    RedGroup,
    Run,
    Runs,
    Source,
    Verification,
)

NEVER_RAN: Final = "Preflight never ran for this organisation: run it first."


class Operate:
    """Answer one request; a refusal is an answer that names the field."""

    def __init__(
        self,
        runs: Runs,
        operations: Operations,
        source: Source,
        confirmations: Confirmations,
        organisations: Organisations,
        quota: Quota,
        verification: Verification,
    ) -> None:
        """Keep the ports."""
        self._runs = runs
        self._operations = operations
        self._source = source
        self._confirmations = confirmations
        self._organisations = organisations
        self._quota = quota
        self._verification = verification

    def __call__(self, event: OperateEvent) -> OperateAnswer:
        """Do what is asked."""
        match event.root:
            case Retry() | Link() | CreateAnyway() | Accept() | Show() as asked:
                return self._about_records(asked)
            case Confirm() | GoLive() | Pause() | Resume() as asked:
                return self._about_the_sync(asked)
            case Stop() as asked:
                return self._stop(asked)
            case Status():
                return self._status()
            case ReportKeys() as asked:
                return self._report(asked)

    def _about_records(self, asked: Retry | Link | CreateAnyway | Accept | Show) -> OperateAnswer:
        match asked:
            case Retry():
                return self._retry(asked)
            case Link():
                return self._link(asked)
            case CreateAnyway():
                return self._create_anyway(asked)
            case Accept():
                return self._accept(asked)
            case Show():
                return self._show(asked)

    def _about_the_sync(self, asked: Confirm | GoLive | Pause | Resume) -> OperateAnswer:
        match asked:
            case Confirm():
                self._confirmations.confirm(asked.items, asked.by)
                self._operations.note(asked.by, "confirm", {"items": list(asked.items)})
                return OperateAnswer(ok=True)
            case GoLive():
                return self._go_live(asked)
            case Pause():
                return self._pause(asked)
            case Resume():
                return self._resume(asked)

    def _retry(self, asked: Retry) -> OperateAnswer:
        if not (asked.ids or asked.states or asked.code):
            return _refusal("InvalidRequest", "ids", "Say which: by ids, by states or by code.")
        ids = []
        for given in asked.ids:
            record = self._record(asked.entity, given)
            if isinstance(record, OperateAnswer):
                return record
            ids.append(record.entity_id)
        signalled = self._operations.retry(
            asked.entity, ids=ids, states=asked.states, code=asked.code, by=asked.by
        )
        return OperateAnswer.model_validate({"ok": True, "signalled": signalled})

    def _link(self, asked: Link) -> OperateAnswer:
        record = self._record(asked.entity, asked.id)
        if isinstance(record, OperateAnswer):
            return record
        try:
            holder = self._operations.link(record, asked.zoho_id, by=asked.by)
        except LookupError:
            return _refusal(
                "NotNow",
                "id",
                "The record is unknown to the sync, in step, being worked on, or in doubt.",
            )
        if holder is not None:
            return _refusal(
                "Taken", "zoho_id", f"This one in Zoho is linked to {holder}; unlink that first."
            )
        return OperateAnswer(ok=True)

    def _create_anyway(self, asked: CreateAnyway) -> OperateAnswer:
        record = self._record(asked.entity, asked.id)
        if isinstance(record, OperateAnswer):
            return record
        if not self._operations.create_anyway(record, by=asked.by):
            return _refusal(
                "NotAllowed",
                "id",
                "Only a record that is ambiguous because of merely plausible candidates may be"
                " created anyway.",
            )
        return OperateAnswer(ok=True)

    def _accept(self, asked: Accept) -> OperateAnswer:
        record = self._record(asked.entity, asked.id)
        if isinstance(record, OperateAnswer):
            return record
        if not self._operations.accept(record, asked.reason, by=asked.by):
            return _refusal(
                "NotAllowed",
                "id",
                "Only a red record may be accepted, and none whose write is being proved.",
            )
        return OperateAnswer(ok=True)

    def _go_live(self, asked: GoLive) -> OperateAnswer:
        if self._confirmations.facts() is None:
            return _refusal("NotReady", None, NEVER_RAN)
        before = self._organisations.standing().live_from
        live_from = self._operations.go_live(asked.since, by=asked.by)
        if live_from is None:
            return _refusal("InvalidRequest", "from", "It lies ahead: give a time that has passed.")
        return OperateAnswer.model_validate(
            {"ok": True, "live_from": _time(live_from), "before": _time(before)}
        )

    def _pause(self, asked: Pause) -> OperateAnswer:
        if self._confirmations.facts() is None:
            return _refusal("NotReady", None, NEVER_RAN)
        paused = self._operations.pause(asked.reason, by=asked.by)
        now_is = self._organisations.standing()
        if not paused:
            return _refusal("Paused", None, f"Writes are paused already, by {now_is.paused_by}.")
        return OperateAnswer.model_validate({"ok": True, "paused_at": _time(now_is.paused_at)})

    def _resume(self, asked: Resume) -> OperateAnswer:
        woken = self._operations.resume(by=asked.by)
        if woken is None:
            return _refusal("NotPaused", None, "Writes are not paused.")
        return OperateAnswer.model_validate({"ok": True, "due": woken})

    def _stop(self, asked: Stop) -> OperateAnswer:
        run = self._runs.request_stop(asked.by)
        if run is None:
            return _refusal("NothingRuns", None, "No backfill is running.")
        self._operations.note(asked.by, "stop", {"run_id": run.run_id})
        return OperateAnswer.model_validate({"ok": True, "run_id": run.run_id})

    def _status(self) -> OperateAnswer:
        run = self._runs.latest()
        now_is = self._organisations.standing()
        return OperateAnswer.model_validate(
            {
                "ok": True,
                "organisation": self._confirmations.facts(),
                "live_from": _time(now_is.live_from),
                "paused": (
                    {
                        "at": _time(now_is.paused_at),
                        "by": now_is.paused_by,
                        "reason": now_is.paused_reason,
                    }
                    if now_is.is_paused
                    else None
                ),
                "run": self._run(run) if run else None,
                "records": self._verification.state_counts(),
                "in_the_run": self._runs.record_counts(run.run_id) if run else {},
                "quota": self._quota_view(),
                "token": self._verification.token_facts(),
                "red": [_group(group) for group in self._verification.red_groups(None)],
                "accepted": [
                    {**_group(group), "reason": group.reason}
                    for group in self._verification.red_groups(None, accepted=True)
                ],
            }
        )

    def _run(self, run: Run) -> dict[str, Any]:
        calls = self._verification.calls_since(run.run_id)
        return {
            "run_id": run.run_id,
            "mode": run.mode.value,
            "step": run.step,
            "phase": run.step.partition(" ")[2] or None,
            "started_at": _time(run.started_at),
            "ended_at": _time(run.ended_at),
            "colour": run.colour,
            "loops": run.loops,
            "waiting_until": _time(run.waiting_until),
            "waiting_reason": run.waiting_reason,
            "waited_seconds": round(run.waited_seconds, 1),
            "cooldowns": run.cooldowns,
            "stop_requested": run.stop_requested,
            "ended_early": run.ended_early,
            "plan": self._runs.plan_counts(run.run_id),
            "left": {
                phase.value: self._runs.plan_left(run.run_id, phase.value) for phase in run.phases
            },
            "zoho_calls": calls.calls,
            "http_429": calls.throttled,
            "tokens_minted": calls.tokens_minted,
        }

    def _quota_view(self) -> dict[str, Any] | None:
        try:
            view = self._quota.view()
        except Misconfigured:
            return None  # no call was ever made: nothing is configured, and nothing taken
        return {
            "limit_per_minute": view.limit_per_minute,
            "configured_per_minute": view.configured_per_minute,
            "taken_in_minute": view.taken_in_minute,
            "in_flight": view.in_flight,
            "in_flight_limit": view.in_flight_limit,
            "taken_today": view.taken_today,
            "day_cap": view.day_cap,
            "blocked_until": _time(view.blocked_until),
            "paused_until": _time(view.paused_until),
        }

    def _show(self, asked: Show) -> OperateAnswer:
        record = self._record(asked.entity, asked.id)
        if isinstance(record, OperateAnswer):
            return record
        story = self._verification.story(record)
        if story is None:
            return _unknown(asked.id)
        rule = STATES[State(story["record"]["state"])]
        story["record"] |= {"meaning": rule.meaning, "leaves_by": rule.leaves_by}
        return OperateAnswer.model_validate({"ok": True, **story})

    def _report(self, asked: ReportKeys) -> OperateAnswer:
        latest = self._runs.latest()
        run_id = asked.run_id or (latest.run_id if latest else None)
        if run_id is None:
            return _refusal("NoRun", "run_id", "No backfill has run yet.")
        names = ("report.json", "report.md", "plan.jsonl", "plan.json")
        return OperateAnswer.model_validate(
            {
                "ok": True,
                "run_id": run_id,
                "bucket_keys": {name: f"runs/{run_id}/{name}" for name in names},
            }
        )

    def _record(self, entity: EntityType, given: str) -> RecordKey | OperateAnswer:
        """Take an account number, an invoice number, a transaction id or a sku as well as an id.

        Several rows of one number are refused: which is meant, only an id can say.
        """
        if entity is EntityType.CUSTOMER:
            customer_id = self._source.customer_id_of(given)
            return _unknown(given) if customer_id is None else RecordKey(entity, customer_id)
        # Of a row that is gone there may be a record still: its id is all that is left.
        found = self._operations.resolve(entity, given) or (given,)
        if len(found) > 1:
            return _refusal(
                "Several", "id", f"Several rows have this number: {', '.join(found)}. Give the id."
            )
        return RecordKey(entity, found[0])


def _group(group: RedGroup) -> dict[str, Any]:
    return {
        "entity": group.entity.value,
        "state": group.state.value,
        "code": group.code,
        "count": group.count,
        "sentence": group.sentence,
        "ids": list(group.ids),
    }


def _unknown(given: str) -> OperateAnswer:
    named = given if len(given) <= 40 and given.replace("-", "").isalnum() else "that id"
    return _refusal("Unknown", "id", f"Nothing is known of {named}.")


def _refusal(error: str, field: str | None, why: str) -> OperateAnswer:
    return OperateAnswer(ok=False, error=error, field=field, why=why)


def _time(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
