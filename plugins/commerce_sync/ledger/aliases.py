"""Aliases: which record a merged one lives on in, per system and object, by external id.

What is stored are single steps, so that an un-merge takes back its own step only; whoever asks gets the end of the
chain: after A -> B and B -> C, A lives on in C.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from commerce_sync.errors import ConfigurationError
from commerce_sync.ledger.database import insert
from commerce_sync.ledger.tables import ALIAS

if TYPE_CHECKING:
    import pyarrow as pa

CHUNK = 5_000
STEP = ("lost", "now", "lost_id", "now_id")


@dataclass(frozen=True, slots=True)
class Linked:
    """What became of aliases handed in: how many are as given, and why the others were refused (lost -> reason)."""

    written: int = 0
    removed: int = 0
    refused: dict[str, str] = field(default_factory=dict)


def put(
    connection: Connection, system: str, *, object: str, rows: Sequence[Mapping[str, Any]], gone: Iterable[str]
) -> Linked:
    """Forget the aliases of ``gone``, then write ``rows`` (lost, now, lost_id, now_id), the later row winning.

    A row that names itself, nothing, or a record that leads back to it is refused, the others are written.
    """
    _take_turn(connection)
    removed = _remove(connection, system, object, gone)
    now = _steps(connection, system, object)
    wanted: dict[str, dict[str, Any]] = {}
    refused: dict[str, str] = {}
    for row in rows:
        reason = _fault(row, now)
        if reason is None:
            now[row["lost"]] = row["now"]
            wanted[row["lost"]] = {name: row.get(name) for name in STEP}
        else:
            refused[str(row.get("lost"))] = reason
    _write(connection, system, object, list(wanted.values()))
    return Linked(len(wanted), removed, refused)


def _take_turn(connection: Connection) -> None:
    """Two writers, each adding half of a circle, must see each other. SQLite has one writer anyway."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"LOCK TABLE {ALIAS.name} IN SHARE ROW EXCLUSIVE MODE")


def _fault(row: Mapping[str, Any], now: Mapping[str, str]) -> str | None:
    lost, target = row.get("lost"), row.get("now")
    if not lost or not target:
        return f"{'lost' if not lost else 'now'} is empty; an alias needs the external ids of both records"
    end, passed = target, [target]
    while end != lost and end in now:
        end = now[end]
        passed.append(end)
    if end == lost:
        shown = " -> ".join([lost, *(passed if len(passed) <= 10 else [*passed[:5], "...", *passed[-4:]])])
        return f"a record cannot live on in itself: {shown}; remove one of these steps first"
    return None


def _steps(connection: Connection, system: str, object: str) -> dict[str, str]:
    query = sa.select(ALIAS.c.lost, ALIAS.c.now).where(ALIAS.c.system == system, ALIAS.c.object == object)
    return {lost: now for lost, now in connection.execute(query)}


def _write(connection: Connection, system: str, object: str, rows: list[dict[str, Any]]) -> None:
    stamp = {"system": system, "object": object, "updated": datetime.now(UTC)}
    statement = insert(connection, ALIAS)
    changed = {name: statement.excluded[name] for name in ("now", "lost_id", "now_id", "updated")}
    upsert = statement.on_conflict_do_update(index_elements=["system", "object", "lost"], set_=changed)
    for start in range(0, len(rows), CHUNK):
        connection.execute(upsert, [row | stamp for row in rows[start : start + CHUNK]])


def _remove(connection: Connection, system: str, object: str, gone: Iterable[str]) -> int:
    keys, removed = list(gone), 0
    for start in range(0, len(keys), CHUNK):
        this = (ALIAS.c.system == system) & (ALIAS.c.object == object)
        part = ALIAS.c.lost.in_(keys[start : start + CHUNK])
        removed += connection.execute(sa.delete(ALIAS).where(this, part)).rowcount
    return removed


def table(connection: Connection, system: str, *, object: str) -> pa.Table:
    """Aliases followed to their end: lost, now, lost_id, now_id (of the last record), updated; by lost."""
    import pyarrow as pa

    fields = pa.schema([*((name, pa.string()) for name in STEP), ("updated", pa.timestamp("us", tz="UTC"))])
    query = sa.select(*(ALIAS.c[name] for name in (*STEP, "updated")))
    rows = connection.execute(query.where(ALIAS.c.system == system, ALIAS.c.object == object)).all()
    if not rows:
        return pa.Table.from_batches([], schema=fields)
    steps = {row.lost: (row.now, row.now_id) for row in rows}
    ends = _ends(steps)
    followed = [(row.lost, *ends[row.lost], row.updated) for row in sorted(rows, key=lambda row: str(row.lost))]
    lost_ids = {row.lost: row.lost_id for row in rows}
    ordered = [(lost, now, lost_ids[lost], now_id, updated) for lost, now, now_id, updated in followed]
    return pa.table([pa.array(v, f.type) for v, f in zip(zip(*ordered, strict=True), fields, strict=True)], fields)


def _ends(steps: Mapping[str, tuple[str, str | None]]) -> dict[str, tuple[str, str | None]]:
    """The end of every chain, each step looked at once. Raises ConfigurationError for a circle."""
    ends: dict[str, tuple[str, str | None]] = {}
    for start in steps:
        passed: list[str] = []
        at, end = start, steps[start]
        seen = {start}
        while at not in ends:
            passed.append(at)
            end = steps[at]
            if end[0] in seen:
                raise ConfigurationError(f"ledger: alias {start!r} leads back to {end[0]!r}; remove one of its steps")
            at = end[0]
            seen.add(at)
            if at not in steps:
                break
        else:
            end = ends[at]
        ends |= dict.fromkeys(passed, end)
    return ends


def other_names(connection: Connection, names: Sequence[str]) -> list[str]:
    """External ids and record ids that records of these names had before a merge, or have since; in any system."""
    columns = (ALIAS.c.lost, ALIAS.c.now, ALIAS.c.lost_id, ALIAS.c.now_id)
    query = sa.select(*columns).where(sa.or_(*(column.in_(list(names)) for column in columns)))
    found = {name for row in connection.execute(query) for name in row if name}
    return sorted(found - set(names))
