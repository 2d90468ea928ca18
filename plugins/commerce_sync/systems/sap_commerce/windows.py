"""Extract: an entity set, or what changed in it, into a batch, with nothing lost and nothing doubled.

The span is cut by ``$count`` into windows of a few pages; up to 8 are read at once. A complete scan reads the
windows below the latest modified time known at its start and then, as one last window without an upper bound,
everything since: a row changed during the scan has moved there. Afterwards the distinct keys are compared
with ``$count`` from before and after: a scan that is short of both is an error, never a result. What a
complete scan cannot see by itself (a transaction committed late with a time in a window already read) makes
it short, or is new and found by the next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from commerce_sync.batches import BatchWriter
from commerce_sync.errors import ConfigurationError, RetryableError
from commerce_sync.mapping import Source
from commerce_sync.systems.sap_commerce import decode
from commerce_sync.systems.sap_commerce.client import SapCommerceClient
from commerce_sync.systems.sap_commerce.collected import Collected
from commerce_sync.systems.sap_commerce.protocol import foremost, from_us, to_us
from commerce_sync.systems.sap_commerce.reading import Reader, ReadOptions, Report

SMALLEST_WINDOW_PAGES = 2
LARGEST_WINDOW_PAGES = 50
WINDOWS_PER_TASK = 2


@dataclass(frozen=True, slots=True)
class Extracted:
    """What an extract did.

    rows: distinct keys in the batch.   complete: whether keys that are not in it do not exist (any more).
    high_water: time up to which everything was read, where the next read begins (less the source's overlap);
    None when the source has no modified column or no rows.   calls: requests made, repeated ones included.
    facts: windows, rereads, superseded versions, counts before and after.
    """

    rows: int
    complete: bool
    high_water: datetime | None
    calls: int
    facts: dict[str, Any] = field(default_factory=dict)


async def extract(
    client: SapCommerceClient,
    source: Source,
    *,
    since: datetime | None,
    until: datetime | None,
    complete: bool,
    into: BatchWriter,
    report: Report | None = None,
) -> Extracted:
    """Read ``source`` into ``into``; the batch always gets at least one part.

    since: closed lower bound.   until: open upper bound; both are cut to what a date literal can express, the
    rest of the second belongs to the next read.   complete: read everything, bounds are ignored; also the
    case for a source without ``modified``. Raises RetryableError when rows are missing ("read 900 of 1000"),
    ConfigurationError for columns the service lacks.
    """
    options = ReadOptions.of(source)
    layout = decode.layout(source.columns)
    _check_roles(source, layout)
    collected = Collected(into, empty=layout.empty(), part_rows=options.part_rows)
    run = _Run(Reader(client, source, options, collected, report))
    if source.modified is None or complete:
        counts = await run.everything()
    else:
        counts = await run.changes(since, until)
    rows = collected.finish()
    reader = run.reader
    facts = {
        "windows": reader.windows,
        "rereads": reader.rereads,
        "superseded": collected.superseded,
        **counts,
    }
    if run.is_complete:
        _check_complete(reader, rows, counts)
    return Extracted(rows, run.is_complete, _newest(collected), client.calls, facts)


def _newest(collected: Collected) -> datetime | None:
    return None if collected.newest is None else from_us(collected.newest)


def _check_roles(source: Source, layout: decode.Layout) -> None:
    kinds = {node.name: node for node in layout.nodes}
    for role, name in (("key", source.key), ("modified", source.modified)):
        if name is not None and (name not in kinds or kinds[name].kind is not decode.Kind.SCALAR):
            raise ConfigurationError(
                f"source {source.name!r}: {role} {name!r} must be a scalar column; columns: {', '.join(kinds)}"
            )
    if source.modified and not kinds[source.modified].type_text.startswith("TIMESTAMP"):
        raise ConfigurationError(
            f"source {source.name!r}: modified {source.modified!r} is {kinds[source.modified].type_text}; "
            "declare it TIMESTAMP"
        )


def _check_complete(reader: Reader, rows: int, counts: dict[str, int]) -> None:
    before, after = counts["count_before"], counts["count_after"]
    if rows < before and rows < after:
        source = reader.source
        raise RetryableError(
            f"read {rows} of {after} rows of {source.service}/{source.entity_set} (before the scan "
            f"there were {before}): rows moved or pages were cut short; nothing counts as complete, try again"
            + (f" (rows whose {source.modified} is empty cannot be read by windows)" if source.modified else "")
        )


async def _together(*calls: Awaitable[Any]) -> list[Any]:
    """All at once; the first error ends the others, so that none is left behind."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_awaited(call)) for call in calls]
    except BaseExceptionGroup as errors:
        raise foremost(errors) from errors
    return [task.result() for task in tasks]


async def _awaited(call: Awaitable[Any]) -> Any:
    return await call


@dataclass(slots=True)
class _Run:
    reader: Reader
    is_complete: bool = False
    _slots: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        self._slots = asyncio.Semaphore(self.reader.options.concurrency)

    async def everything(self) -> dict[str, int]:
        """A complete scan; gives the counts before and after."""
        reader = self.reader
        self.is_complete = True
        if reader.source.modified is None:
            before = reader.expected = await reader.count(None, None)
            if before:
                await self._prepare()
                await reader.window(None, None, expected=before)
        else:
            before = await self._by_time()
        return {"count_before": before, "count_after": await reader.count(None, None) if before else 0}

    async def _by_time(self) -> int:
        """All rows, by windows of their modified time; gives how many there were before."""
        reader = self.reader
        reader.expected, span, _ = await _together(reader.count(None, None), self._span(), self._prepare())
        if reader.expected:
            low, start = self._there(span)
            await self._windows(low, start)
            await self._window(start, None)
        return reader.expected

    async def changes(self, since: datetime | None, until: datetime | None) -> dict[str, int]:
        """Rows modified in [since, until)."""
        reader = self.reader
        low = reader.floor(to_us(since)) if since else None
        high = reader.floor(to_us(until)) if until else None
        is_empty = low is not None and high is not None and low >= high
        expected = reader.expected = 0 if is_empty else await reader.count(low, high)
        if expected:
            await self._prepare()
            await self._between(low, high, expected)
        return {"count_before": expected}

    async def _between(self, low: int | None, high: int | None, expected: int) -> None:
        if low is not None and high is not None:
            await self._windows(low, high, expected=expected)
            return
        first, start = self._there(await self._span())
        low = first if low is None else low
        if high is not None:
            await self._windows(low, high, expected=expected)
            return
        await self._windows(low, start)
        await self._window(max(low, start), None)

    async def _prepare(self) -> None:
        """Compare the columns with the service and settle what to sort by, before the first page is read."""
        reader = self.reader
        source, options = reader.source, reader.options
        tiebreak = options.tiebreak
        if options.check_columns or tiebreak is None:
            schema = await reader.client.metadata()
            if options.check_columns:
                schema.check(source.entity_set, source.columns)
            tiebreak = schema.entity(source.entity_set).key_properties if tiebreak is None else tiebreak
        order = [source.modified, *(name for name in tiebreak or [] if name != source.modified)]
        reader.order = ",".join(filter(None, order))

    async def _span(self) -> tuple[int, int] | None:
        """The earliest modified time, and the latest one at the start of the scan; None when there are no rows."""
        reader = self.reader
        if reader.options.paging == "next":
            # Without $orderby the edges are unknown; an hour covers clocks that differ.
            return 0, reader.floor(to_us(datetime.now(UTC) - timedelta(hours=1)))
        first, last = await _together(reader.edge("asc"), reader.edge("desc"))
        return None if first is None or last is None else (reader.floor(first), reader.floor(last))

    def _there(self, span: tuple[int, int] | None) -> tuple[int, int]:
        if span is None:
            raise RetryableError(
                f"{self.reader.source.entity_set}: the rows that were counted have gone meanwhile; try again"
            )
        return span

    async def _windows(self, low: int, high: int, *, expected: int | None = None) -> None:
        if low >= high:
            return
        counted = expected if expected is not None else await self.reader.count(low, high)
        try:
            async with asyncio.TaskGroup() as group:
                await self._divide(group, low, high, counted, self._target(counted))
        except BaseExceptionGroup as errors:
            raise foremost(errors) from errors

    def _target(self, rows: int) -> int:
        page_rows = self.reader.options.page_rows
        share = rows // (WINDOWS_PER_TASK * self.reader.options.concurrency)
        return min(max(share, SMALLEST_WINDOW_PAGES * page_rows), LARGEST_WINDOW_PAGES * page_rows)

    async def _divide(self, group: asyncio.TaskGroup, low: int, high: int, counted: int, target: int) -> None:
        """Read the window, or cut it into parts of the same length and divide those that are still too large."""
        edges = self._edges(low, high, counted, target)
        if len(edges) == 2:
            await self._window(low, high, expected=counted)
            return
        parts = list(pairwise(edges))
        rows = list(await _together(*(self._counted(*part) for part in parts[:-1])))
        # Rows may have come into the other parts meanwhile: a difference must not hide the last one.
        rest = counted - sum(rows)
        rows.append(rest if rest > 0 else await self._counted(*parts[-1]))
        for part, expected in zip(parts, rows, strict=True):
            if expected:
                group.create_task(self._divide(group, *part, expected, target))

    def _edges(self, low: int, high: int, counted: int, target: int) -> list[int]:
        """Where the parts of a window begin and end."""
        number = round(counted / target)
        if number < 2:
            return [low, high]
        inner = {self.reader.floor(low + (high - low) * step // number) for step in range(1, number)}
        return [low, *sorted(inner - {low}), high]

    async def _counted(self, low: int, high: int) -> int:
        async with self._slots:
            return await self.reader.count(low, high)

    async def _window(self, low: int, high: int | None, *, expected: int | None = None) -> None:
        counted = expected if expected is not None else await self.reader.count(low, high)
        if counted:
            async with self._slots:
                await self.reader.window(low, high, expected=counted)
