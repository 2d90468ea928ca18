"""Outbound Sync: what the receiver gets, and what is kept for the next run."""

from __future__ import annotations

import re

import pytest
from outbound_setup import channel, destination, run, sent_codes


@pytest.fixture
def orders(platform, shop, receiver):
    channel(platform, receiver)
    return shop


def trigger(platform, expression):
    body = {"cronJob": {"code": "ordersOutCronJob"}, "cronExpression": expression}
    return platform.call("POST", "OutboundChannelConfig/Triggers", json=body)


def test_autogenerate_makes_container_streams_job_and_cron_job_but_no_trigger(platform, orders):
    def names(entity_set, name):
        return sorted(one[name] for one in platform.get(f"OutboundChannelConfig/{entity_set}")["results"])

    assert names("OutboundSyncStreamConfigurationContainers", "id") == ["ordersOutContainer"]
    streams = names("OutboundSyncStreamConfigurations", "streamId")
    assert streams == ["ordersOut_OrderEntry_Stream", "ordersOut_Order_Stream"]
    assert names("OutboundSyncJobs", "code") == ["ordersOutJob"]
    assert names("OutboundSyncCronJobs", "code") == ["ordersOutCronJob"]
    assert names("Triggers", "cronExpression") == []


def test_the_first_run_sends_everything_once_and_the_second_nothing(orders, receiver):
    assert run(orders)["sent"] == 5
    assert sent_codes(receiver) == ["o0", "o1", "o2", "o3", "o4"]
    assert run(orders) == {
        "status": "FINISHED",
        "result": "SUCCESS",
        "sent": 0,
        "failed": 0,
        "dropped": 0,
        "ignored": 0,
        "error": None,
    }


def test_the_payload_is_plain_nested_json_with_cut_back_references(orders, receiver):
    run(orders)
    (order,) = [one.json for one in receiver.posts if one.json["code"] == "o1"]
    assert order["integrationKey"] == "o1"
    assert order["date"] == "/Date(1704153600000)/"
    assert order["user"] == {"uid": "ann@example.com", "integrationKey": "ann%40example.com"}
    assert order["entries"][1] == {
        "order": {"code": "o1"},
        "entryNumber": 1,
        "quantity": "2",
        "product": {
            "code": "p1",
            "catalogVersion": {
                "version": "Online",
                "catalog": {"id": "Default", "integrationKey": "Default"},
                "integrationKey": "Online|Default",
            },
            "integrationKey": "Online|Default|p1",
        },
        "unit": {"code": "pieces", "integrationKey": "pieces"},
        "integrationKey": "1|o1",
    }
    assert not {"d", "__metadata", "versionID"} & set(order)


def test_several_edits_of_root_and_children_become_one_send(api, orders, receiver):
    run(orders)
    receiver.received.clear()
    orders.clock(advance_s=1)
    api.post("OrderSync/Orders", {"code": "o2", "totalPrice": 1.0, "entries": [{"entryNumber": 0, "quantity": 7}]})
    api.post("OrderSync/OrderEntries", {"order": {"code": "o2"}, "entryNumber": 1, "quantity": 8})
    run(orders)
    (only,) = receiver.posts
    assert [entry["quantity"] for entry in only.json["entries"]] == ["7", "8"]


@pytest.mark.parametrize("status", [200, 202, 204, 400, 500])
def test_only_201_consumes_a_change(orders, receiver, status):
    receiver.status = status
    assert run(orders)["result"] == "ERROR"
    assert orders.records("ItemVersionMarker") == []
    receiver.status = 201
    assert run(orders)["sent"] == 5
    assert len(orders.records("ItemVersionMarker")) == 15
    assert orders.records("OutboundSyncRetry") == []


def test_after_five_retries_an_item_is_dropped_until_it_changes(orders, receiver):
    receiver.status = 500
    outcomes = [run(orders) for _ in range(7)]
    assert [one["failed"] for one in outcomes] == [5, 5, 5, 5, 5, 5, 0]
    assert outcomes[5]["dropped"] == 5
    assert all(one["reachedMaxRetries"] for one in orders.records("OutboundSyncRetry"))
    orders.clock(advance_s=1)
    orders.patch("Order", "o3", totalPrice=3.5, modifiedtime="2090-01-01T00:00:00Z")
    receiver.status, receiver.received = 201, []
    run(orders)
    assert sent_codes(receiver) == ["o3"]


def test_a_late_commit_with_an_earlier_timestamp_is_not_seen(orders, receiver):
    run(orders)
    receiver.received.clear()
    orders.patch("Order", "o3", totalPrice=3.5, modifiedtime="2020-01-01T00:00:00Z")
    run(orders)
    assert receiver.posts == []


def test_deletes_are_consumed_silently_unless_they_are_to_be_synchronized(platform, orders, receiver):
    run(orders)
    orders.delete("Order", "o0")
    assert run(orders)["ignored"] > 0
    assert [one.method for one in receiver.received].count("DELETE") == 0
    path = "OutboundChannelConfig/OutboundChannelConfigurations('ordersOut')"
    assert platform.call("PATCH", path, json={"synchronizeDelete": True}).status_code == 200
    orders.delete("Order", "o1")
    run(orders)
    assert [one.method for one in receiver.received].count("DELETE") == 0  # not changed since it was enabled
    orders.clock(advance_s=1)
    orders.patch("Order", "o2", modifiedtime="2090-01-01T00:00:00Z")
    run(orders)
    orders.delete("Order", "o2")
    run(orders)
    deletes = [one for one in receiver.received if one.method == "DELETE"]
    assert [one.path for one in deletes] == ["/in/Orders('o2')"]


def test_a_batch_channel_sends_one_multipart_and_believes_only_returned_content_ids(platform, shop, receiver):
    channel(platform, receiver, batch=True)
    receiver.skip_content_ids = 2
    outcome = run(shop)
    assert (outcome["sent"], outcome["failed"]) == (3, 2)
    (request,) = receiver.posts
    assert request.header("Content-Type").startswith("multipart/mixed")
    assert request.body.count(b"POST Orders HTTP/1.1") == 5
    assert len(set(re.findall(rb"Content-ID: (\S+)", request.body))) == 5
    receiver.skip_content_ids = 0
    assert run(shop)["sent"] == 2


def test_a_batch_is_cut_at_two_hundred_changesets(platform, shop, receiver):
    channel(platform, receiver, batch=True)
    shop.options(outbound_batch_limit=2)
    run(shop)
    assert [one.body.count(b"POST Orders") for one in receiver.posts] == [2, 2, 1]


def test_another_simulated_shop_takes_the_batch(platform, api, shop, receiver):
    channel(platform, receiver, batch=True, url=f"{shop.url}/odata2webservices/OutboundOrder/$batch", oauth=True)
    assert run(shop)["sent"] == 5


def test_a_where_clause_and_excluded_types_narrow_a_stream(platform, shop, receiver):
    destination(platform, receiver, "crm")
    base = "OutboundChannelConfig"
    body = {"code": "pOut", "integrationObject": {"code": "ProductSync"}, "autoGenerate": True}
    platform.post(f"{base}/OutboundChannelConfigurations", body | {"destination": reference("crm")})
    clause = (
        "{item.catalogVersion} IN ({{SELECT {c.pk} FROM {CatalogVersion as c JOIN Catalog AS k ON {c.catalog}={k.pk}}"
        " WHERE {c.version}='Staged' AND {k.id}='Default'}})"
    )
    path = f"{base}/OutboundSyncStreamConfigurations('pOut_Product_Stream')"
    change = {"whereClause": clause, "excludedTypes": [{"code": "VariantProduct"}]}
    assert platform.call("PATCH", path, json=change).status_code == 200
    shop.put("Product", [{"code": "s1", "catalogVersion": "Staged|Default"}])
    shop.put(
        "GenericVariantProduct",
        [{"code": "v1", "catalogVersion": "Staged|Default", "baseProduct": "s1|Staged|Default"}],
    )
    assert run(shop, "pOutCronJob")["result"] == "SUCCESS"
    assert sent_codes(receiver) == ["s1"]


def reference(name):
    return {"id": name, "destinationTarget": {"id": "crmTarget"}}


def test_a_wrong_where_clause_is_a_failure_of_the_job(platform, orders, receiver):
    path = "OutboundChannelConfig/OutboundSyncStreamConfigurations('ordersOut_Order_Stream')"
    platform.call("PATCH", path, json={"whereClause": "{item.nothing} = 1"})
    outcome = run(orders)
    assert outcome["result"] == "FAILURE"
    assert "nothing" in outcome["error"]
    assert receiver.posts == []


def test_a_trigger_runs_the_job_by_the_simulated_clock(platform, orders, receiver):
    orders.options(clockwork=False)
    orders.clock(now="2030-01-01T00:00:30+00:00")
    assert trigger(platform, "0 0/5 * * * ?").status_code == 201
    assert orders.control("POST", "outbound/tick")["runs"] == {}
    orders.clock(now="2030-01-01T00:05:00+00:00")
    assert orders.control("POST", "outbound/tick")["runs"]["ordersOutCronJob"]["sent"] == 5
    assert orders.control("POST", "outbound/tick")["runs"] == {}
    assert trigger(platform, "0 0/5 * *").json()["error"]["code"] == "invalid_attribute_value"


def test_a_group_closes_at_fifty_changes(api, orders, receiver):
    rows = [{"entryNumber": number, "quantity": 1, "product": "p1"} for number in range(60)]
    orders.put(
        "Order",
        [
            {
                "code": "big",
                "user": "ann@example.com",
                "currency": "USD",
                "date": "2024-01-01T00:00:00Z",
                "entries": rows,
            }
        ],
    )
    run(orders)
    assert sent_codes(receiver).count("big") == 2


def test_a_child_without_a_way_to_the_root_is_sent_alone_or_ignored(platform, shop, receiver):
    channel(platform, receiver)
    assert run(shop)["result"] == "SUCCESS"
    stream = {
        "streamId": "products",
        "container": {"id": "ordersOutContainer"},
        "itemTypeForStream": {"code": "Product"},
        "outboundChannelConfiguration": {"code": "ordersOut"},
    }
    platform.post("OutboundChannelConfig/OutboundSyncStreamConfigurations", stream)
    platform.post(
        "OutboundChannelConfig/OutboundSyncStreamConfigurations",
        stream | {"streamId": "t", "itemTypeForStream": {"code": "Title"}},
    )
    receiver.received.clear()
    outcome = run(shop)
    assert (outcome["sent"], outcome["ignored"]) == (3, 2)
    assert sent_codes(receiver) == ["p0", "p1", "p2"]


def test_a_reset_stream_is_new_again(orders, receiver):
    run(orders)
    for stream in ("ordersOut_Order_Stream", "ordersOut_OrderEntry_Stream"):
        orders.control("POST", "outbound/reset", body={"stream": stream})
    assert run(orders)["sent"] == 5
