"""What a run that was given up may have done: its effects are at the target, and no marker says so.

As long as the same run is tried again, its commit consumes what arrived. When another run follows instead, it must not
trust the markers of the records the former one was sending: one that went back to its former value would look as the
target has it. And one that was created, and is gone from the source by the next complete scan, would be left behind:
what a given up run's results name as delivered counts as known. Where the load itself died there are no results; what
it may have created is only named: to delete on a guess could hit a record that was never ours. A record is in doubt
until a later run has delivered it, or a complete scan has delivered all it found: the window of a later run need not
meet it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from commerce_sync.attempts import may_have_sent
from commerce_sync.batches import Batch
from commerce_sync.ledger import Run
from commerce_sync.leg import CHANGES, LOAD, LegRun

LOOK_BACK_RUNS = 100
NOBODY = "SELECT NULL::VARCHAR AS _key WHERE false"


@dataclass(frozen=True, slots=True)
class GivenUp:
    """A run that ended between its load and its commit. handled: results of runs that settled after it."""

    changes: Batch
    results: Batch | None
    handled: tuple[Batch, ...]


def trusted(leg: LegRun, markers: str) -> str:
    """SQL of the markers (key, fingerprint, target_id), without the fingerprints of what is in doubt."""
    given_up = list(_given_up(leg))
    if not given_up:
        return markers
    sent = _union([_sent(item) for item in given_up])
    arrived = _union([_arrived(item) for item in given_up if item.results is not None])
    doubted = f"""SELECT key, CASE WHEN key NOT IN ({sent or NOBODY}) THEN fingerprint END AS fingerprint, target_id
        FROM ({markers})"""
    if not arrived:
        return doubted
    return f"""{doubted} UNION ALL SELECT _key, NULL::UBIGINT, max(target_id) FROM ({arrived})
        WHERE _key NOT IN (SELECT key FROM ({markers})) GROUP BY _key"""


def to_adopt(leg: LegRun) -> str:
    """SQL of what given up runs delivered and no marker knows: _key, target_id; empty when there is nothing.

    A complete scan that meets such a record and leaves it out, as it no longer meets the mapping's condition, ends the
    doubt without delivering it. Without a marker nobody would take it back when it goes.
    """
    if not leg.complete or leg.mapping.target.on_delete == "ignore":
        return ""
    arrived = _union([_arrived(item) for item in _given_up(leg) if item.results is not None])
    if not arrived:
        return ""
    return f"""SELECT _key, max(target_id) AS target_id FROM ({arrived})
        WHERE _key NOT IN (SELECT key FROM ({leg.site.ledger.markers_sql(leg.state)})) GROUP BY _key"""


def left_behind(leg: LegRun) -> str:
    """SQL of keys (_key) that loads which died half-way may have created and no marker knows; empty for none.

    Only a run that looks at all there is can say that the source no longer gives one of them.
    """
    if not leg.complete or leg.mapping.target.on_delete == "ignore":
        return ""
    created = _union([f"{_sent(item)} AND _kind = 'NEW'" for item in _given_up(leg) if item.results is None])
    if not created:
        return ""
    markers = leg.site.ledger.markers_sql(leg.state)
    return f"SELECT DISTINCT _key FROM ({created}) WHERE _key NOT IN (SELECT key FROM ({markers}))"


def _union(parts: list[str]) -> str:
    return " UNION ALL ".join(parts)


def _sent(item: GivenUp) -> str:
    """SQL: keys of what it was sending, and no later run has delivered."""
    return f"SELECT _key FROM {item.changes.scan()} WHERE _key NOT IN ({_handled(item)})"


def _handled(item: GivenUp) -> str:
    """SQL: keys that a later run has delivered. One that it could not deliver is in doubt still."""
    return _union([_delivered(results) for results in item.handled]) or NOBODY


def _delivered(results: Batch) -> str:
    return f"SELECT _key FROM {results.scan(by_name=True)} WHERE outcome = 'delivered'"


def _arrived(item: GivenUp) -> str:
    """SQL: key and target id of what was delivered and no later run has handled."""
    assert item.results is not None
    return f"""SELECT r._key, r.target_id FROM {item.results.scan(by_name=True)} AS r
        JOIN {item.changes.scan()} AS c ON c._key = r._key
        WHERE r.outcome = 'delivered' AND c._kind <> 'DELETED' AND r._key NOT IN ({_handled(item)})"""


def _given_up(leg: LegRun) -> Iterator[GivenUp]:
    """Runs after the last scan that left nothing open which may have sent something and never settled, newest first."""
    handled = list[Batch]()
    latest = leg.site.ledger.runs(leg.leg, limit=LOOK_BACK_RUNS)
    others = [run for run in latest if run.run != leg.id and run.kind != "plan"]
    scanned = next((at for at, run in enumerate(others) if _left_nothing_open(run)), len(others))
    if all(run.settled for run in others[:scanned]):
        return
    for run in others[:scanned]:
        changes, results = (_as_written(leg.site.batches.find(leg.leg, run.run, step)) for step in (CHANGES, LOAD))
        if run.settled:
            handled += [results] if results else []
        elif changes is not None and may_have_sent(leg.site.ledger, run):
            yield GivenUp(changes, results, tuple(handled))


def _left_nothing_open(run: Run) -> bool:
    open_rows = run.rejected + run.unprocessed + run.quarantined + run.waiting
    return run.settled and run.kind == "complete" and open_rows == 0


def _as_written(batch: Batch | None) -> Batch | None:
    """The batch if it has rows and nobody altered it: what is not sure must not delete anything."""
    try:
        return batch if batch is not None and batch.rows and not batch.altered() else None
    except FileNotFoundError:
        return None
