"""What documents may point at: indexed, and where it matters active. Source: fact sheet 1.6, 2, 14."""

from __future__ import annotations

from typing import Any

from simulators.opentext_iot import shapes
from simulators.opentext_iot.documents import Body, Document
from simulators.opentext_iot.errors import invalid
from simulators.opentext_iot.platform import Platform

PARTS = (
    ("attributeType", "attributeTypes"),
    ("eventTemplate", "eventTemplates"),
    ("commandTemplate", "commandTemplates"),
)


def check(platform: Platform, kind: str, body: Body, *, before: Body | None = None) -> None:
    """ApiError 400 when a body points at what is missing, not yet indexed, or inactive."""
    if kind == "deviceTemplate":
        for part, name in PARTS:
            usable(platform, part, body[name])
    elif kind == "eventTemplate":
        bound = [one["boundAttributeTypeId"] for one in body["eventFields"] if one.get("boundAttributeTypeId")]
        usable(platform, "attributeType", bound, active=False)
    elif kind == "device":
        _device(platform, body, before=before or {})
    elif kind == "route":
        usable(platform, "eventSource", [body["routeSourceId"]], active=False)
        usable(platform, "stream", [one for one in (body.get("streamId"),) if one], active=False)
    elif kind == "eventSource":
        _event_source(platform, body)


def _event_source(platform: Platform, body: Body) -> None:
    for name, kind, field in (
        ("sourceDevices", "device", "deviceId"),
        ("sourceDeviceTemplates", "deviceTemplate", "deviceTemplateId"),
    ):
        usable(platform, kind, [one.get(field) for one in body[name]], active=False)
        templates = [one["eventTemplateId"] for one in body[name] if one.get("eventTemplateId")]
        usable(platform, "eventTemplate", templates, active=False)


def usable(platform: Platform, kind: str, keys: list[Any], *, active: bool = True) -> dict[str, Document]:
    """The documents behind the ids."""
    if not all(shapes.is_text(key) for key in keys):
        raise invalid(f"an id of a {kind} must be a text")
    found = platform.documents.by_ids(kind, keys)
    now = platform.now_ms()
    for key in keys:
        if key not in found or found[key].indexed_ms > now:
            raise invalid(f"The {kind} {key} was not found")
        if active and not found[key].body.get("isActive"):
            raise invalid(f"The {kind} {key} is not active")
    return found


def _device(platform: Platform, body: Body, *, before: Body) -> None:
    """A device keeps its template's attributes and may have further ones of its own."""
    shapes.localized(body, "name", required=False)
    attributes = body.get("attributes")
    if not isinstance(attributes, dict):
        raise invalid("attributes must hold the lists standard and extended")
    standard = _values(attributes, "standard")
    extended = _values(attributes, "extended")
    own = [one["attributeTypeId"] for one in before.get("attributes", {}).get("standard", [])]
    if sorted(one["attributeTypeId"] for one in standard) != sorted(own):
        raise invalid("attributes.standard must hold exactly the attribute types of the device template")
    known = {one["attributeTypeId"] for one in before.get("attributes", {}).get("extended", [])}
    fresh = [one["attributeTypeId"] for one in extended if one["attributeTypeId"] not in known]
    usable(platform, "attributeType", fresh)
    types = platform.documents.by_ids("attributeType", [one["attributeTypeId"] for one in (*standard, *extended)])
    for one in (*standard, *extended):
        if one["attributeTypeId"] not in types:  # loaded past the API
            continue
        kind = types[one["attributeTypeId"]].body
        one["value"] = typed(one.get("value"), kind.get("type", "string"), name=kind.get("name", ""))
    body["attributes"] = {"standard": standard, "extended": extended}
    for name in ("observableEvents", "supportedCommands"):
        shapes.id_list(body, name, older=name)


def _values(attributes: Body, section: str) -> list[Body]:
    value = attributes.get(section, [])
    sound = isinstance(value, list) and all(isinstance(one, dict) for one in value)
    if not sound or not all(shapes.is_text(one.get("attributeTypeId")) for one in value):
        raise invalid(f'attributes.{section} must be a list of {{"attributeTypeId", "value"}}')
    keys = [one["attributeTypeId"] for one in value]
    if len(set(keys)) < len(keys):
        raise invalid(f"attributes.{section} names an attribute type twice")
    return [{"attributeTypeId": one["attributeTypeId"], "value": one.get("value")} for one in value]


def typed(value: Any, kind: str, *, name: str) -> Any:
    """The value as stored: a number, a truth, or a text; text forms are taken too."""
    if value is None:
        return None
    if kind == "decimal":
        return _decimal(value, name=name)
    if kind == "bool":
        if isinstance(value, bool) or str(value).lower() in ("true", "false"):
            return str(value).lower() == "true"
        raise invalid(f"The attribute {name} takes true or false, not {str(value)[:80]!r}")
    if not isinstance(value, str):
        raise invalid(f"The attribute {name} takes a text, not {str(value)[:80]!r}")
    return value


def _decimal(value: Any, *, name: str) -> float | int:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise invalid(f"The attribute {name} takes a number, not {str(value)[:80]!r}")
    if isinstance(value, (int, float)):
        return value
    try:
        number = float(value)
    except ValueError as error:
        raise invalid(f"The attribute {name} takes a number, not {value[:80]!r}") from error
    if number != number or abs(number) == float("inf"):
        raise invalid(f"The attribute {name} takes a finite number, not {value[:80]!r}")
    return int(number) if number.is_integer() and "." not in value and abs(number) < 2**53 else number
