"""Targets with ``creates: false``: what the shop has is changed, nothing is made anew.

A POST creates what it does not find, a PATCH never does; so these rows are PATCHed, each by itself. The integration
key is the shop's to spell, so it is asked for: records are found by the parts of their key, many with one request. A
PATCH replaces collections, so the owned ones are read along and sent with the shop's own elements in them, and only
when ours changed. Source: fact sheet, 2.3 (keys are never rebuilt), 2.4 (filters), 2.6 (PATCH).

Limits of a PATCH: it cannot clear a reference (the shop refuses the row), and a localized null without a language
clears all languages.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from commerce_sync.errors import ConfigurationError, RejectedError
from commerce_sync.mapping import Field
from commerce_sync.systems.sap_commerce.batch import Operation
from commerce_sync.systems.sap_commerce.client import SapCommerceClient
from commerce_sync.systems.sap_commerce.owned import Owned, key_paths
from commerce_sync.systems.sap_commerce.protocol import entity_path, literal
from commerce_sync.systems.sap_commerce.schema import EntityType, Schema

NOT_IN_SHOP = "not_in_shop"
ABSENT = ("not_found", "http_404")
KEYS_PER_REQUEST = 20
_WHOLE = ("Edm.Int64", "Edm.Int32", "Edm.Int16", "Edm.Byte", "Edm.SByte")
_COMPARABLE = ("Edm.String", "Edm.Boolean", *_WHOLE)
Aimed = Operation | RejectedError
Identity = tuple[Any, ...]


class UpdateOnly:
    """Aims the writes of one target at records that are there. Raises ConfigurationError for what a PATCH would spoil.

    replaces: the target asked for it (``write: patch``), so collections need not be owned.
    """

    def __init__(
        self,
        schema: Schema,
        entity_set: str,
        fields: Sequence[Field],
        *,
        owned: Owned,
        replaces: bool,
        language: str | None,
    ) -> None:
        self._schema, self._set, self._owned = schema, entity_set, owned
        self._entity = schema.entity(entity_set)
        self._check_key()
        if not replaces:
            self._check_collections(fields)
        if language is None:
            self._check_localized(fields)

    def _check_key(self) -> None:
        types = [self._entity.properties[name].type for name in self._entity.key_properties]
        if not types or any(edm not in _COMPARABLE for edm in types):
            raise ConfigurationError(
                f"target option creates is false, but {self._entity.name} cannot be found by its key "
                f"{self._entity.alias or 'integrationKey'}: that needs key properties of its own which are text, whole "
                "numbers or booleans; let the leg create, or give the integration object such a key"
            )

    def _check_collections(self, fields: Sequence[Field]) -> None:
        many = {item.name for item in self._entity.navigations.values() if item.many}
        legal = self._owned.names - {"localizedAttributes"}
        for item in (item for item in fields if item.name in many and item.name not in legal):
            raise ConfigurationError(
                f"target option creates is false, so the collection {item.name!r} of {self._entity.name} would be "
                f"replaced; name ours in it with the option owned ({{{item.name}: pattern}}), or say write: patch"
            )

    def _check_localized(self, fields: Sequence[Field]) -> None:
        localized = {item.name for item in self._entity.properties.values() if item.localized}
        for item in (item for item in fields if item.name in localized and item.on_null == "clear"):
            raise ConfigurationError(
                f"target option creates is false, so a null in {item.name!r} of {self._entity.name} would clear it in "
                "all languages; set the option content_language, or on_null: leave for the field"
            )

    async def aimed(self, client: SapCommerceClient, operations: Sequence[Operation]) -> dict[str, Aimed]:
        """Operation id -> the PATCH of the record it means, or why there is none. Others are left out.

        operations: those with a path that names no record yet.   Raises RetryableError when the shop cannot be asked.
        """
        open_ = {item.id: item for item in operations if item.path == self._set}
        keys = {name: self._identity(self._entity, item.body or {}) for name, item in open_.items()}
        held = await self._held(client, [item for name, item in open_.items() if keys[name] is not None])
        return {name: self._aim(item, keys[name], held) for name, item in open_.items()}

    def _aim(self, operation: Operation, key: Identity | None, held: Mapping[Identity, Mapping[str, Any]]) -> Aimed:
        if key is None:
            parts = self._entity.alias or ", ".join(self._entity.key_properties)
            return RejectedError(
                f"the row has no value for a part of the key {parts}", code="missing_key", reason_class="validation"
            )
        if key not in held:
            return self.absent(operation)
        body = self._owned.completed(operation.body or {}, held[key])
        return replace(operation, path=entity_path(self._set, held[key]["integrationKey"]), body=body)

    def absent(self, operation: Operation) -> RejectedError:
        """The reason for a record that the shop does not have."""
        body = operation.body or {}
        key = ", ".join(f"{name} {body.get(name)!r}" for name in self._entity.key_properties)
        return RejectedError(
            f"the shop has no {self._entity.name} with {key} (any more): it was deleted there after it was last read, "
            "and this leg makes none (creates: false). Make it again in the shop, and the row arrives when it is "
            "offered again; or take it out of the source",
            code=NOT_IN_SHOP, reason_class="reference",
        )  # fmt: skip

    async def _held(
        self, client: SapCommerceClient, operations: Sequence[Operation]
    ) -> dict[Identity, Mapping[str, Any]]:
        """What the shop has of them, by identity. A filter may ignore case: the identity decides."""
        found: dict[Identity, Mapping[str, Any]] = {}
        expand = ",".join([*key_paths(self._schema, self._entity), *self._owned.paths])
        for start in range(0, len(operations), KEYS_PER_REQUEST):
            part = operations[start : start + KEYS_PER_REQUEST]
            where = " or ".join(" and ".join(self._terms(item.body or {})) for item in part)
            async for page in client.pages(self._set, {"$filter": where, "$expand": expand}):
                for row in page:
                    if (key := self._identity(self._entity, row)) is not None:
                        found[key] = row
        return found

    def _terms(self, body: Mapping[str, Any]) -> Iterator[str]:
        """Comparisons with the key, one reference deep, as deep as filters go."""
        yield from _compared(self._entity, body, at="")
        for item in self._entity.navigations.values():
            if item.unique and not item.many:
                yield from _compared(self._schema.types[item.target], body[item.name], at=f"{item.name}/")

    def _identity(self, entity: EntityType, values: Mapping[str, Any]) -> Identity | None:
        """The parts of a key, nested as the key is; None when one that must be there is missing."""
        own = [values.get(name) for name in entity.key_properties]
        if own and all(value is None for value in own):
            return None
        parts: list[Any] = [None if value is None else str(value) for value in own]
        for item in entity.navigations.values():
            if item.unique and not item.many:
                nested = self._identity(self._schema.types[item.target], values.get(item.name) or {})
                if nested is None:
                    return None
                parts.append(nested)
        return tuple(parts)


def _compared(entity: EntityType, values: Mapping[str, Any], *, at: str) -> Iterator[str]:
    for name in entity.key_properties:
        edm, value = entity.properties[name].type, values.get(name)
        if edm in _COMPARABLE:
            given = int(value) if edm in _WHOLE and value is not None else value
            yield f"{at}{name} eq {literal(given, long=edm == 'Edm.Int64')}"
