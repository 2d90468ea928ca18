"""Items as outbound JSON: plain nested objects, no ``d``, no ``__metadata``.

Source: fact sheet section 3.1. Nulls are left out, empty strings stay; every item carries its integrationKey;
localized attributes appear once in the default language and once more in ``localizedAttributes``; an item that
is already being written is cut to its key attributes. Assumed, because not documented: Long as text and Double
as a number (switch ``outbound_long``), empty collections as ``[]``, primitive collections as plain values.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from simulators.sap_commerce.render import key_text
from simulators.sap_commerce.schema import IntegrationObject, Item, ItemAttribute
from simulators.sap_commerce.scripts import virtual_value
from simulators.sap_commerce.store import Store
from simulators.sap_commerce.values import epoch_ms

Payload = dict[str, Any]


def integration_key(store: Store, service: IntegrationObject, item: Item, pk: int, *, null: str = "null") -> str:
    """The integration key of one stored item."""
    segments = []
    for part in service.key_of(item):
        value: Any = pk
        for step in part.path:
            value = store.value(value, step.attribute.name) if value is not None else None
        segments.append(key_text(part.path[-1].attribute.kind, value, null=null))
    return "|".join(segments)


@dataclass(frozen=True, slots=True)
class PayloadWriter:
    """Writes items of one integration object. ``language`` is that of the plain localized values."""

    store: Store
    service: IntegrationObject
    language: str
    long_as_text: bool = True
    null_key: str = "null"

    def write(self, item: Item, pk: int) -> Payload:
        """The payload of an item that exists."""
        return self._entity(item, pk, above=())

    def _entity(self, item: Item, pk: int, *, above: tuple[int, ...]) -> Payload:
        found: Payload = {}
        for attribute in item.attributes.values():
            value = self._value(attribute, pk, above=(*above, pk))
            if value is not None:
                found[attribute.name] = value
        for virtual in item.virtual.values():
            value = virtual_value(virtual.location, pk, store=self.store)
            if value is not None:
                found[virtual.name] = f"/Date({epoch_ms(value)})/" if virtual.edm == "Edm.DateTime" else value
        if item.localized:
            found["localizedAttributes"] = self._languages(item, pk)
        found["integrationKey"] = integration_key(self.store, self.service, item, pk, null=self.null_key)
        return found

    def _value(self, attribute: ItemAttribute, pk: int, *, above: tuple[int, ...]) -> Any:
        if attribute.is_property:
            return self._primitive(attribute, pk)
        if attribute.attribute.kind in ("values", "map"):
            return _plain_collection(self.store.value(pk, attribute.attribute.name))
        target = self.service.items[attribute.target]
        if attribute.many:
            members = self.store.collection(pk, attribute.attribute)
            return [self._related(target, member, above=above) for member in members if self._fits(target, member)]
        other = self.store.value(pk, attribute.attribute.name)
        return self._related(target, other, above=above) if self._fits(target, other) else None

    def _fits(self, target: Item, pk: int | None) -> bool:
        if pk is None or not self.store.exists(pk):
            return False
        return self.store.table_of(pk) == target.type.table

    def _related(self, target: Item, pk: int, *, above: tuple[int, ...]) -> Payload:
        return self._cut(target, pk) if pk in above else self._entity(target, pk, above=above)

    def _cut(self, item: Item, pk: int) -> Payload:
        """Only the key attributes: where a cycle closes."""
        found: Payload = {}
        for attribute in item.attributes.values():
            if not attribute.unique or attribute.many:
                continue
            if attribute.is_property:
                value = self._primitive(attribute, pk)
            else:
                other = self.store.value(pk, attribute.attribute.name)
                value = None if other is None else self._cut(self.service.items[attribute.target], other)
            if value is not None:
                found[attribute.name] = value
        return found

    def _primitive(self, attribute: ItemAttribute, pk: int) -> Any:
        kind, value = attribute.attribute.kind, self.store.value(pk, attribute.attribute.name)
        if value is None:
            return None
        if kind == "L":
            return json.loads(value).get(self.language)
        if kind == "T":
            return f"/Date({value})/"
        if kind == "B":
            return bool(value)
        return str(value) if kind == "Lg" and self.long_as_text else value

    def _languages(self, item: Item, pk: int) -> list[Payload]:
        found: dict[str, Payload] = {}
        for attribute in item.localized:
            texts = json.loads(self.store.value(pk, attribute.attribute.name) or "{}")
            for language, text in texts.items():
                if text is not None:
                    found.setdefault(language, {"language": language})[attribute.name] = text
        return [found[language] for language in sorted(found)]


def _plain_collection(text: str | None) -> list[Any] | None:
    if text is None:
        return None
    values = json.loads(text)
    if isinstance(values, dict):
        return [{"key": key, "value": value} for key, value in values.items()]
    return list(values)
