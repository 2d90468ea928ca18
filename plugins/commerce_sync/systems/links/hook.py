"""Aliases as a target and as a source of legs.

    to: {system: links, object: Account, external_id: lost, on_delete: delete, options: {system: salesforce}}
    fields: {lost: ..., now: ..., lost_id: ..., now_id: ...}

A leg like this follows the merges of a system: what it delivers are the single steps, what others read is followed to
the end (see ``Ledger.aliases``). A record that is un-merged disappears from the source, and its alias with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from commerce_sync import places
from commerce_sync.batches import Batch, BatchWriter
from commerce_sync.errors import ConfigurationError
from commerce_sync.ledger import Ledger
from commerce_sync.mapping import Field, Source, Target
from commerce_sync.systems.jobs import Loaded

if TYPE_CHECKING:
    import pyarrow as pa

FIELDS = ("lost", "now", "lost_id", "now_id")
COLUMNS = (*FIELDS, "updated")


@dataclass(frozen=True, slots=True)
class Extracted:
    """What a read gave: always all there is."""

    rows: int
    complete: bool = True
    high_water: datetime | None = None


class LinksHook:
    """Reads and writes the ledger's aliases. ``conn_id`` is not used: they are part of the ledger."""

    def __init__(
        self, conn_id: str = "links_default", *, on_call: Callable[[Any], None] | None = None,
        ledger: Ledger | None = None,
    ) -> None:  # fmt: skip
        self.conn_id = conn_id
        self._ledger = ledger

    @property
    def ledger(self) -> Ledger:
        """The ledger the installation uses, unless one was given."""
        return self._ledger or places.open_ledger()

    def load(
        self, target: Target, fields: Sequence[Field], changes: Batch, *, jobs: Any = None, into: BatchWriter,
        wait_s: float,
    ) -> Loaded:  # fmt: skip
        """Write the aliases of a leg, remove those of deleted records; one outcome per change.

        ``target.object`` is the object of the system named by the option ``system``. A row without ``lost`` or
        ``now``, or one that would close a circle, is rejected.   jobs, wait_s: not used, nothing runs on.
        """
        system = _system(target)
        _refuse_unknown(target, fields)
        rows = _rows(changes)
        wanted = [row for row in rows if row["_kind"] != "DELETED"]
        linked = self.ledger.put_aliases(system, target.object, wanted, gone=_gone(rows))
        outcomes = [_outcome(row, linked.refused) for row in rows]
        into.add(_table(outcomes))
        rejected = sum(row["outcome"] == "rejected" for row in outcomes)
        created = sum(bool(row["created"]) for row in outcomes)
        return Loaded(delivered=len(rows) - rejected, rejected=rejected, created=created)

    def extract(
        self, source: Source, *, since: datetime | None, until: datetime | None, complete: bool, into: BatchWriter
    ) -> Extracted:
        """Write every alias of an object (``entity_set``) of the system in the option ``system``, followed to its end.

        A step further down moves the end of the chains above it, so there is no reading by time.
        """
        import pyarrow as pa

        if source.modified is not None or source.filter is not None:
            raise ConfigurationError(
                f"source {source.name!r} of the links takes neither modified nor filter; leave out"
            )
        unknown = [name for name in source.columns if name not in COLUMNS]
        if unknown:
            raise ConfigurationError(
                f"source {source.name!r} has column {unknown[0]!r}; links have {', '.join(COLUMNS)}"
            )
        found = self.ledger.aliases_table(_system(source), source.entity_set)
        if found.num_rows:
            into.add(_typed(pa.table({name: found[name] for name in source.columns}), source))
        return Extracted(found.num_rows)


def _typed(rows: pa.Table, source: Source) -> pa.Table:
    import duckdb

    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        con.register("aliases", rows)
        columns = ", ".join(f'CAST("{name}" AS {kind}) AS "{name}"' for name, kind in source.columns.items())
        return con.sql(f"SELECT {columns} FROM aliases").to_arrow_table()


def _system(side: Source | Target) -> str:
    named = side.options.get("system")
    if not isinstance(named, str) or set(side.options) != {"system"}:
        raise ConfigurationError(f"links have the one option `system`, whose records are merged; found: {side.options}")
    return named


def _refuse_unknown(target: Target, fields: Sequence[Field]) -> None:
    names = [item.name for item in fields]
    if not {"lost", "now"} <= set(names) <= set(FIELDS) or target.external_id != "lost":
        raise ConfigurationError(
            f"a leg to links has external_id lost and the fields lost, now and perhaps lost_id, now_id; found: "
            f"external_id {target.external_id}, fields {', '.join(names)}"
        )
    if target.on_delete not in ("ignore", "delete"):
        raise ConfigurationError("a leg to links takes on_delete: ignore or delete; an alias has nothing to set")


def _rows(changes: Batch) -> list[dict[str, Any]]:
    import fsspec
    import pyarrow.parquet as pq

    rows: list[dict[str, Any]] = []
    for path in changes.paths():
        with fsspec.open(path, "rb") as source:
            rows += pq.read_table(source).to_pylist()
    return rows


def _gone(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Aliases of deleted records, and those of records that now stand for another lost one."""
    known = [row for row in rows if row["_target_id"]]
    return [
        row["_target_id"]
        for row in known
        if row["_kind"] == "DELETED" or (row["lost"] and row["lost"] != row["_target_id"])
    ]


def _outcome(row: dict[str, Any], refused: dict[str, str]) -> dict[str, Any]:
    base = dict.fromkeys(("code", "reason_class", "reason", "fields")) | {"_key": row["_key"], "created": False}
    if row["_kind"] == "DELETED":
        return base | {"outcome": "delivered", "target_id": row["_target_id"]}
    reason = refused.get(str(row["lost"]))
    if reason is not None:
        why = {"code": "ALIAS", "reason_class": "validation", "reason": reason, "fields": "lost,now"}
        return base | why | {"outcome": "rejected", "target_id": row["_target_id"]}
    return base | {"outcome": "delivered", "target_id": row["lost"], "created": row["_target_id"] is None}


def _table(outcomes: list[dict[str, Any]]) -> pa.Table:
    import pyarrow as pa

    text = ("_key", "outcome", "target_id", "code", "reason_class", "reason", "fields")
    fields = pa.schema([*((name, pa.string()) for name in text), ("created", pa.bool_())])
    return pa.Table.from_pylist(outcomes, fields)
