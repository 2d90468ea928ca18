"""iconik pushes: webhooks and custom actions, with a secret in a header, lossy and out of order."""

from __future__ import annotations

import json

import pytest
import requests

from receiver.receiving import SECRET, TIMEOUT_S, until

SAID = "plain-secret"
ASSET = "0d56db81-1b8e-4a68-9658-98ad9a94d841"
EVENT = {
    "system_domain_id": "d1", "event_type": "collections", "object_id": "asset-1", "user_id": "u1", "realm": "contents",
    "operation": "create", "request_id": "r1",
    "data": {"collection_id": "c1", "object_id": "asset-1", "object_type": "assets", "parents": []},
}  # fmt: skip
ACTION = {
    "user_id": "u1", "system_domain_id": "d1", "context": "BULK", "action_id": "a1", "asset_ids": ["asset-1"],
    "collection_ids": ["c1"], "saved_search_ids": [], "metadata_view_id": None, "metadata_values": None,
    "date_created": "2026-04-29T00:22:10.316685", "auth_token": "short-lived",
}  # fmt: skip


@pytest.fixture
def opened(receiver):
    receiver.open("iconik", password=SAID, own_users=["robot"])
    return receiver


def post(receiver, path, body):
    return receiver.post(f"/iconik/{path}", body, headers={"X-Secret": SAID})


def call(iconik, method, path, body):
    headers = {"App-ID": iconik.app_id, "Auth-Token": iconik.auth_token}
    answer = requests.request(method, f"{iconik.url}/API/{path}", json=body, headers=headers, timeout=TIMEOUT_S)
    assert answer.ok, answer.text
    return answer.json() if answer.content else None


@pytest.fixture
def dam(iconik, opened):
    """The simulator with a webhook for everything that happens to assets, led to the receiver."""
    iconik.clear_faults()
    hook = {"event_type": "assets", "status": "ENABLED", "url": f"{opened.url}/iconik/webhooks",
            "headers": {"X-Secret": SAID}}  # fmt: skip
    iconik.hook = call(iconik, "POST", "notifications/v1/webhooks/", hook)["id"]
    return iconik


def test_a_new_asset_arrives_with_its_id(dam, opened):
    asset = call(dam, "POST", "assets/v1/assets/", {"title": "Jar"})
    rows = until(lambda: opened.kept("iconik", "assets.entity.create"), what="the webhook")
    assert [row["subject"] for row in rows] == [asset["id"]]
    until(lambda: dam.records("deliveries"), what="the simulator's note")
    assert {row["outcome"] for row in dam.records("deliveries")} == {"delivered"}


def test_a_click_arrives_and_its_token_is_never_kept(dam, opened):
    action = {"context": "ASSET", "title": "Publish", "type": "POST", "url": f"{opened.url}/iconik/actions",
              "headers": {"X-Secret": SAID}}  # fmt: skip
    made = call(dam, "POST", "assets/v1/custom_actions/ASSET/", action)["id"]
    call(dam, "POST", f"assets/v1/custom_actions/ASSET/{made}/callback/", {"asset_ids": [ASSET]})
    (row,) = until(lambda: opened.kept("iconik", "action.asset"), what="the click")
    assert (row["subject"], row["data"]["action_id"], row["data"]["asset_ids"]) == (ASSET, made, [ASSET])
    answer = post(opened, "actions", ACTION)
    assert (answer.status_code, answer.json()) == (200, {"redirect_url": None})
    assert "short-lived" not in json.dumps(opened.kept("iconik"), default=str)


def test_a_hook_with_a_wrong_secret_turns_failing_over_there(dam, opened):
    dam.options(webhook_retries=0, webhook_failing_after=1)
    dam.patch("webhooks", dam.hook, headers={"X-Secret": "wrong"})
    call(dam, "POST", "assets/v1/assets/", {"title": "Jar"})
    (hook,) = until(lambda: dam.records("webhooks", status="FAILING"), what="the hook to fail")
    assert hook["last_error"] == "HTTP 401"
    assert opened.kept("iconik") == []


def test_doubled_and_reordered_events_are_each_there_once(dam, opened):
    dam.fault(action="webhook_double")
    dam.fault(action="webhook_reorder")
    ids = {call(dam, "POST", "assets/v1/assets/", {"title": f"Jar {n}"})["id"] for n in range(4)}
    until(lambda: len(dam.records("deliveries")) >= 5, what="all deliveries")
    rows = opened.kept("iconik", "assets.entity.create")
    assert (len(rows), {row["subject"] for row in rows}) == (4, ids)


@pytest.mark.parametrize(
    ("changes", "subject"),
    [
        ({}, "asset-1"),
        ({"event_type": "assets", "realm": "entity", "object_id": "x", "data": {}}, "x"),
        ({"event_type": "ASSETS", "realm": "SHARES", "object_id": "s", "data": {"object_id": "y", "object_type": "assets"}}, "y"),
        ({"realm": "approvals", "object_id": "z", "data": {"asset_id": "w"}}, "w"),
        ({"realm": "approvals", "object_id": "z", "data": {"id": "v"}}, "v"),
        ({"realm": "approvals", "object_id": "z", "data": None}, "z"),
    ],
)  # fmt: skip
def test_the_asset_is_found_in_the_event(opened, changes, subject):
    assert post(opened, "webhooks", EVENT | changes).status_code == 200
    (row,) = opened.kept("iconik")
    assert row["subject"] == subject
    assert row["type"] == row["type"].lower()


def test_what_our_own_user_wrote_is_answered_and_starts_nothing(opened):
    assert post(opened, "webhooks", EVENT | {"user_id": "robot"}).status_code == 200
    assert opened.kept("iconik") == []
    assert [(one.new, one.reason) for one in opened.ledger.receipts()] == [(0, "own_change")]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("webhooks", {}, 422),
        ("webhooks", EVENT | {"realm": 7}, 422),
        ("webhooks", EVENT | {"object_id": "a\nb"}, 422),
        ("actions", ACTION | {"asset_ids": "a1"}, 422),
        ("actions", {"context": "ASSET"}, 422),
        ("actions", [ACTION], 422),
    ],
)
def test_what_is_no_event_is_refused(opened, path, body, status):
    answer = post(opened, path, body)
    assert (answer.status_code, bool(answer.json()["error"]["code"])) == (status, True)
    assert opened.kept("iconik") == []


def test_the_secret_may_stand_in_another_header_or_be_basic(receiver):
    receiver.open("iconik", password=SAID, header="X-Ours")
    assert receiver.post("/iconik/webhooks", EVENT, headers={"X-Ours": SAID}).status_code == 200
    receiver.open("iconik", auth="basic", login="iconik")
    assert receiver.post("/iconik/webhooks", EVENT, auth=("iconik", SECRET.encode())).status_code == 200
    assert receiver.post("/iconik/webhooks", EVENT, headers={"X-Ours": SAID}).status_code == 401
