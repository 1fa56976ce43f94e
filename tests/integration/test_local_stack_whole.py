"""The local stack deploys a template, is found by others, and leaves nothing behind."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from ops.fake_zoho import FakeZohoControl
from ops.local_stack.postgres import FUNCTIONS_ROLE
from ops.local_stack.processes import StackError
from ops.local_stack.stack import LocalStack, StackOptions, clients_of, invoke
from ops.local_stack.state import StackState

TEMPLATE = Path(__file__).with_name("local_stack") / "template.yaml"
SAID = 'a {brace}, a "quote" and a blank'


@pytest.fixture(scope="module")
def steps() -> list[str]:
    """What the stack told of its progress, in order."""
    return []


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, steps: list[str]) -> Iterator[LocalStack]:
    options = StackOptions(template=TEMPLATE, stack_name="least", parameters={"Said": SAID})

    def progress(step: str, seconds: float | None) -> None:
        if seconds is not None:
            steps.append(step)

    with LocalStack(tmp_path_factory.mktemp("run"), options, progress=progress) as running:
        yield running


def test_function_gets_parameters_as_they_were_given(stack: LocalStack) -> None:
    assert stack.invoke("MigrateFunctionName", {})["said"] == SAID


def test_function_reads_what_its_role_allows_and_nothing_else(stack: LocalStack) -> None:
    answer = stack.invoke("MigrateFunctionName", {})

    assert answer["database_user"] == FUNCTIONS_ROLE
    assert answer["refused"] == "AccessDeniedException"


def test_a_function_that_raises_is_an_error_that_names_its_log(stack: LocalStack) -> None:
    with pytest.raises(StackError, match=r"^Migrate raised .*: asked to fail") as caught:
        stack.invoke("MigrateFunctionName", {"fail": True})

    log = stack.log("functions")
    assert str(log) in str(caught.value)
    assert "called" in log.read_text()


def test_every_step_is_told(stack: LocalStack, steps: list[str]) -> None:
    assert stack.state.outputs
    assert [step for step in steps if step.startswith(("start", "sam"))] == [
        "start PostgreSQL",
        "start fake Zoho",
        "start local AWS",
        "sam build",
        "sam deploy",
    ]


def test_another_process_finds_the_stack_by_its_file(stack: LocalStack) -> None:
    found = StackState.load(stack.run_directory)

    assert found is not None
    with clients_of(found) as clients:
        assert invoke(clients, found, "MigrateFunctionName", {})["said"] == SAID
    assert found.zoho is not None
    with FakeZohoControl(found.zoho.url) as zoho:
        assert zoho.customers() == []
    with found.database.connect(FUNCTIONS_ROLE) as connection:
        assert connection.execute("SELECT current_user").fetchone() == (FUNCTIONS_ROLE,)
    assert not found.is_abandoned
    assert oct((stack.run_directory / "stack.json").stat().st_mode & 0o777) == "0o600"


# The last of the module: it ends the stack that the others use.
def test_ending_leaves_the_logs_and_nothing_else(stack: LocalStack) -> None:
    state = stack.state.model_copy(deep=True)
    assert all(identity.find() is not None for identity in state.processes)
    assert len(state.processes) == 2

    stack.stop()

    assert [identity.name for identity in state.processes if identity.find()] == []
    assert [folder for folder in state.scratch if folder.exists()] == []
    with pytest.raises(psycopg.OperationalError):
        state.database.connect(FUNCTIONS_ROLE)
    assert StackState.load(stack.run_directory) is None
    assert {path.name for path in stack.run_directory.glob("*.log")} == {
        "aws.log",
        "fake-zoho.log",
        "functions.log",
        "postgres.log",
        "sam-build.log",
        "sam-deploy.log",
    }
