"""Rows that change together: the fields of such a target, its options, and which rows share a ChangeSet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import fsspec
import pyarrow.parquet as pq

from commerce_sync.batches import Batch
from commerce_sync.errors import ConfigurationError
from commerce_sync.mapping import Field, Target
from commerce_sync.systems.sap_commerce.protocol import Failure
from commerce_sync.systems.sap_commerce.schema import Schema

STYLE = "together"
NEEDED = (
    "group", "follows", "batch", "batch_rows", "entity_set", "attribute", "code", "version", "catalog", "value",
    "value_version", "value_catalog",
)  # fmt: skip
"""group: rows with one value share a ChangeSet, with those of the group they take a place over from (follows).
batch, batch_rows: which rows have to be there, and how many.   entity_set, attribute, code, version, catalog: the
reference.   value...: what it refers to, all null for nothing."""
OPTIONAL = ("fallback", "fallback_version", "fallback_catalog", "may_clear")
"""What is set instead of a value that is gone; with may_clear and no fallback (that is there): nothing."""
LARGEST = 10_000
"""Operations in one ChangeSet; SAP sets no limit and has tested so many."""


@dataclass(frozen=True, slots=True)
class TogetherOptions:
    """``options`` of such a target.

    service: the integration object, which has every entity set.   entity_sets: entity set -> attributes that may be
    set.   largest: operations of one group; SAP advises 100 to 1000.
    """

    style: str
    service: str
    entity_sets: Mapping[str, Sequence[str]]
    largest: int = 1000

    @classmethod
    def of(cls, target: Target) -> TogetherOptions:
        """Validate a target's options. Raises ConfigurationError naming the legal ones."""
        legal = [item.name for item in fields(cls)]
        unknown = sorted(set(target.options) - set(legal))
        missing = sorted({"service", "entity_sets"} - set(target.options))
        if unknown or missing:
            wrong = f"unknown {unknown}" if unknown else f"no {missing}"
            raise ConfigurationError(f"options of target {target.object!r} have {wrong}; legal: {', '.join(legal)}")
        if target.on_delete != "ignore":
            raise ConfigurationError(
                f"on_delete of target {target.object!r} is {target.on_delete!r}; legal: ignore (what goes back "
                "goes back as a row of its group)"
            )
        found = cls(**target.options)
        if not isinstance(found.largest, int) or not 1 <= found.largest <= LARGEST:
            raise ConfigurationError(f"target option largest is {found.largest!r}; legal: 1 to {LARGEST}")
        return found

    def check(self, schema: Schema) -> None:
        """Raise ConfigurationError for a set or attribute that the service lacks, or that is no single reference."""
        for entity_set, attributes in self.entity_sets.items():
            entity = schema.entity(entity_set)
            single = {name: item for name, item in entity.navigations.items() if not item.many}
            for name in attributes:
                kinds = [entity, schema.types[single[name].target]] if name in single else []
                if not kinds or any(len(kind.key_properties) != 1 or not _at_home(kind) for kind in kinds):
                    raise ConfigurationError(
                        f"target option entity_sets: {schema.service}/{entity_set} has no single reference {name!r} "
                        f"between items of catalogs; it has: {', '.join(single) or 'none'}"
                    )


def _at_home(kind: Any) -> bool:
    return "catalogVersion" in kind.navigations


@dataclass(frozen=True, slots=True)
class Name:
    """What identifies an item of a catalog."""

    code: str
    version: str
    catalog: str

    @classmethod
    def of(cls, row: Mapping[str, Any] | None, key: str) -> Name | None:
        """The name of an entity that came with its catalog version; None for none."""
        if not row or "__deferred" in row:
            return None
        home = row["catalogVersion"]
        return cls(row[key], home["version"], home["catalog"]["id"])

    def body(self, key: str) -> dict[str, Any]:
        """The name as a reference."""
        return {key: self.code, "catalogVersion": {"version": self.version, "catalog": {"id": self.catalog}}}

    @property
    def text(self) -> str:
        """``version|catalog|code``, as SAP spells most integration keys."""
        return f"{self.version}|{self.catalog}|{self.code}"

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Change:
    """One row of the change batch."""

    key: str
    is_deleted: bool
    group: str
    follows: str | None
    batch: str
    batch_rows: int
    entity_set: str
    attribute: str
    at: Name
    value: Name | None
    fallback: Name | None
    may_clear: bool = False
    helped: bool = False


def is_together(target: Target) -> bool:
    """Whether a target is written the way of this style."""
    return target.options.get("style") == STYLE


def check_fields(mapped: Sequence[Field]) -> None:
    """Raises ConfigurationError when the fields are not those of this style."""
    names = {item.name for item in mapped}
    missing, unknown = sorted(set(NEEDED) - names), sorted(names - {*NEEDED, *OPTIONAL})
    if missing or unknown:
        wrong = f"lacks the fields {missing}" if missing else f"has unknown fields {unknown}"
        raise ConfigurationError(
            f"a target of style {STYLE} {wrong}; it takes: {', '.join(NEEDED)}, optional: {', '.join(OPTIONAL)}"
        )


def read(changes: Batch) -> list[Change]:
    """All rows: a group may lie anywhere in the batch."""
    found = []
    for path in changes.paths():
        with fsspec.open(path, "rb") as source:
            found += [_change(row) for row in pq.read_table(source).to_pylist()]
    return found


def _change(row: Mapping[str, Any]) -> Change:
    return Change(
        key=row["_key"], is_deleted=row["_kind"] == "DELETED", group=str(row["group"]), follows=row["follows"],
        batch=str(row["batch"]), batch_rows=int(row["batch_rows"] or 0), entity_set=str(row["entity_set"]),
        attribute=str(row["attribute"]), at=Name(str(row["code"]), str(row["version"]), str(row["catalog"])),
        value=_name(row, "value"), fallback=_name(row, "fallback"), may_clear=bool(row.get("may_clear")),
    )  # fmt: skip


def _name(row: Mapping[str, Any], prefix: str) -> Name | None:
    code = row.get(prefix)
    return None if code is None else Name(code, str(row[f"{prefix}_version"]), str(row[f"{prefix}_catalog"]))


def linked(changes: Sequence[Change]) -> Iterator[list[Change]]:
    """Rows that share a ChangeSet: one group, and every group whose place another takes over; in a stable order."""
    leads: dict[str, str] = {}

    def lead(name: str) -> str:
        while leads.setdefault(name, name) != name:
            name = leads[name]
        return name

    for change in changes:
        first, second = sorted((lead(change.group), lead(change.follows or change.group)))
        leads[second] = first
    groups: dict[str, list[Change]] = {}
    for change in sorted(changes, key=lambda item: (item.entity_set, item.at.text, item.attribute, item.key)):
        groups.setdefault(lead(change.group), []).append(change)
    for name in sorted(groups):
        yield groups[name]


def unfit(group: Sequence[Change], options: TogetherOptions) -> Failure | None:
    """Why a group must not be sent at all, None when it may."""
    if len(group) > options.largest:
        text = (
            f"group {group[0].group} has {len(group)} rows, a ChangeSet of this leg at most {options.largest}; it is "
        )
        return Failure(0, "group_too_large", f"{text}not cut: make it smaller, or raise the option largest")
    for batch in sorted({change.batch for change in group}):
        rows = [change for change in group if change.batch == batch]
        if len(rows) != rows[0].batch_rows:
            text = f"{len(rows)} of the {rows[0].batch_rows} rows of {batch} are in this run; none is sent without all"
            return Failure(0, "group_incomplete", text)
    strange = [item for item in group if item.attribute not in options.entity_sets.get(item.entity_set, ())]
    if strange:
        where = f"{strange[0].entity_set}.{strange[0].attribute}"
        return Failure(0, "place_unknown", f"{where} is in no entity_sets of this leg; nothing of its group is sent")
    return None
