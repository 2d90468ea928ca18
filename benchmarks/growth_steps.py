"""A run of 10,000 changes against leg states of different sizes: markers, what was read, and the steps around it.

The markers of keys that a watermark run does not read hold any fingerprint: they are never compared.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import own_leg, records
from benchmarks.memory_steps import Agreeable

Found = dict[str, int]
CHANGES = 10_000
READ = datetime(2026, 8, 1, tzinfo=UTC)


def prepare(*, home: str, markers: int, complete: bool) -> Found:
    """A leg with so many markers, and an open run that read the changes alone, or everything (``complete``).

    Every ``markers / 10,000``-th record differs from its marker.
    """
    shutil.rmtree(home, ignore_errors=True)
    place = own_leg.site(Path(home))
    step = markers // CHANGES
    if complete:
        records.generate(rows=markers)
        keyed = own_leg.keyed(str(records.extract(markers, "before")))
        differs = f"substr(_key, 5)::BIGINT % {step} = 0"
        query = f"""SELECT _key AS key, CASE WHEN {differs} THEN 1::UBIGINT ELSE _fingerprint END AS fingerprint,
            '01t' || lpad(_key, 15, '0') AS target_id, false AS gone FROM ({keyed})"""
        read = f"SELECT * FROM read_parquet('{records.extract(markers, 'before')}')"
    else:
        query = f"""SELECT 'SKU-' || lpad(range::VARCHAR, 10, '0') AS key, hash(range) AS fingerprint,
            '01t' || lpad(range::VARCHAR, 15, '0') AS target_id, false AS gone FROM range({markers})"""
        read = records.of_numbers(f"(SELECT range * {step} AS range FROM range({CHANGES}))")
    _settled(place, query)
    work = _opened(place, complete=complete)
    with work.write("extract-records") as into, place.batches.connect(memory_limit="1GB") as con:
        rows = into.copy(con, read)
        into.facts = {"high_water": READ.isoformat(), "rows": rows, "state_version": work.state.version}
    work.note(read=rows)
    return {"rows": rows}


def _settled(place: Any, query: str) -> None:
    run = place.ledger.begin(own_leg.LEG, "before", kind="changes")
    with place.batches.connect(memory_limit="1GB") as con:
        delta = place.ledger.stage_delta(own_leg.LEG, con, query)
    counts = dict.fromkeys(("read", "extracted", "new", "sent", "delivered", "created"), delta.rows)
    place.ledger.settle(run, state_version=0, status="green", delta=delta, **counts)
    place.ledger.compact(own_leg.LEG)


def _opened(place: Any, *, complete: bool) -> Any:
    from commerce_sync import leg as legs
    from commerce_sync.window import Request

    request = Request(mode="complete") if complete else Request(mode="changes", since=READ)
    return legs.begin(place, own_leg.mapping(), own_leg.RUN, request=request)


def copied(*, home: str) -> Callable[[], Any]:
    """``map_changes``, ``load`` with a target that agrees, ``commit``: on a copy, so that every round finds the same.

    The gate is left out: it looks at the changes alone and never at the markers.
    """
    import pandas as pd  # noqa: F401  # pyarrow imports it with its first array

    from commerce_sync import delivery, detection
    from commerce_sync.leg import CHECK

    work_home = Path(f"{home}-work")
    shutil.rmtree(work_home, ignore_errors=True)
    shutil.copytree(home, work_home)
    leg = own_leg.resume(str(work_home))
    _ = leg.types

    def work() -> Callable[[], Found]:
        found = detection.map_changes(leg)
        with leg.write(CHECK) as into, leg.connect() as con:
            into.copy(con, "SELECT NULL::VARCHAR AS _key, '' AS expectation, '' AS reason WHERE false")
        delivery.load(leg, lambda *_: Agreeable(), wait_s=1)
        run = delivery.commit(leg)
        return lambda: {"modified": found.modified, "delivered": run.delivered}

    return work
