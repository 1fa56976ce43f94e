"""The template and the state machine, read and translated once."""

import pytest

from tests.template.translation import Json, read_definition, read_template, translate


@pytest.fixture(scope="session")
def template() -> Json:
    return read_template()


@pytest.fixture(scope="session")
def translated() -> Json:
    return translate()


@pytest.fixture(scope="session")
def resources(translated: Json) -> Json:
    found: Json = translated["Resources"]
    return found


@pytest.fixture(scope="session")
def functions(resources: Json) -> dict[str, Json]:
    """Properties of each Lambda function, by what comes before `Function` in its logical id."""
    return {
        logical_id.removesuffix("Function"): resource["Properties"]
        for logical_id, resource in resources.items()
        if resource["Type"] == "AWS::Lambda::Function"
    }


@pytest.fixture(scope="session")
def definition() -> Json:
    return read_definition()


@pytest.fixture(scope="session")
def states(definition: Json) -> dict[str, Json]:
    found: dict[str, Json] = definition["States"]
    return found
