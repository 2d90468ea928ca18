"""What follows from the faults of devices, worked out in plain Python from what the devices said and the shop has.

Nothing here is shared with the product. The rules, as far as the demo's fleet can meet them:

- A fault is a device and an instance. Its last message decides. It lasts when nothing cleared it for 5 minutes, or for
  an hour when the one before was cleared less than an hour before.
- Low health is one from the second reading below 60 in a row on, until one of 70 or more.
- Who has the device gets the part the shop refers to for that fault, if it is sold and in stock; else, and for parts of
  technicians, service. What was bought since serves; bought before, and the same fault again: a person.
- Offers need consent, and of one customer the first three of a week count.
- A part that anybody may change is put into a saved cart when the fault is medium or worse.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

REMEDIES = {
    "E17": ("CONSUMABLE", "anyone"),
    "E33": ("SPAREPART", "anyone"),
    "E09": ("SPAREPART", "anyone"),
    "E12": ("SPAREPART", "anyone"),
    "E04": ("SPAREPART", "technician"),
    "E21": ("SPAREPART", "technician"),
    "HEALTH": ("UPSELLING", "offer only"),
}
SOON, LATER, HOUR = timedelta(minutes=5), timedelta(hours=1), timedelta(hours=1)
MEMORY = timedelta(days=90)
MOST_PER_WEEK = 3
WEAK, WELL = 60, 70
SERIOUS = ("medium", "high", "critical")


class Message(NamedTuple):
    """One thing a device said. ``at``: by its own clock."""

    at: datetime
    is_clear: bool
    code: str
    severity: str


class Reading(NamedTuple):
    """One health score."""

    at: datetime
    score: float


class Purchase(NamedTuple):
    """A part somebody bought."""

    at: datetime
    part: str


@dataclass(frozen=True, slots=True)
class Appliance:
    """A device as the shop knows it: product, and the login of whose it is."""

    id: str
    product: str | None
    uid: str | None
    bought: tuple[Purchase, ...] = ()


@dataclass(frozen=True, slots=True)
class Shop:
    """What the shop says: parts by product and kind of reference, what can be sold, who wants offers."""

    parts: Mapping[tuple[str, str], tuple[str, ...]]
    sellable: frozenset[str]
    willing: frozenset[str]


@dataclass(slots=True)
class Episode:
    """A fault from its first raise on. ``since``: of the raise that still holds; None when it was cleared."""

    device: Appliance
    instance: str
    code: str
    severity: str
    raised: datetime
    since: datetime | None
    cleared: datetime | None
    cleared_before: datetime | None = None
    earlier: list[datetime] = field(default_factory=list)

    def is_open(self, now: datetime) -> bool:
        """Whether it lasts by now."""
        return self.since is not None and self.since <= now - self._hold()

    def has_lasted(self, now: datetime) -> bool:
        """Whether it lasted at all."""
        end = self.cleared if self.since is None and self.cleared else now
        return end - self.raised >= SOON

    def _hold(self) -> timedelta:
        again = self.cleared_before is not None and self.cleared_before > self.raised - HOUR
        chatter = self.cleared is not None and self.since is not None and self.cleared > self.since - HOUR
        return LATER if again or chatter else SOON


def of_messages(device: Appliance, said: Mapping[str, Iterable[Message]]) -> Iterator[Episode]:
    """Episodes of one device. said: messages by instance."""
    for instance, messages in said.items():
        ordered = sorted(messages, key=lambda item: (item.at, item.is_clear))
        raises = [item for item in ordered if not item.is_clear]
        if not raises:
            continue
        cleared = max((item.at for item in ordered if item.is_clear), default=None)
        since = min((item.at for item in raises if cleared is None or item.at > cleared), default=None)
        last = raises[-1]
        yield Episode(device, instance, raises[0].code, last.severity, raises[0].at, since, cleared)


def of_health(device: Appliance, readings: Iterable[Reading]) -> Iterator[Episode]:
    """Spells of low health: they begin with the second weak reading."""
    weak: list[datetime] = []
    spells: list[tuple[list[datetime], bool]] = []
    for item in sorted(readings):
        if item.score >= WELL:
            spells.append((weak, True))
            weak = []
        elif item.score < WEAK:
            weak = [*weak, item.at]
    for spell, is_over in [*spells, (weak, False)]:
        if len(spell) > 1:
            since, cleared = (None, spell[1] + HOUR) if is_over else (spell[1], None)
            name = f"health@{spell[1]:%Y-%m-%dT%H:%M:%S}"
            yield Episode(device, name, "HEALTH", "medium", spell[1], since, cleared)


class Wanted(NamedTuple):
    """Memberships (group, login) and saved carts (name, login, part) the shop has to hold."""

    members: set[tuple[str, str]]
    carts: set[tuple[str, str, str]]
    devices: set[str]
    """Devices whose faults brought somebody into a group."""


def decide(episodes: Iterable[Episode], *, shop: Shop, now: datetime) -> Wanted:
    """What the shop has to hold because of these episodes."""
    known = _with_history([item for item in episodes if item.device.uid and item.code in REMEDIES])
    routed = [(item, *_route(item, shop)) for item in known]
    places: dict[tuple[Any, ...], int] = defaultdict(int)
    found = Wanted(set(), set(), set())
    for item, route, part in sorted(routed, key=lambda row: (row[0].raised, row[0].device.id, row[0].instance)):
        week = item.raised.isocalendar()[:2]
        key = (item.device.uid, route, item.has_lasted(now), week)
        places[key] += 1
        _note(found, item, route, part, shop=shop, now=now, place=places[key])
    return found


def _note(found: Wanted, item: Episode, route: str, part: str | None, *, shop: Shop, now: datetime, place: int) -> None:
    uid = str(item.device.uid)
    if not item.is_open(now) or _is_served(item, shop, route):
        return
    if route != "part":
        found.members.add((f"iot-{route}", uid))
        found.devices.add(item.device.id)
        return
    if place <= MOST_PER_WEEK and uid in shop.willing:
        found.members.add((f"iot-offer-{part}", uid))
        found.devices.add(item.device.id)
    if REMEDIES[item.code][1] == "anyone" and item.severity in SERIOUS:
        mark = hashlib.md5(item.device.id.encode(), usedforsecurity=False).hexdigest()[:8]
        found.carts.add((f"repair-{item.instance}-{mark}", uid, str(part)))


def _with_history(episodes: list[Episode]) -> list[Episode]:
    """Tell each episode when the same fault of the device was cleared before, and when it had begun before."""
    for item in episodes:
        same = [one for one in episodes if one.device.id == item.device.id and one.code == item.code]
        before = [one for one in same if one.raised < item.raised]
        item.cleared_before = max((one.cleared for one in before if one.cleared), default=None)
        item.earlier = [one.raised for one in before]
    return episodes


def _parts(item: Episode, shop: Shop) -> tuple[str, ...]:
    return shop.parts.get((str(item.device.product), REMEDIES[item.code][0]), ())


def _route(item: Episode, shop: Shop) -> tuple[str, str | None]:
    parts = _parts(item, shop)
    best = min(((part not in shop.sellable, part) for part in parts), default=None)
    if any(_is_back(item, purchase) for purchase in item.device.bought if purchase.part in parts):
        return "escalation", best[1] if best else None
    if best is None or best[0] or REMEDIES[item.code][1] == "technician":
        return "service", None
    return "part", best[1]


def _is_back(item: Episode, purchase: Purchase) -> bool:
    return item.raised - MEMORY < purchase.at < item.raised and any(begun <= purchase.at for begun in item.earlier)


def _is_served(item: Episode, shop: Shop, route: str) -> bool:
    parts = _parts(item, shop)
    return route != "escalation" and any(
        purchase.part in parts and purchase.at >= item.raised for purchase in item.device.bought
    )
