"""Which fixed texts an SQL expression may give: the picklist values and record types a mapping names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import duckdb


def constants(expression: str) -> set[str]:
    """Texts that the whole expression may come to; what is only known at run time is left out."""
    with duckdb.connect() as con:
        row = con.execute("SELECT json_serialize_sql(?)", [f"SELECT {expression}"]).fetchone()
    tree: dict[str, Any] = json.loads(row[0]) if row else {"error": True}
    if tree.get("error"):
        return set()
    (node,) = tree["statements"][0]["node"]["select_list"]
    return set(_texts(node))


def _texts(node: dict[str, Any]) -> Iterator[str]:
    kind = node.get("class")
    if kind == "CONSTANT":
        yield from _text(node)
    elif kind == "CASE":
        for check in node["case_checks"]:
            yield from _texts(check["then_expr"])
        yield from _texts(node["else_expr"])
    elif kind == "CAST":
        yield from _texts(node["child"])
    elif kind == "OPERATOR" and node["type"] == "OPERATOR_COALESCE":
        for child in node["children"]:
            yield from _texts(child)


def _text(node: dict[str, Any]) -> Iterator[str]:
    """DuckDB wrote constants as values until 1.4 and writes them as literals since."""
    literal, value = node.get("literal"), node.get("value")
    if literal is not None and literal["kind"] == "STRING":
        yield literal["text"]
    elif value is not None and value["type"]["id"] == "VARCHAR" and not value["is_null"]:
        yield value["value"]
