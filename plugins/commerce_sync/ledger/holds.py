"""Holds: changes that wait for a person's yes before they are sent, one row per leg and key.

An answer is about one payload: when the fingerprint changes, the question is asked again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from commerce_sync import disguise
from commerce_sync.errors import ConfigurationError
from commerce_sync.ledger.database import insert
from commerce_sync.ledger.tables import HOLD

if TYPE_CHECKING:
    import pyarrow as pa

HoldStatus = Literal["waiting", "approved", "refused"]
Answer = Literal["approved", "refused"]
CHUNK = 5_000
JOINED = ("key", "fingerprint", "status")


@dataclass(frozen=True, slots=True)
class Hold:
    """One change that waits, or waited. ``payload`` is masked; ``reason``: why it is asked, then the person's words."""

    leg: str
    key: str
    fingerprint: int
    run: str
    status: HoldStatus
    asked_at: datetime
    answered_at: datetime | None
    answered_by: str | None
    reason: str | None
    payload: dict[str, Any] | None


def put(connection: Connection, leg: str, *, run: str, rows: pa.Table) -> int:
    """Ask about changes: columns key, fingerprint, and if given reason and payload (JSON text, masked).

    A hold with the same fingerprint keeps its answer and the time it was asked. Gives the number of new questions.
    """
    found = set(rows.column_names)
    if not {"key", "fingerprint"} <= found or found - {"key", "fingerprint", "reason", "payload"}:
        raise ConfigurationError(
            f"ledger: holds have columns {', '.join(rows.column_names)}; needed: key, fingerprint, and perhaps reason, "
            "payload"
        )
    now = datetime.now(UTC)
    fresh = {"leg": leg, "run": run, "status": "waiting", "asked_at": now, "answered_at": None, "answered_by": None}
    statement = insert(connection, HOLD)
    asked = {column.name: statement.excluded[column.name] for column in HOLD.c if column.name not in ("leg", "key")}
    other = HOLD.c.fingerprint != statement.excluded.fingerprint
    upsert = statement.on_conflict_do_update(index_elements=["leg", "key"], set_=asked, where=other)
    before = _asked(connection, leg, now)
    for part in rows.to_batches(max_chunksize=CHUNK):
        values = [{"reason": None, "payload": None} | row | fresh for row in part.to_pylist()]
        connection.execute(upsert, values)
    return _asked(connection, leg, now) - before


def _asked(connection: Connection, leg: str, now: datetime) -> int:
    query = sa.select(sa.func.count()).select_from(HOLD).where(HOLD.c.leg == leg, HOLD.c.asked_at == now)
    return int(connection.scalar(query) or 0)


def answer(
    connection: Connection, leg: str, *, keys: Sequence[str] | None, status: Answer, by: str, reason: str | None,
    asked_until: datetime | None,
) -> int:  # fmt: skip
    """A person's answer to the holds of keys (None: all that wait); gives the number of rows changed.

    An approval may be taken back and a refusal lifted as long as the hold is there.   asked_until: when the person
    looked; what was asked after that is another question and stays.
    """
    if status not in ("approved", "refused"):
        raise ConfigurationError(f"ledger: {status!r} is no answer to a hold; use approved or refused")
    values: dict[str, Any] = {"status": status, "answered_at": datetime.now(UTC), "answered_by": by}
    if reason is not None:
        values["reason"] = disguise.plain(reason)
    statement = sa.update(HOLD).where(HOLD.c.leg == leg, HOLD.c.status != status).values(values)
    if asked_until is not None:
        statement = statement.where(HOLD.c.asked_at <= asked_until)
    if keys is None:
        return connection.execute(statement.where(HOLD.c.status == "waiting")).rowcount
    parts = (list(keys[start : start + CHUNK]) for start in range(0, len(keys), CHUNK))
    return sum(connection.execute(statement.where(HOLD.c.key.in_(part))).rowcount for part in parts)


def listed(
    connection: Connection, leg: str | None, *, status: HoldStatus | None, limit: int | None, offset: int
) -> list[Hold]:
    """Holds by leg and key."""
    query = sa.select(HOLD).order_by(HOLD.c.leg, HOLD.c.key).limit(limit).offset(offset)
    query = query.where(HOLD.c.leg == leg) if leg is not None else query
    query = query.where(HOLD.c.status == status) if status is not None else query
    return [_hold(row) for row in connection.execute(query)]


def _hold(row: sa.Row[Any]) -> Hold:
    values = dict(row._mapping)
    values["payload"] = json.loads(values["payload"]) if values["payload"] is not None else None
    return Hold(**values)


def table(connection: Connection, leg: str) -> pa.Table:
    """What detection joins with: key, fingerprint, status of a leg's holds."""
    import pyarrow as pa

    fields = pa.schema([("key", pa.string()), ("fingerprint", pa.uint64()), ("status", pa.string())])
    rows = connection.execute(sa.select(*(HOLD.c[name] for name in JOINED)).where(HOLD.c.leg == leg)).all()
    if not rows:
        return pa.Table.from_batches([], schema=fields)
    return pa.table([pa.array(v, f.type) for v, f in zip(zip(*rows, strict=True), fields, strict=True)], fields)


def clear(connection: Connection, leg: str, *, keys: Iterable[Any]) -> int:
    """Remove the holds of keys, once they are sent or need no answer any more; keys without one cost nothing."""
    wanted, removed = [str(key) for key in keys], 0
    for start in range(0, len(wanted), CHUNK):
        part = HOLD.c.key.in_(wanted[start : start + CHUNK])
        removed += connection.execute(sa.delete(HOLD).where(HOLD.c.leg == leg, part)).rowcount
    return removed
