"""``python -m benchmarks [case ...] [--rows N ...] [--rounds K]``: race the cases, print tables, write results/.

Without arguments every case runs at its moderate size. The exit code is 1 when a case could not be run at all; a
missed goal is printed, not punished: on a busy machine single figures wander.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from benchmarks import (
    aggregation,
    anti_entropy,
    budget,
    calls,
    charts,
    contention,
    decoding,
    detection,
    extraction,
    gates,
    growth,
    history,
    idle,
    loading,
    measure,
    memory,
    monitor,
    plan,
    simulated,
    storm,
    traps,
    whole,
)
from benchmarks.results import Report, goal_table

CASES: dict[str, tuple[Callable[..., Report], int]] = {
    "detection": (detection.run, 1_000_000),
    "load": (loading.run, 1_000_000),
    "memory": (memory.run, 1_000_000),
    "traps": (traps.run, 0),
    "simulators": (simulated.run, 20_000),
    "decode": (decoding.run, 20_000),
    "history": (history.run, 5_000_000),
    "monitor": (monitor.run, 5_000_000),
    "storm": (storm.run, 1_000_000),
    "budget": (budget.run, 0),
    "plan": (plan.run, 50_000),
    "anti_entropy": (anti_entropy.run, 1_000_000),
    "contention": (contention.run, 200_000),
    "extraction": (extraction.run, 100_000),
    "aggregation": (aggregation.run, 1_000_000),
    "gates": (gates.run, 1_000_000),
    "growth": (growth.run, 10_000_000),
    "calls": (calls.run, 1_000_000),
    "idle": (idle.run, 0),
    "whole": (whole.run, 1_000_000),
}
"""Case -> what runs it, and its moderate size."""


def main() -> int:
    options = _arguments()
    if options.cases == ["charts"]:
        return charts.draw()
    reports, failed = [], False
    for name in options.cases or CASES:
        run, moderate = CASES[name]
        for rows in options.rows or [moderate]:
            measure.say(f"{name}, {rows:,} rows" if rows else name)
            try:
                more = {"devices": options.devices} if name == "storm" else {}
                reports.append(_shown(run(rows=rows, rounds=options.rounds, **more)))
            except (RuntimeError, OSError) as error:
                failed = True
                print(f"\n{name} at {rows:,} rows could not be run: {error}\n", flush=True)
    print(f"\nGoals\n{goal_table(reports)}")
    return int(failed)


def _shown(report: Report) -> Report:
    print(f"\n{report.title}\n{report.table}\n(kept in {report.keep().name})\n", flush=True)
    return report


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.partition("\n")[0])
    parser.add_argument("cases", nargs="*", metavar="case", help=f"of {', '.join(CASES)}, or charts; default: all")
    parser.add_argument(
        "--rows", "--events", type=int, nargs="+", help="one or several sizes instead of the moderate one"
    )
    parser.add_argument("--devices", type=int, default=storm.DEVICES, help=f"of the storm (default {storm.DEVICES:,})")
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds after the warm-up (default 5)")
    options = parser.parse_args()
    if options.cases == ["charts"]:
        return options
    if unknown := [name for name in options.cases if name not in CASES]:
        parser.error(f"no case {unknown[0]!r}; there are: {', '.join(CASES)}")
    return options


if __name__ == "__main__":
    sys.exit(main())
