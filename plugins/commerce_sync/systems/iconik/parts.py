"""The nested parts of an asset or collection, alike whether they come from the search or from their resource."""

from __future__ import annotations

import asyncio
from typing import Any

from commerce_sync.systems.iconik import catalogue, media, metadata
from commerce_sync.systems.iconik.catalogue import Kind
from commerce_sync.systems.iconik.client import IconikClient, Row

OF_VERSION = ("formats", "files", "proxies", "keyframes", "subtitles")
GONE = ("DELETED",)


class Parts:
    """Reads and settles the parts of objects of one kind. ``view_id``: of the metadata column, if there is one."""

    def __init__(self, client: IconikClient, kind: Kind, wanted: tuple[str, ...], *, view_id: str | None) -> None:
        self._client = client
        self._kind = kind
        self._wanted = wanted
        self._view_id = view_id
        self._collections: dict[str, asyncio.Task[Row | None]] = {}
        self._types: asyncio.Task[list[str]] | None = None

    async def complete(self, row: Row, *, direct: tuple[str, ...]) -> Row | None:
        """The row with its parts settled; ``direct`` ones are read from their resource. None when it has gone."""
        found = dict(row)
        for name in direct:
            value = await self._read(name, row)
            if value is None:
                return None
            found[name] = value
        latest = catalogue.latest_version(row)
        found["latest_version"] = latest
        if "metadata" in self._wanted:
            # Search documents leave unset fields out, the view names them all.
            found["metadata"] = {field: listed for field, listed in (found.get("metadata") or {}).items() if listed}
        if "collections" in self._wanted:
            found["collections"] = await self._titled(row.get("in_collections") or [])
        if "approval" in self._wanted:
            found["approval"] = found.get("approval") or dict(catalogue.NO_APPROVAL)
        for name in OF_VERSION:
            if name in self._wanted:
                found[name] = _of_latest(found.get(name) or [], latest)
        return found

    async def _read(self, name: str, row: Row) -> Any:
        key = row["id"]
        if name == "metadata":
            assert self._view_id is not None
            return await metadata.values(self._client, self._kind, key, self._view_id)
        if name == "approval":
            return await catalogue.approval(self._client, self._kind, key)
        if name == "relations":
            return await self._relations(key)
        return await media.parts(self._client, key, name)  # type: ignore[arg-type]

    async def _relations(self, key: str) -> list[Row]:
        if self._types is None:
            self._types = asyncio.ensure_future(catalogue.relation_types(self._client))
        found: list[Row] = []
        for name in await self._types:
            for other in await catalogue.related(self._client, key, name):
                found.append({"related_from_asset_id": key, "related_to_asset_id": other, "relation_type": name})
        return found

    async def _titled(self, keys: list[str]) -> list[Row]:
        """Collections by id; each is read once per run, deleted ones are left out."""
        for key in keys:
            if key not in self._collections:
                self._collections[key] = asyncio.ensure_future(catalogue.read(self._client, "collections", key))
        found = [await self._collections[key] for key in sorted(keys)]
        return [row for row in found if row is not None and row.get("status") != catalogue.DELETED]


def _of_latest(rows: list[Row], latest: Row | None) -> list[Row]:
    """What belongs to the latest version and is not deleted, by id; addresses only where they last."""
    current = latest["id"] if latest else None
    kept = [
        row
        for row in rows
        if row.get("status") not in GONE and (row.get("version_id") in (None, current) or current is None)
    ]
    return [_lasting(row) for row in sorted(kept, key=lambda row: str(row.get("id")))]


def _lasting(row: Row) -> Row:
    return row if row.get("is_public") else {name: value for name, value in row.items() if name != "url"}
