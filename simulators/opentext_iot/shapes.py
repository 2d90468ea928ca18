"""What a document may look like when it is written, and how it looks when it is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from simulators.opentext_iot.documents import Body, Document
from simulators.opentext_iot.errors import invalid
from simulators.opentext_iot.tokens import Grant

SERVER_FIELDS = ("id", "version", "creator", "creatorAppId", "creation", "realm")
# resources without a life-cycle carry no isActive of their own
LONGEST_NAME = 1000


def rendered(document: Document) -> Body:
    """The document as the classic API shows it."""
    body = document.body
    server = {
        "id": document.id,
        "version": document.version_text,
        "creator": body.get("creator", ""),
        "creatorAppId": body.get("creatorAppId", ""),
        "creation": document.created_ms,
        "realm": body.get("realm", ""),
    }
    shown = server | {name: value for name, value in body.items() if name not in server and not name.startswith("_")}
    if document.kind == "route":
        shown["routeId"] = document.id
    return shown


def signed(body: Body, grant: Grant) -> Body:
    """The body with what the server knows about its creator."""
    client = grant.client
    return body | {"creator": client.client_id, "creatorAppId": client.application, "realm": client.realm}


def given(body: Body) -> Body:
    """What a client may decide: everything but the server's fields."""
    return {name: value for name, value in body.items() if name not in SERVER_FIELDS and not name.startswith("_")}


def is_text(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= LONGEST_NAME


def localized(body: Body, name: str, *, required: bool, word: str = "text") -> None:
    """Check a list of ``{"lang", word}``."""
    value = body.get(name)
    if value is None and not required:
        return
    sound = isinstance(value, list) and value and all(isinstance(one, dict) for one in value)
    if not sound or not all(is_text(one.get("lang")) and isinstance(one.get(word), str) for one in value or ()):
        raise invalid(f'{name} must be a list of {{"lang", "{word}"}}')


def technical(body: Body, name: str) -> None:
    if not is_text(body.get(name)):
        raise invalid(f"{name} must be a text")


def id_list(body: Body, name: str, *, older: str) -> list[str]:
    """Ids under the later or the older name of the field."""
    value = body.pop(older, None) if name not in body else body[name]
    if value is None:
        value = []
    if not isinstance(value, list) or not all(is_text(one) for one in value):
        raise invalid(f"{name} must be a list of ids")
    body[name] = list(dict.fromkeys(value))
    return body[name]


def entries(body: Body, name: str, *, types: list[str]) -> list[Body]:
    """A list of ``{"name", "type", ...}`` with types the tenant knows."""
    value = body.setdefault(name, [])
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise invalid(f"{name} must be a list of objects")
    for one in value:
        technical(one, "name")
        data_type(one, types=types)
    return value


def data_type(body: Body, *, types: list[str]) -> None:
    if body.get("type") not in types:
        raise invalid(f"type is {body.get('type')!r}; legal: {', '.join(types)}")


def _attribute_type(body: Body, types: list[str]) -> None:
    technical(body, "name")
    localized(body, "description", required=False)
    data_type(body, types=types)


def _event_template(body: Body, types: list[str]) -> None:
    technical(body, "name")
    localized(body, "description", required=False)
    entries(body, "eventFields", types=types)


def _command_template(body: Body, types: list[str]) -> None:
    technical(body, "name")
    localized(body, "description", required=False)
    arguments = entries(body, "args", types=types)
    for place, one in enumerate(arguments):
        index = one.setdefault("index", place)
        if not isinstance(index, int) or isinstance(index, bool):
            raise invalid(f"index of the argument {one['name']} must be a whole number")
    arguments.sort(key=lambda one: one["index"])


def _device_template(body: Body, _types: list[str]) -> None:
    localized(body, "name", required=True)
    localized(body, "description", required=False)
    for name, older in (
        ("attributeTypes", "attributes"),
        ("eventTemplates", "events"),
        ("commandTemplates", "commands"),
    ):
        id_list(body, name, older=older)


def _stream(body: Body, _types: list[str]) -> None:
    localized(body, "name", required=False)
    for name, fallback in (("streamType", "DEVICE"), ("protocolType", "MQTT")):
        body.setdefault(name, fallback)
        technical(body, name)
    body.setdefault("deviceSecurityType", body.get("protocolSecurityType", "BASIC"))
    body.setdefault("payloadSecurityType", "NONE")


def _event_source(body: Body, _types: list[str]) -> None:
    localized(body, "name", required=True, word="value")
    for name in ("sourceDevices", "sourceDeviceTemplates"):
        value = body.setdefault(name, [])
        if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
            raise invalid(f"{name} must be a list of objects")


def _route(body: Body, _types: list[str]) -> None:
    technical(body, "routeType")
    technical(body, "routeSourceId")


CHECKS: dict[str, Callable[[Body, list[str]], None]] = {
    "attributeType": _attribute_type,
    "eventTemplate": _event_template,
    "commandTemplate": _command_template,
    "deviceTemplate": _device_template,
    "stream": _stream,
    "eventSource": _event_source,
    "route": _route,
}


def check(kind: str, body: Body, *, types: list[str]) -> None:
    """Complete and check a body; ApiError 400 says what is wrong."""
    tags = body.get("tags", [])
    if not isinstance(tags, list) or not all(is_text(tag) for tag in tags):
        raise invalid("tags must be a list of texts")
    if not isinstance(body.get("isActive", False), bool):
        raise invalid("isActive must be true or false")
    if kind in CHECKS:
        CHECKS[kind](body, types)
