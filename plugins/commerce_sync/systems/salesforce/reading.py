"""Extract: the records of an object, or those that changed, into a batch; by REST pages or by a Bulk query.

What "complete" means: every record the user may see now, checked by COUNT() before and after. A record that is
gone is not in it, whether it went to the recycle bin, was merged away or was erased; with the option ``deleted``
those still in the recycle bin (about 15 days) are, marked by ``IsDeleted``, and those beyond are not.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from commerce_sync.batches import BatchWriter
from commerce_sync.errors import ConfigurationError, QuotaError, RejectedError, RetryableError, SyncError
from commerce_sync.mapping import Source
from commerce_sync.systems.salesforce.bulk import BulkQuery
from commerce_sync.systems.salesforce.client import SalesforceClient
from commerce_sync.systems.salesforce.collected import Collected
from commerce_sync.systems.salesforce.paging import Page, Pages, Query, is_too_long
from commerce_sync.systems.salesforce.shape import Node, Record
from commerce_sync.systems.salesforce.source_check import misfits
from commerce_sync.systems.salesforce.source_query import SourceQuery

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Extracted:
    """What an extract did.

    rows: distinct records in the batch.   complete: whether records that are not in it do not exist (any more).
    high_water: the newest modified time seen, deleted records included; None without a modified column or records.
    calls: requests made, repeated ones included.   facts: way (rest or bulk), restarts, superseded versions, counts.
    """

    rows: int
    complete: bool
    high_water: datetime | None
    calls: int
    facts: dict[str, Any] = field(default_factory=dict)


async def extract(
    client: SalesforceClient,
    source: Source,
    *,
    since: datetime | None,
    until: datetime | None,
    complete: bool,
    into: BatchWriter,
    scratch: str | None = None,
) -> Extracted:
    """Read ``source`` into ``into``; the batch always gets at least one part.

    since: closed lower bound.   until: open upper bound, both cut to milliseconds.   complete: read everything,
    bounds are ignored; also the case for a source without ``modified``.   scratch: folder for a Bulk query's files.
    Raises RetryableError when records are missing ("read 900 of 1000"), ConfigurationError naming the columns that
    the user cannot see.
    """
    asked = SourceQuery.of(source)
    collected = Collected(
        into, schema=asked.shape.schema, modified=source.modified, part_rows=asked.options.part_rows
    )  # fmt: skip
    reader = _Reader(client, asked, collected, scratch)
    is_complete = complete or source.modified is None
    try:
        facts = await (reader.everything() if is_complete else reader.changes(since, until))
    except (ConfigurationError, RejectedError) as error:
        raise await _explained(client, source, error) from error
    rows = collected.finish()
    if is_complete:
        _check_complete(source, rows, facts)
    facts |= {"restarts": reader.pages.restarts, "superseded": collected.superseded}
    return Extracted(rows, is_complete, collected.high_water, client.rest.calls.total(), facts)


async def _explained(client: SalesforceClient, source: Source, error: SyncError) -> ConfigurationError:
    """The refusal, with what of the source the org's description does not have."""
    try:
        found = await misfits(client, source)
    except SyncError:
        found = []
    text = f"source {source.name!r} cannot be read from Salesforce {source.entity_set}"
    return ConfigurationError(f"{text}: {'; '.join(found) or error}")


def _check_complete(source: Source, rows: int, counts: dict[str, Any]) -> None:
    before, after = counts["count_before"], counts["count_after"]
    if rows < before and rows < after:
        raise RetryableError(
            f"read {rows} of {after} records of {source.entity_set} (before the scan there were {before}): an answer "
            "was cut short; nothing counts as complete, try again"
        )


@dataclass(slots=True)
class _Reader:
    client: SalesforceClient
    asked: SourceQuery
    collected: Collected
    scratch: str | None
    pages: Pages = field(init=False)
    _links: dict[str, tuple[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.pages = Pages(self.client, all_rows=self.asked.options.deleted, page_rows=self.asked.options.page_rows)

    async def everything(self) -> dict[str, Any]:
        """Read all records; gives the way taken and the counts before and after."""
        query = self.asked.query()
        before = await self.pages.count(query)
        way = await self._read(query, expected=before) if before else "rest"
        return {"way": way, "count_before": before, "count_after": await self.pages.count(query) if before else 0}

    async def changes(self, since: datetime | None, until: datetime | None) -> dict[str, Any]:
        """Read the records modified in [since, until)."""
        return {"way": await self._read(self.asked.query(since, until), expected=None)}

    async def _read(self, query: Query, *, expected: int | None) -> str:
        """Read a query one way or the other.   expected: its records, None to learn it from the first page."""
        is_due = self._bulk_is_due(expected or 0, query)
        if is_due and await self._by_bulk(query):
            return "bulk"
        decided = is_due or expected is not None or not self._bulk_can()
        async with aclosing(self.pages.read(query)) as pages:
            async for page in pages:
                if not decided and page.total >= self.asked.options.bulk_from and await self._by_bulk(query):
                    return "bulk"
                decided = True
                await self._take(page)
        return "rest"

    def _bulk_can(self) -> bool:
        return self.asked.options.bulk != "never" and not self.asked.shape.lists

    def _bulk_is_due(self, rows: int, query: Query) -> bool:
        wanted = (
            self.asked.options.bulk == "always" or rows >= self.asked.options.bulk_from or is_too_long(query.soql())
        )
        if self.asked.options.bulk == "always" and self.asked.shape.lists:
            log.warning(
                "%s: a Bulk query cannot read child relationships (%s), reading by pages", self.asked.source.entity_set,
                ", ".join(node.name for node in self.asked.shape.lists),
            )  # fmt: skip
        return wanted and self._bulk_can()

    async def _by_bulk(self, query: Query) -> bool:
        """Read by a Bulk query; False when the org takes none for this object or has used up its jobs."""
        soql = self.asked.bulk_query(query).soql(ordered=False)
        pace = {name: getattr(self.asked.options, name) for name in ("poll_first_s", "poll_most_s", "longest_s")}
        bulk = BulkQuery(self.client, **pace)
        with tempfile.TemporaryDirectory(prefix="salesforce-read-", dir=self.scratch) as folder:
            try:
                job, files = await bulk.to_csv(soql, Path(folder), all_rows=self.asked.options.deleted)
            except (ConfigurationError, QuotaError) as error:
                log.warning("%s: no Bulk query (%s), reading by pages", self.asked.source.entity_set, error)
                return False
            rows = sum(self._take_file(file) for file in files)
        if rows < int(job["numberRecordsProcessed"]):
            raise RetryableError(
                f"read {rows} of {job['numberRecordsProcessed']} records of the Bulk query of "
                f"{self.asked.source.entity_set}: a result file was cut short; nothing counts as read, try again"
            )
        return True

    def _take_file(self, file: Path) -> int:
        rows = 0
        for table, ids in self.asked.shape.csv_tables(file):
            self.collected.add(table, ids)
            rows += len(ids)
        file.unlink()
        return rows

    async def _take(self, page: Page) -> None:
        for node in self.asked.shape.lists:
            for record in page.records:
                found = record.get(node.name)
                # A long child list comes in part; its cursor is one of few that are kept, so it is asked for anew.
                if found is not None and not found["done"]:
                    found["records"] = [child async for child in self._children(node, record["Id"])]
        self.collected.add(self.asked.shape.table(page.records), [record["Id"] for record in page.records])

    async def _children(self, node: Node, parent: str) -> AsyncIterator[Record]:
        name, link = await self._link(node)
        query = self.asked.children(node, of=parent, object_name=name, link=link)
        async for page in self.pages.read(query):
            for child in page.records:
                yield child

    async def _link(self, node: Node) -> tuple[str, str]:
        """The object behind a child relationship, and its field that names the parent."""
        if not self._links:
            described = await self.client.describe(self.asked.source.entity_set)
            self._links = {
                item["relationshipName"]: (item["childSObject"], item["field"])
                for item in described["childRelationships"]
            }
        return self._links[node.name]
