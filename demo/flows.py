"""Runs a DAG through the scheduler and watches it: live task states, seconds per task, a failure's error."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from demo.airflow_rest import ENDED, FINISHED_TASK, AirflowRest, Run, Task
from demo.errors import DemoError
from demo.screen import Stage

POLL_S = 1.0
SICK_S = 60.0
LOG_LINES = 20
QUIET = ("[]", "[info]", "[debug]")


@dataclass(frozen=True, slots=True)
class Watched:
    """A finished run with its tasks."""

    run: Run
    tasks: tuple[Task, ...]


def run_flow(rest: AirflowRest, dag: str, *, stage: Stage, seconds: float, must_run: Callable[[], None]) -> Watched:
    """Trigger one run and wait for it. Raises DemoError when it fails, takes too long, or Airflow falls ill.

    seconds: time limit.   must_run: raises when one of the demo's programs is gone.
    """
    rest.unpause(dag)
    run, until, healthy_at = rest.trigger(dag), time.monotonic() + seconds, time.monotonic()
    while run.state not in ENDED:
        time.sleep(POLL_S)
        must_run()
        run, tasks = rest.run(run), rest.tasks(run)
        stage.live(progress(tasks))
        sick = rest.sick_components()
        healthy_at = healthy_at if sick else time.monotonic()
        if time.monotonic() - healthy_at > SICK_S:
            raise DemoError(f"Airflow is not healthy for {SICK_S:.0f} s: {', '.join(sick)}")
        if time.monotonic() > until:
            raise DemoError(f"run {run.run_id} of {dag} is still {run.state} after {seconds:.0f} s: {progress(tasks)}")
    watched = Watched(run, tuple(rest.tasks(run)))
    if run.state != "success":
        raise DemoError(failure(rest, watched))
    return watched


def progress(tasks: Sequence[Task]) -> str:
    """``7 of 20 tasks, customers_to_contacts.load running``."""
    ended = sum(task.state in FINISHED_TASK for task in tasks)
    busy = [f"{task.name} {task.state}" for task in tasks if task.state and task.state not in FINISHED_TASK]
    busy.sort(key=lambda text: not text.endswith("running"))
    return ", ".join([f"{ended} of {len(tasks)} tasks", *busy[:2]])


def failure(rest: AirflowRest, watched: Watched) -> str:
    """What to tell a person about a failed run: the first failed task and the end of its log."""
    failed = [task for task in watched.tasks if task.state == "failed"]
    head = f"run {watched.run.run_id} of {watched.run.dag} failed"
    if not failed:
        return f"{head}, no task did"
    lines = [line for line in rest.log(watched.run, failed[0]) if not line.startswith(QUIET)][-LOG_LINES:]
    return "\n".join([f"{head} in {', '.join(task.name for task in failed)}; the first one's log says:", *lines])
