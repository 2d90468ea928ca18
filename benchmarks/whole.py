"""Case: a leg of N rows from end to end, new at first, then once more with nothing changed."""

from __future__ import annotations

import shutil
from functools import partial

from benchmarks import measure, records
from benchmarks.extraction import stub as shop_stub
from benchmarks.loading import stub
from benchmarks.measure import Contender, Found
from benchmarks.results import Goal, Report, table, track_figures, track_table

MOST_ROUNDS = 2
FIRST, AGAIN, SCRIPT = "ours, all rows new", "ours, nothing changed", "pandas and simple-salesforce"


def run(*, rows: int, rounds: int) -> Report:
    """Both stand-ins answer at once: what is measured is what the leg costs its own machine. No warm-up round."""
    rounds, home = min(rounds, MOST_ROUNDS), records.DATA / f"whole-{rows}"
    with shop_stub(rows, latency_ms=0) as shop, stub(home / "tls") as place:
        common = {"home": str(home / "own"), "shop": shop, "rows": rows, **place}
        contenders = [
            Contender(FIRST, "whole_ways:ours", common | {"again": False}),
            Contender(AGAIN, "whole_ways:ours", common | {"again": True}),
            Contender(SCRIPT, "whole_ways:script", common),
        ]
        tracks = measure.race(contenders, rounds=rounds, accept=partial(_accept, rows), warm_up=False)
    shutil.rmtree(home, ignore_errors=True)
    ours = tracks[FIRST]
    report = Report("whole", f"A leg of {rows:,} rows from end to end", {"rows": rows, "rounds": rounds})
    report.table = track_table(list(tracks.values()), ours=ours)
    report.figures = track_figures(list(tracks.values()), ours=ours)
    if ours.samples:
        report.table += "\n" + _steps(ours.samples[-1].found, tracks[AGAIN].samples)
    report.goals = [
        Goal(f"{rows:,} rows: faster than {SCRIPT}", tracks[SCRIPT].ratio(ours, "work_s"), 1, "at least"),
        Goal(f"{rows:,} rows: memory of {SCRIPT}", tracks[SCRIPT].ratio(ours, "peak_mb"), 1, "at least"),
        Goal(f"{rows:,} again: faster than {SCRIPT}", tracks[SCRIPT].ratio(tracks[AGAIN], "work_s"), 1, "at least"),
    ]
    return report


def _steps(first: Found, again: list[measure.Sample]) -> str:
    """Seconds of each step, as the run records have them."""
    second = again[-1].found["seconds"] if again else {}
    lines = [("step", "all new, s", "unchanged, s")]
    lines += [(step, f"{seconds:.1f}", f"{second[step]:.1f}" if step in second else "-")
              for step, seconds in first["seconds"].items()]  # fmt: skip
    return table(lines)


def _accept(rows: int, name: str, found: Found) -> None:
    wanted = {"rows": rows, "delivered": 0 if name == AGAIN else rows, "status": "green"}
    if {key: found[key] for key in wanted} != wanted:
        raise ValueError(f"ended with {found}, wanted {wanted}")
