"""Integration objects: what is exposed, under which names, with which keys.

The definitions are items themselves (IntegrationObject and its parts), so ImpEx, the IntegrationService
and the control API all define services the same way. Source: fact sheet sections 1.1, 2.2, 2.3.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from simulators.sap_commerce.errors import bad_request
from simulators.sap_commerce.store import Store
from simulators.sap_commerce.types import Attribute, ItemType

EDM_TYPES = {
    "S": "Edm.String",
    "L": "Edm.String",
    "B": "Edm.Boolean",
    "I": "Edm.Int32",
    "Lg": "Edm.Int64",
    "D": "Edm.Double",
    "BD": "Edm.String",
    "T": "Edm.DateTime",
}


_JAVA_TYPES = {
    "java.lang.String": "Edm.String",
    "java.lang.Boolean": "Edm.Boolean",
    "java.lang.Integer": "Edm.Int32",
    "java.lang.Long": "Edm.Int64",
    "java.lang.Double": "Edm.Double",
    "java.util.Date": "Edm.DateTime",
}


@dataclass(slots=True)
class ItemAttribute:
    """One alias of an integration object item. ``target`` is the item it returns, if any."""

    name: str
    attribute: Attribute
    target: str = ""
    unique: bool = False
    auto_create: bool = False
    target_type: ItemType | None = None

    @property
    def is_property(self) -> bool:
        return self.attribute.kind in EDM_TYPES

    @property
    def is_reference(self) -> bool:
        return self.attribute.kind == "ref"

    @property
    def many(self) -> bool:
        return self.attribute.many

    @property
    def nullable(self) -> bool:
        """Optional attributes stay nullable even as keys of the integration object (2.2 rule 7)."""
        return not self.attribute.required

    @property
    def part_of(self) -> bool:
        return self.attribute.part_of


@dataclass(frozen=True, slots=True)
class VirtualAttribute:
    """A read-only value that a registered callable computes; ``script`` is the code of its Script."""

    name: str
    location: str
    edm: str


@dataclass(slots=True)
class Item:
    """One entity type of a service."""

    code: str
    type: ItemType
    root: bool
    match: str | None
    attributes: dict[str, ItemAttribute] = field(default_factory=dict)
    virtual: dict[str, VirtualAttribute] = field(default_factory=dict)

    @property
    def entity_set(self) -> str:
        return pluralised(self.code)

    @property
    def localized(self) -> list[ItemAttribute]:
        return [a for a in self.attributes.values() if a.attribute.localized]

    @property
    def properties(self) -> list[ItemAttribute]:
        return [a for a in self.attributes.values() if a.is_property]

    @property
    def navigations(self) -> list[ItemAttribute]:
        return [a for a in self.attributes.values() if not a.is_property]


@dataclass(frozen=True, slots=True)
class KeyPart:
    """One segment of an integration key: its alias and the way to its value."""

    alias: str
    path: tuple[ItemAttribute, ...]


@dataclass(slots=True)
class IntegrationObject:
    """A service: items by code, sets by name, and the authentication its channel asks for."""

    code: str
    items: dict[str, Item]
    authentication: str | None
    _keys: dict[str, tuple[KeyPart, ...]] = field(default_factory=dict)

    @property
    def root(self) -> Item | None:
        return next((item for item in self.items.values() if item.root), None)

    def by_set(self, name: str) -> Item | None:
        return next((item for item in self.items.values() if item.entity_set == name), None)

    def key_of(self, item: Item) -> tuple[KeyPart, ...]:
        """The key's segments, in alias order (ASCII), each alias once (2.2 rule 2)."""
        if item.code not in self._keys:
            found: dict[str, KeyPart] = {}
            for part in self._key_parts(item, path=(), seen=()):
                found.setdefault(part.alias, part)
            self._keys[item.code] = tuple(found[alias] for alias in sorted(found))
        return self._keys[item.code]

    def _key_parts(self, item: Item, *, path: tuple[ItemAttribute, ...], seen: tuple[str, ...]) -> list[KeyPart]:
        if item.code in seen:
            raise bad_request(
                "schema_generation_error",
                f"The EDMX schema could not be generated. The key of [{item.code}] refers to itself: "
                f"{' -> '.join((*seen, item.code))}.",
            )
        parts: list[KeyPart] = []
        for attribute in item.attributes.values():
            if not attribute.unique or attribute.many:
                continue
            way = (*path, attribute)
            if attribute.is_property:
                parts.append(KeyPart(f"{item.code}_{attribute.name}", way))
            else:
                parts += self._key_parts(self.items[attribute.target], path=way, seen=(*seen, item.code))
        return parts

    def reachable(self, code: str) -> list[Item]:
        """An item and everything it refers to, for ``$metadata?Item``."""
        found = {code: self.items[code]}
        queue = [code]
        while queue:
            for navigation in self.items[queue.pop()].navigations:
                if navigation.target in self.items and navigation.target not in found:
                    found[navigation.target] = self.items[navigation.target]
                    queue.append(navigation.target)
        return list(found.values())


def pluralised(name: str) -> str:
    """The entity set name of an entity type (2.2 rule 1)."""
    if name.endswith("y"):
        return name[:-1] + "ies"
    return name + ("es" if name.endswith("s") else "s")


class Schemas:
    """All integration objects, read from the store again after one of their items changed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._objects: dict[str, IntegrationObject] = {}
        self._stamp = -1

    def get(self, code: str) -> IntegrationObject | None:
        """The service of that name, or None; raises ODataError when its definition is broken."""
        if self._stamp != self.stamp:
            self._objects.clear()
            self._stamp = self.stamp
        if code not in self._objects:
            found = self._store.find(["IntegrationObject"], {"code": code})
            if not found:
                return None
            self._objects[code] = self._read(code, found[0])
        return self._objects[code]

    @property
    def stamp(self) -> int:
        """Changes with every change of a definition; plans compiled from definitions live as long."""
        return self._store.definitions

    def _read(self, code: str, pk: int) -> IntegrationObject:
        store = self._store
        owner = store.types.get("IntegrationObject").attributes["items"]
        items = [self._item(item_pk) for item_pk in store.collection(pk, owner)]
        channel = store.find(["InboundChannelConfiguration"], {"integrationObject": pk})
        authentication = None
        if channel:
            authentication = store.value(store.value(channel[0], "authenticationType"), "code")
        by_code = {item.code: item for item in items}
        for item in items:
            for attribute in item.attributes.values():
                target = by_code.get(attribute.target)
                attribute.target_type = target.type if target else None
        return IntegrationObject(code, by_code, authentication)

    def _item(self, pk: int) -> Item:
        store = self._store
        type_code = store.value(store.value(pk, "type"), "code")
        match = store.value(pk, "itemTypeMatch")
        item = Item(
            code=store.value(pk, "code"),
            type=store.types.get(type_code),
            root=bool(store.value(pk, "root")),
            match=store.value(match, "code") if match else None,
        )
        owner = store.types.get("IntegrationObjectItem").attributes["attributes"]
        for attribute_pk in store.collection(pk, owner):
            attribute = self._attribute(item, attribute_pk)
            item.attributes[attribute.name] = attribute
        computed = store.types.get("IntegrationObjectItem").attributes["virtualAttributes"]
        for virtual_pk in store.collection(pk, computed):
            virtual = self._virtual(virtual_pk)
            item.virtual[virtual.name] = virtual
        return item

    def _virtual(self, pk: int) -> VirtualAttribute:
        value = self._store.value
        descriptor = value(pk, "retrievalDescriptor")
        kind = value(value(descriptor, "type"), "code") or "java.lang.String"
        location = value(descriptor, "logicLocation") or ""
        return VirtualAttribute(value(pk, "attributeName"), location, _JAVA_TYPES.get(kind, "Edm.String"))

    def _attribute(self, item: Item, pk: int) -> ItemAttribute:
        store = self._store
        name = store.value(pk, "attributeName")
        qualifier = store.value(store.value(pk, "attributeDescriptor"), "qualifier")
        returned = store.value(pk, "returnIntegrationObjectItem")
        attribute = item.type.attributes.get(qualifier)
        if attribute is None:
            raise bad_request(
                "misconfigured_attribute",
                f"The EDMX schema could not be generated. Attribute [{name}] of [{item.code}]: type "
                f"[{item.type.code}] has no attribute [{qualifier}].",
            )
        target = store.value(returned, "code") if returned else attribute.target
        return ItemAttribute(
            name, attribute, target, bool(store.value(pk, "unique")), bool(store.value(pk, "autoCreate"))
        )
