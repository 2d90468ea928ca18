"""The few calls of Airflow's public REST API (v2) the demo needs: health, trigger, states, logs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from tenacity import retry, retry_if_exception, stop_after_attempt, wait_fixed

from demo import web

COMPONENTS = ("metadatabase", "scheduler", "triggerer", "dag_processor")
RUNNING, ENDED = ("queued", "running"), ("success", "failed")
NEWEST = 100
WARM_UP_S = 240.0
TRIES, PAUSE_S = 6, 3.0
FINISHED_TASK = ("success", "failed", "skipped", "upstream_failed", "removed")


def _may_pass(error: BaseException) -> bool:
    """Airflow's API answers 500 while the scheduler holds SQLite's only write lock."""
    return isinstance(error, web.HttpError) and error.status >= 500


@dataclass(frozen=True, slots=True)
class Task:
    """One task instance of a run. ``seconds`` is None until it ended."""

    name: str
    state: str | None
    seconds: float | None
    attempt: int


@dataclass(frozen=True, slots=True)
class Run:
    """One DAG run."""

    dag: str
    run_id: str
    state: str
    started: datetime | None
    ended: datetime | None
    by_assets: bool = False
    """Whether other flows started it."""

    @property
    def seconds(self) -> float | None:
        """From start to end."""
        return (self.ended - self.started).total_seconds() if self.started and self.ended else None


@dataclass(frozen=True, slots=True)
class Question:
    """A task that waits for a person's answer."""

    dag: str
    run_id: str
    task: str
    map_index: int
    subject: str


class AirflowRest:
    """Airflow at ``url`` as one user; the token is fetched at the first call and again when it expired."""

    def __init__(self, url: str, *, user: str, password: str) -> None:
        self.url, self._user, self._password = url, user, password
        self._token: str | None = None

    def sick_components(self) -> list[str]:
        """Components that do not report themselves healthy; all of them while the API server does not answer.

        ``standalone`` stays up when a component died, so that its process says nothing about health.
        """
        try:
            health = web.call("GET", f"{self.url}/api/v2/monitor/health", timeout_s=10)
        except web.HttpError:
            return ["api_server"]
        return [name for name in COMPONENTS if (health.get(name) or {}).get("status") != "healthy"]

    def warm_up(self) -> None:
        """Have the API for tasks build its versions, which it does at the first call and stands still meanwhile.

        On a busy machine that takes longer than the first task's patience.
        """
        web.call("GET", f"{self.url}/execution/health/ping", timeout_s=WARM_UP_S)

    def versions(self) -> dict[str, str]:
        """The version Airflow says it has."""
        return {"airflow": self._call("GET", "/version")["version"]}

    def dag_names(self) -> set[str]:
        """DAGs the scheduler knows."""
        return {dag["dag_id"] for dag in self._call("GET", "/dags?limit=200")["dags"]}

    def import_errors(self) -> list[str]:
        """DAG files that could not be read, with the last line of each error."""
        found = self._call("GET", "/importErrors?limit=100")["import_errors"]
        return [f"{item['filename']}: {item['stack_trace'].strip().splitlines()[-1]}" for item in found]

    def unpause(self, dag: str) -> None:
        """Let the scheduler work on the DAG's runs."""
        self._call("PATCH", f"/dags/{quote(dag)}", {"is_paused": False})

    def trigger(self, dag: str, *, conf: Mapping[str, Any] | None = None) -> Run:
        """Ask for a run now, without a logical date. conf: what a person would fill into the trigger form."""
        name = f"manual__{datetime.now(UTC).isoformat()}"
        body = {"dag_run_id": name, "logical_date": None, "conf": dict(conf or {})}
        try:
            return _run(self._call("POST", f"/dags/{quote(dag)}/dagRuns", body))
        except web.HttpError as error:
            if error.status != 409:
                raise
        # The first try had made it before it was said to have failed.
        return _run(self._call("GET", f"/dags/{quote(dag)}/dagRuns/{quote(name)}"))

    def run(self, run: Run) -> Run:
        """The run as it is now."""
        return _run(self._call("GET", f"/dags/{quote(run.dag)}/dagRuns/{quote(run.run_id)}"))

    def runs(self) -> list[Run]:
        """The newest runs of all DAGs, the newest first."""
        found = self._call("GET", f"/dags/~/dagRuns?limit={NEWEST}&order_by=-run_after")
        return [_run(item) for item in found["dag_runs"]]

    def starters(self, run: Run) -> list[str]:
        """DAGs whose success started a run by assets, by name."""
        path = f"/dags/{quote(run.dag)}/dagRuns/{quote(run.run_id)}/upstreamAssetEvents"
        return sorted({event["source_dag_id"] for event in self._call("GET", path)["asset_events"]})

    def busy(self) -> list[str]:
        """Names of the tasks that run now, with their flows."""
        found = self._call("GET", "/dags/~/dagRuns/~/taskInstances?state=running&limit=20")["task_instances"]
        return sorted(f"{item['dag_id']}.{item['task_id']}" for item in found)

    def questions(self) -> list[Question]:
        """What waits for a person's answer."""
        found = self._call("GET", "/dags/~/dagRuns/~/hitlDetails?response_received=false&limit=50")["hitl_details"]
        return [_question(item) for item in found]

    def answer(self, question: Question, *, option: str, reason: str) -> None:
        """Answer as the person this is signed in as."""
        path = f"/dags/{quote(question.dag)}/dagRuns/{quote(question.run_id)}/taskInstances/{quote(question.task)}"
        body = {"chosen_options": [option], "params_input": {"reason": reason}}
        self._call("PATCH", f"{path}/{question.map_index}/hitlDetails", body)

    def tasks(self, run: Run) -> list[Task]:
        """Task instances of a run, in the order they started; the ones that did not come last."""
        path = f"/dags/{quote(run.dag)}/dagRuns/{quote(run.run_id)}/taskInstances?limit=200"
        found = self._call("GET", path)["task_instances"]
        found.sort(key=lambda item: (item["start_date"] is None, item["start_date"] or "", item["task_id"]))
        return [_task(item) for item in found]

    def log(self, run: Run, task: Task) -> list[str]:
        """Events of a task's last attempt, with the error's text where there is one."""
        path = (
            f"/dags/{quote(run.dag)}/dagRuns/{quote(run.run_id)}/taskInstances/{quote(task.name)}"
            f"/logs/{task.attempt}?full_content=true"
        )
        return [line for item in self._call("GET", path)["content"] for line in _log_lines(item)]

    @retry(
        retry=retry_if_exception(_may_pass),
        stop=stop_after_attempt(TRIES),
        wait=wait_fixed(PAUSE_S),
        reraise=True,
    )
    def _call(self, method: str, path: str, body: Any = None) -> Any:
        url = f"{self.url}/api/v2{path}"
        try:
            return web.call(method, url, json_body=body, token=self._token or self._login())
        except web.HttpError as error:
            if error.status != 401:
                raise
        return web.call(method, url, json_body=body, token=self._login())

    def _login(self) -> str:
        who = {"username": self._user, "password": self._password}
        self._token = str(web.call("POST", f"{self.url}/auth/token", json_body=who)["access_token"])
        return self._token


def _run(item: dict[str, Any]) -> Run:
    return Run(
        dag=item["dag_id"],
        run_id=item["dag_run_id"],
        state=item["state"],
        started=_moment(item.get("start_date")),
        ended=_moment(item.get("end_date")),
        by_assets=item.get("run_type") == "asset_triggered",
    )


def _question(item: dict[str, Any]) -> Question:
    task = item["task_instance"]
    return Question(
        dag=task["dag_id"],
        run_id=task["dag_run_id"],
        task=task["task_id"],
        map_index=task["map_index"],
        subject=item["subject"],
    )


def _task(item: dict[str, Any]) -> Task:
    seconds = item.get("duration")
    return Task(
        name=item["task_id"],
        state=item["state"],
        seconds=None if seconds is None else round(float(seconds), 2),
        attempt=item.get("try_number") or 1,
    )


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _log_lines(item: Any) -> list[str]:
    if not isinstance(item, dict):
        return [str(item)]
    lines = [f"[{item.get('level', '')}] {item.get('event', '')}"]
    for error in item.get("error_detail") or []:
        lines.append(f"{error.get('exc_type')}: {error.get('exc_value')}")
    return lines
