"""Stored events: what was accepted, when, and from when on searches show it."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from simulators.opentext_iot.database import Database

MAX_MS = 2**53
_COLUMNS = "seq, created_ms, device, template, stream, message_id, payload, message, encoding"
_INSERT = (
    "INSERT INTO events (created_ms, visible_ms, device, template, stream, message_id, payload, message, encoding)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


class EventRow(NamedTuple):
    """A row for the table; device, template and stream are numbers of ``Database.number``."""

    created_ms: int
    visible_ms: int
    device: int
    template: int
    stream: int
    message_id: str
    payload: str | None
    message: str | None = None
    encoding: str | None = "BASE64"


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """One accepted event; ``payload`` is the decoded JSON text, None when the message is unsound."""

    seq: int
    created_ms: int
    device_id: str
    template_id: str
    stream_id: str
    message_id: str
    payload: str | None
    message: str | None
    encoding: str | None

    @property
    def message_text(self) -> str:
        """The message as the envelope carries it."""
        if self.message is not None or self.payload is None:
            return self.message or ""
        return base64.b64encode(self.payload.encode()).decode()

    def values(self) -> dict[str, Any]:
        """The payload's fields; empty when the message is unsound."""
        try:
            found = msgspec.json.decode(self.payload or "{}")
        except msgspec.DecodeError:
            return {}
        return found if isinstance(found, dict) else {}


@dataclass(frozen=True, slots=True)
class Window:
    """What a search asks for: created in [start_ms, end_ms), shown at ``shown_ms``."""

    start_ms: int
    end_ms: int
    shown_ms: int
    device: int | None = None
    templates: tuple[int, ...] = ()

    def condition(self) -> tuple[str, list[Any]]:
        sql, values = (
            "created_ms >= ? AND created_ms < ? AND visible_ms <= ?",
            [self.start_ms, self.end_ms, self.shown_ms],
        )
        if self.device is not None:
            sql, values = f"{sql} AND device = ?", [*values, self.device]
        if self.templates:
            sql = f"{sql} AND template IN ({', '.join('?' * len(self.templates))})"
        return sql, [*values, *self.templates]


class Events:
    """The event table."""

    def __init__(self, database: Database) -> None:
        self.database, self.db = database, database.db

    def add(self, rows: Iterable[EventRow]) -> int:
        """Store rows in one transaction; gives their number."""
        self.db.execute("BEGIN")
        stored = self.db.executemany(_INSERT, rows).rowcount
        self.db.execute("COMMIT")
        return max(stored, 0)

    def count(self, window: Window) -> int:
        sql, values = window.condition()
        found: int = self.db.execute(f"SELECT count(*) FROM events WHERE {sql}", values).fetchone()[0]
        return found

    def search(
        self, window: Window, *, limit: int = -1, offset: int = 0, after: tuple[int, int] | None = None
    ) -> list[StoredEvent]:
        """Events of a window by creation; ``after`` = (created_ms, seq) continues behind that event."""
        sql, values = window.condition()
        if after is not None:
            sql, values = f"{sql} AND (created_ms, seq) > (?, ?)", [*values, *after]
        query = f"SELECT {_COLUMNS} FROM events WHERE {sql} ORDER BY created_ms, seq LIMIT ? OFFSET ?"
        return [self.stored(row) for row in self.db.execute(query, (*values, limit, offset))]

    def select(self, where: str, values: Sequence[Any]) -> list[StoredEvent]:
        return [self.stored(row) for row in self.db.execute(f"SELECT {_COLUMNS} FROM events WHERE {where}", values)]

    def newest(self) -> int:
        """The number of the event stored last; 0 when there is none."""
        found: int = self.db.execute("SELECT coalesce(max(seq), 0) FROM events").fetchone()[0]
        return found

    def appearing(self, after: int, until: int, *, since_ms: int) -> list[tuple[int, int]]:
        """(visible_ms, number) of events with after < number <= until, created at ``since_ms`` or later."""
        sql = "SELECT visible_ms, seq FROM events WHERE seq > ? AND seq <= ? AND created_ms >= ?"
        return self.db.execute(sql, (after, until, since_ms)).fetchall()

    def stored(self, row: tuple[Any, ...]) -> StoredEvent:
        name = self.database.name
        return StoredEvent(row[0], row[1], name(row[2]), name(row[3]), name(row[4]), *row[5:])


def split_message(message: str, encoding: str | None) -> tuple[str | None, str | None]:
    """(payload, message) for the table: a sound message is kept decoded, any other as it came.

    Sound means that encoding the payload again gives the very same text.
    """
    if (encoding or "").upper() != "BASE64":
        return (message if _is_object(message) else None), message
    try:
        raw = base64.b64decode(message, validate=True)
        text = raw.decode()
    except (binascii.Error, ValueError):
        return None, message
    if not _is_object(text):
        return None, message
    return text, None if base64.b64encode(raw).decode() == message else message


def _is_object(text: str) -> bool:
    try:
        return isinstance(msgspec.json.decode(text), dict)
    except (msgspec.DecodeError, RecursionError):
        return False
