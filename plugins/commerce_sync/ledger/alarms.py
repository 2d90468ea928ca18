"""What somebody was told, or is to be told: each thing once while it lasts, none forgotten between two processes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from commerce_sync.ledger.database import insert, reading, writing
from commerce_sync.ledger.tables import ALERT

FAILURE = "failure"
"""The kind that happens once; every other kind lasts until it is no longer found."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something a person has to know.

    key: the same for the same trouble.   kind: failure, late, stale, unscheduled, idle, rejects, parked or broken.
    message: what happened and what to do, without personal values.
    """

    key: str
    kind: str
    flow: str
    leg: str | None
    message: str


@dataclass(frozen=True, slots=True)
class Alert(Finding):
    """A finding as the ledger keeps it; times are aware UTC, ``told_at`` None until its message has left."""

    first_at: datetime
    last_at: datetime
    told_at: datetime | None
    ended_at: datetime | None


class Alarms:
    """Alerts of one ledger."""

    _engine: Engine

    def claim_alerts(self, found: Sequence[Finding]) -> list[Finding]:
        """Note what happened; gives what nobody had noted before: the caller tells it, and nobody else does."""
        now = datetime.now(UTC)
        with writing(self._engine) as connection:
            return [one for one in found if _note(connection, one, now=now)]

    def told_alerts(self, keys: Iterable[str]) -> None:
        """The messages about these have left."""
        with writing(self._engine) as connection:
            values = {"told_at": datetime.now(UTC)}
            connection.execute(sa.update(ALERT).where(ALERT.c.key.in_(list(keys))).values(values))

    def untold_alerts(self, *, before: datetime) -> list[Alert]:
        """Noted before a moment and still not told: whoever noted them died, or could not send."""
        with reading(self._engine) as connection:
            query = sa.select(ALERT).where(ALERT.c.told_at.is_(None), ALERT.c.first_at < before)
            return [_alert(row) for row in connection.execute(query.order_by(ALERT.c.first_at, ALERT.c.key))]

    def lasting_alerts(self, found: Sequence[Finding], *, kinds: Sequence[str]) -> tuple[list[Finding], list[Alert]]:
        """What is found now of ``kinds``, against what was found before: (new, over).

        A trouble that comes back after it was over is new again.
        """
        now = datetime.now(UTC)
        with writing(self._engine) as connection:
            query = sa.select(ALERT).where(ALERT.c.kind.in_(list(kinds)), ALERT.c.ended_at.is_(None))
            known = {row.key: _alert(row) for row in connection.execute(query)}
            new = [one for one in found if one.key not in known]
            for one in found:
                _renew(connection, one, now=now, known=one.key in known)
            over = [item for key, item in known.items() if key not in {one.key for one in found}]
            ended = ALERT.c.key.in_([item.key for item in over])
            connection.execute(sa.update(ALERT).where(ended).values(ended_at=now))
        return new, over

    def alerts(self, *, lasting: bool = False, limit: int = 100) -> list[Alert]:
        """Alerts, newest first; ``lasting``: only those that are not over."""
        query = sa.select(ALERT).order_by(ALERT.c.first_at.desc(), ALERT.c.key).limit(limit)
        if lasting:
            query = query.where(ALERT.c.ended_at.is_(None), ALERT.c.kind != FAILURE)
        with reading(self._engine) as connection:
            return [_alert(row) for row in connection.execute(query)]

    def sweep_alerts(self, *, before: datetime) -> int:
        """Forget what was told and is over since before a moment; gives its number."""
        is_over = sa.or_(ALERT.c.kind == FAILURE, ALERT.c.ended_at.is_not(None))
        with writing(self._engine) as connection:
            old = sa.delete(ALERT).where(ALERT.c.last_at < before, ALERT.c.told_at.is_not(None), is_over)
            return connection.execute(old).rowcount


def _note(connection: Connection, one: Finding, *, now: datetime) -> bool:
    row = asdict(one) | {"first_at": now, "last_at": now}
    return connection.execute(insert(connection, ALERT).values(row).on_conflict_do_nothing()).rowcount == 1


def _renew(connection: Connection, one: Finding, *, now: datetime, known: bool) -> None:
    if known:
        still = {"last_at": now, "message": one.message}
        connection.execute(sa.update(ALERT).where(ALERT.c.key == one.key).values(still))
        return
    connection.execute(sa.delete(ALERT).where(ALERT.c.key == one.key))
    _note(connection, one, now=now)


def _alert(row: sa.Row[tuple[object, ...]]) -> Alert:
    return Alert(**{item.name: getattr(row, item.name) for item in fields(Alert)})
