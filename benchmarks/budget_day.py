"""Runs the day of ``budget_world`` event by event: with the budget's own code, and first come, first served."""

from __future__ import annotations

import heapq
import itertools
import random
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from benchmarks.budget_world import (
    BACKFILL,
    BACKFILL_AT_S,
    BACKFILL_CALLS,
    CALL_S,
    DAY_S,
    FLOWS,
    HOUR_S,
    LIMIT,
    RESERVE,
    Flow,
    Org,
    calls_of,
    others,
)
from commerce_sync.budget import Allowance, Budget, Part
from commerce_sync.budget_meter import Meter
from commerce_sync.errors import QuotaError
from commerce_sync.ledger import Ledger, Reported
from commerce_sync.ledger.budget_tables import USAGE
from commerce_sync.ledger.database import writing

CONNECTION = "salesforce_default"
BUDGET = Budget(CONNECTION, {"calls": Allowance(reserve=Part(number=RESERVE))})
BEGIN = datetime(2026, 11, 20, tzinfo=UTC)
AT_ONCE = 10
"""Calls made between two looks at the clock."""
MEMORY = Path("/dev/shm")  # noqa: S108
RETRY_S = 60.0
"""First come, first served: how soon a refused run tries again, as long as its deadline has not passed."""


@dataclass
class Work:
    """One run. due: second of the day.   left: calls to make."""

    flow: Flow
    due: float
    left: int
    meter: Any = None


@dataclass
class Outcome:
    """What came of a day. late: priority -> runs that were not done when the next one was due.

    runs: priority -> runs that were due.   longest_s: priority -> the longest from due to done.
    """

    late: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("high", "normal", "low"), 0))
    runs: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("high", "normal", "low"), 0))
    longest_s: dict[str, float] = field(default_factory=lambda: dict.fromkeys(("high", "normal", "low"), 0.0))
    put_back: int = 0
    refused: int = 0
    used_low: int = 0
    org: Org = field(default_factory=Org)


class Day:
    """One day. ledger: where the budget is kept; None for first come, first served."""

    def __init__(self, pattern: str, *, seed: int, ledger: Ledger | None) -> None:
        self.now = 0.0
        self.outcome = Outcome()
        self.org = self.outcome.org
        self._ledger = ledger
        self._chance = random.Random(seed)  # noqa: S311  # the same day for every policy
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._open: dict[int, Work] = {}
        self._queues: dict[str, list[Work]] = {}
        self._plan(pattern, seed)

    def run(self) -> Outcome:
        """The whole day."""
        self._remember()
        while self._events and self._events[0][0] < DAY_S:
            self.now, _, what = heapq.heappop(self._events)
            what()
        return self.outcome

    def _plan(self, pattern: str, seed: int) -> None:
        for second, calls in others(pattern, random.Random(seed + 1)):  # noqa: S311
            self._at(second, lambda calls=calls: self.org.call(self.now, ours=False, calls=calls))
        for flow in FLOWS:
            for minute in range(0, 1440, flow.every):
                work = Work(flow, minute * 60.0, calls_of(flow, minute * 60.0, self._chance))
                self._expect(work)
        # A backfill goes interval by interval, each a run of its own.
        for number in range(BACKFILL_CALLS // 500):
            self._expect(Work(BACKFILL, BACKFILL_AT_S + number, 500))

    def _expect(self, work: Work) -> None:
        self.outcome.runs[work.flow.priority] += 1
        self._open[id(work)] = work
        self._at(work.due, lambda: self._due(work))

    def _at(self, second: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._events, (second, next(self._order), what))

    def _remember(self) -> None:
        """The days before, usual ones: the last one in the org's count, a week in the ledger's hours."""
        chance = random.Random(7)  # noqa: S311  # the same days for all
        hours: Counter[tuple[str, int]] = Counter()
        for flow in FLOWS:
            for minute in range(0, 1440, flow.every):
                calls = calls_of(flow, minute * 60.0, chance)
                self.org.before(minute - 1440, calls)
                hours[flow.priority, minute // 60] += calls
        for second, calls in others("usual", chance):
            self.org.before(int(second // 60) - 1440, calls)
            hours["others", int(second // HOUR_S)] += calls
        if self._ledger is not None:
            rows = [_usage(name, hour, calls, day) for (name, hour), calls in hours.items() for day in range(1, 8)]
            with writing(self._ledger._engine) as connection:
                connection.execute(sa.insert(USAGE), rows)
            self._ledger.report(CONNECTION, "calls", Reported(LIMIT, self.org.used, BEGIN - timedelta(minutes=1)))

    def _due(self, work: Work) -> None:
        """A flow has one run at a time; what is due meanwhile waits for it."""
        queue = self._queues.setdefault(work.flow.name, [])
        queue.append(work)
        if len(queue) == 1:
            self._start(work)

    def _start(self, work: Work) -> None:
        self._begin(work)

    def _begin(self, work: Work) -> None:
        if self._ledger is not None:
            name, priority = work.flow.name, work.flow.priority
            work.meter = Meter(self._ledger, BUDGET, connection=CONNECTION, leg=name, priority=priority,  # type: ignore
                               clock=lambda: BEGIN.timestamp() + self.now)  # fmt: skip
        self._go_on(work)

    def _go_on(self, work: Work) -> None:
        try:
            made = self._calls(work, min(AT_ONCE, work.left))
        except QuotaError as error:
            self._put_back(work, error)
            return
        work.left -= made
        if work.left:
            self._at(self.now + made * CALL_S, lambda: self._go_on(work))
        else:
            self._at(self.now + made * CALL_S, lambda: self._done(work))

    def _calls(self, work: Work, calls: int) -> int:
        for _number in range(calls):
            if work.meter is not None:
                while work.meter.take() is None:
                    work.meter.refill()
            if not self.org.call(self.now, ours=True):
                self.outcome.refused += 1
                raise QuotaError("REQUEST_LIMIT_EXCEEDED: TotalRequests Limit exceeded.")
            if work.meter is not None:
                work.meter.heard(self.org.header())
            self.outcome.used_low += work.flow.priority == "low"
        return calls

    def _put_back(self, work: Work, error: QuotaError) -> None:
        self.outcome.put_back += 1
        if work.meter is not None:
            work.meter.close()
        pause = error.retry_after if error.retry_after is not None else RETRY_S
        self._at(self.now + pause, lambda: self._begin(work))

    def _done(self, work: Work) -> None:
        if work.meter is not None:
            work.meter.close()
        queue = self._queues[work.flow.name]
        queue.remove(work)
        if queue:
            self._start(queue[0])
        took = self.now - work.due
        priority = work.flow.priority
        self.outcome.longest_s[priority] = max(self.outcome.longest_s[priority], took)
        self.outcome.late[priority] += took > work.flow.deadline_s
        del self._open[id(work)]

    def finish(self) -> Outcome:
        """Runs that are not done at the end of the day are late as well, if their deadline has passed."""
        for work in self._open.values():
            self.outcome.late[work.flow.priority] += work.due + work.flow.deadline_s <= DAY_S
        return self.outcome


def _usage(name: str, hour: int, calls: int, day: int) -> dict[str, Any]:
    at = BEGIN + timedelta(hours=hour) - timedelta(days=day)
    leg = "" if name == "others" else f"flows of priority {name}"
    return {"connection": CONNECTION, "resource": "calls", "hour": at, "leg": leg, "priority": name, "used": calls}


def simulate(pattern: str, *, seed: int, budgeted: bool) -> Outcome:
    """One day, with the budget (on a SQLite ledger of its own) or first come, first served."""
    if not budgeted:
        day = Day(pattern, seed=seed, ledger=None)
        day.run()
        return day.finish()
    # In memory where there is such a folder: what is timed is no disk.
    with tempfile.TemporaryDirectory(prefix="budget-day-", dir=MEMORY if MEMORY.is_dir() else None) as folder:
        ledger = Ledger.open(f"sqlite:///{folder}/ledger.db", files=str(Path(folder) / "files"))
        day = Day(pattern, seed=seed, ledger=ledger)
        day.run()
        return day.finish()
