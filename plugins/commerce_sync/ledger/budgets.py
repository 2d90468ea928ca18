"""The part of the ledger that all flows draw their calls from; see ``budget_leases`` and ``budget_waits``.

found = ledger.draw(ask, budgets["salesforce_default"])     # Grant or Refusal
ledger.give_back(ask, grant.lease, used=17, said=Reported(100_000, 43_112, at=now))
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from commerce_sync import budget_forecast
from commerce_sync.budget import CALLS, Allowance, Budget, Priority
from commerce_sync.budget_forecast import Forecast, History
from commerce_sync.ledger import budget_leases, budget_usage, budget_waits
from commerce_sync.ledger.budget_leases import Account, Ask, Grant, Level, Refusal, Reported
from commerce_sync.ledger.budget_tables import BUDGET
from commerce_sync.ledger.budget_usage import LegUsage, Pair
from commerce_sync.ledger.budget_waits import Dips
from commerce_sync.ledger.database import reading, writing

COUNTED_ONLY = Allowance()
MOST_AT_FIRST = 200
"""A step's first lease is as large as what it usually uses, up to this."""
SCARCE = 4
"""No lease takes more than this part of what is left: others draw at the same time."""
_dips: weakref.WeakKeyDictionary[Engine, Dips] = weakref.WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class Standing:
    """All there is to know of one allowance now. ours: used by our flows in 24 hours; others' is the rest."""

    connection: str
    resource: str
    level: Level
    ours: int
    legs: tuple[LegUsage, ...]
    history: History
    forecast: Forecast | None
    per_second: float | None = None
    is_limited: bool = False

    @property
    def others(self) -> int:
        """What others used in 24 hours, as far as the far side tells."""
        return max(0, self.level.used - self.level.leased - self.ours)


class Budgets:
    """Budgets of one ledger."""

    _engine: Engine

    def draw(
        self, ask: Ask, budget: Budget, *, done: tuple[int, int] | None = None, said: Reported | None = None,
        now: datetime | None = None,
    ) -> Grant | Refusal:  # fmt: skip
        """A lease of at most ``ask.amount``, or until when to wait; ends the lease ``done`` (number, used) before.

        One transaction. The lease is void when it expires. A refused leg is listed as waiting until it is granted.
        """
        now = now or datetime.now(UTC)
        with writing(self._engine) as connection:
            account = budget_leases.held(connection, ask.pair)
            _settle(connection, account, ask, done=done, said=said, now=now)
            allowance = budget.per_day.get(ask.resource)
            found = (ask.amount, None) if allowance is None else self._judged(connection, ask, allowance, account, now)
            rate = budget.per_second if ask.resource == CALLS else None
            given = found if isinstance(found, Refusal) else _granted(connection, ask, account, found, rate, now)
            budget_leases.keep(connection, account)
            return given

    def _judged(
        self, connection: Connection, ask: Ask, allowance: Allowance, account: Account, now: datetime
    ) -> tuple[int, int | None] | Refusal:
        leased = budget_leases.leased(connection, account, now=now)
        stands = budget_leases.level(connection, account, allowance=allowance, leased=leased, now=now)
        if stands.limit is None:
            return ask.amount, None  # the far side has not said yet; its first answer will
        dips = _dips.setdefault(self._engine, Dips())
        room = budget_waits.room(connection, ask, stands, dips, now=now)
        usual, is_listed = budget_waits.known(connection, ask) if ask.first else (0.0, False)
        wanted = max(ask.amount, math.ceil(min(usual, MOST_AT_FIRST))) if ask.resource == CALLS else ask.amount
        needed = _needed(ask, usual)
        if room < needed:
            past = dips.history(connection, ask.pair, now=now)
            return budget_waits.refuse(connection, ask, stands, past, needed=needed, now=now)
        if is_listed:
            budget_waits.note_going(connection, ask.pair, leg=ask.leg)
        part = room if ask.resource != CALLS else max(1, room // SCARCE)
        return int(min(wanted, part)), stands.floor

    def give_back(
        self, ask: Ask, lease: int, *, used: int, of_step: int, said: Reported | None = None,
        now: datetime | None = None,
    ) -> None:  # fmt: skip
        """End a lease with what was used of it. of_step: what the whole step used, to know what is typical."""
        now = now or datetime.now(UTC)
        with writing(self._engine) as connection:
            account = budget_leases.held(connection, ask.pair)
            _settle(connection, account, ask, done=(lease, used), said=said, now=now)
            budget_usage.learn(connection, ask.pair, leg=ask.leg, priority=ask.priority, used=of_step)
            budget_leases.keep(connection, account)

    def count_calls(self, ask: Ask, *, used: int, said: Reported | None = None, now: datetime | None = None) -> None:
        """Count calls that needed no lease."""
        now = now or datetime.now(UTC)
        with writing(self._engine) as connection:
            account = budget_leases.held(connection, ask.pair)
            budget_leases.spend(connection, account, leg=ask.leg, priority=ask.priority, used=used, now=now)
            _settle(connection, account, ask, done=None, said=said, now=now)
            budget_usage.learn(connection, ask.pair, leg=ask.leg, priority=ask.priority, used=used)
            budget_leases.keep(connection, account)

    def report(self, connection_id: str, resource: str, said: Reported) -> None:
        """Keep what the far side says of an allowance."""
        with writing(self._engine) as connection:
            account = budget_leases.held(connection, (connection_id, resource))
            budget_leases.note(connection, account, said, now=said.at)
            budget_leases.keep(connection, account)

    def note_refused(
        self, connection_id: str, resource: str, *, leg: str, priority: Priority, until: datetime, reason: str,
        now: datetime,
    ) -> None:  # fmt: skip
        """A leg waits because the far side itself said no."""
        with writing(self._engine) as connection:
            budget_waits.note_wait(
                connection, (connection_id, resource), leg=leg, priority=priority, until=until, reason=reason,
                now=now,
            )  # fmt: skip

    def reported_at(self, connection_id: str, resource: str) -> datetime | None:
        """When the far side last said what an allowance stands at."""
        query = sa.select(BUDGET.c.reported_at).where(
            BUDGET.c.connection == connection_id, BUDGET.c.resource == resource
        )
        with reading(self._engine) as connection:
            found: datetime | None = connection.scalar(query)
        return found

    def standings(self, budgets: Sequence[Budget], *, now: datetime | None = None) -> list[Standing]:
        """Every allowance of the budgets, and the calls of every other connection that was used in 24 hours."""
        now = now or datetime.now(UTC)
        with reading(self._engine) as connection:
            known = {(budget.connection, CALLS): budget for budget in budgets}
            known |= {(budget.connection, resource): budget for budget in budgets for resource in budget.per_day}
            for pair in _used(connection):
                known.setdefault(pair, Budget(pair[0]))
            return [_standing(connection, pair, budget, now) for pair, budget in sorted(known.items())]


def _used(connection: Connection) -> list[Pair]:
    rows = connection.execute(sa.select(BUDGET.c.connection, BUDGET.c.resource))
    return [(name, resource) for name, resource in rows]


def _standing(connection: Connection, pair: Pair, budget: Budget, now: datetime) -> Standing:
    account = budget_leases.look(connection, pair) or Account(pair)
    allowance, leased = budget.per_day.get(pair[1], COUNTED_ONLY), budget_leases.outstanding(connection, pair)
    stands = budget_leases.level(connection, account, allowance=allowance, leased=leased, now=now)
    past = budget_usage.history(connection, pair, now=now)
    ahead = None
    if stands.limit is not None and pair[1] in budget.per_day:
        ahead = budget_forecast.forecast(past, limit=stands.limit, reserve=stands.reserve, used=stands.used, now=now)
    return Standing(
        *pair, stands, budget_usage.ours_of_a_day(connection, pair, now=now),
        tuple(budget_usage.by_leg(connection, pair, now=now)), past, ahead,
        budget.per_second if pair[1] == CALLS else None,
        is_limited=pair[1] in budget.per_day or (pair[1] == CALLS and budget.per_second is not None),
    )  # fmt: skip


def _needed(ask: Ask, usual: float) -> float:
    """What there has to be room for: a step that has not begun waits for all of it, one at work takes what there is."""
    if ask.resource != CALLS:
        return float(ask.amount)
    return max(usual, float(ask.amount)) if ask.first and ask.priority != "high" else 1.0


def _settle(
    connection: Connection, account: Account, ask: Ask, *, done: tuple[int, int] | None, said: Reported | None,
    now: datetime,
) -> None:  # fmt: skip
    """End the old lease, then take over what was reported, which counts its calls."""
    if done is not None:
        budget_leases.settle(connection, account, ask, done[0], used=done[1], now=now)
    if said is not None:
        budget_leases.note(connection, account, said, now=now)


def _granted(
    connection: Connection, ask: Ask, account: Account, found: tuple[int, int | None], rate: float | None, now: datetime
) -> Grant:
    (amount, floor), starts, ends = found, 0.0, None
    if rate is not None:
        amount = min(amount, max(1, math.ceil(rate)))
        starts, ends = budget_leases.slot(account, calls=amount, rate=rate, now=now.timestamp())
    number, expires = budget_leases.lease(connection, ask, granted=amount, now=now)
    return Grant(number, amount, expires.timestamp(), starts, ends, floor)
