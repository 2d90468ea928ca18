"""Leases: blocks of an allowance that one step holds, so that not every call is a transaction.

What is leased counts as used until it is given back. The lease of a killed process expires: where the far side reports
its count, its rest goes back (what was called is in the report); elsewhere it stays used, because nobody knows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from commerce_sync.budget import WITHIN, Allowance, Priority
from commerce_sync.budget_forecast import DAY, HOUR, OTHERS
from commerce_sync.ledger import budget_usage
from commerce_sync.ledger.budget_tables import BUDGET, LEASE
from commerce_sync.ledger.budget_usage import Pair
from commerce_sync.ledger.database import insert

COLUMNS = (
    "spent", "reported_limit", "reported_used", "reported_at", "spent_then", "surplus", "next_slot",
)  # fmt: skip
# Built once: every block of calls goes through them.
LOOK = sa.select(*BUDGET.c[*COLUMNS]).where(
    BUDGET.c.connection == sa.bindparam("of"), BUDGET.c.resource == sa.bindparam("what")
)
LOCKED = LOOK.with_for_update()
KEEP = (
    sa.update(BUDGET)
    .where(BUDGET.c.connection == sa.bindparam("of"), BUDGET.c.resource == sa.bindparam("what"))
    .values({name: sa.bindparam(name) for name in COLUMNS})
)
LEASES = sa.select(*LEASE.c["id", "leg", "priority", "granted", "expires_at"]).where(
    LEASE.c.connection == sa.bindparam("of"), LEASE.c.resource == sa.bindparam("what")
)
BEGIN = sa.insert(LEASE).returning(LEASE.c.id)
END = sa.delete(LEASE).where(LEASE.c.id == sa.bindparam("number"))
LEASED_FOR = timedelta(minutes=10)
GUARD = 0.005
"""Share of the limit."""
JUST_NOW = timedelta(seconds=30)
"""So long what the far side said is good enough, while more than ``PLENTY`` of the limit is left."""
PLENTY = 0.5
FRESH = timedelta(minutes=5)
"""So long what the far side said needs no correction for what dropped out of its window since."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A step asks for calls (or batches, jobs, bytes). first: it has not used any yet, so it may as well wait."""

    connection: str
    resource: str
    leg: str
    priority: Priority
    amount: int
    within: timedelta = WITHIN
    first: bool = False

    @property
    def pair(self) -> Pair:
        """What the budget is found by."""
        return self.connection, self.resource


@dataclass(frozen=True, slots=True)
class Reported:
    """What the far side said of an allowance, and when: how much there is in 24 hours, how much everybody has used."""

    limit: int
    used: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Grant:
    """A lease. starts, ends: seconds since 1970 in which it may be used, ``ends`` None without a limit per second.

    floor: once the far side reports no more than this left, the lease is void; None where nothing is reserved.
    """

    lease: int
    amount: int
    expires: float
    starts: float = 0.0
    ends: float | None = None
    floor: int | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """No room now. until: when to look again.   room_at: when room is expected, None within 24 hours."""

    until: datetime
    reason: str
    room_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Level:
    """What an allowance stands at. limit: None when nobody has said it.   used: by everybody, leases included."""

    limit: int | None
    used: int
    reserve: int
    leased: int
    reported_at: datetime | None = None
    cushion: int = 0

    @property
    def floor(self) -> int:
        """What our flows leave: the reserve, and a little for what others use before the far side's next answer."""
        return self.reserve + (math.ceil(GUARD * (self.limit or 0)) if self.reported_at and self.reserve else 0)

    @property
    def room(self) -> int:
        """What our flows may still use; negative when others are into the reserve."""
        return (self.limit or 0) - self.floor - self.used


@dataclass(slots=True)
class Account:
    """A budget's row, held until the transaction ends; what changes is written once, by ``keep``."""

    pair: Pair
    spent: int = 0
    reported_limit: int | None = None
    reported_used: int | None = None
    reported_at: datetime | None = None
    spent_then: int = 0
    surplus: float = 0.0
    next_slot: float = 0.0

    @property
    def is_reported(self) -> bool:
        """Whether the far side tells its count."""
        return self.reported_at is not None


def held(connection: Connection, pair: Pair) -> Account:
    """The budget's row, locked until the transaction ends."""
    found = look(connection, pair, is_locked=True)
    if found is None:
        fresh = {"spent": 0, "spent_then": 0, "surplus": 0.0, "next_slot": 0.0}
        made = insert(connection, BUDGET).values(connection=pair[0], resource=pair[1], **fresh)
        connection.execute(made.on_conflict_do_nothing())
        found = look(connection, pair, is_locked=True)
    assert found is not None
    return found


def look(connection: Connection, pair: Pair, *, is_locked: bool = False) -> Account | None:
    """The budget's row, None before anything was used."""
    row = connection.execute(LOCKED if is_locked else LOOK, _given(pair)).one_or_none()
    return Account(pair, *row) if row is not None else None


def keep(connection: Connection, account: Account) -> None:
    """Write the row that is held."""
    connection.execute(KEEP, _given(account.pair) | {name: getattr(account, name) for name in COLUMNS})


def level(connection: Connection, account: Account, *, allowance: Allowance, leased: int, now: datetime) -> Level:
    """Where an allowance stands: by the far side's own count and what happened since, else by ours."""
    limit = allowance.limit or account.reported_limit
    at = account.reported_at
    if at is not None and account.reported_used is not None and now - at < DAY:
        used = float(account.reported_used + account.spent - account.spent_then + leased)
        if now - at > FRESH:
            used += budget_usage.changed(connection, account.pair, since=at, now=now)
    else:
        used = budget_usage.ours_of_a_day(connection, account.pair, now=now) + leased
    most = limit or 0
    return Level(limit, max(0, round(used)), allowance.reserved(most), leased, at, allowance.cushioned(most))


def lease(connection: Connection, ask: Ask, *, granted: int, now: datetime) -> tuple[int, datetime]:
    """Write a lease down; gives its number and when it expires."""
    expires = now + LEASED_FOR
    values = {"leg": ask.leg, "priority": ask.priority, "granted": granted, "taken_at": now, "expires_at": expires}
    values |= {"connection": ask.connection, "resource": ask.resource}
    return int(connection.execute(BEGIN, values).scalar_one()), expires


def settle(connection: Connection, account: Account, ask: Ask, number: int, *, used: int, now: datetime) -> None:
    """End a lease with what was used of it. One that expired before was counted by then, see ``leased``."""
    gone = connection.execute(END, {"number": number}).rowcount
    if gone or account.is_reported:
        spend(connection, account, leg=ask.leg, priority=ask.priority, used=used, now=now)


def spend(connection: Connection, account: Account, *, leg: str, priority: str, used: int, now: datetime) -> None:
    """Count what was used."""
    if used:
        account.spent += used
        budget_usage.add(connection, account.pair, leg=leg, priority=priority, used=used, now=now)


def leased(connection: Connection, account: Account, *, now: datetime) -> int:
    """What is leased at present; ends the leases that nobody gave back in time."""
    total = 0
    for number, leg, priority, granted, expires in connection.execute(LEASES, _given(account.pair)).all():
        if expires >= now:
            total += granted
            continue
        connection.execute(END, {"number": number})
        if not account.is_reported:
            spend(connection, account, leg=leg, priority=priority, used=granted, now=now)
    return total


def outstanding(connection: Connection, pair: Pair) -> int:
    """What is leased at present, for those who only look."""
    return sum(row.granted for row in connection.execute(LEASES, _given(pair)))


def note(connection: Connection, account: Account, said: Reported, *, now: datetime) -> None:
    """Take over what the far side said last; what it counted beyond ours was others'."""
    before = account.reported_at
    if before is not None:
        is_plenty = said.limit == account.reported_limit and said.limit - said.used > PLENTY * said.limit
        if said.at <= before or (is_plenty and said.at - before < JUST_NOW):
            return
    pair, used_before = account.pair, account.reported_used or 0
    if before is not None and said.at - before < DAY:
        gone = budget_usage.dropped(connection, pair, since=before, until=said.at, now=now)
        # Calls of ours that are under way count as others' until they are settled; the surplus takes them back.
        others = said.used - used_before + gone - (account.spent - account.spent_then) - account.surplus
        if others > 0:
            budget_usage.add(connection, pair, leg="", priority=OTHERS, used=others, now=now)
        account.surplus = max(0.0, -others)
    else:
        _spread(connection, pair, said.used - budget_usage.ours_of_a_day(connection, pair, now=now), now=now)
        account.surplus = 0.0
    account.reported_limit, account.reported_used, account.reported_at = said.limit, said.used, said.at
    account.spent_then = account.spent


def _spread(connection: Connection, pair: Pair, used: int, *, now: datetime) -> None:
    """What others used of a day that nobody watched: evenly, for want of better."""
    for hour in range(1, 25):
        if used > 0:
            at = now - HOUR * hour
            budget_usage.add(connection, pair, leg="", priority=OTHERS, used=used / 24, now=at)


def slot(account: Account, *, calls: int, rate: float, now: float) -> tuple[float, float]:
    """The next stretch of time in which nobody else calls, long enough for ``calls`` at ``rate`` per second."""
    starts = max(now, account.next_slot)
    account.next_slot = starts + calls / rate
    return starts, account.next_slot


def _given(pair: Pair) -> dict[str, Any]:
    return {"of": pair[0], "what": pair[1]}
