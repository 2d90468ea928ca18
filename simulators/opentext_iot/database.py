"""The SQLite connection and its tables; nothing else opens one."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import msgspec

_TABLES = (
    "CREATE TABLE documents (kind TEXT, id TEXT, seq INTEGER, version INTEGER, created_ms INTEGER,"
    " updated_ms INTEGER, indexed_ms INTEGER, body TEXT, PRIMARY KEY (kind, id)) WITHOUT ROWID",
    "CREATE INDEX documents_order ON documents (kind, created_ms, seq)",
    "CREATE TABLE tags (kind TEXT, tag TEXT, id TEXT, PRIMARY KEY (kind, tag, id)) WITHOUT ROWID",
    "CREATE TABLE attached (stream TEXT, device TEXT, PRIMARY KEY (stream, device)) WITHOUT ROWID",
    "CREATE INDEX attached_device ON attached (device)",
    "CREATE TABLE names (no INTEGER PRIMARY KEY, name TEXT UNIQUE)",
    # payload: the decoded JSON text of a sound message; message: the text as sent when it is anything else
    "CREATE TABLE events (seq INTEGER PRIMARY KEY, created_ms INTEGER, visible_ms INTEGER, device INTEGER,"
    " template INTEGER, stream INTEGER, message_id TEXT, payload TEXT, message TEXT, encoding TEXT)",
    "CREATE INDEX events_created ON events (created_ms)",
    "CREATE INDEX events_device ON events (device, created_ms)",
    "CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT)",
)


class Database:
    """The connection, facts (named JSON values) and interned names."""

    def __init__(self, path: Path | None) -> None:
        target = str(path) if path else ":memory:"
        self.db = sqlite3.connect(target, isolation_level=None, check_same_thread=False)
        self.db.execute("PRAGMA journal_mode=WAL" if path else "PRAGMA journal_mode=MEMORY")
        self.db.execute("PRAGMA synchronous=OFF")
        self.db.execute("PRAGMA cache_size=-100000")
        self._number_of: dict[str, int] = {}
        self._name_of: dict[int, str] = {}

    def create(self) -> None:
        """Drop everything and make the tables anew."""
        names = self.db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (name,) in names:
            self.db.execute(f'DROP TABLE "{name}"')
        for statement in _TABLES:
            self.db.execute(statement)
        self._number_of.clear()
        self._name_of.clear()

    def fact(self, name: str) -> Any:
        """A remembered value, None when there is none (or no table yet)."""
        known = self.db.execute("SELECT 1 FROM sqlite_master WHERE name = 'facts'").fetchone()
        row = self.db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone() if known else None
        return msgspec.json.decode(row[0]) if row else None

    def remember(self, name: str, value: Any) -> None:
        text = msgspec.json.encode(value).decode()
        self.db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, text))

    def number(self, name: str) -> int:
        """The small number that stands for a name in the event table; made when it is new."""
        known = self._number_of.get(name)
        if known is not None:
            return known
        self.db.execute("INSERT OR IGNORE INTO names (name) VALUES (?)", (name,))
        number: int = self.db.execute("SELECT no FROM names WHERE name = ?", (name,)).fetchone()[0]
        self._number_of[name], self._name_of[number] = number, name
        return number

    def name(self, number: int) -> str:
        if number not in self._name_of:
            row = self.db.execute("SELECT name FROM names WHERE no = ?", (number,)).fetchone()
            self._name_of[number] = row[0] if row else ""
        return self._name_of[number]
