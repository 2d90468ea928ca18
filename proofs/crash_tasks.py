"""A flow as Airflow runs it: one task after the other, a task that died or failed tried again by the flow's own policy.

The tasks do what the operators of ``commerce_sync.steps`` do, without a scheduler around them.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

from commerce_sync import aim_check, approval, delivery, detection, flow, portion, sharding
from commerce_sync import leg as legs
from commerce_sync.approval import Answer
from commerce_sync.leg import LegRun, Site
from commerce_sync.mapping import Mapping
from commerce_sync.window import Request

RETRIES = 3
"""As ``sync_dag`` has it unless a flow says otherwise."""
LOAD_WAIT_S = 20.0
ASKED_NOTHING = Request()


@dataclass(frozen=True)
class Task:
    """One task of a leg in a run."""

    mapping: Mapping
    name: str

    def __str__(self) -> str:
        return f"{self.mapping.leg}.{self.name}"


def tasks_of(mappings: Sequence[Mapping]) -> list[Task]:
    """The tasks of a run in order; legs that may run side by side run one after the other."""
    return [Task(item, name) for item in mappings for name in ("extract", "aggregate", "map_changes", "check", "load",
            "commit") if name != "aggregate" or item.aggregate is not None]  # fmt: skip


def perform(
    task: Task, site: Site, run: str, asked: Request = ASKED_NOTHING, *, now: datetime | None = None
) -> bool:  # fmt: skip
    """One try of a task; gives whether the leg has nothing more to do in this run. now: when the leg begins."""
    if task.name == "extract":
        return _extract(task, site, run, asked, now)
    return bool(_WORK[task.name](task, site, run))


def _extract(task: Task, site: Site, run: str, asked: Request, now: datetime | None) -> bool:
    work = legs.begin(site, task.mapping, run, request=asked, now=now)
    aim_check.before_reading(work, flow.target_system)
    if found := legs.extract(work, flow.source_system)["idle"]:
        delivery.commit_nothing(work)
    return bool(found)


def _map_changes(task: Task, site: Site, run: str) -> bool:
    work = _resumed(task, site, run)
    found = portion.postpone(work, detection.map_changes(work))
    if found.send == 0:
        delivery.commit(work)
    return found.send == 0


def _check(task: Task, site: Site, run: str) -> None:
    """The gate, and a person who says yes."""
    work = _resumed(task, site, run)
    delivery.check(work)
    asked = approval.hold(work)
    if asked is not None and asked.waits:
        approval.settle(work, asked, Answer(True, "somebody"))


def _load(task: Task, site: Site, run: str) -> None:
    work = _resumed(task, site, run)
    approval.refuse_unapproved(work)
    aim_check.before_sending(work, flow.target_system)
    for part in sharding.parts(work):
        while getattr(sharding.load(part, flow.target_system, wait_s=LOAD_WAIT_S), "trigger", None) is not None:
            time.sleep(0.05)


def _resumed(task: Task, site: Site, run: str) -> LegRun:
    return legs.resume(site, task.mapping, run)


_WORK: dict[str, Callable[[Task, Site, str], Any]] = {
    "aggregate": lambda task, site, run: legs.aggregate(_resumed(task, site, run)) and None,
    "map_changes": _map_changes,
    "check": _check,
    "load": _load,
    "commit": lambda task, site, run: sharding.commit(_resumed(task, site, run)) and None,
}


@cache
def _policy() -> flow.SyncRetryPolicy:
    return flow.SyncRetryPolicy()


class DagRun:
    """One run of a flow. ``place`` is the task that comes next; ``failed`` says why there will be no other.

    pause_s: before each leg begins; None: all of them begin at the same moment, by their own account.
    """

    def __init__(
        self, site: Site, mappings: Sequence[Mapping], run: str, *, asked: Request = ASKED_NOTHING,
        pause_s: float | None = 0,
    ) -> None:  # fmt: skip
        self.site, self.run, self.tasks, self.asked, self.pause_s = site, run, tasks_of(mappings), asked, pause_s or 0
        self.now = datetime.now(UTC) if pause_s is None else None
        self.place, self.failed, self.said = 0, "", list[str]()
        self.tries: Counter[str] = Counter()
        self.last = len(self.tasks)

    @property
    def over(self) -> bool:
        return bool(self.failed) or self.place >= self.last

    def stop_after(self, name: str) -> None:
        """The run is over when this leg, or this task, is; without a name, when all are."""
        ends = [at + 1 for at, task in enumerate(self.tasks) if name in (task.mapping.leg, str(task))]
        self.last = max(ends, default=len(self.tasks))

    def step(self, before: Callable[[Task], None] = lambda _task: None) -> None:
        """One try of the next task; what it raises is judged by the policy of the flow."""
        task = self.tasks[self.place]
        before(task)
        if task.name == "extract":
            time.sleep(self.pause_s)
        try:
            idle = perform(task, self.site, self.run, self.asked, now=self.now)
        except Exception as error:
            self.broke(f"{type(error).__name__}: {error}", retry=self._again(task, error))
            return
        self.went_well(idle)

    def went_well(self, idle: bool) -> None:
        leg, self.place = self.tasks[self.place].mapping.leg, self.place + 1
        while idle and self.place < len(self.tasks) and self.tasks[self.place].mapping.leg == leg:
            self.place += 1

    def broke(self, why: str, *, retry: bool) -> None:
        """A try that came to nothing. A run that will not go on gives its leg free, as the failure notifier does."""
        task = self.tasks[self.place]
        self.tries[str(task)] += 1
        self.said.append(f"{task}: {why}")
        if retry and self.tries[str(task)] <= RETRIES:
            return
        self.failed = f"{task}: {why}"
        for leg in {item.mapping.leg for item in self.tasks}:
            legs.release(self.site, leg, self.run, message=f"the DAG run failed: {why}")

    def _again(self, task: Task, error: Exception) -> bool:
        decision = _policy().evaluate(error, self.tries[str(task)] + 1, RETRIES)
        return decision.action.name != "FAIL"
