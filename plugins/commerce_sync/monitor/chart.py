"""Bars over time as inline SVG, made here: a page needs no script to show them.

The drawing only holds the bars and stretches with its place; words and numbers stand beside it as text of the page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

WIDTH, HEIGHT, GAP = 1000.0, 100.0, 0.18


@dataclass(frozen=True, slots=True)
class Bar:
    """One rectangle in the drawing's own units. name: which series."""

    name: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Step:
    """What a step of time holds: when it begins, its number per series, its bars from the bottom up."""

    at: datetime
    numbers: dict[str, int]
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing and its words. top: the number at the upper edge.   total: per series."""

    title: str
    series: tuple[str, ...]
    steps: tuple[Step, ...]
    top: int
    total: dict[str, int]
    since: datetime
    until: datetime

    @property
    def empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not any(self.total.values())


def draw(
    title: str, *, series: Sequence[str], numbers: Mapping[datetime, Mapping[str, int]], since: datetime,
    step: timedelta, steps: int,
) -> Chart:  # fmt: skip
    """Stacked bars, one per step from ``since`` on; a step without numbers stays empty."""
    times = [since + step * index for index in range(steps)]
    rows = [{name: int(numbers.get(at, {}).get(name, 0)) for name in series} for at in times]
    top = ceiling(max((sum(row.values()) for row in rows), default=0))
    drawn = tuple(
        Step(at, row, _stack(row, index=index, steps=steps, top=top))
        for index, (at, row) in enumerate(zip(times, rows, strict=True))
    )
    total = {name: sum(row[name] for row in rows) for name in series}
    return Chart(title, tuple(series), drawn, top, total, since, since + step * steps)


def ceiling(number: int) -> int:
    """The next number of the form 1, 2 or 5 times a power of ten; at least 1."""
    size = 1
    while True:
        for factor in (1, 2, 5):
            if factor * size >= number:
                return factor * size
        size *= 10


def _stack(row: Mapping[str, int], *, index: int, steps: int, top: int) -> tuple[Bar, ...]:
    width, below, bars = WIDTH / steps, HEIGHT, []
    for name, number in row.items():
        if number:
            # A single rejected row among a million has to be seen.
            height = max(HEIGHT * number / top, 1.5)
            below -= height
            bars.append(Bar(name, round(index * width + GAP * width / 2, 2), round(max(below, 0), 2),
                            round(width * (1 - GAP), 2), round(height, 2)))  # fmt: skip
    return tuple(bars)
