"""Case: all rows of an entity set of SAP Commerce into Parquet, when every answer takes 50 ms."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks import measure
from benchmarks.measure import Contender, Found, Track
from benchmarks.results import Goal, Report, track_figures, track_table
from benchmarks.stub_commerce import PAGE_ROWS

LATENCY_MS = 50
AT_ONCE = 8
MOST_ROUNDS = 3
OURS, DEFAULT, SEQUENTIAL = "ours, 8 windows at once", "ours, 4 windows (default)", "ours, one window at a time"
USUAL, ARROW, PYODATA = "requests, json_normalize", "requests, json, Arrow", "pyodata"
BYTES = "limit: bytes only, 8 at once"


def run(*, rows: int, rounds: int) -> Report:
    """rows: of the entity set, 1,000 a page. Slow contenders make the rounds long, so there are at most three."""
    rounds = min(rounds, MOST_ROUNDS)
    with stub(rows) as url:
        tracks = measure.race(_contenders(url, rows), rounds=rounds, accept=lambda _n, found: _accept(rows, found))
    ours, pages = tracks[OURS], -(-rows // PAGE_ROWS)
    title = f"Extraction, {rows:,} rows on {pages} pages, {LATENCY_MS} ms each"
    report = Report("extraction", title, {"rows": rows, "rounds": rounds, "latency_ms": LATENCY_MS})
    report.table = track_table(list(tracks.values()), ours=ours)
    floor_s = pages * LATENCY_MS / 1000 / AT_ONCE
    report.figures = track_figures(list(tracks.values()), ours=ours) | {"floor_s": floor_s}
    report.goals = _goals(ours, tracks, floor_s)
    return report


def _contenders(url: str, rows: int) -> list[Contender]:
    common = {"url": url, "rows": rows}
    own = {OURS: AT_ONCE, DEFAULT: 4, SEQUENTIAL: 1}
    found = [Contender(n, "extraction_clients:ours", common | {"concurrency": many}) for n, many in own.items()]
    found.append(Contender(BYTES, "extraction_clients:bytes_only", common | {"concurrency": AT_ONCE}))
    peers = {ARROW: "arrow", USUAL: "usual", PYODATA: "pyodata"}
    return found + [Contender(name, f"extraction_clients:{entry}", common) for name, entry in peers.items()]


def _accept(rows: int, found: Found) -> None:
    if found != {"rows": rows}:
        raise ValueError(f"read {found}, the entity set has {rows} rows")


def _goals(ours: Track, tracks: dict[str, Track], floor_s: float) -> list[Goal]:
    limits = {SEQUENTIAL: 4.0, USUAL: 5.0, PYODATA: 5.0, ARROW: 1.0}
    goals = [
        Goal(f"faster than {name}", tracks[name].ratio(ours, "work_s"), limit, "at least")
        for name, limit in limits.items()
    ]
    times = ours.median("work_s") / floor_s if ours.samples else None
    goals.append(Goal(f"time of pages x latency / {AT_ONCE}", times, 2.5, "at most"))
    goals.append(Goal("time of fetching the bytes", ours.ratio(tracks[BYTES], "work_s"), 2.5, "at most"))
    return goals


@contextmanager
def stub(rows: int, *, latency_ms: int = LATENCY_MS) -> Iterator[str]:
    """The stub in a process of its own; yields its address."""
    command = [sys.executable, "-m", "benchmarks.stub_commerce", str(rows), str(latency_ms)]
    with subprocess.Popen(
        command, cwd=measure.ROOT, env=measure.environment(), stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            yield str(json.loads(process.stdout.readline())["url"])
        finally:
            process.terminate()
            process.wait(timeout=30)
