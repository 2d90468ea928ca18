"""The source of a history: a shop in memory, read by the real client code of SAP Commerce, page by page.

Only the HTTP session is left out: ``Pages`` answers what ``SapCommerceClient`` would, in the Integration API's JSON.
Transactions stamp a record when they begin and show it when they commit, up to a quarter of an hour later. Every
version that was ever visible is kept with the moments it came and went, which is what the oracle judges by.
"""

from __future__ import annotations

import asyncio
import json
import operator
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from commerce_sync.errors import RetryableError
from commerce_sync.systems.sap_commerce import windows
from proofs.clock import Clock

Row = dict[str, Any]
BOUND = re.compile(r"modifiedtime (ge|gt|lt|le) datetime'([^']+)'")
COMPARE = {"ge": operator.ge, "gt": operator.gt, "lt": operator.lt, "le": operator.le}
MS = timedelta(milliseconds=1)
EPOCH = datetime(1970, 1, 1)
BLANK: Row = {"name": None, "note": None, "city": None, "amount": None, "number": None, "since": None, "hidden": False}


@dataclass
class Version:
    """A record as it was visible between two moments; ``until`` None: still is.  row None stands for nobody."""

    key: str
    row: Row
    stamp: datetime
    since: int
    until: int | None = None

    def seen_at_some_time(self, first: int, last: int) -> bool:
        return self.since <= last and (self.until is None or self.until > first)

    def seen_all_the_time(self, first: int, last: int) -> bool:
        return self.since <= first and (self.until is None or self.until > last)


@dataclass(frozen=True)
class Open:
    """A transaction that has not committed."""

    due: datetime
    key: str
    row: Row
    stamp: datetime


class Shop:
    """Records, transactions, its own clock. ``moment`` counts what became visible or went."""

    def __init__(self, clock: Clock, *, grain_ms: int) -> None:
        self.clock, self.grain_ms = clock, grain_ms
        self.skew = timedelta()
        self.moment = 0
        self.visible: dict[str, Version] = {}
        self.log: list[Version] = []
        self.open: list[Open] = []

    @property
    def time(self) -> datetime:
        """What this side's clock shows, as fine as it stamps."""
        at = self.clock.time + self.skew
        grain = timedelta(milliseconds=self.grain_ms)
        return at - (at - at.min.replace(tzinfo=at.tzinfo)) % grain

    def wait(self, seconds: float) -> None:
        """Time passes; what is due commits in its order."""
        end = self.clock.time + timedelta(seconds=seconds)
        for item in sorted(self.open, key=lambda item: item.due):
            if item.due <= end:
                self.open.remove(item)
                self._show(item.key, item.row, item.stamp)
        self.clock.time = end

    def edit(self, key: str, values: Row, *, delay_s: float = 0) -> None:
        """Create or change; a record somebody else has locked stays as it is."""
        if any(item.key == key for item in self.open):
            return
        known = self.visible.get(key)
        row = {**(known.row if known else BLANK), **values}
        if delay_s:
            self.open.append(Open(self.clock.time + timedelta(seconds=delay_s), key, row, self.time))
        else:
            self._show(key, row, self.time)

    def delete(self, key: str) -> None:
        if key in self.visible and not any(item.key == key for item in self.open):
            self.moment += 1
            self.visible.pop(key).until = self.moment

    def restart(self) -> None:
        """What had not committed is rolled back."""
        self.open.clear()

    def _show(self, key: str, row: Row, stamp: datetime) -> None:
        self.moment += 1
        if key in self.visible:
            self.visible[key].until = self.moment
        version = Version(key, row, stamp, self.moment)
        self.visible[key] = version
        self.log.append(version)

    def between(self, first: int, last: int) -> Iterator[Version]:
        """Versions visible at some moment of a span."""
        return (item for item in self.log if item.seen_at_some_time(first, last))


class Pages:
    """Answers one extract as the Integration API would. ``before_call`` runs ahead of every answer."""

    def __init__(self, shop: Shop, before_call: Callable[[int], None]) -> None:
        self.shop, self.before_call = shop, before_call
        self.calls = 0

    async def count(self, entity_set: str, *, where: str | None = None) -> int:
        self._called()
        return len(self._rows(where))

    async def page(self, entity_set: str, query: dict[str, Any]) -> bytes:
        self._called()
        return self._answer({name: value for name, value in query.items() if value is not None})

    async def page_at(self, link: str) -> bytes:
        self._called()
        return self._answer(json.loads(link))

    def _called(self) -> None:
        self.calls += 1
        self.before_call(self.calls)

    def _rows(self, where: str | None) -> list[Version]:
        bounds = [(sense, datetime.fromisoformat(text)) for sense, text in BOUND.findall(where or "")]
        return [item for item in self.shop.visible.values() if all(_meets(item, *bound) for bound in bounds)]

    def _answer(self, query: dict[str, Any]) -> bytes:
        rows = self._rows(query.get("$filter"))
        if query.get("$orderby"):
            column, _, direction = query["$orderby"].partition(",")[0].partition(" ")
            assert column == "modifiedtime", query
            rows.sort(key=lambda item: (item.stamp, item.key), reverse=direction == "desc")
        skip, size = int(query.get("$skip", 0)), int(query["$top"])
        shown = rows[skip : skip + size]
        answer: dict[str, Any] = {"results": [_shown(item) for item in shown]}
        if len(rows) > skip + size:
            answer["__next"] = json.dumps(query | {"$skip": skip + size})
        if query.get("$inlinecount"):
            answer["__count"] = str(len(rows))
        return json.dumps({"d": answer}).encode()


def _meets(item: Version, sense: str, bound: datetime) -> bool:
    return COMPARE[sense](item.stamp.replace(tzinfo=None), bound)


def _shown(item: Version) -> Row:
    times = {"modifiedtime": item.stamp.replace(tzinfo=None)} | (
        {"since": item.row["since"]} if item.row["since"] else {}
    )
    stamps = {name: f"/Date({round((at - EPOCH) / MS)})/" for name, at in times.items()}
    return {"integrationKey": item.key, "code": item.key, **item.row, "since": None, **stamps}


class Reading:
    """The shop as a source of the engine; remembers between which moments it was read, and how far."""

    def __init__(self, shop: Shop, before_call: Callable[[int], None]) -> None:
        self.shop, self.before_call = shop, before_call
        self.first = self.last = shop.moment
        self.done = False

    def extract(self, source: Any, *, since: Any, until: Any, complete: bool, into: Any) -> Any:
        self.first, self.done = self.shop.moment, False
        pages = Pages(self.shop, self.before_call)
        found = asyncio.run(
            windows.extract(pages, source, since=since, until=until, complete=complete, into=into)  # type: ignore[arg-type]
        )
        self.last, self.done = self.shop.moment, True
        return found


class Down(RetryableError):
    """The source went away in the middle of a read."""
