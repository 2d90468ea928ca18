"""Settling: the one transaction in which a run's outcome becomes what the ledger remembers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING, Any

from sqlalchemy.engine import Connection

from commerce_sync.errors import ConfigurationError, RetryableError
from commerce_sync.ledger import answers, conflicts, holds, rejects, runs, state
from commerce_sync.ledger.conflicts import PairMove
from commerce_sync.ledger.rejected import Said
from commerce_sync.ledger.runs import Run, Status
from commerce_sync.ledger.state import LegState, MarkerFile

if TYPE_CHECKING:
    import pyarrow as pa


class Keep(Enum):
    """Stands for "leave what is there", where None would mean "there is none any more"."""

    KEEP = "keep"


KEEP = Keep.KEEP


@dataclass(frozen=True, slots=True)
class Settlement:
    """What a run hands in. Times of None, and KEEP, leave what is there; ``values``: counts and such."""

    state_version: int
    status: Status
    delta: MarkerFile | None = None
    rejects: pa.Table | None = None
    clear: Iterable[Any] = ()
    carry: str | None | Keep = KEEP
    replica: dict[str, Any] | Keep = KEEP
    high_water: datetime | None = None
    complete_at: datetime | None = None
    pair: PairMove | None = None
    clear_holds: Iterable[Any] = ()
    said: Said | None = None
    values: dict[str, Any] = field(default_factory=dict)


def settle(connection: Connection, run: Run, *, settlement: Settlement) -> Run:
    """Write everything or nothing; a run that is settled already is returned as it was stored.

    Raises RetryableError when another run of the leg settled after ``state_version`` was read, BalanceError
    for a green status over an unaccounted row, ConfigurationError for a plan.
    """
    stored = runs.demand(connection, run.leg, run=run.run)
    if stored.settled:
        return stored
    wanted = _closing_values(stored, settlement=settlement)
    current = state.locked(connection, run.leg)
    settled = _settled_state(current, run=stored, settlement=settlement, advance=_may_advance(stored, wanted))
    if current.version != settlement.state_version or not state.write(connection, settled, previous=current):
        raise RetryableError(
            f"leg {run.leg!r}: another run of the leg settled first (now version "
            f"{current.version}, {run.run!r} had read version {settlement.state_version}); "
            "read the state again, then settle again"
        )
    rejects.clear(connection, run.leg, keys=settlement.clear)
    if settlement.rejects is not None:
        rejects.put(connection, run.leg, run=run.run, rows=settlement.rejects)
    _heed(connection, run, said=settlement.said)
    holds.clear(connection, run.leg, keys=settlement.clear_holds)
    _move_pair(connection, run, move=settlement.pair)
    return runs.write(connection, stored, values=wanted | {"settled_version": settled.version})


def _heed(connection: Connection, run: Run, *, said: Said | None) -> None:
    """End the edits that arrived or were overtaken; what was said meanwhile holds for what the run leaves."""
    if said is None:
        return
    newest = answers.newest_open(connection, run.leg)
    if newest > said.read:
        raise RetryableError(f"leg {run.leg!r}: a reject was edited while run {run.run!r} settled; settle again")
    now = datetime.now(UTC)
    for ids, status in ((said.done, "done"), (said.dropped, "dropped")):
        noted = None if status == "done" else False
        answers.close(connection, run.leg, ids=ids, status=status, run=run.run, now=now, noted=noted)  # type: ignore[arg-type]
    answers.say_again(connection, run.leg, after=said.seen)


def _move_pair(connection: Connection, run: Run, *, move: PairMove | None) -> None:
    if move is None:
        return
    conflicts.move_pair(connection, move.pair, version=move.version, agreed=move.agreed)
    if move.conflicts is not None:
        conflicts.note(connection, move.pair, leg=run.leg, run=run.run, rows=move.conflicts)


def _closing_values(stored: Run, *, settlement: Settlement) -> dict[str, Any]:
    if stored.kind == "plan":
        raise ConfigurationError(
            f"leg {stored.leg!r}: run {stored.run!r} is a plan, it sent nothing and settles nothing"
        )
    if settlement.status == "running":
        raise ConfigurationError(f"leg {stored.leg!r}: a run settles as green, red or stopped, not as running")
    values = runs.merged(stored, values=settlement.values | {"status": settlement.status})
    runs.check_status(stored, values=values)
    return values | {"ended": datetime.now(UTC)}


def _may_advance(stored: Run, wanted: dict[str, Any]) -> bool:
    """A backfill never moves the high water, an unbalanced run moves nothing (contracts 4.3, 4.8)."""
    counts = {name: wanted.get(name, number) for name, number in stored.counts.items()}
    return stored.kind != "backfill" and runs.balances(counts)


def _settled_state(current: LegState, *, run: Run, settlement: Settlement, advance: bool) -> LegState:
    moved = _with_delta(current, delta=settlement.delta, run=run.run)
    return replace(
        moved,
        version=current.version + 1,
        high_water=_later(current.high_water, settlement.high_water if advance else None),
        complete_at=_later(current.complete_at, settlement.complete_at if advance else None),
        carry=current.carry if isinstance(settlement.carry, Keep) else settlement.carry,
        replica=current.replica if isinstance(settlement.replica, Keep) else settlement.replica,
        mapping_version=run.mapping_version if run.mapping_version is not None else current.mapping_version,
    )


def _with_delta(current: LegState, *, delta: MarkerFile | None, run: str) -> LegState:
    if delta is None or delta.rows == 0:
        return current
    named = replace(delta, run=run)
    if not current.base and not current.deltas and delta.gone == 0:
        return replace(current, base=(named,))  # the first load is a sorted base as it stands
    return replace(current, deltas=(*current.deltas, named))


def _later(stored: datetime | None, given: datetime | None) -> datetime | None:
    return max((moment for moment in (stored, given) if moment is not None), default=None)


def replace_compacted(connection: Connection, *, compacted: LegState, base: MarkerFile) -> bool:
    """Put a new base in place of the files it was made from; runs that settled meanwhile keep their deltas.

    False when somebody else compacted first. The version stays: nothing a run has read has changed.
    """
    current = state.locked(connection, compacted.leg)
    done = len(compacted.deltas)
    if current.base != compacted.base or current.deltas[:done] != compacted.deltas:
        return False
    bases = (base,) if base.rows else ()
    return state.write(connection, replace(current, base=bases, deltas=current.deltas[done:]), previous=current)


def forget_retired(connection: Connection, leg: str, *, before: datetime) -> LegState:
    """Drop names retired before a moment from the pointer row; gives the state, whose names must be kept."""
    current = state.locked(connection, leg)
    young = tuple(entry for entry in current.retired if datetime.fromisoformat(entry[1]) >= before)
    state.write(connection, replace(current, retired=young), previous=current)
    return replace(current, retired=young)
