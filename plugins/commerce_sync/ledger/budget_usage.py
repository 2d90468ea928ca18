"""Consumption by hour: what each leg used of a connection's allowance, and what others used of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from commerce_sync import budget_forecast
from commerce_sync.budget_forecast import DAY, DAYS_LOOKED_AT, HOUR, OTHERS, hour_of
from commerce_sync.ledger.budget_tables import USAGE, WAIT
from commerce_sync.ledger.database import insert

Pair = tuple[str, str]
"""Connection and resource."""
LOOKED_BACK = DAY * (DAYS_LOOKED_AT + 1)
NEWEST_SHARE = 0.3
"""Weight of the newest step in what is typical of a leg."""


@dataclass(frozen=True, slots=True)
class LegUsage:
    """What one leg used in 24 hours, and whether it waits. ``since`` is None when it does not."""

    leg: str
    priority: str
    used: int
    typical: int
    since: datetime | None = None
    look_again: datetime | None = None
    reason: str | None = None


def add(connection: Connection, pair: Pair, *, leg: str, priority: str, used: float, now: datetime) -> None:
    """Add to the hour of ``now``."""
    values = {"leg": leg, "priority": priority, "used": used, "hour": hour_of(now)}
    statement = insert(connection, USAGE).values(connection=pair[0], resource=pair[1], **values)
    more = {"used": USAGE.c.used + statement.excluded.used, "priority": statement.excluded.priority}
    keys = ["connection", "resource", "hour", "leg"]
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=more))


def history(connection: Connection, pair: Pair, *, now: datetime) -> dict[str, dict[datetime, float]]:
    """Priority or ``others`` -> hour -> used, as far back as a forecast looks."""
    found: dict[str, dict[datetime, float]] = {}
    query = (
        sa.select(USAGE.c.priority, USAGE.c.hour, sa.func.sum(USAGE.c.used))
        .where(*_of(pair), USAGE.c.hour >= hour_of(now - LOOKED_BACK))
        .group_by(USAGE.c.priority, USAGE.c.hour)
    )
    for priority, hour, used in connection.execute(query):
        found.setdefault(priority, {})[hour] = float(used)
    return found


def ours_of_a_day(connection: Connection, pair: Pair, *, now: datetime) -> int:
    """What we used of the rolling 24 hours; the hour they begin in counts as a whole, so never too little."""
    query = sa.select(sa.func.sum(USAGE.c.used)).where(
        *_of(pair), USAGE.c.hour >= hour_of(now - DAY), USAGE.c.priority != OTHERS
    )
    return round(connection.scalar(query) or 0)


def dropped(connection: Connection, pair: Pair, *, since: datetime, until: datetime, now: datetime) -> float:
    """What left the window of 24 hours between two moments, by everybody."""
    query = (
        sa.select(USAGE.c.hour, sa.func.sum(USAGE.c.used))
        .where(*_of(pair), USAGE.c.hour >= hour_of(since - DAY), USAGE.c.hour <= until - DAY)
        .group_by(USAGE.c.hour)
    )
    series = {hour: float(used) for hour, used in connection.execute(query)}
    return budget_forecast.dropped({"all": series}, since=since, until=until, now=now)


def changed(connection: Connection, pair: Pair, *, since: datetime, now: datetime) -> float:
    """By how much the use of 24 hours has changed since the far side told it, ours apart: what others are expected to
    have used, less what dropped out.
    """
    past = history(connection, pair, now=now)
    came = budget_forecast.expected(past, OTHERS, now=since)
    hours = min((now - since) / HOUR, float(len(came)))
    whole = int(hours)
    others = sum(came[:whole]) + (hours - whole) * (came[whole] if whole < len(came) else 0.0)
    return others - budget_forecast.dropped(past, since=since, until=now, now=now)


def learn(connection: Connection, pair: Pair, *, leg: str, priority: str, used: int) -> None:
    """Take a step's calls into what is typical of its leg."""
    values = {"leg": leg, "priority": priority, "typical": float(used)}
    statement = insert(connection, WAIT).values(connection=pair[0], resource=pair[1], **values)
    mixed = (1 - NEWEST_SHARE) * WAIT.c.typical + NEWEST_SHARE * statement.excluded.typical
    set_ = {"typical": mixed, "priority": statement.excluded.priority}
    connection.execute(statement.on_conflict_do_update(index_elements=["connection", "resource", "leg"], set_=set_))


def by_leg(connection: Connection, pair: Pair, *, now: datetime) -> list[LegUsage]:
    """Every leg that used something in 24 hours or waits, the greatest first."""
    query = (
        sa.select(USAGE.c.leg, sa.func.max(USAGE.c.priority), sa.func.sum(USAGE.c.used))
        .where(*_of(pair), USAGE.c.hour > hour_of(now - DAY), USAGE.c.priority != OTHERS)
        .group_by(USAGE.c.leg)
    )
    used = {leg: (priority, round(number)) for leg, priority, number in connection.execute(query)}
    rows = connection.execute(sa.select(WAIT).where(WAIT.c.connection == pair[0], WAIT.c.resource == pair[1]))
    waits = {row.leg: row for row in rows}
    found = []
    for leg in used.keys() | {leg for leg, row in waits.items() if row.since}:
        row, (priority, number) = waits.get(leg), used.get(leg, ("", 0))
        found.append(
            LegUsage(leg, row.priority, number, round(row.typical), row.since, row.look_again, row.reason)
            if row is not None
            else LegUsage(leg, priority, number, 0)
        )
    return sorted(found, key=lambda item: (-item.used, item.leg))


def prune(connection: Connection, *, before: datetime) -> int:
    """Forget hours that lie before a moment by more than forecasts look back; gives their number."""
    return connection.execute(sa.delete(USAGE).where(USAGE.c.hour < before - LOOKED_BACK)).rowcount


def _of(pair: Pair) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    return USAGE.c.connection == pair[0], USAGE.c.resource == pair[1]
