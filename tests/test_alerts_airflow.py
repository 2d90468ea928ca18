"""With Airflow's real scheduler: a task is killed with SIGKILL, and somebody gets exactly one mail about it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import pytest

from commerce_sync.ledger import Ledger, database
from demo.airflow_rest import AirflowRest, Run
from mailing import Mailbox, connection, mail_server, read
from receiver.receiving import until
from standalone import airflow_standalone

pytestmark = pytest.mark.slow
FLOW, LEG, WATCH = "salesforce_customers", "households_to_accounts", "commerce_sync_watch"
FILES = {
    FLOW: f'''"""x"""
from commerce_sync.flow import sync_dag  # builds an Airflow DAG

dag = sync_dag("{FLOW}", legs=["salesforce/{LEG}"], schedule="0 3 1 1 *", doc=__doc__, retries=0)
''',
    WATCH: (Path(__file__).parents[1] / "dags" / f"{WATCH}.py").read_text(),
}
BEATS = {
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "15",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
}
"""Airflow waits five minutes for a sign of life; a test does not."""
WATCHED = 2


@pytest.fixture
def on_duty(simulators: dict[str, Any], tmp_path_factory: Any) -> Iterator[tuple[AirflowRest, Ledger, Mailbox]]:
    """Airflow with the flow and the watch, the flow's ledger, and the box of whoever is on duty."""
    folder = tmp_path_factory.mktemp("k")
    with mail_server() as (box, port):
        env = BEATS | {"AIRFLOW_CONN_COMMERCE_SYNC_ALERTS": connection(port)}
        with airflow_standalone(folder, dags=FILES, systems=simulators, env=env) as (rest, at):
            engine = database.connect(f"sqlite:///{at.sync}/ledger.db")
            yield rest, Ledger(engine, files=f"{at.sync}/files/markers"), box
            engine.dispose()


def test_a_killed_task_is_mailed_once_whoever_dies_with_it(on_duty, sap_commerce, capsys):
    """First the task's process alone; then with the worker that watches over it, as when a machine dies."""
    rest, ledger, box = on_duty
    sap_commerce.fault(match={"method": "GET"}, action="delay", delay_ms=600_000, times=None)
    for with_worker in (False, True):
        run = rest.trigger(FLOW)
        pid = until(lambda: started(rest, run), what="a task to kill", seconds=180, pause_s=0.5)  # noqa: B023
        time.sleep(1)
        began = time.monotonic()
        kill(pid, with_worker=with_worker)
        until(lambda: rest.run(run).state == "failed", what="the run to fail", seconds=300, pause_s=0.5)  # noqa: B023
        (letter,) = until(lambda: about(run, box), what="a mail", seconds=120, pause_s=0.5)  # noqa: B023
        took = time.monotonic() - began
        watch(rest)
        assert about(run, box) == [letter]
        assert f"step {LEG}.extract: it ended before it could tell why" in letter
        assert ledger.find_run(LEG, run.run_id).status == "stopped"
        with capsys.disabled():
            print(f"\nkilled {'with' if with_worker else 'without'} its worker: told after {took:.0f} s\n{letter}")


def started(rest: AirflowRest, run: Run) -> int | None:
    """Process id of the task of the leg that now waits for the shop."""
    path = f"/dags/{quote(run.dag)}/dagRuns/{quote(run.run_id)}/taskInstances"
    found = [item for item in rest._call("GET", path)["task_instances"] if item["task_id"] == f"{LEG}.extract"]
    return next((item["pid"] for item in found if item["state"] == "running" and item["pid"]), None)


def kill(pid: int, *, with_worker: bool) -> None:
    """SIGKILL; the worker is stopped first, so that it cannot react."""
    task = psutil.Process(pid)
    family = [task.parent(), task] if with_worker else [task]
    for process in family:
        process.suspend()
    for process in reversed(family):
        process.kill()


def about(run: Run, box: Mailbox) -> list[str]:
    """Texts of the letters that name a run."""
    return [text for text in (read(letter)[1] for letter in box.letters) if run.run_id in text]


def watch(rest: AirflowRest) -> None:
    """Let the watch look around; it sends what was noted and never left."""
    for _time in range(WATCHED):
        run = rest.trigger(WATCH)
        until(lambda: rest.run(run).state == "success", what="the watch", seconds=180, pause_s=0.5)  # noqa: B023
