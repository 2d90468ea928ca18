"""A request, its answer and a route, apart from the HTTP library."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import msgspec
from multidict import CIMultiDictProxy, MultiMapping

from simulators.opentext_iot.errors import invalid
from simulators.opentext_iot.tokens import Grant

if TYPE_CHECKING:
    from simulators.opentext_iot.platform import Platform


@dataclass(slots=True)
class Call:
    """One request; ``given`` are the parts of the path, ``grant`` who asks (None on open routes)."""

    platform: Platform
    method: str
    path: str
    given: dict[str, str]
    query: MultiMapping[str]
    headers: CIMultiDictProxy[str]
    raw: bytes = b""
    grant: Grant | None = None

    def header(self, name: str) -> str:
        return self.headers.get(name, "")

    def json(self) -> Any:
        """The decoded body; 400 when it is no JSON."""
        try:
            return msgspec.json.decode(self.raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise invalid(f"The request body is not JSON: {error}") from error

    def document(self) -> dict[str, Any]:
        """The body as an object; 400 when it is anything else."""
        body = self.json()
        if not isinstance(body, dict):
            raise invalid("The request body must be a JSON object")
        return body

    def form(self) -> dict[str, str]:
        """The first value of each field of a form body."""
        text = self.raw.decode("utf-8", "replace")
        try:
            return {name: values[0] for name, values in parse_qs(text, keep_blank_values=True).items()}
        except ValueError as error:
            raise invalid(f"The request body is not a form: {error}") from error

    def needed(self, name: str) -> str:
        """A query parameter that must be there."""
        value = self.query.get(name, "")
        if not value:
            raise invalid(f"The query parameter {name} is required")
        return value


@dataclass(slots=True)
class Answer:
    """``body``: None for empty, bytes or str as they are, anything else becomes JSON."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = ""  # empty: the media type of the route


Handler = Callable[[Call], Answer]


@dataclass(frozen=True, slots=True)
class Route:
    """One call of the API.

    accepts: media types a client may ask for, the first is what is answered; empty takes anything.
    sends: media types a body may have; empty takes anything.   dialect: classic or problem, how errors are worded.
    """

    method: str
    template: str
    handler: Handler
    accepts: tuple[str, ...] = ()
    sends: tuple[str, ...] = ()
    dialect: str = "classic"
    open: bool = False
    reads_events: bool = False
