"""The reader of Zoho's description: what it finds wrong, and what it does with corrections."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.contract import conftest
from tests.contract.zoho_description import (
    CORRECTIONS,
    Corrections,
    ZohoDescription,
    find_folder,
)

THING = {
    "thing_id": {"type": "string"},
    "price": {"type": "string"},
    "tags": {
        "type": "array",
        "items": {"type": "object", "properties": {"id": {"type": "string"}}},
    },
}
DESCRIPTION = {
    "paths": {
        "/things": {
            "post": {
                "parameters": [{"name": "send", "in": "query"}],
                "requestBody": {
                    "content": {
                        "application/json": {"schema": {"$ref": "#/components/schemas/request"}}
                    }
                },
                "responses": {
                    "201": {
                        "content": {
                            "application/json": {"schema": {"$ref": "#/components/schemas/answer"}}
                        }
                    }
                },
                "security": [{"Zoho_Auth": ["ZohoSubscriptions.things.CREATE"]}],
            }
        },
    },
    "components": {
        "schemas": {
            "request": {
                "type": "object",
                "required": ["price", "card_id"],
                "properties": THING | {"card_id": {"type": "string"}},
            },
            "answer": {
                "type": "object",
                "properties": {
                    "code": {"type": "integer"},
                    "message": {"type": "string", "example": "Done."},
                    "thing": {"$ref": "#/components/schemas/thing"},
                },
            },
            "thing": {"type": "object", "properties": THING},
        }
    },
}
EVIDENCE = "§0: so it was seen"


def _describe(folder: Path, **correction: Any) -> ZohoDescription:
    (folder / "things.yml").write_text(yaml.safe_dump(DESCRIPTION))
    corrections = folder / "corrections.yaml"
    known = {"corrections": [{"evidence": EVIDENCE} | correction]} if correction else {}
    corrections.write_text(yaml.safe_dump(known))
    return ZohoDescription(folder, corrections)


def _answer(**thing: Any) -> dict[str, Any]:
    return {"code": 0, "message": "Done.", "thing": {"thing_id": "1"} | thing}


def test_what_is_described_is_right(tmp_path: Path) -> None:
    described = _describe(tmp_path)

    assert described.wrong_in_answer("POST", "/things", 201, _answer(tags=[{"id": "1"}])) == []
    sent = {"price": "1", "card_id": "2"}
    assert described.wrong_in_request("POST", "/things", {"send": "true"}, sent) == []


@pytest.mark.parametrize(
    ("status", "body", "wrong"),
    [
        (200, _answer(), "status 200, not 201"),
        (201, _answer() | {"message": "Made."}, "message 'Made.'"),
        (201, {"code": 0, "message": "Done."}, "body: 'thing' is a required property"),
        (201, _answer(price=1), "thing.price: 1 is not of type 'string'"),
        (201, _answer(tags=[{"id": 7}]), "thing.tags.[].id: 7 is not of type 'string'"),
        (
            201,
            _answer(colour="red"),
            "thing: Additional properties are not allowed ('colour' was unexpected)",
        ),
    ],
)
def test_what_is_wrong_in_an_answer_is_named(
    tmp_path: Path, status: int, body: Any, wrong: str
) -> None:
    assert _describe(tmp_path).wrong_in_answer("POST", "/things", status, body) == [wrong]


@pytest.mark.parametrize(
    ("query", "body", "wrong"),
    [
        ({}, {"price": "1"}, "body: 'card_id' is a required property"),
        ({}, {"price": 1, "card_id": "2"}, "price: 1 is not of type 'string'"),
        ({"when": "now"}, {"price": "1", "card_id": "2"}, "query: when is not described"),
        (
            {},
            {"price": "1", "card_id": "2", "rate": 1},
            "body: Additional properties are not allowed ('rate' was unexpected)",
        ),
    ],
)
def test_what_is_wrong_in_a_request_is_named(
    tmp_path: Path, query: dict[str, str], body: Any, wrong: str
) -> None:
    assert _describe(tmp_path).wrong_in_request("POST", "/things", query, body) == [wrong]


def test_call_that_is_not_described_is_wrong(tmp_path: Path) -> None:
    described = _describe(tmp_path)

    assert described.wrong_in_answer("GET", "/things", 200, {}) == ["GET /things: not described"]
    assert described.wrong_in_request("GET", "/things", {}, None) == ["GET /things: not described"]


def test_corrections_of_a_request_hold_for_it_alone(tmp_path: Path) -> None:
    described = _describe(
        tmp_path,
        calls=["POST /things"],
        direction="request",
        not_required=["card_id"],
        types={"price": ["number"]},
        fields=["tags[].name"],
        query=[r"page_\d+"],
    )

    sent = {"price": 1.5, "tags": [{"name": "x"}]}
    assert described.wrong_in_request("POST", "/things", {"page_1": ""}, sent) == []
    assert described.wrong_in_answer("POST", "/things", 201, _answer(price=1.5)) != []


def test_answer_may_have_the_fields_of_the_request(tmp_path: Path) -> None:
    described = _describe(
        tmp_path,
        calls=["POST /things"],
        direction="answer",
        as_in={"thing": "request POST /things"},
    )

    assert described.wrong_in_answer("POST", "/things", 201, _answer(card_id="2")) == []


@pytest.mark.parametrize(
    "correction",
    [
        {"calls": ["GET /things"]},
        {"not_required": ["thing_id"]},
        {"types": {"price": ["string"]}},
        {"types": {"colour": ["string"]}},
        {"fields": ["price"]},
        {"fields": ["colour.red"]},
        {"query": ["send"]},
        {"as_in": {"body": "answer POST /things thing"}},
    ],
)
def test_correction_that_corrects_nothing_is_an_error(
    tmp_path: Path, correction: dict[str, Any]
) -> None:
    correction = {"calls": ["POST /things"], "direction": "request"} | correction

    with pytest.raises(ValueError, match="things"):
        _describe(tmp_path, **correction)


def test_each_correction_of_ours_has_its_section() -> None:
    known = Corrections.model_validate(yaml.safe_load(CORRECTIONS.read_text()))

    assert known.corrections
    assert [one for one in known.corrections if not one.evidence.startswith("§")] == []
    assert [one for one in known.undescribed if not one.evidence.startswith("§")] == []


def test_description_is_looked_for_where_it_is_said_to_be(tmp_path: Path) -> None:
    assert find_folder({"ZOHO_OPENAPI_DIR": str(tmp_path)}) is None
    (tmp_path / "things.yml").touch()
    assert find_folder({"ZOHO_OPENAPI_DIR": str(tmp_path)}) == tmp_path


@pytest.mark.parametrize(("ci", "outcome"), [("true", "Failed"), ("", "Skipped")])
def test_absence_fails_in_ci_and_is_said_elsewhere(
    monkeypatch: pytest.MonkeyPatch, ci: str, outcome: str
) -> None:
    monkeypatch.setenv("CI", ci)
    monkeypatch.setattr(conftest, "the_description", lambda: None)

    with pytest.raises(BaseException, match=r"openapi-all\.zip") as left:
        conftest.found_description()

    assert type(left.value).__name__ == outcome
