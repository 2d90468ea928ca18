"""Rejects: the records that did not arrive, one row per leg and key, until they do or are dismissed.

They come in and go out as Arrow tables, because a bad day has a hundred thousand of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from commerce_sync.errors import ConfigurationError
from commerce_sync.ledger.copying import can_copy, copied
from commerce_sync.ledger.database import insert
from commerce_sync.ledger.tables import REJECT

if TYPE_CHECKING:
    import pyarrow as pa

RejectStatus = Literal["rejected", "parked", "quarantined", "dismissed", "undone"]
REJECT_STATUSES = ("rejected", "parked", "quarantined", "dismissed", "undone")
CHUNK = 5_000
JOINED = ("key", "status", "code", "fingerprint", "attempts", "next_attempt")
GIVEN = (
    "key", "status", "code", "reason_class", "reason", "fields", "payload", "fingerprint", "attempts",
    "next_attempt",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reject:
    """One record that did not arrive. ``payload`` is masked; ``next_attempt`` None: no attempt is planned."""

    leg: str
    key: str
    status: RejectStatus
    code: str | None
    reason_class: str | None
    reason: str | None
    fields: str | None
    payload: dict[str, Any] | None
    fingerprint: int | None
    attempts: int
    next_attempt: datetime | None
    first_run: str
    last_run: str
    updated: datetime


@dataclass(frozen=True, slots=True)
class RejectGroup:
    """Rejects that have class and code in common. legs: their number per leg, the largest first."""

    reason_class: str | None
    code: str | None
    rows: int
    legs: dict[str, int]


def schema() -> pa.Schema:
    """Columns of the rejects a run hands in; all but key and status may be missing or null.

    payload: JSON text, already masked.   next_attempt: UTC.
    """
    import pyarrow as pa

    kinds = {"fingerprint": pa.uint64(), "attempts": pa.int32(), "next_attempt": pa.timestamp("us", tz="UTC")}
    return pa.schema([pa.field(name, kinds.get(name, pa.string())) for name in GIVEN])


def listed(
    connection: Connection, leg: str, *, status: RejectStatus | None, limit: int | None, offset: int
) -> list[Reject]:
    """Rejects of a leg by key, optionally of one status."""
    query = sa.select(REJECT).where(REJECT.c.leg == leg).order_by(REJECT.c.key).limit(limit).offset(offset)
    if status is not None:
        query = query.where(REJECT.c.status == status)
    return [_reject(row) for row in connection.execute(query)]


def find(connection: Connection, leg: str, *, key: str) -> Reject | None:
    """The reject of a key, or None."""
    row = connection.execute(sa.select(REJECT).where(REJECT.c.leg == leg, REJECT.c.key == key)).one_or_none()
    return _reject(row) if row is not None else None


def of_keys(connection: Connection, legs: Sequence[str], *, keys: Sequence[str]) -> list[Reject]:
    """Rejects of keys in several legs; both are named, because the primary key begins with the leg."""
    query = sa.select(REJECT).where(REJECT.c.leg.in_(list(legs)), REJECT.c.key.in_(list(keys)))
    return [_reject(row) for row in connection.execute(query.order_by(REJECT.c.leg, REJECT.c.key))]


def grouped(connection: Connection, *, legs: Sequence[str], statuses: Sequence[str]) -> list[RejectGroup]:
    """Rejects by reason class and code, with their number per leg."""
    columns = (REJECT.c.reason_class, REJECT.c.code, REJECT.c.leg)
    query = sa.select(*columns, sa.func.count().label("rows")).group_by(*columns)
    query = query.where(REJECT.c.leg.in_(list(legs))) if legs else query
    query = query.where(REJECT.c.status.in_(list(statuses))) if statuses else query
    heaps: dict[tuple[str | None, str | None], dict[str, int]] = {}
    for reason_class, code, leg, rows in sorted(connection.execute(query), key=lambda row: -row[3]):
        heaps.setdefault((reason_class, code), {})[leg] = rows
    groups = [RejectGroup(*names, sum(found.values()), found) for names, found in heaps.items()]
    return sorted(groups, key=lambda group: -group.rows)


def _reject(row: Row[Any]) -> Reject:
    values = dict(row._mapping)
    values["payload"] = json.loads(values["payload"]) if values["payload"] is not None else None
    return Reject(**values)


def counted(connection: Connection, leg: str) -> dict[str, int]:
    """Number of rejects of a leg per status that occurs."""
    query = sa.select(REJECT.c.status, sa.func.count()).where(REJECT.c.leg == leg).group_by(REJECT.c.status)
    return {status: number for status, number in connection.execute(query)}


def table(connection: Connection, leg: str) -> pa.Table:
    """What detection and commit join with: key, status, code, fingerprint, attempts, next_attempt."""
    import pyarrow as pa

    wanted = pa.schema([schema().field(name) for name in JOINED])
    rows = connection.execute(sa.select(*(REJECT.c[name] for name in JOINED)).where(REJECT.c.leg == leg)).all()
    if not rows:
        # Not empty_table(): making an array imports pandas, which costs a step 45 MB and a quarter of a second.
        return pa.Table.from_batches([], schema=wanted)
    columns = zip(*rows, strict=True)
    return pa.table([pa.array(list(values), type=f.type) for values, f in zip(columns, wanted, strict=True)], wanted)


def put(connection: Connection, leg: str, *, run: str, rows: pa.Table) -> int:
    """Upsert rejects (see ``schema``), keeping the first run that saw a key. Gives their number."""
    if rows.num_rows == 0:
        return 0
    complete = _complete(_conform(rows), leg=leg, run=run)
    if can_copy(connection):
        with copied(connection, REJECT, rows=complete) as staged:
            connection.execute(_replacing(insert(connection, REJECT).from_select(complete.column_names, staged)))
    else:
        for part in complete.to_batches(max_chunksize=CHUNK):
            connection.execute(_replacing(insert(connection, REJECT)), part.to_pylist())
    return int(complete.num_rows)


def _conform(rows: pa.Table) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as pc

    unknown = [name for name in rows.column_names if name not in GIVEN]
    if unknown or "key" not in rows.column_names or "status" not in rows.column_names:
        found = ", ".join(rows.column_names)
        raise ConfigurationError(f"ledger: rejects have columns {found}; key, status and any of {', '.join(GIVEN)} go")
    wanted = schema()
    columns = [
        rows[field.name].cast(field.type) if field.name in rows.column_names else pa.nulls(rows.num_rows, field.type)
        for field in wanted
    ]
    table = pa.table(columns, schema=wanted)
    wrong = set(pc.unique(table["status"]).to_pylist()) - set(REJECT_STATUSES)
    if wrong:
        raise ConfigurationError(
            f"ledger: reject status {wrong} does not exist; use one of: {', '.join(REJECT_STATUSES)}"
        )
    return table.set_column(GIVEN.index("attempts"), "attempts", pc.fill_null(table["attempts"], 0))


def _complete(rows: pa.Table, *, leg: str, run: str) -> pa.Table:
    import pyarrow as pa

    stamp = pa.scalar(datetime.now(UTC), pa.timestamp("us", tz="UTC"))
    for name, value in (("leg", leg), ("first_run", run), ("last_run", run), ("updated", stamp)):
        rows = rows.append_column(name, pa.repeat(value, rows.num_rows))
    return rows


def _replacing(statement: Any) -> Any:
    kept = ("leg", "key", "first_run")
    changed = {column.name: statement.excluded[column.name] for column in REJECT.c if column.name not in kept}
    return statement.on_conflict_do_update(index_elements=["leg", "key"], set_=changed)


def clear(connection: Connection, leg: str, *, keys: Iterable[Any]) -> int:
    """Remove the rejects of keys (an Arrow array or any iterable of text); keys without one cost nothing."""
    import pyarrow as pa
    import pyarrow.compute as pc

    stored = connection.scalars(sa.select(REJECT.c.key).where(REJECT.c.leg == leg)).all()
    if not stored:
        return 0
    given = keys if isinstance(keys, pa.Array | pa.ChunkedArray) else pa.array(list(keys), pa.string())
    present = pa.array(stored, pa.string())
    found = present.filter(pc.is_in(present, value_set=given.cast(pa.string())))
    for part in _chunks(found.to_pylist()):
        connection.execute(sa.delete(REJECT).where(REJECT.c.leg == leg, REJECT.c.key.in_(part)))
    return len(found)


def expire(connection: Connection, leg: str, *, before: datetime) -> int:
    """Remove rejects of a leg last touched before a moment; gives their number."""
    return connection.execute(sa.delete(REJECT).where(REJECT.c.leg == leg, REJECT.c.updated < before)).rowcount


def change(connection: Connection, leg: str, *, keys: Sequence[str] | None, values: dict[str, Any]) -> int:
    """Set columns of the rejects of keys (None: all of the leg); gives the number of rows changed."""
    statement = sa.update(REJECT).where(REJECT.c.leg == leg).values(values | {"updated": datetime.now(UTC)})
    if keys is None:
        return connection.execute(statement).rowcount
    return sum(connection.execute(statement.where(REJECT.c.key.in_(part))).rowcount for part in _chunks(keys))


def _chunks(keys: Sequence[str]) -> Iterator[list[str]]:
    for start in range(0, len(keys), CHUNK):
        yield list(keys[start : start + CHUNK])
