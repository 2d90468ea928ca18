"""Killing a worker as a machine dies: it and everything it runs, at once, without a word."""

from __future__ import annotations

import contextlib
import signal
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import psutil

from cluster.services import Cluster
from demo.airflow_rest import AirflowRest, Run


@dataclass
class Watched:
    """Task instances as they were seen: (task, map index) -> number of tries, worker."""

    tries: dict[tuple[str, int], int] = field(default_factory=dict)
    worker: dict[tuple[str, int], str] = field(default_factory=dict)
    killed: list[str] = field(default_factory=list)

    def note(self, rest: AirflowRest, run: Run) -> list[dict[str, Any]]:
        """Look at all task instances of a run; gives them as the API does."""
        path = f"/dags/{quote(run.dag)}/dagRuns/{quote(run.run_id)}/taskInstances?limit=500"
        found: list[dict[str, Any]] = rest._call("GET", path)["task_instances"]
        for item in found:
            place = (item["task_id"], item["map_index"])
            self.tries[place] = max(self.tries.get(place, 0), item["try_number"] or 0)
            if item["hostname"]:
                self.worker[place] = item["hostname"]
        return found

    @staticmethod
    def holder(instances: list[dict[str, Any]], task_id: str) -> str:
        """The worker that runs a shard of a task now; empty when none does."""
        held = [item["hostname"] for item in instances if item["task_id"] == task_id and item["state"] == "running"]
        return next((name for name in held if name), "")

    def shards(self, leg: str) -> dict[int, str]:
        """Shard -> the worker that loaded it last; empty for a leg whose load is not mapped."""
        return {place[1]: name for place, name in self.worker.items() if place[0] == f"{leg}.load" and place[1] >= 0}

    def again(self) -> list[str]:
        """Tasks that took more than one try."""
        return [f"{task}[{index}]" if index >= 0 else task for (task, index), n in sorted(self.tries.items()) if n > 1]

    def faults(self) -> list[str]:
        """What the play was meant to show and did not."""
        from cluster.settings import SHARDED, SHARDS

        said = [f"{leg} was loaded in {len(self.shards(leg))} shards and not in {SHARDS}" for leg in SHARDED
                if len(self.shards(leg)) != SHARDS]  # fmt: skip
        used = {name for leg in SHARDED for name in self.shards(leg).values()}
        said += [] if len(used) > 1 else [f"all shards were loaded by {', '.join(used)}"]
        return said + ([] if self.again() else ["no task had to be begun again: the kill hit nothing"])


def kill(cluster: Cluster, name: str) -> None:
    """SIGKILL a worker, its pool and the tasks it runs; first they are stopped, so that none can react."""
    child = cluster.workers.pop(name)
    warden = psutil.Process(child.pid)
    family = [warden, *warden.children(recursive=True)]
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)
    cluster.forget(child)
    child._process.wait(timeout=30)
