"""A small tenant, loaded past the API: types, templates, a stream, devices, events; and what it holds afterwards."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from commerce_sync.mapping import Field, Target

SPACE = uuid.UUID("11111111-2222-4333-8444-555555555555")
TEXTS = ("productCode", "productName", "customerRef", "purchaseOrderCode", "categoryCodes", "productFamily")
EVENT_TYPES = ("device.fault", "consumable.level", "inventory.count")
Row = dict[str, Any]


def key(name: str) -> str:
    return str(uuid.uuid5(SPACE, name))


def localized(text: str) -> list[Row]:
    return [{"lang": "en_US", "text": text}]


class Tenant:
    """The simulated platform in a few words."""

    def __init__(self, far: Any) -> None:
        self.far = far
        self.now = datetime.now(UTC).replace(microsecond=0)
        self.sent = 0
        types = [("runtimeHours", "decimal"), ("isLeased", "bool"), *((name, "string") for name in TEXTS)]
        far.put(
            "attributeType", [{"id": key(name), "name": name, "type": kind, "isActive": True} for name, kind in types]
        )
        far.put("attributeType", [{"id": key("asleep"), "name": "asleep", "type": "string", "isActive": False}])
        far.put(
            "eventTemplate",
            [{"id": key(name), "name": name, "isActive": True, "eventFields": []} for name in EVENT_TYPES],
        )
        far.put(
            "commandTemplate", [{"id": key("showPartOrdered"), "name": "showPartOrdered", "isActive": True, "args": []}]
        )
        far.put("deviceTemplate", [{
            "id": key("template"), "name": localized("Compressor C-200"), "isActive": True,
            "attributeTypes": [key("productCode"), key("runtimeHours")], "eventTemplates": [key(name) for name in EVENT_TYPES],
            "commandTemplates": [key("showPartOrdered")],
        }])  # fmt: skip
        far.put("stream", [{"id": key("stream"), "name": localized("commerce-events"), "isActive": True,
                            "consumerTopic": "t", "password": "secret"}])  # fmt: skip

    def device(self, number: int, *, tags: tuple[str, ...] = (), **values: Any) -> str:
        """An active device with serial number ``SN-<number>``; gives its id."""
        own = {"id": key(f"device {number}"), "name": localized(f"C-200 #{number}"), "parentDeviceTemplateId": key("template"),
               "state": {"lifecycleState": "ACTIVE", "operationalState": "ONLINE"}, "isActive": True,
               "observableEvents": [key(name) for name in EVENT_TYPES], "supportedCommands": [key("showPartOrdered")],
               "attributes": {"standard": [{"attributeTypeId": key("productCode"), "value": values.get("productCode")},
                                           {"attributeTypeId": key("runtimeHours"), "value": values.get("runtimeHours", 1.5)}],
                              "extended": [{"attributeTypeId": key(name), "value": value} for name, value in values.items()
                                           if name not in ("productCode", "runtimeHours")]},
               "tags": [f"serial:SN-{number}", *tags]}  # fmt: skip
        self.far.put("device", [own])
        return own["id"]

    def fault(self, device: str, *, minutes_ago: float = 10, shown: float | None = None, **values: Any) -> Row:
        """An event received some minutes ago, searchable since ``shown`` minutes ago."""
        self.sent += 1
        return self.event(device, "device.fault", minutes_ago=minutes_ago, shown=shown,
                          payload={"faultCode": "E17", "faultInstanceId": f"f-{self.sent}"} | values)  # fmt: skip

    def event(self, device: str, kind: str, *, minutes_ago: float, payload: Row, shown: float | None = None) -> Row:
        self.sent += 1
        moment = self.now - timedelta(minutes=minutes_ago)
        row = {"messageId": f"m-{self.sent}", "deviceId": device, "eventTemplateId": key(kind), "streamId": key("stream"),
               "creation": _ms(moment), "visibleMs": _ms(self.now - timedelta(minutes=minutes_ago if shown is None else shown)),
               "payload": {"occurredAt": moment.isoformat().replace("+00:00", "Z")} | payload}  # fmt: skip
        self.far.put("event", [row])
        return row

    # What it holds

    def stored(self, device: str) -> Row:
        return self.far.records("device", id=device)[0]

    def attributes(self, device: str) -> Row:
        """Values that are set, by name."""
        names = {one["id"]: one["name"] for one in self.far.records("attributeType")}
        lists = self.stored(device)["attributes"]
        return {names[one["attributeTypeId"]]: one["value"] for part in ("standard", "extended") for one in lists.get(part, ())
                if one["value"] is not None}  # fmt: skip

    def tags(self, device: str) -> set[str]:
        return set(self.stored(device)["tags"])

    def writes(self) -> int:
        """Calls since the last ``reset_calls`` that could change something."""
        routes = self.far.calls()["by_route"]
        return sum(count for route, count in routes.items() if not route.startswith("GET") and "token" not in route)


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def rows(batch: Any) -> list[Row]:
    return [row for path in batch.paths() for row in pq.read_table(path).to_pylist()]


def table(changes: list[Row], types: Row) -> pa.Table:
    """Change rows as a batch has them."""
    whole = [{"_kind": "NEW", "_target_id": None, "_fingerprint": 1} | row for row in changes]
    names = {name: None for row in whole for name in row}
    kinds = {"_target_id": pa.string(), "_leave": pa.list_(pa.string())} | types
    return pa.table({name: pa.array([row.get(name) for row in whole], kinds.get(name)) for name in names})


def target(kind: str, external_id: str = "id", **values: Any) -> Target:
    return Target(system="opentext_iot", conn_id="", object=kind, external_id=external_id, **values)


def fields(*names: str, **on_null: str) -> list[Field]:
    return [Field(name=name, value=name, on_null=on_null.get(name, "clear")) for name in names]
