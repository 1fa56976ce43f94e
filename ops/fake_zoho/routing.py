"""How a call finds its operation."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ops.fake_zoho.organisation import Organisation
from ops.fake_zoho.replies import JsonObject, Reply


@dataclass(frozen=True)
class ApiCall:
    """A call that passed every check: whose it is, and what it asks for."""

    organisation: Organisation
    reachable: Sequence[Organisation]
    user_name: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    body: JsonObject = field(default_factory=dict)

    def asks(self, name: str) -> bool:
        """Tell whether a flag of the query is set."""
        return self.query.get(name, "").strip().casefold() == "true"


@dataclass(frozen=True)
class Operation:
    """One documented call. `path` has its parameters in braces, as in Zoho's description."""

    name: str
    method: str
    path: str
    scope: str
    perform: Callable[[ApiCall], Reply]
    takes_body: bool = False

    def match(self, path: str) -> dict[str, str] | None:
        pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", self.path)
        found = re.fullmatch(pattern, path)
        return None if found is None else found.groupdict()


@dataclass(frozen=True)
class Route:
    """What a path leads to; no operation: the path is known, the method is not."""

    operation: Operation | None
    parameters: dict[str, str]


def find_route(operations: Sequence[Operation], method: str, path: str) -> Route | None:
    """Find the operation of a call; None: no such path."""
    known: dict[str, str] | None = None
    for operation in operations:
        parameters = operation.match(path)
        if parameters is None:
            continue
        if operation.method == method:
            return Route(operation, parameters)
        known = parameters
    return None if known is None else Route(None, known)
