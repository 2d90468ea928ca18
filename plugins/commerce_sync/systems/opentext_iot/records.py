"""Extract of devices and device templates: whole lists, proven by count."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa

from commerce_sync.batches import BatchWriter
from commerce_sync.errors import RetryableError
from commerce_sync.mapping import Source
from commerce_sync.systems.opentext_iot.asked import Extracted, ReadOptions, id_of, select_list
from commerce_sync.systems.opentext_iot.client import IotClient
from commerce_sync.systems.opentext_iot.documents import Device, Document, moment_of, picked, text_of
from commerce_sync.systems.opentext_iot.parts import Parts

if TYPE_CHECKING:
    import duckdb

ATTEMPTS = 3
DEVICE_SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("id", "version", "name", "description", "template_id", "template")]
    + [("active", pa.bool_())]
    + [(name, pa.string()) for name in ("lifecycle", "status", "serial")]
    + [("tags", pa.list_(pa.string())), ("created", pa.timestamp("us")), ("updated", pa.timestamp("us"))]
    + [("attributes", pa.string())]
)
TEMPLATE_SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("id", "version", "name", "description")]
    + [("active", pa.bool_())]
    + [(name, pa.list_(pa.string())) for name in ("attribute_names", "event_types", "commands", "tags")]
    + [("created", pa.timestamp("us"))]
)


async def read_devices(
    client: IotClient, source: Source, options: ReadOptions, con: duckdb.DuckDBPyConnection,
    since: datetime | None, into: BatchWriter,
) -> Extracted:  # fmt: skip
    asks = source.modified is not None and "updated_since" in client.profile.device.filters
    query = await _device_query(client, options, since if asks else None)
    templates = await client.names("device_template")
    parts = Parts(into, key=source.key, part_rows=options.part_rows)
    newest: datetime | None = None

    async def read() -> None:
        nonlocal newest
        async for page in client.devices(query):
            newest = max((device.updated for device in page if device.updated), default=newest)
            _put(con, source, parts, pa.Table.from_pylist([_device_row(one, templates) for one in page], DEVICE_SCHEMA))

    counts = await _proven(client, "device", client.device_filter(query), read, parts)
    if parts.rows == 0:
        _put(con, source, parts, DEVICE_SCHEMA.empty_table())
    parts.flush()
    complete = "updated_since" not in query
    return Extracted(parts.rows, complete, newest if source.modified else None, client.calls, counts)


async def _device_query(client: IotClient, options: ReadOptions, since: datetime | None) -> dict[str, Any]:
    found: dict[str, Any] = {"tag": options.tag} if options.tag else {}
    if options.template:
        known = await client.names("device_template")
        found["template_id"] = id_of(options.template, known, what="device template")
    return found | ({"updated_since": since.astimezone(UTC).isoformat()} if since else {})


async def _proven(
    client: IotClient, kind: str, query: dict[str, Any], read: Callable[[], Awaitable[None]], parts: Parts
) -> dict[str, Any]:
    """Read until as many different records came as are counted; pages of a moving list may skip some."""
    before = await client.count(kind, query)
    for attempt in range(ATTEMPTS):
        known = parts.rows
        await read()
        after = await client.count(kind, query)
        if before is None or after is None:
            # Without a count only a second pass that brings nothing new shows that the list was seen whole.
            if attempt and parts.rows == known:
                return {"passes": attempt + 1}
        elif parts.rows >= max(before, after) or (attempt and before == after <= parts.rows):
            # While the list shrinks, its pages shift over records nobody has read: then it takes a second pass.
            return {"count_before": before, "count_after": after, "passes": attempt + 1}
        before = after
    raise RetryableError(
        f"read {parts.rows} of {after} documents ({kind}), {ATTEMPTS} times over: the list moves or pages are cut; "
        "nothing counts as read, try again"
    )


def _put(con: duckdb.DuckDBPyConnection, source: Source, parts: Parts, rows: pa.Table) -> None:
    con.register("found", rows)
    query = f"SELECT {select_list(source)}, hash(CAST({source.key} AS VARCHAR)) AS _hash FROM found"
    table: pa.Table = con.sql(query).to_arrow_table()
    parts.add(table.drop_columns(["_hash"]), table["_hash"].combine_chunks())


def _device_row(device: Device, templates: dict[str, str]) -> dict[str, Any]:
    return {
        "id": device.id, "version": device.version, "name": device.name, "description": device.description,
        "template_id": device.template_id, "template": templates.get(device.template_id or ""),
        "active": device.is_active, "lifecycle": device.lifecycle, "status": device.status, "serial": device.serial,
        "tags": sorted(device.tags), "created": _naive(device.created), "updated": _naive(device.updated),
        "attributes": msgspec.json.encode(device.attributes).decode(),
    }  # fmt: skip


def _naive(moment: datetime | None) -> datetime | None:
    return moment.astimezone(UTC).replace(tzinfo=None) if moment else None


async def read_templates(
    client: IotClient, source: Source, options: ReadOptions, con: duckdb.DuckDBPyConnection, into: BatchWriter
) -> Extracted:
    spec = client.profile.template
    names = {field_: await client.names(kind) for field_, kind in spec.names.items()}
    parts = Parts(into, key=source.key, part_rows=options.part_rows)

    async def read() -> None:
        rows = [_template_row(client, one, names) for one in await client.all("device_template")]
        _put(con, source, parts, pa.Table.from_pylist(rows, TEMPLATE_SCHEMA))

    counts = await _proven(client, "device_template", {}, read, parts)
    parts.flush()
    return Extracted(parts.rows, True, None, client.calls, counts)


def _template_row(client: IotClient, document: Document, names: dict[str, dict[str, str]]) -> dict[str, Any]:
    profile = client.profile
    spec = profile.template.fields

    def listed(name: str) -> list[str]:
        known = names.get(name, {})
        return sorted(known.get(str(one), str(one)) for one in picked(document, spec, name) or ())

    return {
        "id": str(picked(document, spec, "id")), "version": picked(document, spec, "version"),
        "name": text_of(picked(document, spec, "name"), profile.text),
        "description": text_of(picked(document, spec, "description"), profile.text),
        "active": picked(document, spec, "active") is True, "attribute_names": listed("attributes"),
        "event_types": listed("events"), "commands": listed("commands"), "tags": listed("tags"),
        "created": _naive(moment_of(picked(document, spec, "created"), profile.times)),
    }  # fmt: skip
