"""What a delivery is on its way in: the call, the events it brings, and what it is answered."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import msgspec

from commerce_sync.ledger import Added, Refused, event_schema
from commerce_sync.receiver.credentials import Credential
from commerce_sync.receiver.refusals import wrong
from commerce_sync.receiver.settings import SourceRules

if TYPE_CHECKING:
    import pyarrow as pa

LONGEST_NAME = 512
"""Characters of an event's id, type and source."""
LONGEST_KEY = 4000
AHEAD = timedelta(days=1)
FIRST = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Call:
    """A request that is allowed and was read. given: what the route found in the path.   media: its Content-Type."""

    method: str
    headers: Mapping[str, str]
    media: str
    body: bytes
    given: Mapping[str, str]
    rules: SourceRules
    credential: Credential

    def header(self, name: str) -> str:
        """A header's value, percent-decoded as CloudEvents wants it. Raises Refusal when no database could keep it."""
        value = unquote(self.headers.get(name, ""), errors="replace").strip()
        return keepable(value, what=f"header {name}")


@dataclass(frozen=True, slots=True)
class Answer:
    """What the sender is told."""

    status: int
    body: bytes = b""
    media: str = "application/json"


@dataclass(frozen=True, slots=True)
class Hint:
    """One event: something happened to ``subject``. ``data`` is small unless the source keeps its payload."""

    id: str
    type: str
    source: str
    subject: str | None
    at: datetime
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Delivery:
    """Events for a feed. answer: made from what came of them.   reason: noted with it, although it was taken."""

    feed: str
    rows: pa.Table
    answer: Callable[[Added], Answer]
    refused: Refused | None = None
    reason: str | None = None

    @property
    def events(self) -> int:
        """Events in it, the refused ones included."""
        return int(self.rows.num_rows) + (int(self.refused.rejects.num_rows) if self.refused else 0)

    @property
    def types(self) -> tuple[str, ...]:
        """Types of its valid events."""
        import pyarrow.compute as pc

        return tuple(pc.unique(self.rows["type"]).to_pylist())


@dataclass(slots=True)
class Hints:
    """Collects hints into rows of the ledger."""

    found: list[Hint] = field(default_factory=list)

    def rows(self) -> pa.Table:
        """The hints as the ledger takes them, each id once."""
        return rows_of(list({one.id: one for one in self.found}.values()))


def rows_of(hints: Sequence[Hint]) -> pa.Table:
    """Hints as the ledger takes them."""
    import pyarrow as pa

    fields = event_schema()
    values = [
        (
            _short(one.id),
            _short(one.type),
            _short(one.source),
            one.subject,
            one.at,
            _encoded(one.data),
        )
        for one in hints
    ]
    columns = zip(*values, strict=True) if values else [()] * len(fields)
    return pa.table([pa.array(list(v), f.type) for v, f in zip(columns, fields, strict=True)], fields)


def answered(status: int, body: bytes = b"{}") -> Callable[[Added], Answer]:
    """The same answer whatever came of the events."""
    return lambda _added: Answer(status, body)


def keepable(text: str, *, what: str) -> str:
    """The text, when a database can keep it. Raises Refusal otherwise."""
    if len(text) > LONGEST_KEY or any(ord(one) < 32 or 0xD800 <= ord(one) < 0xE000 for one in text):
        raise wrong("not_text", f"{what} has control characters or more than {LONGEST_KEY} characters")
    return text


def moment(text: str | None) -> datetime:
    """A time of the far side, or now where it has none, cannot be read, or is not between 1970 and tomorrow."""
    now = datetime.now(UTC)
    try:
        found = datetime.fromisoformat(text or "")
        found = found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return now
    return found if FIRST <= found <= now + AHEAD else now


def digest(*parts: str | bytes) -> str:
    """A name for what has none: the same parts give the same one."""
    mark = hashlib.blake2b(digest_size=20)
    for part in parts:
        raw = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        mark.update(len(raw).to_bytes(8) + raw)
    return mark.hexdigest()


def _encoded(data: dict[str, Any]) -> str:
    try:
        return msgspec.json.encode(data).decode()
    except OverflowError:  # whole numbers beyond 64 bits
        return json.dumps(data)


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_NAME else f"{text[:400]}~{digest(text)}"
