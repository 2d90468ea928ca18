"""Load: changes to devices, their attributes and tags, or commands; an outcome for every row.

Rows of one device are one plan and are written one after the other; several devices at once. Each write can be
repeated or is settled by reading back, so a load that was killed is simply run again.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from typing import Protocol

import pyarrow as pa

from commerce_sync.batches import Batch, BatchWriter
from commerce_sync.errors import ConfigurationError, RetryableError
from commerce_sync.mapping import Field, Target
from commerce_sync.systems.jobs import Jobs, Loaded, MemoryJobs
from commerce_sync.systems.opentext_iot.client import IotClient
from commerce_sync.systems.opentext_iot.creating import DeviceWriter, device_problems
from commerce_sync.systems.opentext_iot.device_writers import (
    EXTERNAL_IDS,
    AttributeWriter,
    TagWriter,
    attribute_problems,
    tag_problems,
)
from commerce_sync.systems.opentext_iot.message_writers import CommandWriter, command_problems
from commerce_sync.systems.opentext_iot.rows import LOAD_SCHEMA, LoadOptions, Outcome, Row, chunks, unprocessed
from commerce_sync.systems.opentext_iot.windows import foremost

log = logging.getLogger(__name__)
TARGETS = ("device_attributes", "device_tags", "devices", "commands")
CHUNK_ROWS = 2000
FAILED_DEVICES = 5
"""After so many failures in a row the platform counts as down."""


class Writer(Protocol):
    """One kind of target."""

    options: LoadOptions

    async def prepare(self) -> None: ...
    async def groups(self, rows: list[Row]) -> tuple[dict[str, list[Row]], list[Outcome]]: ...
    async def write(self, device_id: str, rows: list[Row]) -> list[Outcome]: ...


def writer(client: IotClient, target: Target, fields: Sequence[Field], jobs: Jobs) -> Writer:
    """What writes to a target. Raises ConfigurationError for one this system does not have."""
    check_target(target)
    if target.object == "device_attributes":
        return AttributeWriter(client, target, fields)
    if target.object == "device_tags":
        return TagWriter(client, target, fields)
    kind = DeviceWriter if target.object == "devices" else CommandWriter
    return kind(client, target, fields, jobs)


def check_target(target: Target) -> None:
    """Raise ConfigurationError for an object or external id that is not there."""
    if target.object not in TARGETS:
        raise ConfigurationError(f"target object {target.object!r} is not known; there are: {', '.join(TARGETS)}")
    if target.object.startswith("device_") and target.external_id not in EXTERNAL_IDS:
        raise ConfigurationError(
            f"target {target.object}: external_id {target.external_id!r} is not known; legal: {', '.join(EXTERNAL_IDS)}"
        )


async def problems(client: IotClient, target: Target, fields: Sequence[Field]) -> list[str]:
    """What of a mapping the platform would refuse, one sentence each; empty when all is well."""
    try:
        check_target(target)
        options = LoadOptions.of(target)
    except ConfigurationError as error:
        return [str(error)]
    names = [item.name for item in fields if item.name != target.external_id]
    found = []
    if target.object != "commands" and len(names) == len(fields):
        found.append(f"the external id {target.external_id!r} is not among the mapped fields")
    if target.object == "device_attributes":
        return found + attribute_problems(client, await client.attribute_types(), names)
    if target.object == "device_tags":
        return found + tag_problems(names)
    own = device_problems(target, names) if target.object == "devices" else command_problems(client, options, names)
    return found + own


class Load:
    """One load of one batch."""

    def __init__(self, writer: Writer, into: BatchWriter) -> None:
        self._writer = writer
        self._into = into
        self._counts: Counter[str] = Counter()
        self._created = 0
        self._failed = 0
        self._stopped: RetryableError | None = None

    async def run(self, changes: Batch, fields: Sequence[Field]) -> Loaded:
        """Write every row. Raises RetryableError when nothing at all got through."""
        for rows in chunks(changes, fields, size=CHUNK_ROWS):
            try:
                groups, outcomes = await self._writer.groups(rows)
            except RetryableError as error:
                self._stopped, groups, outcomes = error, {}, [unprocessed(row, error) for row in rows]
            outcomes += await self._all(groups)
            self._note(outcomes)
        if self._stopped and not self._counts["delivered"]:
            raise self._stopped
        if not self._into.parts:
            self._into.add(LOAD_SCHEMA.empty_table())
        log.info("load ended: %s", dict(self._counts))
        counts = self._counts
        return Loaded(counts["delivered"], counts["rejected"], counts["unprocessed"], self._created)

    async def _all(self, groups: dict[str, list[Row]]) -> list[Outcome]:
        slots = asyncio.Semaphore(self._writer.options.concurrency)
        found: list[Outcome] = []

        async def one(device_id: str, rows: list[Row]) -> None:
            async with slots:
                found.extend(await self._group(device_id, rows))

        try:
            async with asyncio.TaskGroup() as group:
                for device_id, rows in groups.items():
                    group.create_task(one(device_id, rows))
        except BaseExceptionGroup as errors:
            raise foremost(errors) from errors
        return found

    async def _group(self, device_id: str, rows: list[Row]) -> list[Outcome]:
        if self._stopped and self._failed >= FAILED_DEVICES:
            return [unprocessed(row, self._stopped) for row in rows]
        try:
            found = await self._writer.write(device_id, rows)
        except RetryableError as error:
            self._stopped, self._failed = error, self._failed + 1
            return [unprocessed(row, error) for row in rows]
        self._failed = 0
        return found

    def _note(self, outcomes: list[Outcome]) -> None:
        self._counts.update(item["outcome"] for item in outcomes)
        self._created += sum(1 for item in outcomes if item["outcome"] == "delivered" and item.get("created"))
        self._into.add(pa.Table.from_pylist(outcomes, schema=LOAD_SCHEMA))


async def load(
    client: IotClient, target: Target, fields: Sequence[Field], changes: Batch, *, into: BatchWriter,
    jobs: Jobs | None = None,
) -> Loaded:  # fmt: skip
    """Write ``changes`` to the target and one outcome per row into ``into``.

    Raises ConfigurationError for unknown fields or refused credentials, RetryableError when the platform is down.
    """
    found = writer(client, target, fields, jobs or MemoryJobs())
    if not changes.rows:
        into.add(LOAD_SCHEMA.empty_table())
        return Loaded()
    await found.prepare()
    return await Load(found, into).run(changes, fields)
