"""What a case measured: a table to read, a JSON file to keep, and the goals it reached or missed."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from benchmarks.measure import Track, mention

FOLDER = Path(__file__).parent / "results"
LIBRARIES = ("duckdb", "pyarrow", "pandas", "msgspec", "aiohttp", "simple-salesforce", "great-expectations")


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure to reach. ``found`` is None when a side of the comparison could not be measured."""

    text: str
    found: float | None
    limit: float
    sense: Literal["at least", "at most"]
    unit: str = "x"

    @property
    def verdict(self) -> str:
        if self.found is None:
            return "not measured"
        reached = self.found >= self.limit if self.sense == "at least" else self.found <= self.limit
        return "reached" if reached else "MISSED"


@dataclass(slots=True)
class Report:
    """One case at one size."""

    case: str
    title: str
    parameters: dict[str, Any]
    table: str = ""
    goals: list[Goal] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    def keep(self) -> Path:
        """Write the report as JSON, one file for each case and size."""
        FOLDER.mkdir(exist_ok=True)
        size = f"-{self.parameters['rows']}" if self.parameters.get("rows") else ""
        path = FOLDER / f"{self.case}{size}.json"
        content = {
            "case": self.case, "title": self.title, "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": machine(), "parameters": self.parameters, "figures": self.figures,
            "goals": [asdict(goal) | {"verdict": goal.verdict} for goal in self.goals],
        }  # fmt: skip
        path.write_text(json.dumps(content, indent=1) + "\n")
        return path


def machine() -> dict[str, Any]:
    """Cores, memory, load and versions: what the seconds, though not the ratios, depend on."""
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = {name: metadata.version(name) for name in LIBRARIES}
    return {
        "cores": os.cpu_count(), "memory_gb": round(memory_gb, 1), "load_1min": round(os.getloadavg()[0], 1),
        "system": platform.platform(), "python": platform.python_version(), "versions": versions,
    }  # fmt: skip


def track_table(tracks: Sequence[Track], *, ours: Track) -> str:
    """Median seconds, CPU and memory per contender, and how often that is ours (median, min-max)."""
    head = ("", "work s", "cpu s", "process s", "peak MB", "time / ours", "min-max", "cpu / ours", "memory / ours")
    return table([head, *(_row(track, ours) for track in tracks)])


def _row(track: Track, ours: Track) -> tuple[str, ...]:
    if not track.samples:
        return (track.name, f"left out: {(track.fault or 'not run')[:90]}")
    medians = [f"{track.median(name):.2f}" for name in ("work_s", "work_cpu_s", "wall_s")]
    ratios = {name: track.ratio(ours, name) for name in ("work_s", "work_cpu_s", "peak_mb")}
    shown = {name: f"{value:.2f}" if value is not None else "-" for name, value in ratios.items()}
    spread = mention(track.ratios(ours, "work_s"))
    return (track.name, *medians, f"{track.median('peak_mb'):.0f}", shown["work_s"], spread, shown["work_cpu_s"],
            shown["peak_mb"])  # fmt: skip


def track_figures(tracks: Sequence[Track], *, ours: Track) -> dict[str, Any]:
    """The same for the JSON file, with every sample."""
    return {
        track.name: {
            "fault": track.fault,
            "samples": [asdict(sample) for sample in track.samples],
            "times_ours": {name: track.ratios(ours, name) for name in ("work_s", "work_cpu_s", "peak_mb")},
        }
        for track in tracks
    }


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns aligned, the first to the left."""
    width = max(len(row) for row in rows)
    full = [row for row in rows if len(row) == width]
    widths = [max(len(row[column]) for row in full) for column in range(width)]
    widths[0] = max(len(row[0]) for row in rows)
    return "\n".join(_line(row, widths) for row in rows)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [row[0].ljust(widths[0])]
    if len(row) == len(widths):
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
    else:
        cells += list(row[1:])
    return "  ".join(cells).rstrip()


def goal_table(reports: Sequence[Report]) -> str:
    """Every goal of every case on one line."""
    lines = [("goal", "found", "wanted", "")]
    for report in reports:
        for goal in report.goals:
            found = "-" if goal.found is None else f"{goal.found:,.2f} {goal.unit}"
            wanted = f"{goal.sense} {goal.limit:,g} {goal.unit}"
            lines.append((f"{report.case}: {goal.text}", found, wanted, goal.verdict))
    return table(lines)
