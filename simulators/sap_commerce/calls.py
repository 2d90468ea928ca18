"""One operation on a service, whether it came alone or inside a $batch, and its answer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

from simulators.sap_commerce.errors import ODataError, bad_request
from simulators.sap_commerce.schema import IntegrationObject

JSON = "application/json;charset=utf-8"
XML = "application/xml;charset=utf-8"
_PATH = re.compile(r"([\w$]+)(?:\((.*)\))?(?:/(.*))?$", re.DOTALL)
_KEY = re.compile(r"(?:integrationKey\s*=\s*)?'((?:[^']|'')*)'$", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Call:
    """``path`` is what follows the service, still percent-encoded; ``base`` ends with the service's slash."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    service: IntegrationObject
    base: str
    user: str

    @property
    def wants_json(self) -> bool:
        accept = self.headers.get("Accept", "")
        if "$format=" in self.query:
            return "$format=json" in self.query
        return "json" in accept or not ("xml" in accept or "atom" in accept)


@dataclass(frozen=True, slots=True)
class Reply:
    """A finished answer."""

    status: int
    body: bytes = b""
    content_type: str = JSON
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Target:
    """What a path names: a set, optionally one of its entities, optionally something of that."""

    entity_set: str
    key: str | None
    rest: str


def parse_path(path: str) -> Target:
    """Read ``Set('key')/rest``; raises ODataError when it cannot be read."""
    found = _PATH.match(unquote(path).strip("/"))
    if found is None:
        raise ODataError(404, "not_found", f"Could not find an entity set or function import for '{path}'.")
    entity_set, inner, rest = found.groups()
    return Target(entity_set, None if inner is None else _key(inner), rest or "")


def _key(text: str) -> str:
    found = _KEY.match(text.strip())
    if found is None:
        raise bad_request("odata_error", f"The key predicate '{text}' is not valid; expected a quoted key.")
    return found[1].replace("''", "'")


def refusal(error: ODataError, *, as_json: bool) -> Reply:
    """The answer for an error, in the form the caller reads."""
    body, kind = (error.as_json(), JSON) if as_json else (error.as_xml(), XML)
    return Reply(error.status, body, kind, {"DataServiceVersion": "1.0"})
