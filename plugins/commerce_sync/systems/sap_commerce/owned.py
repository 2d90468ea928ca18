"""Collections of which only some elements are ours: groups of a customer that the CRM assigns beside the shop's own.

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
        self._keys = {name: self._key(schema, schema.entity(entity_set), name) for name in patterns}
        emptied = deletion if isinstance(deletion, Mapping) else {}
        self.emptied: dict[str, Any] = {name: [] for name in patterns if name in emptied}

    @property
    def names(self) -> frozenset[str]:
        """Names of the owned collections."""
        return frozenset(self._patterns)

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
        entity = await client.get(self._set, key, expand=",".join(wanted))
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
        held = [item[key] for item in (entity.get(name) or {}).get("results", [])]
        asked = {item[key] if isinstance(item, dict) else item for item in wanted}
        stay = [item for item in held if item in asked or not fnmatchcase(str(item), self._patterns[name])]
        return [{key: item} for item in stay] if len(stay) < len(held) else None
