"""Devices and device templates with whole objects in place of ids. Source: fact sheet 1.2, 4.

A client asks by parameters of the Accept header, such as ``;fetchattributetypes=true``.
"""

from __future__ import annotations

from typing import Any

from simulators.opentext_iot.call import Call
from simulators.opentext_iot.documents import Body, Document
from simulators.opentext_iot.media import parameters
from simulators.opentext_iot.shapes import rendered

_ASKED = {
    "fetchattributetypes": "attributeType",
    "fetcheventtemplates": "eventTemplate",
    "fetchcommandtemplates": "commandTemplate",
}
_DEVICE_LISTS = (("observableEvents", "eventTemplate"), ("supportedCommands", "commandTemplate"))
_TEMPLATE_LISTS = (
    ("attributeTypes", "attributeType"),
    ("eventTemplates", "eventTemplate"),
    ("commandTemplates", "commandTemplate"),
)


def expanded(call: Call, found: list[Document]) -> list[Body]:
    """The documents as the request wants them."""
    shown = [rendered(one) for one in found]
    if found and found[0].kind in ("device", "deviceTemplate"):
        asked = parameters(call.header("Accept"))
        kinds = {kind for name, kind in _ASKED.items() if asked.get(name) == "true"}
        lists = _DEVICE_LISTS if found[0].kind == "device" else _TEMPLATE_LISTS
        for name, kind in lists:
            if kind in kinds:
                _replace(call, shown, name=name, kind=kind)
        if found[0].kind == "device":
            _attributes(call, shown, expand="attributeType" in kinds)
    return shown


def _replace(call: Call, shown: list[Body], *, name: str, kind: str) -> None:
    keys = {key for body in shown for key in body.get(name) or ()}
    whole = {key: rendered(one) for key, one in call.platform.documents.by_ids(kind, keys).items()}
    for body in shown:
        body[name] = [whole.get(key, {"id": key}) for key in body.get(name) or ()]


def _attributes(call: Call, shown: list[Body], *, expand: bool) -> None:
    native = call.platform.settings["value_form"] == "native"
    types: dict[str, Body] = {}
    if expand:
        sections = [one for body in shown for part in body.get("attributes", {}).values() for one in part]
        keys = {one["attributeTypeId"] for one in sections}
        found = call.platform.documents.by_ids("attributeType", keys)
        types = {key: rendered(one) for key, one in found.items()}
    for body in shown:
        body["attributes"] = {
            section: [_attribute(one, types=types, expand=expand, native=native) for one in values]
            for section, values in body.get("attributes", {}).items()
        }


def _attribute(one: Body, *, types: dict[str, Body], expand: bool, native: bool) -> Body:
    key, value = one["attributeTypeId"], one.get("value")
    shown = value if native else wire_text(value)
    if expand:
        return {"attributeType": types.get(key, {"id": key}), "value": shown}
    return {"attributeTypeId": key, "value": shown}


def wire_text(value: Any) -> str | None:
    """An attribute value as text: true and false in small letters."""
    if value is None:
        return None
    return str(value).lower() if isinstance(value, bool) else str(value)
