"""SQL for entity types: columns reached over references, key lookups, child fetches."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from simulators.sap_commerce.errors import ODataError
from simulators.sap_commerce.keys import segments
from simulators.sap_commerce.schema import IntegrationObject, Item, ItemAttribute
from simulators.sap_commerce.types import Attribute, TypeSystem
from simulators.sap_commerce.values import from_text


class Joins:
    """The FROM clause of one query: table ``t`` and what its references lead to."""

    def __init__(self, item: Item, *, types: TypeSystem, language: str) -> None:
        self._types, self._language = types, language
        self._aliases: dict[tuple[str, ...], str] = {}
        self._text = f'"{item.type.table}" t'

    @property
    def text(self) -> str:
        return self._text

    def column(self, path: tuple[ItemAttribute, ...]) -> str:
        """The SQL expression of the last attribute of a path; all before it are references."""
        return self._expression(self._alias(path[:-1]), path[-1].attribute)

    def _alias(self, path: tuple[ItemAttribute, ...]) -> str:
        if not path:
            return "t"
        names = tuple(step.name for step in path)
        if names not in self._aliases:
            before = self._alias(path[:-1])
            alias = f"j{len(self._aliases)}"
            reference = path[-1].attribute
            target = path[-1].target_type or self._types.get(reference.target)  # "owner" may be any Item
            table = target.table
            self._text += f' LEFT JOIN "{table}" {alias} ON {alias}.pk = {before}."{reference.name}"'
            self._aliases[names] = alias
        return self._aliases[names]

    def _expression(self, alias: str, attribute: Attribute) -> str:
        column = f'{alias}."{attribute.name}"'
        if attribute.localized:
            return f"json_extract({column}, '$.\"{self._language}\"')"
        return column


def type_test(item: Item, *, types: TypeSystem, fallback: str) -> str:
    """Which exact types a query for this item may find (itemTypeMatch, 1.1)."""
    match = item.match or fallback
    if item.type.enum or item.type.abstract:
        match = "ALL_SUBTYPES"
    codes = {item.type.code} if match == "RESTRICT_TO_ITEM_TYPE" else set(types.subtypes(item.type.code))
    if match == "ALL_SUB_AND_SUPER_TYPES":
        codes |= {c for c in types.lineage(item.type.code) if types.get(c).table == item.type.table}
    listed = ", ".join(f"'{code}'" for code in sorted(codes))
    return f"t.itemtype IN ({listed})"


def key_conditions(
    key: str, *, service: IntegrationObject, item: Item, joins: Joins, prefix: tuple[ItemAttribute, ...] = ()
) -> tuple[list[str], list[Any]]:
    """SQL tests and values for one integration key; ValueError when its form is wrong."""
    parts, texts = service.key_of(item), segments(key)
    if len(parts) != len(texts):
        raise ValueError(f"expected {len(parts)} segments, found {len(texts)}")
    tests: list[str] = []
    values: list[Any] = []
    for part, text in zip(parts, texts, strict=True):
        column = joins.column((*prefix, *part.path))
        kind = part.path[-1].attribute.kind
        if text in ("null", "") and kind != "S":
            tests.append(f"{column} IS NULL")
        elif text in ("null", ""):
            tests.append(f"coalesce({column}, ?) = ?")
            values += [text, text]
        else:
            tests.append(f"{column} = ?")
            values.append(from_text(kind, text))
    return tests, values


def malformed_key(item: Item, key: str, *, status: int = 400) -> ODataError:
    return ODataError(
        status, "invalid_key", f"The integration key [{key}] is invalid for EntityType [{item.code}].", innererror=key
    )


def json_list(pks: Iterable[int]) -> str:
    """Numbers for ``json_each``: one parameter instead of a thousand."""
    return f"[{','.join(map(str, pks))}]"
