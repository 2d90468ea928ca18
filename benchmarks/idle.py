"""Case: what a leg with nothing to do costs: task starts, imports, CPU."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import measure, simulated
from benchmarks.measure import Contender, Found, Track
from benchmarks.results import Goal, Report, table, track_figures
from demo.settings import connections

MOST_ROUNDS = 3
PLAIN = ("salesforce_customers", "units_to_accounts")
FIGURES = ("salesforce_purchase_history", "purchase_history_to_accounts")
LEGS = {"a leg of records": PLAIN, "a leg that aggregates": FIGURES}
BEFORE = (PLAIN, ("salesforce_customers", "households_to_accounts"), FIGURES)
"""Legs that run once before the clock starts: figures need the accounts they belong to."""
EMPTY, GATE = "limit: an empty task", "an empty task that imports Great Expectations"
MOST_STARTS, ALL_TASKS = 2, 5


def run(*, rows: int, rounds: int) -> Report:
    """``rows`` is not used. A leg's CPU is that of one process with all its tasks, and a start for each further one."""
    rounds = min(rounds, MOST_ROUNDS)
    far = simulated.simulators("--only", "sap_commerce,salesforce")
    with far as (ready, _, _), tempfile.TemporaryDirectory() as home:
        env = environment(ready, Path(home))
        for dag_id, leg in BEFORE:
            measure.prepare("idle_ways:first_run", dag_id=dag_id, leg=leg, env=env)
        tracks = measure.race(_contenders(env), rounds=rounds, accept=_accept)
    return _report(tracks, rounds)


def environment(ready: dict[str, Any], home: Path) -> dict[str, str]:
    """Connections to the simulators, and a home of its own."""
    named = connections(ready | {name: ready["salesforce"] | {"app_id": "-", "auth_token": "-"}
                                 for name in ("iconik", "opentext_iot")})  # fmt: skip
    env = {f"AIRFLOW_CONN_{name}": json.dumps(value) for name, value in named.items()}
    root = str(measure.ROOT)
    return env | {"COMMERCE_SYNC_HOME": str(home), "COMMERCE_SYNC_MAPPINGS": f"{root}/include/mappings",
                  "COMMERCE_SYNC_FEEDS": f"{root}/include/feeds"}  # fmt: skip


def _contenders(env: dict[str, str]) -> list[Contender]:
    found = [Contender(name, "idle_ways:nothing_to_do", {"dag_id": dag_id, "leg": leg, "env": env})
             for name, (dag_id, leg) in LEGS.items()]  # fmt: skip
    common = {"dag_id": PLAIN[0], "env": env}
    return [*found, Contender(EMPTY, "idle_ways:empty_task", common), Contender(GATE, "idle_ways:gate_task", common)]


def _accept(name: str, found: Found) -> None:
    if name in LEGS and "check" in found["tasks"]:
        raise ValueError(f"found something to do: started {found['tasks']}")


def _report(tracks: dict[str, Track], rounds: int) -> Report:
    report = Report("idle", "A leg with nothing to do", {"rounds": rounds})
    empty = _cpu(tracks[EMPTY])
    lines: list[tuple[str, ...]] = [("", "task starts", "cpu s", "in starts", "peak MB", "imported")]
    cost: dict[str, float | None] = {}
    for name, track in tracks.items():
        if not track.samples:
            lines.append((name, f"left out: {(track.fault or '')[:90]}"))
            continue
        told = track.samples[-1].found
        starts = len(told["tasks"])
        cost[name] = _cpu(track) + (starts - 1) * empty
        lines.append((name, str(starts), f"{cost[name]:.2f}", f"{cost[name] / empty:.1f}",
                      f"{track.median('peak_mb'):.0f}", ", ".join(told["imported"]) or "-"))  # fmt: skip
    naive = (ALL_TASKS - 1) * empty + _cpu(tracks[GATE]) if tracks[GATE].samples else None
    if naive:
        lines.append((f"{ALL_TASKS} tasks that always start", str(ALL_TASKS), f"{naive:.2f}", f"{naive / empty:.1f}"))
        lines[-1] += ("-", "great_expectations")
    report.table = table(lines)
    report.figures = track_figures(list(tracks.values()), ours=tracks[next(iter(LEGS))])
    report.figures |= {"cpu_s": cost, "always": naive}
    report.goals = [goal for name in LEGS for goal in _goals(name, tracks[name])]
    first = cost.get(next(iter(LEGS)))
    saved = naive / first if naive and first else None
    report.goals.append(Goal(f"CPU of {ALL_TASKS} tasks that always start", saved, 1, "at least"))
    return report


def _cpu(track: Track) -> float:
    return track.median("cpu_s") if track.samples else 0.0


def _goals(name: str, track: Track) -> list[Goal]:
    told = track.samples[-1].found if track.samples else None
    starts = len(told["tasks"]) if told else None
    gate = float("great_expectations" in told["imported"]) if told else None
    return [Goal(f"{name}: task starts", starts, MOST_STARTS, "at most", ""),
            Goal(f"{name}: imports of Great Expectations", gate, 0, "at most", "")]  # fmt: skip
