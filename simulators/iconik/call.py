"""One call and its answer, free of HTTP machinery."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from simulators.iconik.errors import bad_request, not_found
from simulators.iconik.site import Site

Row = dict[str, Any]
TRUE, FALSE = {"true", "1", "yes", "on"}, {"false", "0", "no", "off", ""}


@dataclass(slots=True)
class Answer:
    """Status, JSON body (None: empty), headers."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    text: str | None = None
    content_type: str = "application/json"


def created(body: Any) -> Answer:
    return Answer(body, 201)


def nothing(status: int = 204) -> Answer:
    return Answer(None, status)


@dataclass(slots=True)
class Event:
    """What happened, as webhooks tell it. ``data`` is the changed document as stored."""

    event_type: str
    object_id: str
    realm: str
    operation: str
    data: Row
    user_id: str | None
    request_id: str


@dataclass(slots=True)
class Call:
    """A request that has passed authentication."""

    site: Site
    method: str
    path: str
    given: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    base_url: str
    content: Any = None
    user_id: str = ""
    token_id: str = ""
    request_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    events: list[Event] = field(default_factory=list)

    @property
    def now(self) -> str:
        return self.site.store.now()

    def json_object(self) -> Row:
        """The body as an object; an absent body is an empty one."""
        if self.content is None:
            return {}
        if not isinstance(self.content, dict):
            raise bad_request("Bad request: the body must be a JSON object")
        return self.content

    def flag(self, name: str, default: bool) -> bool:
        text = self.query.get(name)
        if text is None:
            return default
        if text.lower() in TRUE:
            return True
        if text.lower() in FALSE:
            return False
        raise bad_request(f"Bad request: {name} must be a boolean")

    def number(self, name: str, default: int, *, least: int = 0, most: int = 10**9) -> int:
        text = self.query.get(name)
        if text is None or text == "":
            return default
        if not text.isascii() or not text.isdigit() or len(text) > 12:
            raise bad_request(f"Bad request: {name} must be a number")
        number = int(text)
        if not least <= number <= most:
            raise bad_request(f"Bad request: {name} must be between {least} and {most}")
        return number

    def names(self, name: str) -> list[str]:
        """A comma-separated query parameter."""
        return [part for part in self.query.get(name, "").split(",") if part]

    def need(self, kind: str, key: str, *, owner: str | None = None) -> Row:
        """The record, or 404; with ``owner`` only when it belongs there."""
        row = self.site.store.get(kind, key)
        if row is None or (owner is not None and self.site.store.owner(kind, key) != owner):
            raise not_found()
        return row

    def tell(self, event_type: str, object_id: str, *, realm: str, operation: str, data: Row) -> None:
        """Remember an event; it goes out when the call has succeeded."""
        document = {name: value for name, value in data.items() if not name.startswith("_")}
        event = Event(event_type, object_id, realm, operation, document, self.user_id, self.request_id)
        self.events.append(event)


Handler = Callable[[Call], Answer]


@dataclass(frozen=True, slots=True)
class Route:
    """``template`` ends with a slash; ``open`` needs no token."""

    method: str
    template: str
    handler: Handler
    open: bool = False
