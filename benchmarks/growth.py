"""Case: what a run of 10,000 changes costs as the markers of its leg grow, read by watermark and by a full scan."""

from __future__ import annotations

import shutil

from benchmarks import measure, records
from benchmarks.growth_steps import CHANGES
from benchmarks.measure import Contender, Found, Track
from benchmarks.results import Goal, Report, track_figures, track_table

MOST_ROUNDS = 3


def run(*, rows: int, rounds: int) -> Report:
    """rows: the most markers; raced are a hundredth, a tenth and all of them."""
    rounds, home = min(rounds, MOST_ROUNDS), records.DATA / "growth"
    sizes = [size for size in (rows // 100, rows // 10, rows) if size >= CHANGES]
    contenders = [_contender(home / str(size), size, complete=False) for size in sizes]
    contenders += [_contender(home / f"{size}-full", size, complete=True) for size in sizes[-2:]]
    tracks = measure.race(contenders, rounds=rounds, accept=_accept)
    shutil.rmtree(home, ignore_errors=True)
    largest = tracks[contenders[len(sizes) - 1].name]
    report = Report("growth", f"A run of {CHANGES:,} changes as markers grow", {"rows": rows, "rounds": rounds})
    report.table = track_table(list(tracks.values()), ours=largest)
    report.figures = track_figures(list(tracks.values()), ours=largest) | {"markers": sizes}
    report.goals = _goals(sizes, tracks)
    return report


def _name(size: int, *, complete: bool) -> str:
    return f"{'full scan' if complete else 'watermark'}, {size:,} markers"


def _contender(home: object, size: int, *, complete: bool) -> Contender:
    measure.prepare("growth_steps:prepare", home=str(home), markers=size, complete=complete)
    return Contender(_name(size, complete=complete), "growth_steps:copied", {"home": str(home)})


def _accept(_name: str, found: Found) -> None:
    wanted = {"modified": CHANGES, "delivered": CHANGES}
    if found != wanted:
        raise ValueError(f"found {found}, built in were {wanted}")


def _goals(sizes: list[int], tracks: dict[str, Track]) -> list[Goal]:
    grown = [(tracks[_name(size, complete=False)], size) for size in sizes]
    goals = [
        Goal(f"{size:,} markers: time of {smaller:,}", track.ratio(before, "work_s"), 3.5, "at most")
        for (before, smaller), (track, size) in zip(grown, grown[1:], strict=False)
    ]
    for size in sizes[-2:]:
        by_watermark, whole = tracks[_name(size, complete=False)], tracks[_name(size, complete=True)]
        ratio = by_watermark.ratio(whole, "work_s")
        goals.append(Goal(f"{size:,} markers: watermark's share of a full run", ratio, 0.2, "at most", ""))
    return goals
