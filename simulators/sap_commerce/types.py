"""The type system: types, attributes, inheritance and which table holds what.

Reads the one-line declarations of ``commerce_types.txt``. A *deployment* (SAP's word for the table of a type) is
shared by a type and all its subtypes, so a query for ``Customer`` can find ``B2BCustomer`` items as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

DECLARATIONS = Path(__file__).with_name("commerce_types.txt")
PRIMITIVES = ("S", "L", "B", "I", "Lg", "D", "BD", "T")
_ATTRIBUTE = re.compile(r"(\w+)([*!]*):([^+=]+)(\+?)(?:=(.*))?$")


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute. ``kind`` is a primitive code, or ref, children, links, values or map."""

    name: str
    kind: str
    target: str = ""
    inverse: str = ""
    relation: str = ""
    reverse: bool = False
    unique: bool = False
    required: bool = False
    part_of: bool = False
    default: str | None = None

    @property
    def localized(self) -> bool:
        return self.kind == "L"

    @property
    def many(self) -> bool:
        return self.kind in ("children", "links", "values", "map")

    @property
    def stored(self) -> bool:
        """Whether the value lives in a column of the item's own table."""
        return self.kind not in ("children", "links")


@dataclass(slots=True)
class ItemType:
    """A composed type with all attributes, inherited ones included."""

    code: str
    supertype: str | None
    abstract: bool
    enum: bool
    dynamic: bool
    table: str
    values: tuple[str, ...] = ()
    attributes: dict[str, Attribute] = field(default_factory=dict)

    @property
    def natural_key(self) -> tuple[Attribute, ...]:
        """The attributes that are unique in the type system (not those of an integration object)."""
        return tuple(a for a in self.attributes.values() if a.unique)


class TypeSystem:
    """All types by code; knows super- and subtypes and the columns of every table."""

    def __init__(self, declarations: str) -> None:
        self._types: dict[str, ItemType] = {}
        for line in declarations.strip().splitlines():
            if line.startswith("--"):
                continue
            found = self._enum(line) if line.startswith("#") else self._composed(line)
            self._types[found.code] = found
        self._below: dict[str, list[str]] = {}  # what extends each type; types are never added later
        for code in self._types:
            for above in self.lineage(code):
                self._below.setdefault(above, []).append(code)

    def __contains__(self, code: object) -> bool:
        return code in self._types

    def __iter__(self) -> Iterator[ItemType]:
        return iter(self._types.values())

    def get(self, code: str) -> ItemType:
        """Give the type, or raise KeyError with the closest legal names."""
        if code in self._types:
            return self._types[code]
        raise KeyError(f"type {code!r} is unknown; known are: {', '.join(sorted(self._types))}")

    def lineage(self, code: str) -> list[str]:
        """The type and its supertypes, nearest first."""
        chain = [code]
        while (above := self._types[chain[-1]].supertype) is not None:
            chain.append(above)
        return chain

    def subtypes(self, code: str) -> list[str]:
        """The type and everything that extends it."""
        return list(self._below.get(code, ()))

    def is_a(self, code: str, *, ancestor: str) -> bool:
        return ancestor in self.lineage(code)

    def tables(self) -> dict[str, dict[str, Attribute]]:
        """Columns of every table: the union over the types that share it."""
        found: dict[str, dict[str, Attribute]] = {}
        for item_type in self._types.values():
            if item_type.table:
                columns = found.setdefault(item_type.table, {})
                columns.update({a.name: a for a in item_type.attributes.values() if a.stored})
        return found

    def _composed(self, line: str) -> ItemType:
        head, *rest = line.split()
        abstract = head.startswith("~")
        code, supertype = _head(head.lstrip("~"))
        parent = self._types[supertype] if supertype else None
        table = (parent.table if parent and parent.table else "") or ("" if abstract else code)
        attributes = dict(parent.attributes) if parent else {}
        attributes.update({a.name: a for a in (_attribute(text, owner=code) for text in rest)})
        return ItemType(code, supertype, abstract, False, False, table, (), attributes)

    def _enum(self, line: str) -> ItemType:
        head, *values = line[1:].split()
        code = head.rstrip("?")
        parent = self._types["EnumerationValue"]
        return ItemType(
            code, parent.code, False, True, not head.endswith("?"), parent.table, tuple(values), parent.attributes
        )


def _head(text: str) -> tuple[str, str | None]:
    code, _, above = text.partition("(")
    return code, above.rstrip(")") or None


def _attribute(text: str, *, owner: str) -> Attribute:
    found = _ATTRIBUTE.match(text)
    if found is None:
        raise ValueError(f"{owner}: cannot read attribute {text!r}; expected name:kind")
    name, flags, kind, part_of, default = found.groups()
    shape = _shape(kind, owner=owner, name=name)
    return Attribute(
        name,
        unique="*" in flags,
        required="!" in flags,
        part_of=bool(part_of),
        default=default,
        **shape,
    )


def _shape(kind: str, *, owner: str, name: str) -> dict[str, Any]:
    if kind in PRIMITIVES:
        return {"kind": kind}
    if kind.startswith(">"):
        return {"kind": "ref", "target": kind[1:]}
    if kind.startswith("{"):
        return {"kind": "map", "target": "String2StringMapType"}
    inner = kind.strip("[]")
    if inner in PRIMITIVES:
        return {"kind": "values", "target": {"S": "String", "I": "Integer", "D": "Double"}[inner]}
    target, _, attribute = inner.lstrip("^").partition(".")
    if inner.startswith("^"):
        return {"kind": "links", "target": target, "relation": f"{target}.{attribute}", "reverse": True}
    if attribute:
        return {"kind": "children", "target": target, "inverse": attribute}
    return {"kind": "links", "target": target, "relation": f"{owner}.{name}"}


@cache
def commerce_types() -> TypeSystem:
    """The one type system of the simulator, read once."""
    return TypeSystem(DECLARATIONS.read_text(encoding="utf-8"))
