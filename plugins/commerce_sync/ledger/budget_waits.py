"""Whether a step may go on now: what its priority leaves to others, and who has waited longer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from commerce_sync import budget_forecast
from commerce_sync.budget import PRIORITIES, Priority
from commerce_sync.budget_forecast import HOUR, HOURS, OTHERS, History
from commerce_sync.ledger import budget_usage
from commerce_sync.ledger.budget_leases import Ask, Level, Refusal
from commerce_sync.ledger.budget_tables import WAIT
from commerce_sync.ledger.budget_usage import Pair
from commerce_sync.ledger.database import insert

RELEASED = 0.5
"""Part of what others used beyond their usual that the cushion is smaller by: such a day may have a second half."""
KNOWN_FOR = timedelta(minutes=3)
"""How long a forecast is good for; what is left moves with every draw, what is to come does not."""
CUSHION = {"high": 0.0, "normal": 0.5, "low": 1.0}
"""Part of the cushion that a priority leaves alone, for what no forecast knows; half of it by one that is overdue."""
SOONEST, LATEST = timedelta(minutes=1), timedelta(minutes=15)
"""When a step that waits looks again: what others do may make room earlier than expected."""
FORGOTTEN = timedelta(hours=1)
"""A step that did not look again for so long waits no more: it was given up."""


@dataclass
class Dips:
    """Consumption by hour, and by how much what is left will shrink on the way; kept for minutes."""

    known: dict[tuple[Pair, tuple[str, ...], int], tuple[datetime, float]] = field(default_factory=dict)
    unusual: dict[Pair, tuple[datetime, float]] = field(default_factory=dict)
    read: dict[Pair, tuple[datetime, History]] = field(default_factory=dict)

    def history(self, connection: Connection, pair: Pair, *, now: datetime) -> History:
        """Consumption by hour."""
        at, found = self.read.get(pair, (None, {}))
        if at is None or not timedelta(0) <= now - at < KNOWN_FOR:
            found = budget_usage.history(connection, pair, now=now)
            self.read[pair] = (now, found)
        return found

    def excess(self, connection: Connection, pair: Pair, *, now: datetime) -> float:
        """What others used in 24 hours above their usual day."""
        at, found = self.unusual.get(pair, (None, 0.0))
        if at is None or not timedelta(0) <= now - at < KNOWN_FOR:
            past = self.history(connection, pair, now=now)
            found = budget_forecast.excess(past, OTHERS, now=now) * RELEASED
            self.unusual[pair] = (now, found)
        return found

    def of(self, connection: Connection, pair: Pair, *, names: tuple[str, ...], hours: int, now: datetime) -> float:
        """See ``budget_forecast.dip``."""
        at, found = self.known.get((pair, names, hours), (None, 0.0))
        if at is None or not timedelta(0) <= now - at < KNOWN_FOR:
            past = self.history(connection, pair, now=now)
            found = budget_forecast.dip(past, now=now, names=names, hours=hours)
            self.known[pair, names, hours] = (now, found)
        return found


@dataclass(frozen=True, slots=True)
class Waiting:
    """A leg that waits."""

    leg: str
    priority: str
    since: datetime
    typical: float


def room(connection: Connection, ask: Ask, stands: Level, dips: Dips, *, now: datetime) -> float:
    """What the step may take now; below 1 it has to wait.

    The first priority takes what is above the reserve. The others leave the cushion, and what those before them and
    others than us are expected to need in the next 24 hours, or, once they waited too long, in the next hour.
    """
    left = float(stands.room)
    if ask.priority == "high" or left < 1:
        return left
    queue = waiting(connection, ask.pair, now=now)
    own = next((item.since for item in queue if item.leg == ask.leg), now)
    is_overdue = now - own >= ask.within
    before: tuple[str, ...] = PRIORITIES[: PRIORITIES.index(ask.priority)]
    if is_overdue:
        before = ("high",)
    hours = 1 if is_overdue else HOURS
    left += dips.of(connection, ask.pair, names=(*before, OTHERS), hours=hours, now=now)
    left -= sum(item.typical for item in queue if _is_before(item, ask, own, is_overdue=is_overdue))
    cushion = stands.cushion * CUSHION[ask.priority] * (0.5 if is_overdue else 1.0)
    # The unusual day the cushion is for is here: what others used beyond their usual is what it was kept for.
    return left - max(0.0, cushion - dips.excess(connection, ask.pair, now=now))


def _is_before(item: Waiting, ask: Ask, own: datetime, *, is_overdue: bool) -> bool:
    if item.leg == ask.leg:
        return False
    rank, mine = _rank(item.priority), _rank(ask.priority)
    return item.since < own and (is_overdue or rank <= mine) or (rank < mine and not is_overdue)


def _rank(priority: str) -> int:
    return PRIORITIES.index(priority) if priority in PRIORITIES else len(PRIORITIES)


def waiting(connection: Connection, pair: Pair, *, now: datetime) -> list[Waiting]:
    """Legs that wait for this allowance, the longest first."""
    query = (
        sa.select(WAIT.c.leg, WAIT.c.priority, WAIT.c.since, WAIT.c.typical)
        .where(*_of(pair), WAIT.c.since.is_not(None), WAIT.c.look_again > now - FORGOTTEN)
        .order_by(WAIT.c.since)
    )
    return [Waiting(*row) for row in connection.execute(query)]


def known(connection: Connection, ask: Ask) -> tuple[float, bool]:
    """What a step of the leg usually needs, and whether the leg is listed as waiting."""
    row = connection.execute(sa.select(WAIT.c.typical, WAIT.c.since).where(*_of(ask.pair), WAIT.c.leg == ask.leg))
    found = row.one_or_none()
    return (float(found.typical), found.since is not None) if found is not None else (0.0, False)


def refuse(
    connection: Connection, ask: Ask, stands: Level, past: History, *, needed: float, now: datetime
) -> Refusal:  # fmt: skip
    """Write down that the leg waits; says until when and why."""
    room_at = _room_at(ask, stands, past, needed=needed, now=now)
    soon = min(max(room_at or now + LATEST, now + SOONEST), now + LATEST)
    until = now + SOONEST if ask.priority == "high" else soon
    when = f"room is expected at {room_at:%Y-%m-%d %H:%M} UTC" if room_at else "no room is expected within 24 hours"
    reason = (
        f"{ask.connection}: {max(0, stands.room):,} {ask.resource} of {stands.limit or 0:,} are left to us above the "
        f"reserve of {stands.reserve:,}; {ask.leg} ({ask.priority}) leaves them to what comes before it; {when}, "
        f"looking again at {until:%H:%M} UTC"
    )
    note_wait(connection, ask.pair, leg=ask.leg, priority=ask.priority, until=until, reason=reason, now=now)
    return Refusal(until, reason, room_at)


def _room_at(ask: Ask, stands: Level, past: History, *, needed: float, now: datetime) -> datetime | None:
    """From when on the step has room until the day is over, as far as the hours tell."""
    names = (*PRIORITIES[: PRIORITIES.index(ask.priority)], OTHERS)
    coming = [budget_forecast.expected(past, name, now=now) for name in names]
    ahead, left = [], float(stands.room)
    for hour in range(HOURS):
        since = now + HOUR * hour
        left += budget_forecast.dropped(past, since=since, until=since + HOUR, now=now)
        left -= sum(series[hour] for series in coming)
        ahead.append(left - CUSHION[ask.priority] * stands.cushion)
    lows = [(now + HOUR * (hour + 1), min(ahead[hour:])) for hour in range(HOURS)]
    return budget_forecast.room_at(lows, needed)


def note_wait(
    connection: Connection, pair: Pair, *, leg: str, priority: Priority, until: datetime, reason: str, now: datetime
) -> None:  # fmt: skip
    """A leg waits, since now unless it did already."""
    values = {"leg": leg, "priority": priority, "typical": 0.0, "since": now, "look_again": until, "reason": reason}
    statement = insert(connection, WAIT).values(connection=pair[0], resource=pair[1], **values)
    stale = sa.or_(WAIT.c.since.is_(None), WAIT.c.look_again <= now - FORGOTTEN)
    set_: Mapping[str, object] = {
        "since": sa.case((stale, statement.excluded.since), else_=WAIT.c.since),
        "look_again": statement.excluded.look_again, "reason": statement.excluded.reason,
        "priority": statement.excluded.priority,
    }  # fmt: skip
    keys = ["connection", "resource", "leg"]
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=set_))


def note_going(connection: Connection, pair: Pair, *, leg: str) -> None:
    """A leg waits no more."""
    free = {"since": None, "look_again": None, "reason": None}
    connection.execute(sa.update(WAIT).where(*_of(pair), WAIT.c.leg == leg, WAIT.c.since.is_not(None)).values(free))


def _of(pair: Pair) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    return WAIT.c.connection == pair[0], WAIT.c.resource == pair[1]
