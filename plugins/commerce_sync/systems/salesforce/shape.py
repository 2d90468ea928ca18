"""The columns of a source as SOQL names, and answers of both APIs as tables of these columns.

A scalar column is a field. A ``STRUCT(...)`` column is a lookup's parent by its relationship name (``Account``,
``Plan__r``), up to five levels. A ``STRUCT(...)[]`` column is a child relationship, read as a subquery.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import lru_cache
from itertools import accumulate, chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv

from commerce_sync.errors import ConfigurationError, RetryableError
from commerce_sync.systems.salesforce.values import Scalar, scalar

MOST_LEVELS = 5
"""Parents above a record. Source: SOQL and SOSL Reference, Understanding Relationship Query Limitations."""
CSV_BLOCK_BYTES = 1 << 23
"""A record has up to 400,000 characters and must fit in a block."""
Record = dict[str, Any]


class Kind(Enum):
    """Shape of a column."""

    FIELD = 1
    PARENT = 2
    CHILDREN = 3


@dataclass(frozen=True, slots=True)
class Node:
    """One column, or a part of a nested one. ``path``: where its value is, from the record it stands in."""

    name: str
    path: tuple[str, ...]
    type_text: str
    kind: Kind
    arrow: pa.DataType
    children: tuple[Node, ...] = ()
    scalar: Scalar | None = None

    @property
    def soql(self) -> str:
        """The field as a query names it."""
        return ".".join(self.path)


@dataclass(frozen=True, slots=True)
class Shape:
    """The columns of one source; made by ``shape_of``."""

    nodes: tuple[Node, ...]
    schema: pa.Schema

    @property
    def lists(self) -> list[Node]:
        """The child relationships."""
        return [node for node in self.nodes if node.kind is Kind.CHILDREN]

    def node(self, name: str) -> Node | None:
        """A column by its name."""
        return next((node for node in self.nodes if node.name == name), None)

    def fields(self, *, parent_ids: bool = False) -> list[str]:
        """What to select besides child relationships, ``Id`` first.

        parent_ids: with the id of every parent, which in CSV alone tells a parent without values from none.
        """
        return list(
            dict.fromkeys(["Id", *chain.from_iterable(names(node, parent_ids=parent_ids) for node in self.nodes)])
        )

    def table(self, records: Sequence[Record]) -> pa.Table:
        """Records of a query answer. Raises ConfigurationError for a field that is missing or does not fit."""
        arrays = [_array([_reach(record, node) for record in records], node) for node in self.nodes]
        return pa.Table.from_arrays(arrays, schema=self.schema)

    def csv_tables(self, path: Path) -> Iterator[tuple[pa.Table, list[str]]]:
        """Tables, each with its record ids, of a Bulk query's result file."""
        for texts in _texts_of(path):
            arrays = [_array_of_texts(texts, node, ()) for node in self.nodes]
            yield pa.Table.from_arrays(arrays, schema=self.schema), _column(texts, "Id")


def shape_of(columns: Mapping[str, str], *, renamed: Mapping[str, str] | None = None) -> Shape:
    """The shape of columns (name -> DuckDB type text).

    renamed: column -> field path, ``{"owner": "Owner.Name"}``, for scalar columns named otherwise than their field.
    Raises ConfigurationError for types that cannot be read and names that are no columns.
    """
    return _shape(tuple(columns.items()), tuple((renamed or {}).items()))


@lru_cache(maxsize=128)
def _shape(columns: tuple[tuple[str, str], ...], renamed: tuple[tuple[str, str], ...]) -> Shape:
    nodes = {name: _node(name, _parsed(name, text), path=name, depth=0) for name, text in columns}
    for name, field in renamed:
        if name not in nodes or nodes[name].kind is not Kind.FIELD:
            raise ConfigurationError(
                f"option fields names {name!r}, which is no scalar column; columns: {', '.join(nodes)}"
            )
        nodes[name] = replace(nodes[name], path=tuple(field.split(".")))
    return Shape(tuple(nodes.values()), pa.schema([pa.field(name, node.arrow) for name, node in nodes.items()]))


def _parsed(name: str, text: str) -> Any:
    import duckdb

    try:
        return duckdb.sqltype(text)
    except duckdb.Error as error:
        raise ConfigurationError(f"column {name!r} has type {text!r}, which is no DuckDB type: {error}") from error


def _node(name: str, parsed: Any, *, path: str, depth: int) -> Node:
    if parsed.id == "struct":
        return _nested(name, parsed, parsed, path=path, depth=depth + 1)
    if parsed.id == "list" and parsed.children[0][1].id == "struct":
        if "." in path:
            raise ConfigurationError(f"column {path!r}: a child relationship can only be read of the object itself")
        return _nested(name, parsed, parsed.children[0][1], path=path, depth=0)
    found = scalar(parsed, path=path)
    return Node(name, (name,), str(parsed), Kind.FIELD, found.arrow, scalar=found)


def _nested(name: str, parsed: Any, row: Any, *, path: str, depth: int) -> Node:
    if depth > MOST_LEVELS:
        raise ConfigurationError(f"column {path!r} is {depth} parents away; Salesforce reads at most {MOST_LEVELS}")
    children = tuple(_node(key, child, path=f"{path}.{key}", depth=depth) for key, child in row.children)
    inner = pa.struct([pa.field(child.name, child.arrow) for child in children])
    if parsed is row:
        return Node(name, (name,), str(parsed), Kind.PARENT, inner, children)
    return Node(name, (name,), str(parsed), Kind.CHILDREN, pa.list_(inner), children)


def names(node: Node, *, parent_ids: bool = False) -> list[str]:
    """The field paths one column needs, none for a child relationship."""
    if node.kind is Kind.CHILDREN:
        return []
    if node.kind is Kind.FIELD:
        return [node.soql]
    below = chain.from_iterable(names(child, parent_ids=parent_ids) for child in node.children)
    return [f"{node.soql}.{name}" for name in [*(["Id"] if parent_ids else []), *below]]


def _reach(record: Record, node: Node) -> Any:
    """The value of a column in one record; behind an empty lookup everything is null."""
    found: Any = record
    for step in node.path:
        if found is None:
            return None
        if step not in found:
            there = ", ".join(name for name in found if name != "attributes")
            raise ConfigurationError(
                f"column {node.name!r}: the answer has no {step!r}; write names as Salesforce does, it has: {there}"
            )
        found = found[step]
    return found


def _array(values: list[Any], node: Node) -> pa.Array:
    if node.scalar is not None:
        return node.scalar.array(values)
    if node.kind is Kind.PARENT:
        return _structs(values, node, node.arrow)
    return _lists(values, node)


def _structs(values: list[Any], node: Node, arrow: pa.StructType) -> pa.Array:
    if odd := next((value for value in values if not isinstance(value, dict | None)), None):
        raise ConfigurationError(
            f"column {node.name!r} is a STRUCT but holds {type(odd).__name__}; declare a plain type"
        )
    arrays = [_array([value and _reach(value, child) for value in values], child) for child in node.children]
    mask = pa.array([value is None for value in values], pa.bool_()) if None in values else None
    return pa.StructArray.from_arrays(arrays, fields=list(arrow), mask=mask)


def _lists(values: list[Any], node: Node) -> pa.Array:
    """An empty child list is an empty list, whether the answer says null or no records."""
    lists = [[] if value is None else value["records"] for value in values]
    offsets = pa.array(list(accumulate(map(len, lists), initial=0)), pa.int32())
    inner = _structs(list(chain.from_iterable(lists)), node, node.arrow.value_type)
    return pa.ListArray.from_arrays(offsets, inner, type=node.arrow)


def _texts_of(path: Path) -> Iterator[dict[str, list[str | None]]]:
    """The columns of a CSV file by header, block by block; empty is null."""
    with path.open(encoding="utf-8-sig", newline="") as source:
        header = next(csv.reader(source), [])
    try:
        with pa_csv.open_csv(
            path,
            read_options=pa_csv.ReadOptions(block_size=CSV_BLOCK_BYTES),
            parse_options=pa_csv.ParseOptions(newlines_in_values=True),
            convert_options=pa_csv.ConvertOptions(
                column_types=dict.fromkeys(header, pa.string()), null_values=[""], strings_can_be_null=True,
                quoted_strings_can_be_null=True,
            ),
        ) as reader:  # fmt: skip
            for block in reader:
                yield block.to_pydict()
    except pa.ArrowInvalid as error:
        raise RetryableError(f"a result file of the Bulk query cannot be read ({error}); try again") from error


def _array_of_texts(texts: dict[str, list[str | None]], node: Node, above: tuple[str, ...]) -> pa.Array:
    path = (*above, *node.path)
    if node.scalar is not None:
        return node.scalar.array(_column(texts, ".".join(path)))
    arrays = [_array_of_texts(texts, child, path) for child in node.children]
    ids = _column(texts, ".".join((*path, "Id")))
    mask = pa.array([value is None for value in ids], pa.bool_())
    return pa.StructArray.from_arrays(arrays, fields=list(node.arrow), mask=mask)


def _column(texts: dict[str, list[str | None]], header: str) -> list[Any]:
    if header not in texts:
        raise ConfigurationError(
            f"the result file has no column {header!r}; write names as Salesforce does, it has: {', '.join(texts)}"
        )
    return texts[header]
