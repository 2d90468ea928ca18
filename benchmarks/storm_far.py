"""The far sides of the storm: what stands in the simulators before it, and what they hold after it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any
from uuid import uuid5

import requests

from benchmarks.storm_oracle import Expected, ordered_at
from benchmarks.storm_world import ABSOLUTE, DELTA, SPACE, Device, World, customer_id, uid

ROWS_PER_CALL = 1000
ATTRIBUTES = ("productCode", "customerRef", "firmware", "b2bUnit", "warehouseCode")
Row = dict[str, Any]


class FarSide:
    """One simulator past its API, by its line of credentials."""

    def __init__(self, line: Row) -> None:
        self.line, self.url = line, line["url"]
        self._session = requests.Session()
        self._session.trust_env = False

    def put(self, kind: str, rows: Sequence[Row]) -> None:
        for start in range(0, len(rows), ROWS_PER_CALL):
            self._call("POST", f"records/{kind}", list(rows[start : start + ROWS_PER_CALL]))

    def records(self, kind: str) -> list[Row]:
        return list(self._call("GET", f"records/{kind}?limit=1000000")["records"])

    def calls(self) -> dict[str, int]:
        """Calls since the last reset by ``METHOD /route``."""
        return dict(self._call("GET", "calls")["by_route"])

    def reset_calls(self) -> None:
        self._call("DELETE", "calls")

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        answer = self._session.request(method, f"{self.url}/_sim/{path}", json=body, timeout=600)
        answer.raise_for_status()
        return answer.json()


def connect(ready: Row, *, profile: str = "covisint_classic") -> None:
    """The Airflow connections to both simulators, in this process's environment. ready: their ready line."""
    shop, tenant = ready["sap_commerce"], ready["opentext_iot"]
    kind = "commerce_sync_sap_commerce"
    own = {"auth": "oauth", "client_id": shop["client_id"], "client_secret": shop["client_secret"]}
    occ = {"auth": "oauth", "client_id": shop["occ_client_id"], "client_secret": shop["occ_client_secret"]}
    iot = {"profile": profile, "realm": tenant["realm"], "tenant": tenant["tenant"], "max_per_second": 2000}
    lines = {
        "SAP_COMMERCE_DEFAULT": {"conn_type": kind, "host": shop["url"], "extra": own},
        "SAP_COMMERCE_OCC": {"conn_type": kind, "host": shop["url"], "extra": occ},
        "OPENTEXT_IOT_DEFAULT": {"conn_type": "commerce_sync_opentext_iot", "host": tenant["url"], "extra": iot,
                                 "login": tenant["client_id"], "password": tenant["client_secret"]},
    }  # fmt: skip
    os.environ |= {f"AIRFLOW_CONN_{name}": json.dumps(line) for name, line in lines.items()}


def fill(world: World, shop: FarSide, tenant: FarSide) -> None:
    """All that stands still: products, stock, people, their consents and orders; devices."""
    stamp = (world.now - timedelta(hours=2)).isoformat()
    codes = [*world.parts, *world.shelves]
    approval = {code: status for code, (status, _) in world.parts.items()}
    shop.put("Warehouse", [{"code": code} for code in ("main", ABSOLUTE, DELTA)])
    shop.put("Product", [{"code": code, "approvalStatus": approval.get(code, "approved"), "unit": "pieces",
                          "modifiedtime": stamp} for code in dict.fromkeys(codes)])  # fmt: skip
    shop.put("StockLevel", [{"productCode": code, "warehouse": "main", "available": stock, "modifiedtime": stamp}
                            for code, (_, stock) in world.parts.items()])  # fmt: skip
    shop.put("ProductReference", [{"source": one, "target": part, "referenceType": kind, "modifiedtime": stamp}
                                  | ({"quantity": pieces} if pieces else {})
                                  for one, part, kind, pieces in world.references])  # fmt: skip
    shop.put("Customer", [{"uid": uid(n), "customerID": customer_id(n), "name": f"Ada {n}", "loginDisabled": False,
                           "modifiedtime": stamp} for n in range(world.customers)])  # fmt: skip
    template = {"id": "MARKETING_NEWSLETTER", "version": 1, "baseSite": "shop"}
    shop.put("ConsentTemplate", [template])
    shop.put("Consent", [{"code": f"c{n}", "consentTemplate": template, "customer": uid(n), "modifiedtime": stamp,
                          "consentGivenDate": "2026-01-01T00:00:00+00:00"}
                         for n in range(world.customers) if n not in world.unwilling])  # fmt: skip
    shop.put("Order", [{"code": code, "user": uid(n), "date": ordered_at(world, days).isoformat(), "currency": "USD",
                        "status": "COMPLETED", "modifiedtime": stamp,
                        "entries": [{"entryNumber": 0, "product": {"code": part}, "quantity": 1, "totalPrice": 5}]}
                       for code, n, part, days in world.orders])  # fmt: skip
    _fill_fleet(world, tenant)


def _fill_fleet(world: World, tenant: FarSide) -> None:
    tenant.put(
        "attributeType", [{"id": _key(name), "name": name, "type": "string", "isActive": True} for name in ATTRIBUTES]
    )
    tenant.put("deviceTemplate", [{"id": _key("template"), "name": _text("C-200"), "isActive": True,
                                   "attributeTypes": [_key(name) for name in ATTRIBUTES], "eventTemplates": [],
                                   "commandTemplates": []}])  # fmt: skip
    tenant.put("device", [_device(item) for item in world.devices])


def _device(device: Device) -> Row:
    values = {"customerRef": device.customer, "firmware": device.firmware, "warehouseCode": device.warehouse}
    return {
        "id": device.id, "name": _text("one of many"), "parentDeviceTemplateId": _key("template"), "isActive": True,
        "state": {"lifecycleState": "ACTIVE", "operationalState": "ONLINE"},
        "observableEvents": [], "supportedCommands": [],
        "attributes": {
            "standard": [{"attributeTypeId": _key("productCode"), "value": device.product}],
            "extended": [{"attributeTypeId": _key(name), "value": value} for name, value in values.items() if value],
        },
        "tags": [f"serial:{device.id[:8]}"],
    }  # fmt: skip


def _key(name: str) -> str:
    return str(uuid5(SPACE, name))


def _text(text: str) -> list[Row]:
    return [{"lang": "en_US", "text": text}]


def held(shop: FarSide) -> Expected:
    """What the shop holds by now of offers, carts and stock."""
    offers = {(row["uid"], member) for row in shop.records("UserGroup") if row["uid"].startswith("iot-")
              for member in row["members"]}  # fmt: skip
    stock = {(_code(row["warehouse"]), row["productCode"]): int(row["available"]) for row in shop.records("StockLevel")
             if _code(row["warehouse"]) != "main"}  # fmt: skip
    return Expected(offers, dict(_carts(shop)), stock)


def _carts(shop: FarSide) -> Iterator[tuple[tuple[str, str], tuple[str, int]]]:
    entries: dict[str, list[tuple[str, int]]] = {}
    for row in shop.records("CartEntry"):
        entries.setdefault(str(row["order"]), []).append((_code(row["product"]), int(row["quantity"])))
    seen: set[tuple[str, str]] = set()
    for row in shop.records("Cart"):
        key, lines = (_code(row["user"]), str(row["name"])), entries.get(str(row["code"]), [])
        if key in seen or len(lines) != 1:
            raise ValueError(f"cart {key} is there twice, or does not have one line: {lines}")
        seen.add(key)
        yield key, lines[0]


def _code(reference: Any) -> str:
    """The code in what the simulator shows of a reference: ``code|Online|Default``."""
    return str(reference).partition("|")[0]
