"""The devices of the demo: their telemetry stands still while the flows run, and then says what the demo wants.

The simulated fleet reports on by the clock. A reading that comes, or gets too old, between two stages would be a
change nobody made; so what is on its way is taken out, and what is about to cross a limit of the flows' rules too.
The fleet goes on by itself an hour after the start.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from demo.world import World

Event = dict[str, Any]
HORIZON = timedelta(hours=1, minutes=10)
"""So far the demo looks ahead: nothing may come to pass by itself in that time."""
LAG = timedelta(minutes=5)
"""The inbox reads until two minutes before now."""
OVERLAP = timedelta(minutes=30)
"""The first poll begins some minutes earlier than it has to."""
HOLDS = timedelta(hours=1)
"""A fault that came back soon counts after an hour."""
DAY = timedelta(hours=24)
"""So far back the first poll reads, and so old may a reading be that product pages show."""


def stand_still(world: World) -> None:
    """Take out telemetry that would become known, due or stale while the demo runs."""
    with world.screen.stage("devices") as stage:
        stage.live("the fleet takes a break")
        now = datetime.now(UTC)
        events = world.fleet.records("event")
        taken = [event for event in events if is_restless(event, now=now)]
        for event in taken:
            world.fleet.delete("event", str(event["seq"]))
        devices = world.fleet.count("device")
        left = sum(created(event) > now - DAY for event in events) - sum(created(event) > now - DAY for event in taken)
        world.report.rows_seeded |= {"devices": devices, "events_of_a_day": left}
        stage.done(f"{devices:,} devices, {left:,} events of the last day")


def is_restless(event: Event, *, now: datetime) -> bool:
    """Whether an event would be seen, count or cease to count within the demo's time."""
    shown, said = _moment(event["visibleMs"]), occurred(event)
    if max(created(event), shown, said) > now - LAG:
        return True
    if event["payload"] and "faultState" in event["payload"] and said > now - HOLDS - LAG:
        return True
    return any(now - DAY - OVERLAP < moment < now - DAY + HORIZON for moment in (created(event), said))


def created(event: Event) -> datetime:
    """When the platform took it."""
    return _moment(event["creation"])


def occurred(event: Event) -> datetime:
    """When the device says it was; an event that cannot be read says nothing else than when it came."""
    text = (event["payload"] or {}).get("occurredAt")
    return datetime.fromisoformat(text) if text else created(event)


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
