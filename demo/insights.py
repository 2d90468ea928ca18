"""What the shop may say of devices, worked out in plain Python: context of each device, averages of many.

Nothing here is shared with the product. Nothing is said of fewer than five devices, or of devices of fewer than three
holders; of a site only when the product's other devices are none or at least five. A device counts with its latest
reading, which must be fresh.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

LEAST_DEVICES, LEAST_HOLDERS = 5, 3


class Metric(NamedTuple):
    """How a figure is published: hours a reading stays fresh, its limits, and by how much it may be off."""

    hours: int
    low: float
    high: float
    slack: float


METRICS = {
    "health": Metric(24, 0, 100, 2.5),
    "utilisation": Metric(48, 0, 100, 2.5),
    "temperature": Metric(24, -100, 200, 0.55),
}
"""Slack: the change that is not worth writing, and half of the last digit."""


class Said(NamedTuple):
    """One reading of a device, by its own clock."""

    device: str
    metric: str
    at: datetime
    value: float


@dataclass(frozen=True, slots=True)
class Holder:
    """Where a device counts: its product, its site if it has one, and whose it is."""

    product: str
    site: str | None
    name: str


def averages(
    readings: Iterable[Said], *, devices: Mapping[str, Holder], now: datetime
) -> dict[tuple[str, str | None, str], float]:
    """(product, site or None, metric) -> average, of all that may be published."""
    groups: dict[tuple[str, str | None, str], list[tuple[str, float]]] = defaultdict(list)
    for (device, metric), item in _latest(readings, now=now).items():
        if holder := devices.get(device):
            for site in {None, holder.site}:
                groups[holder.product, site, metric].append((holder.name, item.value))
    return {
        key: sum(value for _, value in rows) / len(rows)
        for key, rows in groups.items()
        if _is_safe(rows, whole=groups[key[0], None, key[2]], is_site=key[1] is not None)
    }


def _is_safe(rows: list[tuple[str, float]], *, whole: list[tuple[str, float]], is_site: bool) -> bool:
    others = len(whole) - len(rows)
    enough = len(rows) >= LEAST_DEVICES and len({name for name, _ in rows}) >= LEAST_HOLDERS
    return enough and (not is_site or others == 0 or others >= LEAST_DEVICES)


def _latest(readings: Iterable[Said], *, now: datetime) -> dict[tuple[str, str], Said]:
    ahead = timedelta(minutes=5)
    found: dict[tuple[str, str], Said] = {}
    for item in readings:
        metric = METRICS[item.metric]
        is_fresh = now - timedelta(hours=metric.hours) < item.at <= now + ahead
        key = (item.device, item.metric)
        if is_fresh and metric.low <= item.value <= metric.high and (key not in found or found[key].at <= item.at):
            found[key] = item
    return found


def slug(family: str) -> str:
    """A product family as part of a tag."""
    return re.sub(r"[^a-z0-9]+", "-", family.lower()).strip("-")
