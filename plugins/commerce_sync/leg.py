"""One run of one leg, step by step, free of any system and of Airflow: extract, aggregate, map, check.

Each step reads what the step before left at its address, writes its own batch, and notes counts in the ledger, so
that any step can be killed and started again. ``delivery`` holds the steps after the gate.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from commerce_sync import attempts, binding, budget_meter, changes, disguise, planned, replica, tombstones, window
from commerce_sync.batches import MEMORY_LIMIT, Batch, Batches, BatchWriter, refuse_altered, roomier
from commerce_sync.budget import Budgets
from commerce_sync.company import give_way
from commerce_sync.company import refuse_company as _refuse_company
from commerce_sync.errors import BalanceError, ConfigurationError, GateError, GuardError
from commerce_sync.history import History
from commerce_sync.ledger import Ledger, LegState, Run
from commerce_sync.ledger import Window as Span
from commerce_sync.mapping import Mapping, Source
from commerce_sync.window import Request

if TYPE_CHECKING:
    import duckdb

STATE_VERSION = "state_version"
EXTRACT, AGGREGATE, CHANGES = "extract", "aggregate", attempts.CHANGES
VERDICTS, CHECK, LOAD = "verdicts", "check", "load"
ASKED = "asked"
"""Batch without rows: what the run was asked to limit itself to, for the steps after ``extract``."""


class Extracted(Protocol):
    """What a source answers after reading."""

    @property
    def rows(self) -> int: ...
    @property
    def complete(self) -> bool: ...
    @property
    def high_water(self) -> datetime | None: ...


class SourceSystem(Protocol):
    """A system that can be read; raises RetryableError rather than giving fewer rows than there are."""

    def extract(
        self, source: Source, *, since: datetime | None, until: datetime | None, complete: bool, into: BatchWriter
    ) -> Extracted: ...


OnCall = Callable[[Any], None]
Sources = Callable[[Source, OnCall], SourceSystem]
"""Gives the system for a source; the system reports every HTTP call, so that failed ones count as well."""


@dataclass(frozen=True, slots=True)
class Site:
    """The stores a run works with. history: None keeps none.   undo: whether legs that can keep before-images do.

    budgets: what may be used of each connection.
    """

    ledger: Ledger
    batches: Batches
    stores: Batches
    pages: Path
    memory_limit: str = MEMORY_LIMIT
    history: History | None = None
    undo: bool = False
    budgets: Budgets = field(default_factory=dict)


@dataclass(frozen=True)
class LegRun:
    """One run of one leg: its mapping, its row in the ledger, its stores."""

    site: Site
    mapping: Mapping
    run: Run
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def leg(self) -> str:
        return self.mapping.leg

    @property
    def id(self) -> str:
        return self.run.run

    @cached_property
    def types(self) -> binding.Types:
        """DuckDB type of each target field."""
        return binding.field_types(self.mapping)

    @cached_property
    def state(self) -> LegState:
        """The leg's pointer row as it was when this step began."""
        return self.site.ledger.state(self.leg)

    @property
    def planned(self) -> bool:
        """Whether the run only finds out what it would send."""
        return self.run.kind == "plan"

    @cached_property
    def asked(self) -> dict[str, Any]:
        """What the run limits itself to: ``keys`` (only these) and ``limit`` (of changes); often nothing."""
        batch = self.find(ASKED)
        return batch.facts if batch else {}

    @property
    def keys(self) -> list[str]:
        """The only records this run looks at; empty for all."""
        return list(self.asked.get("keys", ()))

    @property
    def reads_all(self) -> bool:
        """Whether the sources are read completely."""
        return self.run.kind == "complete" or (self.run.since is None and self.run.kind in ("plan", "backfill"))

    @property
    def scans(self) -> bool:
        """Whether the sources are read completely and looked at completely."""
        return self.reads_all and not self.keys

    @property
    def complete(self) -> bool:
        """Whether the records of this run are all there are; figures of an aggregate are, unless asked by key."""
        return not self.keys and (self.scans or self.mapping.aggregate is not None)

    def connect(self, *, memory: int = 1) -> duckdb.DuckDBPyConnection:
        """A DuckDB session for this step with the run's time as variable ``now``. memory: so many times the usual."""
        con = self.site.batches.connect(memory_limit=roomier(self.site.memory_limit, memory))
        con.execute("SET VARIABLE now = ?::TIMESTAMPTZ", [self.now])
        self.site.ledger.attach(con)
        return con

    def find(self, step: str) -> Batch | None:
        """The batch another step left, if it did."""
        return self.site.batches.find(self.leg, self.id, step)

    def read(self, step: str) -> Batch:
        """The batch another step left."""
        return self.site.batches.read(self.leg, self.id, step)

    def refuse_stale(self, batch: Batch) -> None:
        """What was read before another run of the leg settled may be older than what the target has by now.

        Raises ConfigurationError: trying the step again cannot help, starting the run again can.
        """
        if self.state.version not in (batch.facts[STATE_VERSION], self.run.settled_version):
            raise ConfigurationError(
                f"leg {self.leg}: another run settled since run {self.id} read its records, so what it holds may be "
                "out of date. Start it again from its extract step, or leave it: the next run finds what is missing"
            )

    @contextmanager
    def write(self, step: str) -> Iterator[BatchWriter]:
        """Write this run's batch of a step."""
        with self.site.batches.write(self.leg, self.id, step) as writer:
            yield writer

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Note the seconds a step took, also when it fails; a gate's or guard's refusal marks the run stopped."""
        began = time.monotonic()
        try:
            with disguise.discreet(f"leg {self.leg}, step {step}"):
                yield
        except (GateError, GuardError) as error:
            self.note(status="stopped", message=str(error))
            raise
        except BalanceError as error:
            self.note(status="red", message=str(error))
            raise
        finally:
            self.note(seconds={step: round(time.monotonic() - began, 3)})

    @contextmanager
    def counting(self, system: str) -> Iterator[OnCall]:
        """Count HTTP calls, for the run's row and the budgets, also when the step fails; QuotaError without room."""
        calls: list[None] = []
        try:
            with budget_meter.of_leg(self.site.ledger, self.site.budgets, self.mapping):
                yield lambda _call: calls.append(None)
        finally:
            if calls:
                self.site.ledger.spend(system, len(calls))
                self.note(calls={system: len(calls)})

    def note(self, **values: Any) -> None:
        """Write counts, status or seconds to the run's row."""
        self.site.ledger.update(self.run, **values)


def begin(site: Site, mapping: Mapping, run_id: str, *, request: Request, now: datetime | None = None) -> LegRun:
    """Open a run, or take up the one that a killed step left.

    One that is started again after it settled, or may have sent something, becomes a new one (see ``attempts``).
    """
    now = now or datetime.now(UTC)
    request = planned.request(site.ledger, mapping.leg, request)
    state = site.ledger.state(mapping.leg)
    chosen = window.decide(request, mapping=mapping, high_water=_high_water(mapping, state),
                           complete_at=state.complete_at, now=now)  # fmt: skip
    _refuse_part_of_a_replica(mapping, state, chosen, request)
    name, before = attempts.to_begin(site.ledger, site.batches, mapping.leg, run_id)
    if before is not None:
        _leave(site, before, name)
    _refuse_company(site.ledger, mapping.leg, name)
    kind = "plan" if request.plans else chosen.kind
    run = site.ledger.begin(
        mapping.leg,
        name,
        kind=before.kind if before else kind,
        window=before.window if before else Span(since=chosen.since, until=chosen.until),
        mapping_version=mapping.version,
    )
    give_way(site.ledger, run)
    work = LegRun(site=site, mapping=mapping, run=run, now=now)
    _note_asked(work, request)
    return work


def _leave(site: Site, before: Run, name: str) -> None:
    """End a try that starts anew under another name."""
    if before.status == "running":
        site.ledger.update(before, status="stopped", message=f"began again as {name}")
    site.batches.hand_on(before.leg, before.run, attempts.BEFORE, to=name)


def _note_asked(leg: LegRun, request: Request) -> None:
    # A forgotten key is asked for as a mask that no record has; left out, the run would be one for all.
    marks = tombstones.marks_of(leg.site.ledger, leg.mapping) if request.keys else None
    keys = [marks.scrub(key) if marks else key for key in request.keys]
    given = {"keys": keys, "limit": request.limit, "plan": request.plan}
    given = {name: value for name, value in given.items() if value}
    if given or leg.find(ASKED):
        with leg.write(ASKED) as into:
            into.facts = given


def resume(site: Site, mapping: Mapping, run_id: str, *, now: datetime | None = None) -> LegRun:
    """The run that ``begin`` opened, for a later step. Raises ConfigurationError when it never began."""
    name = attempts.latest(site.ledger, mapping.leg, run_id)
    run = site.ledger.find_run(mapping.leg, name)
    if run is None:
        raise ConfigurationError(f"leg {mapping.leg}: run {run_id!r} has not begun; start it with its extract step")
    if run.status != "running" and not run.settled:
        _refuse_company(site.ledger, mapping.leg, name)
        run = site.ledger.begin(mapping.leg, name, kind=run.kind)
    return LegRun(site=site, mapping=mapping, run=run, now=now or datetime.now(UTC))


def release(site: Site, leg: str, run_id: str, *, message: str) -> None:
    """Mark a run that will not go on as stopped, so that the next one may begin; settled runs stay as they are."""
    run = site.ledger.find_run(leg, attempts.latest(site.ledger, leg, run_id))
    if run is not None and run.status == "running" and not run.settled:
        site.ledger.update(run, status="stopped", message=message)


def _refuse_part_of_a_replica(mapping: Mapping, state: LegState, chosen: window.Window, request: Request) -> None:
    """Figures of an owner need all of the owner's records: an interval alone would send figures that are too low."""
    known = bool(state.replica) and replica.readable(mapping, state.replica)
    if mapping.aggregate is not None and not known and not chosen.complete:
        asked = "backfill" if request.backfill else f"run with {'a window' if request.since else request.mode}"
        raise ConfigurationError(
            f"leg {mapping.leg}: a {asked} needs the records of all runs before it, and none are stored (or their "
            "columns have changed since); run the leg once with mode 'complete'"
        )


def _high_water(mapping: Mapping, state: LegState) -> datetime | None:
    """No high water when the replica's columns no longer fit: everything has to be read again."""
    if mapping.aggregate is not None and not replica.readable(mapping, state.replica):
        return None
    return state.high_water


def extract(leg: LegRun, sources: Sources) -> dict[str, Any]:
    """Read every source of the leg into its batch; returns counts. Nothing read and nothing carried ends the run."""
    with leg.timed(EXTRACT):
        counts = {source.name: _extract_one(leg, source, sources) for source in leg.mapping.sources}
        read = sum(counts.values())
        leg.note(read=read)
        return {"rows": read, "sources": counts, "window": _window(leg), "idle": read == 0 and _idle(leg)}


def _window(leg: LegRun) -> dict[str, Any]:
    bounds = {"since": leg.run.since, "until": leg.run.until}
    return {"kind": leg.run.kind} | {name: at.isoformat() for name, at in bounds.items() if at is not None}


def _idle(leg: LegRun) -> bool:
    """Nothing carried over from earlier runs either; a complete scan that found nothing has to face its guard."""
    return leg.run.kind == "changes" and leg.state.carry is None and leg.mapping.aggregate is None


def _extract_one(leg: LegRun, source: Source, sources: Sources) -> int:
    with leg.write(f"{EXTRACT}-{source.name}") as into, leg.counting(source.system) as on_call:
        into.facts[STATE_VERSION] = leg.state.version
        if leg.run.kind == "replay":
            return 0
        guarded = tombstones.edge(leg.site.ledger, leg.mapping, source, into)
        found = sources(source, on_call).extract(
            source, since=_since(leg, source), until=None if leg.reads_all else leg.run.until, complete=leg.reads_all,
            into=guarded,
        )  # fmt: skip
        if isinstance(guarded, tombstones.Edge):
            into.facts[tombstones.FORGOTTEN] = guarded.finish()
        into.facts |= {"high_water": found.high_water.isoformat() if found.high_water else None, "rows": found.rows}
    return found.rows


def _since(leg: LegRun, source: Source) -> datetime | None:
    """Each source goes by its own clock: what it showed last may be older than the newest of all the sources."""
    seen, known = leg.state.replica.get(replica.SEEN, {}).get(source.name), leg.state.high_water
    if leg.run.kind != "changes" or leg.run.since is None or seen is None or known is None:
        return leg.run.since
    is_asked_for = leg.run.since != window.below(known, leg.mapping)
    return leg.run.since if is_asked_for else min(leg.run.since, datetime.fromisoformat(seen) - source.overlap)


def aggregate(leg: LegRun) -> dict[str, Any]:
    """Merge what was read into the replica and compute the figures of the touched owners again."""
    with leg.timed(AGGREGATE):
        pointer = replica.usable(leg.mapping, leg.state.replica)
        con = leg.connect(memory=2)  # lists of an order's lines and the state of groups are not spilled
        work = replica.Replica(con, leg.site.stores, leg.mapping, pointer, _merged_owners(leg))
        extracts = {item.name: intact(work.con, leg.read(f"{EXTRACT}-{item.name}")) for item in leg.mapping.sources}
        done = work.aggregate(extracts, run=leg.id, complete=leg.scans)
        with leg.write(AGGREGATE) as into:
            into.facts = {"replica": done.pointer, STATE_VERSION: leg.state.version, **done.facts}
        return done.facts


def _merged_owners(leg: LegRun) -> dict[str, str]:
    """Owners that were merged away at the target, each with the one that is left."""
    known = getattr(leg.site.ledger, "aliases", None)
    return dict(known(leg.mapping.target.system, leg.mapping.target.object)) if known else {}


def records(leg: LegRun, con: duckdb.DuckDBPyConnection) -> str:
    """SQL of the records this run looks at: what was read, and what earlier runs could not bring home."""
    if leg.mapping.aggregate is not None:
        figures = leg.read(AGGREGATE)
        leg.refuse_stale(figures)
        pointer = figures.facts["replica"]
        as_of = (leg.run.until or leg.run.started).date().isoformat()
        every = replica.Replica(con, leg.site.stores, leg.mapping, pointer).records(pointer, as_of=as_of)
        return _of_keys(leg, every)
    read = fresh(leg, con)
    carried = leg.site.batches.open(leg.state.carry) if leg.state.carry and not leg.complete else None
    if carried is None or not carried.parts:
        return read
    key = f"CAST({leg.mapping.key} AS VARCHAR)"
    refuse_altered(con, carried, cure="run the leg once with mode 'complete', which reads these records again")
    return f"""{read} UNION ALL BY NAME SELECT * FROM (SELECT * FROM {carried.scan()}) AS record
        WHERE {key} NOT IN (SELECT {key} FROM ({read}) AS record)"""


def fresh(leg: LegRun, con: duckdb.DuckDBPyConnection) -> str:
    """SQL of the records that were read in this run, as far as it was asked for them."""
    read = leg.read(f"{EXTRACT}-{leg.mapping.source.name}")
    leg.refuse_stale(read)
    return _of_keys(leg, _or_nothing(leg.mapping.source, intact(con, read)))


def _of_keys(leg: LegRun, rows: str) -> str:
    """Without the records a run for a few keys was not asked for. What is carried stays: it must not get lost."""
    if not leg.keys:
        return rows
    listed = ", ".join("'" + key.replace("'", "''") + "'" for key in leg.keys)
    return f"SELECT * FROM ({rows}) AS record WHERE CAST({leg.mapping.key} AS VARCHAR) IN ({listed})"


def intact(con: duckdb.DuckDBPyConnection, batch: Batch) -> Batch:
    """The batch, if its files are as they were written. Raises BalanceError: a lost row is not a delete."""
    refuse_altered(con, batch)
    return batch


def _or_nothing(source: Source, batch: Batch) -> str:
    if batch.parts:
        return f"SELECT * FROM {batch.scan()}"
    nothing = ", ".join(f"NULL::{kind} AS {changes.quoted(name)}" for name, kind in source.columns.items())
    return f"SELECT {nothing} WHERE false"
