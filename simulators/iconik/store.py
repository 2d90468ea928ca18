"""The records, in SQLite: one table of JSON documents, each with an owner, a part and a running number.

``owner`` is the asset or collection a record hangs on, ``part`` its version (or the other end of a link).
Keys that start with an underscore are the simulator's own and never leave it through the API.
"""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from simulators.clock import Clock

Row = dict[str, Any]


def words(text: str) -> tuple[str, ...]:
    """Names written in one line."""
    return tuple(text.split())


KINDS = words(
    "assets collections contents approvals decisions relations relation_types history segments formats file_sets"
    " files proxies keyframes subtitles storages export_locations jobs webhooks custom_actions fields views"
    " categories metadata saved_searches users groups apps tokens deliveries"
)
PACKED = words("formats file_sets files proxies keyframes")
_TABLES = (
    "CREATE TABLE IF NOT EXISTS docs (kind TEXT, id TEXT, owner TEXT, part TEXT, seq INTEGER, doc TEXT,"
    " PRIMARY KEY (kind, id))",
    "CREATE INDEX IF NOT EXISTS docs_owner ON docs (kind, owner, seq)",
    "CREATE INDEX IF NOT EXISTS docs_part ON docs (kind, part, seq)",
    "CREATE INDEX IF NOT EXISTS docs_seq ON docs (kind, seq)",
    "CREATE TABLE IF NOT EXISTS blobs (id TEXT PRIMARY KEY, content BLOB)",
    "CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT)",
)
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


def stamp(moment: datetime) -> str:
    """RFC 3339 with microseconds and a numeric offset, as iconik writes moments."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def public(row: Row) -> Row:
    """The record as the API shows it."""
    return {name: value for name, value in row.items() if not name.startswith("_")}


class Store:
    """The only holder of the SQLite connection."""

    def __init__(self, *, clock: Clock, path: Path | None = None) -> None:
        self.clock = clock
        self.db = sqlite3.connect(str(path) if path else ":memory:", isolation_level=None, check_same_thread=False)
        # a file must stay whole when the process is killed; memory needs no more than roll-backs
        self.db.execute(f"PRAGMA journal_mode={'WAL' if path else 'MEMORY'}")
        for pragma in ("synchronous=OFF", "cache_size=-100000", "temp_store=MEMORY"):
            self.db.execute(f"PRAGMA {pragma}")
        for statement in _TABLES:
            self.db.execute(statement)
        (self._seq,) = self.db.execute("SELECT coalesce(max(seq), 0) FROM docs").fetchone()
        self._deep = False
        self.unpack: Callable[[str], None] = lambda _owner: None  # makes the files of an asset on first sight

    def now(self) -> str:
        return stamp(self.clock.now())

    @staticmethod
    def new_id() -> str:
        """Version 1, as in every recorded sample."""
        return str(uuid.uuid1())

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; an inner one joins the outer."""
        if self._deep:
            yield
            return
        self._deep = True
        self.db.execute("BEGIN")
        try:
            yield
        except BaseException:
            self.db.execute("ROLLBACK")
            raise
        else:
            self.db.execute("COMMIT")
        finally:
            self._deep = False

    @contextmanager
    def bulk(self) -> Iterator[None]:
        """Rows that go in meanwhile are indexed at the end, which halves the time; keys stay unique throughout."""
        sql = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql NOT NULL"
        indexes = self.db.execute(sql).fetchall()
        for name, _ in indexes:
            self.db.execute(f"DROP INDEX {name}")
        try:
            yield
        finally:
            for _, statement in indexes:
                self.db.execute(statement)

    def clear(self) -> None:
        for table in ("docs", "blobs", "facts"):
            self.db.execute(f"DELETE FROM {table}")
        self._seq = 0

    def get(self, kind: str, key: str) -> Row | None:
        found = self.db.execute("SELECT doc FROM docs WHERE kind = ? AND id = ?", (kind, key)).fetchone()
        return _decode(found[0]) if found else None

    def owner(self, kind: str, key: str) -> str | None:
        found = self.db.execute("SELECT owner FROM docs WHERE kind = ? AND id = ?", (kind, key)).fetchone()
        return found[0] if found else None

    def put(self, kind: str, key: str, row: Row, *, owner: str | None = None, part: str | None = None) -> Row:
        """Insert or replace; an existing record keeps its number, and owner and part unless given."""
        self._seq += 1
        self.db.execute(
            "INSERT INTO docs VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (kind, id) DO UPDATE SET doc = excluded.doc,"
            " owner = coalesce(excluded.owner, owner), part = coalesce(excluded.part, part)",
            (kind, key, owner, part, self._seq, _encode(row).decode()),
        )
        return row

    def put_many(self, kind: str, rows: Iterable[tuple[str, str | None, str | None, Row]]) -> None:
        """Insert (id, owner, part, row) in one go."""
        prepared = []
        for key, owner, part, row in rows:
            self._seq += 1
            prepared.append((kind, key, owner, part, self._seq, _encode(row).decode()))
        self.db.executemany("INSERT OR REPLACE INTO docs VALUES (?, ?, ?, ?, ?, ?)", prepared)

    def remove(self, kind: str, key: str) -> bool:
        return self.db.execute("DELETE FROM docs WHERE kind = ? AND id = ?", (kind, key)).rowcount > 0

    def find(self, kind: str, *, owner: str | None = None, part: str | None = None) -> list[Row]:
        """The records of a kind in the order they came, optionally of one owner or part."""
        if owner is not None and kind in PACKED:
            self.unpack(owner)
        tests, given = ["kind = ?"], [kind]
        for name, value in (("owner", owner), ("part", part)):
            if value is not None:
                tests.append(f"{name} = ?")
                given.append(value)
        sql = f"SELECT doc FROM docs WHERE {' AND '.join(tests)} ORDER BY seq"
        return [_decode(doc) for (doc,) in self.db.execute(sql, given)]

    def remove_owned(self, kind: str, owner: str) -> None:
        self.db.execute("DELETE FROM docs WHERE kind = ? AND owner = ?", (kind, owner))

    # --- bytes -------------------------------------------------------------------------------------

    def blob(self, key: str) -> bytes | None:
        found = self.db.execute("SELECT content FROM blobs WHERE id = ?", (key,)).fetchone()
        return found[0] if found else None

    def keep_blob(self, key: str, content: bytes) -> None:
        self.db.execute("INSERT OR REPLACE INTO blobs VALUES (?, ?)", (key, content))

    # --- facts about the database itself -----------------------------------------------------------

    def fact(self, name: str) -> Any:
        found = self.db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return json.loads(found[0]) if found else None

    def remember(self, name: str, value: Any) -> None:
        self.db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, json.dumps(value)))
