"""Product and purchase context of the shop on the devices, walked as legs: both profiles end in the same state."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from commerce_sync import flow, mapping_file, walk
from commerce_sync.batches import Batches
from commerce_sync.ledger import Ledger
from commerce_sync.leg import Site
from commerce_sync.window import Request
from systems.opentext_iot.iot_tenant import Tenant

SOURCES = """
from:
  devices:
    system: opentext_iot
    entity_set: devices
    key: id
    owner: {owner}
    columns:
      id: VARCHAR
      attributes: STRUCT(productCode VARCHAR, purchaseOrderCode VARCHAR)
  {shop}
aggregate: {leg}.sql
key: device_id
guards: {{max_deletes: 100%}}
"""
PRODUCTS = """products:
    system: sap_commerce
    service: ProductSync
    entity_set: Products
    key: code
    owner: code
    columns: {code: VARCHAR, name: VARCHAR, "supercategories": "STRUCT(code VARCHAR)[]"}"""
ORDERS = """orders:
    system: sap_commerce
    service: OrderSync
    entity_set: Orders
    key: code
    modified: modifiedtime
    owner: code
    columns: {code: VARCHAR, modifiedtime: TIMESTAMP, user: STRUCT(customerID VARCHAR)}"""
LEGS = {
    "products_to_devices": (
        SOURCES.format(owner="attributes.productCode", shop=PRODUCTS, leg="products_to_devices")
        + "to: {system: opentext_iot, object: device_attributes, external_id: id, on_delete: delete}\n"
        "fields: {id: device_id, productName: product_name, categoryCodes: {value: category_codes, on_null: leave}}\n",
        """SELECT d._owner AS owner, d.id AS device_id, p.name AS product_name,
               array_to_string(list_sort([c.code for c in p.supercategories]), ',') AS category_codes
           FROM devices AS d JOIN products AS p ON p._owner = d._owner""",
    ),
    "orders_to_device_tags": (
        SOURCES.format(owner="attributes.purchaseOrderCode", shop=ORDERS, leg="orders_to_device_tags")
        + "to: {system: opentext_iot, object: device_tags, external_id: id, on_delete: delete,\n"
        "     options: {prefixes: ['customer:', 'managed:']}}\n"
        "fields: {id: device_id, tags: tags}\n",
        """SELECT d._owner AS owner, d.id AS device_id, ['customer:' || o."user".customerID, 'managed:sapcc'] AS tags
           FROM devices AS d JOIN orders AS o ON o._owner = d._owner WHERE o."user".customerID IS NOT NULL""",
    ),
}


class Context:
    """A shop, a fleet, and the two legs between them."""

    def __init__(self, folder: Path, shop: Any) -> None:
        self.shop = shop
        ledger = Ledger.open(f"sqlite:///{folder}/ledger.db", files=f"{folder}/markers")
        self.site = Site(ledger, Batches(f"{folder}/runs"), Batches(f"{folder}/stores"), folder / "pages")
        self.mappings = [self._mapping(folder, leg, *text) for leg, text in LEGS.items()]
        self.runs = 0

    @staticmethod
    def _mapping(folder: Path, leg: str, text: str, sql: str) -> Any:
        (folder / f"{leg}.sql").write_text(sql)
        file = folder / f"{leg}.yaml"
        file.write_text(f"leg: {leg}\n{text}")
        return mapping_file.load(file)

    def walk(self) -> list[Any]:
        self.runs += 1
        return [
            walk.leg(self.site, mapping, f"run-{self.runs}", request=Request(mode="complete"),
                     sources=flow.source_system, targets=flow.target_system)
            for mapping in self.mappings
        ]  # fmt: skip


@pytest.fixture(params=["covisint_classic", "generic_rest"])
def context(request: Any, tmp_path: Path, sap_commerce: Any, opentext_iot: Any, monkeypatch: Any) -> Context:
    iot = {"profile": request.param, "realm": opentext_iot.realm, "tenant": opentext_iot.tenant, "max_per_second": 2000}
    oauth = {"auth": "oauth", "client_id": sap_commerce.client_id, "client_secret": sap_commerce.client_secret}
    for name, far, kind, extra in (("OPENTEXT_IOT", opentext_iot, "opentext_iot", iot),
                                   ("SAP_COMMERCE", sap_commerce, "sap_commerce", oauth)):  # fmt: skip
        login = far.client_id if kind == "opentext_iot" else far.username
        password = far.client_secret if kind == "opentext_iot" else far.password
        connection = {"conn_type": f"commerce_sync_{kind}", "host": far.url, "login": login, "password": password}
        monkeypatch.setenv(f"AIRFLOW_CONN_{name}_DEFAULT", json.dumps(connection | {"extra": extra}))
    return Context(tmp_path, sap_commerce)


def a_shop(far: Any) -> None:
    moment = "2026-11-01T12:00:00+00:00"
    far.put("Category", [{"code": "pumps", "name": "Pumps"}, {"code": "air", "name": "Air"}])
    far.put("Product", [{"code": "300938", "name": "Compressor C-200", "supercategories": ["pumps", "air"], "modifiedtime": moment},
                        {"code": "300939", "name": "Chest X", "supercategories": ["air"], "modifiedtime": moment}])  # fmt: skip
    far.put("Customer", [{"uid": f"c{n}@people.example", "customerID": f"C000{n}", "name": "A"} for n in (1, 2)])
    far.put("Order", [{"code": f"0000{n}", "date": moment, "currency": "USD", "status": "COMPLETED", "modifiedtime": moment,
                       "user": f"c{n}@people.example", "entries": []} for n in (1, 2)])  # fmt: skip


def test_context_comes_to_the_devices_and_the_second_walk_writes_nothing(context: Context, tenant: Tenant) -> None:
    a_shop(context.shop)
    first = tenant.device(1, tags=("customer:old",), productCode="300938", purchaseOrderCode="00001")
    second = tenant.device(2, productCode="300939", purchaseOrderCode="00002")
    third = tenant.device(3, tags=("customer:other",))
    runs = context.walk()
    assert [(run.status, run.delivered, run.rejected) for run in runs] == [("green", 2, 0)] * 2
    assert tenant.attributes(first)["productName"] == "Compressor C-200"
    assert tenant.attributes(first)["categoryCodes"] == "air,pumps"
    assert tenant.attributes(second)["productName"] == "Chest X"
    assert tenant.tags(first) == {"serial:SN-1", "customer:C0001", "managed:sapcc"}
    assert tenant.tags(second) == {"serial:SN-2", "customer:C0002", "managed:sapcc"}
    assert tenant.tags(third) == {"serial:SN-3", "customer:other"}

    versions = {device: tenant.stored(device)["version"] for device in (first, second, third)}
    tenant.far.reset_calls()
    assert [(run.status, run.sent) for run in context.walk()] == [("green", 0)] * 2
    assert tenant.writes() == 0
    assert {device: tenant.stored(device)["version"] for device in versions} == versions

    context.shop.patch("Product", "300938", name="Compressor C-210", modifiedtime="2026-11-02T12:00:00+00:00")
    tenant.far.patch("device", second, attributes=tenant.stored(second)["attributes"] | {"extended": []})  # sold on
    assert [(run.modified, run.deleted) for run in context.walk()] == [(1, 0), (0, 1)]
    assert tenant.attributes(first)["productName"] == "Compressor C-210"
    assert tenant.tags(second) == {"serial:SN-2"}
