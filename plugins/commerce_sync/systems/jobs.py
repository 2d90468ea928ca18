"""Remote jobs a load leaves behind when it is killed, and what a load gives back.

A load writes every remote job here before it sends data, so that the next process can resume or settle it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from airflow.triggers.base import BaseTrigger


@dataclass(frozen=True, slots=True)
class Job:
    """One planned or running remote job.

    name: unique within the load and the same in every process that works on it.   remote_id: the far side's id,
    None before it exists.   state: the last one known, None before it exists.   facts: small JSON values.
    """

    name: str
    remote_id: str | None = None
    state: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


class Jobs(Protocol):
    """The durable journal of one load. Every method is on disk when it returns."""

    def all(self) -> list[Job]:
        """Every job of this load, oldest first."""

    def plan(self, name: str, **facts: Any) -> Job:
        """Write down a job that will be made; a name that is already there is given back as it is."""

    def update(self, job: Job, *, remote_id: str | None = None, state: str | None = None, **facts: Any) -> Job:
        """Write down what became known; None keeps what is there, ``facts`` are merged."""


class MemoryJobs:
    """A journal that lives as long as the process: for loads outside a flow, and for tests."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}

    def all(self) -> list[Job]:
        """Every job of this load, oldest first."""
        return list(self._jobs.values())

    def plan(self, name: str, **facts: Any) -> Job:
        """Write down a job that will be made, or give back the one of that name."""
        return self._jobs.setdefault(name, Job(name=name, facts=facts))

    def update(self, job: Job, *, remote_id: str | None = None, state: str | None = None, **facts: Any) -> Job:
        """Write down what became known."""
        known = self._jobs[job.name]
        self._jobs[job.name] = replace(
            known,
            remote_id=remote_id or known.remote_id,
            state=state or known.state,
            facts={**known.facts, **facts},
        )
        return self._jobs[job.name]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A finished load: every change has one row in the batch it wrote."""

    delivered: int = 0
    rejected: int = 0
    unprocessed: int = 0
    created: int = 0

    @property
    def rows(self) -> int:
        """Number of changes accounted for."""
        return self.delivered + self.rejected + self.unprocessed


@dataclass(frozen=True, slots=True)
class Waiting:
    """A load whose remote jobs still run: defer on ``trigger``, then call ``load`` again with the same jobs."""

    trigger: BaseTrigger
    jobs: tuple[str, ...] = ()
