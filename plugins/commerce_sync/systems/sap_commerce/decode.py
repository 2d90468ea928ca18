"""OData v2 pages to Arrow tables: typed decode, no dictionary per row.

Columns are given as DuckDB type texts. A ``STRUCT(...)`` column is a reference, ``STRUCT(...)[]`` a
collection of entities, ``VARCHAR[]`` a collection of primitive values (SAP wraps each as ``{"value": ...}``);
all three are read through ``$expand``. Only declared properties are built; ``__metadata`` and the rest is
skipped by the decoder.

``page(body, columns)`` is the whole of it; ``layout(columns).page(body)`` also gives the next link and the
count.
"""

from __future__ import annotations

import gc
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from itertools import accumulate, chain
from operator import attrgetter
from typing import Any

import msgspec
import pyarrow as pa

from commerce_sync.errors import ConfigurationError, RetryableError
from commerce_sync.systems.sap_commerce.scalars import Scalar, scalar

LOCALIZED = "localizedAttributes"


class Kind(Enum):
    """Shape of a column: a scalar, one referenced row, a collection of rows or of primitive values."""

    SCALAR = 1
    ROW = 2
    ROWS = 3
    VALUES = 4


@dataclass(frozen=True, slots=True)
class Node:
    """One column or nested field: where it is (``entries.product``), what it decodes to, its Arrow type."""

    name: str
    path: str
    type_text: str
    kind: Kind
    arrow: pa.DataType
    decoded: Any
    children: tuple[Node, ...] = ()
    scalar: Scalar | None = None
    empty: Any = None
    """An instance whose fields are all null, standing for a null reference while its children are built."""


@dataclass(frozen=True, slots=True)
class Page:
    """A decoded collection. ``next``: the server's link to more; ``count``: ``$inlinecount`` if asked for."""

    table: pa.Table
    next: str | None
    count: int | None


class Layout:
    """How the pages of one set of columns are decoded; made by ``layout`` and reused for every page."""

    def __init__(self, columns: Mapping[str, str]) -> None:
        self.nodes = tuple(_nodes(columns))
        self.schema = pa.schema([pa.field(node.name, node.arrow) for node in self.nodes])
        row = _struct("Row", self.nodes)
        body = msgspec.defstruct(
            "Body",
            [("results", list[row]), ("f_next", str | None, None), ("f_count", str | int | None, None)],  # type: ignore[valid-type]
            rename={"f_next": "__next", "f_count": "__count"},
            gc=False,
        )
        answer = msgspec.defstruct("Answer", [("d", body)], gc=False)
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(answer, strict=False)

    @property
    def expand(self) -> str:
        """The ``$expand`` list these columns need: ``unit,catalogVersion/catalog``; empty when none."""
        return ",".join(chain.from_iterable(_expansions(node) for node in self.nodes))

    def page(self, body: bytes) -> Page:
        """Decode one collection answer.

        Raises RetryableError for an answer that is cut off or no JSON; ConfigurationError, naming the column,
        for a value that does not fit its type, a property that is missing, a reference that was not expanded.
        """
        with _without_gc():
            try:
                answer = self._decoder.decode(body).d
            except msgspec.ValidationError as error:
                raise ConfigurationError(_explain(body, str(error))) from error
            except msgspec.DecodeError as error:
                raise RetryableError(f"the page is not complete JSON ({error}); try again") from error
            arrays = _arrays(answer.results, self.nodes)
            table = pa.Table.from_arrays(arrays, schema=self.schema)
        return Page(table, answer.f_next, int(answer.f_count) if answer.f_count is not None else None)

    def empty(self) -> pa.Table:
        """A table of these columns without rows."""
        return self.schema.empty_table()


def page(body: bytes, columns: Mapping[str, str]) -> pa.Table:
    """Decode one answer to a collection request into a table of ``columns`` (name -> DuckDB type text)."""
    return layout(columns).page(body).table


def layout(columns: Mapping[str, str]) -> Layout:
    """The layout of these columns. Raises ConfigurationError for a type that cannot be read."""
    return _layout(tuple(columns.items()))


@lru_cache(maxsize=128)
def _layout(columns: tuple[tuple[str, str], ...]) -> Layout:
    return Layout(dict(columns))


@contextmanager
def _without_gc() -> Iterator[None]:
    # Thousands of young objects per page make the cyclic collector run over all of them again and again.
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _nodes(columns: Mapping[str, str]) -> list[Node]:
    import duckdb

    nodes = []
    for name, text in columns.items():
        try:
            parsed = duckdb.sqltype(text)
        except duckdb.Error as error:
            raise ConfigurationError(f"column {name!r} has type {text!r}, which is no DuckDB type: {error}") from error
        nodes.append(_node(name, parsed, path=name, optional=False))
    return nodes


def _node(name: str, parsed: Any, *, path: str, optional: bool) -> Node:
    if parsed.id == "struct":
        return _row(name, parsed, path=path, optional=optional)
    if parsed.id == "list":
        return _collection(name, parsed, path=path)
    found = scalar(parsed, path=path)
    return Node(name, path, str(parsed), Kind.SCALAR, found.arrow, found.decoded, scalar=found)


def _row(name: str, parsed: Any, *, path: str, optional: bool) -> Node:
    children = tuple(_node(key, child, path=f"{path}.{key}", optional=optional) for key, child in parsed.children)
    decoded = _struct("Nested", children, optional=optional)
    return Node(
        name=name,
        path=path,
        type_text=str(parsed),
        kind=Kind.ROW,
        arrow=pa.struct([pa.field(child.name, child.arrow) for child in children]),
        decoded=decoded | None,
        children=children,
        empty=decoded(**{f"f{index}": None for index in range(len(children))}),
    )


def _collection(name: str, parsed: Any, *, path: str) -> Node:
    element = parsed.children[0][1]
    if element.id == "struct":
        # Languages without a value leave the property out; everywhere else a missing property is a mistake.
        item = _row("", element, path=path, optional=name == LOCALIZED)
        kind, children = Kind.ROWS, item.children
    else:
        item = _node("value", element, path=path, optional=False)
        kind, children = Kind.VALUES, (item,)
    wrapped = msgspec.defstruct("Results", [("results", list[_element(item, kind)])], gc=False)  # type: ignore[misc]
    return Node(name, path, str(parsed), kind, pa.list_(item.arrow), wrapped | None, children)


def _element(item: Node, kind: Kind) -> Any:
    return type(item.empty) if kind is Kind.ROWS else _struct("Value", (item,))


def _struct(title: str, nodes: Sequence[Node], *, optional: bool = False) -> Any:
    default = (None,) if optional else ()
    return msgspec.defstruct(
        title,
        [(f"f{index}", node.decoded, *default) for index, node in enumerate(nodes)],
        rename={f"f{index}": node.name for index, node in enumerate(nodes)},
        gc=False,
        kw_only=True,
    )


def _arrays(rows: Sequence[Any], nodes: Sequence[Node]) -> list[pa.Array]:
    return [_array(list(map(attrgetter(f"f{index}"), rows)), node) for index, node in enumerate(nodes)]


def _array(values: list[Any], node: Node) -> pa.Array:
    if node.scalar is not None:
        return node.scalar.array(values)
    if node.kind is Kind.ROW:
        return _struct_array(values, node)
    return _list_array(values, node)


def _struct_array(values: list[Any], node: Node) -> pa.Array:
    fields = list(node.arrow)
    if None not in values:
        return pa.StructArray.from_arrays(_arrays(values, node.children), fields=fields)
    mask = pa.array([value is None for value in values], pa.bool_())
    present = [node.empty if value is None else value for value in values]
    return pa.StructArray.from_arrays(_arrays(present, node.children), fields=fields, mask=mask)


def _list_array(values: list[Any], node: Node) -> pa.Array:
    lists = [() if value is None else value.results for value in values]
    offsets = pa.array(list(accumulate(map(len, lists), initial=0)), pa.int32())
    items = list(chain.from_iterable(lists))
    inner = _arrays(items, node.children)
    if node.kind is Kind.VALUES:
        content = inner[0]
    else:
        content = pa.StructArray.from_arrays(inner, fields=list(node.arrow.value_type))
    mask = pa.array([value is None for value in values], pa.bool_()) if None in values else None
    return pa.ListArray.from_arrays(offsets, content, type=node.arrow, mask=mask)


def _expansions(node: Node) -> list[str]:
    if node.kind is Kind.SCALAR:
        return []
    if node.kind is Kind.VALUES:
        return [node.name]
    deeper = list(chain.from_iterable(_expansions(child) for child in node.children))
    return [f"{node.name}/{path}" for path in deeper] or [node.name]


def _explain(body: bytes, said: str) -> str:
    """Turn the decoder's sentence into ours: which column, and whether it was merely not expanded."""
    reason, _, at = said.partition(" - at ")
    steps = re.findall(r"[^.\[\]`$]+", at)
    column = ".".join(step for step in steps[1:] if step != "results" and not step.isdigit())
    if not column and "required" not in reason:
        return f"the answer is no collection page ({said}); expected {{'d': {{'results': [...]}}}}"
    missing = reason.partition("missing required field ")[2].strip("`")
    if missing and _is_deferred(body, steps):
        return f"column {column!r} was not expanded (only a __deferred link came): name it in $expand"
    if missing:
        name = ".".join(part for part in (column, missing) if part)
        return f"column {name!r} is not in the answer; take it out of columns or model it in the shop"
    return f"column {column!r} cannot be read: {reason}; change its type in columns"


def _is_deferred(body: bytes, steps: list[str]) -> bool:
    found: Any = msgspec.json.decode(body)
    for step in steps:
        found = found[int(step)] if isinstance(found, list) else found[step]
    return isinstance(found, dict) and "__deferred" in found
