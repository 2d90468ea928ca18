"""Extract: assets or collections into a batch, with nothing lost and nothing doubled.

A delta searches by ``date_modified`` (closed bounds) and reads every hit from its own resources: the index lags, so
its documents are hints. A complete scan takes the search documents themselves (a page of 100 is one call), in an
order that no edit can change, and reads directly what the index may not have yet. Afterwards the distinct ids are
compared with the search's own totals from before and after: a scan that is short of both is an error.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from commerce_sync.batches import BatchWriter
from commerce_sync.errors import ConfigurationError, RetryableError
from commerce_sync.mapping import Source
from commerce_sync.systems.iconik import catalogue, columns, metadata
from commerce_sync.systems.iconik.client import IconikClient, Page, Row
from commerce_sync.systems.iconik.parts import Parts
from commerce_sync.systems.iconik.sources import COMPUTED, NOT_INDEXED, Reading

ATTEMPTS = 3
PART_ROWS = 20_000


@dataclass(frozen=True, slots=True)
class Extracted:
    """What an extract did.

    rows: distinct ids in the batch.   complete: whether ids that are not in it do not exist (any more).
    high_water: the newest ``date_modified`` the index showed; None when it showed nothing.   calls: attempts made.
    facts: totals before and after, rows read directly, rows that had gone when they were looked at.
    """

    rows: int
    complete: bool
    high_water: datetime | None
    calls: int
    facts: dict[str, Any] = field(default_factory=dict)


async def extract(
    client: IconikClient, source: Source, *, since: datetime | None, until: datetime | None, complete: bool,
    into: BatchWriter, view: str | None = None,
) -> Extracted:  # fmt: skip
    """Read ``source`` into ``into``; the batch always gets at least one part.

    since: closed lower bound.   until: open upper bound.   complete: everything, bounds are ignored; also the case
    for a source without ``modified``.   view: the connection's metadata view, for sources that name none.
    Raises ConfigurationError when the metadata view no longer has a declared field, RetryableError when fewer objects
    come than the search counts.
    """
    reading = Reading.of(source)
    run = _Run(client, reading, await prepare(client, reading, view))
    is_complete = complete or source.modified is None
    if is_complete:
        await run.everything()
    else:
        await run.changes(since, until)
        await run.recheck()
    rows = run.write(into)
    return Extracted(rows, is_complete, run.newest, client.calls, run.facts)


async def prepare(client: IconikClient, reading: Reading, view: str | None) -> Parts:
    """Check the metadata columns against the view as it is now."""
    view_id = None
    if "metadata" in reading.parts:
        named = reading.options.view or view
        if not named:
            raise ConfigurationError(
                f"source {reading.source.name!r} reads metadata but names no view; give options.view (id or name)"
            )
        found = await metadata.view(client, named)
        reading.check_view(found)
        view_id = found.id
    return Parts(client, reading.kind, reading.parts, view_id=view_id)


class _Run:
    def __init__(self, client: IconikClient, reading: Reading, parts: Parts) -> None:
        self._client = client
        self._reading = reading
        self._parts = parts
        self._slots = asyncio.Semaphore(reading.options.concurrency)
        self._tables: list[pa.Table] = []
        self._seen: set[str] = set()
        self.newest: datetime | None = None
        self.facts: dict[str, Any] = {"searched": 0, "direct": 0, "vanished": 0, "rechecked": 0}
        self._fetched = tuple(name for name in reading.parts if name not in COMPUTED)
        named = (*reading.options.direct, *NOT_INDEXED)
        self._always = tuple(name for name in self._fetched if name in named)

    async def everything(self) -> None:
        """A complete scan."""
        started = datetime.now(UTC)
        settled = started - timedelta(seconds=self._reading.options.settle_s)
        before, after = await self._sweep(self._reading.criteria(since=None, until=None), settled=settled)
        self.facts |= {"total_before": before, "total_after": after}

    async def changes(self, since: datetime | None, until: datetime | None) -> None:
        """Objects modified in [since, until)."""
        criteria = self._reading.criteria(since=since, until=until)
        before, after = await self._sweep(criteria, settled=None, until=until)
        self.facts |= {"total_before": before, "total_after": after}

    async def recheck(self) -> None:
        """Objects that are read in each run, whether or not they changed."""
        if self._reading.options.recheck is None:
            return
        known = len(self._seen)
        await self._sweep(self._reading.criteria(since=None, until=None, recheck=True), settled=None, marks=False)
        self.facts["rechecked"] = len(self._seen) - known

    async def _sweep(
        self, criteria: Row, *, settled: datetime | None, until: datetime | None = None, marks: bool = True
    ) -> tuple[int, int]:
        """Read all of a search; gives its totals before and after. Raises RetryableError when it is short of both."""
        for _ in range(ATTEMPTS):
            found: set[str] = set()
            before = None
            async for page in self._client.search(criteria, per_page=self._reading.options.per_page):
                before = _total(page) if before is None else before
                found.update(row["id"] for row in page.objects)
                await self._take(page, settled=settled, until=until, marks=marks)
            after = await self._client.count(criteria)
            if len(found) >= min(before or 0, after):
                return before or 0, after
            self.facts["rereads"] = self.facts.get("rereads", 0) + 1
        raise RetryableError(
            f"read {len(found)} of {after} {self._reading.kind} of source {self._reading.source.name!r} (before the "
            f"search there were {before}), {ATTEMPTS} times over: pages were cut short; nothing counts as complete, "
            "try again"
        )

    async def _take(self, page: Page, *, settled: datetime | None, until: datetime | None, marks: bool) -> None:
        rows = [row for row in page.objects if until is None or _modified(row) < until]
        self.facts["searched"] += len(rows)
        if marks:
            self.newest = max((*([self.newest] if self.newest else []), *map(_modified, rows)), default=None)
        if not marks:
            rows = [row for row in rows if row["id"] not in self._seen]
        read = await asyncio.gather(*(self._one(row, settled) for row in rows))
        kept = [row for row in read if row is not None]
        self.facts["vanished"] += len(rows) - len(kept)
        self._seen.update(row["id"] for row in kept)
        if kept:
            self._tables.append(columns.table(kept, self._reading.source.columns))

    async def _one(self, row: Row, settled: datetime | None) -> Row | None:
        """A search document as it is, or the object it speaks of."""
        async with self._slots:
            if settled is not None and _modified(row) < settled:
                return await self._parts.complete(row, direct=self._always)
            self.facts["direct"] += 1
            found = await catalogue.read(self._client, self._reading.kind, row["id"])
            if found is None or found.get("status") not in self._reading.options.statuses:
                return None
            # What only the index knows (media_type, duration_milliseconds) stays. Collections answer empty metadata.
            stored = {name: value for name, value in found.items() if name not in self._fetched}
            return await self._parts.complete(row | stored, direct=self._fetched)

    def write(self, into: BatchWriter) -> int:
        """The batch: each id once, as it was read last."""
        empty = columns.table([], self._reading.source.columns)
        every = pa.concat_tables([empty, *self._tables]).combine_chunks()
        kept = every.filter(pa.array(_is_last(every.column("id").to_pylist())))
        into.add(kept.slice(0, PART_ROWS))
        for start in range(PART_ROWS, kept.num_rows, PART_ROWS):
            into.add(kept.slice(start, PART_ROWS))
        return int(kept.num_rows)


def _is_last(keys: list[str]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    last = {key: place for place, key in enumerate(keys)}
    mask = np.zeros(len(keys), np.bool_)
    mask[list(last.values())] = True
    return mask


def _total(page: Page) -> int:
    if page.total is None:
        raise RetryableError(
            "a search page came without its total, so nothing could prove that all was read; try again"
        )
    return page.total


def _modified(row: Row) -> datetime:
    return columns.moment(row["date_modified"])
