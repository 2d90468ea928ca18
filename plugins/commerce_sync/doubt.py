"""What a run that was given up may have done: its effects are at the target, and no marker says so.

As long as the same run is tried again, its commit consumes what arrived. When another run follows instead, it must not
trust the markers of the records the former one was sending: one that went back to its former value would look as the
target has it. And one that was created, and is gone from the source by the next complete scan, would be left behind:
what a given up run's results name as delivered counts as known until a run has handled it, or all was scanned.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from commerce_sync.batches import Batch
from commerce_sync.ledger import Run
from commerce_sync.leg import CHANGES, LOAD, LegRun

LOOK_BACK_RUNS = 100
NOBODY = "SELECT NULL::VARCHAR AS _key WHERE false"


@dataclass(frozen=True, slots=True)
class GivenUp:
    """A run that ended between its load and its commit.

    is_open: no delta run has read its window again.   handled: changes of runs that settled after it.
    """

    changes: Batch
    results: Batch | None
    is_open: bool
    handled: tuple[Batch, ...]


def trusted(leg: LegRun, markers: str) -> str:
    """SQL of the markers (key, fingerprint, target_id), without the fingerprints of what is in doubt."""
    given_up = list(_given_up(leg))
    if not given_up:
        return markers
    sent = _union([_keys(item.changes) for item in given_up if item.is_open])
    arrived = _union([_arrived(item) for item in given_up if item.results is not None])
    doubted = f"""SELECT key, CASE WHEN key NOT IN ({sent or NOBODY}) THEN fingerprint END AS fingerprint, target_id
        FROM ({markers})"""
    if not arrived:
        return doubted
    return f"""{doubted} UNION ALL SELECT _key, NULL::UBIGINT, max(target_id) FROM ({arrived})
        WHERE _key NOT IN (SELECT key FROM ({markers})) GROUP BY _key"""


def _union(parts: list[str]) -> str:
    return " UNION ALL ".join(parts)


def _keys(changes: Batch) -> str:
    return f"SELECT _key FROM {changes.scan()}"


def _arrived(item: GivenUp) -> str:
    """SQL: key and target id of what was delivered and no later run has handled."""
    assert item.results is not None
    handled = _union([_keys(changes) for changes in item.handled]) or NOBODY
    return f"""SELECT r._key, r.target_id FROM {item.results.scan(by_name=True)} AS r
        JOIN {item.changes.scan()} AS c ON c._key = r._key
        WHERE r.outcome = 'delivered' AND c._kind <> 'DELETED' AND r._key NOT IN ({handled})"""


def _given_up(leg: LegRun) -> Iterator[GivenUp]:
    """Runs since the last complete scan that may have sent something and never settled, newest first."""
    is_open, handled = True, list[Batch]()
    latest = leg.site.ledger.runs(leg.leg, limit=LOOK_BACK_RUNS)
    others = [run for run in latest if run.run != leg.id and run.kind != "plan"]
    scanned = next((at for at, run in enumerate(others) if run.settled and run.kind == "complete"), len(others))
    if all(run.settled for run in others[:scanned]):
        return
    for run in others[:scanned]:
        changes = _as_written(leg.site.batches.find(leg.leg, run.run, CHANGES))
        if run.settled:
            is_open = is_open and run.kind != "changes"
            handled += [changes] if changes else []
        elif changes is not None and _may_have_sent(leg, run):
            results = _as_written(leg.site.batches.find(leg.leg, run.run, LOAD))
            yield GivenUp(changes, results, is_open, tuple(handled))


def _may_have_sent(leg: LegRun, run: Run) -> bool:
    """A run that a gate, a guard or a person stopped sent nothing, unless an earlier try of it had begun to.

    Their refusals name the leg first; a run that was released or gave way may have been at any point.
    """
    refused = run.status == "stopped" and (run.message or "").startswith(f"leg {run.leg}: ")
    return not refused or bool(leg.site.ledger.jobs(run.leg, run.run).all())


def _as_written(batch: Batch | None) -> Batch | None:
    """The batch if it has rows and nobody altered it: what is not sure must not delete anything."""
    try:
        return batch if batch is not None and batch.rows and not batch.altered() else None
    except FileNotFoundError:
        return None
