"""Devices of the conventional profile: types, devices, attributes, state, groups. All assumed: fact sheet 11.

Cursor paging, ETag and If-Match, merge-patch, RFC 9457 problems; the same store as the classic profile.
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

from simulators.opentext_iot import references, shapes
from simulators.opentext_iot.call import Answer, Call, Handler, Route
from simulators.opentext_iot.devices import forget_device, new_device, usable_template
from simulators.opentext_iot.documents import Body, Document
from simulators.opentext_iot.errors import ApiError, invalid, missing
from simulators.opentext_iot.event_search import iso_milliseconds
from simulators.opentext_iot.platform import Platform
from simulators.opentext_iot.profile import profile
from simulators.opentext_iot.resources import device_state

PROFILE = profile("generic_rest")
PATHS = PROFILE["paths"]
DEFAULT_SIZE, MAX_SIZE = int(PROFILE["paging"]["default_size"]), int(PROFILE["paging"]["max_size"])
SERIAL = "serial:"
CURSOR = "b64:"


def routes() -> list[Route]:
    patch = ("application/merge-patch+json", "application/json")
    table: list[tuple[str, str, Handler, tuple[str, ...]]] = [
        ("GET", PATHS["device_types"], device_types, ()),
        ("GET", PATHS["device_type"], device_type, ()),
        ("GET", PATHS["devices"], devices, ()),
        ("POST", PATHS["devices"], create, ("application/json",)),
        ("GET", PATHS["device"], device, ()),
        ("PATCH", PATHS["device"], patch_device, patch),
        ("DELETE", PATHS["device"], delete, ()),
        ("GET", PATHS["attributes"], attributes, ()),
        ("PATCH", PATHS["attributes"], patch_attributes, patch),
    ]
    return [Route(method, path, handler, sends=sends, dialect="problem") for method, path, handler, sends in table]


def iso(ms: int) -> str:
    """Epoch milliseconds as ISO 8601 in UTC."""
    try:
        moment = datetime.fromtimestamp(ms / 1000, UTC)
    except (ValueError, OverflowError):
        moment = datetime.max.replace(tzinfo=UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def page(call: Call) -> tuple[int, tuple[int, int]]:
    """(limit, position) of the request; the position is (milliseconds, number) of the last row seen."""
    text = call.query.get("limit", str(DEFAULT_SIZE))
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and int(text) >= 1):
        raise invalid(f"limit is {text[:40]!r}; legal: whole numbers from 1")
    return min(int(text), MAX_SIZE), _position(call.query.get("cursor"))


def _position(cursor: str | None) -> tuple[int, int]:
    if not cursor:
        return (-1, -1)
    try:
        text = base64.b64decode(cursor.removeprefix(CURSOR), validate=True).decode()
        first, second = (int(part) for part in text.split("."))
    except ValueError as error:
        raise invalid(f"cursor {cursor[:40]!r} is not one of ours") from error
    if not (abs(first) < 2**62 and abs(second) < 2**62):
        raise invalid(f"cursor {cursor[:40]!r} is not one of ours")
    return (first, second)


def paged(items: list[Body], *, last: tuple[int, int] | None) -> Answer:
    """A page; ``last`` is the position behind it, None on the last page."""
    cursor = CURSOR + base64.b64encode(f"{last[0]}.{last[1]}".encode()).decode() if last else None
    return Answer(body={"items": items, "nextCursor": cursor})


def select_page(call: Call, kind: str, *, where: str = "", values: tuple[Any, ...] = ()) -> tuple[list[Document], Any]:
    """Documents of one page in their order of creation, and the position behind it."""
    limit, after = page(call)
    condition = "indexed_ms <= ? AND (created_ms, seq) > (?, ?)" + (f" AND {where}" if where else "")
    found = call.platform.documents.select(
        kind, where=condition, values=(call.platform.shown_ms(), *after, *values, limit + 1), tail="LIMIT ?"
    )
    if len(found) <= limit:
        return found, None
    one = found[limit - 1]
    sql = "SELECT seq FROM documents WHERE kind = ? AND id = ?"
    seq = call.platform.database.db.execute(sql, (kind, one.id)).fetchone()[0]
    return found[:limit], (one.created_ms, seq)


def text_of(value: Any) -> str:
    """The first text of a localized list."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return str(value[0].get("text", ""))
    return value if isinstance(value, str) else ""


def device_types(call: Call) -> Answer:
    found, last = select_page(call, "deviceTemplate")
    return paged([_device_type(call.platform, one) for one in found], last=last)


def device_type(call: Call) -> Answer:
    return Answer(body=_device_type(call.platform, call.platform.documents.get("deviceTemplate", call.given["id"])))


def _device_type(platform: Platform, template: Document) -> Body:
    def names(kind: str, field: str) -> list[str]:
        keys = template.body.get(field) or []
        found = platform.documents.by_ids(kind, keys)
        return [str(found[key].body.get("name")) if key in found else key for key in keys]

    return {
        "id": template.id,
        "name": text_of(template.body.get("name")),
        "description": text_of(template.body.get("description")),
        "active": bool(template.body.get("isActive")),
        "attributes": names("attributeType", "attributeTypes"),
        "eventTypes": names("eventTemplate", "eventTemplates"),
        "commands": names("commandTemplate", "commandTemplates"),
        "tags": template.body.get("tags", []),
    }


def devices(call: Call) -> Answer:
    """Filters: deviceTypeId, tag, serialNumber, updatedSince."""
    parts: list[str] = []
    values: list[Any] = []
    for name, sql in (
        ("deviceTypeId", "json_extract(body, '$.parentDeviceTemplateId') = ?"),
        ("tag", "id IN (SELECT id FROM tags WHERE tags.kind = 'device' AND tag = ?)"),
        ("serialNumber", "id IN (SELECT id FROM tags WHERE tags.kind = 'device' AND tag = 'serial:' || ?)"),
        ("updatedSince", "updated_ms >= ?"),
    ):
        for text in call.query.getall(name, []):
            parts.append(sql)
            values.append(iso_milliseconds(text) if name == "updatedSince" else text)
    found, last = select_page(call, "device", where=" AND ".join(parts), values=tuple(values))
    return paged(rendered(call.platform, found), last=last)


def rendered(platform: Platform, found: list[Document]) -> list[Body]:
    """Devices as this profile shows them."""
    keys = {one["attributeTypeId"] for device in found for one in _stored_values(device)}
    types = platform.documents.by_ids("attributeType", keys)
    return [_device(one, types) for one in found]


def _stored_values(device: Document) -> list[Body]:
    held = device.body.get("attributes", {})
    return [one for section in ("standard", "extended") for one in held.get(section) or []]


def _device(device: Document, types: dict[str, Document]) -> Body:
    tags = device.body.get("tags", [])
    state = device.body.get("state", {})
    serials = [tag.removeprefix(SERIAL) for tag in tags if tag.startswith(SERIAL)]
    active = bool(device.body.get("isActive"))
    return {
        "id": device.id,
        "deviceTypeId": device.body.get("parentDeviceTemplateId"),
        "name": text_of(device.body.get("name")),
        "serialNumber": serials[0] if serials else None,
        "active": active,
        "status": str(state.get("operationalState", "OFFLINE")).lower() if active else "inactive",
        "tags": tags,
        "attributes": _named(device, types),
        "createdAt": iso(device.created_ms),
        "updatedAt": iso(device.updated_ms),
    }


def _named(device: Document, types: dict[str, Document]) -> Body:
    return {
        str(types[one["attributeTypeId"]].body.get("name")): one.get("value")
        for one in _stored_values(device)
        if one["attributeTypeId"] in types and one.get("value") is not None
    }


def _tagged(call: Call, found: Document, body: Any, *, status: int = 200) -> Answer:
    return Answer(status, body, headers={"ETag": f'"{found.version_text}"'})


def device(call: Call) -> Answer:
    found = call.platform.documents.get("device", call.given["id"])
    return _tagged(call, found, rendered(call.platform, [found])[0])


def create(call: Call) -> Answer:
    """A device that is active at once."""
    assert call.grant is not None
    body = call.document()
    if not shapes.is_text(body.get("deviceTypeId")):
        raise invalid("deviceTypeId is required")
    try:
        template = usable_template(call.platform, body["deviceTypeId"])
    except ApiError as error:
        raise invalid(error.message) from error
    made = new_device(call.platform, template) | {"isActive": True, "state": device_state(is_active=True)}
    serial = body.pop("serialNumber", None)
    if serial is not None and not shapes.is_text(serial):
        raise invalid("serialNumber must be a text")
    _merge(call.platform, made, {name: value for name, value in body.items() if name != "deviceTypeId"})
    if serial and f"{SERIAL}{serial}" not in made["tags"]:
        made["tags"].append(f"{SERIAL}{serial}")
    stored = call.platform.documents.create("device", shapes.signed(made, call.grant))
    answer = _tagged(call, stored, rendered(call.platform, [stored])[0], status=201)
    answer.headers["Location"] = PATHS["device"].format(id=stored.id)
    return answer


def matched(call: Call) -> Document:
    """The device a PATCH means; 428 without If-Match, 412 when it is stale."""
    found = call.platform.documents.get("device", call.given["id"])
    for rule in call.platform.faults.active("version_conflict"):
        if rule.spend():
            call.platform.documents.write(found)
            break
    asked = call.header("If-Match")
    if not asked:
        raise ApiError(428, "If-Match is required: read the device, send its ETag")
    if asked.strip() not in ("*", f'"{found.version_text}"'):
        raise ApiError(412, f"The ETag {asked[:80]} is stale", headers={"ETag": f'"{found.version_text}"'})
    return found


def patch_device(call: Call) -> Answer:
    """Merge-patch of name, description, tags and attributes."""
    found = matched(call)
    _merge(call.platform, found.body, call.document())
    stored = call.platform.documents.write(found)
    return _tagged(call, stored, rendered(call.platform, [stored])[0])


def delete(call: Call) -> Answer:
    forget_device(call.platform, call.given["id"])
    return Answer(204)


def attributes(call: Call) -> Answer:
    found = call.platform.documents.get("device", call.given["id"])
    return _tagged(call, found, rendered(call.platform, [found])[0]["attributes"])


def patch_attributes(call: Call) -> Answer:
    found = matched(call)
    _merge(call.platform, found.body, {"attributes": call.document()})
    stored = call.platform.documents.write(found)
    return _tagged(call, stored, rendered(call.platform, [stored])[0]["attributes"])


def _merge(platform: Platform, body: Body, changes: Body) -> None:
    for name, value in changes.items():
        if name in ("name", "description"):
            body[name] = [{"lang": "en_US", "text": _text(name, value)}] if value is not None else []
        elif name == "tags":
            shapes.check("", {"tags": value or []}, types=[])
            body["tags"] = list(dict.fromkeys(value or []))
        elif name == "attributes":
            _merge_attributes(platform, body, value)
        else:
            raise invalid(f"{name[:80]} cannot be written; legal: name, description, tags, attributes")


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise invalid(f"{name} must be a text")
    return value


def _merge_attributes(platform: Platform, body: Body, changes: Any) -> None:
    """Values by the name of their attribute type; null clears; a name that is no active type is refused."""
    if not isinstance(changes, dict):
        raise invalid("attributes must be an object")
    held = {
        one["attributeTypeId"]: one for part in ("standard", "extended") for one in body["attributes"].get(part, [])
    }
    types = _types_by_name(platform, list(changes))
    for name, value in changes.items():
        if name not in types:
            raise invalid(f"There is no active attribute type {name[:80]}")
        kind = types[name]
        stored = references.typed(value, kind.body.get("type", "string"), name=name)
        if kind.id in held:
            held[kind.id]["value"] = stored
        elif stored is not None:
            body["attributes"].setdefault("extended", []).append({"attributeTypeId": kind.id, "value": stored})


def _types_by_name(platform: Platform, names: list[str]) -> dict[str, Document]:
    marks = ", ".join("?" * len(names))
    where = f"json_extract(body, '$.isActive') = 1 AND json_extract(body, '$.name') IN ({marks})"
    found = platform.documents.select("attributeType", where=where, values=names)
    return {str(one.body["name"]): one for one in reversed(found)}


def needed_device(call: Call) -> Document:
    """The device in the path; 404 when it is gone."""
    found = call.platform.documents.find("device", call.given["id"])
    if found is None:
        raise missing(call.given["id"])
    return found
