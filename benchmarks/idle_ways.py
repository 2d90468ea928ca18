"""One start of a task each, as Airflow's task process has it: import, DAG file, the operator's ``execute``.

What Airflow adds around it (supervisor, API calls, heartbeats) is the same for every task and is left out.
"""

from __future__ import annotations

import os
import runpy
import sys
import uuid
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from benchmarks.measure import ROOT

Found = dict[str, Any]
HEAVY = ("great_expectations", "pandas", "duckdb", "aiohttp")


def _dag(dag_id: str) -> Any:
    return runpy.run_path(str(ROOT / "dags" / f"{dag_id}.py"))["dag"]


def _context(dag_id: str, run_id: str, *, mode: str) -> dict[str, Any]:
    return {
        "dag_run": SimpleNamespace(run_id=run_id, conf={}, run_type="manual", dag_id=dag_id),
        "params": {"mode": mode},
        "ti": SimpleNamespace(xcom_push=lambda key, value: None, get_first_reschedule_date=lambda _context: None),
    }


def _started(dag: Any, leg: str, run_id: str, *, mode: str = "auto") -> list[str]:
    """The leg's tasks that a run starts, one after the other, until one of them skips the rest."""
    from airflow.sdk.exceptions import DownstreamTasksSkipped

    context, names = _context(dag.dag_id, run_id, mode=mode), []
    for task in dag.topological_sort():
        if task.task_id.rpartition(".")[0] != leg:
            continue
        names.append(task.task_id.rpartition(".")[2])
        try:
            task.execute(context)
        except DownstreamTasksSkipped:
            break
    return names


def first_run(*, dag_id: str, leg: str, env: dict[str, str]) -> Found:
    """A complete run, so that the next one finds nothing."""
    os.environ.update(env)
    return {"tasks": _started(_dag(dag_id), leg, "first", mode="complete")}


def nothing_to_do(*, dag_id: str, leg: str, env: dict[str, str]) -> Callable[[], Any]:
    """A run that finds nothing, its tasks one after the other in this process; the import of the DAG file counts."""
    os.environ.update(env)

    def work() -> Callable[[], Found]:
        names = _started(_dag(dag_id), leg, uuid.uuid4().hex)
        return lambda: {"tasks": names} | _imported()

    return work


def empty_task(*, dag_id: str, env: dict[str, str]) -> Callable[[], Any]:
    """The limit: the same DAG file, and a task that does nothing."""
    os.environ.update(env)

    def work() -> Callable[[], Found]:
        from airflow.providers.standard.operators.empty import EmptyOperator

        _dag(dag_id)
        EmptyOperator(task_id="nothing").execute({})
        return lambda: {"tasks": ["nothing"]} | _imported()

    return work


def gate_task(*, dag_id: str, env: dict[str, str]) -> Callable[[], Any]:
    """What a check that always runs costs before it looks at a row: an empty task that imports Great Expectations."""
    empty = empty_task(dag_id=dag_id, env=env)

    def work() -> Any:
        import great_expectations  # noqa: F401

        return empty()

    return work


def _imported() -> Found:
    return {"imported": [name for name in HEAVY if name in sys.modules]}
