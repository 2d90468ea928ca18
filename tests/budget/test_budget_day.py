"""A day of 100,000 calls with all flows and a greedy outsider: the budget's own code on a virtual clock."""

from __future__ import annotations

import pytest

from benchmarks.budget_day import simulate
from benchmarks.budget_world import OUTSIDERS


@pytest.mark.parametrize("pattern", OUTSIDERS)
def test_first_come_first_served_misses_deadlines_and_locks_others_out(pattern: str) -> None:
    day = simulate(pattern, seed=1, budgeted=False)
    assert day.late["high"] >= 3
    assert day.org.lowest_left == 0
    assert day.org.refused_to_others > 0


@pytest.mark.parametrize("pattern", ["office hours", "runaway script"])
def test_the_budget_keeps_the_reserve_and_every_deadline_of_the_first_priority(pattern: str) -> None:
    day = simulate(pattern, seed=1, budgeted=True)
    assert day.late["high"] == 0
    assert day.org.below_reserve == 0, "calls of ours that found less than the reserve"
    assert (day.refused, day.org.refused_to_others) == (0, 0)
    assert day.used_low > 10_000, "what is left over is used"
