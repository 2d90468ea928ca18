"""Jobs: what a run has going on at the far side, written down before data is sent.

A killed task finds here the job it had, and resumes or settles it instead of starting another one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from commerce_sync.errors import ConfigurationError
from commerce_sync.ledger.database import insert, reading, writing
from commerce_sync.ledger.tables import JOB


@dataclass(frozen=True, slots=True)
class Job:
    """One remote job of a run. ``remote_id`` and ``state`` are None until the far side gave them; facts are JSON."""

    name: str
    remote_id: str | None = None
    state: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    updated: datetime | None = field(default=None, compare=False)


_COLUMNS = (JOB.c.name, JOB.c.remote_id, JOB.c.state, JOB.c.facts, JOB.c.updated)


class RunJobs:
    """The jobs of one run of one leg, kept in the ledger."""

    def __init__(self, engine: Engine, *, leg: str, run: str) -> None:
        self._engine = engine
        self.leg = leg
        self.run = run

    def all(self) -> list[Job]:
        """The run's jobs in the order they were planned."""
        query = sa.select(*_COLUMNS).where(JOB.c.leg == self.leg, JOB.c.run == self.run).order_by(JOB.c.id)
        with reading(self._engine) as connection:
            return [Job(**row._mapping) for row in connection.execute(query)]

    def plan(self, name: str, **facts: Any) -> Job:
        """Note a job that is about to be made; one that was noted before is returned as it stands."""
        row = {"leg": self.leg, "run": self.run, "name": name, "facts": facts}
        with writing(self._engine) as connection:
            values = row | {"updated": datetime.now(UTC)}
            connection.execute(insert(connection, JOB).values(values).on_conflict_do_nothing())
            return self._read(connection, name)

    def update(self, job: Job, *, remote_id: str | None = None, state: str | None = None, **facts: Any) -> Job:
        """Note what became of a job; facts are merged into the ones it has. None leaves a value as it is."""
        with writing(self._engine) as connection:
            stored = self._read(connection, job.name)
            values = {
                "remote_id": remote_id if remote_id is not None else stored.remote_id,
                "state": state if state is not None else stored.state,
                "facts": {**stored.facts, **facts},
                "updated": datetime.now(UTC),
            }
            connection.execute(sa.update(JOB).where(self._is(job.name)).values(values))
            return self._read(connection, job.name)

    def _is(self, name: str) -> sa.ColumnElement[bool]:
        return sa.and_(JOB.c.leg == self.leg, JOB.c.run == self.run, JOB.c.name == name)

    def _read(self, connection: sa.Connection, name: str) -> Job:
        row = connection.execute(sa.select(*_COLUMNS).where(self._is(name)).with_for_update()).one_or_none()
        if row is None:
            raise ConfigurationError(f"ledger: run {self.run!r} of {self.leg!r} has no job {name!r}; plan() it first")
        return Job(**row._mapping)
