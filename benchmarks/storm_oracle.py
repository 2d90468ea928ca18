"""What the storm has to end in, by the rules of the flows told again in plain Python, one device after the other.

Nothing here looks at the flows' SQL. State in, state out: ``expect`` takes every event that has arrived so far.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from benchmarks.storm_world import ABSOLUTE, DELTA, World, uid

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
Event = tuple[str, str, str, datetime, dict[str, Any]]
"""id, type, subject, time, data."""
REMEDIES = {"E17": ("CONSUMABLE", "anyone"), "E33": ("SPAREPART", "anyone"), "E09": ("SPAREPART", "anyone"),
            "E12": ("SPAREPART", "anyone"), "E04": ("SPAREPART", "technician"), "E21": ("SPAREPART", "technician"),
            "HEALTH": ("UPSELLING", "offer only")}  # fmt: skip
"""Fault code -> kind of reference and who may mend it; approved, and sure enough."""
PREPARED = ("medium", "high", "critical")
SAFETY = {ABSOLUTE: 2, DELTA: 2}
JUMP_PIECES = {ABSOLUTE: 20, DELTA: 200}
STALE_BUFFER = {ABSOLUTE: 3, DELTA: 0}
JUMP_SHARE, SURE, STALE = 0.5, 0.85, 24 * HOUR


@dataclass(slots=True)
class Expected:
    """offers: (group, login).   carts: (login, name) -> (part, pieces).   stock: (warehouse, product) -> available."""

    offers: set[tuple[str, str]]
    carts: dict[tuple[str, str], tuple[str, int]]
    stock: dict[tuple[str, str], int]


@dataclass(slots=True)
class Episode:
    """One fault of one device, however often it was said."""

    device: str
    instance: str
    code: str
    severity: str
    raised_at: datetime
    since: datetime | None
    cleared_at: datetime | None
    hold: timedelta = 5 * MINUTE


def expect(world: World, events: Iterable[Event], *, now: datetime, stock: dict[tuple[str, str], int]) -> Expected:
    """now: the run's moment.   stock: what the shop was given before; a shelf nobody can be sure of keeps that."""
    by_device: dict[str, list[Event]] = defaultdict(list)
    shelves: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        if event[1] in ("device.fault", "device.health") and event[3] <= now + 5 * MINUTE:
            by_device[event[2]].append(event)
        elif event[1] in ("inventory.count", "inventory.movement"):
            shelves[event[2]].append(event)
    judged = list(_judged(world, by_device, now=now))
    return Expected(
        _offers(world, judged, now=now), _carts(judged, now=now), _stock(world, shelves, now=now, before=stock)
    )


# Faults


def _episodes(device: str, events: list[Event]) -> list[Episode]:
    found = _named(device, [event for event in events if event[1] == "device.fault"])
    found += _unwell(device, [event for event in events if event[1] == "device.health"])
    for one in found:
        ended = [other.cleared_at for other in found
                 if other.code == one.code and other.raised_at < one.raised_at and other.cleared_at]  # fmt: skip
        flaps = bool(ended) and max(ended) > one.raised_at - HOUR
        again = bool(one.cleared_at and one.since and one.cleared_at > one.since - HOUR)
        one.hold = HOUR if flaps or again else 5 * MINUTE
    return found


def _named(device: str, events: list[Event]) -> list[Episode]:
    """Messages by instance; where they name none, by code and the day of the first raise since the last clear."""
    instances: dict[str, list[Event]] = defaultdict(list)
    nameless: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        name, code = event[4].get("faultInstanceId"), event[4]["faultCode"]
        (instances[name] if name else nameless[code]).append(event)
    for code, messages in nameless.items():
        for run in _runs(messages):
            first = next((event for event in run if not _clears(event)), None)
            if first:
                instances[f"{code}@{first[3]:%Y-%m-%d}"] += run
    return [one for name, messages in instances.items() if (one := _episode(device, name, messages))]


def _clears(event: Event) -> bool:
    return event[4]["faultState"] == "cleared"


def _runs(messages: list[Event]) -> Iterator[list[Event]]:
    """Cut after every clear."""
    run: list[Event] = []
    for event in sorted(messages, key=lambda event: (event[3], _clears(event), event[0])):
        run.append(event)
        if _clears(event):
            yield run
            run = []
    yield run


def _episode(device: str, name: str, messages: list[Event]) -> Episode | None:
    raises = sorted((event for event in messages if not _clears(event)), key=lambda event: (event[3], event[0]))
    if not raises:
        return None
    cleared_at = max((event[3] for event in messages if _clears(event)), default=None)
    since = next((event[3] for event in raises if cleared_at is None or event[3] > cleared_at), None)
    first, last = raises[0], raises[-1]
    return Episode(device, name, first[4]["faultCode"], last[4]["severity"], first[3], since, cleared_at)


def _unwell(device: str, events: list[Event]) -> list[Episode]:
    """Low health: from the second reading below 60 on, until one of 70 or more."""
    stretches: list[list[datetime]] = [[]]
    for event in sorted(events, key=lambda event: (event[3], event[0])):
        score = event[4]["healthScore"]
        if not 0 <= score <= 100:
            continue
        if score >= 70:
            stretches.append([])
        elif score < 60:
            stretches[-1].append(event[3])
    found = []
    for number, low in enumerate(stretches):
        if len(low) >= 2:
            at, lasts = low[1], number == len(stretches) - 1
            name = f"health@{at:%Y-%m-%dT%H:%M:%S}"
            ends = (at, None) if lasts else (None, at + HOUR)
            found.append(Episode(device, name, "HEALTH", "medium", at, *ends))
    return found


@dataclass(slots=True)
class Judged:
    """What is to be done about an episode of a known device of a known customer."""

    episode: Episode
    user: str
    part: str | None
    pieces: int
    safety: str | None
    route: str
    is_open: bool
    has_lasted: bool


def _judged(world: World, by_device: dict[str, list[Event]], *, now: datetime) -> Iterator[Judged]:
    devices = {item.id: item for item in world.devices}
    bought: dict[int, list[tuple[datetime, str]]] = defaultdict(list)
    for _, number, part, days in world.orders:
        bought[number].append((ordered_at(world, days), part))
    for name, events in by_device.items():
        device = devices.get(name)
        if device is None or device.customer is None:
            continue
        number = int(device.customer[1:])
        episodes = _episodes(name, events)
        for one in episodes:
            if one.code in REMEDIES:
                yield _one_judged(world, device, one, episodes, bought[number], uid(number), now)


def ordered_at(world: World, days: float) -> datetime:
    return (world.now - timedelta(days=days)).replace(microsecond=0)


def _one_judged(
    world: World, device: Any, one: Episode, episodes: list[Episode], bought: list[tuple[datetime, str]], user: str,
    now: datetime,
) -> Judged:  # fmt: skip
    kind, safety = REMEDIES[one.code]
    fits = [(part, pieces) for product, part, reference, pieces in world.references
            if product == device.product and reference == kind]  # fmt: skip
    if one.code == "E33" and device.firmware == "1.9.4":
        fits = []
    named, pieces = fits[0] if fits else (None, None)
    sold = _sold(world, named)
    parts = {named, sold}
    served = any(at >= one.raised_at for at, part in bought if part in parts)
    back = any(at > one.raised_at - 90 * DAY and any(e.code == one.code and e.raised_at <= at for e in episodes)
               for at, part in bought if part in parts and at < one.raised_at)  # fmt: skip
    route = "escalation" if back else "part" if sold and safety != "technician" else "service"
    is_open = one.since is not None and one.since <= now - one.hold and (back or not served)
    end = now if one.since else one.cleared_at or now
    return Judged(one, user, sold or named, pieces or 1, safety if fits else None, route, is_open,
                  end - one.raised_at >= 5 * MINUTE)  # fmt: skip


def _sold(world: World, part: str | None) -> str | None:
    """The part, or the one that follows it, that is approved and in stock."""
    seen: set[str] = set()
    while part and part not in seen:
        seen.add(part)
        approval, stock = world.parts[part]
        if approval == "approved" and stock > 0:
            return part
        part = next(
            (follower for one, follower, kind, _ in world.references if one == part and kind == "FOLLOWUP"), None
        )
    return None


def _offers(world: World, judged: list[Judged], *, now: datetime) -> set[tuple[str, str]]:
    """Marketing goes to the willing, three a week; service and escalation to everybody."""
    willing = {uid(number) for number in range(world.customers) if number not in world.unwilling}
    weeks: dict[Any, list[Judged]] = defaultdict(list)
    for one in judged:
        if one.route == "part" and one.has_lasted:
            weeks[one.user, one.episode.raised_at.isocalendar()[:2]].append(one)
    in_turn = {
        id(one)
        for ones in weeks.values()
        for one in sorted(ones, key=lambda one: (one.episode.raised_at, one.episode.device, one.episode.instance))[:3]
    }
    return {
        (f"iot-offer-{one.part}" if one.route == "part" else f"iot-{one.route}", one.user)
        for one in judged
        if one.is_open and (one.route != "part" or (id(one) in in_turn and one.user in willing))
    }


def _carts(judged: list[Judged], *, now: datetime) -> dict[tuple[str, str], tuple[str, int]]:
    return {
        (one.user, cart_name(one.episode)): (str(one.part), one.pieces)
        for one in judged
        if one.is_open and one.route == "part" and one.safety == "anyone" and one.episode.severity in PREPARED
    }


def cart_name(one: Episode) -> str:
    return f"repair-{one.instance}-{hashlib.md5(one.device.encode(), usedforsecurity=False).hexdigest()[:8]}"


# Shelves


def _stock(
    world: World, shelves: dict[str, list[Event]], *, now: datetime, before: dict[tuple[str, str], int]
) -> dict[tuple[str, str], int]:  # fmt: skip
    found = dict(before)
    for device in world.devices:
        if device.id in shelves:
            level = _level(shelves[device.id], str(device.warehouse), now=now)
            if level is not None:
                found[str(device.warehouse), str(device.product)] = level
    return found


def _level(events: list[Event], warehouse: str, *, now: datetime) -> int | None:
    """What may be sold of a shelf, None when nobody can tell."""
    counts, moves = _good_counts(events, warehouse), _moves(events)
    believed = [count for place, count in enumerate(counts) if _is_near(place, counts, moves, warehouse)]
    if not believed:
        return None
    last = believed[-1]
    level, heard = int(last[4]["onHandQty"]), last[3]
    if warehouse == DELTA:
        since = [(at, pieces) for at, pieces in moves if at > last[3]]
        level += sum(pieces for _, pieces in since)
        heard = max([heard, *(at for at, _ in since)])
    if level < 0:
        return None
    level -= SAFETY[warehouse] + (STALE_BUFFER[warehouse] if now > heard + STALE else 0)
    return max(0, level)


def _good_counts(events: list[Event], warehouse: str) -> list[Event]:
    """By sequence; each sequence once."""
    found: dict[int, Event] = {}
    for event in events:
        data = event[4]
        is_sure = data.get("confidence", 0) >= SURE and data.get("unit") == "pieces"
        if event[1] == "inventory.count" and is_sure and data["onHandQty"] >= 0:
            found[data["sequence"]] = event
    return [found[number] for number in sorted(found)]


def _moves(events: list[Event]) -> list[tuple[datetime, int]]:
    """Each movement once, the earliest message of it."""
    found: dict[str, Event] = {}
    for event in sorted(events, key=lambda event: (event[3], event[0])):
        if event[1] == "inventory.movement":
            found.setdefault(event[4]["movementId"], event)
    return [(event[3], int(event[4]["deltaQty"])) for event in found.values()]


def _is_near(place: int, counts: list[Event], moves: list[tuple[datetime, int]], warehouse: str) -> bool:
    """A first count, or one near one of the two before it, as that was or with what moved since."""
    if place == 0:
        return True
    here = counts[place]
    for other in counts[max(0, place - 2) : place]:
        level = other[4]["onHandQty"]
        moved = _moved(moves, here[3]) - _moved(moves, other[3])
        for likely in (level, level + moved):
            if abs(here[4]["onHandQty"] - likely) <= max(JUMP_PIECES[warehouse], JUMP_SHARE * max(likely, 0)):
                return True
    return False


def _moved(moves: list[tuple[datetime, int]], until: datetime) -> int:
    return sum(pieces for at, pieces in moves if at <= until)
