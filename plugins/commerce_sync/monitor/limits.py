"""Limits: what is left of every system's allowance, who used it, what is expected, and which legs wait for room."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from fastapi.responses import HTMLResponse

from commerce_sync import places
from commerce_sync.budget_forecast import HOUR, HOURS, OTHERS, hour_of
from commerce_sync.ledger import LegUsage, Standing
from commerce_sync.monitor import book, catalogue, page
from commerce_sync.monitor.access import Reader
from commerce_sync.monitor.catalogue import Catalogue
from commerce_sync.monitor.chart import Chart, draw

WORDS = {"calls": "Calls", "batches": "Bulk batches", "jobs": "Bulk jobs", "bytes": "Bulk bytes"}


@dataclass(frozen=True, slots=True)
class FlowUse:
    """What the legs of one flow used of an allowance. ``flow`` is empty for legs that no active DAG has."""

    flow: str
    used: int
    legs: tuple[LegUsage, ...]


@dataclass(frozen=True, slots=True)
class Allowed:
    """One allowance on the page. past, ahead: the last and the next 24 hours."""

    standing: Standing
    name: str
    flows: tuple[FlowUse, ...]
    past: Chart
    ahead: Chart | None

    @property
    def waiting(self) -> tuple[LegUsage, ...]:
        """Legs that wait, the longest first."""
        return tuple(sorted((leg for leg in self.standing.legs if leg.since), key=lambda leg: str(leg.since)))


def limits(visit: Reader) -> HTMLResponse:
    """Every allowance of ``include/budgets.yaml``, and the calls of connections that have none."""
    now, known = datetime.now(UTC), catalogue.read()
    found = [_allowed(item, known, now) for item in book.ledger().standings(list(places.budgets().values()), now=now)]
    limited = sorted((item for item in found if item.standing.is_limited), key=_tightest)
    return page.show(
        visit, "limits", tab="limits", title="Limits", limited=limited,
        counted=[item for item in found if not item.standing.is_limited and item.standing.legs],
    )  # fmt: skip


def _tightest(item: Allowed) -> tuple[bool, float, str]:
    """What has a forecast first, the least left above the reserve before the others."""
    ahead, level = item.standing.forecast, item.standing.level
    part = (ahead.lowest.left - ahead.reserve) / level.limit if ahead is not None and level.limit else 1.0
    return ahead is None, part, item.name


def _allowed(item: Standing, known: Catalogue, now: datetime) -> Allowed:
    name = f"{WORDS.get(item.resource, item.resource)} to {item.connection}"
    return Allowed(item, name, _by_flow(item, known), _past(item, now), _ahead(item))


def _by_flow(item: Standing, known: Catalogue) -> tuple[FlowUse, ...]:
    flows: dict[str, list[LegUsage]] = {}
    for leg in item.legs:
        flow = known.flow_of(leg.leg)
        flows.setdefault(flow.dag_id if flow else "", []).append(leg)
    uses = [FlowUse(flow, sum(leg.used for leg in legs), tuple(legs)) for flow, legs in flows.items()]
    return tuple(sorted(uses, key=lambda use: (-use.used, use.flow)))


def _past(item: Standing, now: datetime) -> Chart:
    since = hour_of(now) - HOUR * (HOURS - 1)
    times = [since + HOUR * index for index in range(HOURS)]
    numbers = {
        at: {
            "ours": round(sum(series.get(at, 0) for name, series in item.history.items() if name != OTHERS)),
            "others": round(item.history.get(OTHERS, {}).get(at, 0)),
        }
        for at in times
    }
    return draw("Used by hour", series=("ours", "others"), numbers=numbers, since=since, step=HOUR, steps=HOURS)


def _ahead(item: Standing) -> Chart | None:
    """What is left at the end of each of the next hours: the reserve's part, and what is above it."""
    if item.forecast is None:
        return None
    reserve, points = item.forecast.reserve, item.forecast.points
    numbers = {
        point.at: {"reserve": min(point.left, reserve), "free": max(0, point.left - reserve)} for point in points
    }
    chart = draw("Left, expected", series=("reserve", "free"), numbers=numbers, since=points[0].at, step=HOUR,
                 steps=len(points))  # fmt: skip
    return replace(chart, total=numbers[points[0].at])  # a sum over hours would say nothing
