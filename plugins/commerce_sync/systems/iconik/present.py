"""What iconik has now, for comparing both sides; and what of a mapping it would refuse, for the check."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from commerce_sync.errors import ConfigurationError, RejectedError
from commerce_sync.mapping import Field, Source, Target
from commerce_sync.systems.iconik import careful, catalogue, columns, metadata
from commerce_sync.systems.iconik.catalogue import KINDS
from commerce_sync.systems.iconik.client import IconikClient, Row
from commerce_sync.systems.iconik.metadata import View
from commerce_sync.systems.iconik.sources import Reading
from commerce_sync.systems.iconik.targets import IDENTITIES, METADATA, NEEDED, WRITABLE, Finder, WriteOptions

TARGET_KEY = "_target_key"
SHORTEST_OVERLAP_S = 60.0
"""A delta that looks back less far than this may lose what the index showed late."""


def metadata_names(target: Target, fields: Sequence[Field]) -> dict[str, str]:
    """Mapped field -> metadata field, for those that are metadata."""
    if target.object == "metadata":
        return {item.name: careful.split(item.name)[0] for item in fields if item.name != target.external_id}
    if target.object in KINDS:
        return {item.name: item.name.removeprefix(METADATA) for item in fields if item.name.startswith(METADATA)}
    return {}


def writes_metadata(target: Target, fields: Sequence[Field]) -> bool:
    """Whether the target needs a metadata view."""
    clears = isinstance(target.on_delete, dict) and any(name.startswith(METADATA) for name in target.on_delete)
    return target.object == "metadata" or clears or bool(metadata_names(target, fields))


def mapping_problems(target: Target, fields: Sequence[Field], view: View | None) -> list[str]:
    """One sentence per fault of a mapping that no data is needed to see."""
    names = [item.name for item in fields]
    found = [
        f"no field {name!r} is mapped, it is needed" for name in NEEDED.get(target.object, ()) if name not in names
    ]
    if target.object not in NEEDED:
        found += _identity_problems(target, names)
    own = [name for name in names if name not in metadata_names(target, fields)]
    legal = IDENTITIES if target.object == "metadata" else WRITABLE[target.object]
    found += [f"{name!r} is no writable field; legal: {', '.join(legal)}" for name in own if name not in legal]
    for field, name in metadata_names(target, fields).items():
        found += _view_problems(field, name, view)
    return found + _option_problems(target, names) + _deletion_problems(target, legal, view)


def _option_problems(target: Target, names: list[str]) -> list[str]:
    options = WriteOptions.of(target)
    given = {"at_creation": options.at_creation, "over": list(options.over)}
    return [
        f"option {option} names {name!r}, which is no mapped field; there are: {', '.join(names)}"
        for option, listed in given.items()
        for name in listed
        if name not in names
    ]


def _deletion_problems(target: Target, legal: Sequence[str], view: View | None) -> list[str]:
    """What ``on_delete`` asks for that the target cannot do."""
    if target.object == "history" and target.on_delete != "ignore":
        return ["on_delete must be 'ignore': entries of the history stay"]
    if not isinstance(target.on_delete, dict):
        return []
    if target.object in NEEDED:
        return [f"on_delete is {target.on_delete}; a link can only be ended: delete, or ignore"]
    is_metadata = target.object == "metadata"
    found = []
    for name in target.on_delete:
        if is_metadata or name.startswith(METADATA):
            found += _view_problems(name, name.removeprefix(METADATA), view)
        elif name not in legal:
            found.append(f"on_delete sets {name!r}, which is no writable field; legal: {', '.join(legal)}")
    return found


def _identity_problems(target: Target, names: list[str]) -> list[str]:
    if target.external_id not in IDENTITIES:
        return [f"external_id is {target.external_id!r}; legal: {', '.join(IDENTITIES)}"]
    if target.external_id not in names:
        return [f"external_id {target.external_id!r} is not among the mapped fields"]
    if target.object in KINDS and target.external_id == "external_id" and "title" not in names:
        return ["'title' is not mapped; iconik demands it of everything that is created"]
    return []


def _view_problems(field: str, name: str, view: View | None) -> list[str]:
    if view is None or name not in view.fields:
        known = f"view {view.name!r} has: {view.legal()}" if view else "no view is named"
        return [f"{field!r} is no metadata field ({known})"]
    if view.fields[name].get("auto_set"):
        return [f"{field!r} is set by iconik itself"]
    return []


def gone(target: Target, fields: Sequence[Field], view: View | None) -> list[str]:
    """One sentence per mapped metadata field that the view does not have, or that nobody may write."""
    named = metadata_names(target, fields)
    return [text for field, name in named.items() for text in _view_problems(field, name, view)]


async def problems(client: IconikClient, target: Target, fields: Sequence[Field], view: View | None) -> list[str]:
    """What iconik would refuse of a mapping, one sentence each; empty when all is well."""
    found = mapping_problems(target, fields, view)
    if target.object == "relations" and not await catalogue.relation_types(client):
        found.append("the domain has no relation types; create one first")
    return found


def source_problems(source: Source, view: View | None) -> list[str]:
    """What is wrong with a source, one sentence each; empty when all is well."""
    try:
        reading = Reading.of(source)
        if "metadata" in reading.parts:
            if view is None:
                return [f"source {source.name!r} reads metadata but names no view; give options.view"]
            reading.check_view(view)
    except ConfigurationError as error:
        return [str(error)]
    if source.modified and source.overlap.total_seconds() < SHORTEST_OVERLAP_S:
        return [f"source {source.name!r}: an overlap of {source.overlap} is shorter than the index may lag (1 min)"]
    return []


async def current(
    client: IconikClient, target: Target, fields: Sequence[Field], keys: Sequence[str], *, types: dict[str, str],
    view: View | None,
) -> pa.Table:  # fmt: skip
    """Values that iconik has now: a row with ``_target_key`` and the fields for each key that is there.

    keys: values of the target's ``external_id``.   types: field -> DuckDB type.   A lookup comes as the external id
    of what it points to. Keys that nobody or several objects have are absent; writing refuses the latter as well.
    """
    options = WriteOptions.of(target)
    if target.object not in (*KINDS, "metadata"):
        raise ConfigurationError(f"target {target.object!r} has no values to compare; only objects and metadata have")
    finder = Finder(client, options.kind(target), settle_s=0, sleep=asyncio.sleep)
    if target.external_id != "id":
        await finder.learn(keys, patient=False)
    slots = asyncio.Semaphore(options.concurrency)

    async def one(key: str) -> Row | None:
        async with slots:
            found = key if target.external_id == "id" else _only(finder, key)
            values = await _values(client, target, fields, str(found), options, view) if found else None
            return None if values is None else {TARGET_KEY: key, "id": found} | values

    rows = [row for row in await asyncio.gather(*(one(key) for key in dict.fromkeys(keys))) if row is not None]
    return columns.table(rows, {TARGET_KEY: "VARCHAR"} | {item.name: types[item.name] for item in fields})


def _only(finder: Finder, key: str) -> str | None:
    try:
        return finder.id_of(key)
    except RejectedError:
        return None


async def _values(
    client: IconikClient, target: Target, fields: Sequence[Field], key: str, options: WriteOptions, view: View | None
) -> Row | None:
    kind = options.kind(target)
    stored = await catalogue.read(client, kind, key)
    if stored is None or stored.get("status") == catalogue.DELETED:
        return None
    names = metadata_names(target, fields)
    listed = await metadata.values(client, kind, key, view.id) if view and names else {}
    found: Row = {item.name: stored.get(item.name) for item in fields if item.name not in names}
    for item in fields:
        if item.lookup is not None and found.get(item.name):
            found[item.name] = await _external_id(client, item.lookup.object, found[item.name])
    return found | {field: (listed or {}).get(name) or None for field, name in names.items()}


async def _external_id(client: IconikClient, kind: Any, key: str) -> str | None:
    found = await catalogue.read(client, kind, key)
    return None if found is None else found.get("external_id")
