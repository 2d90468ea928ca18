"""Events, last state, aggregates and commands of the conventional profile. All assumed: fact sheet 11."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from typing import Any

import msgspec

from simulators.opentext_iot import generic, messages, reactions, shapes
from simulators.opentext_iot.call import Answer, Call, Route
from simulators.opentext_iot.documents import Body
from simulators.opentext_iot.errors import invalid
from simulators.opentext_iot.event_search import disturbed, iso_milliseconds
from simulators.opentext_iot.events import MAX_MS, StoredEvent, Window
from simulators.opentext_iot.platform import Platform
from simulators.opentext_iot.profile import profile

PATHS = profile("generic_rest")["paths"]
SEARCH = profile("generic_rest")["event_search"]
LARGEST_BATCH = 10_000
STATE_EVENTS = 200
KEPT_ANSWERS = 1000
UNITS_MS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
FUNCTIONS: dict[str, Callable[[list[float]], float]] = {
    "avg": lambda values: sum(values) / len(values),
    "min": min,
    "max": max,
    "sum": sum,
    "count": len,
}


def routes() -> list[Route]:
    json = ("application/json",)
    return [
        Route("GET", SEARCH["path"], search, dialect="problem", reads_events=True),
        Route("POST", PATHS["send_event"], send, sends=json, dialect="problem"),
        Route("GET", PATHS["state"], state, dialect="problem", reads_events=True),
        Route("GET", PATHS["aggregates"], aggregates, dialect="problem", reads_events=True),
        Route("POST", PATHS["commands"], command, sends=json, dialect="problem"),
        Route("GET", PATHS["command_status"], command_status, dialect="problem"),
        Route("GET", PATHS["health"], health, dialect="problem", open=True),
    ]


def search(call: Call) -> Answer:
    """Events of a half-open window over the time of receipt."""
    limit, after = generic.page(call)
    window = window_of(call)
    found = call.platform.events.search(window, limit=limit + 1, after=after)
    last = (found[limit - 1].created_ms, found[limit - 1].seq) if len(found) > limit else None
    names = template_names(call.platform)
    shown = [event_body(one, names) for one in found[:limit]]
    return generic.paged(disturbed(call.platform, shown), last=last)


def window_of(call: Call) -> Window:
    query, database = call.query, call.platform.database
    start = iso_milliseconds(query["from"]) if "from" in query else 0
    end = iso_milliseconds(query["to"]) if "to" in query else MAX_MS
    if end < start:
        raise invalid("to lies before from")
    wanted = query.getall("eventType", [])
    by_name = [key for key, name in template_names(call.platform).items() if name in wanted]
    templates = tuple(database.number(key) for key in by_name) or ((-1,) if wanted else ())
    device = database.number(query["deviceId"]) if query.get("deviceId") else None
    return Window(start, end, call.platform.shown_ms(), device=device, templates=templates)


def template_names(platform: Platform) -> dict[str, str]:
    """Id of each event template -> its name."""
    return {one.id: str(one.body.get("name")) for one in platform.documents.select("eventTemplate")}


def event_body(event: StoredEvent, names: dict[str, str]) -> Body:
    """An event as this profile shows it; the unreadable message of another profile comes as ``raw``."""
    values = event.values()
    data: Body = values if event.payload is not None else {"raw": event.message_text}
    received = generic.iso(event.created_ms)
    occurred = data.get("occurredAt")
    return {
        "eventId": event.message_id,
        "deviceId": event.device_id,
        "eventType": names.get(event.template_id, event.template_id),
        "occurredAt": occurred if isinstance(occurred, str) else received,
        "receivedAt": received,
        "data": {name: value for name, value in data.items() if name != "occurredAt"},
    }


def send(call: Call) -> Answer:
    """One event or a list; the same Idempotency-Key gives the same answer without a second effect."""
    key = call.header("Idempotency-Key")
    if key and key in call.platform.answered:
        return Answer(202, call.platform.answered[key])
    body = call.json()
    events = body if isinstance(body, list) else [body]
    if not 1 <= len(events) <= LARGEST_BATCH:
        raise invalid(f"a call takes 1 to {LARGEST_BATCH} events, not {len(events)}")
    names = {name: key for key, name in template_names(call.platform).items()}
    checked = [_checked(call.platform, one, names) for one in events]
    for one in checked:
        messages.accept_event(call.platform, **one)
    answer = {"accepted": len(checked), "eventIds": [one["message_id"] for one in checked]}
    if key:
        if len(call.platform.answered) >= KEPT_ANSWERS:
            call.platform.answered.pop(next(iter(call.platform.answered)))
        call.platform.answered[key] = answer
    return Answer(202, answer)


def _checked(platform: Platform, event: Any, names: dict[str, str]) -> dict[str, Any]:
    if not isinstance(event, dict):
        raise invalid("an event must be an object")
    key, kind, values = event.get("deviceId"), event.get("eventType"), event.get("data", {})
    if not shapes.is_text(key) or not isinstance(kind, str) or not isinstance(values, dict):
        raise invalid("an event needs deviceId, eventType and an object as data")
    if kind not in names:
        raise invalid(f"There is no event type {kind[:80]}; legal: {', '.join(sorted(names))[:500]}")
    messages.sendable_device(platform, key, stream=None)
    message_id = event.get("eventId") or str(uuid.uuid4())
    if not shapes.is_text(message_id):
        raise invalid("eventId must be a text")
    if "occurredAt" in event:
        iso_milliseconds(str(event["occurredAt"]))
        values = {"occurredAt": event["occurredAt"], **values}
    payload = msgspec.json.encode(values).decode()
    return {
        "device_id": key,
        "template_id": names[kind],
        "stream_id": "",
        "message_id": message_id,
        "content": (payload, None, "BASE64"),
    }


def state(call: Call) -> Answer:
    """The last reported value of each field, out of the device's last events."""
    device = generic.needed_device(call)
    shown = call.platform.shown_ms()
    sql = f"device = ? AND visible_ms <= ? ORDER BY created_ms DESC, seq DESC LIMIT {STATE_EVENTS}"
    found = call.platform.events.select(sql, (call.platform.database.number(device.id), shown))
    values: Body = {}
    for event in found:
        for name, value in event.values().items():
            values.setdefault(name, value)
    reported = generic.iso(found[0].created_ms) if found else None
    status = generic.rendered(call.platform, [device])[0]["status"]
    return Answer(body={"reportedAt": reported, "values": values, "status": status})


def aggregates(call: Call) -> Answer:
    """One value per window: avg, min, max, sum or count of a numeric field."""
    metric, function = call.needed("metric"), call.query.get("fn", "avg")
    if function not in FUNCTIONS:
        raise invalid(f"fn is {function[:40]!r}; legal: {', '.join(FUNCTIONS)}")
    width = _window_ms(call.query.get("window", "1h"))
    windows: dict[int, list[float]] = {}
    for event in call.platform.events.search(window_of(call)):
        value = event.values().get(metric)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            windows.setdefault(event.created_ms // width * width, []).append(value)
    items = [
        {
            "windowStart": generic.iso(start),
            "windowEnd": generic.iso(start + width),
            "value": FUNCTIONS[function](values),
            "count": len(values),
        }
        for start, values in sorted(windows.items())
    ]
    return Answer(body={"metric": metric, "fn": function, "items": items})


def _window_ms(text: str) -> int:
    found = re.fullmatch(r"([1-9][0-9]{0,4})([smhd])", text)
    if found is None:
        raise invalid(f"window is {text[:40]!r}; legal: a number and s, m, h or d, such as 1h")
    return int(found[1]) * UNITS_MS[found[2]]


def command(call: Call) -> Answer:
    """Accept a command by the name of its template: ``{"command", "args"}``."""
    device = messages.sendable_device(call.platform, generic.needed_device(call).id, stream=None)
    body = call.document()
    name, arguments = body.get("command"), body.get("args", {})
    if not isinstance(name, str) or not isinstance(arguments, dict):
        raise invalid("a command needs the text command and an object as args")
    templates = {str(one.body.get("name")): one.id for one in call.platform.documents.select("commandTemplate")}
    if name not in templates:
        raise invalid(f"There is no command {name[:80]}")
    audit = messages.accept_command(
        call.platform, device=device, command_id=templates[name], stream_id="", message_id=str(uuid.uuid4())
    )
    envelope = {"messageId": audit.body["messageId"], "deviceId": device.id, "command": name, "args": arguments}
    reactions.deliver(call.platform, device.id, stream_id="", envelope=envelope)
    return Answer(202, {"commandId": audit.body["messageId"], "status": "ACCEPTED"})


def command_status(call: Call) -> Answer:
    messages.settle_commands(call.platform)
    where = "json_extract(body, '$.messageId') = ?"
    found = call.platform.documents.select("commandAudit", where=where, values=(call.given["message_id"],))
    if not found:
        raise generic.missing(call.given["message_id"])
    audit = found[0]
    return Answer(
        body={
            "commandId": audit.body["messageId"],
            "deviceId": audit.body["deviceId"],
            "status": audit.body["status"],
            "updatedAt": generic.iso(audit.updated_ms),
        }
    )


def health(_call: Call) -> Answer:
    return Answer(body={"status": "UP"})
