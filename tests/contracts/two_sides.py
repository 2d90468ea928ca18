"""Two sides in memory that keep what they are given, and the two legs between them, walked step by step.

They stand in for real systems only where a story needs hundreds of runs: everything between them is the real thing.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from commerce_sync import delivery, detection, mapping_file
from commerce_sync import leg as legs
from commerce_sync.ledger import Run
from commerce_sync.mapping import Mapping
from commerce_sync.systems.jobs import Loaded
from commerce_sync.window import Request
from flows.walking import open_site

SHOP, CRM = "sap_commerce", "salesforce"
OUT, BACK = "shop_to_crm", "crm_to_shop"
VALUES = ("phone", "email")
OWNERS = {"phone": SHOP, "email": CRM}
OWN = {SHOP: "name", CRM: "tier"}
"""What only one side may edit."""

YAML = """
leg: {leg}
pair: people
from:
  system: {source}
  service: People
  entity_set: People
  columns: {{code: VARCHAR, {own}: VARCHAR, phone: VARCHAR, email: VARCHAR, active: BOOLEAN}}
  key: code
  modified: code
  overlap: 0 s
key: code
where: active
to: {{system: {target}, object: People, external_id: code{deletes}}}
fields:
  code: code
  {own}: {own}
  phone: {{value: phone, shared: {{name: telephone, owner: sap_commerce}}}}
  email: {{value: email, shared: {{name: mail, owner: salesforce}}}}
guards: {{max_deletes: null, max_rejected: null}}
complete_scan: null
"""


@cache
def mappings(folder: Path) -> dict[str, Mapping]:
    """Both legs, read from files as usual."""
    found = {}
    for leg, source, target, deletes in (
        (OUT, SHOP, CRM, ", on_delete: delete, on_leave: delete"),
        (BACK, CRM, SHOP, ""),
    ):
        path = folder / f"{leg}.yaml"
        text = YAML.format(leg=leg, source=source, target=target, own=OWN[source], deletes=deletes)
        path.write_text(text)
        found[leg] = mapping_file.load(path)
    return found


@dataclass(frozen=True)
class Read:
    rows: int
    complete: bool
    high_water: datetime | None


@dataclass
class Side:
    """One system. ``overwritten``: (key, name, value) that a leg's write replaced.   writes: rows it was sent.

    history: every (key, name, value) it ever had.   automation: called with the record after each write of a leg, may change it.   refuses: keys it rejects.
    """

    name: str
    people: dict[str, dict[str, Any]] = field(default_factory=dict)
    stamps: dict[str, datetime] = field(default_factory=dict)
    overwritten: list[tuple[str, str, Any]] = field(default_factory=list)
    writes: list[dict[str, Any]] = field(default_factory=list)
    history: set[tuple[str, str, Any]] = field(default_factory=set)
    refuses: set[str] = field(default_factory=set)
    automation: Callable[[dict[str, Any]], None] | None = None

    def edit(self, key: str, **values: Any) -> None:
        """What a person does here."""
        blank = {"code": key, "name": None, "tier": None, "phone": None, "email": None, "active": True}
        self.people[key] = self.people.get(key, blank) | values
        self.history |= {(key, name, values[name]) for name in VALUES if name in values}
        self.stamps[key] = datetime.now(UTC)

    def value(self, key: str, name: str) -> Any:
        return self.people[key][name]

    # As a source

    def extract(self, source: Any, *, since: Any, until: Any, complete: bool, into: Any) -> Read:
        kept = [
            key for key, at in self.stamps.items()
            if key in self.people and (since is None or at >= since) and (until is None or at <= until)
        ]  # fmt: skip
        rows = [{name: self.people[key][name] for name in source.columns} for key in kept]
        kinds = {"BOOLEAN": pa.bool_()}
        schema = pa.schema([(name, kinds.get(kind, pa.string())) for name, kind in source.columns.items()])
        into.add(pa.Table.from_pylist(rows, schema=schema))
        return Read(len(rows), complete, max((self.stamps[key] for key in kept), default=None))

    # As a target

    def current(self, target: Any, fields: Any, keys: list[str], *, types: dict[str, str]) -> pa.Table:
        names = [item.name for item in fields]
        schema = pa.schema([("_target_key", pa.string()), *((name, pa.string()) for name in names)])
        rows = [
            {"_target_key": key} | {name: self.people[key][name] for name in names}
            for key in keys
            if key in self.people
        ]
        return pa.Table.from_pylist(rows, schema=schema)

    def load(self, target: Any, fields: Any, changes: Any, *, jobs: Any, into: Any, wait_s: float) -> Loaded:
        rows = [row for path in changes.paths() for row in pq.read_table(path).to_pylist()]
        results = [self._take(row, [item.name for item in fields]) for row in rows]
        texts = ("_key", "outcome", "target_id", "code", "reason_class", "reason", "fields")
        into.add(pa.Table.from_pylist(results, schema=pa.schema(
            [*((name, pa.string()) for name in texts), ("created", pa.bool_())]
        )))  # fmt: skip
        return Loaded(delivered=len(rows))

    def _take(self, row: dict[str, Any], names: list[str]) -> dict[str, Any]:
        key = row["_key"]
        self.writes.append(row)
        if key in self.refuses:
            return {"_key": key, "outcome": "rejected", "code": "NO", "reason_class": "validation", "reason": "no"}
        if row["_kind"] == "DELETED":
            self.people.pop(key, None)
            return {"_key": key, "outcome": "delivered"}
        given = {name: row[name] for name in names if name not in row["_leave"]}
        before = self.people.get(key)
        if before is not None:
            changed = [name for name in VALUES if name in given and given[name] != before[name]]
            self.overwritten += [(key, name, before[name]) for name in changed]
        self.edit(key, **given)
        if self.automation is not None:
            self.automation(self.people[key])
        return {"_key": key, "outcome": "delivered", "target_id": key, "created": before is None}


class Two:
    """The shop, the CRM, and the legs between them."""

    def __init__(self, folder: Path, declared: dict[str, Mapping]) -> None:
        self.site = open_site(folder)
        self.mappings = dict(declared)
        self.sides = {SHOP: Side(SHOP), CRM: Side(CRM)}
        self.shop, self.crm = self.sides[SHOP], self.sides[CRM]
        self._numbers = itertools.count(1)

    def alter(self, leg: str, **target: Any) -> None:
        self.mappings[leg] = replace(self.mappings[leg], target=replace(self.mappings[leg].target, **target))

    def begin(self, leg: str, mode: str = "auto", *, now: datetime | None = None) -> str:
        """Begin a run and read; gives its name."""
        name = f"run-{next(self._numbers)}"
        work = legs.begin(self.site, self.mappings[leg], name, request=Request(mode=mode), now=now)
        legs.extract(work, lambda source, _on_call: self.sides[source.system])
        return name

    def resume(self, leg: str, name: str, *, now: datetime | None = None) -> legs.LegRun:
        return legs.resume(self.site, self.mappings[leg], name, now=now)

    def load(self, leg: str, name: str, *, now: datetime | None = None) -> None:
        delivery.load(self.resume(leg, name, now=now), lambda mapping, _on: self.sides[mapping.target.system], wait_s=1)

    def finish(self, leg: str, name: str, *, now: datetime | None = None) -> Run:
        """The other steps of a run."""
        if detection.map_changes(self.resume(leg, name, now=now)).send:
            self.load(leg, name, now=now)
        return delivery.commit(self.resume(leg, name, now=now))

    def run(self, leg: str, mode: str = "auto", *, now: datetime | None = None) -> Run:
        return self.finish(leg, self.begin(leg, mode, now=now), now=now)

    def cycle(self) -> int:
        """Both legs once; gives the number of rows they sent."""
        before = self.written()
        self.run(OUT)
        self.run(BACK)
        return self.written() - before

    def settle(self) -> None:
        """Until nothing moves, which two cycles do."""
        self.cycle()
        self.cycle()
        assert self.cycle() == 0

    def written(self) -> int:
        return sum(len(side.writes) for side in self.sides.values())

    def conflicts(self, key: str | None = None) -> list[Any]:
        return self.site.ledger.conflicts(pair="people", key=key)

    def rejects(self, leg: str) -> dict[str, Any]:
        return {item.key: item for item in self.site.ledger.rejects(leg)}

    def values(self, key: str, name: str) -> tuple[Any, Any]:
        """What the shop and the CRM have."""
        return self.shop.value(key, name), self.crm.value(key, name)
