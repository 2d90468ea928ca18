"""Upsert, merge, replace, delete, rollback: what the store holds after a write."""

from __future__ import annotations

import json

import pytest

ORDERS, UNITS = "OrderSync/Orders", "UnitSync/B2BUnits"
ORDER = {
    "code": "n1",
    "date": "/Date(1704067200000)/",
    "user": {"uid": "ann@example.com"},
    "currency": {"isocode": "USD"},
    "totalPrice": "9.99",
}


def test_a_post_creates_and_a_second_post_updates_both_answered_201(api, sap_commerce):
    assert api.post(UNITS, {"uid": "U1", "name": "Acme"})["integrationKey"] == "U1"
    api.post(UNITS, {"uid": "U1", "name": "Acme Inc", "integrationKey": "TEST_KEY"})
    (unit,) = sap_commerce.records("B2BUnit")
    assert unit["name"] == "Acme Inc"


def test_omitted_values_stay_and_null_clears(api, sap_commerce):
    api.post(UNITS, {"uid": "U1", "name": "Acme", "active": False})
    api.post(UNITS, {"uid": "U1", "name": None})
    (unit,) = sap_commerce.records("B2BUnit")
    assert (unit["name"], unit["active"]) == (None, False)


def test_entries_are_created_with_their_order_and_find_it_by_themselves(api, shop):
    entries = [{"entryNumber": n, "quantity": "3", "product": {"code": "p0"}} for n in range(2)]
    api.post(ORDERS, ORDER | {"entries": entries})
    (order,) = shop.records("Order", code="n1")
    assert order["entries"] == ["0|n1", "1|n1"]
    assert (order["totalPrice"], order["user"]) == (9.99, "ann@example.com")


def test_post_merges_collections_and_patch_replaces_them(api, sap_commerce):
    api.post(UNITS, {"uid": "U1", "addresses": [{"publicKey": "a1", "town": "Bonn"}]})
    api.post(UNITS, {"uid": "U1", "addresses": [{"publicKey": "a2"}, {"publicKey": "a1", "town": "Ulm"}]})
    assert {a["publicKey"]: a["town"] for a in sap_commerce.records("Address")} == {"a1": "Ulm", "a2": None}
    answer = api.call("PATCH", f"{UNITS}('U1')", json={"addresses": [{"publicKey": "a2"}]})
    assert answer.status_code == 200
    assert [a["publicKey"] for a in sap_commerce.records("Address")] == ["a2"]
    api.call("PATCH", f"{UNITS}('U1')", json={"addresses": []})
    assert sap_commerce.records("Address") == []


def test_a_nested_payload_updates_the_item_it_refers_to(api, shop):
    body = {"code": "R1", "order": {"code": "o1", "user": {"uid": "ann@example.com", "customerID": "C9"}}}
    api.post("ReturnSync/ReturnRequests", body)
    (customer,) = shop.records("Customer", uid="ann@example.com")
    assert customer["customerID"] == "C9"


def test_any_error_rolls_the_whole_graph_back(api, shop):
    entries = [
        {"entryNumber": 0, "quantity": 1, "product": {"code": "p0"}},
        {"entryNumber": 1, "quantity": 1, "product": {"code": "unknown"}},
    ]
    assert api.refused("POST", ORDERS, json=ORDER | {"entries": entries}) == (400, "missing_nav_property")
    assert shop.records("Order", code="n1") == []
    assert len(shop.records("OrderEntry")) == 10


@pytest.mark.parametrize(
    ("path", "body", "refusal"),
    [
        (UNITS, {"name": "Acme"}, (400, "missing_key")),
        (UNITS, {"uid": "U1", "colour": "red"}, (400, "invalid_property")),
        (UNITS, {"uid": "U1", "addresses": {"publicKey": "a"}}, (400, "odata_error")),
        (UNITS, {"uid": ["U1"]}, (400, "odata_error")),
        (UNITS, {"uid": "U1", "active": "yes"}, (400, "odata_error")),
        (ORDERS, {"code": "n1", "user": {"uid": "ann@example.com"}}, (400, "missing_property")),
        (ORDERS, {k: v for k, v in ORDER.items() if k != "user"}, (400, "missing_nav_property")),
        (ORDERS, ORDER | {"user": {"uid": "nobody"}}, (400, "missing_nav_property")),
        (ORDERS, ORDER | {"currency": {}}, (400, "missing_key")),
        ("OrderSync/OrderEntries", {"entryNumber": 0}, (400, "missing_key")),
    ],
)
def test_payloads_that_do_not_fit_are_refused_with_their_code(api, shop, path, body, refusal):
    assert api.refused("POST", path, json=body) == refusal


def test_a_refusal_names_the_item_it_is_about(api, shop):
    answer = api.call("POST", ORDERS, json=ORDER | {"user": {"uid": "nobody@x.com"}}).json()
    assert answer["error"]["innererror"] == "nobody%40x.com"
    assert "[user] in [Order]" in answer["error"]["message"]["value"]


def test_bodies_that_are_not_json_are_refused(api):
    plain = {"Content-Type": "text/plain"}
    assert api.refused("POST", UNITS, data="x", headers=plain) == (415, "unknown_error")
    broken = {"Content-Type": "application/json"}
    assert api.refused("POST", UNITS, data="{", headers=broken) == (400, "odata_error")


def test_patch_never_creates_and_keeps_the_key(api, shop):
    assert api.refused("PATCH", f"{UNITS}('U9')", json={"name": "x"}) == (404, "not_found")
    assert api.refused("PATCH", f"{UNITS}('U1')", json={"uid": "U2"}) == (400, "invalid_key")
    assert api.refused("PATCH", UNITS, json={"uid": "U1"}) == (405, "method_not_allowed")
    assert api.refused("PUT", f"{UNITS}('U1')", json={"uid": "U1"}) == (405, "method_not_allowed")


def test_delete_answers_200_without_a_body_and_takes_the_parts_along(api, shop):
    answer = api.call("DELETE", f"{ORDERS}('o1')")
    assert (answer.status_code, answer.content) == (200, b"")
    assert len(shop.records("OrderEntry")) == 8
    assert api.refused("DELETE", f"{ORDERS}('o1')") == (404, "not_found")
    assert api.refused("DELETE", "OrderSync/OrderEntries('o1')") == (404, "invalid_key")
    assert api.refused("DELETE", ORDERS) == (405, "method_not_allowed")


def test_times_come_from_the_simulated_clock(api, sap_commerce):
    before = sap_commerce.clock(advance_s=7200)["now"]
    api.post(UNITS, {"uid": "U1"})
    later = sap_commerce.clock(advance_s=3600)["now"]
    api.post(UNITS, {"uid": "U1", "name": "x"})
    (unit,) = sap_commerce.records("B2BUnit")
    assert before[:19] <= unit["creationtime"] < later[:19] <= unit["modifiedtime"]


@pytest.mark.parametrize("touches", [False, True])
def test_a_return_touches_its_order_only_when_told_to(api, shop, touches):
    shop.options(return_touches_order=touches)
    refund = {"orderEntry": {"entryNumber": 0, "order": {"code": "o1"}}, "expectedQuantity": "1", "amount": "2.50"}
    api.post("ReturnSync/ReturnRequests", {"code": "R1", "order": {"code": "o1"}, "returnEntries": [refund]})
    (order,) = shop.records("Order", code="o1")
    assert (order["modifiedtime"] != "2024-02-02T00:00:00.500Z") is touches
    assert shop.records("RefundEntry")[0]["amount"] == "2.50"
    found = api.get("ReturnSync/ReturnRequests('R1')?$expand=returnEntries,order/user")
    assert found["returnEntries"]["results"][0]["integrationKey"] == "0|o1|R1"
    assert found["order"]["user"]["uid"] == "ann@example.com"


def test_localized_values_are_written_in_the_content_language(api, sap_commerce):
    body = {"code": "c1", "name": "Pumpen"}
    api.post("OrderSync/Categories", body, headers={"Content-Language": "de"})
    languages = [{"language": "en", "name": "Pumps"}]
    api.post("OrderSync/Categories", {"code": "c1", "localizedAttributes": languages})
    assert sap_commerce.records("Category")[0]["name"] == {"de": "Pumpen", "en": "Pumps"}
    api.call("PATCH", "OrderSync/Categories('c1')", json={"localizedAttributes": [{"language": "es", "name": "B"}]})
    assert sap_commerce.records("Category")[0]["name"] == {"es": "B"}
    assert api.refused("POST", "OrderSync/Categories", json=body, headers={"Content-Language": "xx"}) == (
        400,
        "invalid_language",
    )


def test_hooks_see_the_item_and_unknown_hooks_stop_it(api, sap_commerce):
    for name, refusal in (
        ("bean://nothing", (400, "hook_not_found")),
        ("failingPrePersistHook", (400, "pre_persist_error")),
    ):
        assert api.refused("POST", UNITS, json={"uid": "U1"}, headers={"Pre-Persist-Hook": name}) == refusal
    after = {"Post-Persist-Hook": "failingPostPersistHook"}
    assert api.refused("POST", UNITS, json={"uid": "U1"}, headers=after) == (400, "post_persist_error")
    assert sap_commerce.records("B2BUnit") == []
    api.post(UNITS, {"uid": "U1"}, headers={"Pre-Persist-Hook": "noopPrePersistHook"})
    assert len(sap_commerce.records("B2BUnit")) == 1


def test_every_write_leaves_a_monitoring_record(api, sap_commerce):
    api.post(UNITS, {"uid": "U1"}, headers={"integrationMessageId": "run-7"})
    api.call("POST", UNITS, json={"name": "x"}, headers={"integrationMessageId": "run-8"})
    path = f"{sap_commerce.url}/odata2webservices/InboundIntegrationMonitoring/InboundRequests"
    options = {"$expand": "status,errors", "$filter": "messageId eq 'run-8'"}
    answer = api.session.get(path, params=options, headers={"Authorization": ""}, auth=("integration", "nimda"))
    (record,) = answer.json()["d"]["results"]
    assert record["status"]["code"] == "ERROR"
    assert record["errors"]["results"][0]["code"] == "missing_key"
    (good,) = sap_commerce.records("InboundRequest", messageId="run-7")
    assert (good["requestIntegrationKey"], good["type"], good["status"]) == ("U1", "UnitSync", "SUCCESS")


def test_an_integration_object_can_be_defined_over_the_api(api, sap_commerce):
    attribute = {
        "attributeName": "uid",
        "attributeDescriptor": {"qualifier": "uid", "enclosingType": {"code": "UserGroup"}},
        "unique": True,
    }
    item = {"code": "UserGroup", "root": True, "type": {"code": "UserGroup"}, "attributes": [attribute]}
    body = {
        "integrationObject": {"code": "GroupSync", "items": [item]},
        "authenticationType": {"code": "OAUTH"},
    }
    basic = {"auth": ("integration", "nimda"), "headers": {"Authorization": ""}}
    url = f"{sap_commerce.url}/odata2webservices/IntegrationService/InboundChannelConfigurations"
    assert api.session.post(url, json=body, timeout=30, **basic).status_code == 201
    api.post("GroupSync/UserGroups", {"uid": "vip"})
    assert "UserGroup_uid" in api.call("GET", "GroupSync/$metadata").text
    gone = f"{sap_commerce.url}/odata2webservices/IntegrationService/IntegrationObjects('GroupSync')"
    assert json.loads(api.session.delete(gone, timeout=30, **basic).text)["error"]["code"] == "deletion_failure"
