"""What a source may say about iconik: entity sets, parts, options, and the search they stand for."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

import pyarrow as pa

from commerce_sync.errors import ConfigurationError
from commerce_sync.mapping import Source
from commerce_sync.systems.iconik import columns
from commerce_sync.systems.iconik.catalogue import KINDS, Kind
from commerce_sync.systems.iconik.client import PER_PAGE, Row, all_of, any_of
from commerce_sync.systems.iconik.metadata import View

PARTS: dict[Kind, tuple[str, ...]] = {
    "assets": ("metadata", "approval", "formats", "files", "proxies", "keyframes", "subtitles", "relations",
               "collections", "latest_version"),
    "collections": ("metadata", "approval", "collections"),
}  # fmt: skip
"""Nested columns that need calls of their own when they are read from their resource."""
NOT_INDEXED = ("subtitles",)
"""Parts that search documents do not have."""
COMPUTED = ("collections", "latest_version")
"""Parts that come out of the object itself."""
NEEDS = {"collections": "in_collections", "latest_version": "versions"}
ALWAYS = ("id", "status", "date_modified")


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """``options`` of a source.

    view: metadata view (id or name) behind the column ``metadata``; default: the connection's.   statuses: which
    assets count as there.   terms: field -> values every asset must have, such as ancestor_collections.   recheck:
    terms of assets that each run reads although they did not change: approvals do not move ``date_modified``.
    direct: parts a complete scan reads from their resource too, one call per asset and part; the others then come
    from the search documents.   settle_s: assets modified less long before a scan than this are read directly: the
    index may lag.   order, scan_order: sort keys of delta and scan; the last one must be unique.   per_page: of the
    search.   concurrency: assets read at once.
    """

    view: str | None = None
    statuses: list[str] = field(default_factory=lambda: ["ACTIVE"])
    terms: dict[str, list[Any]] = field(default_factory=dict)
    exists: list[str] = field(default_factory=list)
    recheck: dict[str, list[Any]] | None = None
    direct: list[str] = field(default_factory=list)
    settle_s: float = 600.0
    order: list[str] = field(default_factory=lambda: ["date_modified", "id"])
    scan_order: list[str] = field(default_factory=lambda: ["date_created", "id"])
    per_page: int = PER_PAGE
    concurrency: int = 8

    @classmethod
    def of(cls, source: Source) -> ReadOptions:
        """Validate a source's options. Raises ConfigurationError naming the legal ones."""
        legal = [item.name for item in fields(cls)]
        if unknown := sorted(set(source.options) - set(legal)):
            raise ConfigurationError(f"source {source.name!r} has unknown options {unknown}; legal: {', '.join(legal)}")
        found = cls(**source.options)
        for name, largest in (("per_page", 1000), ("concurrency", 32)):
            value = getattr(found, name)
            if not isinstance(value, int) or not 1 <= value <= largest:
                raise ConfigurationError(f"source {source.name!r}: option {name} is {value!r}; legal: 1 to {largest}")
        for name in ("terms", "recheck"):
            value = getattr(found, name)
            if value is not None and not (isinstance(value, dict) and all(isinstance(v, list) for v in value.values())):
                raise ConfigurationError(
                    f"source {source.name!r}: option {name} is {value!r}; give {{field: [values]}}"
                )
        return found


@dataclass(frozen=True, slots=True)
class Reading:
    """A source, validated: what is read, and how."""

    source: Source
    options: ReadOptions
    kind: Kind
    schema: pa.Schema
    parts: tuple[str, ...]

    @classmethod
    def of(cls, source: Source) -> Reading:
        """Raises ConfigurationError for an unknown entity set, option or part, and for a bad key."""
        if source.entity_set not in KINDS:
            raise ConfigurationError(
                f"source {source.name!r}: iconik has no entity set {source.entity_set!r}; legal: {', '.join(KINDS)}"
            )
        kind: Kind = "assets" if source.entity_set == "assets" else "collections"
        found = columns.schema(source.columns)
        parts = tuple(name for name in PARTS[kind] if name in found.names)
        reading = cls(source, ReadOptions.of(source), kind, found, parts)
        reading._check()
        return reading

    def _check(self) -> None:
        name = self.source.name
        if self.source.key != "id":
            raise ConfigurationError(f"source {name!r}: the key of {self.kind} is 'id', not {self.source.key!r}")
        if self.source.modified not in (None, "date_modified"):
            raise ConfigurationError(
                f"source {name!r}: modified is {self.source.modified!r}; iconik is read by 'date_modified'"
            )
        if wrong := sorted(set(self.options.direct) - set(self.parts)):
            legal = ", ".join(self.parts) or "none (no such column is declared)"
            raise ConfigurationError(f"source {name!r}: option direct has {wrong}; legal: {legal}")
        signed = [part for part in self.parts if "url" in columns.members(self.schema, part) and part != "proxies"]
        if signed:
            raise ConfigurationError(
                f"source {name!r}: column {signed[0]!r} asks for 'url', a signed address that changes with every read "
                "and soon ends; leave it out and fetch one when it is used (only public proxies keep theirs)"
            )

    def check_view(self, view: View) -> None:
        """Raises ConfigurationError when the metadata columns do not fit the view as it is now."""
        for name, kind in columns.members(self.schema, "metadata").items():
            if name not in view.fields:
                raise ConfigurationError(
                    f"source {self.source.name!r}: metadata view {view.name!r} has no field {name!r} "
                    f"(was it renamed?); it has: {view.legal()}"
                )
            if view.fields[name].get("multi") and not pa.types.is_list(kind):
                raise ConfigurationError(
                    f"source {self.source.name!r}: field {name!r} of view {view.name!r} may have several values; "
                    f"declare it as a list, such as VARCHAR[]"
                )

    def criteria(self, *, since: datetime | None, until: datetime | None, recheck: bool = False) -> Row:
        """The search body. since, until: bounds on date_modified, both closed (the service has no others)."""
        terms = [any_of("status", self.options.statuses)]
        extra = (self.options.recheck or {}) if recheck else {}
        terms += [any_of(name, values) for name, values in (self.options.terms | extra).items()]
        terms += [{"name": name, "exists": True} for name in self.options.exists]
        is_window = since is not None or until is not None
        if is_window:
            bounds = {"min": since.isoformat() if since else None, "max": until.isoformat() if until else None}
            terms.append({"name": "date_modified", "range": {k: v for k, v in bounds.items() if v}})
        order = self.options.order if is_window else self.options.scan_order
        return {
            "doc_types": [self.kind],
            "query": self.source.filter or "",
            "filter": all_of(*terms),
            "include_fields": self._include(),
            "sort": [{"name": name, "order": "asc"} for name in order],
        }

    def _include(self) -> list[str]:
        names = [NEEDS.get(name, name) for name in self.schema.names]
        # The gate's parts are kept to the latest version, so the versions are always needed.
        return list(dict.fromkeys([*ALWAYS, *names, *(["versions"] if self.kind == "assets" else [])]))
