"""Documents of all kinds: one row each, JSON body, a version that changes with every write.

A new document is read by id at once, but lists, counts and references see it only when it is indexed.
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from simulators.clock import Clock
from simulators.opentext_iot.database import Database
from simulators.opentext_iot.errors import missing

Body = dict[str, Any]
_COLUMNS = "kind, id, version, created_ms, updated_ms, indexed_ms, body"
NUMBER_BYTES = 5


@dataclass(slots=True)
class Document:
    """A stored document; times in epoch milliseconds of the simulated clock."""

    kind: str
    id: str
    version: int
    created_ms: int
    updated_ms: int
    indexed_ms: int
    body: Body

    @property
    def version_text(self) -> str:
        return version_text(self.version)


def version_text(number: int) -> str:
    """The opaque version clients hand back."""
    return base64.b64encode(b"\xac\xed\x00\x05sr" + number.to_bytes(NUMBER_BYTES, "big")).decode().rstrip("=")


class Documents:
    """Reads and writes documents; ``index_delay_ms`` of the settings postpones their indexing."""

    def __init__(self, database: Database, *, clock: Clock, settings: dict[str, Any]) -> None:
        self.database, self.db = database, database.db
        self.clock, self.settings = clock, settings
        self._seq = 0

    def now_ms(self) -> int:
        return int(self.clock.timestamp() * 1000)

    def forget_numbers(self) -> None:
        self._seq = self.db.execute("SELECT coalesce(max(seq), 0) FROM documents").fetchone()[0]

    def create(self, kind: str, body: Body, *, key: str | None = None, indexed_ms: int | None = None) -> Document:
        """Store a new document; it gets an id unless one is given."""
        now = self.now_ms()
        delay = int(float(self.settings["index_delay_ms"]))
        made = Document(kind, key or str(uuid.uuid4()), 1, now, now, now + delay, body)
        if indexed_ms is not None:
            made.indexed_ms = indexed_ms
        self.put([made])
        return made

    def put(self, documents: Iterable[Document]) -> int:
        """Store documents as they are, replacing those of the same id; gives their number."""
        rows, tags = [], []
        for one in documents:
            self._seq += 1
            times = (one.created_ms, one.updated_ms, one.indexed_ms)
            rows.append((one.kind, one.id, self._seq, one.version, *times, _text(one.body)))
            tags += [(one.kind, tag, one.id) for tag in one.body.get("tags") or ()]
        self.db.execute("BEGIN")
        self.db.executemany("DELETE FROM tags WHERE kind = ? AND id = ?", [row[:2] for row in rows])
        self.db.executemany("INSERT OR REPLACE INTO documents VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
        self.db.executemany("INSERT OR IGNORE INTO tags VALUES (?, ?, ?)", tags)
        self.db.execute("COMMIT")
        return len(rows)

    def find(self, kind: str, key: str) -> Document | None:
        row = self.db.execute(f"SELECT {_COLUMNS} FROM documents WHERE kind = ? AND id = ?", (kind, key)).fetchone()
        return _document(row) if row else None

    def get(self, kind: str, key: str) -> Document:
        """The document; ApiError 404 when there is none."""
        found = self.find(kind, key)
        if found is None:
            raise missing(key)
        return found

    def indexed(self, kind: str, key: str) -> Document | None:
        """The document as other documents may refer to it: None before it is indexed."""
        found = self.find(kind, key)
        return found if found and found.indexed_ms <= self.now_ms() else None

    def write(self, document: Document) -> Document:
        """Store a changed body under the next version."""
        document.version += 1
        document.updated_ms = max(self.now_ms(), document.updated_ms + 1)
        self.db.execute("BEGIN")
        self.db.execute(
            "UPDATE documents SET version = ?, updated_ms = ?, body = ? WHERE kind = ? AND id = ?",
            (document.version, document.updated_ms, _text(document.body), document.kind, document.id),
        )
        self.db.execute("DELETE FROM tags WHERE kind = ? AND id = ?", (document.kind, document.id))
        tags = [(document.kind, tag, document.id) for tag in document.body.get("tags") or ()]
        self.db.executemany("INSERT OR IGNORE INTO tags VALUES (?, ?, ?)", tags)
        self.db.execute("COMMIT")
        return document

    def delete(self, kind: str, key: str) -> None:
        """Remove a document; ApiError 404 when there is none."""
        self.get(kind, key)
        for table in ("documents", "tags"):
            self.db.execute(f"DELETE FROM {table} WHERE kind = ? AND id = ?", (kind, key))

    def select(
        self, kind: str, *, where: str = "", values: Iterable[Any] = (), order: str = "created_ms, seq", tail: str = ""
    ) -> list[Document]:
        """Documents of a kind; ``where`` and ``tail`` are SQL of ours, ``values`` what they ask for."""
        condition = f"kind = ? AND {where}" if where else "kind = ?"
        sql = f"SELECT {_COLUMNS} FROM documents WHERE {condition} ORDER BY {order} {tail}"
        return [_document(row) for row in self.db.execute(sql, (kind, *values))]

    def count(self, kind: str, *, where: str = "", values: Iterable[Any] = ()) -> int:
        condition = f"kind = ? AND {where}" if where else "kind = ?"
        sql = f"SELECT count(*) FROM documents WHERE {condition}"
        found: int = self.db.execute(sql, (kind, *values)).fetchone()[0]
        return found

    def by_ids(self, kind: str, keys: Iterable[str]) -> dict[str, Document]:
        wanted = _text(list(dict.fromkeys(keys)))
        where = "id IN (SELECT value FROM json_each(?))"
        return {one.id: one for one in self.select(kind, where=where, values=(wanted,))}


def _document(row: tuple[Any, ...]) -> Document:
    kind, key, version, created, updated, indexed, body = row
    return Document(kind, key, version, created, updated, indexed, msgspec.json.decode(body))


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()
