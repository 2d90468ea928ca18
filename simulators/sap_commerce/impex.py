"""ImpEx: reads INSERT_UPDATE blocks into items.

Understood: macros, ``attr(ref(key),key2)`` descriptions with values joined by colons, collections joined by
commas, ``[unique=true]``, ``[default=...]``, ``[lang=..]``; comments. Not: Java or Groovy lines, UPDATE,
REMOVE, translators. Source of the shape: fact sheet section 1.2.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simulators.sap_commerce.records import Records
from simulators.sap_commerce.types import Attribute, ItemType
from simulators.sap_commerce.values import from_text

_MODIFIER = re.compile(r"\[([^\]]*)\]")


@dataclass(frozen=True, slots=True)
class Column:
    """One header cell: the attribute, how it is described, its default and language."""

    name: str
    parts: tuple[str, ...]
    default: str | None
    language: str | None


def load_impex(path: Path, *, records: Records) -> int:
    """Load a file; gives the number of rows. Raises ValueError naming file, line and reason."""
    macros: dict[str, str] = {}
    columns: list[Column] = []
    code, count = "", 0
    for number, raw in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        try:
            if line.startswith("$"):
                name, _, text = line.partition("=")
                macros[name.strip()] = _expanded(text.strip(), macros)
            elif line.startswith(";"):
                _load_row(line, code=code, columns=columns, records=records)
                count += 1
            else:
                code, columns = _header(_expanded(line, macros))
        except (ValueError, LookupError) as error:
            raise ValueError(f"{path}:{number}: {error}") from error
    return count


def _expanded(text: str, macros: dict[str, str]) -> str:
    for name in sorted(macros, key=len, reverse=True):
        text = text.replace(name, macros[name])
    return text


def _header(line: str) -> tuple[str, list[Column]]:
    mode, _, rest = line.partition(" ")
    if mode not in ("INSERT_UPDATE", "INSERT"):
        raise ValueError(f"{mode!r} is not understood; legal: INSERT_UPDATE, INSERT")
    code, *cells = (cell.strip() for cell in rest.split(";"))
    return code, [_column(cell) for cell in cells if cell]


def _column(cell: str) -> Column:
    modifiers = dict(
        part.strip().split("=", 1) for group in _MODIFIER.findall(cell) for part in group.split(",") if "=" in part
    )
    plain = _MODIFIER.sub("", cell).strip()
    name, _, description = plain.partition("(")
    inner = description.removesuffix(")")
    return Column(name.strip(), tuple(_split(inner)), modifiers.get("default"), modifiers.get("lang"))


def _split(text: str) -> list[str]:
    """Split at commas outside of parentheses."""
    parts, depth = [""], 0
    for letter in text:
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts if part.strip()]


def _load_row(line: str, *, code: str, columns: list[Column], records: Records) -> None:
    cells = [cell.strip() for cell in line.split(";")[1:]]
    item_type = records.type(code)
    row: dict[str, Any] = {}
    for column, cell in zip(columns, cells, strict=False):
        text = cell or column.default
        if text:
            row[column.name] = _value(item_type, column, text, records=records)
    records.load(code, row)


def _value(item_type: ItemType, column: Column, text: str, *, records: Records) -> Any:
    if column.name not in item_type.attributes:
        known = ", ".join(sorted(item_type.attributes))
        raise ValueError(f"{item_type.code} has no attribute {column.name!r}; it has: {known}")
    attribute = item_type.attributes[column.name]
    if attribute.kind == "ref":
        return _described(attribute, column.parts, text.split(":"), records=records)
    if attribute.kind == "links":
        return [_described(attribute, column.parts, one.split(":"), records=records) for one in text.split(",")]
    if attribute.kind == "values":
        return text.split(",")
    if attribute.kind == "L":
        return {column.language or "en": text}
    return from_text(attribute.kind, text)


def _described(attribute: Attribute, parts: tuple[str, ...], texts: list[str], *, records: Records) -> dict[str, Any]:
    """The nested object a colon-joined text describes; consumes ``texts`` from the left."""
    item_type = records.type(attribute.target)
    row: dict[str, Any] = {}
    for part in parts:
        column = _column(part)
        inner = item_type.attributes[column.name]
        if inner.kind == "ref":
            row[column.name] = _described(inner, column.parts, texts, records=records)
        elif texts:
            row[column.name] = from_text(inner.kind, texts.pop(0).strip())
    return row
