"""Change rows to request bodies: dotted names become nested references, types are spelled as the schema wants
them.

Set, clear, leave: a value sets; null with ``on_null: clear`` is sent as null (an empty list for a collection
where the verb replaces collections); null with ``on_null: leave`` is left out. A row may say in ``_leave`` which
fields are not sent for it at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from commerce_sync.errors import ConfigurationError
from commerce_sync.mapping import Field
from commerce_sync.systems.sap_commerce.protocol import json_date
from commerce_sync.systems.sap_commerce.schema import EntityType, Schema

_LEAVE = object()
LEAVE = "_leave"
"""Column of a change row: names of the fields that must not be sent for it, neither value nor null."""
_SMALL = ("Edm.Int32", "Edm.Int16", "Edm.Byte", "Edm.SByte")


@dataclass(slots=True)
class Branch:
    """One entity of the body: its own fields by property name, and its references."""

    entity: EntityType
    leaves: dict[str, Field] = field(default_factory=dict)
    branches: dict[str, Branch] = field(default_factory=dict)


class Payload:
    """How a leg's fields become the body of one entity set. Raises ConfigurationError for unknown names."""

    def __init__(self, schema: Schema, entity_set: str, fields: Sequence[Field]) -> None:
        self._schema = schema
        self._set = entity_set
        self._where = f"{schema.service}/{entity_set}"
        self._root = Branch(schema.entity(entity_set))
        for item in fields:
            self._place(item)

    def _place(self, item: Field) -> None:
        path = item.name.split(".") + ([item.lookup.external_id] if item.lookup else [])
        branch = self._root
        for step in path[:-1]:
            branch = self._descend(branch, step, item.name)
        if path[-1] not in branch.entity.names:
            raise self._unknown(branch.entity, path[-1], item.name)
        branch.leaves[path[-1]] = item

    def _descend(self, branch: Branch, step: str, name: str) -> Branch:
        navigation = branch.entity.navigations.get(step)
        if navigation is None or navigation.many:
            raise ConfigurationError(
                f"{self._where}: field {name!r}: {step!r} is no single reference of "
                f"{branch.entity.name}; references: "
                + (", ".join(item.name for item in branch.entity.navigations.values() if not item.many) or "none")
            )
        return branch.branches.setdefault(step, Branch(self._schema.types[navigation.target]))

    def _unknown(self, entity: EntityType, step: str, name: str) -> ConfigurationError:
        return ConfigurationError(
            f"{self._where}: field {name!r}: {entity.name} has no property {step!r}; it has: {', '.join(entity.names)}"
        )

    @property
    def root(self) -> Branch:
        """What the fields make of the entity."""
        return self._root

    def alone(self, names: Sequence[str]) -> Payload:
        """The same for other fields of the entity, nulls cleared."""
        return Payload(self._schema, self._set, [Field(name, "") for name in names])

    def body(self, row: Mapping[str, Any], *, replaces: bool = False) -> dict[str, Any]:
        """The body for one row (field name -> value). ``replaces``: the verb replaces collections (PATCH)."""
        left = row.get(LEAVE)
        root = _without(self._root, frozenset(left)) if left else self._root
        return self._body(root, row, replaces)

    def _body(self, branch: Branch, row: Mapping[str, Any], replaces: bool) -> dict[str, Any]:
        body: dict[str, Any] = {}
        for name, item in branch.leaves.items():
            value = self._leaf(branch.entity, name, row.get(item.name), item, replaces)
            if value is not _LEAVE:
                body[name] = value
        for name, nested in branch.branches.items():
            if _all_null(nested, row):
                body |= {name: None} if _clears(nested) else {}
            else:
                body[name] = self._body(nested, row, replaces)
        return body

    def _leaf(self, entity: EntityType, name: str, value: Any, item: Field, replaces: bool) -> Any:
        if value is not None:
            return self._value(entity, name, value)
        if item.on_null == "leave":
            return _LEAVE
        navigation = entity.navigations.get(name)
        if navigation is not None and navigation.many:
            # A POST cannot empty a collection; null would only be refused where it is required.
            return [] if replaces else _LEAVE
        return None

    def _value(self, entity: EntityType, name: str, value: Any) -> Any:
        navigation = entity.navigations.get(name)
        if navigation is None:
            known = entity.properties.get(name)
            return primitive(value, known.type if known else None)
        target = self._schema.types[navigation.target]
        if isinstance(value, list):
            return [self._nested(target, element) for element in value]
        return self._nested(target, value)

    def _nested(self, target: EntityType, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: None if item is None else self._value(target, name, item) for name, item in value.items()}
        # A collection of primitive values; SAP wraps each.
        return {"value": primitive(value, target.properties["value"].type if "value" in target.properties else None)}


def _without(branch: Branch, left: frozenset[str]) -> Branch:
    leaves = {name: item for name, item in branch.leaves.items() if item.name not in left}
    nested = {name: _without(child, left) for name, child in branch.branches.items()}
    return Branch(branch.entity, leaves, nested)


def _all_null(branch: Branch, row: Mapping[str, Any]) -> bool:
    own = all(row.get(item.name) is None for item in branch.leaves.values())
    return own and all(_all_null(nested, row) for nested in branch.branches.values())


def _clears(branch: Branch) -> bool:
    own = any(item.on_null == "clear" for item in branch.leaves.values())
    return own or any(_clears(nested) for nested in branch.branches.values())


def primitive(value: Any, edm: str | None) -> Any:
    """A value as JSON: Int64 and Decimal as strings, dates as ``/Date(ms)/``, the rest as JSON has it."""
    if isinstance(value, bool):
        return value
    if isinstance(value, date):
        return _date(value, edm)
    if isinstance(value, int | float | Decimal):
        return _number(value, edm)
    return value


def _date(value: date, edm: str | None) -> str:
    if edm == "Edm.String":
        return value.isoformat()
    moment = value if isinstance(value, datetime) else datetime(value.year, value.month, value.day, tzinfo=UTC)
    return json_date(moment)


def _number(value: float | Decimal, edm: str | None) -> Any:
    if edm in _SMALL and value == int(value):
        return int(value)
    if edm in ("Edm.Double", "Edm.Single"):
        return float(value)
    if edm is None and not isinstance(value, Decimal):
        return value
    return f"{value:f}" if isinstance(value, Decimal) else str(value)
