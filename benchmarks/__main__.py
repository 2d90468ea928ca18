"""``python -m benchmarks [case ...] [--rows N ...] [--rounds K]``: race the cases, print tables, write results/."""

from __future__ import annotations

import argparse
import sys

from benchmarks import detection, loading, memory
from benchmarks.results import Report, goal_table

CASES = {"detection": detection.run, "load": loading.run, "memory": memory.run}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="case", help=f"of {', '.join(CASES)}; default: all")
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    reports: list[Report] = []
    for name in options.cases or CASES:
        for rows in options.rows:
            report = CASES[name](rows=rows, rounds=options.rounds)
            print(f"\n{report.title}\n{report.table}\n")
            report.keep()
            reports.append(report)
    print(goal_table(reports))
    return 0


if __name__ == "__main__":
    sys.exit(main())
