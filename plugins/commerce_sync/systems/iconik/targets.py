"""What a target may say about iconik: its objects, options and fields; a change as the writers take it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Protocol

from commerce_sync.errors import ConfigurationError
from commerce_sync.mapping import Field, Target
from commerce_sync.systems.iconik import catalogue
from commerce_sync.systems.iconik.catalogue import KINDS, Kind
from commerce_sync.systems.iconik.client import IconikClient, Row
from commerce_sync.systems.iconik.reasons import NOT_FOUND, IconikRefusal

Sleep = Callable[[float], Awaitable[None]]
METADATA = "metadata."
"""Prefix of metadata fields in the targets ``assets`` and ``collections``."""
OBJECTS = ("assets", "collections", "metadata", "collection_contents", "relations", "history")
WRITABLE: dict[str, tuple[str, ...]] = {
    "assets": (
        "id", "external_id", "title", "category", "external_link", "status", "archive_status", "is_blocked", "warning",
        "site_name", "custom_keyframe", "custom_poster", "collection_id", "type",
    ),
    "collections": (
        "id", "external_id", "title", "parent_id", "category", "status", "storage_id", "custom_keyframe",
        "custom_poster", "keyframe_asset_ids",
    ),
    "collection_contents": ("collection_id", "object_id", "object_type"),
    "relations": ("asset_id", "relation_type", "related_to_asset_id"),
    "history": ("asset_id", "operation_description"),
}  # fmt: skip
NEEDED: dict[str, tuple[str, ...]] = {
    "collection_contents": ("collection_id", "object_id"),
    "relations": WRITABLE["relations"],
    "history": WRITABLE["history"],
}
IDENTITIES = ("id", "external_id")


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """``options`` of a target.

    view: metadata view (id or name) of metadata fields; default: the connection's.   object_type: what ``metadata``
    and ``collection_contents`` are about.   type: of assets that are created.   settle_s: how long the index may take
    to show a write; a look-up that finds nothing is repeated after it before anything is created.
    ignore_unchanged: ask iconik not to touch equal metadata values.   concurrency: objects written at once.
    at_creation: fields of ``assets`` and ``collections`` that are only written when an object is made.   over: field ->
    value -> the values it may replace on an object that is there ('' for none); other values of the field always are
    written.   only_active: read each object before its metadata is written, and reject the row when it is deleted.
    history: text of a CUSTOM entry in the history of every asset whose metadata was written.
    """

    view: str | None = None
    object_type: Kind = "assets"
    type: str = "PLACEHOLDER"
    settle_s: float = 10.0
    ignore_unchanged: bool = True
    concurrency: int = 8
    at_creation: list[str] = field(default_factory=list)
    over: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    only_active: bool = False
    history: str | None = None

    @classmethod
    def of(cls, target: Target) -> WriteOptions:
        """Validate a target. Raises ConfigurationError naming the legal objects and options."""
        if target.object not in OBJECTS:
            raise ConfigurationError(f"iconik has no target {target.object!r}; legal: {', '.join(OBJECTS)}")
        legal = [item.name for item in fields(cls)]
        if unknown := sorted(set(target.options) - set(legal)):
            raise ConfigurationError(
                f"options of target {target.object!r} have unknown {unknown}; legal: {', '.join(legal)}"
            )
        found = cls(**target.options)
        if found.object_type not in KINDS:
            raise ConfigurationError(f"target option object_type is {found.object_type!r}; legal: {', '.join(KINDS)}")
        if not isinstance(found.concurrency, int) or not 1 <= found.concurrency <= 32:
            raise ConfigurationError(f"target option concurrency is {found.concurrency!r}; legal: 1 to 32")
        return found

    def kind(self, target: Target) -> Kind:
        """Whether the target's objects are assets or collections."""
        return target.object if target.object in KINDS else self.object_type


@dataclass(frozen=True, slots=True)
class Change:
    """One row of a change batch. ``values``: what to send; None clears, a field that is left alone is not there."""

    key: str
    kind: str
    fingerprint: int
    target_id: str | None
    values: Row = field(repr=False)


@dataclass(frozen=True, slots=True)
class Done:
    """A delivered change."""

    target_id: str | None
    created: bool | None = None
    code: str | None = None


class Writer(Protocol):
    """Writes the changes of one kind of target, one by one."""

    async def prepare(self, changes: Sequence[Change]) -> None:
        """Look up what the changes need, all at once."""

    async def send(self, change: Change) -> Done:
        """Bring one object to the change's values."""

    async def remove(self, change: Change) -> Done:
        """Do what ``on_delete`` says with an object whose source has gone."""


def changes_of(rows: Iterable[Row], mapped: Sequence[Field]) -> list[Change]:
    """Rows of a change batch as changes; ``on_null: leave`` and the names in ``_leave`` are not sent."""
    return [
        Change(row["_key"], row["_kind"], row["_fingerprint"] or 0, row["_target_id"], _values(row, mapped))
        for row in rows
    ]


def _values(row: Row, mapped: Sequence[Field]) -> Row:
    if row["_kind"] == "DELETED":
        return {}
    left = set(row.get("_leave") or ())
    return {
        item.name: row[item.name]
        for item in mapped
        if item.name not in left and not (row[item.name] is None and item.on_null == "leave")
    }


def deletion_values(target: Target) -> Row | None:
    """``on_delete`` as field -> SQL literal: the values it stands for."""
    if not isinstance(target.on_delete, dict):
        return None
    import duckdb

    return {name: duckdb.execute(f"SELECT {text}").fetchall()[0][0] for name, text in target.on_delete.items()}


class Finder:
    """Ids of live objects by external id. The search knows them with a delay; what this load creates is noted here."""

    def __init__(self, client: IconikClient, kind: Kind, *, settle_s: float, sleep: Sleep) -> None:
        self.kind = kind
        self._client = client
        self._settle_s = settle_s
        self._sleep = sleep
        self._ids: dict[str, list[str]] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def learn(self, values: Iterable[str], *, patient: bool) -> None:
        """Look these up; ``patient``: those not found once more after the index had time to show the latest writes."""
        wanted = [value for value in dict.fromkeys(values) if value not in self._ids]
        await self._look(wanted)
        missing = [value for value in wanted if value not in self._ids]
        if patient and missing:
            await self._sleep(self._settle_s)
            await self._look(missing)

    async def _look(self, wanted: list[str]) -> None:
        for value, rows in (await catalogue.find_by_external_id(self._client, self.kind, wanted)).items():
            live = [row["id"] for row in rows if await self._is_live(row["id"], value)]
            if live:
                self._ids[value] = live

    async def _is_live(self, key: str, value: str) -> bool:
        """A hit of the search is a hint: the object itself has to agree."""
        found = await catalogue.read(self._client, self.kind, key)
        return found is not None and found.get("status") != catalogue.DELETED and found.get("external_id") == value

    def id_of(self, value: str) -> str | None:
        """The id, None when nobody has this external id. Raises IconikRefusal when several have."""
        found = self._ids.get(value, [])
        if len(found) > 1:
            raise IconikRefusal(
                f"{len(found)} {self.kind} have the external id {value!r}: {', '.join(found)}; remove or rename all "
                "but one in iconik",
                code="ambiguous_external_id",
                reason_class="duplicate",
                fields=("external_id",),
            )
        return found[0] if found else None

    def note(self, value: str, key: str) -> None:
        """Remember what this load has created."""
        self._ids[value] = [key]

    def forget(self, value: str) -> None:
        """It turned out to be gone."""
        self._ids.pop(value, None)

    def lock(self, value: str) -> asyncio.Lock:
        """One at a time per external id."""
        return self._locks.setdefault(value, asyncio.Lock())


class Lookups:
    """Fields that name an asset or a collection by external id: ``lookup: collections.external_id``."""

    def __init__(self, client: IconikClient, mapped: Sequence[Field], *, settle_s: float, sleep: Sleep) -> None:
        self._finders = {}
        for item in mapped:
            if item.lookup is None:
                continue
            if item.lookup.object not in KINDS or item.lookup.external_id != "external_id":
                raise ConfigurationError(
                    f"field {item.name!r} looks up {item.lookup.object}.{item.lookup.external_id}; "
                    "legal: assets.external_id, collections.external_id"
                )
            self._finders[item.name] = Finder(client, item.lookup.object, settle_s=settle_s, sleep=sleep)

    async def prepare(self, changes: Sequence[Change]) -> None:
        """Look up every value; what another leg made a moment ago may not be in the index yet."""
        for name, finder in self._finders.items():
            await finder.learn(named(changes, name), patient=True)

    def resolved(self, change: Change) -> Change:
        """The change with ids. Raises IconikRefusal (reference) for a value nobody has."""
        values = dict(change.values)
        for name, finder in self._finders.items():
            if values.get(name) is None:
                continue
            found = finder.id_of(str(values[name]))
            if found is None:
                raise IconikRefusal(
                    f"{name}: no {finder.kind} with external id {values[name]!r}",
                    code=NOT_FOUND,
                    reason_class="reference",
                    fields=(name,),
                )
            values[name] = found
        return Change(change.key, change.kind, change.fingerprint, change.target_id, values)


def absent(what: str, key: Any) -> IconikRefusal:
    """A refusal because an object is not there."""
    return IconikRefusal(f"{what} {key} is not in iconik (any more)", code=NOT_FOUND, reason_class="reference")


def without_target(change: Change) -> IconikRefusal:
    """A refusal because nobody knows which object to delete."""
    return IconikRefusal(
        f"{change.key} is to be deleted but its id in iconik is not known",
        code="missing_target_id",
        reason_class="reference",
    )


def incomplete(change: Change, names: Sequence[str]) -> IconikRefusal:
    """A refusal because the row lacks what it is about."""
    return IconikRefusal(
        f"{change.key} has no {', '.join(names)}", code="incomplete", reason_class="validation", fields=tuple(names)
    )


def named(changes: Iterable[Change], name: str) -> list[str]:
    """The values of one field, without the empty ones."""
    return [str(change.values[name]) for change in changes if change.values.get(name) is not None]
