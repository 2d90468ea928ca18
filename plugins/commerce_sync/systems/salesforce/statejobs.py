"""The journal of a load in Airflow's task state: it survives retries and deferrals of one task instance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any, Protocol

from commerce_sync.systems.jobs import Job, Jobs, MemoryJobs

INDEX = "salesforce_jobs"


class StateStore(Protocol):
    """What of Airflow's ``task_state_store`` is used; values are JSON, a write is durable when it returns."""

    def get(self, key: str) -> Any: ...  # noqa: D102

    def set(self, key: str, value: Any) -> Any: ...  # noqa: D102

    def delete(self, key: str) -> Any: ...  # noqa: D102


class StateJobs:
    """Jobs in a task state store, one key each (a value may hold 64 KiB)."""

    def __init__(self, store: StateStore) -> None:
        self._store = store

    def all(self) -> list[Job]:
        """Every job of this load, oldest first."""
        return [Job(**self._store.get(_key(name))) for name in self._store.get(INDEX) or []]

    def plan(self, name: str, **facts: Any) -> Job:
        """Write down a job that will be made, or give back the one of that name."""
        names = self._store.get(INDEX) or []
        if name in names:
            return Job(**self._store.get(_key(name)))
        job = Job(name=name, facts=facts)
        self._store.set(_key(name), asdict(job))
        self._store.set(INDEX, [*names, name])
        return job

    def update(self, job: Job, *, remote_id: str | None = None, state: str | None = None, **facts: Any) -> Job:
        """Write down what became known."""
        known = Job(**self._store.get(_key(job.name)))
        changed = replace(
            known,
            remote_id=remote_id or known.remote_id,
            state=state or known.state,
            facts={**known.facts, **facts},
        )
        self._store.set(_key(job.name), asdict(changed))
        return changed

    def clear(self) -> None:
        """Forget the load: a cleared task that runs again must begin anew."""
        for name in self._store.get(INDEX) or []:
            self._store.delete(_key(name))
        self._store.delete(INDEX)


def jobs_of(context: Mapping[str, Any]) -> Jobs:
    """The journal of a running task; one in memory where Airflow offers no task state."""
    store = context.get("task_state_store")
    return MemoryJobs() if store is None else StateJobs(store)


def _key(name: str) -> str:
    return f"{INDEX}:{name}"
