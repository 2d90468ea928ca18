"""Collections of which only some elements are ours: groups the CRM assigns, media that were made from an archive.

A POST adds elements and never takes one out, a PATCH replaces them all. So what is no longer wanted is taken out of
what the collection holds now, and only elements whose key meets the leg's pattern are ever taken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from commerce_sync.errors import ConfigurationError, RejectedError
from commerce_sync.mapping import Field
from commerce_sync.systems.sap_commerce.client import SapCommerceClient
from commerce_sync.systems.sap_commerce.payload import LEAVE
from commerce_sync.systems.sap_commerce.schema import EntityType, Schema


class Owned:
    """The owned collections of one target. Raises ConfigurationError for what is no mapped collection with one key.

    patterns: collection -> pattern of our elements' keys.   deletion: the target's ``on_delete``; a collection it sets
    loses all our elements when a record is deleted.
    """

    def __init__(
        self,
        schema: Schema,
        entity_set: str,
        fields: Sequence[Field],
        *,
        patterns: Mapping[str, str],
        deletion: str | Mapping[str, str],
    ) -> None:
        self._set = entity_set
        self._patterns = patterns
        self._fields = {item.name: item for item in fields}
        self._schema = schema
        self._keys = {name: self._key(schema, schema.entity(entity_set), name) for name in patterns}
        self._types = {name: schema.types[schema.entity(entity_set).navigations[name].target] for name in patterns}
        emptied = deletion if isinstance(deletion, Mapping) else {}
        self.emptied: dict[str, Any] = {name: [] for name in patterns if name in emptied}

    @property
    def names(self) -> frozenset[str]:
        """Names of the owned collections."""
        return frozenset(self._patterns)

    @property
    def paths(self) -> list[str]:
        """What to expand to read the owned collections with the keys of their elements."""
        return [path for name in self._patterns for path in self._paths(name)]

    def _paths(self, name: str) -> list[str]:
        return [name, *key_paths(self._schema, self._types[name], at=f"{name}/")]

    def _key(self, schema: Schema, entity: EntityType, name: str) -> str:
        navigation = entity.navigations.get(name)
        keys = schema.types[navigation.target].key_properties if navigation and navigation.many else []
        if len(keys) != 1 or name not in self._fields:
            legal = [item.name for item in entity.navigations.values() if item.many and item.name in self._fields]
            raise ConfigurationError(
                f"target option owned: {name!r} is no mapped collection of {entity.name} whose elements have one key "
                f"property; mapped collections: {', '.join(legal) or 'none'}"
            )
        return keys[0]

    def wanted(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Owned collections this row decides on, with the elements it wants."""
        left = row.get(LEAVE) or ()
        names = [name for name in self._patterns if name not in left]
        return {
            name: row.get(name) or []
            for name in names
            if row.get(name) is not None or self._fields[name].on_null == "clear"
        }

    async def settle(
        self, client: SapCommerceClient, key: str, wanted: Mapping[str, Any], *, headers: Mapping[str, str]
    ) -> None:
        """Take our elements that are not wanted out of an entity's collections; nothing is sent when there are none.

        Raises RejectedError when the shop refuses, or the entity is gone.
        """
        paths = ",".join(path for name in wanted for path in self._paths(name))
        entity = await client.get(self._set, key, expand=paths)
        if entity is None:
            raise RejectedError(
                f"{self._set} {key!r} went away while it was written", code="not_found", reason_class="reference"
            )
        changes = {name: self._kept(name, entity, elements) for name, elements in wanted.items()}
        body = {name: kept for name, kept in changes.items() if kept is not None}
        if body:
            await client.update(self._set, key, body, headers=headers)

    def _kept(self, name: str, entity: Mapping[str, Any], wanted: Sequence[Any]) -> list[dict[str, Any]] | None:
        """The elements that stay, by their keys; None when all do."""
        key = self._keys[name]
        held = (entity.get(name) or {}).get("results", [])
        asked = {item[key] if isinstance(item, dict) else item for item in wanted}
        stay = [item for item in held if item[key] in asked or not fnmatchcase(str(item[key]), self._patterns[name])]
        return [self._named(self._types[name], item) for item in stay] if len(stay) < len(held) else None

    def completed(self, body: Mapping[str, Any], entity: Mapping[str, Any]) -> dict[str, Any]:
        """A body for a PATCH: owned collections with the elements of others that ``entity`` holds.

        A collection that already is as wanted is left out, so that what others do to it meanwhile stays.
        """
        merged = {name: self._merged(name, entity, body[name]) for name in self._patterns if name in body}
        unchanged = [name for name, elements in merged.items() if elements is None]
        return {name: value for name, value in {**body, **merged}.items() if name not in unchanged}

    def _merged(self, name: str, entity: Mapping[str, Any], wanted: Sequence[Mapping[str, Any]]) -> list[Any] | None:
        """All elements the collection shall have, in the order it has them, new ones last; None when it has them."""
        key, pattern, kind = self._keys[name], self._patterns[name], self._types[name]
        asked = {item[key]: item for item in wanted}
        before = {item[key]: self._named(kind, item) for item in (entity.get(name) or {}).get("results", [])}
        kept = {
            at: asked.get(at, item) for at, item in before.items() if at in asked or not fnmatchcase(str(at), pattern)
        }
        after = kept | asked
        return None if after == before else list(after.values())

    def _named(self, entity: EntityType, held: Mapping[str, Any]) -> dict[str, Any]:
        """An element as a reference to it: its key, nested where the key is."""
        name: dict[str, Any] = {item: held[item] for item in entity.key_properties}
        for item in entity.navigations.values():
            if item.unique and not item.many and held.get(item.name):
                name[item.name] = self._named(self._schema.types[item.target], held[item.name])
        return name


def key_paths(schema: Schema, entity: EntityType, *, at: str = "") -> list[str]:
    """Paths of the references that are part of a key, to any depth: ``catalogVersion``, ``catalogVersion/catalog``."""
    found = []
    for item in entity.navigations.values():
        if item.unique and not item.many:
            path = f"{at}{item.name}"
            found += [path, *key_paths(schema, schema.types[item.target], at=f"{path}/")]
    return found
