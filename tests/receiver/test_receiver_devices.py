"""OpenText IoT pushes: signed subscriptions and plain envelopes; what is pushed and polled is in the inbox once."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from datetime import timedelta

import pytest
import requests

from commerce_sync.systems.opentext_iot.hook import OpenTextIotHook
from commerce_sync.systems.opentext_iot.polling import Pace
from receiver.receiving import TIMEOUT_S, until
from systems.opentext_iot.iot_tenant import Tenant, key

CLASSIC, GENERIC = "covisint_classic", "generic_rest"
SAID = "signing-secret"
PACE = Pace(lag=timedelta(0), overlap=timedelta(minutes=15), first=timedelta(days=1), step=timedelta(days=2))


@pytest.fixture
def tenant(opentext_iot):
    opentext_iot.clear_faults()
    opentext_iot.options(index_delay_ms=0, subscription_retry_s=0)
    return Tenant(opentext_iot)


@pytest.fixture
def opened(receiver, opentext_iot, monkeypatch):
    """Connections of the platform, by profile, and of its pushes."""

    def _open(profile=GENERIC, **extra):
        values = {
            "profile": profile,
            "realm": opentext_iot.realm,
            "tenant": opentext_iot.tenant,
            "max_per_second": 2000,
        }
        fields = {"conn_type": "commerce_sync_opentext_iot", "host": opentext_iot.url, "login": opentext_iot.client_id,
                  "password": opentext_iot.client_secret, "extra": values}  # fmt: skip
        monkeypatch.setenv("AIRFLOW_CONN_OPENTEXT_IOT_DEFAULT", json.dumps(fields))
        receiver.open("opentext_iot", password=SAID, **extra)
        return receiver

    return _open


def signed(receiver, body, *, stamp=None, secret=SAID, **headers):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    stamp = str(int(time.time())) if stamp is None else stamp
    mark = hmac.new(secret.encode(), f"{stamp}.".encode() + raw, hashlib.sha256).hexdigest()
    told = {"Content-Type": "application/json", "X-OTIoT-Timestamp": stamp, "X-OTIoT-Signature": f"sha256={mark}"}
    return receiver.post("/opentext_iot/events", raw, headers=told | headers)


def envelope(device, number=1, **values):
    """An envelope as the classic gateway has it."""
    payload = {"faultCode": "E17", "occurredAt": "2026-11-20T09:14:03Z"}
    return {"messageId": f"m-{number}", "deviceId": device, "eventTemplateId": key("device.fault"), "encodingType": "JSON",
            "message": json.dumps(payload), "creation": int(time.time() * 1000)} | values  # fmt: skip


def subscribe(opentext_iot, receiver):
    token = requests.post(
        f"{opentext_iot.url}/tenants/{opentext_iot.tenant}/oauth2/token", timeout=TIMEOUT_S,
        data={"grant_type": "client_credentials", "client_id": opentext_iot.client_id, "client_secret": opentext_iot.client_secret},
    ).json()["access_token"]  # fmt: skip
    body = {"url": f"{receiver.url}/opentext_iot/events", "eventTypes": [], "secret": SAID}
    answer = requests.post(f"{opentext_iot.url}/api/v1/subscriptions", json=body, timeout=TIMEOUT_S,
                           headers={"Authorization": f"Bearer {token}"})  # fmt: skip
    assert answer.status_code == 201, answer.text


def emit(tenant, device, number):
    """A device's event, received by the platform now."""
    now_ms = int(time.time() * 1000)
    tenant.far.put("event", [{"messageId": f"m-{number}", "deviceId": device, "eventTemplateId": key("device.fault"),
                              "streamId": key("stream"), "creation": now_ms, "visibleMs": now_ms,
                              "payload": {"faultCode": f"E{number}"}}])  # fmt: skip


def test_a_subscription_pushes_and_the_poll_finds_the_same_events(opened, tenant, opentext_iot, ledger):
    receiver = opened()
    device = tenant.device(1)
    subscribe(opentext_iot, receiver)
    for number in range(3):
        emit(tenant, device, number)
    until(lambda: len(receiver.kept("iot")) == 3, what="the pushes")
    polled = OpenTextIotHook().poll(ledger, pace=PACE)
    assert (polled.new, polled.known) == (0, 3)
    assert {(row["type"], row["subject"]) for row in receiver.kept("iot")} == {("device.fault", device)}


@pytest.mark.parametrize("fault", ["lose_pushes", "duplicate_pushes", "reorder_pushes"])
def test_lost_doubled_and_reordered_pushes_leave_what_a_poll_alone_leaves(opened, tenant, opentext_iot, ledger, fault):
    receiver = opened()
    device = tenant.device(1)
    subscribe(opentext_iot, receiver)
    opentext_iot.fault(action=fault, times=2)
    for number in range(5):
        emit(tenant, device, number)
    until(lambda: opentext_iot.control("GET", "faults")["rules"][0]["left"] < 2, what="the fault")
    emit(tenant, device, 5)
    until(lambda: any(row["data"]["faultCode"] == "E5" for row in receiver.kept("iot")), what="a push") if (
        fault != "lose_pushes"
    ) else None
    OpenTextIotHook().poll(ledger, pace=PACE)
    assert sorted(row["data"]["faultCode"] for row in receiver.kept("iot")) == [f"E{n}" for n in range(6)]


def test_envelopes_of_the_classic_gateway_get_their_types_names(opened, tenant, ledger):
    receiver = opened(CLASSIC)
    device = tenant.device(1)
    for body in (envelope(device, 1), [envelope(device, 2)], {"events": [envelope(device, 3)]}):
        assert signed(receiver, body).status_code == 200
    assert [row["type"] for row in receiver.kept("iot")] == ["device.fault"] * 3


def test_a_pushed_envelope_is_the_polled_one(opened, tenant, ledger):
    receiver = opened(CLASSIC)
    device = tenant.device(1)
    tenant.fault(device)
    OpenTextIotHook().poll(ledger, pace=PACE)
    (found,) = _search(tenant)
    assert signed(receiver, found).status_code == 200
    assert len(receiver.kept("iot")) == 1
    assert [one.doubled for one in ledger.receipts()] == [1]


def _search(tenant):
    """The events as the platform's search shows them."""
    import asyncio

    async def _ask():
        async with OpenTextIotHook().client() as client:
            pages = client.event_pages(0, int(tenant.now.timestamp() * 1000) + 1000)
            return [one async for page in pages for one in page]

    return asyncio.run(_ask())


def test_while_the_platform_does_not_tell_its_templates_the_sender_comes_again(opened, tenant, opentext_iot):
    receiver = opened(CLASSIC)
    device = tenant.device(1)
    opentext_iot.fault(action="status", status=401, match={"path": "eventTemplates"}, times=50)
    answer = signed(receiver, envelope(device))
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "names_unknown")
    opentext_iot.clear_faults()
    assert signed(receiver, envelope(device)).status_code == 200


def test_what_cannot_be_read_is_set_aside_with_a_reason(opened, tenant, ledger):
    receiver = opened(CLASSIC)
    device = tenant.device(1)
    broken = [
        envelope(device, 1, message="%%%", encodingType="BASE64"),
        envelope(device, 2, creation=10**30),
        envelope(device, 3),
    ]
    assert signed(receiver, broken).status_code == 200
    assert [row["data"].get("faultCode") for row in receiver.kept("iot")] == ["E17"]
    assert {reject.code for reject in ledger.rejects("feed/iot")} == {"bad base64", "unreadable envelope"}
    assert [(one.events, one.new, one.refused) for one in ledger.receipts()] == [(3, 1, 2)]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"secret": "another"}, "bad_signature"),
        ({"stamp": "1000"}, "stale"),
        ({"stamp": str(int(time.time()) + 1_000_000)}, "stale"),
        ({"stamp": "today"}, "no_timestamp"),
        ({"X-OTIoT-Signature": ""}, "no_signature"),
    ],
)
def test_a_delivery_that_is_not_signed_now_is_refused(opened, tenant, options, reason):
    receiver = opened()
    answer = signed(receiver, {"events": []}, **options)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, reason)


def test_a_gateway_may_sign_without_a_time_in_a_header_of_its_own(opened, tenant):
    receiver = opened(CLASSIC, signature_header="X-Signature", timestamp_header="")
    raw = json.dumps(envelope(tenant.device(1))).encode()
    mark = hmac.new(SAID.encode(), raw, hashlib.sha256).hexdigest()
    headers = {"Content-Type": "application/json", "X-Signature": mark}
    assert receiver.post("/opentext_iot/events", raw, headers=headers).status_code == 200


@pytest.mark.parametrize(("body", "status"), [(b"{", 400), (b"7", 422), (b'["x"]', 422), (b'{"events": 1}', 422)])
def test_what_is_no_delivery_is_refused(opened, body, status):
    assert signed(opened(), body).status_code == status
