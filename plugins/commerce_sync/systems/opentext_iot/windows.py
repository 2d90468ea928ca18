"""Reading events: the span cut into windows, four read at once, none believed before the platform's count agrees.

A search leaves out events without saying so when there are too many, and its index lags. So every window is counted,
halved while it holds more than one answer can, read, and compared; a window that is short is read again with a fresh
count and then is an error, never a result. What becomes visible later with an earlier time is found by the overlap
of the next read.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec

from commerce_sync.errors import RetryableError, SyncError
from commerce_sync.systems.opentext_iot.client import IotClient
from commerce_sync.systems.opentext_iot.documents import Document

ATTEMPTS = 3
FLOOR_MS = 1000
"""The shortest window; a second with more events than one answer can hold is an error."""
WALKED_WINDOWS = 8
"""Windows of a span that cannot be counted beforehand."""
Take = Callable[[list[Document]], None]


def to_ms(moment: datetime) -> int:
    """Epoch milliseconds, rounded down."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return int(aware.timestamp() * 1000)


@dataclass(slots=True)
class EventReader:
    """Reads spans of events and hands every believed window to ``take``, each window once and as a whole.

    query: filters the platform applies to search and count alike.   at_once: windows read at a time.
    """

    client: IotClient
    take: Take
    query: Mapping[str, Any] = field(default_factory=dict)
    at_once: int = 4
    windows: int = 0
    rereads: int = 0
    repeats: int = 0
    counted: int = 0

    async def read(self, start: datetime, end: datetime) -> datetime:
        """All events of [start, end); gives the end up to which was read, whole seconds where windows are that.

        Raises RetryableError when events the platform counts do not come.
        """
        unit = FLOOR_MS if self.client.profile.events.times == "epoch_s" else 1
        start_ms, end_ms = (to_ms(moment) // unit * unit for moment in (start, end))
        if start_ms < end_ms:
            await self._span(start_ms, end_ms)
        return datetime.fromtimestamp(end_ms / 1000, UTC)

    async def _span(self, start_ms: int, end_ms: int) -> None:
        slots = asyncio.Semaphore(self.at_once)
        try:
            async with asyncio.TaskGroup() as group:
                if self.client.profile.events.count is None:
                    self._evenly(group, slots, start_ms, end_ms)
                else:
                    group.create_task(self._divided(group, slots, start_ms, end_ms))
        except BaseExceptionGroup as errors:
            raise foremost(errors) from errors

    def _evenly(self, group: asyncio.TaskGroup, slots: asyncio.Semaphore, start_ms: int, end_ms: int) -> None:
        width = ((end_ms - start_ms) // WALKED_WINDOWS // FLOOR_MS + 1) * FLOOR_MS
        for low in range(start_ms, end_ms, width):
            group.create_task(self._window(slots, low, min(low + width, end_ms)))

    async def _divided(self, group: asyncio.TaskGroup, slots: asyncio.Semaphore, low: int, high: int) -> None:
        async with slots:
            counted = await self.client.count_events(low, high, query=self.query)
        spec = self.client.profile.events
        middle = (low + high) // 2 // FLOOR_MS * FLOOR_MS
        if spec.paging != "none" or counted <= spec.most:
            if counted:
                await self._window(slots, low, high, expected=counted)
        elif high - low <= FLOOR_MS or not low < middle < high:
            raise RetryableError(
                f"{counted} events within a second ({_span(low, high)}) are more than one answer holds ({spec.most}): "
                "raise `most` in the profile if the gateway can answer more"
            )
        else:
            group.create_task(self._divided(group, slots, low, middle))
            group.create_task(self._divided(group, slots, middle, high))

    async def _window(self, slots: asyncio.Semaphore, low: int, high: int, *, expected: int | None = None) -> None:
        async with slots:
            self.windows += 1
            before: Counter[bytes] | None = None
            for _ in range(ATTEMPTS):
                found = await self._items(low, high)
                if expected is None:
                    expected = await self.client.count_events(low, high, query=self.query)
                marks = Counter(map(msgspec.json.encode, found))
                if _is_believed(marks, before, expected):
                    self.counted += expected
                    self.repeats += len(found) - len(marks)
                    self.take(found)
                    return
                self.rereads += 1
                before, expected = marks, await self.client.count_events(low, high, query=self.query)
        raise RetryableError(
            f"read {len(found)} of {expected} events of {_span(low, high)}, {ATTEMPTS} times over: the search cuts its "
            "answers short or the index is behind; nothing of this window counts as read, try again"
        )

    async def _items(self, low: int, high: int) -> list[Document]:
        found: list[Document] = []
        async for items in self.client.event_pages(low, high, query=self.query):
            found += items
        return found


def _is_believed(marks: Counter[bytes], before: Counter[bytes] | None, expected: int) -> bool:
    """As many different events as were counted; repeated ones only if a second read brings exactly the same."""
    if len(marks) >= expected:
        return True
    return marks.total() == expected and marks == before


def _span(low: int, high: int) -> str:
    first, last = (datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds") for ms in (low, high))
    return f"{first} to {last}"


def foremost(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """Of errors raised side by side, one of ours that trying again cannot help, else any of ours, else the first."""
    flat: list[BaseException] = []
    for error in errors.exceptions:
        flat.append(foremost(error) if isinstance(error, BaseExceptionGroup) else error)
    ours = [error for error in flat if isinstance(error, SyncError)]
    final = [error for error in ours if not isinstance(error, RetryableError)]
    return (final or ours or flat)[0]
