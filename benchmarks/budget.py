"""``python -m benchmarks budget``: a day of 100,000 calls, by the budget and first come, first served.

Every flow by its schedule, a backfill of 45,000 calls, and an outsider who is greedy in one of four ways; see
``budget_world``. Each day runs on a virtual clock with the budget's own code and a ledger of its own.
"""

from __future__ import annotations

from typing import Any

from benchmarks.budget_day import Outcome, simulate
from benchmarks.budget_world import LIMIT, OUTSIDERS, RESERVE
from benchmarks.measure import say
from benchmarks.results import Goal, Report, table

HEAD = (
    "outsider, seed", "policy", "late high", "late normal", "late low", "ours", "of it low", "others refused",
    "below reserve", "least left",
)  # fmt: skip


def run(*, rows: int, rounds: int) -> Report:
    """rounds: seeds of every pattern.   rows: not used."""
    days: dict[tuple[str, int, bool], Outcome] = {}
    for seed in range(1, rounds + 1):
        for pattern in OUTSIDERS:
            for budgeted in (False, True):
                days[pattern, seed, budgeted] = simulate(pattern, seed=seed, budgeted=budgeted)
            say(f"{pattern}, seed {seed}")
    with_budget = [day for (_, _, budgeted), day in days.items() if budgeted]
    without = [day for (_, _, budgeted), day in days.items() if not budgeted]
    goals = [
        Goal("runs of high priority that missed their deadline", max(day.late["high"] for day in with_budget), 0,
             "at most", ""),
        Goal("calls of ours below the reserve", max(day.org.below_reserve for day in with_budget), 0, "at most", ""),
        Goal("calls of others that the org refused", max(day.org.refused_to_others for day in with_budget), 0,
             "at most", ""),
        Goal("missed by first come, first served", min(day.late["high"] for day in without), 3, "at least", ""),
    ]  # fmt: skip
    title = f"A day of {LIMIT:,} calls, {RESERVE:,} of them others' ({rounds} seeds)"
    rows_shown = [HEAD, *(_row(name, day) for name, day in days.items())]
    figures = {
        f"{pattern}/{seed}/{_policy(budgeted)}": _figures(day) for (pattern, seed, budgeted), day in days.items()
    }
    return Report("budget", title, {"rounds": rounds}, table(rows_shown), goals, figures)


def _policy(budgeted: bool) -> str:
    return "budget" if budgeted else "first come"


def _row(name: tuple[str, int, bool], day: Outcome) -> tuple[str, ...]:
    pattern, seed, budgeted = name
    late = [f"{day.late[priority]} of {day.runs[priority]}" for priority in ("high", "normal", "low")]
    counts = (day.org.ours, day.used_low, day.org.refused_to_others, day.org.below_reserve, day.org.lowest_left)
    return (f"{pattern}, {seed}", _policy(budgeted), *late, *(f"{number:,}" for number in counts))


def _figures(day: Outcome) -> dict[str, Any]:
    return {
        "late": day.late, "due": day.runs, "ours": day.org.ours, "low": day.used_low, "put_back": day.put_back,
        "refused": day.refused, "others_refused": day.org.refused_to_others, "below_reserve": day.org.below_reserve,
        "least_left": day.org.lowest_left,
    }  # fmt: skip
