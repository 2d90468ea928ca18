"""What of a source the org would not show, found by its describes before anything is read."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from commerce_sync.errors import ConfigurationError, RejectedError
from commerce_sync.mapping import Source
from commerce_sync.systems.salesforce.client import SalesforceClient
from commerce_sync.systems.salesforce.shape import Kind, Node, shape_of
from commerce_sync.systems.salesforce.source_query import SourceQuery

WHOLE = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT")
FRACTION = ("DOUBLE", "FLOAT", "DECIMAL")
LEGAL_TYPES: dict[str, tuple[str, ...]] = {
    "boolean": ("BOOLEAN",),
    "int": (*WHOLE, *FRACTION),
    "long": (*WHOLE, *FRACTION),
    **dict.fromkeys(("double", "currency", "percent"), FRACTION),
    "date": ("DATE", "TIMESTAMP"),
    "datetime": ("TIMESTAMP", "DATE"),
    "time": ("TIME",),
    "multipicklist": ("VARCHAR",),
}
"""Field type -> what a column's type may begin with; every other field is text."""
COMPOUND = ("address", "location")
SHARED = (
    "Alias", "Email", "FirstName", "Id", "IsActive", "LastName", "Name", "Phone", "Title", "Type", "Username",
)  # fmt: skip
"""Fields that can be read through a lookup to several objects. Source: Object Reference, Name."""
Described = dict[str, Any]


async def problems_of_source(client: SalesforceClient, source: Source) -> list[str]:
    """What the org says against reading ``source``, one sentence each; nothing is read.

    When objects, fields and relationships fit, the query with its filters is given to the query planner.
    Raises ConfigurationError for what no org could read: types, roles, options.
    """
    asked = SourceQuery.of(source)
    if found := await misfits(client, source):
        return found
    try:
        await client.call("GET", "query", params={"explain": asked.query().soql()})
    except (ConfigurationError, RejectedError) as error:
        return [" ".join(str(error).split())]
    return []


async def misfits(client: SalesforceClient, source: Source) -> list[str]:
    """One sentence per object, field or relationship the connection's user cannot read as declared.

    A field without read access is absent from describe, so "no field" may also mean "no permission".
    """
    shape = shape_of(source.columns, renamed=source.options.get("fields"))
    return await _Check(client).columns(source.entity_set, shape.nodes)


class _Check:
    """Describes each object once."""

    def __init__(self, client: SalesforceClient) -> None:
        self._client = client
        self._known: dict[str, Described | None] = {}

    async def columns(self, name: str, nodes: Iterable[Node]) -> list[str]:
        described = await self._describe(name)
        if described is None:
            return [await self._no_object(name)]
        found: list[str] = []
        for node in nodes:
            if node.kind is Kind.FIELD:
                found += await self._field(described, node)
            elif node.kind is Kind.PARENT:
                found += await self._parent(described, node)
            else:
                found += await self._children(described, node)
        return found

    async def _describe(self, name: str) -> Described | None:
        if name not in self._known:
            answer = await self._client.call("GET", f"sobjects/{name}/describe", ok=(200, 404))
            self._known[name] = answer.json() if answer.status == 200 else None
        return self._known[name]

    async def _no_object(self, name: str) -> str:
        listed = (await self._client.call("GET", "sobjects")).json()["sobjects"]
        return f"there is no object {name!r} this user may see{_similar(name, [item['name'] for item in listed])}"

    async def _field(self, described: Described, node: Node) -> list[str]:
        *way, name = node.path
        for step in way:
            parents = _targets(described, step)
            if not parents:
                return [_no_relationship(described, step)]
            if len(parents) > 1:
                return _shared(described, step, name)
            described = await self._describe(parents[0]) or described
        held = {field["name"]: field for field in described["fields"]}
        if name not in held:
            return [f"{described['name']} has no field {name!r} this user may see{_similar(name, held)}"]
        return _misfit(described["name"], held[name], node)

    async def _parent(self, described: Described, node: Node) -> list[str]:
        parents = _targets(described, node.name)
        if not parents:
            return [_no_relationship(described, node.name)]
        if len(parents) > 1:
            return [text for child in node.children for text in _shared(described, node.name, child.name)]
        return await self.columns(parents[0], node.children)

    async def _children(self, described: Described, node: Node) -> list[str]:
        held = {item["relationshipName"]: item for item in described["childRelationships"] if item["relationshipName"]}
        if node.name not in held:
            return [f"{described['name']} has no child relationship {node.name!r}{_similar(node.name, held)}"]
        return await self.columns(held[node.name]["childSObject"], node.children)


def _targets(described: Described, relationship: str) -> list[str]:
    return next(
        (list(field["referenceTo"]) for field in described["fields"] if field["relationshipName"] == relationship), []
    )


def _no_relationship(described: Described, name: str) -> str:
    held = [field["relationshipName"] for field in described["fields"] if field["relationshipName"]]
    behind = next((field["relationshipName"] for field in described["fields"] if field["name"] == name), None)
    hint = f"; the lookup {name} is followed by the name {behind!r}" if behind else _similar(name, held)
    return f"{described['name']} has no relationship {name!r} to a parent{hint}"


def _shared(described: Described, relationship: str, name: str) -> list[str]:
    if name in SHARED:
        return []
    return [
        f"{described['name']}.{relationship} may be of several objects; of these one reads {', '.join(SHARED)}, "
        f"not {name!r}"
    ]


def _misfit(object_name: str, field: dict[str, Any], node: Node) -> list[str]:
    what = f"{object_name}.{field['name']}"
    if field["type"] in COMPOUND:
        return [f"{what} is a compound {field['type']}; read its parts"]
    legal = LEGAL_TYPES.get(field["type"], ("VARCHAR",))
    if field["type"] in ("double", "currency", "percent") and not field["scale"]:
        legal = (*legal, *WHOLE)
    if not node.type_text.startswith(legal) or (node.type_text.endswith("[]") and field["type"] != "multipicklist"):
        return [f"{what} is {field['type']}, declared {node.type_text}; legal: {', '.join(legal)}"]
    return _narrow(what, field, node)


def _narrow(what: str, field: dict[str, Any], node: Node) -> list[str]:
    if not node.type_text.startswith("DECIMAL") or not field["precision"]:
        return []
    scale, whole = node.arrow.scale, node.arrow.precision - node.arrow.scale
    if scale >= field["scale"] and whole >= field["precision"] - field["scale"]:
        return []
    return [
        f"{what} has {field['precision']} digits, {field['scale']} of them decimals; {node.type_text} is too narrow"
    ]


def _similar(name: str, legal: Iterable[str]) -> str:
    by_folded = {item.lower(): item for item in legal}
    near = difflib.get_close_matches(name.lower(), by_folded, n=3, cutoff=0.6)
    if near:
        return f" (did you mean {', '.join(by_folded[item] for item in near)}?)"
    return f"; it has: {', '.join(sorted(by_folded.values()))}" if by_folded else ""
