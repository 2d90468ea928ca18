"""What a device reports: one function per event type, each over time slots of its own.

Totals, levels and stocks are closed functions of time, so that a report needs no earlier report. Each function
gives (moment in epoch milliseconds, slot bits, message number, payload JSON) for slots that touch [start, until).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from simulators.opentext_iot.fleet.devices import FAMILIES, Device
from simulators.opentext_iot.fleet.draws import DAY_MS, HOUR_MS, MINUTE_MS, day, draw, share, stamp
from simulators.seed.connected import consignment_code

Report = tuple[int, int, int, str]
Reports = Iterator[Report]

HEALTH_MS = 4 * HOUR_MS
LEVEL_MS = 6 * HOUR_MS
COUNT_MS = 4 * HOUR_MS
MOVEMENT_MS = HOUR_MS
FAULT_SLOT_MS = 5 * DAY_MS
EXCURSION_SLOT_MS = 3 * DAY_MS
ANOMALY_SLOT_MS = 4 * DAY_MS
TRIP_MS = 3 * DAY_MS
LONGEST_EPISODE_MS = 2 * DAY_MS
FAULTS = (
    ("E17", "air-filter", "high"),
    ("E04", "water-pump", "medium"),
    ("E21", "heater", "critical"),
    ("E09", "door-switch", "low"),
    ("E33", "drive-belt", "medium"),
    ("E12", "sensor", "low"),
)
FAULT_CHANCE = {"faulty": 0.8, "degrading": 0.35, "flapping": 0.4}
TRIP = (
    ("PICKED", 0.04), ("SHIPPED", 0.12), ("IN_TRANSIT", 0.3), ("IN_TRANSIT", 0.55),
    ("OUT_FOR_DELIVERY", 0.8), ("DELIVERED", 0.88),
)  # fmt: skip
HEAD = '{"schemaVersion":1,"occurredAt":"'


def slots(start: int, until: int, *, width: int, phase: int) -> range:
    """Numbers of the slots whose moment (number * width + phase) lies in [start, until)."""
    return range(-((phase - start) // width), -((phase - until) // width))


def shown(device: Device, moment: int) -> str:
    """The moment as the device's own clock has it, behind the common head of a payload."""
    return HEAD + stamp(moment + device.skew_ms) + '",'


def runtime_hours(device: Device, moment: int) -> float:
    """Total run time; it never falls but when the counter was reset."""
    days = max(moment - device.activated_ms, 0) / DAY_MS
    whole = int(days)
    rate = 2 + share(draw(device.base, 0, 20)) * 11  # with its wobble below 24 hours a day
    wobble = share(draw(device.base, whole, 21)) * rate * 0.8 * (1 if whole else 0)
    total = rate * whole + wobble
    if device.behaviour == "counter_reset":
        reset = rate * (int(days / 40) * 40)
        total = max(total - reset, 0.0)
    return round(total, 1)


def usage_summary(device: Device, start: int, until: int) -> Reports:
    """One report per day, some minutes after midnight UTC, about the day before."""
    phase = draw(device.base, 0, 22) % (10 * MINUTE_MS)
    for slot in slots(start, until, width=DAY_MS, phase=phase):
        end = slot * DAY_MS
        bits = draw(device.base, slot, 23)
        hours, before = runtime_hours(device, end), runtime_hours(device, end - DAY_MS)
        load = min(30 + share(draw(device.base, 0, 24)) * 50 + share(bits) * 15, 100)
        text = (
            f'{shown(device, end + phase)}"windowStart":"{stamp(end - DAY_MS)}","windowEnd":"{stamp(end)}",'
            f'"runtimeHoursTotal":{hours},"runtimeHoursDelta":{max(round(hours - before, 1), 0.0)},'
            f'"cyclesTotal":{int(hours * 23.3)},"loadPctAvg":{load:.1f}}}'
        )
        yield end + phase, bits, slot, text


def health(device: Device, start: int, until: int) -> Reports:
    phase = draw(device.base, 0, 25) % HEALTH_MS
    for slot in slots(start, until, width=HEALTH_MS, phase=phase):
        moment = slot * HEALTH_MS + phase
        bits = draw(device.base, slot, 26)
        score = _score(device, moment, bits)
        status = "ok" if score >= 70 else "degraded" if score >= 35 else "failed"
        text = (
            f'{shown(device, moment)}"healthScore":{score:.1f},"status":"{status}",'
            f'"windowStart":"{stamp(moment - HEALTH_MS)}","windowEnd":"{stamp(moment)}"}}'
        )
        yield moment, bits, slot, text


def _score(device: Device, moment: int, bits: int) -> float:
    """Degrading devices lose health over a month and are repaired; flapping ones hover around the limit of 70."""
    noise = share(bits) * 6
    if device.behaviour == "degrading":
        return 98 - (moment // HEALTH_MS % 180) / 180 * 70 - noise
    if device.behaviour == "flapping":
        return 67 + noise
    return (60 if device.behaviour == "faulty" else 92) + noise


def level(device: Device, moment: int) -> tuple[float, float]:
    """(percent left, days until the next refill): falls from refill to refill, each cycle between other marks."""
    days = 6 + draw(device.base, 0, 27) % 25
    length = days * DAY_MS
    cycle, place = divmod(moment + draw(device.base, 0, 28) % length, length)
    top = 92 + share(draw(device.base, cycle, 29)) * 8
    bottom = 2 + share(draw(device.base, cycle, 30)) * 12
    return top - (top - bottom) * place / length, (length - place) / DAY_MS


def consumable_level(device: Device, start: int, until: int) -> Reports:
    family = FAMILIES[device.family]
    phase = draw(device.base, 0, 31) % LEVEL_MS
    for slot in slots(start, until, width=LEVEL_MS, phase=phase):
        moment = slot * LEVEL_MS + phase
        bits = draw(device.base, slot, 32)
        percent, days = level(device, moment)
        swing = 8.0 if device.behaviour == "flapping" else 0.6
        percent = min(max(percent + (share(bits) - 0.5) * swing, 0), 100)
        text = (
            f'{shown(device, moment)}"consumableType":"{family.consumable}","levelPct":{percent:.1f},'
            f'"remainingUnits":{int(percent * family.capacity / 100)},"unit":"{family.unit}",'
            f'"estDaysLeft":{int(days)}}}'
        )
        yield moment, bits, slot, text


def _episodes(
    device: Device, start: int, until: int, *, width: int, chance: float, salt: int
) -> Iterator[tuple[int, int, int, int]]:
    """(slot, bits, begin, end) of episodes that may touch [start, until); an episode stays within two days."""
    for slot in range((start - LONGEST_EPISODE_MS) // width, until // width + 1):
        bits = draw(device.base, slot, salt)
        if share(bits) < chance:
            begin = slot * width + (bits >> 24) % (width - LONGEST_EPISODE_MS // 2)
            end = begin + 20 * MINUTE_MS + (bits >> 40) % (30 * HOUR_MS)
            if begin < until and end + HOUR_MS > start:
                yield slot, bits, begin, end


def faults(device: Device, start: int, until: int) -> Reports:
    """Episodes: raised, chatter (raised again, or cleared and raised), cleared; one in twelve never clears."""
    chance = FAULT_CHANCE.get(device.behaviour, 0.06)
    for slot, bits, begin, end in _episodes(device, start, until, width=FAULT_SLOT_MS, chance=chance, salt=33):
        code, component, severity = FAULTS[(bits >> 12) % len(FAULTS)]
        moments = [(begin, "raised")]
        for turn in range((bits >> 52) % (7 if device.behaviour == "flapping" else 3)):
            later = begin + (turn + 1) * (20_000 + (bits >> (turn + 3)) % 70_000)
            moments.append((later, "cleared" if device.behaviour == "flapping" and turn % 2 == 0 else "raised"))
        if bits >> 60 or bits & 1:
            moments.append((end, "cleared"))
        for number, (moment, state) in enumerate(moments):
            if start <= moment < until:
                text = (
                    f'{shown(device, moment)}"faultInstanceId":"f-{device.number}-{slot}","faultCode":"{code}",'
                    f'"component":"{component}","severity":"{severity}",'
                    f'"runtimeHours":{runtime_hours(device, moment)},"faultState":"{state}"}}'
                )
                yield moment, draw(bits, number, 34), slot * 16 + number, text


def downtimes(device: Device, start: int, until: int) -> Reports:
    """High and critical faults stop the device until they are cleared."""
    chance = FAULT_CHANCE.get(device.behaviour, 0.06)
    for slot, bits, begin, end in _episodes(device, start, until, width=FAULT_SLOT_MS, chance=chance, salt=33):
        code, _, severity = FAULTS[(bits >> 12) % len(FAULTS)]
        if severity not in ("high", "critical"):
            continue
        opened, closed = begin + 5 * MINUTE_MS, end + 10 * MINUTE_MS
        for number, (moment, state) in enumerate(((opened, "open"), (closed, "closed"))):
            if start <= moment < until:
                ended = f'"{stamp(closed)}"' if state == "closed" else "null"
                text = (
                    f'{shown(device, moment)}"downtimeId":"dt-{device.number}-{slot}","state":"{state}",'
                    f'"startAt":"{stamp(opened)}","endAt":{ended},"cause":"fault {code}"}}'
                )
                yield moment, draw(bits, number, 35), slot * 2 + number, text


def excursions(device: Device, start: int, until: int) -> Reports:
    """A cold chest above 8 degrees: opened, confirmed by later readings, closed."""
    chance = 0.7 if device.behaviour == "faulty" else 0.15
    for slot, bits, begin, end in _episodes(device, start, until, width=EXCURSION_SLOT_MS, chance=chance, salt=36):
        moments = [begin + step * 20 * MINUTE_MS for step in range(1 + (bits >> 20) % 3)]
        readings = [(moment, "open") for moment in moments if moment < end] + [(end, "closed")]
        for number, (moment, state) in enumerate(readings):
            if start <= moment < until:
                value = 6.5 if state == "closed" else 8.4 + share(draw(bits, number, 37)) * 6
                text = (
                    f'{shown(device, moment)}"excursionId":"x-{device.number}-{slot}","metric":"temperatureC",'
                    f'"value":{value:.1f},"limit":8.0,"unit":"C","durationSec":{(moment - begin) // 1000 + 60},'
                    f'"state":"{state}","affectedBatch":"B-{(bits >> 30) % 90 + 10}"}}'
                )
                yield moment, draw(bits, number, 38), slot * 8 + number, text


def anomalies(device: Device, start: int, until: int) -> Reports:
    phase = draw(device.base, 0, 39) % ANOMALY_SLOT_MS
    for slot in slots(start, until, width=ANOMALY_SLOT_MS, phase=phase):
        bits = draw(device.base, slot, 40)
        if share(bits) >= (0.5 if device.behaviour == "degrading" else 0.08):
            continue
        moment = slot * ANOMALY_SLOT_MS + phase
        baseline = 20 + (bits >> 24) % 60
        value = baseline * (1.4 + share(bits >> 30))
        text = (
            f'{shown(device, moment)}"metric":"powerW","value":{value:.1f},"baseline":{baseline},'
            f'"score":{0.7 + share(bits >> 8) * 0.3:.2f},"anomalyId":"an-{device.number}-{slot}"}}'
        )
        yield moment, bits, slot, text


def on_hand(device: Device, slot: int) -> int:
    """Pieces on a shelf after an hour: sold down from delivery to delivery."""
    length = 36 + draw(device.base, 0, 41) % 60
    cycle, place = divmod(slot, length)
    top = 60 + draw(device.base, cycle, 42) % 80
    bottom = draw(device.base, cycle, 43) % 12
    return top - (top - bottom) * place // length


def counts(device: Device, start: int, until: int) -> Reports:
    """Every four hours the shelf is weighed; the sequence only grows."""
    phase = draw(device.base, 0, 44) % HOUR_MS
    for slot in slots(start, until, width=COUNT_MS, phase=phase):
        moment = slot * COUNT_MS + phase
        bits = draw(device.base, slot, 45)
        sure = 0.5 + share(bits) * 0.3 if device.behaviour == "faulty" else 0.92 + share(bits) * 0.08
        text = (
            f'{shown(device, moment)}"warehouseCode":"{device.warehouse}","productCode":"{device.product}",'
            f'"onHandQty":{on_hand(device, slot * 4)},"unit":"pieces","countMethod":"scale",'
            f'"confidence":{sure:.2f},"sequence":{slot}}}'
        )
        yield moment, bits, slot, text


def movements(device: Device, start: int, until: int) -> Reports:
    """Each hour's difference, so that counts and movements agree."""
    phase = draw(device.base, 0, 44) % HOUR_MS
    for slot in slots(start, until, width=MOVEMENT_MS, phase=phase):
        delta = on_hand(device, slot) - on_hand(device, slot - 1)
        if delta:
            moment = slot * MOVEMENT_MS + phase
            text = (
                f'{shown(device, moment)}"warehouseCode":"{device.warehouse}","productCode":"{device.product}",'
                f'"deltaQty":{delta},"movementId":"mv-{device.number}-{slot}",'
                f'"reason":"{"sale" if delta < 0 else "replenishment"}"}}'
            )
            yield moment, draw(device.base, slot, 46), slot, text


def logistics(device: Device, start: int, until: int) -> Reports:
    """Three-day trips, one order each, statuses in their order."""
    phase = draw(device.base, 0, 47) % TRIP_MS
    for slot in range((start - phase) // TRIP_MS, (until - phase) // TRIP_MS + 1):
        begin = slot * TRIP_MS + phase
        order = device.orders[(slot * 31 + device.number) % len(device.orders)] if device.orders else "0"
        for number, (status, place) in enumerate(TRIP):
            moment = begin + int(place * TRIP_MS)
            if start <= moment < until:
                text = (
                    f'{shown(device, moment)}"orderCode":"{order}","consignmentCode":"{consignment_code(order)}",'
                    f'"status":"{status}",'
                    f'"locationCode":"HUB-{draw(device.base, slot * 8 + number, 48) % 9 + 1}",'
                    f'"eta":"{day(begin + int(0.88 * TRIP_MS))}"}}'
                )
                yield moment, draw(device.base, slot * 8 + number, 49), slot * 8 + number, text


def activated(device: Device, start: int, until: int) -> Reports:
    if start <= device.activated_ms < until:
        text = (
            f'{shown(device, device.activated_ms)}"serialNumber":"{device.serial}","productCode":"{device.product}",'
            f'"activationDate":"{day(device.activated_ms)}","firmware":"{device.firmware}"}}'
        )
        yield device.activated_ms, draw(device.base, 0, 50), 0, text


REPORTS: dict[str, Callable[[Device, int, int], Reports]] = {
    "device.fault": faults,
    "device.health": health,
    "usage.summary": usage_summary,
    "consumable.level": consumable_level,
    "inventory.count": counts,
    "inventory.movement": movements,
    "logistics.status": logistics,
    "environment.excursion": excursions,
    "device.downtime": downtimes,
    "usage.anomaly": anomalies,
    "device.activated": activated,
}
EVENT_TYPES = tuple(REPORTS)
