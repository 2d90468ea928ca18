"""Runs: one row per try of a leg to get into step, with its window, its counts and how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from commerce_sync.errors import BalanceError, ConfigurationError
from commerce_sync.ledger.database import insert
from commerce_sync.ledger.tables import COUNTS, JOB, RUN

Kind = Literal["changes", "complete", "backfill", "replay", "plan", "undo", "compare"]
Status = Literal["running", "green", "red", "stopped"]
KINDS = ("changes", "complete", "backfill", "replay", "plan", "undo", "compare")
STATUSES = ("running", "green", "red", "stopped")
CHANGEABLE = (*COUNTS, "status", "digest", "calls", "seconds", "message")


@dataclass(frozen=True, slots=True)
class Window:
    """The span of modification times a run reads, both ends closed; None is open. Times are aware UTC."""

    since: datetime | None
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Run:
    """One row of the run record; counts are rows, ``calls`` are per system, ``seconds`` per step.

    digest: order-independent digest of the keys.   settled_version: the leg's version this run made, or None.
    """

    leg: str
    run: str
    kind: Kind
    mapping_version: int | None
    since: datetime | None
    until: datetime | None
    started: datetime
    ended: datetime | None
    status: Status
    settled_version: int | None
    read: int = 0
    carried: int = 0
    extracted: int = 0
    unchanged: int = 0
    filtered: int = 0
    waiting: int = 0
    quarantined: int = 0
    sent: int = 0
    delivered: int = 0
    rejected: int = 0
    unprocessed: int = 0
    new: int = 0
    modified: int = 0
    deleted: int = 0
    created: int = 0
    digest: str | None = None
    calls: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    message: str | None = None

    @property
    def window(self) -> Window:
        """What the run reads, fixed at its first try."""
        return Window(since=self.since, until=self.until)

    @property
    def settled(self) -> bool:
        """Whether its outcome is in the markers; a settled run is closed."""
        return self.settled_version is not None

    @property
    def counts(self) -> dict[str, int]:
        """All counts by name, in rows."""
        return {name: getattr(self, name) for name in COUNTS}

    @property
    def balanced(self) -> bool:
        """Whether every extracted and every sent row is accounted for (contract 4.3)."""
        return balances(self.counts)


_COLUMNS = [RUN.c[item.name] for item in fields(Run)]


def balances(counts: Mapping[str, int]) -> bool:
    """Whether extracted = unchanged + filtered + quarantined + sent, and sent = delivered + rejected + unprocessed."""
    kept = counts["unchanged"] + counts["filtered"] + counts["quarantined"]
    answered = counts["delivered"] + counts["rejected"] + counts["unprocessed"]
    return counts["extracted"] == kept + counts["sent"] and counts["sent"] == answered


def find(connection: Connection, leg: str, *, run: str, lock: bool = False) -> Run | None:
    """The row of a run, or None; ``lock`` keeps others from changing it until the transaction ends."""
    query = sa.select(*_COLUMNS).where(RUN.c.leg == leg, RUN.c.run == run)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    return _run(row) if row is not None else None


def demand(connection: Connection, leg: str, *, run: str) -> Run:
    """The locked row of a run. Raises ConfigurationError when it never began."""
    found = find(connection, leg, run=run, lock=True)
    if found is None:
        raise ConfigurationError(f"ledger: leg {leg!r} has no run {run!r}; call begin() before anything else")
    return found


def begin(
    connection: Connection,
    leg: str,
    *,
    run: str,
    kind: Kind,
    window: Window | None,
    mapping_version: int | None,
) -> Run:
    """The row of a run, made at the first call; later ones keep its window and reopen it if it had failed."""
    if kind not in KINDS:
        raise ConfigurationError(f"ledger: run kind {kind!r} does not exist; use one of: {', '.join(KINDS)}")
    span = window or Window(since=None, until=None)
    row: dict[str, Any] = {
        "leg": leg,
        "run": run,
        "kind": kind,
        "mapping_version": mapping_version,
        "since": span.since,
    }
    row |= {
        "until": span.until,
        "started": datetime.now(UTC),
        "status": "running",
        "calls": {},
        "seconds": {},
    }
    connection.execute(insert(connection, RUN).values(row).on_conflict_do_nothing())
    found = demand(connection, leg, run=run)
    if found.settled or found.status == "running":
        return found
    return write(connection, found, values={"status": "running", "ended": None, "message": None})


def update(connection: Connection, run: Run, *, values: Mapping[str, Any]) -> Run:
    """Set counts, status, digest or message; ``calls`` are added per system, ``seconds`` replaced per step.

    A settled run is closed: only calls and seconds still change, no repeated step can rewrite its result.
    Raises BalanceError for a green status over counts that do not balance.
    """
    stored = demand(connection, run.leg, run=run.run)
    wanted = merged(stored, values=values)
    if stored.settled:
        wanted = {name: value for name, value in wanted.items() if name in ("calls", "seconds")}
    check_status(stored, values=wanted)
    if wanted.get("status", "running") != "running":
        wanted["ended"] = datetime.now(UTC)
    return write(connection, stored, values=wanted) if wanted else stored


def merged(stored: Run, *, values: Mapping[str, Any]) -> dict[str, Any]:
    """The columns to write for ``values``. Raises ConfigurationError for a name that is not a run's."""
    unknown = set(values) - set(CHANGEABLE)
    if unknown:
        names = ", ".join(CHANGEABLE)
        raise ConfigurationError(f"ledger: a run has no {', '.join(sorted(unknown))}; it has: {names}")
    wanted = dict(values)
    if "calls" in wanted:
        more: Mapping[str, int] = wanted["calls"]
        wanted["calls"] = stored.calls | {name: stored.calls.get(name, 0) + count for name, count in more.items()}
    if "seconds" in wanted:
        wanted["seconds"] = stored.seconds | dict(wanted["seconds"])
    return wanted


def check_status(stored: Run, *, values: Mapping[str, Any]) -> None:
    """Refuse an unknown status, and green over an unaccounted row: there is no way around contract 4.3."""
    status = values.get("status", stored.status)
    if status not in STATUSES:
        raise ConfigurationError(f"ledger: run status {status!r} does not exist; use one of: {', '.join(STATUSES)}")
    counts = stored.counts | {name: value for name, value in values.items() if name in COUNTS}
    if status == "green" and not balances(counts):
        shown = ", ".join(f"{name} {counts[name]}" for name in COUNTS)
        raise BalanceError(
            f"leg {stored.leg!r}, run {stored.run!r} cannot be green: {shown}; it does not balance: "
            "extracted is unchanged + filtered + quarantined + sent, "
            "sent is delivered + rejected + unprocessed"
        )


def write(connection: Connection, run: Run, *, values: Mapping[str, Any]) -> Run:
    """Store columns of a run and return its row as it now is."""
    this = (RUN.c.leg == run.leg) & (RUN.c.run == run.run)
    connection.execute(sa.update(RUN).where(this).values(dict(values)))
    return demand(connection, run.leg, run=run.run)


def latest(connection: Connection, leg: str | None, *, limit: int) -> list[Run]:
    """The newest runs of a leg (or of all legs), newest first."""
    query = sa.select(*_COLUMNS).order_by(RUN.c.started.desc(), RUN.c.run.desc()).limit(limit)
    rows = connection.execute(query.where(RUN.c.leg == leg) if leg is not None else query)
    return [_run(row) for row in rows]


def prune(connection: Connection, *, before: datetime) -> int:
    """Remove runs started before a moment, and their jobs; every leg keeps its newest. Gives their number."""
    newest = sa.select(RUN.c.leg, sa.func.max(RUN.c.started).label("started")).group_by(RUN.c.leg).subquery()
    kept = sa.exists().where(newest.c.leg == RUN.c.leg, newest.c.started == RUN.c.started)
    removed = connection.execute(sa.delete(RUN).where(RUN.c.started < before, ~kept)).rowcount
    orphaned = ~sa.exists().where(RUN.c.leg == JOB.c.leg, RUN.c.run == JOB.c.run)
    connection.execute(sa.delete(JOB).where(JOB.c.updated < before, orphaned))
    return removed


def _run(row: Row[Any]) -> Run:
    return Run(**row._mapping)
