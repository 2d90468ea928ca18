"""A large load in shards: mapped tasks share the changes of a run, each with a job journal and results of its own.

A mapping with ``shards`` says into how many. The gate writes the plan of a run (batch ``shards``, no rows): how many
shards, of which change batch. A shard's run is the leg's run with some of its batches at addresses of their own
(``load.2-of-4``), so that the load itself knows nothing of it. Which shard a change is in depends on its key alone (or
on the value of ``shards.by``): a shard that was killed finds the same rows, and its journal the same jobs.
The commit joins what the shards left into the batches an undivided load would have left; balance, digest, history and
undo are of the whole. With fewer than twice ``shards.rows`` changes there is one shard, which is the undivided load.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from commerce_sync import agreement, applying, before_images, changes, delivery, folding
from commerce_sync.batches import Batch, Batches
from commerce_sync.delivery import ORIGIN, SENDING, Targets
from commerce_sync.errors import ConfigurationError
from commerce_sync.ledger import Run
from commerce_sync.leg import CHANGES, LOAD, LegRun, intact
from commerce_sync.mapping import Shards
from commerce_sync.systems.jobs import Loaded

SHARDS = "shards"
OF = "of"
JOINED = (SENDING, agreement.AGREEMENT, before_images.BEFORE, LOAD)
"""Batches of a load that later steps, or an undo, read; the results come last: once they are there, all are."""
OWN = (CHANGES, applying.AIMED, applying.STALE, folding.MARKED, *JOINED)
"""Batches that every shard has of its own."""


class ShardBatches(Batches):
    """The batches of a run as one shard of it sees them."""

    def __init__(self, whole: Batches, *, leg: str, run: str, shard: str) -> None:
        super().__init__(whole.root)
        self._of, self._shard = (leg, run), shard

    def address(self, leg: str, run: str, step: str) -> str:
        """Where the batch of a step lives."""
        is_own = (leg, run) == self._of and step in OWN
        return super().address(leg, run, f"{step}.{self._shard}" if is_own else step)


def plan(leg: LegRun) -> list[dict[str, int]]:
    """The shards of a run, for the task that is mapped over them: ``[{"number": 1, "of": 4}, ...]``.

    Decided once for a change batch: a gate that is repeated gives the same.
    """
    whole = leg.read(CHANGES)
    known = leg.find(SHARDS)
    if known is None or known.facts[ORIGIN] != _names(whole):
        count = _count(leg.mapping.shards, whole.rows)
        with leg.write(SHARDS) as into:
            into.facts = {OF: count, ORIGIN: _names(whole)}
    return [{"number": number, "of": _planned(leg)} for number in range(1, _planned(leg) + 1)]


def _count(shards: Shards | None, rows: int) -> int:
    return max(1, min(shards.count, rows // shards.rows)) if shards else 1


def _planned(leg: LegRun) -> int:
    """How many shards the run's present change batch was planned to have; 1 without a plan."""
    known = leg.find(SHARDS) if leg.mapping.shards else None
    return int(known.facts[OF]) if known and known.facts[ORIGIN] == _names(leg.read(CHANGES)) else 1


def _names(batch: Batch) -> list[str]:
    return [part.name for part in batch.parts]


def parts(leg: LegRun) -> Iterator[LegRun]:
    """The run's shards one after the other, for a load in this process."""
    for shard in plan(leg) if leg.mapping.shards else ({"number": 1, "of": 1},):
        yield part(leg, **shard)


def part(leg: LegRun, *, number: int, of: int) -> LegRun:
    """The run as shard ``number`` (from 1) of ``of`` sees it, with its share of the changes.

    Raises ConfigurationError when the changes were detected anew since the shards were planned.
    """
    if of == 1:
        return leg
    if of != _planned(leg):
        raise ConfigurationError(
            f"leg {leg.leg}: run {leg.id} has no shard {number} of {of} (any more): its changes were detected anew; "
            "start it again from its check step"
        )
    shard = _alone(leg, number=number, of=of)
    _cut(leg, shard, number=number, of=of)
    return shard


def _alone(leg: LegRun, *, number: int, of: int) -> LegRun:
    batches = ShardBatches(leg.site.batches, leg=leg.leg, run=leg.id, shard=f"{number}-of-{of}")
    return replace(leg, site=replace(leg.site, batches=batches))


def _cut(leg: LegRun, shard: LegRun, *, number: int, of: int) -> None:
    """Write the shard's changes, unless a killed task of the same shard did: remote jobs know rows by position."""
    whole = leg.read(CHANGES)
    known = shard.find(CHANGES)
    if known is not None and known.facts.get(ORIGIN) == _names(whole):
        return
    con = leg.connect()
    with shard.write(CHANGES) as into:
        into.facts = whole.facts | {ORIGIN: _names(whole)}
        into.copy(con, f"SELECT * FROM {intact(con, whole).scan()} WHERE {_place(leg)} % {of} = {number - 1}")


def _place(leg: LegRun) -> str:
    """SQL: a number that depends on the key (or the value of ``by``) alone, in every version of the libraries."""
    by = leg.mapping.shards.by if leg.mapping.shards else None
    value = f"coalesce(CAST({changes.quoted(by)} AS VARCHAR), _key)" if by else "_key"
    return f"md5_number_lower({value})"


def load(leg: LegRun, targets: Targets, *, wait_s: float) -> Any:
    """``delivery.load`` of a run or of a shard of it; a shard that got no changes has nothing to ask the target for."""
    if leg.read(CHANGES).rows:
        return delivery.load(leg, targets, wait_s=wait_s)
    with leg.write(LOAD):
        return Loaded()


def commit(leg: LegRun) -> Run:
    """``delivery.commit`` over the joined results of all shards. Raises ConfigurationError when one has none."""
    if leg.run.settled or (count := _planned(leg)) == 1:
        return delivery.commit(leg)
    shards = [_alone(leg, number=number, of=count) for number in range(1, count + 1)]
    _join(leg, shards)
    run = delivery.commit(leg)
    for shard in shards:  # those of a run that is killed here, or is red, are left to the maintenance
        for step in OWN:
            leg.site.batches.remove(shard.site.batches.address(leg.leg, leg.id, step))
    return run


def _join(leg: LegRun, shards: list[LegRun]) -> None:
    con = leg.connect()
    missing = [str(number) for number, shard in enumerate(shards, 1) if shard.find(LOAD) is None]
    if missing:
        raise ConfigurationError(
            f"leg {leg.leg}: run {leg.id} has no results of shard {', '.join(missing)} of {len(shards)}; "
            "start it again from its load step"
        )
    for step in JOINED:
        found = [batch for shard in shards if (batch := shard.find(step)) is not None]
        if found:
            _union(leg, con, step, [intact(con, batch) for batch in found])


def _union(leg: LegRun, con: Any, step: str, found: list[Batch]) -> None:
    filled = [f"SELECT * FROM {batch.scan(by_name=True)}" for batch in found if batch.parts]
    with leg.write(step) as into:
        into.facts = _facts(leg, con, step, found)
        if filled:
            into.copy(con, " UNION ALL BY NAME ".join(filled))


def _facts(leg: LegRun, con: Any, step: str, found: list[Batch]) -> dict[str, Any]:
    """Those of the first shard; of what one shard alone knows, what is true of any; the origin is the whole run's."""
    facts = dict(found[0].facts)
    if step == before_images.BEFORE:
        facts[before_images.AGAIN] = any(batch.facts.get(before_images.AGAIN) for batch in found)
    if ORIGIN in facts:
        facts[ORIGIN] = delivery._passed(leg, con)[1]
    return facts
