"""A request and its answer, apart from HTTP, so that composite subrequests run the same handlers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from simulators.salesforce.errors import ApiError

if TYPE_CHECKING:
    from simulators.salesforce.org import Org


@dataclass(slots=True)
class Call:
    """One request: ``given`` are the parts of the path, ``query`` the first value of each parameter."""

    org: Org
    method: str
    path: str
    given: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    raw: bytes = b""
    scheme: str = "http"
    host: str = "localhost"

    @property
    def version(self) -> str:
        return self.given.get("version", "60.0")

    @property
    def number(self) -> float:
        return float(self.version)

    @property
    def data_url(self) -> str:
        return f"/services/data/v{self.version}"

    @property
    def origin(self) -> str:
        return self.org.settings["instance_url"] or f"{self.scheme}://{self.host}"

    def json(self) -> Any:
        """The decoded body; raises JSON_PARSER_ERROR when it is no JSON."""
        try:
            return msgspec.json.decode(self.raw)
        except msgspec.DecodeError as error:
            raise ApiError(400, "JSON_PARSER_ERROR", f"The HTTP entity body is required or no JSON: {error}") from error

    def json_object(self) -> dict[str, Any]:
        body = self.json()
        if not isinstance(body, dict):
            raise ApiError(400, "JSON_PARSER_ERROR", "The HTTP entity body must be a JSON object")
        return body

    def header(self, name: str) -> str:
        return self.headers.get(name, "")


@dataclass(slots=True)
class Answer:
    """``body``: None for empty, bytes or str as they are, anything else becomes JSON."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json;charset=UTF-8"


Handler = Callable[[Call], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Route:
    """``template`` without a trailing slash; ``{name}`` takes one segment."""

    method: str
    template: str
    handler: Handler
    open: bool = False  # no session needed
    dialect: str = "rest"  # rest, bulk1, oauth, soap: how errors are worded
