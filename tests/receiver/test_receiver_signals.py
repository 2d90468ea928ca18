"""The storefront pushes its events: CloudEvents in every mode, into the feed that files and pages fill too."""

from __future__ import annotations

import json

import pytest

from receiver.receiving import SECRET

BEARER = {"Authorization": f"Bearer {SECRET}".encode()}


@pytest.fixture
def opened(receiver, monkeypatch):
    monkeypatch.setenv("COMMERCE_SYNC_FEEDS", str(receiver.file.parent / "feeds"))
    (receiver.file.parent / "feeds").mkdir()
    file = receiver.file.parent / "feeds" / "storefront.yaml"
    file.write_text("feed: storefront\nkind: file\npath: x/*.jsonl\ntypes: [product.viewed, search.performed]\n")
    receiver.open("storefront")
    return receiver


def event(number=1, **values):
    data = {"visitor": "v-1", "product": "DRILL"}
    return {"specversion": "1.0", "id": f"e{number}", "source": "https://shop.example", "type": "product.viewed",
            "time": "2026-11-02T09:14:07Z", "subject": "v-1", "data": data} | values  # fmt: skip


def post(receiver, body, media="application/cloudevents+json", **headers):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return receiver.post("/events/storefront", raw, headers={"Content-Type": media} | BEARER | headers)


@pytest.mark.parametrize(
    ("body", "media", "number"),
    [
        (event(), "application/cloudevents+json; charset=utf-8", 1),
        (event(), "application/json", 1),
        ([event(1), event(2)], "application/cloudevents-batch+json", 2),
        ([event(1), event(2)], "application/json", 2),
        (b"\n".join(json.dumps(event(n)).encode() for n in range(3)), "application/x-ndjson", 3),
    ],
)
def test_events_come_one_by_one_batched_or_one_a_line(opened, body, media, number):
    answer = post(opened, body, media)
    assert (answer.status_code, answer.json()) == (200, {"new": number, "known": 0, "refused": 0})
    assert len(opened.kept("storefront")) == number
    assert post(opened, body, media).json() == {"new": 0, "known": number, "refused": 0}


def test_an_event_may_stand_in_headers_with_its_data_as_body(opened):
    told = {"ce-id": "e1", "ce-specversion": "1.0", "ce-source": "https://shop.example", "ce-type": "product.viewed",
            "ce-time": "2026-11-02T09:14:07Z", "ce-subject": "caf%C3%A9"}  # fmt: skip
    assert post(opened, event()["data"], "application/json", **told).status_code == 200
    (row,) = opened.kept("storefront")
    assert (row["event_id"], row["subject"], row["data"]["product"]) == ("e1", "café", "DRILL")


def test_valid_events_are_taken_and_the_others_named_with_place_and_reason(opened, ledger):
    wrong = event(2, data={"visitor": "v-1", "product": 7})
    answer = post(opened, [event(1), wrong], "application/cloudevents-batch+json")
    assert answer.status_code == 200
    assert [(one["id"], one["at"]) for one in answer.json()["reasons"]] == [("e2", "data.product")]
    assert [reject.key for reject in ledger.rejects("feed/storefront")] == ["e2"]
    assert ledger.receipts()[0].reason == "1 events refused, the first at data.product"


def test_a_delivery_without_a_valid_event_is_422_and_a_corrected_one_clears_it(opened, ledger):
    answer = post(opened, event(type="cart.abandoned"))
    assert (answer.status_code, answer.json()["reasons"][0]["at"]) == (422, "type")
    assert post(opened, event()).status_code == 200
    assert ledger.rejects("feed/storefront") == []


@pytest.mark.parametrize(
    ("body", "media", "status", "reason"),
    [
        (b"", "application/json", 400, "malformed"),
        (b"nonsense", "application/cloudevents+json", 400, "malformed"),
        (b"[]", "application/cloudevents-batch+json", 400, "malformed"),
        (b"[]", "application/cloudevents+json", 422, "schema"),
        (b"{}", "application/cloudevents-batch+json", 422, "schema"),
        (b"a: 1", "text/plain", 415, "media_type"),
        (json.dumps(event(subject="a\u0000")).encode(), "application/json", 422, "not_text"),
        (json.dumps([event()] * 2000).encode(), "application/json", 413, "too_large"),
    ],
)
def test_what_is_no_event_is_refused(opened, body, media, status, reason):
    answer = post(opened, body, media)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, reason)
    assert opened.kept("storefront") == []


def test_a_feed_without_a_connection_or_a_place_in_the_file_is_closed(opened):
    for name in ("rates", "nothing", "sap_commerce", "iconik"):
        opened.open(name, login="x")
        assert opened.post(f"/events/{name}", event(), headers=dict(BEARER)).status_code == 404
    opened.close("storefront")
    assert post(opened, event()).status_code == 404
