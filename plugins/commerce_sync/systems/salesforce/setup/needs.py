"""What the mappings read and write in Salesforce, object by object and field by field."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from commerce_sync.mapping import Field, Mapping, Source, Target
from commerce_sync.systems.salesforce.cells import Column
from commerce_sync.systems.salesforce.setup.constants import constants
from commerce_sync.systems.salesforce.setup.org_file import OrgFile
from commerce_sync.systems.salesforce.shape import Kind, Node, shape_of

SYSTEM = "salesforce"
SAME = ("MasterRecord", "Parent")
"""Relationships of an object to its own kind."""
PARENTS = {"Owner": "User", "CreatedBy": "User", "LastModifiedBy": "User"}
"""Relationships that are not named after the object they lead to. Source: Object Reference."""
_CUSTOM = re.compile(r"\b\w+__c\b")


@dataclass(slots=True)
class ObjectNeeds:
    """What is needed of one object, by field names.

    create, update: fields sent with new and with existing records.   values: field -> picklist values that are sent.
    record_types: developer names.   legs: which mappings need it.
    """

    read: set[str] = field(default_factory=set)
    create: set[str] = field(default_factory=set)
    update: set[str] = field(default_factory=set)
    deletes: bool = False
    keys: set[str] = field(default_factory=set)
    values: dict[str, set[str]] = field(default_factory=dict)
    record_types: set[str] = field(default_factory=set)
    legs: set[str] = field(default_factory=set)

    @property
    def fields(self) -> set[str]:
        """Every field there has to be."""
        return self.read | self.create | self.update | self.keys


Needs = dict[str, ObjectNeeds]


def needs(mappings: Iterable[Mapping], org: OrgFile) -> Needs:
    """Object -> what some mapping needs of it."""
    found = _Found(org)
    for mapping in mappings:
        for source in mapping.sources:
            if source.system == SYSTEM:
                found.source(source, mapping.leg)
        if mapping.target.system == SYSTEM:
            found.target(mapping.target, mapping.fields, mapping.leg)
    return dict(sorted(found.needs.items()))


@dataclass(slots=True)
class _Found:
    org: OrgFile
    needs: Needs = field(default_factory=dict)

    def of(self, name: str, leg: str) -> ObjectNeeds:
        found = self.needs.setdefault(name, ObjectNeeds())
        found.legs.add(leg)
        return found

    def source(self, source: Source, leg: str) -> None:
        shape = shape_of(source.columns, renamed=source.options.get("fields"))
        for node in shape.nodes:
            self._column(source.entity_set, node, leg)
        # what a filter names is read too, though it is no column
        self.of(source.entity_set, leg).read |= set(_CUSTOM.findall(source.filter or ""))

    def _column(self, name: str, node: Node, leg: str) -> None:
        if node.kind is Kind.FIELD:
            *way, last = node.path
            for step in way:
                name = self._parent(name, step, leg)
            self.of(name, leg).read.add(last)
        elif node.kind is Kind.PARENT:
            parent = self._parent(name, node.name, leg)
            for child in node.children:
                self._column(parent, child, leg)
        else:
            child_object = self._children(name, node.name)
            for child in node.children:
                self._column(child_object, child, leg)

    def _parent(self, name: str, relationship: str, leg: str) -> str:
        """The object a relationship leads to; the lookup behind it is read as well."""
        if relationship.endswith("__r"):
            lookup = f"{relationship[:-3]}__c"
            spec = self.org.fields.get((name, lookup), {})
            parent = spec.get("reference_to", relationship)
        else:
            lookup = f"{relationship}Id"
            parent = name if relationship in SAME else PARENTS.get(relationship, relationship)
        self.of(name, leg).read.add(lookup)
        return str(parent)

    def _children(self, name: str, relationship: str) -> str:
        for (child, _), spec in self.org.fields.items():
            if spec.get("reference_to") == name and f"{spec.get('child_relationship')}__r" == relationship:
                return child
        return relationship.removesuffix("s")

    def target(self, target: Target, fields: Iterable[Field], leg: str) -> None:
        mine = self.of(target.object, leg)
        first_only = set(target.options.get("create_only", ()))
        creates = target.external_id != "Id"
        for one in fields:
            name = Column(one).id_name if one.lookup else one.name
            if name == "Id":
                continue
            mine.create |= {name} if creates else set()
            mine.update |= set() if one.name in first_only or one.name == target.external_id else {name}
            self._values(mine, one, name)
            if one.lookup and one.lookup.object != "RecordType":
                self.of(one.lookup.object, leg).keys.add(one.lookup.external_id)
        if creates:
            mine.keys.add(target.external_id)
        if target.compare is not None:
            mine.create |= set(target.compare.names)
            mine.update |= set(target.compare.names)
        self._deletion(mine, target)

    def _values(self, mine: ObjectNeeds, one: Field, name: str) -> None:
        texts = constants(one.value)
        if one.lookup and one.lookup.object == "RecordType":
            mine.record_types |= texts
        elif texts:
            mine.values.setdefault(name, set()).update(texts)

    def _deletion(self, mine: ObjectNeeds, target: Target) -> None:
        mine.deletes |= target.on_delete == "delete"
        if isinstance(target.on_delete, dict):
            mine.update |= set(target.on_delete)
            for name, value in target.on_delete.items():
                mine.values.setdefault(name, set()).update(constants(value))
