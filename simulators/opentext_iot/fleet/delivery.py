"""From report to accepted event: delays, repeats, late indexing, silence.

Shares (of all messages): 1.5 % are buffered and arrive minutes to six hours late, 1 % are sent twice, 0.4 % are
indexed minutes late, 0.02 % hours late. Devices with a constant message id exist in the field, and here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from simulators.opentext_iot.fleet.devices import FAMILIES, Device, fleet
from simulators.opentext_iot.fleet.draws import DAY_MS, HOUR_MS, MINUTE_MS, draw
from simulators.opentext_iot.fleet.telemetry import EVENT_TYPES, REPORTS

BLOCK_MS = DAY_MS
LATEST_MS = 6 * HOUR_MS + 11 * MINUTE_MS
SILENCE_MS = 2 * DAY_MS
INDEX_MS = 300
LATE, TWICE, SLOW_INDEX, LOST_INDEX = 983, 655, 262, 13  # of 65536
_TYPE_CODE = {
    name: "".join(part[0] for part in name.split(".")) + str(number) for number, name in enumerate(EVENT_TYPES)
}


class Event(NamedTuple):
    """One message as the platform accepts it.

    occurred_ms: when the device noticed it (its payload says so, by its own clock).   created_ms: when the platform
    took it.   visible_ms: from when on searches show it.   payload: JSON text.
    """

    created_ms: int
    device_no: int
    message_id: str
    copy: int
    device_id: str
    event_type: str
    occurred_ms: int
    visible_ms: int
    payload: str


def milliseconds(moment: datetime | int) -> int:
    if isinstance(moment, int):
        return moment
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return int(aware.timestamp() * 1000)


def events(seed: int, devices: int | Sequence[Device], start: datetime | int, until: datetime | int) -> Iterator[Event]:
    """Yield what the platform accepts in [start, until), oldest first.

    devices: how many of the seed's fleet, or the devices themselves.   start, until: aware moments, or epoch
    milliseconds.
    """
    members = fleet(seed, devices) if isinstance(devices, int) else devices
    first, last = milliseconds(start), milliseconds(until)
    for begin in range(first, last, BLOCK_MS):
        yield from block(members, begin, min(begin + BLOCK_MS, last))


def block(devices: Sequence[Device], start: int, until: int) -> list[Event]:
    """All events accepted in [start, until), in order."""
    found: list[Event] = []
    for device in devices:
        for name in FAMILIES[device.family].event_types:
            _accepted(device, name, start, until, found)
    found.sort()
    return found


def _accepted(device: Device, name: str, start: int, until: int, found: list[Event]) -> None:
    code, number, key = _TYPE_CODE[name], device.number, device.id
    silent = device.behaviour == "silent"
    for moment, bits, slot, payload in REPORTS[name](device, start - LATEST_MS, until):
        if moment < device.activated_ms or (silent and is_silent(device, moment)):
            continue
        draws = bits >> 16
        created = moment + 400 + (draws & 0xFFF)
        if (draws & 0xFFFF) < LATE:
            created = moment + 2 * MINUTE_MS + (bits >> 32) % (6 * HOUR_MS - 2 * MINUTE_MS)
        message = "MSG12345" if device.constant_id else f"{number:x}-{code}-{slot:x}"
        if start <= created < until:
            shown = created + _index_delay(bits)
            found.append(Event(created, number, message, 0, key, name, moment, shown, payload))
        if (bits >> 44) & 0xFFFF < TWICE:
            again = created + 1000 + (bits >> 20) % (10 * MINUTE_MS)
            if start <= again < until:
                found.append(Event(again, number, message, 1, key, name, moment, again + INDEX_MS, payload))


def is_silent(device: Device, moment: int) -> bool:
    """Silent devices miss every second stretch of two days, in no order."""
    return bool(draw(device.base, moment // SILENCE_MS, 51) & 1)


def _index_delay(bits: int) -> int:
    place = (bits >> 28) & 0xFFFF
    if place < LOST_INDEX:
        return INDEX_MS + HOUR_MS + (bits >> 8) % (4 * HOUR_MS)
    if place < SLOW_INDEX:
        return INDEX_MS + 30_000 + (bits >> 8) % (10 * MINUTE_MS)
    return INDEX_MS
