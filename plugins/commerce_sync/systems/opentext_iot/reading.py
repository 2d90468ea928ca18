"""Extract: events of a span, devices, or device templates, into a batch of typed columns.

Everything is proven by the platform's own count before it is believed. Memory: a few windows of events, or a page of
devices, one part of the batch, and 8 bytes for every id read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from commerce_sync.batches import BatchWriter
from commerce_sync.mapping import Source
from commerce_sync.systems.opentext_iot import envelopes
from commerce_sync.systems.opentext_iot.asked import Extracted, ReadOptions, check_source, id_of, select_list
from commerce_sync.systems.opentext_iot.client import IotClient
from commerce_sync.systems.opentext_iot.documents import Document, text_of
from commerce_sync.systems.opentext_iot.parts import Parts, session
from commerce_sync.systems.opentext_iot.profile import Profile
from commerce_sync.systems.opentext_iot.records import read_devices, read_templates
from commerce_sync.systems.opentext_iot.windows import EventReader

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa


async def extract(
    client: IotClient,
    source: Source,
    *,
    since: datetime | None,
    until: datetime | None,
    complete: bool,
    into: BatchWriter,
    now: datetime | None = None,
) -> Extracted:
    """Read ``source`` into ``into``.

    since: closed lower bound.   until: open upper bound.   complete: read everything there is (of events: of the
    retention).   now: the moment the lag counts from. Raises RetryableError when fewer records come than the platform
    counts, ConfigurationError for columns, filters or entity sets it does not have.
    """
    options = ReadOptions.of(source)
    check_source(client.profile, source)
    with session() as con:
        if source.entity_set == "events":
            span = _span(since, until, complete=complete, options=options, now=now or datetime.now(UTC))
            return await _events(client, source, options, con, span, into)
        if source.entity_set == "devices":
            return await read_devices(client, source, options, con, None if complete else since, into)
        return await read_templates(client, source, options, con, into)


def _span(
    since: datetime | None, until: datetime | None, *, complete: bool, options: ReadOptions, now: datetime
) -> tuple[datetime, datetime]:
    """[start, end) of an event read: it ends where the index may still be behind."""
    settled = now - timedelta(seconds=options.lag_s)
    end = min(until, settled) if until else settled
    start = now - timedelta(days=options.retention_days) if complete or since is None else since
    return start, max(start, end)


async def _events(
    client: IotClient, source: Source, options: ReadOptions, con: duckdb.DuckDBPyConnection,
    span: tuple[datetime, datetime], into: BatchWriter,
) -> Extracted:  # fmt: skip
    spec, start, end = client.profile.events, *span
    if spec.types:
        envelopes.register_types(con, await client.names(spec.types))
    wanted = await EventFilter.of(client, options)
    query = {spec.filters["type"]: options.types} if options.types and "type" in spec.filters else {}
    parts = Parts(into, key=source.key, part_rows=options.part_rows)
    take = _taking(con, client.profile, source, parts, wanted.sql())
    reader = EventReader(client, take, query=query, at_once=options.concurrency)
    end = await reader.read(start, end)
    take([])
    parts.flush()
    facts = {"windows": reader.windows, "rereads": reader.rereads, "repeats": reader.repeats, "counted": reader.counted}
    return Extracted(parts.rows, False, end if end > start else None, client.calls, facts)


def _taking(
    con: duckdb.DuckDBPyConnection, profile: Profile, source: Source, parts: Parts, where: str
) -> Callable[[list[Document]], None]:
    spec = profile.events
    query = f"""SELECT {select_list(source)}, hash(CAST({source.key} AS VARCHAR)) AS _hash
        FROM ({envelopes.events_sql(spec)}) WHERE {where}"""

    def take(items: list[Document]) -> None:
        con.register("raw_events", envelopes.raw_table(items, spec, times=profile.times))
        table: pa.Table = con.sql(query).to_arrow_table()
        parts.add(table.drop_columns(["_hash"]), table["_hash"].combine_chunks())

    return take


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events a source wants, as SQL over our columns."""

    types: list[str]
    streams: list[str]
    pairs: list[tuple[str, str]] | None

    @classmethod
    async def of(cls, client: IotClient, options: ReadOptions) -> EventFilter:
        """Names turned into ids. Raises ConfigurationError for a stream or event source that is not there."""
        streams: list[str] = []
        if options.streams:
            known = await client.streams()
            streams = [id_of(name, known, what="stream") for name in options.streams]
        return cls(options.types, streams, await _pairs(client, options.event_sources))

    def sql(self) -> str:
        """The condition."""
        terms = [f"type IN {_listed(self.types)}"] if self.types else []
        terms += [f"stream IN {_listed(self.streams)}"] if self.streams else []
        if self.pairs is not None:
            terms.append(f"concat_ws(' ', subject, type_id) IN {_listed([' '.join(pair) for pair in self.pairs])}")
        return " AND ".join(terms) or "true"


async def _pairs(client: IotClient, names: Sequence[str]) -> list[tuple[str, str]] | None:
    """(device id, event template id) of event sources."""
    if not names:
        return None
    found = {str(one["id"]): one for one in await client.event_sources()}
    known = {key: text_of(one.get("name"), client.profile.text) or key for key, one in found.items()}
    pairs: list[tuple[str, str]] = []
    for key in (id_of(name, known, what="event source") for name in names):
        for one in found[key].get("sourceDevices") or ():
            pairs.append((one["deviceId"], one["eventTemplateId"]))
        for one in found[key].get("sourceDeviceTemplates") or ():
            async for page in client.devices({"template_id": one["deviceTemplateId"]}):
                pairs += [(device.id, one["eventTemplateId"]) for device in page]
    return pairs


def _listed(values: Sequence[str]) -> str:
    return "(" + ", ".join("'" + value.replace("'", "''") + "'" for value in values or [""]) + ")"
