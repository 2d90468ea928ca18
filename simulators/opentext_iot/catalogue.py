"""Types, templates and the stream a fleet needs, with ids that never change. Names: fact sheet 9, 10."""

from __future__ import annotations

import uuid
from typing import Any

from simulators.opentext_iot.documents import Body, Document
from simulators.opentext_iot.fleet import FAMILIES, Device
from simulators.opentext_iot.fleet.draws import day
from simulators.opentext_iot.fleet.telemetry import runtime_hours
from simulators.opentext_iot.resources import device_state

_NAMESPACE = uuid.UUID("2f7f9a52-6a1f-4c3e-8f0c-4b1d2a3c5e77")
TEXTS = (
    "productCode", "catalogId", "variantCode", "serialNumber", "customerRef", "b2bUnit", "purchaseOrderCode",
    "purchaseDate", "warrantyEnd", "contractId", "contractEnd", "contractLevel", "productName",
    "categoryCodes", "productFamily", "activationDate", "lastSeenAt", "firmware", "warehouseCode",
    "locationCode", "commerceSyncHash", "commerceSyncedAt", "reorderPoint", "lastReorderAt",
)  # fmt: skip
NUMBERS = ["runtimeHours", "cycleCount", "consumableLevelPct", "healthScore", "onHandQty", "expectedQty"]
_N, _T = "decimal", "string"
# event type -> its fields; occurredAt and schemaVersion are part of each
FIELDS: dict[str, dict[str, str]] = {
    "device.fault": {"faultCode": _T, "severity": _T, "component": _T, "runtimeHours": _N,
                     "faultState": _T, "faultInstanceId": _T},
    "device.health": {"healthScore": _N, "status": _T, "windowStart": _T, "windowEnd": _T},
    "usage.summary": {
        "windowStart": _T, "windowEnd": _T, "runtimeHoursTotal": _N, "cyclesTotal": _N,
        "runtimeHoursDelta": _N, "loadPctAvg": _N,
    },
    "consumable.level": {"consumableType": _T, "levelPct": _N, "remainingUnits": _N, "unit": _T, "estDaysLeft": _N},
    "inventory.count": {
        "warehouseCode": _T, "productCode": _T, "onHandQty": _N, "unit": _T, "countMethod": _T,
        "confidence": _N, "sequence": _N,
    },
    "inventory.movement": {"warehouseCode": _T, "productCode": _T, "deltaQty": _N, "movementId": _T, "reason": _T},
    "logistics.status": {"orderCode": _T, "consignmentCode": _T, "status": _T, "locationCode": _T, "eta": _T},
    "environment.excursion": {
        "metric": _T, "value": _N, "limit": _N, "unit": _T, "durationSec": _N, "excursionId": _T,
        "state": _T, "affectedBatch": _T,
    },
    "device.downtime": {"downtimeId": _T, "state": _T, "startAt": _T, "endAt": _T, "cause": _T},
    "usage.anomaly": {"metric": _T, "value": _N, "baseline": _N, "score": _N, "anomalyId": _T},
    "device.activated": {"serialNumber": _T, "productCode": _T, "activationDate": _T, "firmware": _T},
}  # fmt: skip
BOUND = {
    "runtimeHours": "runtimeHours",
    "healthScore": "healthScore",
    "levelPct": "consumableLevelPct",
    "onHandQty": "onHandQty",
}
COMMANDS = {"setCommerceContext": ("productCode", "contextJson"), "showPartOrdered": ("productCode", "orderCode")}
UNTAGGED = 10  # every tenth device still waits for its commerce tags
_OWNER = {"creator": "svc-airflow", "creatorAppId": "app-1", "realm": "ACME"}


def key(kind: str, name: str) -> str:
    """The id of a document of the catalogue."""
    return str(uuid.uuid5(_NAMESPACE, f"{kind}/{name}"))


STREAM_ID = key("stream", "commerce-events")


def _localized(text: str) -> list[Body]:
    return [{"lang": "en_US", "text": text}]


def parts(made_ms: int) -> list[Document]:
    """Attribute types, event, command and device templates, the stream; all active."""
    bodies = [*_attribute_types(), *_event_templates(), *_command_templates(), *_device_templates(), _stream()]
    found = []
    for kind, name, body in bodies:
        body = _OWNER | body | {"isActive": True, "tags": ["domain:commerce"]}
        found.append(Document(kind, key(kind, name), 1, made_ms, made_ms, made_ms, body))
    return found


def _attribute_types() -> list[tuple[str, str, Body]]:
    typed: list[tuple[str, str, Any]] = [(name, _T, None) for name in TEXTS] + [(name, _N, 0.0) for name in NUMBERS]
    return [
        (
            "attributeType",
            name,
            {"name": name, "description": _localized(name), "type": kind, "defaultValue": default, "isFrozen": False},
        )
        for name, kind, default in typed
    ]


def _event_templates() -> list[tuple[str, str, Body]]:
    found = []
    for name, fields in FIELDS.items():
        entries: list[Body] = [{"name": "occurredAt", "type": _T}, {"name": "schemaVersion", "type": _N}]
        for field, kind in fields.items():
            entry: Body = {"name": field, "type": kind}
            if field in BOUND:
                entry["boundAttributeTypeId"] = key("attributeType", BOUND[field])
            entries.append(entry)
        found.append(("eventTemplate", name, {"name": name, "description": _localized(name), "eventFields": entries}))
    return found


def _command_templates() -> list[tuple[str, str, Body]]:
    return [
        ("commandTemplate", name, {
            "name": name,
            "description": _localized(name),
            "args": [{"name": one, "type": _T, "index": place} for place, one in enumerate(arguments)],
        })
        for name, arguments in COMMANDS.items()
    ]  # fmt: skip


def _device_templates() -> list[tuple[str, str, Body]]:
    attributes = [key("attributeType", name) for name in (*TEXTS, *NUMBERS)]
    commands = [key("commandTemplate", name) for name in COMMANDS]
    return [
        ("deviceTemplate", family.name, {
            "name": _localized(family.title),
            "description": _localized(family.name.replace("_", " ")),
            "attributeTypes": attributes,
            "eventTemplates": [key("eventTemplate", name) for name in family.event_types],
            "commandTemplates": commands,
        })
        for family in FAMILIES.values()
    ]  # fmt: skip


def _stream() -> tuple[str, str, Body]:
    topics = {name: key("topic", name) for name in ("producerTopic", "consumerTopic", "alertConsumerTopic")}
    body = {
        "ownerId": "app-1",
        "name": _localized("commerce-events"),
        "streamType": "DEVICE",
        "protocolType": "MQTT",
        "deviceSecurityType": "BASIC",
        "ownerSecurityType": "NONE",
        "payloadSecurityType": "NONE",
        "clientId": "cl-fleet",
        "username": "u-fleet",
        "password": "fleet-demo-password",
        "_states": {"activityState": "online", "lockState": "unlock", "controlState": {}},
    }
    return "stream", "commerce-events", body | topics


def device_document(device: Device, *, indexed_ms: int) -> Document:
    """A device of the fleet as it stands in the registry; every tenth has no commerce tags yet."""
    linked = device.number % UNTAGGED != UNTAGGED - 1
    values: Body = {"serialNumber": device.serial, "firmware": device.firmware}
    values["runtimeHours"] = (
        runtime_hours(device, indexed_ms) if "usage.summary" in FAMILIES[device.family].event_types else 0.0
    )
    if device.activated_ms <= indexed_ms:
        values["activationDate"] = day(device.activated_ms)
    tags = [f"serial:{device.serial}", f"site:{device.site}"]
    if device.warehouse:
        values |= {"warehouseCode": device.warehouse}
        tags.append(f"warehouse:{device.warehouse}")
    if linked:
        values |= {"productCode": device.product, "customerRef": device.customer, "b2bUnit": device.unit}
        values |= {"purchaseOrderCode": device.purchase_order}
        known = (("sku", device.product), ("customer", device.customer), ("b2bunit", device.unit))
        tags += [f"{prefix}:{code}" for prefix, code in known if code] + ["managed:sapcc"]
    standard = [{"attributeTypeId": key("attributeType", name), "value": values.get(name) or None} for name in TEXTS]
    standard += [{"attributeTypeId": key("attributeType", name), "value": values.get(name, 0.0)} for name in NUMBERS]
    family = FAMILIES[device.family]
    body = _OWNER | {
        "name": _localized(f"{family.title} #{device.serial}"),
        "description": _localized(device.site),
        "parentDeviceTemplateId": key("deviceTemplate", family.name),
        "state": device_state(is_active=True),
        "attributes": {"standard": standard, "extended": []},
        "observableEvents": [key("eventTemplate", name) for name in family.event_types],
        "supportedCommands": [key("commandTemplate", name) for name in COMMANDS],
        "isActive": True,
        "tags": tags,
    }
    created = min(device.activated_ms, indexed_ms)
    return Document("device", device.id, 1, created, created, indexed_ms, body)
