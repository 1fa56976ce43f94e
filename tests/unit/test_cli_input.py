"""Names of executions, advice for every code, and how the command finds its stack."""

import ast
import json
import os
import re
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing_sync.domain.advice import WAITS, advice, is_known, wait_in_words
from billing_sync.domain.states import EntityType, State
from billing_sync.domain.steps import BackfillInput, Mode, Phase
from ops.cli.asked import LONGEST_NAME, execution_name, listed
from ops.cli.choose import NoStackChosen, connect, local_stack

PACKAGE = Path(__file__).resolve().parents[2] / "layers" / "billing_sync" / "billing_sync"


# ----------------------------------------------------------------------------------------- names


def test_name_says_what_a_run_carries_and_when_it_began() -> None:
    began = datetime(2026, 11, 22, 22, 15, 3, tzinfo=timezone(timedelta(hours=2)))

    name = execution_name(BackfillInput(mode=Mode.APPLY, phases=(Phase.CUSTOMERS,)), began, "ab12")

    assert name == "customers-apply-2026-11-22T20-15-03Z-ab12"


@given(mode=st.sampled_from(Mode), suffix=st.text("0123456789abcdef", min_size=4, max_size=4))
def test_name_is_one_that_step_functions_takes(mode: Mode, suffix: str) -> None:
    name = execution_name(BackfillInput(mode=mode), datetime(2026, 1, 2, tzinfo=UTC), suffix)

    assert re.fullmatch(r"[0-9A-Za-z_-]+", name)
    assert len(name) <= LONGEST_NAME
    assert name.endswith(suffix)


def test_values_are_taken_once_each_in_the_order_given() -> None:
    assert listed("--only-ids", ["3, 1", "3"]) == ("3", "1")
    assert listed("--only-ids", None) == ()


# ---------------------------------------------------------------------------------------- advice


def codes_of_the_engine() -> set[str]:
    """Find the codes that the package gives to records and to what stops a run.

    Findings are left out: they bring what is to be done along.
    """
    found: set[str] = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            name = node.func.id if isinstance(node.func, ast.Name) else name
            codes = [each.value for each in node.keywords if each.arg == "code"]
            if name == "Unsendable":
                codes = node.args[:1]
            if name == "Stuck":
                codes += node.args[1:2]
            if name in {"Unsendable", "Misconfigured", "Found", "Stuck", "_settle", "Settlement"}:
                found.update(
                    each.value
                    for each in codes
                    if isinstance(each, ast.Constant) and isinstance(each.value, str)
                )
    return found


def test_engine_gives_no_code_without_advice() -> None:
    codes = codes_of_the_engine()

    assert {"plausible", "taken", "unwritable_text", "exhausted", "secret_malformed"} <= codes
    assert {code for code in codes if not is_known(code)} == set()


@pytest.mark.parametrize("code", sorted(codes_of_the_engine() | {"zoho_3062", "invalid_client"}))
@pytest.mark.parametrize("entity", list(EntityType))
def test_advice_leaves_no_blank_to_fill(code: str, entity: EntityType) -> None:
    told = advice(code, entity, ["7"])

    assert "{" not in told
    assert told.endswith(".")


def test_advice_names_the_key_of_its_entity() -> None:
    assert "bear its account number" in advice("several", EntityType.CUSTOMER, ["7"])
    assert "bear its reference" in advice("several", EntityType.SUBSCRIPTION, ["7"])
    assert "link plan 7 PLAN_CODE" in advice("several", EntityType.PLAN, ["7"])
    assert "has its number" in advice("taken", EntityType.INVOICE, ["7"])


def test_advice_for_one_record_can_be_copied_and_for_many_names_a_place() -> None:
    assert "link customer 7 ZOHO_ID" in advice("plausible", EntityType.CUSTOMER, ["7"])
    assert "link customer ID ZOHO_ID" in advice("plausible", EntityType.CUSTOMER, ["7", "8"])


def test_code_of_zoho_is_named_in_its_advice() -> None:
    assert "code 1037" in advice("zoho_1037", EntityType.CUSTOMER, ["7"])


@pytest.mark.parametrize("state", list(State))
def test_unknown_code_is_advised_upon_by_its_state(state: State) -> None:
    assert advice("new_in_the_next_version", EntityType.CUSTOMER, ["7"], state=state)


def test_every_reason_of_the_quota_is_put_into_words() -> None:
    quota = (PACKAGE / "adapters" / "postgres" / "quota.py").read_text(encoding="utf-8")
    [table] = re.findall(r"_REASONS: Final = \{(.*?)\n\}", quota, re.DOTALL)

    reasons = set(re.findall(r'^    "([a-z_]+)":', table, re.MULTILINE))

    assert len(reasons) > 5
    assert reasons <= set(WAITS)


def test_reason_that_is_a_sentence_stays_one() -> None:
    assert wait_in_words("Records fall due later.") == "Records fall due later"


# --------------------------------------------------------------------------------- which stack


def write_state(directory: Path, *, started: float, endpoint: str | None) -> None:
    directory.joinpath("stack.json").write_text(
        json.dumps(
            {
                "run_directory": str(directory),
                "stack_name": "billing-sync",
                "endpoint_url": endpoint,
                "processes": [{"name": "self", "pid": os.getpid(), "started": started}],
                "outputs": {},
            }
        ),
        encoding="utf-8",
    )


def test_local_stack_is_found_while_its_processes_run(tmp_path: Path) -> None:
    started = psutil.Process().create_time()
    write_state(tmp_path, started=started, endpoint="http://127.0.0.1:4566")

    found = local_stack(tmp_path)

    assert found is not None
    assert (found.stack_name, found.endpoint_url) == ("billing-sync", "http://127.0.0.1:4566")


def test_local_stack_that_died_or_is_not_up_yet_is_none(tmp_path: Path) -> None:
    assert local_stack(tmp_path) is None

    write_state(tmp_path, started=1.0, endpoint="http://127.0.0.1:4566")
    assert local_stack(tmp_path) is None

    write_state(tmp_path, started=psutil.Process().create_time(), endpoint=None)
    assert local_stack(tmp_path) is None


@pytest.mark.parametrize("local", [True, False])
def test_no_stack_is_ever_guessed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, local: bool
) -> None:
    monkeypatch.setattr("ops.cli.choose.local_stack", lambda: local_stack(tmp_path))

    with pytest.raises(NoStackChosen):
        connect(None, local=local)


def test_local_aws_takes_nothing_of_the_persons_profile(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "prod-that-does-not-exist")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "real")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    write_state(tmp_path, started=psutil.Process().create_time(), endpoint="http://127.0.0.1:4566")
    monkeypatch.setattr("ops.cli.choose.local_stack", lambda: local_stack(tmp_path))

    stack = connect(None, local=False)

    assert stack.label == "billing-sync (local AWS at http://127.0.0.1:4566)"
