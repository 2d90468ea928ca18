"""Case: the memory of every step stays flat while the rows grow five times."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import asdict

from benchmarks import measure, records
from benchmarks.measure import Contender, Sample
from benchmarks.results import Goal, Report, table

FACTOR = 5
FLAT = 1.5
STEPS = {
    "extract: decode pages": "decode",
    "map_changes, 1 % changed": "map_changes",
    "map_changes, all new": "map_changes",
    "check, four row rules": "check",
    "load: Bulk CSV staging": "stage_csv",
    "load: around the target": "load",
    "commit": "commit",
}


def run(*, rows: int, rounds: int) -> Report:
    """Every step once at ``rows`` and once at five times as many; memory does not need several rounds."""
    small, large = dict(_steps(rows)), dict(_steps(rows * FACTOR))
    report = Report("memory", f"Peak memory of every step, {rows:,} and {rows * FACTOR:,} rows", {"rows": rows})
    lines = [("", "MB", f"MB at {FACTOR}x", "ratio", "work s", f"work s at {FACTOR}x")]
    for name in STEPS:
        one, five = small.get(name), large.get(name)
        ratio = five.peak_mb / one.peak_mb if one and five else None
        lines.append((name, *_cells(one, five, ratio)))
        report.goals.append(Goal(f"{name}: {rows * FACTOR:,} to {rows:,} rows", ratio, FLAT, "at most"))
        report.figures[name] = [asdict(sample) if sample else None for sample in (one, five)]
    report.table = table(lines)
    return report


def _cells(one: Sample | None, five: Sample | None, ratio: float | None) -> tuple[str, ...]:
    if one is None or five is None or ratio is None:
        return ("-",) * 5
    return (f"{one.peak_mb:.0f}", f"{five.peak_mb:.0f}", f"{ratio:.2f}", f"{one.work_s:.1f}", f"{five.work_s:.1f}")


def _steps(rows: int) -> Iterator[tuple[str, Sample]]:
    measure.prepare("records:generate", rows=rows)
    before, after = (str(records.extract(rows, moment)) for moment in ("before", "after"))
    difference = records.difference(rows)
    home = records.folder(rows) / "steps"
    for name, entry in STEPS.items():
        arguments = {"rows": rows} if entry == "decode" else {"home": str(home)}
        expected = rows
        if name == "map_changes, 1 % changed":
            measure.prepare("own_leg:prepare", home=str(home), before=before, after=after, rows=rows)
            expected = difference.new + difference.modified + difference.deleted
        elif name == "map_changes, all new":
            measure.prepare("own_leg:prepare", home=str(home), before=None, after=before, rows=rows)
        sample = _one(name, entry, arguments, expected)
        if sample:
            yield name, sample
    shutil.rmtree(home, ignore_errors=True)


def _one(name: str, entry: str, arguments: dict[str, object], expected: int) -> Sample | None:
    try:
        sample = measure.run(Contender(name, f"memory_steps:{entry}", dict(arguments)))
    except RuntimeError as error:
        measure.say(f"  {name}: {error}")
        return None
    measure.say(f"  {name:32} {sample.work_s:8.2f} s {sample.work_cpu_s:8.2f} s cpu {sample.peak_mb:7.0f} MB")
    if sample.found != {"rows": expected}:
        measure.say(f"  {name}: did {sample.found}, expected were {expected} rows")
        return None
    return sample
