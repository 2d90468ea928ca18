"""Counts the calls of one step, and lets each begin when its connection's budget has room for it.

Steps (``LegRun.counting``) and polls open a scope; every session opened within finds the meter of its connection, so
that no call is forgotten: not those of a second connection, not those that fail. A meter draws a block of calls at a
time from the ledger and gives back what it did not use.

with metered(ledger, budgets, leg="orders_to_orders", priority="high"):
    hook.extract(...)                # RestSession asks current("salesforce_default") before each call
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta

from commerce_sync.budget import CALLS, DEFAULT_PRIORITY, WITHIN, Budget, Budgets, Priority
from commerce_sync.errors import QuotaError, RetryableError
from commerce_sync.ledger import Ask, Grant, Ledger, Refusal, Reported
from commerce_sync.mapping import Mapping as LegMapping

log = logging.getLogger(__name__)

FIRST_BLOCK, LARGEST_BLOCK = 20, 160
"""Calls leased at a time: twice as many after each block that was used up. A killed process holds no more than that."""
FAR_REFUSED = timedelta(minutes=15)
"""How long a step waits when the far side itself said that its allowance is used up."""
USAGE = re.compile(r"api-usage=(\d+)/(\d+)")


def reported(headers: Mapping[str, str], *, at: datetime) -> Reported | None:
    """What an answer says of the allowance of 24 hours: ``Sforce-Limit-Info: api-usage=10018/100000``.

    Source: Salesforce REST API Developer Guide, Limit Info Header. Apps of their own add a suffix.
    """
    found = USAGE.match(headers.get("Sforce-Limit-Info", ""))
    return Reported(int(found[2]), int(found[1]), at) if found else None


class Meter:
    """The calls of one step to one connection. Safe for the tasks of an event loop and for threads.

    budget: None counts and never holds up.   clock: seconds since 1970, injected by tests.
    """

    def __init__(
        self, ledger: Ledger, budget: Budget | None, *, connection: str, leg: str, priority: Priority,
        within: timedelta = WITHIN, clock: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self.connection = connection
        self.used = 0
        self.of_leg: tuple[str, Priority] = (leg, priority)
        self._ledger = ledger
        self._budget = budget
        self._is_limited = budget is not None and (CALLS in budget.per_day or budget.per_second is not None)
        self._within = within
        self._clock = clock
        self._lock = threading.Lock()
        self._block = FIRST_BLOCK
        self._grant: Grant | None = None
        self._taken = 0
        self._next = 0.0
        self._said: Reported | None = None
        self._is_void = False

    def take(self) -> float | None:
        """Seconds until the next call may begin, which is then taken; None when ``refill`` has to come first."""
        if not self._is_limited:
            self.used += 1
            return 0.0
        with self._lock:
            grant, now = self._grant, self._clock()
            if grant is None or self._is_over(grant, now):
                return None
            begins = now
            if grant.ends is not None and self._budget is not None and self._budget.per_second is not None:
                begins = max(now, grant.starts, self._next)
                if begins >= grant.ends:
                    return None
                self._next = begins + 1 / self._budget.per_second
            self._taken += 1
            self.used += 1
            return begins - now

    def refill(self) -> None:
        """Draw the next block. Raises QuotaError, with when to look again, when there is no room."""
        with self._lock:
            now = self._clock()
            if self._grant is not None and not self._is_over(self._grant, now) and not self._slot_is_over(self._grant):
                return  # another task was quicker
            assert self._budget is not None
            if self._grant is not None and self._taken == self._grant.amount:
                self._block = min(self._block * 2, LARGEST_BLOCK)
            done, said, self._said = self._done(), self._said, None
            found = self._ledger.draw(self._ask(), self._budget, done=done, said=said, now=self._now(now))
            self._grant, self._taken, self._next, self._is_void = None, 0, 0.0, False
            if isinstance(found, Refusal):
                pause = (found.until - self._now(now)).total_seconds()
                raise QuotaError(found.reason, retry_after=max(1.0, pause))
            self._grant = found

    def spend(self, resource: str, amount: int) -> None:
        """Take batches, jobs or bytes before they are sent. Raises QuotaError when there is no room."""
        now = self._now(self._clock())
        ask = Ask(self.connection, resource, *self.of_leg, amount, self._within)
        if self._budget is None or resource not in self._budget.per_day:
            self._ledger.count_calls(ask, used=amount, now=now)
            return
        found = self._ledger.draw(ask, self._budget, now=now)
        if isinstance(found, Refusal):
            raise QuotaError(found.reason, retry_after=max(1.0, (found.until - now).total_seconds()))
        self._ledger.give_back(ask, found.lease, used=amount, of_step=amount, now=now)

    def heard(self, headers: Mapping[str, str]) -> None:
        """Look at an answer for what it says of the allowance; a lease that reaches into the reserve ends here."""
        said = reported(headers, at=self._now(self._clock()))
        if said is None:
            return
        with self._lock:
            self._said = said
            if self._grant is not None and self._grant.floor is not None:
                self._is_void = said.limit - said.used <= self._grant.floor

    def refused(self, error: QuotaError) -> None:
        """The far side said that its allowance is used up: the leg waits, and is listed so."""
        if error.retry_after is not None:
            return
        error.retry_after = FAR_REFUSED.total_seconds()
        now = self._now(self._clock())
        until = now + FAR_REFUSED
        leg, priority = self.of_leg
        self._ledger.note_refused(
            self.connection, CALLS, leg=leg, priority=priority, until=until,
            reason=f"{error}; looking again at {until:%H:%M} UTC", now=now,
        )  # fmt: skip

    def close(self) -> None:
        """Give back what was not used, and count what was."""
        now = self._now(self._clock())
        done = self._done()
        if done is not None:
            self._ledger.give_back(self._ask(), done[0], used=done[1], of_step=self.used, said=self._said, now=now)
        elif self.used and not self._is_limited:
            self._ledger.count_calls(self._ask(), used=self.used, said=self._said, now=now)
        self._grant = None

    def _is_over(self, grant: Grant, now: float) -> bool:
        return self._is_void or self._taken >= grant.amount or now >= grant.expires

    def _slot_is_over(self, grant: Grant) -> bool:
        return grant.ends is not None and max(self._clock(), self._next) >= grant.ends

    def _done(self) -> tuple[int, int] | None:
        return (self._grant.lease, self._taken) if self._grant is not None else None

    def _ask(self) -> Ask:
        return Ask(self.connection, CALLS, *self.of_leg, self._block, self._within, first=self.used == 0)

    def _now(self, seconds: float) -> datetime:
        return datetime.fromtimestamp(seconds, UTC)


class Scope:
    """The meters of one step, by connection."""

    def __init__(self, ledger: Ledger, budgets: Budgets, *, leg: str, priority: Priority, within: timedelta) -> None:
        self._ledger = ledger
        self._budgets = budgets
        self._leg = leg
        self._priority = priority
        self._within = within
        self._meters: dict[str, Meter] = {}
        self._last: Meter | None = None

    def meter(self, connection: str) -> Meter:
        """The meter of a connection; made at its first call."""
        if connection not in self._meters:
            self._meters[connection] = Meter(
                self._ledger, self._budgets.get(connection), connection=connection, leg=self._leg,
                priority=self._priority, within=self._within,
            )  # fmt: skip
        self._last = self._meters[connection]
        return self._last

    def refused(self, error: QuotaError) -> None:
        """A system said no: see ``Meter.refused``."""
        if self._last is not None:
            self._last.refused(error)

    def close(self) -> None:
        """Close all meters; what a ledger out of reach does not take now, expires there."""
        for meter in self._meters.values():
            try:
                meter.close()
            except RetryableError as error:
                log.warning("%s: %d calls could not be counted: %s", meter.connection, meter.used, error)


_scope: ContextVar[Scope | None] = ContextVar("commerce_sync_budget_scope", default=None)


@contextmanager
def metered(
    ledger: Ledger, budgets: Budgets, *, leg: str, priority: Priority, within: timedelta | None = None
) -> Iterator[Scope]:  # fmt: skip
    """Meter the calls of everything within, also of the event loops it starts.

    within: how long the leg may wait for others. A QuotaError of the far side leaves with a ``retry_after``.
    """
    scope = Scope(ledger, budgets, leg=leg, priority=priority, within=within or WITHIN)
    token = _scope.set(scope)
    try:
        yield scope
    except QuotaError as error:
        scope.refused(error)
        raise
    finally:
        _scope.reset(token)
        scope.close()


def of_leg(ledger: Ledger, budgets: Budgets, mapping: LegMapping) -> AbstractContextManager[Scope]:
    """``metered`` for a step of a leg."""
    priority = mapping.priority or DEFAULT_PRIORITY
    return metered(ledger, budgets, leg=mapping.leg, priority=priority, within=mapping.within)


def current(connection: str) -> Meter | None:
    """The meter for a connection's calls; None outside of any scope."""
    scope = _scope.get()
    return scope.meter(connection) if scope is not None else None
