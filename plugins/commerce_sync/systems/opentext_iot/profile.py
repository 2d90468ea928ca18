"""A profile: how one kind of gateway spells what this client wants, read from YAML and checked against a closed list.

Two come with the package; a connection may name a file of its own. Paths are relative, so that a profile cannot send
credentials elsewhere.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Literal

import msgspec

from commerce_sync.errors import ConfigurationError

FOLDER = Path(__file__).parent / "profiles"
Times = Literal["epoch_ms", "epoch_s", "iso8601"]
Fields = dict[str, tuple[str, ...]]
"""Our name -> dotted paths in the far side's document, the first that is there counts."""


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class SignIn(_Part, frozen=True):
    token_path: str
    style: Literal["basic", "body"] = "basic"
    scope: str | None = None
    refresh_skew_s: float = 30
    headers: dict[str, str] = {}
    accept: str = "application/json"


class Errors(_Part, frozen=True):
    message: str
    code: str
    conflicts: tuple[int, ...] = (409, 412)


class IndexWait(_Part, frozen=True):
    """How long a new document is looked for in lists before it counts as not indexed."""

    interval_ms: int = 100
    attempts: int = 100


class Paging(_Part, frozen=True):
    style: Literal["page", "cursor"]
    position: str
    size: str
    page_rows: int
    first: int = 1
    order: dict[str, str] = {}
    newest_first: dict[str, str] = {}
    items: tuple[str, ...] = ("",)
    next: str = ""


class Text(_Part, frozen=True):
    style: Literal["localized", "plain"]
    lang: str = "en_US"
    key: tuple[str, ...] = ("text",)


class Resource(_Part, frozen=True):
    path: str
    media: str
    count: str | None = None


class Write(_Part, frozen=True):
    """How a device is changed: the whole document with its version, or a merge-patch under If-Match."""

    style: Literal["version_in_body", "if_match"]
    method: str
    media: str | None = None
    version_header: str = "ETag"
    attempts: int = 4


class Attributes(_Part, frozen=True):
    style: Literal["typed_lists", "by_name"]
    lists: tuple[str, ...]
    type_id: tuple[str, ...] = ("attributeTypeId",)
    value: str = "value"
    values: Literal["text", "native"] = "native"


class Tags(_Part, frozen=True):
    style: Literal["calls", "field"]
    path: str = ""


class Create(_Part, frozen=True):
    """body: the far side's field -> ours (name, description, template_id, tags)."""

    method: str
    path: str
    body: dict[str, str] = {}
    activate: str | None = None
    serial: str | None = None


class Delete(_Part, frozen=True):
    method: str
    path: str


class Devices(_Part, frozen=True):
    fields: Fields
    filters: dict[str, str]
    write: Write
    attributes: Attributes
    tags: Tags
    create: Create
    delete: Delete
    several: bool = False
    states: dict[str, str] = {}


class Templates(_Part, frozen=True):
    """names: list field -> resource whose ids it holds; without an entry the list holds names."""

    fields: Fields
    names: dict[str, str] = {}


class EventSearch(_Part, frozen=True):
    """``window`` is what start and end speak of: the column a source may call ``modified``."""

    path: str
    media: str
    start: str
    end: str
    fields: Fields
    times: Times = "epoch_ms"
    window: Literal["received", "time"] = "received"
    items: tuple[str, ...] = ("",)
    paging: Literal["none", "page", "cursor"] = "none"
    page_rows: int = 1000
    count: str | None = None
    content_type: str | None = None
    most: int = 5000
    filters: dict[str, str] = {}
    payload: Literal["encoded", "object"] = "encoded"
    types: str | None = None
    occurred: str = "occurredAt"
    identity: Literal["envelope", "platform"] = "envelope"


class Message(_Part, frozen=True):
    """style: envelope (ids and an encoded message) or named (names and an object)."""

    path: str
    media: str
    style: Literal["envelope", "named"]
    idempotency_header: str | None = None
    answer_id: str | None = None


class Status(_Part, frozen=True):
    """by_our_id: whether a command can be found again by the id we gave it."""

    path: str
    media: str
    field: str
    by_our_id: bool


class Send(_Part, frozen=True):
    event: Message
    command: Message
    status: Status
    states: dict[str, str] = {}


class Profile(_Part, frozen=True):
    """One kind of gateway."""

    profile: str
    auth: SignIn
    errors: Errors
    paging: Paging
    text: Text
    times: Times
    resources: dict[str, Resource]
    device: Devices
    template: Templates
    events: EventSearch
    send: Send
    index_wait: IndexWait = IndexWait()

    def resource(self, name: str) -> Resource:
        """A resource. Raises ConfigurationError when this kind of gateway has none of that name."""
        found = self.resources.get(name)
        if found is None:
            legal = ", ".join(self.resources)
            raise ConfigurationError(f"profile {self.profile}: there is no resource {name!r}; there are: {legal}")
        return found


def names() -> list[str]:
    """The profiles that come with the package."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def profile(name: str = "covisint_classic", *, file: str | None = None) -> Profile:
    """The profile of that name, or the one in ``file``. Raises ConfigurationError with the place of the fault."""
    if file:
        return _read(Path(file))
    if name not in names():
        raise ConfigurationError(f"profile {name!r} is not known; there are: {', '.join(names())}")
    return _packaged(name)


@cache
def _packaged(name: str) -> Profile:
    return _read(FOLDER / f"{name}.yaml")


def _read(path: Path) -> Profile:
    try:
        found = msgspec.yaml.decode(path.read_bytes(), type=Profile)
    except OSError as error:
        raise ConfigurationError(f"profile file {path} cannot be read: {error.strerror}") from error
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise ConfigurationError(f"profile file {path}: {error}") from error
    _refuse_absolute(path, found)
    return found


def _refuse_absolute(path: Path, found: Profile) -> None:
    for text in _paths(msgspec.to_builtins(found)):
        if "://" in text or text.startswith("//"):
            raise ConfigurationError(f"profile file {path}: path {text!r} must be relative to the connection's host")


def _paths(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for item in value.values() for text in _paths(item)]
    if isinstance(value, list):
        return [text for item in value for text in _paths(item)]
    return [value] if isinstance(value, str) and "/" in value else []
