"""The part of the ledger that far sides write: events, how far feeds are read, aliases of merged records."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy.engine import Engine

from commerce_sync.ledger import aliases, events, receipts, rejects, tombstones
from commerce_sync.ledger.aliases import Linked
from commerce_sync.ledger.database import reading, writing
from commerce_sync.ledger.events import Added, FeedState, Refused, feed_leg
from commerce_sync.ledger.receipts import Receipt

if TYPE_CHECKING:
    import pyarrow as pa


class Inbox:
    """Events, feeds and aliases of one ledger."""

    _engine: Engine

    def add_events(
        self,
        feed: str,
        rows: pa.Table,
        *,
        seen: FeedState | None = None,
        cursor: dict[str, Any] | None = None,
        message: str | None = None,
        refused: Refused | None = None,
        run: str = "delivery",
        receipt: Callable[[Added], Receipt] | None = None,
    ) -> Added:
        """Write the events of a delivery that are not there yet; durable when it returns.

        rows: Arrow table, see ``event_schema``; an id known to the feed changes nothing.
        seen, cursor, message: moves the feed from the state that was read, in the same transaction.
        refused: what is not valid; kept as it came, and listed among the rejects of ``feed/<feed>`` by ``run``.
        What is about a forgotten record is not kept, valid or not: it counts as known.
        receipt: makes the receiver's receipt of what came of it, noted in the same transaction.
        Raises RetryableError when another poll moved the feed meanwhile: then nothing is written.
        """
        with writing(self._engine) as connection:
            if seen is not None:
                events.move(connection, seen, cursor=seen.cursor if cursor is None else cursor, message=message)
            rows, forgotten = tombstones.allowed_events(connection, feed, rows)
            added = events.add(connection, feed, rows=rows) + Added(doubled=forgotten)
            if added.new:
                rejects.clear(connection, feed_leg(feed), keys=rows["event_id"])
            if refused:
                added += tombstones.set_aside(connection, feed, refused=refused, run=run)
            if receipt is not None:
                receipts.note(connection, receipt(added))
            return added

    def events(
        self,
        feed: str,
        *,
        types: Sequence[str] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """Events of a feed received in [since, until), in the order they came, in Arrow batches.

        types: None gives all that are valid. Columns: the table's, ``data`` as JSON text.
        """
        with reading(self._engine) as connection:
            yield from events.read(connection, feed, types=types, since=since, until=until)

    def event_counts(self, feed: str) -> dict[str, int]:
        """Number of events of a feed per type."""
        with reading(self._engine) as connection:
            return events.counted(connection, feed)

    def drop_events(self, before: datetime, *, feed: str | None = None) -> int:
        """Forget events received before a moment, with what was set aside; gives the number of events.

        In many small transactions: others write in between. An event delivered again after that is new to the inbox;
        the legs' markers still know it.
        """
        dropped = 0
        for name in [feed] if feed is not None else self.feeds():
            while part := self._drop_some(name, before):
                dropped += part
        return dropped

    def _drop_some(self, feed: str, before: datetime) -> int:
        with writing(self._engine) as connection:
            rejects.expire(connection, feed_leg(feed), before=before)
            return events.drop(connection, before=before, feed=feed)

    def accept_refused(self, feed: str, rows: pa.Table, *, originals: Iterable[str], keys: Iterable[str]) -> Added:
        """Replace events that had been set aside (``originals``: their ids) by valid ones, and clear their rejects."""
        with writing(self._engine) as connection:
            events.remove(connection, feed, event_ids=originals)
            rejects.clear(connection, feed_leg(feed), keys=keys)
            rows, forgotten = tombstones.allowed_events(connection, feed, rows)
            return events.add(connection, feed, rows=rows) + Added(doubled=forgotten)

    def erase_events(self, subject: str) -> int:
        """Forget every event about a subject, of all feeds; gives their number."""
        with writing(self._engine) as connection:
            return events.erase(connection, subject)

    def events_saying(self, names: Sequence[str]) -> list[str]:
        """The data of events that say one of these names somewhere, as JSON text."""
        with reading(self._engine) as connection:
            return events.saying(connection, names)

    def feeds(self) -> list[str]:
        """Every feed that has events or was polled, by name."""
        with reading(self._engine) as connection:
            return events.feeds(connection)

    def feed_state(self, feed: str) -> FeedState:
        """How far a feed has been read; version 0 before its first poll."""
        with reading(self._engine) as connection:
            return events.state(connection, feed)

    def feed_moved(self, seen: FeedState, *, cursor: dict[str, Any], message: str | None = None) -> FeedState:
        """Move a feed that brought no events. Raises RetryableError when another poll moved it meanwhile."""
        with writing(self._engine) as connection:
            return events.move(connection, seen, cursor=cursor, message=message)

    def put_aliases(
        self, system: str, object: str, rows: Sequence[Mapping[str, Any]], *, gone: Iterable[str] = ()
    ) -> Linked:
        """Forget the aliases of ``gone``, then write ``rows`` (lost, now, lost_id, now_id), in one transaction.

        A row that would close a circle or lacks an id is refused with a reason, the others are written.
        """
        with writing(self._engine) as connection:
            return aliases.put(connection, system, object=object, rows=rows, gone=gone)

    def aliases_table(self, system: str, object: str) -> pa.Table:
        """Aliases followed to their end: lost, now, lost_id, now_id, updated. DuckDB joins it as it is."""
        with reading(self._engine) as connection:
            return aliases.table(connection, system, object=object)

    def aliases(self, system: str, object: str) -> dict[str, str]:
        """External id of a merged record -> of the record it lives on in, followed to the end."""
        found = self.aliases_table(system, object)
        return dict(zip(found["lost"].to_pylist(), found["now"].to_pylist(), strict=True))
