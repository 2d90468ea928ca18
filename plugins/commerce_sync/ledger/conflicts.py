"""Conflicts: values both sides of a pair had changed; which one was kept, which one lost, for a person to look at.

And the pointer row of a pair: which files hold the values both sides last agreed on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from commerce_sync.errors import ConfigurationError, RetryableError
from commerce_sync.ledger.database import insert
from commerce_sync.ledger.tables import CONFLICT, PAIR, UNSETTLED

if TYPE_CHECKING:
    import pyarrow as pa

ConflictStatus = Literal["open", "resolved", "dismissed"]
NEEDED = ("key", "field", "owner", "losing", "kept", "lost")
CHUNK = 5_000


@dataclass(frozen=True, slots=True)
class Conflict:
    """One value that lost. ``kept`` and ``lost`` are text, masked where personal; None is an empty value.

    owner: the system whose value was kept.   losing: the system whose value was overwritten.   seen: number of runs
    that met the same conflict.   leg, run: the last of them.   closed_by: who resolved or dismissed it.
    """

    id: int
    pair: str
    key: str
    field: str
    owner: str
    losing: str
    kept: str | None
    lost: str | None
    leg: str
    run: str
    status: ConflictStatus
    seen: int
    first_at: datetime
    last_at: datetime
    closed_by: str | None = None
    closed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class PairState:
    """What both sides of a pair last agreed on: descriptors of files (JSON), moved as one."""

    pair: str
    version: int = 0
    agreed: list[dict[str, Any]] = field(default_factory=list)
    updated: datetime | None = None


@dataclass(frozen=True, slots=True)
class PairMove:
    """What a run that settles changes of its pair.

    version: the pair's version the run read.   agreed: the new descriptors.   conflicts: Arrow table with the columns
    ``NEEDED`` and optionally ``digest`` (stands for a masked lost value, so that two of them are told apart).
    """

    pair: str
    version: int
    agreed: list[dict[str, Any]]
    conflicts: pa.Table | None = None


def pair_state(connection: Connection, pair: str, *, lock: bool = False) -> PairState:
    """The pointer row of a pair; version 0 before anything was agreed."""
    query = sa.select(PAIR).where(PAIR.c.pair == pair)
    row = connection.execute(query.with_for_update() if lock else query).mappings().one_or_none()
    return PairState(**row) if row is not None else PairState(pair)


def move_pair(connection: Connection, pair: str, *, version: int, agreed: list[dict[str, Any]]) -> PairState:
    """Point a pair at other files. Raises RetryableError when the pair is no longer at ``version``."""
    moved = PairState(pair, version + 1, agreed, datetime.now(UTC))
    values = {name: getattr(moved, name) for name in ("pair", "version", "agreed", "updated")}
    fresh = insert(connection, PAIR).values(values).on_conflict_do_nothing()
    known = sa.update(PAIR).where(PAIR.c.pair == pair, PAIR.c.version == version).values(values)
    if connection.execute(known if version else fresh).rowcount != 1:
        raise RetryableError(f"pair {pair!r}: the other leg settled first; read the pair again, then settle again")
    return moved


def note(connection: Connection, pair: str, *, leg: str, run: str, rows: pa.Table) -> int:
    """Note conflicts; one that is known and not resolved is counted once per run. Gives the number of rows."""
    values = [_row(pair, leg=leg, run=run, given=given) for given in _checked(rows).to_pylist()]
    statement = insert(connection, CONFLICT)
    again = sa.case((CONFLICT.c.run == statement.excluded.run, 0), else_=1)
    changed = {name: statement.excluded[name] for name in ("owner", "losing", "kept", "lost", "leg", "run", "last_at")}
    counted = statement.on_conflict_do_update(
        index_elements=["pair", "key", "field", "digest"],
        index_where=UNSETTLED,
        set_=changed | {"seen": CONFLICT.c.seen + again},
    )
    for start in range(0, len(values), CHUNK):
        connection.execute(counted, values[start : start + CHUNK])
    return len(values)


def _checked(rows: pa.Table) -> pa.Table:
    found = set(rows.column_names)
    if not set(NEEDED) <= found or found - {*NEEDED, "digest"}:
        raise ConfigurationError(
            f"ledger: conflicts have columns {', '.join(rows.column_names)}; needed: {', '.join(NEEDED)}, and perhaps "
            "digest"
        )
    return rows


def _row(pair: str, *, leg: str, run: str, given: dict[str, Any]) -> dict[str, Any]:
    texts = {name: _text(given[name]) for name in NEEDED}
    digest = given.get("digest") or hashlib.blake2b(repr(texts["lost"]).encode(), digest_size=16).hexdigest()
    now = datetime.now(UTC)
    stamp = {"pair": pair, "leg": leg, "run": run, "digest": str(digest), "status": "open", "seen": 1}
    return {**texts, **stamp, "first_at": now, "last_at": now}


def _text(value: Any) -> str | None:
    return None if value is None else str(value).replace("\x00", "\ufffd")


def listed(
    connection: Connection, *, pair: str | None, status: ConflictStatus | None, key: str | None, limit: int | None,
    offset: int,
) -> list[Conflict]:  # fmt: skip
    """Conflicts, the last met first."""
    names = [column for column in CONFLICT.c if column.name != "digest"]
    query = sa.select(*names).order_by(CONFLICT.c.last_at.desc(), CONFLICT.c.id.desc()).limit(limit).offset(offset)
    for column, value in ((CONFLICT.c.pair, pair), (CONFLICT.c.status, status), (CONFLICT.c.key, key)):
        query = query.where(column == value) if value is not None else query
    return [Conflict(**row._mapping) for row in connection.execute(query)]


def counted(connection: Connection, *, pair: str | None) -> dict[str, int]:
    """Number of conflicts per status that occurs."""
    query = sa.select(CONFLICT.c.status, sa.func.count()).group_by(CONFLICT.c.status)
    query = query.where(CONFLICT.c.pair == pair) if pair is not None else query
    return {status: number for status, number in connection.execute(query)}


def close(connection: Connection, ids: Sequence[int], *, status: Literal["resolved", "dismissed"], by: str) -> int:
    """A person's word on conflicts that are not resolved yet; gives the number of rows changed."""
    changed, word = 0, {"status": status, "closed_by": by, "closed_at": datetime.now(UTC)}
    for start in range(0, len(ids), CHUNK):
        these = CONFLICT.c.id.in_(list(ids[start : start + CHUNK]))
        changed += connection.execute(sa.update(CONFLICT).where(these, UNSETTLED).values(word)).rowcount
    return changed


def prune(connection: Connection, *, before: datetime) -> int:
    """Forget resolved and dismissed conflicts last met before a moment; gives their number."""
    old = (CONFLICT.c.status != "open") & (CONFLICT.c.last_at < before)
    return connection.execute(sa.delete(CONFLICT).where(old)).rowcount
