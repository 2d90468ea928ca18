"""What will be left of an allowance of 24 hours: consumption by hour, continued, while yesterday's drops out.

Pure arithmetic over hours. A window that rolls has no end of day; what counts is the lowest point on the way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

HOUR, DAY = timedelta(hours=1), timedelta(hours=24)
HOURS = 24
OTHERS = "others"
"""Series of what others than our flows used."""
DAYS_LOOKED_AT = 7
RECENT = timedelta(hours=2)
LASTS_H = {OTHERS: 6.0}
"""After so many hours half of an unusual rate is expected to be over. Nobody knows what others are up to: longer."""
USUALLY_LASTS_H = 2.0

Series = Mapping[datetime, float]
"""Beginning of an hour -> what was used in it."""
History = Mapping[str, Series]
"""``high``, ``normal``, ``low`` and ``others`` -> their series."""


@dataclass(frozen=True, slots=True)
class Point:
    """One hour ahead. left: of the limit, the reserve included.   ours, others: expected in the hour before it."""

    at: datetime
    left: int
    ours: int
    others: int


@dataclass(frozen=True, slots=True)
class Forecast:
    """The next 24 hours; the first point is now."""

    points: tuple[Point, ...]
    reserve: int

    @property
    def lowest(self) -> Point:
        """When the least is left."""
        return min(self.points, key=lambda point: point.left)

    @property
    def end(self) -> Point:
        """In 24 hours, when all that was used by now has dropped out."""
        return self.points[-1]

    @property
    def breach(self) -> Point | None:
        """The first point below the reserve, None when it holds."""
        return next((point for point in self.points if point.left < self.reserve), None)


def hour_of(moment: datetime) -> datetime:
    """The beginning of a moment's hour."""
    return moment.replace(minute=0, second=0, microsecond=0)


def amount(series: Series, *, since: datetime, until: datetime, now: datetime) -> float:
    """What a series used between two moments, each hour spread evenly (the running one over its past part)."""
    total, hour = 0.0, hour_of(since)
    while hour < until:
        if used := series.get(hour):
            ends = min(hour + HOUR, max(now, hour + timedelta(minutes=1)))
            part = min(until, ends) - max(since, hour)
            total += used * max(0.0, min(1.0, part / (ends - hour)))
        hour += HOUR
    return total


def dropped(history: History, *, since: datetime, until: datetime, now: datetime) -> float:
    """What leaves the window of 24 hours between two moments."""
    return sum(amount(series, since=since - DAY, until=min(until - DAY, now), now=now) for series in history.values())


def expected(history: History, name: str, *, now: datetime) -> list[float]:
    """What a series will use in each of the next 24 hours: as on the days before, or as of late if that is more."""
    series, first = history.get(name, {}), _first(history)
    if not series or first is None:
        return [0.0] * HOURS
    rate = max(_rate(series, over=min(over, max(now - first, HOUR / 4)), now=now) for over in (HOUR, RECENT))
    lasts = LASTS_H.get(name, USUALLY_LASTS_H)
    return [
        max(_typical(series, hour_of(now + HOUR * ahead), first), rate * 0.5 ** (ahead / lasts))
        for ahead in range(HOURS)
    ]


def _rate(series: Series, *, over: timedelta, now: datetime) -> float:
    return amount(series, since=now - over, until=now, now=now) / (over / HOUR)


def _first(history: History) -> datetime | None:
    return min((hour for series in history.values() for hour in series), default=None)


def _typical(series: Series, hour: datetime, first: datetime) -> float:
    before = [hour - DAY * days for days in range(1, DAYS_LOOKED_AT + 1)]
    same = [series.get(at, 0.0) for at in before if at >= first]
    return sum(same) / len(same) if same else 0.0


def dip(history: History, *, now: datetime, names: Iterable[str], hours: int) -> float:
    """By how much what is left will at least shrink on the way (0 or less), when only ``names`` go on using it."""
    coming = [expected(history, name, now=now) for name in names]
    lowest = used = 0.0
    for ahead in range(1, hours + 1):
        used += sum(series[ahead - 1] for series in coming)
        gone = dropped(history, since=now, until=now + HOUR * ahead, now=now)
        lowest = min(lowest, gone - used)
    return lowest


def excess(history: History, name: str, *, now: datetime) -> float:
    """What a series used in the last 24 hours above a usual day, once that is over.

    0 while it still uses more than usual, and without days before to compare with.
    """
    series, first = history.get(name, {}), _first(history)
    if first is None or now - first < 2 * DAY:
        return 0.0
    begin = max(first, now - DAY * DAYS_LOOKED_AT)
    before = amount(series, since=begin, until=now - DAY, now=now) / ((now - DAY - begin) / DAY)
    recent = amount(series, since=now - RECENT, until=now, now=now)
    usual = sum(_typical(series, hour_of(now - HOUR * ago), first) for ago in (0, 1))
    if recent > 1.5 * usual + 1:
        return 0.0
    return max(0.0, amount(series, since=now - DAY, until=now, now=now) - before)


def forecast(history: History, *, limit: int, reserve: int, used: float, now: datetime) -> Forecast:
    """The next 24 hours of an allowance. used: at present, by everybody."""
    ours = [expected(history, name, now=now) for name in history if name != OTHERS]
    others = expected(history, OTHERS, now=now)
    points, taken = [Point(now, max(0, round(limit - used)), 0, 0)], used
    for ahead in range(HOURS):
        until = now + HOUR * (ahead + 1)
        mine = sum(series[ahead] for series in ours)
        taken += mine + others[ahead] - dropped(history, since=until - HOUR, until=until, now=now)
        points.append(Point(until, max(0, round(limit - taken)), round(mine), round(others[ahead])))
    return Forecast(tuple(points), reserve)


def room_at(points: Sequence[tuple[datetime, float]], needed: float) -> datetime | None:
    """The first moment with room for ``needed``, None when none has."""
    return next((at for at, room in points if room >= needed), None)
