"""Events into the platform, commands out of it. Source: fact sheet 5, 8.

What is accepted is stored at once and searchable when it is indexed; commands are settled later.
"""

from __future__ import annotations

import uuid
from typing import Any

import msgspec

from simulators.opentext_iot import reactions, shapes, streams
from simulators.opentext_iot.call import Answer, Call, Route
from simulators.opentext_iot.documents import Body, Document
from simulators.opentext_iot.errors import ApiError, invalid, missing
from simulators.opentext_iot.events import EventRow, split_message
from simulators.opentext_iot.platform import Platform
from simulators.opentext_iot.profile import media


def routes() -> list[Route]:
    event = (media("messaging.sendevent.v1"), "application/json")
    command = (media("messaging.sendcommand.v1"), "application/json")
    return [
        Route("POST", "/sendevent/v1/message/event/{stream}", send_event, accepts=event, sends=event),
        Route("POST", "/sendcommand/v1/message/command/{stream}", send_command, accepts=command, sends=command),
        Route("POST", "/composer/v1/composer/command", compose_command, accepts=command, sends=command),
    ]


def send_event(call: Call) -> Answer:
    """Take an envelope; 200 means accepted."""
    stream, body = _stream(call.platform, call.given["stream"]), call.document()
    message_id = _either(body, "messageId", "messageID") or str(uuid.uuid4())
    device_id, template_id = _either(body, "deviceId", "deviceID"), _either(body, "eventTemplateId")
    message, encoding = _message(body)
    if call.platform.settings["check_events"]:
        device = sendable_device(call.platform, device_id, stream=stream.id)
        template = _active(call.platform, "eventTemplate", template_id)
        if template.id not in device.body.get("observableEvents", []):
            raise invalid(f"The device {device.id} does not observe the event template {template.id}")
    payload, kept = split_message(message, encoding)
    accept_event(
        call.platform,
        device_id=device_id or "",
        template_id=template_id or "",
        stream_id=stream.id,
        message_id=message_id,
        content=(payload, kept, encoding),
    )
    return Answer(body={"messageId": message_id, "status": "ACCEPTED"})


def accept_event(
    platform: Platform,
    *,
    device_id: str,
    template_id: str,
    stream_id: str,
    message_id: str,
    content: tuple[str | None, str | None, str | None],
) -> None:
    """Store one event, audit it and let thresholds, routes and rules see it; the fault lose_events forgets it."""
    audit = {"messageId": message_id, "deviceId": device_id, "eventTemplateId": template_id, "streamId": stream_id}
    platform.documents.create("eventAudit", audit | {"status": "ACCEPTED"})
    platform.documents.create("tracking", audit | {"type": "EVENT", "status": "DONE"})
    if any(rule.spend() for rule in platform.faults.active("lose_events")):
        return
    now, number = platform.now_ms(), platform.database.number
    delay = int(float(platform.settings["index_delay_ms"]))
    payload, message, encoding = content
    numbers = (number(device_id), number(template_id), number(stream_id))
    platform.events.add([EventRow(now, now + delay, *numbers, message_id, payload, message, encoding)])
    if payload is not None:
        reactions.react(platform, audit, values=_flat(payload))


def _flat(payload: str) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(payload)
    return found


def send_command(call: Call) -> Answer:
    return _command(call, _stream(call.platform, call.given["stream"]))


def compose_command(call: Call) -> Answer:
    """The composer names no stream: the device's first one is taken."""
    body = call.document()
    found = streams.streams_of(call.platform, _either(body, "deviceId", "deviceID") or "")
    if not found:
        raise invalid("The device is not attached to a stream")
    return _command(call, _stream(call.platform, found[0]))


def _command(call: Call, stream: Document) -> Answer:
    body = call.document()
    device = sendable_device(call.platform, _either(body, "deviceId", "deviceID"), stream=stream.id)
    message_id = _either(body, "messageId", "messageID") or str(uuid.uuid4())
    message, encoding = _message(body)
    command_id = _either(body, "commandId")
    accept_command(call.platform, device=device, command_id=command_id, stream_id=stream.id, message_id=message_id)
    envelope: Body = {"messageId": message_id, "deviceId": device.id, "commandId": command_id, "message": message}
    envelope |= {"encodingType": encoding, "creation": call.platform.now_ms()}
    reactions.deliver(call.platform, stream.body.get("consumerTopic", ""), stream_id=stream.id, envelope=envelope)
    return Answer(body={"messageId": message_id, "status": "ACCEPTED"})


def accept_command(
    platform: Platform, *, device: Document, command_id: str | None, stream_id: str, message_id: str
) -> Document:
    """Audit a command as ACCEPTED; ``settle_commands`` decides the rest."""
    template = _active(platform, "commandTemplate", command_id)
    if template.id not in device.body.get("supportedCommands", []):
        raise invalid(f"The device {device.id} does not support the command template {template.id}")
    audit = {"messageId": message_id, "deviceId": device.id, "commandId": template.id, "streamId": stream_id}
    return platform.documents.create("commandAudit", audit | {"status": "ACCEPTED"})


def settle_commands(platform: Platform) -> None:
    """Commands to devices that are online end after their delay; the others stay ACCEPTED."""
    due = platform.now_ms() - int(float(platform.settings["command_delay_s"]) * 1000)
    where = "json_extract(body, '$.status') = 'ACCEPTED' AND created_ms <= ?"
    waiting = platform.documents.select("commandAudit", where=where, values=(due,))
    devices = platform.documents.by_ids("device", [str(one.body.get("deviceId")) for one in waiting])
    for one in waiting:
        device = devices.get(str(one.body.get("deviceId")))
        if device and device.body.get("state", {}).get("operationalState") == "ONLINE":
            one.body["status"] = platform.settings["command_outcome"]
            platform.documents.write(one)


def sendable_device(platform: Platform, key: str | None, *, stream: str | None) -> Document:
    """An active device, attached to the stream when one is named."""
    if key is None:
        raise invalid("deviceId is required")
    device = platform.documents.find("device", key)
    if device is None:
        raise invalid(f"The device {key} was not found")
    if not device.body.get("isActive"):
        raise invalid(f"The device {key} is not active")
    if stream is not None and not streams.is_attached(platform, stream=stream, device=key):
        raise invalid(f"The device {key} is not attached to the stream {stream}")
    return device


def _stream(platform: Platform, key: str) -> Document:
    stream = platform.documents.find("stream", key)
    if stream is None:
        raise missing(key)
    if not stream.body.get("isActive"):
        raise invalid(f"The stream {key} is not active")
    if stream.body.get("_states", {}).get("lockState") == "lock":
        raise ApiError(403, f"The stream {key} is locked")
    return stream


def _active(platform: Platform, kind: str, key: str | None) -> Document:
    if key is None:
        raise invalid(f"the id of the {kind} is required")
    found = platform.documents.find(kind, key)
    if found is None:
        raise invalid(f"The {kind} {key} was not found")
    if not found.body.get("isActive"):
        raise invalid(f"The {kind} {key} is not active")
    return found


def _either(body: Body, *names: str) -> str | None:
    for name in names:
        value = body.get(name)
        if value is not None:
            if not shapes.is_text(value):
                raise invalid(f"{name} must be a text")
            return str(value)
    return None


def _message(body: Body) -> tuple[str, str | None]:
    message, encoding = body.get("message"), body.get("encodingType")
    if not isinstance(message, str):
        raise invalid("message must be a text")
    if encoding is not None and not isinstance(encoding, str):
        raise invalid("encodingType must be a text")
    return message, encoding
