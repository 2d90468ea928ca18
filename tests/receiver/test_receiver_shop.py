"""SAP Commerce pushes: its own channel, streams, job and webhooks against the receiver, and what its monitoring shows."""

from __future__ import annotations

import json
import re
import time

import pytest

from receiver.receiving import LOGIN, SECRET

AUTH = (LOGIN, SECRET.encode())
ITEM = {"code": "o1", "integrationKey": "o1", "entries": []}


def sync(receiver, **options):
    return receiver.post("/sap_commerce/sync/OutboundOrder", options.pop("body", ITEM), auth=AUTH, **options)


def hook(receiver, **headers):
    told = {"ce-id": "e1", "ce-specversion": "1.0", "ce-source": "/default/sap.cx.commerce/t1",
            "ce-type": "sap.cx.commerce.OutboundOrder.Updated.v1", "ce-subject": "o1"} | headers  # fmt: skip
    named = {name: value for name, value in told.items() if value is not None}
    return receiver.post("/sap_commerce/webhooks/OutboundOrder", ITEM, auth=AUTH, headers=named)


def batch(*operations):
    """A body as Outbound Sync makes it: (method, path, body, content id) each in a ChangeSet."""
    text = ""
    for method, path, body, content_id in operations:
        text += "--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\nContent-Type: application/http\r\n"
        text += f"Content-Transfer-Encoding: binary\r\nContent-ID: {content_id}\r\n\r\n{method} {path} HTTP/1.1\r\n"
        text += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}\r\n--c--\r\n"
    return (text + "--b--\r\n").encode()


@pytest.mark.parametrize("in_batches", [False, True])
def test_outbound_sync_arrives_and_both_monitors_show_success(pushing_shop, receiver, in_batches):
    for number in range(3):
        pushing_shop.order(f"o{number}")
    pushing_shop.channel(batch=in_batches)
    assert (pushing_shop.run()["result"], pushing_shop.run()["sent"]) == ("SUCCESS", 0)
    events = receiver.kept("sap_commerce")
    assert {(row["type"], row["subject"]) for row in events} == {("OutboundOrder.Changed", f"o{n}") for n in range(3)}
    assert {row["status"]["code"] for row in pushing_shop.monitored()} == {"SUCCESS"}
    receipts = receiver.ledger.receipts()
    assert sum(one.new for one in receipts) == 3
    assert {(one.source, one.kind, one.failed) for one in receipts} == {("sap_commerce", "sync", False)}


def test_a_changed_order_is_sent_once_more(pushing_shop, receiver):
    pushing_shop.order("o1")
    pushing_shop.channel()
    pushing_shop.run()
    pushing_shop.far.clock(advance_s=2)
    pushing_shop.order("o1", status="COMPLETED")
    assert pushing_shop.run()["sent"] == 1
    assert [row["subject"] for row in receiver.kept("sap_commerce")] == ["o1", "o1"]


@pytest.mark.parametrize("in_batches", [False, True])
def test_an_items_end_arrives_as_deleted(pushing_shop, receiver, in_batches):
    pushing_shop.order("o1")
    pushing_shop.channel(synchronizeDelete=True, batch=in_batches)
    pushing_shop.run()
    pushing_shop.far.delete("Order", "o1")
    assert pushing_shop.run()["result"] == "SUCCESS"
    assert [row["type"] for row in receiver.kept("sap_commerce")] == ["OutboundOrder.Changed", "OutboundOrder.Deleted"]
    assert {row["subject"] for row in receiver.kept("sap_commerce")} == {"o1"}


def test_a_receiver_that_is_down_is_tried_again_by_the_next_run_and_seen_in_the_shops_monitoring(
    pushing_shop, receiver
):
    pushing_shop.order("o1")
    pushing_shop.channel()
    receiver.stop()
    assert pushing_shop.run()["result"] == "ERROR"
    assert [row["status"]["code"] for row in pushing_shop.monitored()] == ["ERROR"]
    receiver.start()
    assert (pushing_shop.run()["result"], len(receiver.kept("sap_commerce"))) == ("SUCCESS", 1)


def test_a_wrong_password_is_a_sentence_in_the_shops_monitoring(pushing_shop, receiver):
    pushing_shop.order("o1")
    pushing_shop.channel(password="wrong")
    assert pushing_shop.run()["failed"] == 1
    assert [row["error"] for row in pushing_shop.monitored()] == ["credentials are missing or wrong"]
    assert [(one.status, one.reason) for one in receiver.receipts(1)] == [(401, "not_allowed")]
    assert receiver.kept("sap_commerce") == []


def test_the_shops_cron_job_pushes_by_itself(pushing_shop, receiver):
    pushing_shop.order("o1")
    pushing_shop.channel()
    trigger = {"cronJob": {"code": "ordersOutCronJob"}, "cronExpression": "0 * * * * ?"}
    pushing_shop.post("OutboundChannelConfig/Triggers", trigger)
    pushing_shop.far.clock(advance_s=61)
    pushing_shop.far.control("POST", "outbound/tick")
    assert [row["subject"] for row in receiver.kept("sap_commerce")] == ["o1"]


def test_retention_forgets_on_both_sides(pushing_shop, receiver, ledger):
    from datetime import UTC, datetime, timedelta

    from commerce_sync.receiver import settings, upkeep

    pushing_shop.order("o1")
    pushing_shop.channel()
    pushing_shop.run()
    pushing_shop.far.clock(advance_s=8 * 86_400)
    pushing_shop.far.control("POST", "retention")
    assert pushing_shop.monitored() == []
    rules = settings.load()
    assert upkeep.sweep(ledger, rules) == {"receipts": 0, "events": 0}
    assert upkeep.sweep(ledger, rules, now=datetime.now(UTC) + timedelta(days=15)) == {"receipts": 1, "events": 1}


@pytest.mark.parametrize(("event", "kind"), [("Saved", "Created"), ("Created", "Created"), ("Deleted", "Deleted")])
def test_a_webhook_says_what_happened_to_which_item(pushing_shop, receiver, event, kind):
    pushing_shop.webhook(event)
    pushing_shop.order("o1")
    if event == "Deleted":
        pushing_shop.settle()
        pushing_shop.far.delete("Order", "o1")
    assert pushing_shop.settle()["sent"] == 1
    (row,) = receiver.kept("sap_commerce")
    assert (row["type"], row["subject"]) == (f"OutboundOrder.{kind}", "o1")
    assert row["data"] == {
        "via": "webhook",
        "object": "OutboundOrder",
        "kind": kind,
        "message_id": row["data"]["message_id"],
    }


def test_a_webhook_that_met_503_comes_again_after_ten_seconds(pushing_shop, receiver, monkeypatch, ledger):
    from commerce_sync.errors import RetryableError

    def _away(*_args, **_options):
        raise RetryableError("the ledger did not answer")

    pushing_shop.webhook()
    with monkeypatch.context() as patch:
        patch.setattr(type(ledger), "add_events", _away)
        pushing_shop.order("o1")
        assert pushing_shop.settle()["failed"] == 1
    assert pushing_shop.settle(seconds=11)["sent"] == 1
    assert [row["subject"] for row in receiver.kept("sap_commerce")] == ["o1"]


def test_without_a_request_to_keep_it_the_payload_is_not_kept(pushing_shop, receiver):
    sync(receiver)
    assert "payload" not in receiver.kept("sap_commerce")[0]["data"]
    receiver.file.write_text(receiver.file.read_text().replace("max_bytes: 4000000", "keep_payload: true"))
    sync(receiver, body=ITEM | {"integrationKey": "o2"})
    assert receiver.kept("sap_commerce")[1]["data"]["payload"]["integrationKey"] == "o2"


def test_answers_are_201_tiny_and_quick(pushing_shop, receiver):
    first = sync(receiver)
    took = []
    for number in range(50):
        began = time.perf_counter()
        answer = sync(receiver, body=ITEM | {"integrationKey": f"k{number}"})
        took.append((time.perf_counter() - began) * 1000)
        assert (answer.status_code, len(answer.content) < 100) == (201, True)
    took.sort()
    print(f"\none delivery over HTTP: first {first.elapsed.total_seconds() * 1000:.0f} ms, then median {took[25]:.1f} ms, "
          f"slowest of 50 {took[-1]:.1f} ms")  # fmt: skip
    assert len(receiver.kept("sap_commerce")) == 51


@pytest.mark.parametrize(
    ("ce_type", "kind"),
    [
        ("sap.cx.commerce.OutboundOrder.Updated.v1", "OutboundOrder.Updated"),
        ("OutboundOrder.deleted", "OutboundOrder.Deleted"),
        ("com.example.created.OutboundOrder", "OutboundOrder.Created"),
        ("anything", "OutboundOrder.Changed"),
        (None, "OutboundOrder.Changed"),
    ],
)
def test_the_type_is_read_leniently(pushing_shop, receiver, ce_type, kind):
    assert hook(receiver, **{"ce-type": ce_type}).status_code == 201
    assert [row["type"] for row in receiver.kept("sap_commerce")] == [kind]


def test_a_doubled_delivery_is_there_once(pushing_shop, receiver):
    assert [hook(receiver).status_code for _ in range(3)] == [201, 201, 201]
    assert len(receiver.kept("sap_commerce")) == 1
    assert [(one.new, one.doubled) for one in receiver.ledger.receipts()] == [(0, 1), (0, 1), (1, 0)]


def test_a_batch_answers_every_content_id_and_tells_good_parts_from_bad(pushing_shop, receiver):
    body = batch(
        ("POST", "OutboundOrders", json.dumps(ITEM), "id-1"),
        ("POST", "OutboundOrders", '{"code": "o2"}', "id-2"),
        ("DELETE", "OutboundOrders('o3%7C1')", "", "id-3"),
        ("POST", "OutboundOrders", "{broken", "id-4"),
    )
    answer = sync(receiver, body=body, headers={"Content-Type": "multipart/mixed; boundary=b"})
    assert answer.status_code == 202
    parts = answer.content.split(b"Content-Type: application/http")[1:]
    found = {}
    for part in parts:
        found[re.search(rb"Content-ID: (\S+)", part)[1].decode()] = int(re.search(rb"HTTP/1.1 (\d+)", part)[1])
    assert found == {"id-1": 201, "id-2": 422, "id-3": 200, "id-4": 400}
    assert [(row["type"], row["subject"]) for row in receiver.kept("sap_commerce")] == [
        ("OutboundOrder.Changed", "o1"),
        ("OutboundOrder.Deleted", "o3|1"),
    ]
    assert receiver.ledger.receipts()[0].reason == "2 of 4 parts refused"


@pytest.mark.parametrize(
    ("body", "content_type", "status", "reason"),
    [
        (b"{", "application/json", 400, "malformed"),
        (b"[1]", "application/json", 422, "not_an_object"),
        (b"{}", "application/json", 422, "no_key"),
        (b'{"integrationKey": "a\\u0000"}', "application/json", 422, "not_text"),
        (b'{"integrationKey": "\\ud800"}', "application/json", None, None),
        (b"<a/>", "application/xml", 415, "media_type"),
        (b"--b\r\n", "multipart/mixed; boundary=b", 400, "malformed"),
        (b"x", "multipart/mixed", 400, "malformed"),
        (b"[" * 100_000, "application/json", 400, "malformed"),
        (b"x" * 4_000_001, "application/json", 413, "too_large"),
    ],
)
def test_what_cannot_be_taken_is_refused_with_a_reason(pushing_shop, receiver, body, content_type, status, reason):
    answer = sync(receiver, body=body, headers={"Content-Type": content_type})
    if status is None:  # a lone surrogate: refused as JSON or as text, whichever the decoder says
        assert answer.status_code in (400, 422)
        return
    told = answer.json()["error"]
    assert (answer.status_code, told["code"], len(answer.content) < 1024) == (status, reason, True)
    assert told["message"]["value"]
    assert receiver.kept("sap_commerce") == []
    assert [(one.status, one.reason) for one in receiver.receipts(1)] == [(status, reason)]
