"""Events: what the far sides told us, each once per feed, and how far every feed has been read.

A feed's cursor moves in the transaction that writes the events it brought: whatever dies in between, no event is
lost and none counts twice. ``received_at`` grows with every batch of a feed, whichever process wrote it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from commerce_sync.errors import ConfigurationError, RetryableError
from commerce_sync.ledger import rejects
from commerce_sync.ledger.copying import can_copy, copied
from commerce_sync.ledger.database import insert
from commerce_sync.ledger.tables import EVENT, FEED

if TYPE_CHECKING:
    import pyarrow as pa

CHUNK = 20_000
"""Rows per statement and per batch read: some 10 MB."""
REFUSED = "~refused"
"""Type under which an event that is not valid is kept as it came; asked for by name only."""
GIVEN = ("event_id", "type", "source", "subject", "occurred_at", "data")


@dataclass(frozen=True, slots=True)
class Added:
    """What came of a delivery: events not seen before, events known already, events set aside as not valid."""

    new: int = 0
    doubled: int = 0
    refused: int = 0

    def __add__(self, other: Added) -> Added:
        return Added(self.new + other.new, self.doubled + other.doubled, self.refused + other.refused)


@dataclass(frozen=True, slots=True)
class FeedState:
    """How far a feed has been read. ``cursor`` is whatever its kind needs; ``message``: what a person should know."""

    feed: str
    version: int = 0
    cursor: dict[str, Any] = field(default_factory=dict)
    polled_at: datetime | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """Events that are not valid: row n of ``rejects`` (see ``reject_schema``) says what is wrong with ``originals`` n.

    originals: rows like events, of the type ``REFUSED``, the text as it came in ``data``.
    """

    originals: pa.Table
    rejects: pa.Table


def feed_leg(feed: str) -> str:
    """The name under which a feed's refused events are listed among the rejects."""
    return f"feed/{feed}"


def schema() -> pa.Schema:
    """Columns of the events handed in; ``subject`` may be missing. data: JSON text.   occurred_at: UTC."""
    import pyarrow as pa

    kinds = {"occurred_at": pa.timestamp("us", tz="UTC")}
    return pa.schema([pa.field(name, kinds.get(name, pa.string())) for name in GIVEN])


def stored_schema() -> pa.Schema:
    """Columns of the events given out."""
    import pyarrow as pa

    moment = pa.timestamp("us", tz="UTC")
    kinds = {"seq": pa.int64(), "occurred_at": moment, "received_at": moment}
    return pa.schema([pa.field(column.name, kinds.get(column.name, pa.string())) for column in EVENT.c])


def add(connection: Connection, feed: str, *, rows: pa.Table) -> Added:
    """Write the events not seen before; ids known already change nothing."""
    if rows.num_rows == 0:
        return Added()
    _take_turn(connection, feed)
    complete = _complete(_conform(feed, rows), feed=feed, moment=_moment(connection, feed))
    new = _copy(connection, complete) if can_copy(connection) else _insert(connection, complete)
    return Added(new=new, doubled=rows.num_rows - new)


def set_aside(connection: Connection, feed: str, *, refused: Refused, run: str) -> Added:
    """Keep what is not valid; one that is there already changes nothing, so what a person dismissed stays dismissed."""
    import pyarrow as pa

    known = _known(connection, feed, refused.originals["event_id"].to_pylist())
    fresh = pa.array([name not in known for name in refused.originals["event_id"].to_pylist()], pa.bool_())
    add(connection, feed, rows=refused.originals.filter(fresh))
    latest = {row["key"]: row for row in refused.rejects.filter(fresh).to_pylist()}
    if latest:
        rows = pa.Table.from_pylist(list(latest.values()), refused.rejects.schema)
        rejects.put(connection, feed_leg(feed), run=run, rows=rows)
    new = fresh.true_count
    return Added(doubled=len(fresh) - new, refused=new)


def _known(connection: Connection, feed: str, event_ids: Sequence[str]) -> set[str]:
    found: set[str] = set()
    for start in range(0, len(event_ids), 1000):
        part = EVENT.c.event_id.in_(event_ids[start : start + 1000])
        found |= set(connection.scalars(sa.select(EVENT.c.event_id).where(EVENT.c.feed == feed, part)))
    return found


def _take_turn(connection: Connection, feed: str) -> None:
    """Of two deliveries to a feed one waits: else the same ids in another order would lock each other out.

    SQLite has one writer anyway.
    """
    if connection.dialect.name == "postgresql":
        number = int.from_bytes(hashlib.blake2b(f"feed {feed}".encode(), digest_size=8).digest(), signed=True)
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(number)))


def _moment(connection: Connection, feed: str) -> datetime:
    """Now, or a little later than the newest event where this machine's clock lags behind another worker's."""
    newest = connection.scalar(sa.select(sa.func.max(EVENT.c.received_at)).where(EVENT.c.feed == feed))
    now = datetime.now(UTC)
    return max(now, newest) if newest is not None else now


def _conform(feed: str, rows: pa.Table) -> pa.Table:
    import pyarrow as pa

    unknown = [name for name in rows.column_names if name not in GIVEN]
    missing = [name for name in GIVEN if name not in rows.column_names and name != "subject"]
    if unknown or missing:
        found = ", ".join(rows.column_names)
        raise ConfigurationError(f"ledger: events of feed {feed!r} have columns {found}; needed: {', '.join(GIVEN)}")
    columns = [
        rows[item.name].cast(item.type) if item.name in rows.column_names else pa.nulls(rows.num_rows, item.type)
        for item in schema()
    ]
    table = pa.table(columns, schema=schema())
    empty = [name for name in GIVEN if name != "subject" and table[name].null_count]
    if empty:
        raise ConfigurationError(f"ledger: events of feed {feed!r} lack {', '.join(empty)}; every event needs them")
    return table


def _complete(rows: pa.Table, *, feed: str, moment: datetime) -> pa.Table:
    import pyarrow as pa

    stamp = pa.scalar(moment, pa.timestamp("us", tz="UTC"))
    rows = rows.append_column("feed", pa.repeat(feed, rows.num_rows))
    return rows.append_column("received_at", pa.repeat(stamp, rows.num_rows))


def _copy(connection: Connection, rows: pa.Table) -> int:
    with copied(connection, EVENT, rows=rows) as staged:
        statement = insert(connection, EVENT).from_select(rows.column_names, staged).on_conflict_do_nothing()
        return connection.execute(statement).rowcount


def _insert(connection: Connection, rows: pa.Table) -> int:
    """Straight to the driver: the column types would look at every value of a million rows one by one."""
    marks = ", ".join("?" for _name in rows.column_names)
    names = ", ".join(rows.column_names)
    statement = f"INSERT INTO {EVENT.name} ({names}) VALUES ({marks}) ON CONFLICT DO NOTHING"
    new = 0
    for part in _as_text(rows).to_batches(max_chunksize=CHUNK):
        values = list(zip(*(column.to_pylist() for column in part.columns), strict=True))
        if not values:  # a filtered table may have empty chunks, and the driver refuses an empty list
            continue
        new += connection.exec_driver_sql(statement, values).rowcount
    return new


def _as_text(rows: pa.Table) -> pa.Table:
    """Moments as SQLAlchemy stores them in SQLite: naive UTC text with microseconds."""
    import pyarrow.compute as pc

    for name in ("occurred_at", "received_at"):
        text = pc.strftime(rows[name], format="%Y-%m-%d %H:%M:%S")
        rows = rows.set_column(rows.column_names.index(name), name, text)
    return rows


def read(
    connection: Connection, feed: str, *, types: Sequence[str] | None, since: datetime | None, until: datetime | None
) -> Iterator[pa.RecordBatch]:
    """Events of a feed received in [since, until), in the order they came, a batch at a time (``stored_schema``).

    types: None gives all but those set aside.
    """
    query = sa.select(EVENT).where(EVENT.c.feed == feed)
    query = query.where(EVENT.c.type != REFUSED if types is None else EVENT.c.type.in_(list(types)))
    query = query.where(EVENT.c.received_at >= since) if since is not None else query
    query = query.where(EVENT.c.received_at < until) if until is not None else query
    found = connection.execution_options(yield_per=CHUNK).execute(query.order_by(EVENT.c.received_at, EVENT.c.seq))
    for rows in found.partitions():
        yield _batch(rows)


def _batch(rows: Sequence[Any]) -> pa.RecordBatch:
    import pyarrow as pa

    fields = stored_schema()
    columns = [pa.array(values, item.type) for values, item in zip(zip(*rows, strict=True), fields, strict=True)]
    return pa.record_batch(columns, schema=fields)


def counted(connection: Connection, feed: str) -> dict[str, int]:
    """Number of events of a feed per type."""
    query = sa.select(EVENT.c.type, sa.func.count()).where(EVENT.c.feed == feed).group_by(EVENT.c.type)
    return {name: number for name, number in connection.execute(query)}


def drop(connection: Connection, *, before: datetime, feed: str) -> int:
    """Forget up to ``CHUNK`` events of a feed received before a moment; gives their number."""
    old = sa.select(EVENT.c.seq).where(EVENT.c.feed == feed, EVENT.c.received_at < before).limit(CHUNK)
    return connection.execute(sa.delete(EVENT).where(EVENT.c.seq.in_(old))).rowcount


def remove(connection: Connection, feed: str, *, event_ids: Iterable[str]) -> int:
    """Forget single events of a feed; gives their number."""
    wanted, removed = list(event_ids), 0
    for start in range(0, len(wanted), 1000):
        part = EVENT.c.event_id.in_(wanted[start : start + 1000])
        removed += connection.execute(sa.delete(EVENT).where(EVENT.c.feed == feed, part)).rowcount
    return removed


def erase(connection: Connection, subject: str) -> int:
    """Forget every event about a subject, of all feeds; gives their number."""
    return connection.execute(sa.delete(EVENT).where(EVENT.c.subject == subject)).rowcount


def saying(connection: Connection, names: Sequence[str]) -> list[str]:
    """The data of events, of all feeds, that say one of these names somewhere."""
    said = sa.or_(*(EVENT.c.data.icontains(name, autoescape=True) for name in names))
    return list(connection.scalars(sa.select(EVENT.c.data).where(said))) if names else []


def feeds(connection: Connection) -> list[str]:
    """Every feed that has events or was polled, by name."""
    polled = sa.select(FEED.c.feed).union(sa.select(EVENT.c.feed).distinct())
    return sorted(connection.scalars(polled))


def state(connection: Connection, feed: str, *, lock: bool = False) -> FeedState:
    """How far a feed has been read; version 0 before its first poll."""
    query = sa.select(FEED).where(FEED.c.feed == feed)
    row = connection.execute(query.with_for_update() if lock else query).mappings().one_or_none()
    return FeedState(**row) if row is not None else FeedState(feed)


def move(connection: Connection, seen: FeedState, *, cursor: dict[str, Any], message: str | None) -> FeedState:
    """Move a feed's cursor. Raises RetryableError when another poll moved it since ``seen`` was read."""
    moved = FeedState(seen.feed, seen.version + 1, cursor, datetime.now(UTC), message)
    values = {name: getattr(moved, name) for name in ("feed", "version", "cursor", "polled_at", "message")}
    fresh = insert(connection, FEED).values(values).on_conflict_do_nothing()
    known = sa.update(FEED).where(FEED.c.feed == seen.feed, FEED.c.version == seen.version).values(values)
    if connection.execute(known if seen.version else fresh).rowcount != 1:
        raise RetryableError(f"feed {seen.feed!r}: another poll went on meanwhile; nothing was written, poll again")
    return moved
