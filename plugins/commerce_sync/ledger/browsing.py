"""What people page through: runs, rejects and their groups across all legs, a page at a time, newest or by name.

Pages go on from the last row shown (keyset), so that page 1,000 costs what page 1 costs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from commerce_sync.ledger import rejects
from commerce_sync.ledger.database import reading
from commerce_sync.ledger.jobs import Job
from commerce_sync.ledger.ledger import Ledger
from commerce_sync.ledger.rejects import Reject
from commerce_sync.ledger.runs import Run
from commerce_sync.ledger.tables import CONFLICT, HOLD, JOB, REJECT, RUN

UNSETTLED = ("rejected", "parked", "quarantined")
"""Statuses of rejects that still want to arrive."""
CHUNK = 400
"""Pairs of names in one statement: SQLite takes 999 values at least."""
RUN_COLUMNS = [RUN.c[item.name] for item in fields(Run)]


@dataclass(frozen=True, slots=True)
class Latest:
    """The last run of a leg, and when a run of it last ended green."""

    run: Run
    green: datetime | None


@dataclass(frozen=True, slots=True)
class Slice:
    """Rows of the runs that started within one step of time from ``at`` on."""

    at: datetime
    delivered: int
    rejected: int
    quarantined: int
    unprocessed: int


@dataclass(frozen=True, slots=True)
class Group:
    """Rejects of one leg that have class, code and status in common. oldest: when the first of them last moved."""

    reason_class: str
    code: str
    leg: str
    status: str
    rows: int
    oldest: datetime
    newest: datetime


@dataclass(frozen=True, slots=True)
class Open:
    """How much waits for people."""

    errors: int
    conflicts: int
    holds: int


class Browser:
    """Reads one ledger, changes nothing."""

    def __init__(self, ledger: Ledger) -> None:
        self._engine = ledger._engine  # of this package

    def latest(self, legs: Iterable[str]) -> dict[str, Latest]:
        """Leg -> its last run; legs that never ran are missing, plans do not count."""
        of_leg = (RUN.c.leg == sa.bindparam("leg"), RUN.c.kind != "plan")
        last: sa.Select[Any] = sa.select(*RUN_COLUMNS).where(*of_leg).order_by(RUN.c.started.desc()).limit(1)
        green = sa.select(RUN.c.ended).where(*of_leg, RUN.c.status == "green").order_by(RUN.c.started.desc()).limit(1)
        found = {}
        with reading(self._engine) as connection:
            for leg in legs:
                row = connection.execute(last, {"leg": leg}).one_or_none()
                if row is not None:
                    run = Run(**row._mapping)
                    ended = run.ended if run.status == "green" else connection.scalar(green, {"leg": leg})
                    found[leg] = Latest(run, ended)
        return found

    def legs(self) -> list[str]:
        """Every leg that ever ran or has rejects, by name."""
        both = sa.select(RUN.c.leg).distinct().union(sa.select(REJECT.c.leg).distinct())
        with reading(self._engine) as connection:
            return sorted(connection.scalars(both))

    def runs(
        self, *, leg: str = "", status: str = "", kind: str = "", before: tuple[datetime, str, str] | None = None,
        limit: int = 50,
    ) -> list[Run]:  # fmt: skip
        """Runs, newest first, from the one after ``before`` (started, leg, run) on."""
        query: sa.Select[Any] = sa.select(*RUN_COLUMNS).limit(limit)
        query = query.order_by(RUN.c.started.desc(), RUN.c.leg.desc(), RUN.c.run.desc())
        query = _where(query, {RUN.c.leg: leg, RUN.c.status: status, RUN.c.kind: kind})
        if before is not None:
            at, *names = before
            earlier = sa.tuple_(RUN.c.leg, RUN.c.run) < sa.tuple_(*names)
            query = query.where(RUN.c.started <= at, sa.or_(RUN.c.started < at, earlier))
        with reading(self._engine) as connection:
            return [Run(**row._mapping) for row in connection.execute(query)]

    def rows_over_time(self, *, since: datetime, until: datetime, step_s: int, leg: str = "") -> list[Slice]:
        """Rows by the start of their run, in steps from ``since`` on; steps without a run are missing."""
        seconds = sa.cast(sa.extract("epoch", RUN.c.started), sa.BigInteger)
        number = ((seconds - int(since.timestamp())) // step_s).label("number")
        sums = [sa.func.sum(RUN.c[name]) for name in ("delivered", "rejected", "quarantined", "unprocessed")]
        columns: list[Any] = [number, *sums]
        query: sa.Select[Any] = sa.select(*columns).where(RUN.c.started >= since, RUN.c.started < until)
        query = query.group_by(number)
        with reading(self._engine) as connection:
            rows = connection.execute(_where(query, {RUN.c.leg: leg})).all()
        begin = int(since.timestamp())
        return [
            Slice(datetime.fromtimestamp(begin + int(at) * step_s, UTC), *(int(item) for item in counts))
            for at, *counts in sorted(tuple(row) for row in rows)
        ]

    def groups(self, *, leg: str = "", statuses: Sequence[str] = UNSETTLED) -> list[Group]:
        """Rejects by class, code, leg and status; the largest group first."""
        names = (REJECT.c.reason_class, REJECT.c.code, REJECT.c.leg, REJECT.c.status)
        size = sa.func.count()
        query: sa.Select[Any] = sa.select(*names, size, sa.func.min(REJECT.c.updated), sa.func.max(REJECT.c.updated))
        query = query.where(REJECT.c.status.in_(statuses)).group_by(*names).order_by(size.desc(), *names)
        with reading(self._engine) as connection:
            rows = connection.execute(_where(query, {REJECT.c.leg: leg})).all()
        return [Group(row[0] or "unknown", row[1] or "", *row[2:]) for row in rows]

    def rejects(
        self, *, leg: str = "", reason_class: str = "", code: str = "", statuses: Sequence[str] = UNSETTLED,
        key: str = "", after: tuple[str, str] | None = None, limit: int = 50,
    ) -> list[Reject]:  # fmt: skip
        """Rejects by leg and key, from the one after ``after`` on. key: exact, or a beginning that ends in ``*``."""
        query: sa.Select[Any] = sa.select(REJECT).where(REJECT.c.status.in_(statuses)).limit(limit)
        query = query.order_by(REJECT.c.leg, REJECT.c.key)
        query = _where(query, {REJECT.c.leg: leg, REJECT.c.code: code})
        if reason_class:
            query = query.where(sa.func.coalesce(REJECT.c.reason_class, "unknown") == reason_class)
        if key:
            query = query.where(_matches(REJECT.c.key, key))
        if after is not None:
            query = query.where(sa.tuple_(REJECT.c.leg, REJECT.c.key) > sa.tuple_(*after))
        with reading(self._engine) as connection:
            return [rejects._reject(row) for row in connection.execute(query)]

    def reject(self, leg: str, key: str) -> Reject | None:
        """One reject, or None."""
        with reading(self._engine) as connection:
            return rejects.find(connection, leg, key=key)

    def legs_of_conflicts(self, ids: Sequence[int]) -> set[str]:
        """The legs that last met these conflicts."""
        with reading(self._engine) as connection:
            parts = (list(ids[start : start + 1000]) for start in range(0, len(ids), 1000))
            wanted = (sa.select(CONFLICT.c.leg).where(CONFLICT.c.id.in_(part)) for part in parts)
            return {leg for query in wanted for leg in connection.scalars(query)}

    def legs_with_holds(self) -> set[str]:
        """The legs that ask, or asked, a person."""
        with reading(self._engine) as connection:
            return set(connection.scalars(sa.select(HOLD.c.leg).distinct()))

    def runs_named(self, names: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Run]:
        """(Leg, run) -> the row of the run; those that are gone are missing."""
        found = {}
        for row in self._named(sa.select(*RUN_COLUMNS), RUN, names):
            run = Run(**row._mapping)
            found[run.leg, run.run] = run
        return found

    def jobs_named(self, names: Sequence[tuple[str, str]]) -> dict[tuple[str, str], list[Job]]:
        """(Leg, run) -> its remote jobs in the order they were planned; runs without one are missing."""
        columns = [JOB.c[item.name] for item in fields(Job)]
        found: dict[tuple[str, str], list[Job]] = {}
        for row in self._named(sa.select(*columns, JOB.c.leg, JOB.c.run).order_by(JOB.c.id), JOB, names):
            *values, leg, run = row
            found.setdefault((leg, run), []).append(Job(*values))
        return found

    def _named(self, query: Any, table: sa.Table, names: Sequence[tuple[str, str]]) -> list[Any]:
        parts = (list(names[start : start + CHUNK]) for start in range(0, len(names), CHUNK))
        with reading(self._engine) as connection:
            chosen = (query.where(sa.tuple_(table.c.leg, table.c.run).in_(part)) for part in parts)
            return [row for some in chosen for row in connection.execute(some)]

    def open_counts(self) -> Open:
        """How much waits for people, over all legs."""
        asked = (
            sa.select(sa.func.count()).select_from(REJECT).where(REJECT.c.status.in_(UNSETTLED)),
            sa.select(sa.func.count()).select_from(CONFLICT).where(CONFLICT.c.status == "open"),
            sa.select(sa.func.count()).select_from(HOLD).where(HOLD.c.status == "waiting"),
        )
        with reading(self._engine) as connection:
            return Open(*(int(connection.scalar(query) or 0) for query in asked))


def _where(query: sa.Select[Any], equal: dict[Any, str]) -> sa.Select[Any]:
    for column, value in equal.items():
        query = query.where(column == value) if value else query
    return query


def _matches(column: Any, key: str) -> Any:
    """Exact, or a beginning; not LIKE, for which % and _ in a key would mean something."""
    if not key.endswith("*"):
        return column == key
    start = key[:-1]
    return sa.func.substr(column, 1, len(start)) == start
