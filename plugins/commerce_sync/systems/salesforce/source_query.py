"""What a source asks Salesforce for: its options, and its columns, bounds and filter as SOQL."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Any, Literal

from commerce_sync.errors import ConfigurationError
from commerce_sync.mapping import Source
from commerce_sync.systems.salesforce.paging import Query, moment
from commerce_sync.systems.salesforce.shape import Kind, Node, Shape, names, shape_of

BULK = ("auto", "always", "never")
DELETED = "IsDeleted"


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """``options`` of a source.

    deleted: read deleted records too (``IsDeleted`` and, after a merge, ``MasterRecordId`` say so); archived
    activities come with them.   bulk: whether a Bulk query is used: ``auto`` from ``bulk_from`` records on, where the
    columns allow it.   fields: column -> field path for columns named otherwise.   children: child relationship ->
    SOQL condition on its records; deleted children are left out unless their STRUCT has ``IsDeleted``.
    page_rows: 200 to 2000.   part_rows: rows per Parquet part.   poll_first_s, poll_most_s, longest_s: how a
    Bulk query is waited for.
    """

    deleted: bool = False
    bulk: Literal["auto", "always", "never"] = "auto"
    bulk_from: int = 50_000
    fields: dict[str, str] = field(default_factory=dict)
    children: dict[str, str] = field(default_factory=dict)
    page_rows: int = 2000
    part_rows: int = 50_000
    poll_first_s: float = 1.0
    poll_most_s: float = 10.0
    longest_s: float = 7200.0

    @classmethod
    def of(cls, source: Source) -> ReadOptions:
        """Validate a source's options. Raises ConfigurationError naming the legal ones."""
        legal = [item.name for item in fields(cls)]
        if unknown := sorted(set(source.options) - set(legal)):
            raise ConfigurationError(f"source {source.name!r} has unknown options {unknown}; legal: {', '.join(legal)}")
        for name, value in source.options.items():
            _check_type(source, name, value, getattr(cls(), name))
        found = cls(**source.options)
        if found.bulk not in BULK:
            raise ConfigurationError(f"source {source.name!r}: option bulk is {found.bulk!r}; legal: {', '.join(BULK)}")
        if not 200 <= found.page_rows <= 2000:
            raise ConfigurationError(
                f"source {source.name!r}: option page_rows is {found.page_rows!r}; legal: 200 to 2000"
            )
        if found.deleted and source.columns.get(DELETED, "").upper() != "BOOLEAN":
            raise ConfigurationError(
                f"source {source.name!r} reads deleted records; declare the column {DELETED}: BOOLEAN, so that the "
                "mapping can tell them from living ones"
            )
        return found


@dataclass(frozen=True, slots=True)
class SourceQuery:
    """A source with validated options and the shape of its columns; made by ``of``."""

    source: Source
    options: ReadOptions
    shape: Shape

    @classmethod
    def of(cls, source: Source) -> SourceQuery:
        """Raises ConfigurationError for options, columns or roles that cannot be."""
        options = ReadOptions.of(source)
        found = cls(source, options, shape_of(source.columns, renamed=options.fields))
        _check_roles(source, found.shape)
        _check_children(source, found.shape, options)
        return found

    def query(self, since: datetime | None = None, until: datetime | None = None) -> Query:
        """The records of the source, optionally those modified in [since, until)."""
        node = self.shape.node(self.source.modified) if self.source.modified else None
        name = node.soql if node else None
        where = [self.source.filter] if self.source.filter else []
        where += [f"{name} >= {moment(since)}"] if since else []
        where += [f"{name} < {moment(until)}"] if until else []
        columns = dict.fromkeys([*self.shape.fields(), *([name] if name else [])])
        subqueries = [self._subquery(child) for child in self.shape.lists]
        return Query(self.source.entity_set, (*columns, *subqueries), tuple(where), name)

    def bulk_query(self, query: Query) -> Query:
        """The same with the ids of parents, which tell a parent without values from none in CSV."""
        return replace(query, columns=tuple(dict.fromkeys([*query.columns, *self.shape.fields(parent_ids=True)])))

    def children(self, node: Node, *, of: str, object_name: str, link: str) -> Query:
        """The records of one child relationship, of the parent with id ``of``.   link: the field that names it."""
        where = (f"{link} = '{of}'", *self._child_terms(node))
        return Query(object_name, tuple(_child_fields(node)), where)

    def _subquery(self, node: Node) -> str:
        return f"({Query(node.name, tuple(_child_fields(node)), tuple(self._child_terms(node))).soql()})"

    def _child_terms(self, node: Node) -> list[str]:
        terms = [self.options.children[node.name]] if node.name in self.options.children else []
        hides = self.options.deleted and DELETED not in [child.name for child in node.children]
        return [*terms, f"{DELETED} = false"] if hides else terms


def _check_type(source: Source, name: str, value: Any, default: Any) -> None:
    legal = (int, float) if isinstance(default, float) else type(default)
    if not isinstance(value, legal) or isinstance(value, bool) != isinstance(default, bool):
        raise ConfigurationError(
            f"source {source.name!r}: option {name} is {value!r}; legal: {type(default).__name__} such as {default!r}"
        )


def _check_roles(source: Source, shape: Shape) -> None:
    for role, name in (("key", source.key), ("modified", source.modified)):
        found = shape.node(name) if name is not None else None
        if name is not None and (found is None or found.kind is not Kind.FIELD):
            raise ConfigurationError(
                f"source {source.name!r}: {role} {name!r} must be a scalar column; columns: {', '.join(source.columns)}"
            )
        if role == "modified" and found is not None and not found.type_text.startswith("TIMESTAMP"):
            raise ConfigurationError(
                f"source {source.name!r}: modified {name!r} is {found.type_text}; declare it TIMESTAMP"
            )


def _check_children(source: Source, shape: Shape, options: ReadOptions) -> None:
    if unknown := sorted(set(options.children) - {node.name for node in shape.lists}):
        raise ConfigurationError(
            f"source {source.name!r}: option children names {unknown}, which are no child relationships among its "
            f"columns; there are: {', '.join(node.name for node in shape.lists) or 'none'}"
        )


def _child_fields(node: Node) -> list[str]:
    return list(dict.fromkeys(["Id", *(name for child in node.children for name in names(child))]))
