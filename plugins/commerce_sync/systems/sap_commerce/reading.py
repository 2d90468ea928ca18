"""Reading one window of an entity set to its end: keyset pages, ties, link chains, checked against
``$count``.

Keyset: pages sorted by the modified time, each beginning where the last one ended. Rows that move during the
read get a later time and so come up again further on; nothing can slip past. A page full of rows with one and
the same time (as far as a literal can tell) is finished with ``$skip`` inside that time, checked by count.
Link chain: for services that do not sort. ``__next`` pages shift when rows move, so a chain during which the
count moved, or that brought fewer rows than counted, is read again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

import numpy as np

from commerce_sync.errors import ConfigurationError, RetryableError
from commerce_sync.mapping import Source
from commerce_sync.systems.sap_commerce import decode
from commerce_sync.systems.sap_commerce.client import SapCommerceClient
from commerce_sync.systems.sap_commerce.collected import IDENTITY, Collected, Rows, identify
from commerce_sync.systems.sap_commerce.protocol import MAX_PAGE, Precision, from_us, moment, unit_us

ATTEMPTS = 3
"""How often a window is read before its missing rows become an error."""
Report = Callable[[int, int], None]
"""Told after each page: rows read so far, rows expected."""


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """``options`` of a source.

    concurrency: windows read at once, 1-8.   paging: ``keyset`` or ``next`` (follow links, for services that
    refuse ``$orderby``).   precision: what the service's date literals can express.   tiebreak: properties to
    sort by after the modified time; default the key's own properties.   page_rows: at most 1000.   part_rows:
    rows per Parquet part.   language: Accept-Language of localized properties.   check_columns: compare
    columns with ``$metadata``.
    """

    concurrency: int = 4
    paging: Literal["keyset", "next"] = "keyset"
    precision: Precision = "seconds"
    tiebreak: list[str] | None = None
    page_rows: int = MAX_PAGE
    part_rows: int = 32_768
    language: str | None = None
    check_columns: bool = True

    @classmethod
    def of(cls, source: Source) -> ReadOptions:
        """Validate a source's options. Raises ConfigurationError naming the legal ones."""
        legal = [item.name for item in fields(cls)]
        if unknown := sorted(set(source.options) - set(legal)):
            raise ConfigurationError(f"source {source.name!r} has unknown options {unknown}; legal: {', '.join(legal)}")
        found = cls(**source.options)
        _choice(source, "paging", found.paging, ("keyset", "next"))
        _choice(source, "precision", found.precision, get_args(Precision))
        _range(source, "concurrency", found.concurrency, 8)
        _range(source, "page_rows", found.page_rows, MAX_PAGE)
        return found


def _choice(source: Source, name: str, value: Any, legal: tuple[str, ...]) -> None:
    if value not in legal:
        raise ConfigurationError(f"source {source.name!r}: option {name} is {value!r}; legal: {', '.join(legal)}")


def _range(source: Source, name: str, value: Any, largest: int) -> None:
    if not isinstance(value, int) or not 1 <= value <= largest:
        raise ConfigurationError(f"source {source.name!r}: option {name} is {value!r}; legal: 1 to {largest}")


@dataclass(slots=True)
class Reader:
    """Reads windows of one source into ``collected``. Times are microseconds since 1970; ``None`` is open."""

    client: SapCommerceClient
    source: Source
    options: ReadOptions
    collected: Collected
    report: Report | None = None
    order: str = ""
    expected: int = 0
    windows: int = 0
    rereads: int = 0
    _layout: decode.Layout = field(init=False)

    def __post_init__(self) -> None:
        self._layout = decode.layout({**self.source.columns, IDENTITY: "VARCHAR"})

    @property
    def unit(self) -> int:
        """Microseconds between two neighbouring date literals."""
        return unit_us(self.options.precision)

    def floor(self, us: int) -> int:
        """The latest time at or before ``us`` that a literal can express."""
        return us // self.unit * self.unit

    def where(self, low: int | None, high: int | None) -> str | None:
        """The filter of a window: closed below, open above, and the source's own filter."""
        terms = []
        if low is not None:
            terms.append(f"{self.source.modified} ge {self._moment(low)}")
        if high is not None:
            terms.append(f"{self.source.modified} lt {self._moment(high)}")
        if self.source.filter:
            terms.append(f"({self.source.filter})" if terms and " or " in self.source.filter else self.source.filter)
        return " and ".join(terms) or None

    def _moment(self, us: int) -> str:
        return moment(from_us(us), precision=self.options.precision)

    async def count(self, low: int | None, high: int | None) -> int:
        """Rows of a window by ``$count``."""
        return await self.client.count(self.source.entity_set, where=self.where(low, high))

    async def edge(self, direction: Literal["asc", "desc"]) -> int | None:
        """The smallest (asc) or largest (desc) modified time there is, None when there are no rows."""
        column = str(self.source.modified)
        query = {"$top": 1, "$filter": self.where(None, None), "$orderby": f"{column} {direction}"}
        page = decode.page(await self.client.page(self.source.entity_set, query), {column: "TIMESTAMP"})
        if not page.num_rows:
            return None
        value = page.column(0).cast("int64")[0].as_py()
        if value is None:
            raise ConfigurationError(
                f"{self._what()}: rows without {column!r} exist, which reads by time can never find; choose another "
                "modified column, exclude them with the source's filter, or leave modified out"
            )
        return int(value)

    async def window(self, low: int | None, high: int | None, *, expected: int) -> None:
        """Read all rows of a window. Raises RetryableError when fewer than ``$count`` come each time."""
        self.windows += 1
        seen: dict[int, int] = {}
        if self.options.paging == "next" or self.source.modified is None:
            await self._by_links(low, high, seen)
        else:
            await self._by_keys(low, high, seen, expected)

    async def _by_keys(self, low: int | None, high: int | None, seen: dict[int, int], expected: int) -> None:
        assert low is not None
        for _ in range(ATTEMPTS):
            await self._keyset(low, high, seen)
            if len(seen) < expected:
                # Rows may have left the window since; only the present count can blame the read.
                expected = await self.count(low, high)
            if len(seen) >= expected:
                return
            self.rereads += 1
        raise self._short(len(seen), expected, low, high)

    async def _keyset(self, low: int, high: int | None, seen: dict[int, int]) -> None:
        position = low
        while high is None or position < high:
            page, rows = await self._page(self.where(position, high), skip=0)
            self._add(rows, seen)
            if page.next is None:
                return
            following = self._following(rows, position)
            if following == position:
                await self._tied(position, seen)
                following += self.unit
            position = following

    def _following(self, rows: Rows, position: int) -> int:
        if not len(rows.modified):
            raise RetryableError(f"{self._what()}: an empty page promised more rows; try again")
        if (np.diff(rows.modified) < 0).any() or self.floor(int(rows.modified[-1])) < position:
            raise ConfigurationError(
                f"{self._what()}: rows are not sorted by {self.source.modified!r} although asked for; "
                "set the source's option paging: next"
            )
        return self.floor(int(rows.modified[-1]))

    async def _tied(self, at: int, seen: dict[int, int]) -> None:
        """Read the rows of one literal's time with ``$skip``, again when their number changed meanwhile."""
        end = at + self.unit
        for _ in range(ATTEMPTS):
            before = await self.count(at, end)
            found: set[int] = set()
            more, skip = True, 0
            while more:
                page, rows = await self._page(self.where(at, end), skip=skip)
                self._add(rows, seen)
                found.update(rows.hashes.tolist())
                skip += len(rows.hashes)
                more = page.next is not None and len(rows.hashes) > 0
            if len(found) >= before and before == await self.count(at, end):
                return
            self.rereads += 1
        raise self._short(len(found), before, at, end)

    async def _by_links(self, low: int | None, high: int | None, seen: dict[int, int]) -> None:
        for _ in range(ATTEMPTS):
            found, counts = await self._chain(low, high, seen)
            if len(set(counts)) == 1 and found >= counts[0]:
                return
            self.rereads += 1
        raise self._short(found, counts[-1], low, high)

    async def _chain(self, low: int | None, high: int | None, seen: dict[int, int]) -> tuple[int, list[int]]:
        """One pass along the links: distinct keys of this pass, and the counts it was told on its way."""
        found: set[int] = set()
        counts: list[int] = []
        query = self._query(self.where(low, high)) | {"$inlinecount": "allpages", "$orderby": None}
        body = await self.client.page(self.source.entity_set, query)
        while True:
            page = self._layout.page(body)
            rows = identify(page.table, modified=self.source.modified, columns=list(self.source.columns))
            self._add(rows, seen)
            found.update(rows.hashes.tolist())
            counts += [page.count] if page.count is not None else []
            if page.next is None:
                # The count is asked for once more: rows that moved after the last page was counted show here.
                return len(found), [*counts, await self.count(low, high)]
            body = await self.client.page_at(page.next)

    def _query(self, where: str | None) -> dict[str, str | int | None]:
        return {
            "$top": self.options.page_rows,
            "$filter": where,
            "$orderby": self.order,
            "$expand": self._layout.expand,
        }

    async def _page(self, where: str | None, *, skip: int) -> tuple[decode.Page, Rows]:
        query = self._query(where) | {"$skip": skip or None}
        page = self._layout.page(await self.client.page(self.source.entity_set, query))
        return page, identify(page.table, modified=self.source.modified, columns=list(self.source.columns))

    def _add(self, rows: Rows, seen: dict[int, int]) -> None:
        self.collected.add(rows, seen=seen)
        if self.report:
            self.report(self.collected.rows, self.expected)

    def _what(self) -> str:
        return f"{self.source.service}/{self.source.entity_set}"

    def _short(self, found: int, counted: int, low: int | None, high: int | None) -> RetryableError:
        span = f" with {self.where(low, high)}" if low is not None else ""
        return RetryableError(
            f"read {found} of {counted} rows of {self._what()}{span}, {ATTEMPTS} times over: the service "
            "cuts its pages short or rows change too fast; nothing counts as complete, try again"
        )
