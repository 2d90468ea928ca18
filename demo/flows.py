"""Runs flows through the scheduler and watches them: those of the plan are triggered, the others follow by assets."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from demo import web
from demo.airflow_rest import ENDED, AirflowRest, Question, Run, Task
from demo.errors import DemoError
from demo.plan import Start, short
from demo.screen import Stage

POLL_S = 2.0
SICK_S = 300.0
STALLED_S = 45.0
"""Nothing runs for so long, and flows are missing: then those are triggered by hand."""
LOG_LINES = 20
QUIET = ("[]", "[info]", "[debug]")
HAND = "hand"
BUSY = 500
DID_NOT_FOLLOW = f"{HAND}, did not follow"
APPROVE, REASON = "Approve", "looked at in the demo"


@dataclass(frozen=True, slots=True)
class Watched:
    """A finished run with its tasks. ``started_by``: the flows before it, or what was done by hand."""

    run: Run
    tasks: tuple[Task, ...]
    started_by: str = HAND

    @property
    def succeeded(self) -> bool:
        """Whether the run ended well."""
        return self.run.state == "success"


@dataclass(slots=True)
class Watch:
    """One cycle of flows while it runs. ``runs``: each flow's first run of this cycle; ``more``: further ones."""

    rest: AirflowRest
    flows: Sequence[str]
    known: set[str]
    starts: Sequence[Start]
    by_hand: dict[str, str] = field(default_factory=dict)
    """Flow -> why it was triggered."""
    answers: list[Question] = field(default_factory=list)
    runs: dict[str, Run] = field(default_factory=dict)
    more: dict[str, Run] = field(default_factory=dict)

    def look(self) -> None:
        """Read all runs anew; the oldest new one of a flow is the cycle's."""
        for run in reversed(self.rest.runs()):
            if run.run_id in self.known or run.dag not in self.flows:
                continue
            is_first = self.runs.setdefault(run.dag, run).run_id == run.run_id
            if is_first:
                self.runs[run.dag] = run
            else:
                self.more[run.run_id] = run

    def trigger(self, start: Start, *, why: str = HAND) -> None:
        """Start a flow by hand."""
        self.by_hand[start.flow] = why
        self.runs[start.flow] = self.rest.trigger(start.flow, conf=start.conf)

    def start_due(self) -> None:
        """Trigger what the plan says, as soon as the flows before it have ended."""
        for start in self.starts:
            if start.flow in self.flows and start.flow not in self.runs and self._ended(start.after):
                self._try(start)

    def _try(self, start: Start) -> None:
        """Trigger; an answer of 500 means that Airflow's SQLite was busy: then the next look tries again."""
        try:
            self.trigger(start)
        except web.HttpError as error:
            if error.status != BUSY:
                raise
            self.by_hand.pop(start.flow)

    def _ended(self, flows: Sequence[str]) -> bool:
        return all(self.runs[flow].state in ENDED if flow in self.runs else flow not in self.flows for flow in flows)

    def missing(self) -> list[str]:
        """Flows that have not started."""
        return [flow for flow in self.flows if flow not in self.runs]

    def active(self) -> list[Run]:
        """Runs that have not ended."""
        return [run for run in (*self.runs.values(), *self.more.values()) if run.state not in ENDED]

    def answer(self) -> None:
        """Say yes to what the flows ask, as a person would in the UI."""
        for question in self.rest.questions():
            self.rest.answer(question, option=APPROVE, reason=REASON)
            self.answers.append(question)

    def progress(self) -> str:
        """``3 of 8 flows done; orders.orders_to_orders.load``."""
        done = sum(run.state in ENDED for run in self.runs.values())
        busy = [short(name) for name in self.rest.busy()]
        return "; ".join([f"{done} of {len(self.flows)} flows done", *busy[:2]])

    def watched(self) -> dict[str, Watched]:
        """Every flow's run with its tasks, in the order they started."""
        runs = sorted(self.runs.values(), key=lambda run: (run.started is None, run.started, run.dag))
        return {run.dag: Watched(run, tuple(self.rest.tasks(run)), self._starter(run)) for run in runs}

    def _starter(self, run: Run) -> str:
        if run.by_assets:
            return ", ".join(self.rest.starters(run))
        return self.by_hand.get(run.dag, HAND)


def run_flows(
    rest: AirflowRest, flows: Sequence[str], *, starts: Sequence[Start], stage: Stage, seconds: float,
    must_run: Callable[[], None],
) -> Watch:  # fmt: skip
    """Trigger what the plan says and wait until every flow has run. A failed run is no error here.

    Raises DemoError when it takes too long, or Airflow falls ill.
    starts: what is triggered by hand.   seconds: time limit.   must_run: raises when a program of the demo is gone.
    """
    watch = Watch(rest, flows, known={run.run_id for run in rest.runs()}, starts=starts)
    watch.start_due()
    until = healthy_at = busy_at = time.monotonic()
    until += seconds
    while watch.active() or watch.missing():
        time.sleep(POLL_S)
        must_run()
        sick = _look(watch, stage)
        now = time.monotonic()
        healthy_at = healthy_at if sick else now
        busy_at = now if sick or watch.active() else busy_at
        if now - healthy_at > SICK_S:
            raise DemoError(f"Airflow is not healthy for {SICK_S:.0f} s: {', '.join(sick)}")
        if now > until:
            raise DemoError(f"after {seconds:.0f} s: {watch.progress()}; not begun: {', '.join(watch.missing())}")
        if now - busy_at > STALLED_S and watch.missing():
            watch.trigger(Start(watch.missing()[0]), why=DID_NOT_FOLLOW)
            busy_at = now
    return watch


def _look(watch: Watch, stage: Stage) -> list[str]:
    """Look once and say what is going on; gives the components that are not well, a mute API server included."""
    try:
        watch.look()
        watch.start_due()
        watch.answer()
        stage.live(watch.progress())
    except web.HttpError as error:
        if error.status:
            raise
        return ["api_server"]
    return watch.rest.sick_components()


def failure(rest: AirflowRest, watched: Watched) -> str:
    """What to tell a person about a failed run: the first failed task and the end of its log."""
    failed = [task for task in watched.tasks if task.state == "failed"]
    head = f"run {watched.run.run_id} of {watched.run.dag} failed"
    if not failed:
        return f"{head}, no task did"
    lines = [line for line in rest.log(watched.run, failed[0]) if not line.startswith(QUIET)][-LOG_LINES:]
    return "\n".join([f"{head} in {', '.join(task.name for task in failed)}; the first one's log says:", *lines])
