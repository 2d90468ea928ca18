"""Webhooks and custom actions, received by a small server of the test's own."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


class Receiver:
    """Keeps what arrives; answers ``status``."""

    def __init__(self) -> None:
        self.got: list[dict] = []
        self.headers: list[dict] = []
        self.status = 200
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.headers.append(dict(self.headers))
                outer.got.append(json.loads(body))  # before the answer: the next delivery may follow at once
                self.send_response(outer.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()


@pytest.fixture
def receiver():
    one = Receiver()
    yield one
    one.server.shutdown()
    one.server.server_close()


def hook(api, receiver, **more):
    body = {"event_type": "assets", "status": "ENABLED", "url": receiver.url, "headers": {"X-Secret": "s"}, **more}
    return api.ok("POST", "notifications/v1/webhooks/", json=body)


def outcomes(iconik):
    return [row["outcome"] for row in iconik.records("deliveries")]


def test_an_event_has_the_eight_keys_and_the_static_header(api, iconik, receiver, eventually):
    hook(api, receiver, realm="entity", operation="create")
    asset = api.asset("Jar")
    eventually(lambda: receiver.got)
    event = receiver.got[0]
    assert set(event) == {
        "system_domain_id",
        "event_type",
        "object_id",
        "user_id",
        "realm",
        "operation",
        "data",
        "request_id",
    }
    assert (event["object_id"], event["realm"], event["operation"]) == (asset["id"], "entity", "create")
    assert (event["user_id"], event["data"]["title"]) == (iconik.user_id, "Jar")
    assert receiver.headers[0]["X-Secret"] == "s"


def test_adding_to_a_collection_names_the_asset_as_the_object(api, receiver, eventually):
    hook(api, receiver, event_type="collections", realm="contents")
    home = api.ok("POST", "assets/v1/collections/", json={"title": "Home"})
    asset = api.asset()
    body = {"object_id": asset["id"], "object_type": "assets"}
    api.ok("POST", f"assets/v1/collections/{home['id']}/contents/", json=body)
    eventually(lambda: receiver.got)
    event = receiver.got[0]
    assert event["object_id"] == event["data"]["object_id"] == asset["id"]
    assert event["data"]["collection_id"] == home["id"]
    assert event["data"]["parents"] == [home["id"]]


def test_only_events_that_pass_the_query_arrive(api, iconik, receiver, eventually):
    hook(api, receiver, query='data.title="Yes" AND (realm=/ent.*/ OR data.id=null)', operation="create")
    api.asset("No")
    api.asset("Yes")
    eventually(lambda: receiver.got)
    assert [event["data"]["title"] for event in receiver.got] == ["Yes"]
    answer = api.call(
        "POST",
        "notifications/v1/webhooks/",
        json={"event_type": "assets", "status": "ENABLED", "url": receiver.url, "query": "a = ("},
    )
    assert answer.status_code == 400


def test_a_failed_write_tells_nobody(api, iconik, receiver):
    hook(api, receiver)
    assert api.call("POST", "assets/v1/assets/", json={}).status_code == 400
    assert outcomes(iconik) == []


def test_an_event_can_be_lost_doubled_or_late(api, iconik, receiver, eventually):
    hook(api, receiver, operation="create")
    iconik.fault(action="webhook_loss")
    api.asset("lost")
    iconik.fault(action="webhook_double")
    api.asset("twice")
    eventually(lambda: len(receiver.got) == 2)
    iconik.fault(action="webhook_reorder")
    api.asset("first")
    api.asset("second")
    eventually(lambda: len(receiver.got) == 4)
    assert [event["data"]["title"] for event in receiver.got] == ["twice", "twice", "second", "first"]
    assert outcomes(iconik).count("lost") == 1


def test_a_hook_that_keeps_failing_is_switched_off_and_can_be_switched_on(api, iconik, receiver, eventually):
    iconik.options(webhook_failing_after=2, webhook_retries=1, webhook_retry_s=0.01)
    one = hook(api, receiver, operation="create")
    receiver.status = 500
    path = f"notifications/v1/webhooks/{one['id']}/"
    for number in (1, 2):
        api.asset()
        eventually(lambda number=number: outcomes(iconik).count("failed") == number)
    failing = eventually(lambda: (row := api.ok("GET", path))["status"] == "FAILING" and row)
    assert (failing["last_error"], bool(failing["first_failed_at"])) == ("HTTP 500", True)
    assert json.loads(failing["last_payload"])["operation"] == "create"
    assert len(receiver.got) == 4
    receiver.status = 200
    body = {"event_type": "assets", "status": "ENABLED", "url": receiver.url, "operation": "create"}
    api.ok("PUT", path, json=body)
    api.asset("again")
    eventually(lambda: len(receiver.got) == 5)
    assert api.ok("GET", path)["first_failed_at"] is None


def test_the_end_of_a_transcode_is_told_without_anybody_asking(api, iconik, receiver, eventually):
    iconik.options(job_duration_s=0.3)
    hook(api, receiver, realm="jobs")
    asset = api.asset()
    api.upload(asset["id"], b"x")
    eventually(lambda: receiver.got)
    assert (receiver.got[0]["object_id"], receiver.got[0]["data"]["status"]) == (asset["id"], "FINISHED")


def test_a_click_on_a_custom_action_calls_its_address(api, iconik, receiver, eventually):
    body = {"title": "Publish", "type": "POST", "url": receiver.url, "headers": {"X-Secret": "t"}}
    action = api.ok("POST", "assets/v1/custom_actions/ASSET/", json=body)
    asset = api.asset()
    path = f"assets/v1/custom_actions/ASSET/{action['id']}/callback/"
    assert api.call("POST", path, json={"asset_ids": [asset["id"]]}).status_code == 200
    eventually(lambda: receiver.got)
    event = receiver.got[0]
    assert (event["context"], event["action_id"], event["asset_ids"]) == ("ASSET", action["id"], [asset["id"]])
    assert "+" not in event["date_created"]
    assert receiver.headers[0]["X-Secret"] == "t"
