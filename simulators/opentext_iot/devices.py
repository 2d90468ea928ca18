"""Tasks of devices: creation from a template, migration, register, reset, suspension, deletion.

Source: fact sheet 3, 4. Deletion is a task; there is no HTTP DELETE and no direct POST of a device.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from simulators.opentext_iot import shapes
from simulators.opentext_iot.call import Answer, Call, Handler, Route
from simulators.opentext_iot.documents import Body, Document
from simulators.opentext_iot.errors import invalid, missing
from simulators.opentext_iot.expansion import expanded
from simulators.opentext_iot.platform import Platform
from simulators.opentext_iot.profile import media
from simulators.opentext_iot.resources import device_state

TASKS = "/device/v3/tasks"
ONE = "/device/v3/devices/{id}/tasks"


def routes() -> list[Route]:
    own = (media("device.v2"),)
    anything = ("application/json", *own)
    table: list[tuple[str, Handler, tuple[str, ...]]] = [
        (f"{TASKS}/createDeviceFromTemplate", create_from_template, own),
        (f"{TASKS}/migrateDeviceToNewTemplate", migrate, own),
        (f"{ONE}/register", register, anything),
        (f"{ONE}/reset", reset, own),
        (f"{ONE}/delete", delete, own),
        (f"{ONE}/suspend", _moved({"lifecycleState": "SUSPENDED", "operationalState": "OFFLINE"}), own),
        (f"{ONE}/unsuspend", _moved(device_state(is_active=True)), own),
        (f"{ONE}/unlock", _moved(device_state(is_active=True)), own),
    ]
    return [Route("POST", path, handler, accepts=accepts, sends=own) for path, handler, accepts in table]


def create_from_template(call: Call) -> Answer:
    """A new, inactive device with the template's attributes at their defaults."""
    assert call.grant is not None
    template = usable_template(call.platform, call.needed("deviceTemplateId"))
    body = call.document() if call.raw.strip() else {}
    shapes.localized(body, "name", required=False)
    shapes.localized(body, "description", required=False)
    made = new_device(call.platform, template)
    made |= {name: body[name] for name in ("name", "description") if name in body}
    stored = call.platform.documents.create("device", shapes.signed(made, call.grant))
    return Answer(int(call.platform.settings["create_status"]), expanded(call, [stored])[0])


def usable_template(platform: Platform, key: str) -> Document:
    """An indexed, active device template; ApiError 404 or 400 otherwise."""
    template = platform.documents.indexed("deviceTemplate", key)
    if template is None:
        raise missing(key)
    if not template.body.get("isActive"):
        raise invalid(f"The deviceTemplate {key} is not active")
    return template


def new_device(platform: Platform, template: Document) -> Body:
    """The body of a device as its template wants it."""
    types = platform.documents.by_ids("attributeType", template.body.get("attributeTypes", []))
    standard = [
        {"attributeTypeId": key, "value": types[key].body.get("defaultValue") if key in types else None}
        for key in template.body.get("attributeTypes", [])
    ]
    return {
        "name": template.body.get("name", []),
        "description": template.body.get("description", []),
        "parentDeviceTemplateId": template.id,
        "state": device_state(is_active=False),
        "attributes": {"standard": standard, "extended": []},
        "observableEvents": list(template.body.get("eventTemplates", [])),
        "supportedCommands": list(template.body.get("commandTemplates", [])),
        "isActive": False,
        "tags": [],
    }


def migrate(call: Call) -> Answer:
    """The device under another template; values of attributes both templates have are kept."""
    device = call.platform.documents.get("device", call.needed("deviceId"))
    template = usable_template(call.platform, call.needed("deviceTemplateId"))
    fresh = new_device(call.platform, template)
    before: dict[str, Any] = {
        one["attributeTypeId"]: one.get("value") for one in device.body.get("attributes", {}).get("standard", [])
    }
    for one in fresh["attributes"]["standard"]:
        one["value"] = before.get(one["attributeTypeId"], one["value"])
    fresh["attributes"]["extended"] = device.body.get("attributes", {}).get("extended", [])
    moved = ("parentDeviceTemplateId", "attributes", "observableEvents", "supportedCommands")
    device.body |= {name: fresh[name] for name in moved}
    return Answer(body=expanded(call, [call.platform.documents.write(device)])[0])


def register(call: Call) -> Answer:
    """What a device gets back is not public; this says that it is known."""
    device = call.platform.documents.get("device", call.given["id"])
    return Answer(body={"deviceId": device.id, "registered": True})


def reset(call: Call) -> Answer:
    """Standard attributes return to the template's defaults."""
    device = call.platform.documents.get("device", call.given["id"])
    values = device.body.get("attributes", {}).get("standard", [])
    types = call.platform.documents.by_ids("attributeType", [one["attributeTypeId"] for one in values])
    for one in values:
        one["value"] = (
            types[one["attributeTypeId"]].body.get("defaultValue") if one["attributeTypeId"] in types else None
        )
    return Answer(body=expanded(call, [call.platform.documents.write(device)])[0])


def delete(call: Call) -> Answer:
    forget_device(call.platform, call.given["id"])
    return Answer(204)


def forget_device(platform: Platform, key: str) -> None:
    """Remove a device and its place on streams; its events stay."""
    platform.documents.delete("device", key)
    platform.database.db.execute("DELETE FROM attached WHERE device = ?", (key,))


def _moved(state: Body) -> Callable[[Call], Answer]:
    def task(call: Call) -> Answer:
        device = call.platform.documents.get("device", call.given["id"])
        call.needed("reason")
        device.body["state"] = dict(state)
        device.body["isActive"] = state["lifecycleState"] == "ACTIVE"
        return Answer(body=expanded(call, [call.platform.documents.write(device)])[0])

    return task
