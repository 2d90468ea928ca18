"""Webhooks: who is told what, when, and what may go wrong on the way."""

from __future__ import annotations

import pytest
from outbound_setup import EVENTS, destination_body, sent_codes, settle, webhook

UNIT = "UnitSync/B2BUnits"


def unit(api, uid, **more):
    return api.post(UNIT, {"uid": uid, **more})


def kinds(receiver):
    return [one.header("ce-type").split(".")[-2] for one in receiver.posts]


def test_a_saved_order_is_delivered_with_cloud_event_headers(platform, api, shop, receiver):
    webhook(platform, receiver)
    api.post("OrderSync/Orders", {"code": "o1", "totalPrice": 3.0})
    settle(shop)
    (sent,) = receiver.posts
    assert sent.header("ce-specversion") == "1.0"
    assert sent.header("ce-type") == "sap.cx.commerce.OutboundOrder.Updated.v1"
    assert sent.header("ce-source") == "/default/sap.cx.commerce/t1"
    assert sent.header("ce-subject") == "o1"
    assert len(sent.header("ce-id")) == 36
    assert sent.header("SAP-PASSPORT").startswith("2A54482A")
    assert sent.header("Authorization") == "Basic dTpw"
    assert sent.json["code"] == "o1"


@pytest.mark.parametrize(
    ("event", "told"),
    [("Saved", ["Created", "Updated"]), ("Created", ["Created"]), ("Updated", ["Updated"]), ("Deleted", ["Deleted"])],
)
def test_each_event_type_hears_of_its_own(platform, api, sap_commerce, receiver, event, told):
    webhook(platform, receiver, event, service="UnitSync")
    unit(api, "U1", name="One")
    settle(sap_commerce)
    unit(api, "U1", name="Two")
    settle(sap_commerce)
    sap_commerce.delete("B2BUnit", "U1")
    settle(sap_commerce)
    assert kinds(receiver) == told


def test_a_deletion_says_what_was_there(platform, api, sap_commerce, receiver):
    webhook(platform, receiver, "Deleted", service="UnitSync")
    unit(api, "U1", name="One", addresses=[{"publicKey": "a1", "town": "Bonn"}])
    assert api.call("DELETE", f"{UNIT}('U1')").status_code == 200
    settle(sap_commerce)
    (sent,) = receiver.posts
    assert (sent.json["name"], sent.json["addresses"][0]["town"]) == ("One", "Bonn")


def test_the_window_makes_one_event_of_many_with_the_final_state(platform, api, sap_commerce, receiver):
    webhook(platform, receiver, service="UnitSync")
    webhook(platform, receiver, "Updated", service="UnitSync")
    sap_commerce.options(webhook_group_timeout_ms=600_000)
    for name in ("One", "Two", "Three"):
        unit(api, "U1", name=name)
    settle(sap_commerce, seconds=601)
    assert kinds(receiver) == ["Created"]  # nothing for the webhook that waits for updates only
    assert receiver.posts[0].json["name"] == "Three"


def test_without_consolidation_every_save_is_told(platform, api, sap_commerce, receiver):
    sap_commerce.options(webhook_consolidation=False)
    webhook(platform, receiver, service="UnitSync")
    for name in ("One", "Two"):
        unit(api, "U1", name=name)
        settle(sap_commerce, seconds=0)
    assert sorted(kinds(receiver)) == ["Created", "Updated"]


def test_a_saved_child_updates_its_parent_only_with_a_way_back(platform, api, shop, receiver):
    webhook(platform, receiver)
    webhook(platform, receiver, service="UnitSync")
    api.post("OrderSync/OrderEntries", {"order": {"code": "o2"}, "entryNumber": 0, "quantity": 9})
    shop.put("Address", [{"publicKey": "lonely", "owner": {"itemtype": "B2BUnit", "uid": "U1"}}])
    settle(shop)
    assert kinds(receiver) == ["Updated"]
    assert sent_codes(receiver) == ["o2"]


def test_what_is_rolled_back_is_never_told(platform, api, sap_commerce, receiver):
    webhook(platform, receiver, service="UnitSync")
    address = {"publicKey": "a1", "country": {"isocode": "XX"}}
    assert api.call("POST", UNIT, json={"uid": "U1", "addresses": [address]}).status_code == 400
    settle(sap_commerce)
    assert receiver.posts == []


@pytest.mark.parametrize(("status", "requests"), [(500, 2), (503, 2), (400, 1), (429, 1), (204, 1)])
def test_a_server_error_is_tried_once_more_after_ten_seconds(platform, api, sap_commerce, receiver, status, requests):
    webhook(platform, receiver, service="UnitSync")
    receiver.status = status
    unit(api, "U1")
    settle(sap_commerce)
    settle(sap_commerce, seconds=8)
    assert len(receiver.posts) == 1
    for _ in range(3):
        settle(sap_commerce, seconds=11)
    assert len(receiver.posts) == requests


def test_a_timeout_is_not_tried_again(platform, api, sap_commerce, receiver):
    sap_commerce.options(outbound_timeout_ms=50)
    webhook(platform, receiver, service="UnitSync")
    receiver.delay_s = 0.3
    unit(api, "U1")
    settle(sap_commerce)
    settle(sap_commerce, seconds=11)
    found = platform.get("OutboundIntegrationMonitoring/OutboundRequests?$expand=status,source")["results"]
    assert [one["error"] for one in found] == ["Request timed out after 50 ms"]


@pytest.mark.parametrize(
    ("script", "sent"),
    [("acceptingFilter", 1), ("rejectingFilter", 0), ("failingFilter", 0), ("unknownFilter", 0), (None, 0)],
)
def test_a_filter_decides_and_fails_closed(platform, api, sap_commerce, receiver, script, sent):
    if script:
        platform.post("ScriptService/Scripts", {"code": script, "content": "// registered"})
    webhook(platform, receiver, service="UnitSync", filterLocation=f"model://{script}")
    unit(api, "U1")
    settle(sap_commerce)
    assert len(receiver.posts) == sent


def test_a_filter_may_mask_what_is_sent(platform, api, sap_commerce, receiver):
    platform.post("ScriptService/Scripts", {"code": "maskingFilter", "content": "-"})
    webhook(platform, receiver, service="UnitSync", filterLocation="model://maskingFilter")
    unit(api, "U1", name="Secret Ltd")
    settle(sap_commerce)
    assert receiver.posts[0].json["name"] == "***"
    assert sap_commerce.records("B2BUnit")[0]["name"] == "Secret Ltd"


def test_a_full_queue_drops_events(platform, api, sap_commerce, receiver):
    sap_commerce.options(webhook_queue_size=2, webhook_group_timeout_ms=60_000)
    webhook(platform, receiver, service="UnitSync")
    for number in range(5):
        unit(api, f"U{number}")
    assert settle(sap_commerce, seconds=61)["webhooks"]["dropped"] == 3
    assert len(receiver.posts) == 2


def test_events_can_be_lost_doubled_and_reordered(platform, api, sap_commerce, receiver):
    webhook(platform, receiver, service="UnitSync")
    sap_commerce.fault(action="webhook_loss", match={"path": "/U0$"})
    sap_commerce.fault(action="webhook_double", match={"path": "/U1$"})
    sap_commerce.fault(action="webhook_reorder", match={"path": "/U2$"})
    for number in range(4):
        unit(api, f"U{number}")
        settle(sap_commerce) if number != 2 else sap_commerce.clock(advance_s=1)
    settle(sap_commerce)
    assert [one.json["uid"] for one in receiver.posts] == ["U1", "U1", "U3", "U2"]


def test_an_inactive_destination_hears_nothing(platform, api, sap_commerce, receiver):
    webhook(platform, receiver, service="UnitSync", to={"active": False})
    unit(api, "U1")
    settle(sap_commerce)
    assert receiver.posts == []


def test_only_the_nearer_type_is_told_of_an_item_two_webhooks_fit(platform, sap_commerce, receiver):
    webhook(platform, receiver, service="ProductSync")
    webhook(platform, receiver, service="VariantSync")
    sap_commerce.put("GenericVariantProduct", [{"code": "v1", "baseProduct": {"code": "p1"}}])
    settle(sap_commerce)
    assert sorted((one.json["code"], one.header("ce-type").split(".")[3]) for one in receiver.posts) == [
        ("p1", "ProductSync"),
        ("v1", "VariantSync"),
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        {"eventType": "com.example.Nothing"},
        {"destination": "target"},
        {"destination": "credential"},
    ],
)
def test_a_webhook_needs_the_right_target_and_a_credential(platform, receiver, wrong):
    body = destination_body(receiver, "x", target="webhookServices")
    if wrong.get("destination") == "target":
        body["destinationTarget"] = {"id": "other"}
    if wrong.get("destination") == "credential":
        del body["credentialBasic"]
    config = {"integrationObject": {"code": "UnitSync"}, "destination": body}
    config["eventType"] = wrong.get("eventType", f"{EVENTS}ItemSavedEvent")
    refused = platform.refused("POST", "WebhookService/WebhookConfigurations", json=config)
    assert refused == (400, "invalid_attribute_value")
    assert platform.side.records("WebhookConfiguration") == []


def test_the_key_of_a_webhook_has_four_parts_and_its_event_type_a_default(platform, receiver):
    body = destination_body(receiver, "x", target="webhookServices")
    for _ in range(2):
        made = platform.post(
            "WebhookService/WebhookConfigurations", {"integrationObject": {"code": "UnitSync"}, "destination": body}
        )
    assert made["integrationKey"] == f"x|webhookServices|UnitSync|{EVENTS}ItemSavedEvent"
    assert len(platform.side.records("WebhookConfiguration")) == 1


def test_what_is_in_use_cannot_be_deleted(platform, receiver):
    webhook(platform, receiver)
    refused = platform.refused("DELETE", "OutboundChannelConfig/ConsumedDestinations('hook%7CwebhookServices')")
    assert refused == (400, "deletion_failure")
    assert platform.refused("DELETE", "WebhookService/IntegrationObjects('OutboundOrder')") == (400, "deletion_failure")
