"""Runs that end red, or would if the first record written had not warned them."""

from datetime import UTC, datetime
from typing import Any

import pytest

from ops.fake_zoho import AnswerLost, FieldAltered, Refused, SeedCustomer
from tests.workflow.stage import ACCOUNTS, Stage, assert_everyone_is_in_zoho_once

CREATE = "create_customer"
TWIN = "CT-2025-00009"

KEPT_BY_HAND = SeedCustomer(
    profile={"display_name": "Newgate Medical", "email": "anton@newgate-medical.example"},
    created_time=datetime(2024, 5, 6, tzinfo=UTC),
)


def test_an_ambiguous_customer_fails_the_run_until_somebody_says_who_it_is(stage: Stage) -> None:
    [kept_by_hand] = stage.zoho.seed([KEPT_BY_HAND])

    red = stage.apply()

    assert (red.status, red.states[-1]) == ("FAILED", "Conclude")
    assert red.cause is not None
    assert "1 ambiguous" in red.cause
    assert stage.states() == {"synced": ACCOUNTS - 1, "skipped": 2, "ambiguous": 1}
    assert stage.in_zoho(TWIN) == []
    # What a redrive would find now: the same.
    assert "1 ambiguous" in stage.invoke("Conclude", {"run_id": red.name})["errorMessage"]

    linked = stage.operate("link", entity="customer", id=TWIN, zoho_id=kept_by_hand)
    green = stage.apply()

    assert linked == {"ok": True, "error": None, "field": None, "why": None}
    assert green.status == "SUCCEEDED"
    assert_everyone_is_in_zoho_once(stage)
    assert [found["customer_id"] for found in stage.in_zoho(TWIN)] == [kept_by_hand]
    # And a redrive of the red run, which has been mended, ends green.
    assert stage.invoke("Conclude", {"run_id": red.name})["colour"] == "green"


def test_a_first_record_that_comes_out_different_stops_the_run(stage: Stage) -> None:
    stage.zoho.arm(FieldAltered(field="display_name", keep_characters=4, count=None))

    run = stage.apply()

    assert (run.status, run.states[-1]) == ("FAILED", "Conclude")
    assert run.cause is not None
    assert "1 mismatch" in run.cause
    assert "came out different" in run.cause
    assert len(stage.zoho.customers()) == 1
    assert len(stage.zoho.log(operation=CREATE)) == 1
    assert stage.states()["mismatch"] == 1
    assert "synced" not in stage.states()


def test_a_refused_first_record_holds_nobody_and_is_tried_again_when_asked(stage: Stage) -> None:
    stage.zoho.arm(Refused(operation=CREATE, code=2))

    run = stage.apply()

    assert (run.status, run.states[-1]) == ("FAILED", "Conclude")
    assert run.cause is not None
    assert "1 failed" in run.cause
    assert stage.states() == {"synced": ACCOUNTS - 1, "skipped": 2, "failed": 1}
    [refused] = stage.query("SELECT * FROM billing_sync.records WHERE state = 'failed'")
    assert refused["code"] == "zoho_2"
    assert refused["sentence"]

    asked = stage.operate("retry", entity="customer", states=["failed"])
    mended = stage.apply()

    assert asked["signalled"] == 1
    assert mended.status == "SUCCEEDED"
    assert_everyone_is_in_zoho_once(stage)


def test_a_first_record_in_doubt_holds_the_others_until_its_proof(stage: Stage) -> None:
    stage.zoho.arm(AnswerLost(operation=CREATE))

    run = stage.apply()

    assert run.status == "SUCCEEDED"
    assert_everyone_is_in_zoho_once(stage)
    first, second, *others = stage.zoho.log(operation=CREATE)
    assert (first.fault, len(others)) == ("answer_lost", ACCOUNTS - 2)
    # Between the two lies its proof, a read that found it.
    between = [
        entry.operation
        for entry in stage.zoho.log()
        if first.sequence < entry.sequence < second.sequence
    ]
    assert between
    assert CREATE not in between
    assert "CoolDown" in run.states
    [waits, *_] = [a for a in run.answers("SyncBatch") if a["next"] == "cool_down"]
    assert "proved" in waits["why"]


def test_six_refusals_of_one_code_stop_the_run(stage: Stage) -> None:
    stage.zoho.arm(Refused(operation=CREATE, code=2, count=None))

    run = stage.apply()

    assert (run.status, run.states[-1]) == ("FAILED", "Conclude")
    assert run.cause is not None
    assert "zoho_2" in run.cause
    assert len(stage.zoho.log(operation=CREATE)) == 6
    assert stage.zoho.customers() == []


@pytest.mark.parametrize(
    ("refusal", "says", "calls"),
    [
        # No such custom field: one call is enough to know.
        (Refused(operation=CREATE, status=400, code=120129, count=None), "unknown", 1),
        # A token that was renewed for this very call is refused for it again: the scope.
        (Refused(operation=CREATE, status=401, code=57, count=None), "scope", 2),
    ],
    ids=["unknown custom field", "missing scope"],
)
def test_what_every_record_would_meet_stops_the_run_at_once(
    stage: Stage, refusal: Refused, says: str, calls: int
) -> None:
    stage.zoho.arm(refusal)

    run = stage.apply()

    assert (run.status, run.states[-1]) == ("FAILED", "Conclude")
    assert len(stage.zoho.log(operation=CREATE)) == calls
    report = stage.report(run)
    assert report["colour"] == "red"
    assert report["failed"] == 1
    assert says in _code(stage)
    assert report["ended_early"]


def _code(stage: Stage) -> Any:
    [record] = stage.query("SELECT * FROM billing_sync.records WHERE state = 'failed'")
    return record["code"]
