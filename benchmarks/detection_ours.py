"""Ours: the product's own detection, whole as its step does it, and with fingerprints that are there already."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import own_leg

Found = dict[str, int]
KEYED = "keyed.parquet"


def prepare(*, home: str, before: str, after: str, rows: int) -> Found:
    """Markers, an open run with its extract, and the keyed rows of that extract as a file."""
    found = own_leg.prepare(home=home, before=before, after=after, rows=rows)
    leg = own_leg.resume(home)
    with leg.connect() as con:
        con.execute(f"COPY ({own_leg.keyed(after)}) TO '{home}/{KEYED}' (FORMAT parquet, COMPRESSION zstd)")
    return found


def whole(*, home: str) -> Callable[[], Found]:
    """The step ``map_changes`` as it is: map, fingerprint, compare, write the change batch, note counts and digest."""
    from commerce_sync import detection

    leg = own_leg.resume(home)
    _ = leg.types

    def work() -> Found:
        found = detection.map_changes(leg)
        return {"new": found.new, "modified": found.modified, "deleted": found.deleted}

    return work


def staged(*, home: str) -> Callable[[], Found]:
    """The comparison alone: keyed rows with fingerprints written before, against the markers."""
    from commerce_sync import changes

    leg = own_leg.resume(home)
    con = leg.connect()
    comparison = _comparison(leg, con)

    def work() -> Found:
        keyed = f"read_parquet('{Path(home) / KEYED}')"
        query = f"SELECT verdict, count(*) FROM ({changes.verdicts(comparison, keyed_table=keyed)}) GROUP BY verdict"
        counts = dict(con.execute(query).fetchall())
        return {kind.lower(): counts.get(kind, 0) for kind in ("NEW", "MODIFIED", "DELETED")}

    return work


def _comparison(leg: Any, con: Any) -> Any:
    from commerce_sync import changes

    con.register("rejects_table", leg.site.ledger.rejects_table(leg.leg))
    return changes.Comparison(
        mapping=leg.mapping, types=leg.types, records="", complete=True,
        markers=f"SELECT key, fingerprint, target_id FROM ({leg.site.ledger.markers_sql(leg.state)})",
        rejects="SELECT key, status, fingerprint, next_attempt FROM rejects_table",
    )  # fmt: skip
