"""What the platform holds now of the fields a leg writes, by the target's external id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import pyarrow as pa

from commerce_sync.mapping import Field, Target
from commerce_sync.systems.opentext_iot import columns
from commerce_sync.systems.opentext_iot.client import IotClient
from commerce_sync.systems.opentext_iot.creating import MARK
from commerce_sync.systems.opentext_iot.documents import Device
from commerce_sync.systems.opentext_iot.loader import check_target
from commerce_sync.systems.opentext_iot.parts import session
from commerce_sync.systems.opentext_iot.rows import LoadOptions

HELD = pa.schema([("_target_key", pa.string()), ("held", pa.string())])


async def current(
    client: IotClient, target: Target, fields: Sequence[Field], keys: Sequence[str], *, types: Mapping[str, str]
) -> pa.Table:
    """One row per key that is there: ``_target_key``, then the fields with their types; absent ones have no row.

    Commands leave nothing behind that could be read: no rows. A tag that is a record of its own is keyed by
    ``<device id> <tag>``, as its target id is.
    """
    check_target(target)
    names = [item.name for item in fields if item.name in types]
    rows = [] if target.object == "commands" else await _rows(client, target, names, keys)
    nested = {name: f"json_extract(held, '$.\"{name}\"')" for name in names}
    projected = columns.projection({name: types[name] for name in names}, given={}, nested=nested, what=target.object)
    with session() as con:
        con.register("found", pa.Table.from_pylist(rows, HELD))
        listed = ", ".join(["_target_key", *([projected] if names else [])])
        table: pa.Table = con.sql(f"SELECT {listed} FROM found").to_arrow_table()
    return table


async def _rows(client: IotClient, target: Target, names: Sequence[str], keys: Sequence[str]) -> list[dict[str, Any]]:
    single = target.object == "device_tags" and "tag" in names
    devices = await _devices(client, target, [key.partition(" ")[0] if single else key for key in keys])
    prefixes = LoadOptions.of(target).prefixes
    rows = []
    for key in keys:
        device_key, _, tag = key.partition(" ") if single else (key, "", "")
        device = devices.get(device_key)
        if device is None or (single and tag not in device.tags):
            continue
        values = _values(target, device, names, prefixes) | ({"tag": tag} if single else {})
        values |= {"id": device.id, "serial": device.serial, target.external_id: device_key}
        rows.append({"_target_key": key, "held": msgspec.json.encode(values).decode()})
    return rows


async def _devices(client: IotClient, target: Target, keys: Sequence[str]) -> dict[str, Device]:
    """Devices by external id, or by their own; where several have a serial number, none is the one."""
    if target.external_id == "serial":
        found = await client.by_serial(list(dict.fromkeys(keys)))
        return {serial: devices[0] for serial, devices in found.items() if len(devices) == 1}
    read = {key: await client.device(key) for key in dict.fromkeys(keys)}
    return {key: device for key, device in read.items() if device is not None}


def _values(target: Target, device: Device, names: Sequence[str], prefixes: tuple[str, ...]) -> dict[str, Any]:
    if target.object == "device_attributes":
        return {name: device.attributes.get(name) for name in names}
    if target.object == "device_tags":
        return {"tags": sorted(tag for tag in device.tags if tag.startswith(prefixes))}
    description = MARK.sub("", device.description or "") or None
    return {"name": device.name, "description": description, "template": device.template_id}
