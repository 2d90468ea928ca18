"""The inbox as a source: events of a feed become rows with typed data, in the order they were received."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from commerce_sync import places
from commerce_sync.batches import BatchWriter
from commerce_sync.errors import ConfigurationError
from commerce_sync.ledger import Ledger
from commerce_sync.mapping import Source

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

log = logging.getLogger(__name__)

COLUMNS = {
    "id": "event_id", "type": "type", "source": "source", "subject": "subject", "time": "occurred_at",
    "received_at": "received_at", "seq": "seq", "data": "data",
}  # fmt: skip
"""What a mapping may name, and the ledger's column for it."""
RECEIVED = "received_at"


@dataclass(frozen=True, slots=True)
class Extracted:
    """What a read gave. ``high_water``: when the newest event read was received.

    unreadable: path in ``data`` -> events whose value there is not of the declared type and was read as null.
    """

    rows: int
    complete: bool
    high_water: datetime | None
    unreadable: dict[str, int]


class InboxHook:
    """Reads feeds of the ledger's inbox. ``conn_id`` is not used: the inbox is part of the ledger."""

    def __init__(
        self, conn_id: str = "inbox_default", *, on_call: Callable[[Any], None] | None = None,
        ledger: Ledger | None = None,
    ) -> None:  # fmt: skip
        self.conn_id = conn_id
        self._ledger = ledger

    @property
    def ledger(self) -> Ledger:
        """The ledger the installation uses, unless one was given."""
        return self._ledger or places.open_ledger()

    def extract(
        self, source: Source, *, since: datetime | None, until: datetime | None, complete: bool, into: BatchWriter
    ) -> Extracted:
        """Write the events received in [since, until) as a batch.

        ``source.service`` is the feed, ``entity_set`` its types, comma separated, or ``*``. ``data`` declared as a
        STRUCT is read from the JSON: missing keys and values of another type are null, the latter are counted.
        Raises ConfigurationError for columns there are none of.
        """
        _refuse_unknown(source)
        window = (None, None) if complete else (since, until)
        with _connect() as con:
            work = _Reading(con, source)
            for batch in self._batches(source, *window):
                into.add(work.read(batch))
        into.facts["unreadable"] = work.unreadable
        if work.unreadable:
            log.warning("feed %s: values of another type read as null: %s", source.service, work.unreadable)
        return Extracted(work.rows, complete, work.high_water, work.unreadable)

    def _batches(self, source: Source, since: datetime | None, until: datetime | None) -> Iterator[pa.RecordBatch]:
        names = [name.strip() for name in source.entity_set.split(",")]
        types = None if names == ["*"] else names
        return self.ledger.events(source.service, types=types, since=since, until=until)


def _refuse_unknown(source: Source) -> None:
    where = f"source {source.name!r} of the inbox"
    if not source.service:
        raise ConfigurationError(f"{where} has no service; name the feed there")
    if source.options:
        raise ConfigurationError(f"{where} has options {', '.join(source.options)}; the inbox knows none")
    if source.modified not in (None, RECEIVED):
        raise ConfigurationError(f"{where} has modified: {source.modified}; only {RECEIVED} grows with every delivery")
    unknown = [name for name in source.columns if name not in COLUMNS]
    if unknown:
        raise ConfigurationError(f"{where} has column {unknown[0]!r}; an event has: {', '.join(COLUMNS)}")


def _connect() -> duckdb.DuckDBPyConnection:
    import duckdb

    con = duckdb.connect(config={"memory_limit": "256MB", "threads": 1})
    con.execute("SET TimeZone = 'UTC'")
    return con


class _Reading:
    """Gives every batch of the ledger the types the mapping declares."""

    def __init__(self, con: duckdb.DuckDBPyConnection, source: Source) -> None:
        self._con = con
        self._source = source
        self._paths = list(_paths(con, source.columns["data"])) if "data" in source.columns else []
        self.rows = 0
        self.high_water: datetime | None = None
        self.unreadable: dict[str, int] = {}

    def read(self, batch: pa.RecordBatch) -> pa.Table:
        import pyarrow as pa
        import pyarrow.compute as pc

        self._con.register("event", pa.Table.from_batches([batch]))
        found: pa.Table = self._con.sql(self._query()).to_arrow_table()
        self._count_unreadable()
        self._con.unregister("event")
        self.rows += found.num_rows
        self.high_water = pc.max(batch.column(RECEIVED)).as_py()
        return found

    def _query(self) -> str:
        columns = ", ".join(f'{_value(name, kind)} AS "{name}"' for name, kind in self._source.columns.items())
        query = f"SELECT {columns} FROM event ORDER BY seq"
        return f"SELECT * FROM ({query}) WHERE {self._source.filter}" if self._source.filter else query

    def _count_unreadable(self) -> None:
        """Values that are there in the JSON and are null after the cast."""
        if not self._paths:
            return
        read = _value("data", self._source.columns["data"])
        counts = ", ".join(
            f"count(*) FILTER (json_type(text, {_quoted(where)}) <> 'NULL' AND {value} IS NULL)"
            for where, value in self._paths
        )
        row = self._con.execute(f"SELECT {counts} FROM (SELECT data AS text, {read} AS data FROM event)").fetchall()[0]
        for (where, _), number in zip(self._paths, row, strict=True):
            if number:
                name = where.replace('"', "").replace("$", "data", 1)
                self.unreadable[name] = self.unreadable.get(name, 0) + number


def _value(name: str, kind: str) -> str:
    column = COLUMNS[name]
    if name != "data":
        return f"CAST({column} AS {kind})"
    return column if kind.upper() == "VARCHAR" else f"TRY_CAST(CAST({column} AS JSON) AS {kind})"


def _paths(con: duckdb.DuckDBPyConnection, kind: str) -> Iterator[tuple[str, str]]:
    """JSON path and SQL of every value of a struct that is not itself a struct."""
    import duckdb

    pending: list[tuple[str, str, Any]] = [("$", "data", duckdb.sqltype(kind))]
    while pending:
        where, value, found = pending.pop()
        if found.id == "struct":
            pending += [(f'{where}."{name}"', f"{value}.{_named(name)}", child) for name, child in found.children]
        elif where != "$":
            yield where, value


def _named(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
