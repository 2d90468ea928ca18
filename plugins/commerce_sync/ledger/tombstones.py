"""Tombstones: which records were forgotten, in a form that nobody can read, so that nothing brings them back.

A tombstone is written before anything is erased. Whoever is killed in between, or meets a run that is under way, finds
by it what is left to do.
"""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from commerce_sync.ledger import events
from commerce_sync.ledger.database import insert, reading, writing
from commerce_sync.ledger.events import Added, Refused
from commerce_sync.ledger.tables import SALT, TOMBSTONE
from commerce_sync.ledger.tombstones_marks import ALL, Marks, mark
from commerce_sync.ledger.tombstones_marks import says as _says

if TYPE_CHECKING:
    import pyarrow as pa

SALT_BYTES = 32


@dataclass(frozen=True, slots=True)
class Tombstone:
    """One forgotten record. names: how many names it had.   erased_at: None while something is left to erase."""

    subject: str
    scope: str
    names: int
    at: datetime
    by: str
    erased_at: datetime | None


def salt(connection: Connection) -> bytes:
    """The salt of this installation, made at the first call; of two that make one the first wins."""
    fresh = {"id": 1, "salt": secrets.token_hex(SALT_BYTES)}
    connection.execute(insert(connection, SALT).values(fresh).on_conflict_do_nothing())
    return bytes.fromhex(str(connection.scalar(sa.select(SALT.c.salt).where(SALT.c.id == 1))))


def put(connection: Connection, names: Iterable[str], *, scope: str, by: str) -> str:
    """Bury names as one record, together with the record that any of them belonged to already; gives its subject."""
    secret = salt(connection)
    marks = {mark(secret, scope=scope, name=name) for name in names}
    known = TOMBSTONE.c.mark.in_(sorted(marks))
    subjects = sorted(connection.scalars(sa.select(TOMBSTONE.c.subject).where(known).distinct()))
    subject = subjects[0] if subjects else uuid.uuid4().hex
    same = TOMBSTONE.c.subject.in_(subjects)
    connection.execute(sa.update(TOMBSTONE).where(same).values(subject=subject, erased_at=None))
    row = {"scope": scope, "subject": subject, "at": datetime.now(UTC), "by": by, "erased_at": None}
    rows = [row | {"mark": item} for item in sorted(marks)]
    connection.execute(insert(connection, TOMBSTONE).on_conflict_do_nothing(), rows)
    return subject


def lift(connection: Connection, name: str, *, scope: str) -> int:
    """Let the record that a name belonged to come back; gives how many of its names there were."""
    found = TOMBSTONE.c.mark == mark(salt(connection), scope=scope, name=name)
    subjects = list(connection.scalars(sa.select(TOMBSTONE.c.subject).where(found)))
    return connection.execute(sa.delete(TOMBSTONE).where(TOMBSTONE.c.subject.in_(subjects))).rowcount


def marks(connection: Connection, *, scopes: Sequence[str], subjects: Sequence[str] | None = None) -> Marks:
    """What recognises forgotten records of some scopes; of some subjects only. Free of cost while there are none."""
    query = sa.select(TOMBSTONE.c.mark).where(TOMBSTONE.c.scope.in_(list(scopes)))
    query = query.where(TOMBSTONE.c.subject.in_(list(subjects))) if subjects is not None else query
    found = list(connection.scalars(query))
    secret = str(connection.scalar(sa.select(SALT.c.salt).where(SALT.c.id == 1)) or "") if found else ""
    return Marks(bytes.fromhex(secret), found, scopes=scopes)


def listed(connection: Connection, *, pending: bool) -> list[Tombstone]:
    """Forgotten records, the oldest first; ``pending``: only those of which something may be left."""
    columns = (TOMBSTONE.c.subject, TOMBSTONE.c.scope)
    query = sa.select(
        *columns, sa.func.count(), sa.func.min(TOMBSTONE.c.at), sa.func.min(TOMBSTONE.c.by),
        sa.func.max(TOMBSTONE.c.erased_at), sa.func.count(TOMBSTONE.c.erased_at),
    ).group_by(*columns)  # fmt: skip
    found = [
        Tombstone(subject, scope, names, at, by, erased_at if done == names else None)
        for subject, scope, names, at, by, erased_at, done in connection.execute(query)
    ]
    return sorted((item for item in found if not (pending and item.erased_at)), key=lambda item: item.at)


def allowed_events(connection: Connection, feed: str, rows: pa.Table) -> tuple[pa.Table, int]:
    """Events without those about a forgotten record, and how many those were. Columns as ``event_schema``."""
    import pyarrow as pa

    known = marks(connection, scopes=(ALL, f"system:{feed}"))
    if not known or rows.num_rows == 0:
        return rows, 0
    keep = [not _about(known, row) for row in rows.select(_present(rows)).to_pylist()]
    return rows.filter(pa.array(keep, pa.bool_())), keep.count(False)


def set_aside(connection: Connection, feed: str, *, refused: Refused, run: str) -> Added:
    """Keep what is not valid (see ``events.set_aside``), without what is about a forgotten record."""
    import pyarrow as pa

    known = marks(connection, scopes=(ALL, f"system:{feed}"))
    if not known:
        return events.set_aside(connection, feed, refused=refused, run=run)
    told = refused.originals.select(_present(refused.originals)).to_pylist()
    keep = pa.array([not _about(known, row) for row in told], pa.bool_())
    kept = Refused(refused.originals.filter(keep), refused.rejects.filter(keep))
    forgotten = Added(doubled=refused.originals.num_rows - kept.originals.num_rows)
    return events.set_aside(connection, feed, refused=kept, run=run) + forgotten


def _present(rows: pa.Table) -> list[str]:
    return [name for name in ("subject", "data", "event_id") if name in rows.column_names]


def _about(known: Marks, row: dict[str, str | None]) -> bool:
    return any(known.mentions(text) for text in row.values() if text) or _inside(known, row.get("data"))


def _inside(known: Marks, data: str | None) -> bool:
    """Whether the JSON of an event says a name, however its text is escaped."""
    import json

    try:
        return data is not None and "\\" in data and _says(json.loads(data), known)
    except ValueError:
        return False


class Tombstones:
    """Forgotten records of one ledger."""

    _engine: Engine

    def bury(self, names: Iterable[str], *, scope: str = ALL, by: str) -> str:
        """Write tombstones for the names of one record: from now on nothing takes it in. Gives its subject."""
        with writing(self._engine) as connection:
            return put(connection, names, scope=scope, by=by)

    def readmit(self, name: str, *, scope: str = ALL) -> int:
        """Lift the tombstones of a record by any of its names; gives how many went, 0 when it was not forgotten."""
        with writing(self._engine) as connection:
            return lift(connection, name, scope=scope)

    def marks(self, *scopes: str, subjects: Sequence[str] | None = None) -> Marks:
        """What recognises forgotten records; with ``subjects`` only those. Everywhere's are always among them."""
        with reading(self._engine) as connection:
            return marks(connection, scopes=(ALL, *scopes), subjects=subjects)

    def tombstones(self, *, pending: bool = False) -> list[Tombstone]:
        """Forgotten records, the oldest first; ``pending``: only those of which something may be left."""
        with reading(self._engine) as connection:
            return listed(connection, pending=pending)

    def note_erased(self, subjects: Sequence[str]) -> None:
        """Nothing is left of these records."""
        with writing(self._engine) as connection:
            mine = TOMBSTONE.c.subject.in_(list(subjects))
            connection.execute(sa.update(TOMBSTONE).where(mine).values(erased_at=datetime.now(UTC)))
