"""Case: how many API calls it takes to bring N rows, and to bring 1,000, into Salesforce.

Counted by the stub at the other end, signing in left out: it does not count against an org's allowance.
"""

from __future__ import annotations

import json
import shutil
import ssl
import urllib.request
from typing import Any

from benchmarks import measure, records
from benchmarks.loading import BULK2, ENTRIES, OPERATOR, OURS, stub
from benchmarks.loading_clients import JOB_ROWS
from benchmarks.measure import Contender
from benchmarks.results import Goal, Report, table

FEW = 1000
LARGE = "ours, jobs as large as the peer's"
CONTENDERS = {OURS: ENTRIES[OURS], LARGE: ENTRIES[OURS], BULK2: ENTRIES[BULK2], OPERATOR: ENTRIES[OPERATOR]}
OPTIONS = {LARGE: {"job_rows": JOB_ROWS}}
PER_MILLION, PER_FEW = 40, 10


def run(*, rows: int, rounds: int) -> Report:
    """Calls do not depend on the machine's mood, or hardly (polls): one round, ``rounds`` is not used."""
    measure.prepare("records:generate", rows=rows)
    found = {size: _counted(rows, size) for size in (FEW, rows)}
    report = Report("calls", f"API calls for {FEW:,} and {rows:,} rows", {"rows": rows})
    lines: list[tuple[str, ...]] = [("", f"{FEW:,} rows", f"{rows:,} rows", "of them polls")]
    for name in CONTENDERS:
        few, many = found[FEW][name], found[rows][name]
        lines.append((name, str(sum(few.values())), str(sum(many.values())), str(_polls(many))))
    report.table = table(lines)
    report.figures = {str(size): by_name for size, by_name in found.items()}
    ours = {size: sum(by_name[OURS].values()) for size, by_name in found.items()}
    best = min(sum(found[rows][name].values()) for name in CONTENDERS if name not in (OURS, LARGE))
    large = sum(found[rows][LARGE].values())
    report.goals = [
        Goal(f"calls for {rows:,} upserts", ours[rows], PER_MILLION * max(rows / 1_000_000, 1), "at most", ""),
        Goal(f"calls for {FEW:,} changes", ours[FEW], PER_FEW, "at most", ""),
        Goal(f"calls of the best peer for {rows:,}, jobs of {JOB_ROWS:,} rows both", large / best, 1, "at most"),
        Goal(f"calls of the best peer for {rows:,}, our default jobs", ours[rows] / best, 1, "at most"),
    ]
    return report


def _polls(calls: dict[str, int]) -> int:
    polls = (route for route in calls if route.startswith("GET ") and route.endswith(("{job}", "{batch}")))
    return sum(calls[route] for route in polls)


def _counted(rows: int, size: int) -> dict[str, dict[str, int]]:
    home = records.folder(rows) / "calls"
    measure.prepare("loading_clients:stage", path=str(records.extract(rows, "before")), home=str(home), rows=size)
    found = {}
    with stub(home / "tls") as place:
        arguments = {"home": str(home), "scratch": str(home / "scratch"), **place}
        for name, entry in CONTENDERS.items():
            sample = measure.run(Contender(name, f"loading_clients:{entry}", arguments | OPTIONS.get(name, {})))
            if sample.found != {"rows": size}:
                raise RuntimeError(f"{name} accounted for {sample.found}, sent were {size} rows")
            found[name] = _calls(**place)
            measure.say(f"  {name:32} {size:9,} rows {sum(found[name].values()):5} calls")
    shutil.rmtree(home, ignore_errors=True)
    return found


def _calls(*, host: str, ca_file: str) -> dict[str, int]:
    """What the stub counted since it was asked last."""
    trust = ssl.create_default_context(cafile=ca_file)
    with urllib.request.urlopen(f"https://{host}/calls", context=trust, timeout=30) as answer:
        told: dict[str, Any] = json.load(answer)
    return {route: count for route, count in told.items() if not route.endswith("/oauth2/token")}
