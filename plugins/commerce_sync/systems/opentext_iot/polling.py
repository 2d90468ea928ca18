"""The event inbox: the platform's events, polled once for all flows, into a feed of the ledger.

The cursor only moves over what the platform's count has proven, in the transaction that writes the events; every
read begins an overlap before it, because the index shows some events minutes late with an earlier time. Events known
already change nothing, so a poll that dies and is started again loses and doubles nothing.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from commerce_sync.errors import ConfigurationError
from commerce_sync.ledger import REFUSED, Ledger, Refused
from commerce_sync.systems.opentext_iot import envelopes
from commerce_sync.systems.opentext_iot.client import IotClient
from commerce_sync.systems.opentext_iot.documents import Document
from commerce_sync.systems.opentext_iot.parts import session
from commerce_sync.systems.opentext_iot.windows import EventReader

if TYPE_CHECKING:
    import duckdb

log = logging.getLogger(__name__)
FLUSH_ROWS = 20_000
FINEST = timedelta(seconds=1)
"""A poll this close to the cursor has nothing to ask for; some gateways count whole seconds."""
FEED = "iot"
UNTIL = "until"


@dataclass(frozen=True, slots=True)
class Pace:
    """How a feed is polled.

    lag: how far behind now a poll ends.   overlap: how far before the cursor it begins.   step: the cursor moves at
    least this often through a long span.   first: how far back the very first poll begins.   at_once: windows at a
    time.
    """

    lag: timedelta = timedelta(seconds=120)
    overlap: timedelta = timedelta(minutes=15)
    step: timedelta = timedelta(hours=6)
    first: timedelta = timedelta(days=1)
    at_once: int = 4

    def __post_init__(self) -> None:
        if self.step <= timedelta(0) or min(self.lag, self.overlap, self.first) < timedelta(0):
            raise ConfigurationError(
                "a poll's lag, overlap and first span cannot be negative, its step must be above 0"
            )


@dataclass(slots=True)
class Polled:
    """What a poll did. ``new`` events were not in the inbox, ``known`` were, ``refused`` cannot be read."""

    new: int = 0
    known: int = 0
    refused: int = 0
    counted: int = 0
    windows: int = 0
    rereads: int = 0
    calls: int = 0
    until: datetime | None = None

    def brief(self) -> dict[str, Any]:
        """Counts for XCom and logs."""
        found = {name: getattr(self, name) for name in self.__slots__}
        return found | {"until": self.until.isoformat() if self.until else None}


@dataclass(slots=True)
class _Delivery:
    """Events on their way into the ledger, some thousands at a time."""

    con: duckdb.DuckDBPyConnection
    client: IotClient
    ledger: Ledger
    feed: str
    run: str
    now: datetime
    polled: Polled
    waiting: list[pa.Table] = field(default_factory=list)

    def take(self, items: list[Document]) -> None:
        """One believed window."""
        spec = self.client.profile.events
        self.con.register("raw_events", envelopes.raw_table(items, spec, times=self.client.profile.times))
        query = envelopes.inbox_sql(envelopes.events_sql(spec), refused=REFUSED)
        self.waiting.append(self.con.sql(query, params={"now": self.now}).to_arrow_table())
        if sum(table.num_rows for table in self.waiting) >= FLUSH_ROWS:
            self.flush()

    def flush(self, **cursor: Any) -> None:
        """Write what waits, and move the cursor when told where from and where to."""
        rows = pa.concat_tables(self.waiting) if self.waiting else None
        self.waiting = []
        if rows is None or not rows.num_rows:
            if cursor:
                self.ledger.feed_moved(cursor["seen"], cursor=cursor["cursor"])
            return
        valid, refused = _parted(self.con, rows)
        added = self.ledger.add_events(self.feed, valid, refused=refused, run=self.run, **cursor)
        self.polled.new += added.new
        self.polled.known += added.doubled
        self.polled.refused += added.refused


def _parted(con: duckdb.DuckDBPyConnection, rows: pa.Table) -> tuple[pa.Table, Refused | None]:
    """What can be read, and what cannot with the reasons, row for row."""
    wrong = pc.is_valid(rows["problem"])
    valid = rows.filter(pc.invert(wrong)).drop_columns(["problem"])
    found = rows.filter(wrong)
    if not found.num_rows:
        return valid, None
    con.register("delivered", found)
    rejects = con.sql(
        """SELECT event_id AS key, 'quarantined' AS status, problem AS code, 'validation' AS reason_class,
                  'the event of ' || source || ' cannot be read: ' || problem AS reason FROM delivered"""
    ).to_arrow_table()
    return valid, Refused(originals=found.drop_columns(["problem"]), rejects=rejects)


async def poll(
    client: IotClient, ledger: Ledger, *, feed: str = FEED, pace: Pace | None = None, now: datetime | None = None,
    run: str = "poll",
) -> Polled:  # fmt: skip
    """Bring the events since the feed's cursor into the ledger. now: the platform's present, default this machine's.

    Raises RetryableError when events the platform counts do not come; the cursor stays where it is proven then.
    """
    pace, now = pace or Pace(), now or datetime.now(UTC)
    polled = Polled()
    with session() as con:
        types = client.profile.events.types
        if types:
            envelopes.register_types(con, await client.names(types))
        delivery = _Delivery(con, client, ledger, feed, run, now, polled)
        while await _step(delivery, pace, now):
            pass
    polled.calls = client.calls
    log.info("poll of feed %s ended: %s", feed, polled.brief())
    return polled


async def _step(delivery: _Delivery, pace: Pace, now: datetime) -> bool:
    """One step of the cursor; False when it has arrived."""
    seen = delivery.ledger.feed_state(delivery.feed)
    known = seen.cursor.get(UNTIL)
    end = now - pace.lag
    reached = datetime.fromisoformat(known) if known else end - pace.first
    until = min(reached + pace.step, end)
    if known and until - reached < FINEST:
        delivery.polled.until = reached
        return False
    # The overlap was read by the step before; only the first one of a poll looks back.
    start = reached if delivery.polled.until else reached - pace.overlap
    reader = EventReader(delivery.client, delivery.take, at_once=pace.at_once)
    until = await reader.read(start, until)
    delivery.flush(seen=seen, cursor={UNTIL: until.isoformat()})
    polled = delivery.polled
    polled.until = until
    polled.counted += reader.counted
    polled.windows += reader.windows
    polled.rereads += reader.rereads
    return end - until >= FINEST
