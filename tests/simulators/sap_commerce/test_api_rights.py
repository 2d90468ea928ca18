"""Type access rights, virtual attributes, ready-made objects, and what exists only with the control API."""

from __future__ import annotations

import json

import pytest
import requests
from sap_api_client import Api


def right(side, principal, kind, **rights):
    side.put("AccessRight", [{"principal": principal, "type": kind, **rights}])


@pytest.fixture
def restricted(shop):
    shop.put("Employee", [{"uid": "viewer", "groups": ["integrationcreategroup", "integrationdeletegroup"]}])
    shop.options(access_rights=True)
    return Api(shop, client="viewer_client")


def lacks(answer):
    assert answer.status_code == 403
    return answer.json()["error"]["message"]["value"]


def test_reading_needs_the_right_for_every_type_that_is_shown(restricted, shop):
    assert "[read]" in lacks(restricted.call("GET", "OrderSync/Orders"))
    right(shop, "viewer", "Order", read=True)
    assert len(restricted.get("OrderSync/Orders")["results"]) == 5
    assert "[OrderEntry]" in lacks(restricted.call("GET", "OrderSync/Orders?$expand=entries"))
    assert "[Customer]" in lacks(restricted.call("GET", "OrderSync/Orders('o1')/user"))
    right(shop, "viewer", "AbstractOrderEntry", read=True)
    assert restricted.call("GET", "OrderSync/Orders?$expand=entries").status_code == 200


def test_creating_changing_and_removing_are_rights_of_their_own(restricted, shop):
    right(shop, "integrationviewgroup", "B2BUnit", read=True, create=True)
    assert restricted.call("POST", "UnitSync/B2BUnits", json={"uid": "N1"}).status_code == 201
    assert "[change]" in lacks(restricted.call("POST", "UnitSync/B2BUnits", json={"uid": "U1", "name": "x"}))
    assert "[remove]" in lacks(restricted.call("DELETE", "UnitSync/B2BUnits('N1')"))
    nested = {"uid": "N2", "addresses": [{"publicKey": "a1"}]}
    assert "[create] privileges for accessing the [Address]" in lacks(
        restricted.call("POST", "UnitSync/B2BUnits", json=nested)
    )
    assert shop.records("B2BUnit", uid="N2") == []


def test_metadata_needs_a_root_and_the_right_to_read_it(restricted, shop):
    assert restricted.call("GET", "OrderSync/$metadata").status_code == 403
    right(shop, "viewer", "Order", read=True)
    assert restricted.call("GET", "OrderSync/$metadata").status_code == 200


def test_administrators_and_switched_off_rights_let_everything_through(api, restricted, shop):
    assert api.call("GET", "OrderSync/Orders?$expand=entries").status_code == 200
    shop.options(access_rights=False)
    assert restricted.call("GET", "OrderSync/Orders").status_code == 200


def shout(store, pk):
    return f"{store.value(pk, 'name')}!"


@pytest.fixture
def virtual(platform, sap_commerce):
    def add(script, **descriptor):
        platform.post("ScriptService/Scripts", {"code": script, "content": "// registered"})
        platform.post(
            "IntegrationService/IntegrationObjectItemVirtualAttributes",
            {
                "integrationObjectItem": {"code": "B2BUnit", "integrationObject": {"code": "UnitSync"}},
                "attributeName": "loud",
                "retrievalDescriptor": {"code": f"{script}D", "logicLocation": f"model://{script}", **descriptor},
            },
        )

    return add


def test_a_virtual_attribute_is_computed_read_only_and_neither_filter_nor_order(api, virtual, sap_commerce):
    virtual("nameInCapitals")
    api.post("UnitSync/B2BUnits", {"uid": "U1", "name": "Acme", "loud": "ignored"})
    assert api.get("UnitSync/B2BUnits('U1')")["loud"] == "ACME"
    assert b'Name="loud" Nullable="true" Type="Edm.String"' in api.call("GET", "UnitSync/$metadata").content
    path = "UnitSync/B2BUnits?"
    assert api.refused("GET", f"{path}$filter=loud eq 'ACME'") == (400, "filter_by_virtual_attribute_not_supported")
    assert api.refused("GET", f"{path}$orderby=loud") == (400, "order_by_virtual_attribute_not_supported")


@pytest.mark.parametrize("script", ["failingValue", "neverRegistered"])
def test_a_failing_or_missing_script_is_a_runtime_error(api, virtual, sap_commerce, script):
    sap_commerce.put("B2BUnit", [{"uid": "U1"}])
    virtual(script)
    assert api.refused("GET", "UnitSync/B2BUnits") == (400, "runtime_error")


def test_a_callable_can_be_registered_from_outside(api, virtual, sap_commerce):
    body = {"kind": "virtual_attribute", "code": "mine", "callable": "json:dumps"}
    sap_commerce.control("POST", "scripts", body=body)
    answer = requests.post(f"{sap_commerce.url}/_sim/scripts", json=body | {"callable": "no.such:thing"}, timeout=30)
    assert answer.status_code == 400
    assert "no.such:thing" in answer.json()["error"]


ALIASES = {
    "InboundERPVariantProduct": ("ERPVariantProduct", "CatalogVersion_version|Catalog_id|ERPVariantProduct_code"),
    "InboundDiscountRow": ("DiscountRow", "CatalogVersion_version|Catalog_id|DiscountRow_sapConditionId"),
    "InboundOMSStockLevel": ("StockLevel", "StockLevel_productCode|Warehouse_code"),
    "InboundOMMOrder": ("Order", "Order_code|Order_versionID"),
    "InboundOMMOrderEntry": ("OrderEntry", "OrderEntry_entryNumber|Order_code|Order_versionID"),
    "InboundOMSOrder": ("SAPOrder", "SAPOrder_code"),
}


@pytest.mark.parametrize("service", ALIASES)
def test_the_ready_made_objects_have_the_documented_keys(api, service):
    entity, alias = ALIASES[service]
    text = api.call("GET", f"{service}/$metadata").text
    assert f'<EntityType Name="{entity}">' in text
    assert f's:Alias="{alias}"' in text


def test_every_service_reads_and_describes_itself(api, sap_commerce):
    for record in sap_commerce.records("IntegrationObject"):
        channel = sap_commerce.records("InboundChannelConfiguration", integrationObject=record["code"])
        if channel[0]["authenticationType"] != "OAUTH":
            continue
        sets = api.get(record["code"])["EntitySets"]
        assert api.call("GET", f"{record['code']}/$metadata").status_code == 200
        for name in sets:
            if not name.startswith("Localized___") and name not in ("Strings", "String2StringMapTypes"):
                assert api.call("GET", f"{record['code']}/{name}").status_code == 200, (record["code"], name)


def test_media_galleries_grow_by_post_and_are_replaced_by_patch(api, sap_commerce):
    version = {"version": "Staged", "catalog": {"id": "Default"}}
    for number in (1, 2):
        container = {"qualifier": f"iconik-{number}", "catalogVersion": version}
        body = {
            "code": f"m{number}",
            "catalogVersion": version,
            "mime": "image/png",
            "mediaFormat": {"qualifier": "desktop"},
            "mediaContainer": container,
        }
        api.post("AssetMediaSync/Medias", body)
    product = {"code": "p1", "catalogVersion": version}
    for number in (1, 2):
        gallery = [{"qualifier": f"iconik-{number}", "catalogVersion": version}]
        api.post("ProductSync/Products", product | {"galleryImages": gallery})
    assert len(sap_commerce.records("Product")[0]["galleryImages"]) == 2
    api.call("PATCH", "ProductSync/Products('Staged|Default|p1')", json={"galleryImages": []})
    assert sap_commerce.records("Product")[0]["galleryImages"] == []


def test_an_integration_object_has_one_root_and_no_reserved_names(platform):
    item = {"code": "Title", "type": {"code": "Title"}, "root": True, "attributes": [_attribute("code")]}
    second = {"code": "Other", "type": {"code": "Title"}, "root": True, "attributes": [_attribute("code")]}
    path = "IntegrationService/IntegrationObjects"
    assert platform.refused("POST", path, json={"code": "X", "items": [item, second]}) == (
        400,
        "invalid_attribute_value",
    )
    item["attributes"] = [_attribute("code"), _attribute("name", alias="localizedAttributes")]
    assert platform.refused("POST", path, json={"code": "X", "items": [item]}) == (400, "invalid_attribute_name")


def _attribute(name, *, alias=None):
    descriptor = {"qualifier": name, "enclosingType": {"code": "Title"}}
    return {"attributeName": alias or name, "attributeDescriptor": descriptor, "unique": name == "code"}


def test_without_control_there_is_nothing_under_sim():
    import os
    import subprocess
    import sys
    from pathlib import Path

    root = Path(__file__).parents[3]
    command = [sys.executable, "-m", "simulators", "--port-base", "0", "--only", "sap_commerce", "--seed", "empty"]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    with subprocess.Popen(command, cwd=root, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            url = json.loads(process.stdout.readline())["sap_commerce"]["url"]
            for method, path in (
                ("POST", "mutate"),
                ("GET", "dump/orders"),
                ("POST", "send"),
                ("POST", "scripts"),
                ("POST", "outbound/run"),
            ):
                assert requests.request(method, f"{url}/_sim/{path}", json={}, timeout=30).status_code == 404
        finally:
            process.terminate()
            process.wait(timeout=20)
