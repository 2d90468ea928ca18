"""Requests to destinations: credentials, headers, limits, and what monitoring keeps of them."""

from __future__ import annotations

import re

import pytest
from outbound_setup import channel, destination, run


def send(side, *, item=None, service="CustomerSync", to="crm"):
    body = {"item": item or {"type": "Customer", "key": "ann@example.com"}, "integration_object": service}
    return side.control("POST", "send", body=body | {"destination": to})


def test_the_service_call_sends_one_item_and_gives_the_answer(platform, shop, receiver):
    destination(platform, receiver, "crm")
    receiver.answer = b'{"ok": true}'
    answer = send(shop)
    assert (answer["status"], answer["body"]) == (201, '{"ok": true}')
    (sent,) = receiver.posts
    assert (sent.path, sent.json["uid"]) == ("/in/Orders", "ann@example.com")
    assert sent.header("integrationMessageId") == answer["messageId"]
    assert re.fullmatch("2A54482A[0-9A-F]+2A54482A", sent.header("SAP-PASSPORT"))
    (record,) = platform.get("OutboundIntegrationMonitoring/OutboundRequests?$expand=status,source")["results"]
    assert (record["status"]["code"], record["source"]["code"], record["httpMethod"]) == ("SUCCESS", "UNKNOWN", "POST")
    assert record["requestIntegrationKey"] == "ann%40example.com"


def test_oauth_tokens_are_fetched_once_and_used_until_they_expire(platform, shop, receiver):
    destination(platform, receiver, "crm", oauth=True)
    for seconds in (0, 10, 120):
        shop.clock(advance_s=seconds)
        send(shop)
    assert [one.header("Authorization") for one in receiver.posts] == ["Bearer t-1"] * 3
    assert sum("/token" in one.path for one in receiver.received) == 2


def test_a_csrf_token_is_fetched_and_kept_for_a_minute(platform, shop, receiver):
    properties = [{"key": "csrfURL", "value": f"{receiver.url}/csrf"}]
    destination(platform, receiver, "crm", additionalProperties=properties)
    for seconds in (0, 30, 61):
        shop.clock(advance_s=seconds)
        send(shop)
    assert [one.header("X-CSRF-Token") for one in receiver.posts] == ["csrf-1"] * 3
    assert [one.header("X-CSRF-Token") for one in receiver.received if one.path == "/csrf"] == ["Fetch", "Fetch"]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b'{"error": {"message": {"value": "no such account"}}}', "no such account"),
        (b"<html>", "Please see the log for details."),
        (b"x" * 2000, "The error response message exceeded the allowed size."),
    ],
)
def test_a_refusal_is_recorded_in_the_receivers_words(platform, shop, receiver, answer, error):
    destination(platform, receiver, "crm")
    receiver.status, receiver.answer = 400, answer
    send(shop)
    (record,) = platform.get("OutboundIntegrationMonitoring/OutboundRequests?$expand=status")["results"]
    assert (record["status"]["code"], record["error"]) == ("ERROR", error)


def test_a_receiver_that_is_not_there_is_an_error_and_nothing_more(platform, shop, receiver):
    destination(platform, receiver, "crm", url="http://127.0.0.1:9/nothing")
    assert send(shop)["status"] == 0


def test_changed_credentials_count_only_after_the_cached_ones_are_evicted(platform, shop, receiver):
    destination(platform, receiver, "crm")
    send(shop)
    platform.post("OutboundChannelConfig/BasicCredentials", {"id": "crmCred", "username": "new", "password": "p"})
    send(shop)
    shop.clock(advance_s=7201)
    send(shop)
    assert [one.header("Authorization") for one in receiver.posts] == ["Basic dTpw", "Basic dTpw", "Basic bmV3OnA="]


def test_payloads_are_kept_only_when_told_to(platform, shop, receiver):
    destination(platform, receiver, "crm")
    send(shop)
    shop.options(outbound_success_payload_retention=True)
    send(shop)
    kept = [record["payload"] for record in shop.records("OutboundRequest")]
    assert kept[0] is None
    assert '"uid": "ann@example.com"' in kept[1]
    shop.options(outbound_monitoring=False)
    send(shop)
    assert len(shop.records("OutboundRequest")) == 2


def test_records_are_cleaned_up_at_midnight_after_a_week(platform, api, shop, receiver):
    channel(platform, receiver)
    run(shop)
    assert len(shop.records("OutboundRequest")) == 5
    assert shop.records("InboundRequest")
    shop.clock(advance_s=6 * 86400)
    shop.control("POST", "retention")
    assert len(shop.records("OutboundRequest")) == 5
    shop.clock(advance_s=2 * 86400)
    assert shop.control("POST", "retention")["outboundRequestCleanupJob"] == 5
    assert shop.records("InboundRequest") == []


def test_localized_values_come_in_the_default_language_and_in_all(platform, shop, receiver):
    destination(platform, receiver, "crm")
    shop.put("Product", [{"code": "l1", "name": {"en": "Pump", "de": "Pumpe"}, "description": {"en": ""}}])
    send(shop, item={"type": "Product", "key": "l1"}, service="ProductSync")
    sent = receiver.posts[0].json
    assert (sent["name"], sent["description"]) == ("Pump", "")
    assert sent["localizedAttributes"] == [
        {"language": "de", "name": "Pumpe"},
        {"language": "en", "name": "Pump", "description": ""},
    ]
    assert "unit" not in sent


def test_unknown_items_objects_and_destinations_are_told_apart(platform, shop, receiver):
    destination(platform, receiver, "crm")
    item = {"type": "Customer", "key": "ann@example.com"}
    for body, word in (
        ({"item": item | {"key": "x"}, "integration_object": "CustomerSync", "destination": "crm"}, "Customer 'x'"),
        ({"item": item, "integration_object": "Nothing", "destination": "crm"}, "integration object"),
        ({"item": item, "integration_object": "CustomerSync", "destination": "no"}, "destination"),
    ):
        answer = shop._session.post(f"{shop.url}/_sim/send", json=body, timeout=30)
        assert answer.status_code == 404
        assert word in answer.json()["error"]


def test_the_cleanup_runs_by_itself_after_midnight(platform, shop, receiver):
    shop.options(clockwork=False)
    shop.clock(now="2031-05-01T12:00:00+00:00")
    destination(platform, receiver, "crm")
    send(shop)
    shop.control("POST", "outbound/tick")
    assert len(shop.records("OutboundRequest")) == 1
    shop.clock(now="2031-05-09T00:00:01+00:00")
    shop.control("POST", "outbound/tick")
    assert shop.records("OutboundRequest") == []
