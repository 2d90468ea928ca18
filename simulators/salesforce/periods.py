"""Date literals of SOQL: TODAY, LAST_N_DAYS:n, THIS_QUARTER ... as half-open ranges of days (UTC)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta

Range = tuple[date, date]
STEP_MONTHS = {"month": 1, "quarter": 3, "year": 12}


def days_of(literal: str, *, today: date) -> Range | None:
    """(first day, day after the last), or None when there is no such literal; weeks start on Sunday."""
    name, _, count = literal.lower().partition(":")
    if count:
        return _counted(name, int(count), today=today)
    if name in ("last_90_days", "next_90_days"):
        return _counted(name.replace("90", "n"), 90, today=today)
    single = {"today": 0, "yesterday": -1, "tomorrow": 1}
    if name in single:
        return _day(today + timedelta(days=single[name]))
    shift, _, unit = name.partition("_")
    offset = {"last": -1, "this": 0, "next": 1}.get(shift)
    start = START.get(unit)
    if offset is None or start is None:
        return None
    return _unit(start(today), unit, offset=offset, count=1)


def _counted(name: str, count: int, *, today: date) -> Range | None:
    if name == "last_n_days":  # today is part of it
        return today - timedelta(days=count), today + timedelta(days=1)
    if name == "next_n_days":
        return today + timedelta(days=1), today + timedelta(days=count + 1)
    if name == "n_days_ago":
        return _day(today - timedelta(days=count))
    for unit, start in START.items():
        if name == f"last_n_{unit}s":
            return _unit(start(today), unit, offset=-count, count=count)
        if name == f"next_n_{unit}s":
            return _unit(start(today), unit, offset=1, count=count)
        if name == f"n_{unit}s_ago":
            return _unit(start(today), unit, offset=-count, count=1)
    return None


def _day(day: date) -> Range:
    return day, day + timedelta(days=1)


def _unit(start: date, unit: str, *, offset: int, count: int) -> Range:
    if unit == "week":
        first = start + timedelta(weeks=offset)
        return first, first + timedelta(weeks=count)
    step = STEP_MONTHS[unit]
    return _months(start, offset * step), _months(start, (offset + count) * step)


def _months(day: date, count: int) -> date:
    months = day.year * 12 + day.month - 1 + count
    return date(months // 12, months % 12 + 1, 1)


START: dict[str, Callable[[date], date]] = {
    "week": lambda day: day - timedelta(days=(day.weekday() + 1) % 7),
    "month": lambda day: day.replace(day=1),
    "quarter": lambda day: day.replace(month=(day.month - 1) // 3 * 3 + 1, day=1),
    "year": lambda day: day.replace(month=1, day=1),
}
