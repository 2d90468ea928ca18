"""Writes assets, collections and metadata values.

Creating is look up, then create with the external id in the same call: iconik keeps no external id unique. An
unanswered creation is settled by looking it up again, not by hoping.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from commerce_sync.mapping import Field, Target
from commerce_sync.systems.answers import UnknownOutcomeError
from commerce_sync.systems.iconik import careful, catalogue, metadata
from commerce_sync.systems.iconik.client import IconikClient, Row
from commerce_sync.systems.iconik.links import note_once
from commerce_sync.systems.iconik.metadata import View
from commerce_sync.systems.iconik.reasons import IconikRefusal
from commerce_sync.systems.iconik.targets import (
    METADATA,
    Change,
    Done,
    Finder,
    WriteOptions,
    absent,
    deletion_values,
    incomplete,
    named,
    without_target,
)

ONLY_AT_CREATION = ("collection_id", "type", "id")


class ObjectWriter:
    """Assets and collections: created when missing, else only what differs is written.

    view: of the fields called ``metadata.<name>``, None when there are none.
    """

    def __init__(
        self, client: IconikClient, target: Target, options: WriteOptions, finder: Finder, *, view: View | None
    ) -> None:
        self._client = client
        self._kind = options.kind(target)
        self._by = target.external_id
        self._options = options
        self._finder = finder
        self._view = view
        self._deletes = target.on_delete == "delete"
        self._clearing = deletion_values(target)

    async def prepare(self, changes: Sequence[Change]) -> None:
        """Find out which of the new ones are there already."""
        if self._by == "id":
            return
        unknown = [change for change in changes if change.kind != "DELETED" and not change.target_id]
        await self._finder.learn(named(unknown, self._by), patient=True)

    async def send(self, change: Change) -> Done:
        """Create the object or write what differs, then its metadata."""
        if self._by == "id":
            stored = await self._existing(change.values.get("id") or change.target_id)
            return await self._write(stored, change.values, created=False)
        if change.values.get(self._by) is None:
            raise incomplete(change, [self._by])
        value = str(change.values[self._by])
        async with self._finder.lock(value):
            key = change.target_id or self._finder.id_of(value)
            found = await catalogue.read(self._client, self._kind, key) if key else None
            if found is None and change.target_id:
                found = await self._again(value)
            if found is not None:
                self._refuse_deleted(found)
                return await self._write(found, change.values, created=False)
            made = await self._create(value, change.values)
            self._finder.note(value, made["id"])
            return await self._write(made, change.values, created=True)

    async def _existing(self, key: Any) -> Row:
        found = await catalogue.read(self._client, self._kind, str(key)) if key else None
        if found is None:
            raise absent(self._kind.removesuffix("s"), key)
        self._refuse_deleted(found)
        return found

    async def _again(self, value: str) -> Row | None:
        """What the ledger knew was purged; somebody may have made it anew."""
        await self._finder.learn([value], patient=True)
        key = self._finder.id_of(value)
        return await catalogue.read(self._client, self._kind, key) if key else None

    def _refuse_deleted(self, found: Row) -> None:
        if found.get("status") == catalogue.DELETED:
            raise IconikRefusal(
                f"{self._kind.removesuffix('s')} {found['id']} was deleted in iconik; restore it there, or purge it to "
                "have a new one made",
                code="deleted_in_iconik",
                reason_class="reference",
            )

    async def _create(self, value: str, values: Row) -> Row:
        try:
            return await self._post(values)
        except UnknownOutcomeError:
            self._finder.forget(value)
            await self._finder.learn([value], patient=True)
            key = self._finder.id_of(value)
            found = await catalogue.read(self._client, self._kind, key) if key else None
            return found or await self._post(values)

    async def _post(self, values: Row) -> Row:
        body = {name: item for name, item in self._own(values).items() if item is not None and name != "id"}
        params = {}
        if self._kind == "assets":
            body = {"type": self._options.type} | body
            params = {"assign_to_collection": "true"} if body.get("collection_id") else {}
        return await catalogue.create(self._client, self._kind, body, **params)

    async def _write(self, stored: Row, values: Row, *, created: bool) -> Done:
        if not created:
            values = await careful.allowed(
                self._client, self._kind, stored, values, options=self._options, view=self._view
            )
        differing = {
            name: item
            for name, item in self._own(values).items()
            if name not in ONLY_AT_CREATION and stored.get(name) != item
        }
        if differing:
            await catalogue.change(self._client, self._kind, stored["id"], differing)
        fields = {name.removeprefix(METADATA): item for name, item in values.items() if name.startswith(METADATA)}
        if fields and self._view:
            await write_values(self._client, self._kind, stored["id"], self._view, fields, self._options)
        return Done(stored["id"], created)

    def _own(self, values: Row) -> Row:
        return {name: item for name, item in values.items() if not name.startswith(METADATA)}

    async def remove(self, change: Change) -> Done:
        """Delete, or set the values of ``on_delete``; an object that has gone is fine."""
        if not self._deletes and self._clearing is None:
            return Done(change.target_id, code="ignored")
        if change.target_id is None:
            raise without_target(change)
        if self._clearing is None:
            await catalogue.delete(self._client, self._kind, change.target_id)
            return Done(change.target_id)
        found = await catalogue.read(self._client, self._kind, change.target_id)
        if found is not None and found.get("status") != catalogue.DELETED:
            await self._write(found, self._clearing, created=False)
        return Done(change.target_id)


class MetadataWriter:
    """Values of one view on existing assets or collections."""

    def __init__(
        self, client: IconikClient, target: Target, options: WriteOptions, finder: Finder, *, view: View,
        mapped: Sequence[Field],
    ) -> None:  # fmt: skip
        self._client = client
        self._kind = options.kind(target)
        self._by = target.external_id
        self._options = options
        self._finder = finder
        self._view = view
        self._deletes = target.on_delete == "delete"
        cleared = {item.name: None for item in mapped if item.name != self._by}
        self._clearing = cleared if self._deletes else deletion_values(target)

    async def prepare(self, changes: Sequence[Change]) -> None:
        """Find the objects the values are about."""
        if self._by == "id":
            return
        unknown = [change for change in changes if change.kind != "DELETED" and not change.target_id]
        await self._finder.learn(named(unknown, self._by), patient=True)

    async def send(self, change: Change) -> Done:
        """Overwrite the mapped fields."""
        value = change.values.get(self._by)
        if value is None:
            raise incomplete(change, [self._by])
        key = change.target_id or (str(value) if self._by == "id" else self._finder.id_of(str(value)))
        if not key:
            raise absent(f"{self._kind.removesuffix('s')} with {self._by}", value)
        if self._options.only_active:
            await careful.refuse_gone(self._client, self._kind, key)
        fields = {name: value for name, value in change.values.items() if name != self._by}
        if fields:
            await write_values(self._client, self._kind, key, self._view, fields, self._options)
        if self._options.history and self._kind == "assets":
            await note_once(self._client, change, asset_id=key, text=self._options.history)
        return Done(key, created=False)

    async def remove(self, change: Change) -> Done:
        """Clear the mapped fields (``delete``) or set those of ``on_delete``; an object that has gone is fine."""
        if self._clearing is None:
            return Done(change.target_id, code="ignored")
        if change.target_id is None:
            raise without_target(change)
        if await catalogue.read(self._client, self._kind, change.target_id) is not None:
            await write_values(self._client, self._kind, change.target_id, self._view, self._clearing, self._options)
        return Done(change.target_id)


async def write_values(
    client: IconikClient, kind: catalogue.Kind, key: str, view: View, fields: Row, options: WriteOptions
) -> None:
    """Overwrite fields of a view (None clears one), add to those named ``x.add``, take out of ``x.remove``."""
    for part in careful.passes(fields):
        entries = {name: metadata.entry(value, view.fields[name], mode=mode) for name, (mode, value) in part.items()}
        await metadata.put(client, kind, key, view.id, entries, ignore_unchanged=options.ignore_unchanged)
