"""``$metadata`` as a small schema: entity sets, properties, navigation, keys.

Source: EDMX files of SAP's inbound integration objects (schema ``HybrisCommerceOData``, annotations in
``http://schemas.sap.com/commerce``; older ones write the annotations without a prefix).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from xml.etree import ElementTree

from commerce_sync.errors import ConfigurationError, RetryableError
from commerce_sync.systems.sap_commerce.decode import Kind, Node, layout

_SAP = "{http://schemas.sap.com/commerce}"
Element = ElementTree.Element


@dataclass(frozen=True, slots=True)
class Property:
    """A primitive property; ``type`` is the Edm name, ``Edm.String``."""

    name: str
    type: str
    nullable: bool = True
    unique: bool = False
    localized: bool = False


@dataclass(frozen=True, slots=True)
class Navigation:
    """A reference (or collection, ``many``) to another entity type; ``unique`` when it is part of the key.

    creates: what it refers to is made when it is not there (auto-create or part-of).
    """

    name: str
    target: str
    many: bool = False
    nullable: bool = True
    unique: bool = False
    creates: bool = False


@dataclass(frozen=True, slots=True)
class EntityType:
    """One item of the integration object. ``alias`` spells the parts of ``integrationKey``: ``A_x|B_y``."""

    name: str
    alias: str | None = None
    properties: dict[str, Property] = field(default_factory=dict)
    navigations: dict[str, Navigation] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """Properties, then navigations."""
        return [*self.properties, *self.navigations]

    @property
    def key_properties(self) -> list[str]:
        """Own primitive properties that are part of the key and may be sorted by."""
        return [item.name for item in self.properties.values() if item.unique and not item.localized]


@dataclass(frozen=True, slots=True)
class Schema:
    """All entity types and sets of one service."""

    service: str
    types: dict[str, EntityType]
    sets: dict[str, str]

    def entity(self, entity_set: str) -> EntityType:
        """The type behind a set. Raises ConfigurationError naming the sets there are."""
        if entity_set not in self.sets:
            raise ConfigurationError(
                f"service {self.service} has no entity set {entity_set!r}; it has: {', '.join(sorted(self.sets))}"
            )
        return self.types[self.sets[entity_set]]

    def check(self, entity_set: str, columns: Mapping[str, str]) -> None:
        """Raise ConfigurationError for a column the entity lacks, or one whose shape differs from it."""
        entity = self.entity(entity_set)
        for node in layout(columns).nodes:
            self._check(entity, node, f"{self.service}/{entity_set}")

    def _check(self, entity: EntityType, node: Node, where: str) -> None:
        navigation = entity.navigations.get(node.name)
        if navigation is None:
            self._check_property(entity, node, where)
            return
        self._check_shape(navigation, node, where)
        for child in node.children:
            self._check(self.types[navigation.target], child, where)

    def _check_property(self, entity: EntityType, node: Node, where: str) -> None:
        if node.name not in entity.properties:
            raise ConfigurationError(
                f"{where}: column {node.path!r} is not in entity type {entity.name}"
                f"{_nearest(node.name, entity.names)}; "
                f"it has: {', '.join(entity.names)}"
            )
        if node.kind is not Kind.SCALAR:
            raise ConfigurationError(
                f"{where}: column {node.path!r} is declared {node.type_text}, but "
                f"{entity.name}.{node.name} is a plain "
                f"{entity.properties[node.name].type}; declare a scalar type"
            )

    def _check_shape(self, navigation: Navigation, node: Node, where: str) -> None:
        target = f"{'a collection of ' if navigation.many else 'one '}{navigation.target}"
        legal = (Kind.ROWS, Kind.VALUES) if navigation.many else (Kind.ROW,)
        if node.kind not in legal:
            names = ", ".join(self.types[navigation.target].names)
            shape = "STRUCT(...)[]" if navigation.many else "STRUCT(...)"
            raise ConfigurationError(
                f"{where}: column {node.path!r} is declared {node.type_text}, but it refers to {target}; "
                f"declare {shape} with some of: {names}"
            )


def _nearest(name: str, names: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(names), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def parse(service: str, edmx: bytes) -> Schema:
    """Read an EDMX document. Raises RetryableError when it is not well-formed (a cut answer)."""
    try:
        root = ElementTree.fromstring(edmx)
    except ElementTree.ParseError as error:
        raise RetryableError(f"$metadata of {service} is not XML ({error}); try again") from error
    ends = _association_ends(root)
    types = {item.attrib["Name"]: _entity_type(item, ends) for item in _all(root, "EntityType")}
    sets = {item.attrib["Name"]: _bare(item.attrib["EntityType"]) for item in _all(root, "EntitySet")}
    return Schema(service=service, types=types, sets=sets)


def _all(root: Element, tag: str) -> list[Element]:
    return [item for item in root.iter() if item.tag.rpartition("}")[2] == tag]


def _bare(name: str) -> str:
    return name.rpartition(".")[2]


def _association_ends(root: Element) -> dict[tuple[str, str], list[tuple[str, str]]]:
    """(association, role) -> [(entity type, multiplicity)]; a self-reference has one role at both ends."""
    ends: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for association in _all(root, "Association"):
        for end in _all(association, "End"):
            at = (association.attrib["Name"], end.attrib["Role"])
            ends.setdefault(at, []).append((_bare(end.attrib["Type"]), end.attrib.get("Multiplicity", "")))
    return ends


def _entity_type(item: Element, ends: dict[tuple[str, str], list[tuple[str, str]]]) -> EntityType:
    properties = {child.attrib["Name"]: _property(child) for child in _all(item, "Property")}
    navigations = {child.attrib["Name"]: _navigation(child, ends) for child in _all(item, "NavigationProperty")}
    aliases = [_mark(child, "Alias") for child in _all(item, "Property") if _mark(child, "Alias")]
    return EntityType(
        name=item.attrib["Name"],
        alias=aliases[0] if aliases else None,
        properties=properties,
        navigations=navigations,
    )


def _property(item: Element) -> Property:
    return Property(
        name=item.attrib["Name"],
        type=item.attrib.get("Type", "Edm.String"),
        nullable=item.attrib.get("Nullable", "true") != "false",
        unique=_mark(item, "IsUnique") == "true",
        localized=_mark(item, "IsLanguageDependent") == "true",
    )


def _navigation(item: Element, ends: dict[tuple[str, str], list[tuple[str, str]]]) -> Navigation:
    association = _bare(item.attrib["Relationship"])
    # A reference to its own type has one role at both ends: the target is the second one.
    target, multiplicity = ends[(association, item.attrib["ToRole"])][-1]
    return Navigation(
        name=item.attrib["Name"],
        target=target,
        many=multiplicity == "*",
        nullable=item.attrib.get("Nullable", "true") != "false",
        unique=_mark(item, "IsUnique") == "true",
        creates="true" in (_mark(item, "IsAutoCreate"), _mark(item, "IsPartOf")),
    )


def _mark(item: Element, name: str) -> str | None:
    return item.attrib.get(_SAP + name, item.attrib.get(name))
