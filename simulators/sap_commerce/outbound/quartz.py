"""Quartz cron expressions: seconds, minutes, hours, day of month, month, day of week, optional year.

Understood: ``*``, ``?``, lists, ranges, steps, names of months and days. Not: ``L``, ``W``, ``#``, ``C``.
All times are UTC. Source of the form: fact sheet section 3.2 (``0 0/5 * * * ?``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_MONTHS = {
    name: number
    for number, name in enumerate(
        ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"], 1
    )
}
_DAYS = {name: number for number, name in enumerate(["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"], 1)}
_FIELDS = (
    ("seconds", 0, 59, {}),
    ("minutes", 0, 59, {}),
    ("hours", 0, 23, {}),
    ("day of month", 1, 31, {}),
    ("month", 1, 12, _MONTHS),
    ("day of week", 1, 7, _DAYS),
    ("year", 1970, 2099, {}),
)
_SEARCHED_DAYS = 366 * 5


@dataclass(frozen=True, slots=True)
class CronExpression:
    """The legal values of each field, in order."""

    fields: tuple[tuple[int, ...], ...]

    def next_after(self, moment: datetime) -> datetime | None:
        """The first firing later than ``moment``; None when there is none within five years."""
        start = moment.astimezone(UTC).replace(microsecond=0) + timedelta(seconds=1)
        day = start.replace(hour=0, minute=0, second=0)
        for _ in range(_SEARCHED_DAYS):
            if self._fires_on(day) and (found := self._first_time(day, start)) is not None:
                return found
            day += timedelta(days=1)
        return None

    def _fires_on(self, day: datetime) -> bool:
        _, _, _, days, months, weekdays, years = self.fields
        weekday = day.isoweekday() % 7 + 1  # Quartz counts from Sunday = 1
        return day.day in days and day.month in months and weekday in weekdays and day.year in years

    def _first_time(self, day: datetime, start: datetime) -> datetime | None:
        seconds, minutes, hours = self.fields[:3]
        for hour in hours:
            for minute in minutes:
                for second in seconds:
                    candidate = day.replace(hour=hour, minute=minute, second=second)
                    if candidate >= start:
                        return candidate
        return None


def parse_cron(text: str) -> CronExpression:
    """Read an expression; ValueError says which field is wrong."""
    parts = text.upper().split()
    if len(parts) not in (6, 7):
        raise ValueError(f"cron expression {text!r} has {len(parts)} fields; legal: 6 or 7, seconds first")
    parts += ["*"] * (7 - len(parts))
    return CronExpression(tuple(_field(part, *limits) for part, limits in zip(parts, _FIELDS, strict=True)))


def _field(text: str, name: str, low: int, high: int, names: dict[str, int]) -> tuple[int, ...]:
    found: set[int] = set()
    for part in text.split(","):
        span, _, step = part.partition("/")
        first, last = _span(span, name=name, low=low, high=high, names=names, open_end=bool(step))
        if step and (not step.isdigit() or not int(step)):
            raise ValueError(f"cron field {name}: {part!r} has no legal step")
        found |= set(range(first, last + 1, int(step or 1)))
    return tuple(sorted(found))


def _span(text: str, *, name: str, low: int, high: int, names: dict[str, int], open_end: bool) -> tuple[int, int]:
    if text in ("*", "?", ""):
        return low, high
    first, dash, last = text.partition("-")
    ends = [names.get(end, int(end) if end.isdigit() else -1) for end in (first, last or first)]
    if open_end and not dash:
        ends[1] = high
    if not low <= ends[0] <= ends[1] <= high:
        raise ValueError(f"cron field {name}: {text!r} is not understood; legal: {low} to {high}, *, ?, lists, steps")
    return ends[0], ends[1]
