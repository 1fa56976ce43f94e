"""One deployed stack for this folder, set anew before each test."""

import shutil
from collections.abc import Iterator

import pytest

from ops.fake_zoho import FakeZohoControl
from ops.local_stack.stack import LocalStack, new_run_directory
from tests.workflow.stage import OPTIONS, Stage, found_in


@pytest.fixture(scope="session")
def stack(request: pytest.FixtureRequest) -> Iterator[LocalStack]:
    """The stack; its logs stay in `build/run` if a test failed."""
    run_directory = new_run_directory("workflow")
    with LocalStack(run_directory, OPTIONS) as running:
        yield running
    if not request.session.testsfailed:
        shutil.rmtree(run_directory)


@pytest.fixture(scope="session")
def deployed(stack: LocalStack) -> Iterator[Stage]:
    """The stack with its control, as the last test left it."""
    assert stack.state.zoho is not None
    with FakeZohoControl(stack.state.zoho.url) as zoho:
        made = Stage(stack, zoho)
        # Once, so that the rows of quota and token are there to be set.
        stack.invoke("PreflightFunctionName", {"check_only": True, "input": {}})
        yield made
        # Whatever the tests provoked: killed workers, refusals, errors of every kind.
        made.set_anew()
        for text in (made.logged(), *made.histories()):
            assert found_in(text, made.personal_words()) == []


@pytest.fixture
def stage(deployed: Stage) -> Stage:
    """The stack with the demo's customers, an empty Zoho and warm functions."""
    deployed.set_anew()
    return deployed
