"""Writes what lies between objects: collection contents, relations, and entries of the history.

The target id of a link is its parts with slashes, so that a deleted row still says what to undo. An unanswered call is
settled by reading the object itself, not the index.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from commerce_sync.mapping import Target
from commerce_sync.systems.answers import UnknownOutcomeError
from commerce_sync.systems.iconik import catalogue
from commerce_sync.systems.iconik.client import IconikClient
from commerce_sync.systems.iconik.targets import NEEDED, Change, Done, WriteOptions, incomplete, without_target

REFERENCE = uuid.UUID("5d1f6c2e-6a0b-5f0e-9a3c-3c8f6f0f7b11")
"""Namespace of the references in history entries."""


class LinkWriter:
    """Membership of a collection, or a relation between two assets."""

    def __init__(self, client: IconikClient, target: Target, options: WriteOptions) -> None:
        self._client = client
        self._object = target.object
        self._default_kind = options.object_type
        self._deletes = target.on_delete == "delete"

    async def prepare(self, changes: Sequence[Change]) -> None:
        """Nothing to look up."""

    async def send(self, change: Change) -> Done:
        """Make the link; a changed row also ends the link it stood for before."""
        parts = self._parts(change)
        try:
            await self._add(*parts)
        except UnknownOutcomeError:
            if not await self._is_there(*parts):
                await self._add(*parts)
        made = "/".join(parts)
        if change.target_id and change.target_id != made:
            await self._take(*change.target_id.split("/"))
        return Done(made, created=change.target_id is None)

    async def remove(self, change: Change) -> Done:
        """End the link; one that has gone is fine."""
        if not self._deletes:
            return Done(change.target_id, code="ignored")
        if change.target_id is None:
            raise without_target(change)
        await self._take(*change.target_id.split("/"))
        return Done(change.target_id)

    def _parts(self, change: Change) -> tuple[str, str, str]:
        if empty := [name for name in NEEDED[self._object] if not change.values.get(name)]:
            raise incomplete(change, empty)
        values = change.values
        if self._object == "relations":
            return values["asset_id"], values["relation_type"], values["related_to_asset_id"]
        return values["collection_id"], values.get("object_type") or self._default_kind, values["object_id"]

    async def _add(self, first: str, second: Any, third: str) -> None:
        if self._object == "relations":
            await catalogue.relate(self._client, first, second, third)
        else:
            await catalogue.put_into(self._client, first, second, third)

    async def _take(self, first: str, second: Any, third: str) -> None:
        if self._object == "relations":
            await catalogue.unrelate(self._client, first, second, third)
        else:
            await catalogue.take_out(self._client, first, second, third)

    async def _is_there(self, first: str, second: Any, third: str) -> bool:
        if self._object == "relations":
            return third in await catalogue.related(self._client, first, second)
        return first in (await catalogue.holders(self._client, second, third) or [])


class HistoryWriter:
    """CUSTOM entries in the audit trail of assets, each written once.

    An entry carries a reference made of the row's key and fingerprint; it is looked for before anything is written.
    """

    def __init__(self, client: IconikClient) -> None:
        self._client = client

    async def prepare(self, changes: Sequence[Change]) -> None:
        """Nothing to look up."""

    async def send(self, change: Change) -> Done:
        """Write the entry unless it is there."""
        if empty := [name for name in NEEDED["history"] if not change.values.get(name)]:
            raise incomplete(change, empty)
        asset_id, text = str(change.values["asset_id"]), str(change.values["operation_description"])
        return await note_once(self._client, change, asset_id=asset_id, text=text)

    async def remove(self, change: Change) -> Done:
        """What happened has happened: entries stay."""
        return Done(change.target_id, code="ignored")


async def note_once(client: IconikClient, change: Change, *, asset_id: str, text: str) -> Done:
    """A CUSTOM entry about a change in an asset's history, unless it is there."""
    reference = reference_of(change)
    if known := await _find(client, asset_id, reference):
        return Done(known, created=False)
    try:
        made = await catalogue.add_history(client, asset_id, f"{text} [{reference}]")
    except UnknownOutcomeError:
        known = await _find(client, asset_id, reference)
        made = {"id": known} if known else await catalogue.add_history(client, asset_id, f"{text} [{reference}]")
    return Done(made["id"], created=True)


async def _find(client: IconikClient, asset_id: str, reference: str) -> str | None:
    rows = await catalogue.history(client, asset_id, operation_type="CUSTOM")
    return next((row["id"] for row in rows if reference in (row.get("operation_description") or "")), None)


def reference_of(change: Change) -> str:
    """``ref 1a2b3c4d5e6f``: the same for the same row with the same values."""
    return f"ref {uuid.uuid5(REFERENCE, f'{change.key} {change.fingerprint}').hex[:12]}"
