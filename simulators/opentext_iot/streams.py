"""Streams: topics and credentials, attached devices, activity, control and lock state. Source: fact sheet 3, 4."""

from __future__ import annotations

import secrets
import uuid

from simulators.opentext_iot.call import Answer, Call, Handler, Route
from simulators.opentext_iot.documents import Body, Document
from simulators.opentext_iot.errors import invalid, missing
from simulators.opentext_iot.expansion import expanded
from simulators.opentext_iot.platform import Platform
from simulators.opentext_iot.profile import media
from simulators.opentext_iot.shapes import is_text

ONE = "/stream/v1/streams/{id}"


def routes() -> list[Route]:
    own = (media("stream.v1"),)
    state = {name: (media(f"stream.{name}.state.v1"),) for name in ("activity", "control", "lock")}
    table: list[tuple[str, str, Handler, tuple[str, ...]]] = [
        ("GET", "/devices", devices, own),
        ("POST", "/devices", attach_by_body, own),
        ("GET", "/devices/{device}", device, own),
        ("POST", "/devices/{device}", attach, own),
        ("DELETE", "/devices/{device}", detach, own),
        ("GET", "/activityState", _state("activityState"), state["activity"]),
        ("POST", "/activityState/tasks/{task}", _task("activityState"), state["activity"]),
        ("GET", "/controlState", _state("controlState"), state["control"]),
        ("PUT", "/controlState/tasks/{task}", _task("controlState"), state["control"]),
        ("GET", "/lockState", _state("lockState"), state["lock"]),
        ("PUT", "/lockState/tasks/{task}", _task("lockState"), state["lock"]),
    ]
    return [Route(method, ONE + tail, handler, accepts=kind, sends=kind) for method, tail, handler, kind in table]


def complete(_call: Call, body: Body) -> None:
    """Topics and credentials of a new stream; the answer carries secrets, clients must not log it."""
    short = secrets.token_hex(4)
    body |= {name: str(uuid.uuid4()) for name in ("producerTopic", "consumerTopic", "alertConsumerTopic")}
    body |= {"clientId": f"cl-{short}", "username": f"u-{short}", "password": secrets.token_urlsafe(12)}
    if body["payloadSecurityType"] == "ENCRYPTED":
        keys = {"producerPublicKey": secrets.token_urlsafe(24), "consumerPrivateKey": secrets.token_urlsafe(24)}
        body["payloadSecurityAttributes"] = keys
    body["_states"] = {"activityState": "online", "lockState": "unlock", "controlState": {}}


def is_attached(platform: Platform, *, stream: str, device: str) -> bool:
    sql = "SELECT 1 FROM attached WHERE stream = ? AND device = ?"
    return platform.database.db.execute(sql, (stream, device)).fetchone() is not None


def streams_of(platform: Platform, device: str) -> list[str]:
    rows = platform.database.db.execute("SELECT stream FROM attached WHERE device = ? ORDER BY stream", (device,))
    return [stream for (stream,) in rows]


def _stream(call: Call) -> Document:
    return call.platform.documents.get("stream", call.given["id"])


def devices(call: Call) -> Answer:
    stream = _stream(call)
    rows = call.platform.database.db.execute("SELECT device FROM attached WHERE stream = ?", (stream.id,))
    found = call.platform.documents.by_ids("device", [key for (key,) in rows])
    return Answer(body=expanded(call, list(found.values())))


def device(call: Call) -> Answer:
    _stream(call)
    if not is_attached(call.platform, stream=call.given["id"], device=call.given["device"]):
        raise missing(call.given["device"])
    return Answer(body=expanded(call, [call.platform.documents.get("device", call.given["device"])])[0])


def attach(call: Call) -> Answer:
    return _attach(call, call.given["device"])


def attach_by_body(call: Call) -> Answer:
    """The form of 2015: ``{"deviceId", "streamId"}``."""
    key = call.document().get("deviceId")
    if not isinstance(key, str) or not is_text(key):
        raise invalid("deviceId must be a text")
    return _attach(call, key)


def _attach(call: Call, key: str) -> Answer:
    stream, found = _stream(call), call.platform.documents.indexed("device", key)
    if found is None:
        raise missing(key)
    call.platform.database.db.execute("INSERT OR IGNORE INTO attached VALUES (?, ?)", (stream.id, found.id))
    return Answer(body=expanded(call, [found])[0])


def detach(call: Call) -> Answer:
    stream, key = _stream(call), call.given["device"]
    if not is_attached(call.platform, stream=stream.id, device=key):
        raise missing(key)
    call.platform.database.db.execute("DELETE FROM attached WHERE stream = ? AND device = ?", (stream.id, key))
    return Answer(204)


TASKS = {
    "activityState": ("online", "offline"),
    "lockState": ("lock", "unlock"),
    "controlState": ("eventuid", "commanuid"),
}


def _state(name: str) -> Handler:
    def read(call: Call) -> Answer:
        stream = _stream(call)
        states = stream.body.get("_states", {})
        return Answer(body={"streamId": stream.id, "state": states.get(name)})

    return read


def _task(name: str) -> Handler:
    """The last path part is the new state; control states remember the body (its shape is not public)."""

    def change(call: Call) -> Answer:
        stream, task = _stream(call), call.given["task"]
        if task not in TASKS[name]:
            raise missing(task)
        states = stream.body.setdefault("_states", {})
        if name == "controlState":
            states[name] = {**(states.get(name) or {}), task: call.document() if call.raw.strip() else {}}
        else:
            states[name] = task
        call.platform.documents.write(stream)
        return Answer(body={"streamId": stream.id, "state": states[name]})

    return change
