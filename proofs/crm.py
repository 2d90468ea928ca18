"""The target of a history: keeps what it is given by external id, refuses what it is told to, forgets nothing.

It answers in another order than it was asked, in several parts, as bulk interfaces do.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from commerce_sync.errors import RetryableError
from commerce_sync.systems.jobs import Loaded

Row = dict[str, Any]
TEXTS = ("_key", "outcome", "target_id", "code", "reason_class", "reason", "fields")
RESULTS = pa.schema([*((name, pa.string()) for name in TEXTS), ("created", pa.bool_())])


@dataclass
class Write:
    """One row the target was sent, in which run, and what it said; ``after``: the record as it then was."""

    run: str
    key: str
    kind: str
    outcome: str
    payload: Row
    after: Row | None


@dataclass
class Crm:
    """Records by external id. ``refuses``: key -> [times left, outcome].   ids: key -> id, new after a delete."""

    draw: random.Random
    records: dict[str, Row] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)
    refuses: dict[str, list[Any]] = field(default_factory=dict)
    writes: list[Write] = field(default_factory=list)
    run: str = ""
    before_row: Callable[[int], None] = lambda _number: None
    _made: int = 0

    def load(self, target: Any, fields: Sequence[Any], changes: Any, *, jobs: Any, into: Any, wait_s: float) -> Loaded:
        rows = [row for path in changes.paths() for row in pq.read_table(path).to_pylist()]
        self.draw.shuffle(rows)
        results = []
        for number, row in enumerate(rows, start=1):
            self.before_row(number)
            results.append(self._take(row, fields, target.on_delete))
        self.before_row(len(rows) + 1)
        self.draw.shuffle(results)
        half = len(results) // 2
        for part in (results[:half], results[half:]):
            into.add(pa.Table.from_pylist(part, schema=RESULTS))
        outcomes = [row["outcome"] for row in results]
        return Loaded(**{name: outcomes.count(name) for name in ("delivered", "rejected", "unprocessed")})

    def _take(self, row: Row, fields: Sequence[Any], on_delete: Any) -> Row:
        key, kind = row["_key"], row["_kind"]
        payload = {item.name: row[item.name] for item in fields}
        left = self.refuses.get(key)
        if left and left[0] > 0:
            left[0] -= 1
            self.writes.append(Write(self.run, key, kind, left[1], payload, self.records.get(key)))
            return {"_key": key, "outcome": left[1], "code": "NO", "reason_class": "validation", "reason": "not today"}
        created = self._delete(key, on_delete) if kind == "DELETED" else self._upsert(key, payload, fields)
        after = self.records.get(key)
        self.writes.append(Write(self.run, key, kind, "delivered", payload, dict(after) if after else None))
        return {"_key": key, "outcome": "delivered", "target_id": self.ids.get(key), "created": created}

    def _upsert(self, key: str, payload: Row, fields: Sequence[Any]) -> bool:
        leaves = {item.name for item in fields if item.on_null == "leave"}
        given = {name: value for name, value in payload.items() if value is not None or name not in leaves}
        created = key not in self.records
        if created:
            self._made += 1
            self.ids[key] = f"id-{self._made}"
        self.records[key] = {**dict.fromkeys(payload), **self.records.get(key, {}), **given}
        return created

    def _delete(self, key: str, on_delete: Any) -> bool:
        if isinstance(on_delete, dict):
            self.records[key] = {**self.records.get(key, {}), "Active": False}
        else:
            self.records.pop(key, None)
        return False


class Cut(RetryableError):
    """The connection to the target, or to the ledger, was cut."""
