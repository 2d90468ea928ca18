"""What outlives the process in ``--state DIR``: jobs, sessions and the app's key, beside the records in one file.

Pickles, because only this program reads its own folder; a file made for other fields is refused at the start.
"""

from __future__ import annotations

import dataclasses
import hashlib
import pickle
import sqlite3
from collections.abc import Iterator
from typing import Any

from simulators.salesforce import ids
from simulators.salesforce.schema import Schema

TABLES = (
    "CREATE TABLE IF NOT EXISTS _facts (name TEXT PRIMARY KEY, value TEXT)",
    "CREATE TABLE IF NOT EXISTS _jobs (id TEXT PRIMARY KEY, kind TEXT, body BLOB)",
    "CREATE TABLE IF NOT EXISTS _sessions (token TEXT PRIMARY KEY, issued REAL, used REAL)",
)


class State:
    """The tables beside the records; everything is written as it happens, so that a killed process keeps it too."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.db = db
        for sql in TABLES:
            db.execute(sql)

    def fact(self, name: str) -> str | None:
        found = self.db.execute("SELECT value FROM _facts WHERE name = ?", (name,)).fetchone()
        return found[0] if found else None

    def note(self, name: str, value: str) -> None:
        self.db.execute("INSERT OR REPLACE INTO _facts VALUES (?, ?)", (name, value))

    def keep_job(self, job: Any, *, kind: str) -> None:
        body = pickle.dumps(dataclasses.replace(job, task=None))
        self.db.execute("INSERT OR REPLACE INTO _jobs VALUES (?, ?, ?)", (job.id, kind, body))

    def drop_job(self, key: str) -> None:
        self.db.execute("DELETE FROM _jobs WHERE id = ?", (key,))

    def clear_jobs(self) -> None:
        self.db.execute("DELETE FROM _jobs")

    def jobs(self, kind: str, *, schema: Schema) -> Iterator[Any]:
        """The kept jobs, oldest first, tied to the objects of the running schema."""
        for (body,) in self.db.execute("SELECT body FROM _jobs WHERE kind = ? ORDER BY id", (kind,)).fetchall():
            job = pickle.loads(body)
            job.item = schema.objects[job.item.name]
            job.key = job.item.find(job.key.name) if job.key else None
            yield job

    def keep_session(self, token: str, *, issued: float, used: float) -> None:
        self.db.execute("INSERT OR REPLACE INTO _sessions VALUES (?, ?, ?)", (token, issued, used))

    def drop_session(self, token: str | None = None) -> None:
        """Forget one session, or all of them."""
        self.db.execute("DELETE FROM _sessions WHERE ? IS NULL OR token = ?", (token, token))

    def sessions(self) -> list[tuple[str, float, float]]:
        return self.db.execute("SELECT token, issued, used FROM _sessions").fetchall()


def digest(statements: list[str]) -> str:
    """A short fingerprint of the tables, which tells a file of another field list."""
    return hashlib.sha256("\n".join(statements).encode()).hexdigest()[:16]


def running_numbers(db: sqlite3.Connection, schema: Schema) -> dict[str, int]:
    """The next running number of each id prefix and each auto number, read back from what is stored."""
    found: dict[str, int] = {}
    for item in schema.objects.values():
        ours = f"{item.prefix}{ids.POD}%"
        (last,) = db.execute(f'SELECT max("Id") FROM "{item.name}" WHERE "Id" LIKE ?', (ours,)).fetchone()
        if last:
            found[item.prefix] = max(ids.number(last) + 1, 100)
        for spec in item.fields.values():
            if spec.auto_number:
                (most,) = db.execute(f'SELECT max(CAST("{spec.name}" AS INTEGER)) FROM "{item.name}"').fetchone()
                found[item.name] = (most or 99) + 1
    for key in [row[0] for row in db.execute("SELECT id FROM _jobs")]:
        found[key[:3]] = max(found.get(key[:3], 100), ids.number(key) + 1)
    return found
