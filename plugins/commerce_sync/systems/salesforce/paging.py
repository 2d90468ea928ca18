"""One SOQL query read to its end by the REST API: pages, lost cursors, answers that are cut short.

A cursor is a snapshot, so pages neither shift nor repeat. One that is lost (they live two days at most, and few
are kept for a user) is replaced by a new query that begins behind the last record seen: results are sorted by
modified time and id, and a record that changes meanwhile only moves to the end.
Source: REST API Developer Guide, Query and Query More Results; SOQL and SOSL Reference, Date Formats.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import quote_plus

import msgspec

from commerce_sync.errors import ConfigurationError, RetryableError, SyncError
from commerce_sync.systems.answers import excerpt
from commerce_sync.systems.salesforce.client import SalesforceClient
from commerce_sync.systems.salesforce.reasons import classify

URL_MOST_BYTES = 13_000
"""URL and headers together may have 16,384 bytes; a session id takes up to 2,000 of them."""
EXPIRED = "INVALID_QUERY_LOCATOR"
Record = dict[str, Any]


class _LocatorExpiredError(SyncError):
    """A cursor is gone; the query has to begin again."""


@dataclass(frozen=True, slots=True)
class Position:
    """A record within the order of a query; ``modified`` as a SOQL literal, None when ordered by id alone."""

    modified: str | None
    id: str


@dataclass(frozen=True, slots=True)
class Query:
    """A SELECT that can be counted, and begun behind any of its records.

    columns: fields and subqueries, ``Id`` and ``modified`` among them.   where: conditions, all of which must hold.
    modified: the datetime field to sort by before the id.
    """

    object: str
    columns: tuple[str, ...]
    where: tuple[str, ...] = ()
    modified: str | None = None

    def soql(self, *, behind: Position | None = None, ordered: bool = True) -> str:
        """The statement. Not ``ordered`` for Bulk, which reads by key ranges of its own unless told an order."""
        order = ", ".join(filter(None, (self.modified, "Id")))
        tail = f" ORDER BY {order}" if ordered else ""
        return f"SELECT {', '.join(self.columns)} FROM {self.object}{self._condition(behind)}{tail}"

    def count_soql(self, *, behind: Position | None = None) -> str:
        """The statement that counts the same records."""
        return f"SELECT COUNT() FROM {self.object}{self._condition(behind)}"

    def _condition(self, behind: Position | None) -> str:
        terms = list(self.where) + ([] if behind is None else [self._behind(behind)])
        if not terms:
            return ""
        return " WHERE " + (terms[0] if len(terms) == 1 else " AND ".join(f"({term})" for term in terms))

    def _behind(self, position: Position) -> str:
        if self.modified is None:
            return f"Id > '{position.id}'"
        name, at = self.modified, position.modified
        return f"{name} > {at} OR ({name} = {at} AND Id > '{position.id}')"

    def position(self, record: Record) -> Position:
        """Where a record of this query's answer stands."""
        if self.modified is None:
            return Position(None, record["Id"])
        found: Any = record
        for step in self.modified.split("."):
            found = found[step]
        if found is None:
            raise ConfigurationError(
                f"{self.object} {record['Id']} has no {self.modified}; records cannot be read by it: choose "
                "SystemModstamp, or exclude such records with the source's filter"
            )
        return Position(moment(datetime.fromisoformat(found)), record["Id"])


@dataclass(frozen=True, slots=True)
class Page:
    """``total``: records of the whole query as counted when it began."""

    records: list[Record]
    total: int


def moment(at: datetime) -> str:
    """A SOQL datetime literal: UTC, milliseconds, the rest cut off."""
    at = at.astimezone(UTC) if at.tzinfo else at
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z"


def is_too_long(soql: str) -> bool:
    """Whether a statement does not fit into a URL."""
    return len(quote_plus(soql)) > URL_MOST_BYTES


class Pages:
    """Reads queries of one client.   all_rows: deleted and archived records too.   page_rows: 200 to 2,000."""

    def __init__(self, client: SalesforceClient, *, all_rows: bool = False, page_rows: int = 2000) -> None:
        self._client = client
        self._path = "queryAll" if all_rows else "query"
        self._headers = {"Sforce-Query-Options": f"batchSize={page_rows}"}
        self.restarts = 0

    async def count(self, query: Query, *, behind: Position | None = None) -> int:
        """Records of a query now."""
        return int((await self._ask(query.count_soql(behind=behind)))["totalSize"])

    async def read(self, query: Query) -> AsyncGenerator[Page, None]:
        """Yield the pages of a query in its order; the first may be empty.

        Raises RetryableError when fewer records come than there are, ConfigurationError when Salesforce refuses it.
        """
        position: Position | None = None
        while True:
            begun = position
            try:
                async for page in self._chain(query, behind=begun):
                    yield page
                    position = query.position(page.records[-1]) if page.records else position
            except _LocatorExpiredError as error:
                if position == begun:
                    raise RetryableError(f"{query.object}: {error}, before any record came; try again") from error
                self.restarts += 1
            else:
                return

    async def _chain(self, query: Query, *, behind: Position | None) -> AsyncGenerator[Page, None]:
        soql = query.soql(behind=behind)
        if is_too_long(soql):
            raise ConfigurationError(
                f"the query of {query.object} is longer than a URL may be ({len(quote_plus(soql))} of {URL_MOST_BYTES} "
                "bytes): read fewer columns or shorten the filter, or set the source's option bulk: always"
            )
        answer, received = await self._ask(soql), 0
        while True:
            page = Page(answer["records"], int(answer["totalSize"]))
            received += len(page.records)
            yield page
            if answer["done"]:
                break
            answer = await self._next(str(answer["nextRecordsUrl"]))
        if received < page.total and received < (present := await self.count(query, behind=behind)):
            raise RetryableError(
                f"read {received} of {present} records of {query.object}: an answer was cut short; nothing counts as "
                "read, try again"
            )

    async def _ask(self, soql: str) -> dict[str, Any]:
        answer = await self._client.call("GET", self._path, params={"q": soql}, headers=self._headers)
        return decoded(answer.body)

    async def _next(self, url: str) -> dict[str, Any]:
        answer = await self._client.call(
            "GET", url, headers=self._headers, classify=_of_cursor, route=f"{self._client.root}/query/next"
        )
        return decoded(answer.body)


_DECODER: msgspec.json.Decoder[Any] = msgspec.json.Decoder(float_hook=Decimal)


def decoded(body: bytes) -> dict[str, Any]:
    """JSON with numbers exactly as written. Raises RetryableError for what is not JSON (a cut answer)."""
    try:
        found: dict[str, Any] = _DECODER.decode(body)
    except msgspec.DecodeError as error:
        raise RetryableError(f"the answer is no complete JSON ({excerpt(body)}); try again") from error
    return found


def _of_cursor(status: int, body: bytes) -> SyncError | None:
    if status in (400, 404) and EXPIRED.encode() in body:
        return _LocatorExpiredError("the query's cursor is gone")
    return classify(status, body)
