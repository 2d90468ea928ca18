"""A day of one Salesforce org on a virtual clock: its rolling allowance, our flows by their schedules, and outsiders.

Calls of a run: what its flow makes when nothing changed, and its part of the day's work. Both are measured by
``make demo`` (``demo/report.json``, second and first cycle, Salesforce only); ``VOLUME`` is how many times more the
shop changes in a day than the demo's slice holds.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

LIMIT, RESERVE = 100_000, 20_000
DAY_S, HOUR_S, MINUTE_S = 86_400, 3_600, 60
VOLUME = 120
CALL_S = 0.12
"""Seconds of one call."""
USUAL_OTHERS = 6_000
"""What others use on a usual day."""


@dataclass(frozen=True, slots=True)
class Flow:
    """every: minutes between two runs.   quiet: calls of a run without changes.   work: for all rows of the demo."""

    name: str
    priority: str
    every: int
    quiet: int
    work: int

    @property
    def deadline_s(self) -> int:
        """A run has to be done when the next one is due."""
        return self.every * MINUTE_S


FLOWS = (
    Flow("salesforce_orders", "high", 10, 16, 71),
    Flow("salesforce_cases", "high", 10, 12, 18),
    Flow("salesforce_customers", "normal", 15, 9, 42),
    Flow("salesforce_signals", "normal", 15, 7, 22),
    Flow("salesforce_contract_prices", "normal", 30, 5, 15),
    Flow("salesforce_buying_intent", "low", 30, 1, 4),
    Flow("salesforce_purchase_history", "low", 60, 1, 2),
    Flow("salesforce_campaigns", "low", 60, 14, 47),
)
BACKFILL = Flow("backfill_of_purchase_history", "low", 1440, 0, 0)
BACKFILL_AT_S, BACKFILL_CALLS = 7 * HOUR_S, 45_000
"""On the day in question somebody has every figure sent again, row by row."""


def of_day(second: float) -> float:
    """How busy the shop is, 1 on average: little at night, most at noon and in the evening."""
    hour = second % DAY_S / HOUR_S
    return 0.25 + 1.5 * math.exp(-((hour - 12) ** 2) / 10) + 1.2 * math.exp(-((hour - 20) ** 2) / 5)


MEAN = sum(of_day(minute * MINUTE_S) for minute in range(1440)) / 1440


def calls_of(flow: Flow, second: float, chance: random.Random) -> int:
    """The calls of the run that is due at a second of the day."""
    runs = 1440 / flow.every
    share = flow.work * VOLUME / runs * of_day(second) / MEAN
    return flow.quiet + round(share * chance.uniform(0.6, 1.4))


class Org:
    """The org: counts everybody's calls of the last 24 hours, by minute, and refuses those beyond its limit."""

    def __init__(self) -> None:
        self.used = 0
        self.ours = 0
        self.refused_to_others = 0
        self.below_reserve = 0
        self.lowest_left = LIMIT
        self._minutes: dict[int, int] = {}
        self._oldest = -1440

    def call(self, now: float, *, ours: bool, calls: int = 1) -> int:
        """Take calls; gives how many were accepted."""
        self._roll(now)
        taken = min(calls, LIMIT - self.used)
        minute = int(now // MINUTE_S)
        self._minutes[minute] = self._minutes.get(minute, 0) + taken
        self.used += taken
        self.lowest_left = min(self.lowest_left, LIMIT - self.used)
        if ours:
            self.ours += taken
            self.below_reserve += LIMIT - self.used < RESERVE
        else:
            self.refused_to_others += calls - taken
        return taken

    def before(self, minute: int, calls: int) -> None:
        """Calls of the day before."""
        self._minutes[minute] = self._minutes.get(minute, 0) + calls
        self.used += calls

    def header(self) -> dict[str, str]:
        """What every answer says."""
        return {"Sforce-Limit-Info": f"api-usage={self.used}/{LIMIT}"}

    def _roll(self, now: float) -> None:
        first = int(now // MINUTE_S) - 1440
        while self._oldest <= first:
            self.used -= self._minutes.pop(self._oldest, 0)
            self._oldest += 1


def _usual(second: float) -> float:
    return USUAL_OTHERS * of_day(second) / MEAN / DAY_S


def _steady(_second: float) -> float:
    return 25_000 / DAY_S


def _office(second: float) -> float:
    return 25_000 * math.exp(-((second / HOUR_S - 13) ** 2) / 8) / (HOUR_S * math.sqrt(8 * math.pi))


def _export(second: float) -> float:
    return 25_000 / (2 * HOUR_S) if HOUR_S <= second < 3 * HOUR_S else 0.0


def _runaway(second: float) -> float:
    return max(0.0, second - 12 * HOUR_S) * 2 * 24_000 / (12 * HOUR_S) ** 2


OUTSIDERS: dict[str, Callable[[float], float]] = {
    "steady": _steady, "office hours": _office, "night export": _export, "runaway script": _runaway,
}  # fmt: skip
"""Greedy outsiders: calls a second, beside what others use on a usual day."""


def others(pattern: str, chance: random.Random) -> Iterator[tuple[float, int]]:
    """(second, calls) of the outsiders, minute by minute; a pattern that is none of ``OUTSIDERS`` is a usual day."""
    greedy, owed = OUTSIDERS.get(pattern, lambda _second: 0.0), 0.0
    for minute in range(1440):
        second = float(minute * MINUTE_S)
        owed += (_usual(second) + greedy(second) * chance.uniform(0.3, 1.7)) * MINUTE_S
        if calls := int(owed):
            owed -= calls
            yield second + 30.0, calls
