"""What the platform does to clients on bad days."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import requests

FOREVER = 2**42


@pytest.fixture
def sent(classic, tenant):
    """Ten searchable events."""
    for number in range(10):
        assert tenant.send(message_id=f"m-{number}", faultCode="E17", runtimeHours=number).ok
    classic.settle()
    return tenant


def ids(found):
    return [one["messageId"] for one in found]


def test_index_lag_hides_what_is_new_from_lists_and_searches(classic, opentext_iot, sent):
    opentext_iot.fault(action="index_lag", seconds=3600, times=None)
    assert classic.search(0, FOREVER) == []
    assert classic.search_count(0, FOREVER) == 0
    assert classic.listed("device") == []
    assert classic.ask("GET", f"/device/v3/devices/{sent.device}", "device").ok
    opentext_iot.clock(advance_s=3600)
    classic.sign_in()
    assert len(classic.search(0, FOREVER)) == 10


def test_a_truncated_search_is_betrayed_by_the_count_only(classic, opentext_iot, sent):
    opentext_iot.options(search_max_items=4)
    assert ids(classic.search(0, FOREVER)) == ["m-0", "m-1", "m-2", "m-3"]
    assert classic.search_count(0, FOREVER) == 10
    opentext_iot.options(search_max_items=0)
    opentext_iot.fault(action="truncate_search", max_items=7)
    assert [len(classic.search(0, FOREVER)) for _ in range(2)] == [7, 10]


def test_a_count_may_lie(classic, opentext_iot, sent):
    opentext_iot.fault(action="count_mismatch", difference=-3)
    assert [classic.search_count(0, FOREVER) for _ in range(2)] == [7, 10]


def test_results_may_be_repeated_and_shuffled(classic, opentext_iot, sent):
    opentext_iot.fault(action="duplicate_results", share=0.5)
    repeated = ids(classic.search(0, FOREVER))
    assert len(repeated) > 10
    assert len(set(repeated)) == 10
    opentext_iot.fault(action="reorder_events")
    shuffled = ids(classic.search(0, FOREVER))
    assert shuffled != sorted(shuffled)
    assert len(shuffled) == 10


def test_stored_repeats_are_counted_too(classic, opentext_iot, sent):
    assert opentext_iot.fault(action="duplicate_events", share=0.3)["done"] > 0
    found = ids(classic.search(0, FOREVER))
    assert len(found) == classic.search_count(0, FOREVER) > 10
    opentext_iot.fault(action="duplicate_events", limit=1, payload='{"faultCode": "E99"}')
    assert len({one["message"] for one in classic.search(0, FOREVER) if one["messageId"] == "m-0"}) == 2


def test_lost_events_are_accepted_and_gone(classic, opentext_iot, tenant):
    opentext_iot.fault(action="lose_events", skip=1, times=1)
    for number in range(3):
        assert tenant.send(message_id=f"m-{number}").status_code == 200
    classic.settle()
    assert ids(classic.search(0, FOREVER)) == ["m-0", "m-2"]
    assert opentext_iot.fault(action="erase_events")["done"] == 2
    assert classic.search_count(0, FOREVER) == 0


def test_late_events_turn_up_at_their_old_place(classic, opentext_iot, sent):
    before = classic.search(0, FOREVER)
    opentext_iot.fault(action="delay_events", share=0.5, seconds=300)
    assert 0 < len(classic.search(0, FOREVER)) < 10
    opentext_iot.clock(advance_s=301)
    assert classic.search(0, FOREVER) == before


@pytest.mark.parametrize("how", ["bad_base64", "bad_json", "missing_field", "unknown_template", "same_message_id"])
def test_unsound_messages_are_served_as_they_are(classic, opentext_iot, sent, how):
    assert opentext_iot.fault(action="corrupt_events", how=how, limit=2, field="faultCode")["done"] == 2
    found = classic.search(0, FOREVER)
    assert len(found) == 10
    changed = {"bad_base64": "message", "bad_json": "message", "missing_field": "message"}
    field = changed.get(how, "eventTemplateId" if how == "unknown_template" else "messageId")
    assert found[0][field] == found[1][field] or how == "missing_field"
    assert found[0][field] != found[2][field]
    url, bearer = f"{opentext_iot.url}/api/v1/events", {"Authorization": classic.session.headers["Authorization"]}
    assert len(requests.get(url, headers=bearer, timeout=10).json()["items"]) == 10


def test_unknown_corruptions_are_refused_with_the_legal_ones(opentext_iot):
    answer = requests.post(f"{opentext_iot.url}/_sim/faults", json={"action": "corrupt_events", "how": "x"}, timeout=10)
    assert answer.status_code == 400
    assert "bad_base64" in answer.json()["error"]


def test_too_many_calls_in_a_second_are_refused(classic, opentext_iot):
    opentext_iot.options(rate_limit_per_s=3)
    answers = [classic.ask("GET", "/device/v3/devices", "device") for _ in range(12)]
    refused = [one for one in answers if one.status_code == 429]
    assert refused
    assert refused[0].headers["Retry-After"] == "1"
    assert refused[0].json()["apiStatusCode"] == "framework:rate:exceeded"


def test_commands_may_fail(classic, opentext_iot, tenant):
    opentext_iot.options(command_outcome="FAILED")
    assert tenant.send_command(message_id="c-1").ok
    opentext_iot.clock(advance_s=10)
    audits = classic.ask("GET", "/commandaudit/v1/commandAudits?messageId=c-1", "messaging.commandAudit").json()
    assert [one["status"] for one in audits] == ["FAILED"]


@pytest.fixture
def inbox():
    """A web server that keeps what is posted to it; ``statuses`` are answered first, then 204."""

    class Inbox:
        def __init__(self):
            self.bodies, self.headers, self.statuses = [], [], []

    kept = Inbox()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            kept.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            kept.headers.append(dict(self.headers))
            self.send_response(kept.statuses.pop(0) if kept.statuses else 204)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    kept.url = f"http://127.0.0.1:{server.server_port}/inbox"
    yield kept
    server.shutdown()
    thread.join()
    server.server_close()


def subscribe(opentext_iot, classic, inbox, **more):
    body = {"url": inbox.url, "eventTypes": ["device.fault"], "secret": "s3"} | more
    headers = {"Authorization": classic.session.headers["Authorization"]}
    answer = requests.post(f"{opentext_iot.url}/api/v1/subscriptions", json=body, headers=headers, timeout=10)
    assert answer.status_code == 201
    assert "secret" not in answer.json()


def test_a_subscriber_gets_signed_events_and_refused_ones_again(opentext_iot, classic, tenant, inbox, wait):
    opentext_iot.options(index_delay_ms=0, subscription_retry_s=0)
    inbox.statuses = [500]
    subscribe(opentext_iot, classic, inbox)
    wait(lambda: opentext_iot.records("subscription"))
    tenant.send(message_id="m-1", faultCode="E17")
    wait(lambda: len(inbox.bodies) == 2)
    first, second = (json.loads(body) for body in inbox.bodies)
    assert first == second
    assert [one["eventId"] for one in first["events"]] == ["m-1"]
    signed = f"{inbox.headers[1]['X-OTIoT-Timestamp']}.".encode() + inbox.bodies[1]
    digest = hmac.new(b"s3", signed, hashlib.sha256).hexdigest()
    assert inbox.headers[1]["X-OTIoT-Signature"] == f"sha256={digest}"


def test_an_event_stored_after_the_time_it_bears_is_pushed_too(opentext_iot, classic, tenant, inbox, wait):
    opentext_iot.options(index_delay_ms=0)
    subscribe(opentext_iot, classic, inbox, eventTypes=[])
    since_ms = opentext_iot.records("subscription")[0]["creation"]
    time.sleep(0.3)  # turns of the pusher pass, and their times with them
    opentext_iot.put("event", [{"messageId": "m-1", "creation": since_ms, "visibleMs": since_ms, "payload": {}}])
    wait(lambda: inbox.bodies)
    assert [one["eventId"] for one in json.loads(inbox.bodies[0])["events"]] == ["m-1"]


def test_pushes_are_lost_and_doubled(opentext_iot, classic, tenant, inbox, wait):
    opentext_iot.options(index_delay_ms=0)
    subscribe(opentext_iot, classic, inbox)
    opentext_iot.fault(action="lose_pushes")
    tenant.send(message_id="m-1")
    wait(lambda: opentext_iot.control("GET", "faults")["rules"][0]["left"] == 0)
    opentext_iot.fault(action="duplicate_pushes")
    tenant.send(message_id="m-2")
    wait(lambda: len(inbox.bodies) == 2)
    assert [one["eventId"] for body in inbox.bodies for one in json.loads(body)["events"]] == ["m-2", "m-2"]
