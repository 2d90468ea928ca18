"""Load: changes into iconik, object by object, with an outcome for every row.

iconik's bulk writes are jobs that say nothing about single objects, so each row is a call or two of its own; at 40
calls a second that is about 70,000 rows an hour.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from commerce_sync.batches import Batch, BatchWriter
from commerce_sync.errors import ConfigurationError, RejectedError, RetryableError
from commerce_sync.mapping import Field, Target
from commerce_sync.systems.iconik import metadata, present
from commerce_sync.systems.iconik.client import IconikClient, Row
from commerce_sync.systems.iconik.links import HistoryWriter, LinkWriter
from commerce_sync.systems.iconik.metadata import View
from commerce_sync.systems.iconik.objects import MetadataWriter, ObjectWriter
from commerce_sync.systems.iconik.targets import (
    Change,
    Done,
    Finder,
    Lookups,
    Sleep,
    WriteOptions,
    Writer,
    changes_of,
)
from commerce_sync.systems.jobs import Loaded

log = logging.getLogger(__name__)
LOAD_SCHEMA = pa.schema(
    [
        ("_key", pa.string()), ("outcome", pa.string()), ("target_id", pa.string()), ("created", pa.bool_()),
        ("code", pa.string()), ("reason_class", pa.string()), ("reason", pa.string()), ("fields", pa.string()),
    ]
)  # fmt: skip
FAILED_ROWS = 5
"""After so many rows in a row without an answer iconik counts as down."""


async def load(
    client: IconikClient, target: Target, fields: Sequence[Field], changes: Batch, *, into: BatchWriter,
    view: str | None, sleep: Sleep = asyncio.sleep,
) -> Loaded:  # fmt: skip
    """Write ``changes`` to the target and one outcome per row into ``into``.

    view: the connection's metadata view, for targets that name none.
    Raises ConfigurationError for a mapping that iconik cannot take or refused credentials, RetryableError when iconik
    is down and nothing got through.
    """
    writer = await writer_of(client, target, fields, view=view, sleep=sleep)
    rows = changes_of(_rows(changes), fields)
    options = WriteOptions.of(target)
    lookups = Lookups(client, fields, settle_s=options.settle_s, sleep=sleep)
    await lookups.prepare(rows)
    await writer.prepare(rows)
    run = _Run(writer, lookups, concurrency=options.concurrency)
    outcomes = await run.all(rows)
    into.add(pa.Table.from_pylist(outcomes, schema=LOAD_SCHEMA))
    counts = Counter(row["outcome"] for row in outcomes)
    created = sum(bool(row.get("created")) for row in outcomes)
    log.info("load ended: %s", dict(counts))
    return Loaded(counts["delivered"], counts["rejected"], counts["unprocessed"], created)


async def writer_of(
    client: IconikClient, target: Target, fields: Sequence[Field], *, view: str | None, sleep: Sleep
) -> Writer:
    """The writer of a target, with its metadata view read. Raises ConfigurationError when the mapping does not fit."""
    options = WriteOptions.of(target)
    found = await view_of(client, target, fields, view=view)
    if faults := present.mapping_problems(target, fields, found):
        raise ConfigurationError(f"target {target.object!r} of iconik: {'; '.join(faults)}")
    if target.object == "history":
        return HistoryWriter(client)
    if target.object in ("collection_contents", "relations"):
        return LinkWriter(client, target, options)
    finder = Finder(client, options.kind(target), settle_s=options.settle_s, sleep=sleep)
    if target.object == "metadata":
        assert found is not None
        return MetadataWriter(client, target, options, finder, view=found, mapped=fields)
    return ObjectWriter(client, target, options, finder, view=found)


async def view_of(client: IconikClient, target: Target, fields: Sequence[Field], *, view: str | None) -> View | None:
    """The metadata view a target writes to, None when it writes to none."""
    options = WriteOptions.of(target)
    if not present.writes_metadata(target, fields):
        return None
    named = options.view or view
    if not named:
        raise ConfigurationError(f"target {target.object!r} writes metadata but names no view; give options.view")
    return await metadata.view(client, named)


class _Run:
    def __init__(self, writer: Writer, lookups: Lookups, *, concurrency: int) -> None:
        self._writer = writer
        self._lookups = lookups
        self._slots = asyncio.Semaphore(concurrency)
        self._stopped: RetryableError | None = None
        self._failed = 0

    async def all(self, changes: Sequence[Change]) -> list[Row]:
        """An outcome per change. Raises RetryableError when none got through."""
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._one(change)) for change in changes]
        except BaseExceptionGroup as errors:
            raise _foremost(errors) from errors
        outcomes = [task.result() for task in tasks]
        if self._stopped and not any(row["outcome"] == "delivered" for row in outcomes):
            raise self._stopped
        return outcomes

    async def _one(self, change: Change) -> Row:
        async with self._slots:
            if self._failed >= FAILED_ROWS:
                return _refused(change, "unprocessed", "transient", str(self._stopped), outcome="unprocessed")
            try:
                done = await self._deliver(change)
            except RejectedError as error:
                self._failed = 0
                names = ",".join(getattr(error, "fields", ()))
                return _refused(change, error.code, error.reason_class, str(error), names=names)
            except RetryableError as error:
                self._stopped, self._failed = error, self._failed + 1
                return _refused(change, "unprocessed", "transient", str(error), outcome="unprocessed")
            self._failed = 0
            return _outcome(change, "delivered", target_id=done.target_id, created=done.created, code=done.code)

    async def _deliver(self, change: Change) -> Done:
        if change.kind == "DELETED":
            return await self._writer.remove(change)
        return await self._writer.send(self._lookups.resolved(change))


def _foremost(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """What a person has to correct comes before anything else."""
    wrong = errors.subgroup(ConfigurationError) or errors
    return wrong.exceptions[0]


def _refused(
    change: Change, code: str, reason_class: str, reason: str, *, names: str = "", outcome: str = "rejected"
) -> Row:
    return _outcome(
        change, outcome, target_id=change.target_id, code=code, reason_class=reason_class, reason=reason,
        fields=names or None,
    )  # fmt: skip


def _outcome(change: Change, outcome: str, **more: Any) -> Row:
    return {"_key": change.key, "outcome": outcome} | more


def _rows(changes: Batch) -> list[Row]:
    rows: list[Row] = []
    for path in changes.paths():
        with fsspec.open(path, "rb") as source:
            rows += pq.read_table(source).to_pylist()
    return rows
