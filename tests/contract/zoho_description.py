"""Zoho's own OpenAPI description, with what is known to be otherwise in truth.

The description is Zoho's and is not kept here: it is read from `ZOHO_OPENAPI_DIR`, else from
`../shared/zoho/openapi` beside this project. What is wrong in it is data, in `corrections.yaml`,
each with its evidence; a correction that no longer corrects anything is an error.

One `ZohoDescription` judges both directions: answers (of fake Zoho) and requests (of our client).
It is stricter than OpenAPI: a field that is not described is wrong, too.
"""

import os
import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml
from jsonschema import Draft4Validator
from jsonschema.exceptions import ValidationError
from pydantic import BaseModel, ConfigDict, Field

ROOT = Path(__file__).parents[2]
CORRECTIONS = Path(__file__).with_name("corrections.yaml")
HOW_TO_GET_IT = (
    "Zoho's OpenAPI description is not here: unpack openapi-all.zip from "
    "https://www.zoho.com/billing/api/v1/ and set ZOHO_OPENAPI_DIR to its folder"
)
METHODS = ("get", "post", "put", "delete")

type Direction = Literal["request", "answer"]
type Schema = dict[str, Any]


class Correction(BaseModel):
    """What is otherwise than described, for some calls, and how that is known.

    `calls` are as in the description: `POST /invoices`. Fields are named by their place:
    `invoice.invoice_items[].price`; parts of an answer begin with the envelope's key. `as_in` says
    that a part has all fields of another call's, too: `customer: request POST /customers`, or
    `plan: answer GET /plans/{plan_code} plan`; the place `body` is the whole. `query` has names of
    parameters, or patterns of such names.
    """

    model_config = ConfigDict(extra="forbid")

    calls: list[str]
    direction: Direction
    evidence: str = Field(min_length=10)
    as_in: dict[str, str] = {}
    not_required: list[str] = []
    types: dict[str, list[str]] = {}
    fields: list[str] = []
    query: list[str] = []


class Undescribed(BaseModel):
    """A call that works, but is not described: what it takes and answers is like another's."""

    model_config = ConfigDict(extra="forbid")

    call: str
    scope: str
    evidence: str = Field(min_length=10)
    request: Schema = {}
    answer: Schema = {}
    message: str | None = None
    query: list[str] = []


class Corrections(BaseModel):
    model_config = ConfigDict(extra="forbid")

    undescribed: list[Undescribed] = []
    corrections: list[Correction] = []


@dataclass
class Call:
    """One described call; `path` has its parameters in braces."""

    method: str
    path: str
    scope: str
    status: int
    message: str | None
    query: set[str]
    request: Schema
    answer: Schema

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"

    def takes(self, name: str) -> bool:
        """Tell whether a key of the query is described; those of corrections may be patterns."""
        return any(re.fullmatch(known, name) for known in self.query)

    def matches(self, path: str) -> bool:
        return re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", self.path), path) is not None


def find_folder(environment: Mapping[str, str] = os.environ) -> Path | None:
    """Find the description; None: it is not here."""
    named = environment.get("ZOHO_OPENAPI_DIR")
    folder = Path(named) if named else ROOT.parent / "shared" / "zoho" / "openapi"
    return folder if any(folder.glob("*.yml")) else None


class ZohoDescription:
    """Raise ValueError if a correction does not fit what it is to correct."""

    def __init__(self, folder: Path, corrections: Path = CORRECTIONS) -> None:
        self.calls = {call.name: call for call in _described(folder)}
        known = Corrections.model_validate(yaml.safe_load(corrections.read_text()))
        for undescribed in known.undescribed:
            self._add(undescribed)
        for correction in known.corrections:
            self._correct(correction)

    def call(self, method: str, path: str) -> Call | None:
        """Find the call of a path with ids in it; the one with the fewest parameters first."""
        found = [one for one in self.calls.values() if one.method == method and one.matches(path)]
        return min(found, key=lambda one: one.path.count("{"), default=None)

    def wrong_in_answer(self, method: str, path: str, status: int, body: object) -> list[str]:
        """Name all that does not fit the description of a successful answer; none: it fits."""
        call = self.call(method, path)
        if call is None:
            return [f"{method} {path}: not described"]
        wrong = [] if status == call.status else [f"status {status}, not {call.status}"]
        if call.message is not None and isinstance(body, dict):
            answered = body.get("message")
            wrong += [] if answered == call.message else [f"message {answered!r}"]
        return wrong + _wrong(call.answer, body)

    def wrong_in_request(
        self, method: str, path: str, query: Mapping[str, str], body: object | None
    ) -> list[str]:
        """Name all that does not fit the description of a request; none: it fits."""
        call = self.call(method, path)
        if call is None:
            return [f"{method} {path}: not described"]
        wrong = [f"query: {name} is not described" for name in query if not call.takes(name)]
        if call.request:
            return wrong + _wrong(call.request, {} if body is None else body)
        return wrong if body is None else [*wrong, "a body, and none is described"]

    def _add(self, undescribed: Undescribed) -> None:
        method, path = undescribed.call.split()
        if undescribed.call in self.calls:
            raise ValueError(f"{undescribed.call} is described by now")
        self.calls[undescribed.call] = Call(
            method=method,
            path=path,
            scope=undescribed.scope,
            status=200,
            message=undescribed.message,
            query=set(undescribed.query),
            request=_closed(undescribed.request),
            answer=_closed(undescribed.answer, all_required=True),
        )

    def _correct(self, correction: Correction) -> None:
        for name in correction.calls:
            if name not in self.calls:
                raise ValueError(f"{name} is corrected, but not described")
            call = self.calls[name]
            schema = call.request if correction.direction == "request" else call.answer
            if described := call.query & set(correction.query):
                raise ValueError(f"{name}: {described} is described by now")
            call.query |= set(correction.query)
            for place, other in correction.as_in.items():
                _add_fields(_part(schema, place, name), self._named_part(other), f"{name} {place}")
            for place in correction.not_required:
                _drop_requirement(schema, place, name)
            for place, types in correction.types.items():
                _change_type(schema, place, types, name)
            for place in correction.fields:
                _add_field(schema, place, name)

    def _named_part(self, named: str) -> Schema:
        direction, method, path, *place = named.split()
        call = self.calls[f"{method} {path}"]
        schema = call.request if direction == "request" else call.answer
        return _part(schema, place[0], named) if place else schema


@cache
def the_description() -> ZohoDescription | None:
    """Read the description once, with its corrections; None: it is not here."""
    folder = find_folder()
    return None if folder is None else ZohoDescription(folder)


def _described(folder: Path) -> Iterator[Call]:
    for file in sorted(folder.glob("*.yml")):
        document = yaml.load(file.read_text(), Loader=yaml.CSafeLoader)
        for path, item in document["paths"].items():
            for method in METHODS:
                if method in item:
                    yield _read_call(document, method.upper(), path, item)


def _read_call(document: Schema, method: str, path: str, item: Schema) -> Call:
    operation = item[method.lower()]
    parameters = [
        _resolved(document, one)
        for one in (*operation.get("parameters", ()), *item.get("parameters", ()))
    ]
    ((status, response),) = [
        (int(status), _resolved(document, response))
        for status, response in operation["responses"].items()
        if status.startswith("2")
    ]
    answer = _schema_of(document, response)
    message = answer.get("properties", {}).get("message", {}).get("example")
    return Call(
        method=method,
        path=path,
        scope=next(iter(operation["security"][0].values()))[0],
        status=status,
        message=message,
        query={one["name"] for one in parameters if one["in"] == "query"},
        request=_closed(_schema_of(document, operation.get("requestBody", {}))),
        answer=_closed(answer, all_required=True),
    )


def _schema_of(document: Schema, holder: Schema) -> Schema:
    """Copy the schema of the first kind of content; all of Zoho's calls have one, JSON, or none."""
    content = _resolved(document, holder).get("content", {})
    schema: Schema = next((media.get("schema", {}) for media in content.values()), {})
    inlined: Schema = _inlined(document, schema)
    return inlined


def _inlined(document: Schema, schema: Any) -> Any:
    """Copy a schema with all that it refers to, so that each call can be corrected alone."""
    if isinstance(schema, list):
        return [_inlined(document, one) for one in schema]
    if isinstance(schema, dict):
        resolved = _resolved(document, schema)
        return {key: _inlined(document, value) for key, value in resolved.items()}
    return schema


def _resolved(document: Schema, schema: Schema) -> Schema:
    while "$ref" in schema and isinstance(schema["$ref"], str):
        target: Any = document
        for step in schema["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        schema = target
    return schema


def _closed(schema: Schema, *, all_required: bool = False) -> Schema:
    """Allow no fields but the described ones; of an answer, expect the whole envelope."""
    closed = deepcopy(schema)
    for part in _parts(closed):
        if part.get("properties"):
            part["additionalProperties"] = False
    if all_required and closed.get("properties"):
        closed["required"] = sorted(closed["properties"])
    return closed


def _parts(schema: Schema) -> Iterator[Schema]:
    yield schema
    for inner in schema.get("properties", {}).values():
        yield from _parts(inner)
    if isinstance(schema.get("items"), dict):
        yield from _parts(schema["items"])


def _holder(schema: Schema, place: str, name: str) -> tuple[Schema, str]:
    """Find the object that a field lies in: `invoice.invoice_items[].price` in the items."""
    *steps, last = place.split(".")
    for step in steps:
        key = step.removesuffix("[]")
        inner = schema.get("properties", {}).get(key)
        if inner is None:
            raise ValueError(f"{name}: nothing is described at {place}")
        schema = inner["items"] if step.endswith("[]") else inner
    return schema, last


def _part(schema: Schema, place: str, name: str) -> Schema:
    if place == "body":
        return schema
    holder, last = _holder(schema, place, name)
    found: Schema | None = holder.get("properties", {}).get(last.removesuffix("[]"))
    if found is None:
        raise ValueError(f"{name}: nothing is described at {place}")
    if last.endswith("[]"):
        items: Schema = found["items"]
        return items
    return found


def _add_fields(schema: Schema, other: Schema, name: str) -> None:
    """Add what the other one has and this one lacks, in all depths."""
    if not _add_missing(schema, other):
        raise ValueError(f"{name}: all of these fields are described by now")


def _add_missing(schema: Schema, other: Schema) -> bool:
    added = False
    for field, described in other.get("properties", {}).items():
        if field not in schema.get("properties", {}):
            schema.setdefault("properties", {})[field] = _without_requirements(described)
            added = True
        else:
            added |= _add_missing(schema["properties"][field], described)
    if isinstance(schema.get("items"), dict) and isinstance(other.get("items"), dict):
        added |= _add_missing(schema["items"], other["items"])
    if schema.get("properties"):
        schema["additionalProperties"] = False
    return added


def _without_requirements(described: Schema) -> Schema:
    copied = deepcopy(described)
    for part in _parts(copied):
        part.pop("required", None)
    return copied


def _drop_requirement(schema: Schema, place: str, name: str) -> None:
    holder, field = _holder(schema, place, name)
    if field not in holder.get("required", []):
        raise ValueError(f"{name}: {place} is not required in the description")
    holder["required"] = [one for one in holder["required"] if one != field]
    if not holder["required"]:
        del holder["required"]  # OpenAPI 3.0's schemas know no empty list of them


def _change_type(schema: Schema, place: str, types: list[str], name: str) -> None:
    described = _part(schema, place, name)
    if [described.get("type")] == types:
        raise ValueError(f"{name}: {place} is a {types[0]} in the description")
    described["type"] = types


def _add_field(schema: Schema, place: str, name: str) -> None:
    holder, field = _holder(schema, place, name)
    properties = holder.setdefault("properties", {})
    if field in properties:
        raise ValueError(f"{name}: {place} is described by now")
    properties[field] = {}
    holder["additionalProperties"] = False


def _wrong(schema: Schema, body: object) -> list[str]:
    return sorted(_sentence(error) for error in Draft4Validator(schema).iter_errors(body))


def _sentence(error: ValidationError) -> str:
    place = ".".join("[]" if isinstance(step, int) else str(step) for step in error.absolute_path)
    return f"{place or 'body'}: {error.message}"
