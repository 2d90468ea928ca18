"""Whatever arrives is answered with a status below 500, and what was taken can be read back."""

from __future__ import annotations

import hashlib
import hmac
import json
import time

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from receiver.receiving import LOGIN, Receiver
from systems.opentext_iot.iot_tenant import Tenant, key

SAID = "fuzz"
AUTH = (LOGIN, SAID)
TRIES = 10
PLENTY = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
KNOWN = ("integrationKey", "event_type", "realm", "operation", "object_id", "data", "request_id", "user_id", "context",
         "action_id", "asset_ids", "collection_ids", "date_created", "specversion", "id", "source", "type", "time", "subject",
         "events", "deliveryId", "messageId", "deviceId", "eventTemplateId", "eventType", "message", "encodingType",
         "creation", "receivedAt", "occurredAt", "eventId")  # fmt: skip
likely = st.sampled_from(["1.0", "product.viewed", "2026-11-02T09:14:07Z", "assets", "entity", "BASE64", "e30=", "{}", 10**30,
                          -1, "9999999-01-01", key("device.fault"), "x" * 600])  # fmt: skip
documents = st.dictionaries(st.sampled_from(KNOWN) | st.text(max_size=5), likely | values, max_size=12)
bodies = (
    st.binary(max_size=200)
    | (documents | st.lists(documents, max_size=3) | values).map(lambda one: json.dumps(one).encode())
    | st.builds(lambda one: json.dumps({"events": one}).encode(), st.lists(documents, max_size=3))
)  # fmt: skip
printable = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=60)
headers = st.dictionaries(
    st.sampled_from(["ce-id", "ce-type", "ce-subject", "ce-time", "ce-source", "ce-specversion", "integrationMessageId"]),
    printable.map(str.strip) | st.sampled_from(["%00", "%ff", "%ED%A0%80", "a%0Ab"]), max_size=5,
)  # fmt: skip
media = st.sampled_from(["application/json", "application/cloudevents+json", "application/cloudevents-batch+json",
                         "application/x-ndjson", "multipart/mixed; boundary=b", "multipart/mixed", "text/plain", ""])  # fmt: skip
paths = st.sampled_from([
    "/sap_commerce/webhooks/OrderSync", "/sap_commerce/sync/OrderSync", "/sap_commerce/sync/OrderSync('a%00b')", "/iconik/webhooks",
    "/iconik/actions", "/events/storefront",
]) | st.text(max_size=12).map(lambda one: f"/sap_commerce/sync/{requests.utils.quote(one, errors='replace')}")  # fmt: skip


@pytest.fixture(scope="module")
def open_receiver(tmp_path_factory):
    from commerce_sync.ledger import Ledger

    folder = tmp_path_factory.mktemp("fuzz")
    ledger = Ledger.open(f"sqlite:///{folder}/ledger.db", files=f"{folder}/files")
    with pytest.MonkeyPatch.context() as patch:
        receiver = Receiver(ledger, patch, folder / "receiver.yaml")
        receiver.file.write_text("sources:\n" + "".join(
            f"  {name}: {{per_minute: 1000000, keep_payload: true}}\n"
            for name in ("sap_commerce", "iconik", "opentext_iot", "storefront")))  # fmt: skip
        receiver.open("sap_commerce", login=LOGIN, password=SAID)
        receiver.open("iconik", auth="basic", login=LOGIN, password=SAID)
        receiver.open("storefront", auth="basic", login=LOGIN, password=SAID)
        receiver.open("opentext_iot", password=SAID)
        receiver.start()
        yield receiver
        receiver.stop()


def raw(named):
    return {name: value.encode("latin-1") for name, value in named.items()}


def settled(receiver, *asked, **options):
    """The answer to a sender that comes again as it is told to: 503 is for a machine that stalls, not for a delivery."""
    answer = receiver.post(*asked, **options)
    for _ in range(TRIES):
        if answer.status_code != 503 or "Retry-After" not in answer.headers:
            break
        time.sleep(1)
        answer = receiver.post(*asked, **options)
    return answer


@PLENTY
@given(path=paths, body=bodies, named=headers, kind=media, method=st.sampled_from(["POST", "POST", "POST", "DELETE"]))
def test_nothing_that_arrives_is_our_fault(open_receiver, path, body, named, kind, method):
    answer = settled(open_receiver, path, body, method=method, auth=AUTH, headers=raw(named | {"Content-Type": kind}))
    assert answer.status_code < 500, answer.text


@PLENTY
@given(pieces=st.lists(st.sampled_from([
    b"--b\r\n", b"--b--\r\n", b"--c\r\n", b"--c--\r\n", b"\r\n", b"\n", b"Content-Type: multipart/mixed; boundary=c\r\n",
    b"Content-Type: application/http\r\n", b"Content-ID: 1\r\n", b"Content-ID: \xff\r\n", b"POST Orders HTTP/1.1\r\n",
    b"DELETE Orders('a') HTTP/1.1\r\n", b"Content-Length: 5\r\n", b'{"integrationKey": "a"}\r\n', b"{", b"\x00",
]), max_size=25))  # fmt: skip
def test_no_batch_is_our_fault(open_receiver, pieces):
    answer = settled(
        open_receiver,
        "/sap_commerce/sync/OrderSync",
        b"".join(pieces),
        auth=AUTH,
        headers={"Content-Type": "multipart/mixed; boundary=b"},
    )
    assert answer.status_code < 500, answer.text


@pytest.mark.parametrize("profile", ["covisint_classic", "generic_rest"])
def test_no_pushed_envelope_is_our_fault(open_receiver, opentext_iot, monkeypatch, profile):
    opentext_iot.clear_faults()
    Tenant(opentext_iot)
    extra = {"profile": profile, "realm": opentext_iot.realm, "tenant": opentext_iot.tenant}
    fields = {"conn_type": "commerce_sync_opentext_iot", "host": opentext_iot.url, "login": opentext_iot.client_id,
              "password": opentext_iot.client_secret, "extra": extra}  # fmt: skip
    monkeypatch.setenv("AIRFLOW_CONN_OPENTEXT_IOT_DEFAULT", json.dumps(fields))
    pushed(open_receiver)


@PLENTY
@given(body=bodies)
def pushed(open_receiver, body):
    stamp = str(int(time.time()))
    mark = hmac.new(SAID.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    told = {"Content-Type": "application/json", "X-OTIoT-Timestamp": stamp, "X-OTIoT-Signature": f"sha256={mark}"}
    answer = settled(open_receiver, "/opentext_iot/events", body, headers=told)
    assert answer.status_code < 500, answer.text


def test_what_was_taken_can_be_read_back(open_receiver):
    for feed in open_receiver.ledger.feeds():
        for row in open_receiver.kept(feed):
            assert row["event_id"]
            assert row["occurred_at"].year >= 1970
    open_receiver.ledger.receipts(limit=10_000)
