"""What all simulated systems share: faults, counters, clock, control, a clean stop."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import requests

ROOT = Path(__file__).resolve().parents[2]


def token(far) -> str:
    form = {"grant_type": "client_credentials", "client_id": far.client_id, "client_secret": far.client_secret}
    return requests.post(f"{far.url}/services/oauth2/token", data=form, timeout=10).json()["access_token"]


def versions(far, **more):
    return requests.get(f"{far.url}/services/data/", timeout=10, **more)


def test_health_answers(salesforce):
    assert requests.get(f"{salesforce.url}/healthz", timeout=10).json() == {"status": "ok"}


def test_a_status_fault_hits_as_often_as_it_says(salesforce):
    salesforce.fault(
        match={"path": "/services/data"}, action="status", status=503, headers={"Retry-After": "1"}, times=2, skip=1
    )
    assert [versions(salesforce).status_code for _ in range(5)] == [200, 503, 503, 200, 200]


def test_a_canned_answer_carries_headers_and_body(salesforce):
    salesforce.fault(action="status", status=429, headers={"Retry-After": "7"}, body={"slow": "down"})
    answer = versions(salesforce)
    assert (answer.status_code, answer.headers["Retry-After"], answer.json()) == (429, "7", {"slow": "down"})


def test_a_fault_can_be_tied_to_method_and_body(salesforce):
    bearer = {"Authorization": f"Bearer {token(salesforce)}"}
    salesforce.fault(match={"method": "POST", "body": "Ghost"}, action="status", status=500, times=None)
    url = f"{salesforce.url}/services/data/v60.0/sobjects/Account"
    statuses = [
        requests.post(url, json={"Name": name}, headers=bearer, timeout=10).status_code for name in ("Real", "Ghost")
    ]
    assert statuses == [201, 500]
    assert [row["Name"] for row in salesforce.records("Account")] == ["Real"]


@pytest.mark.parametrize(("action", "stored"), [("drop_before", 0), ("drop_after", 1)])
def test_a_dropped_connection_leaves_the_effect_or_not(salesforce, action, stored):
    bearer = {"Authorization": f"Bearer {token(salesforce)}"}
    salesforce.fault(match={"method": "POST"}, action=action)
    url = f"{salesforce.url}/services/data/v60.0/sobjects/Account"
    with pytest.raises(requests.ConnectionError):
        requests.post(url, json={"Name": "x"}, headers=bearer, timeout=10)
    assert len(salesforce.records("Account")) == stored


def test_an_unknown_fault_is_refused_with_the_legal_ones(salesforce):
    answer = requests.post(f"{salesforce.url}/_sim/faults", json={"action": "explode"}, timeout=10)
    assert answer.status_code == 400
    assert "drop_before" in answer.json()["error"]


def test_calls_are_counted_by_route_and_control_calls_are_not(salesforce):
    versions(salesforce)
    salesforce.records("Account")
    assert salesforce.calls()["by_route"] == {"GET /services/data": 1}
    assert salesforce.calls(log=True)["log"] == [{"method": "GET", "path": "/services/data/", "status": 200}]
    salesforce.reset_calls()
    assert salesforce.calls()["total"] == 0


def test_the_clock_moves_for_new_records(salesforce):
    salesforce.clock(now="2030-01-02T03:04:05+00:00")
    salesforce.clock(advance_s=3600)
    salesforce.put("Account", [{"Name": "later"}])
    assert salesforce.records("Account")[0]["CreatedDate"].startswith("2030-01-02T04:04:")


def test_records_can_be_loaded_changed_and_removed_past_the_api(salesforce):
    assert salesforce.put("Account", [{"Name": f"A{n}", "Commerce_Id__c": str(n)} for n in range(3)]) == 3
    key = salesforce.records("Account", Commerce_Id__c="1")[0]["Id"]
    salesforce.patch("Account", key, Name="late", SystemModstamp="2020-01-01T00:00:00Z")
    changed = salesforce.records("Account", Commerce_Id__c="1")[0]
    assert (changed["Name"], changed["SystemModstamp"]) == ("late", "2020-01-01T00:00:00.000+0000")
    salesforce.delete("Account", key)
    assert salesforce.records("Account", Commerce_Id__c="1")[0]["IsDeleted"] is True
    page = salesforce.control("GET", "records/Account", params={"limit": 1, "offset": 1})
    assert (len(page["records"]), page["total"]) == (1, 3)


@pytest.mark.parametrize("path", ["records/Nothing", "records/Account?Nonsense=1", "inspect/none"])
def test_the_control_api_explains_what_it_refuses(salesforce, path):
    answer = requests.get(f"{salesforce.url}/_sim/{path}", timeout=10)
    assert answer.status_code in (400, 404)
    assert answer.json()["error"]


def held_back(far) -> None:
    """Wait until the one rule of the simulator holds a request back."""
    deadline = time.monotonic() + 10
    while not far.control("GET", "faults")["rules"][0]["hits"]:
        assert time.monotonic() < deadline, "no request came"
        time.sleep(0.01)


def test_a_request_begun_before_the_counters_were_set_back_is_not_counted_after_it(salesforce):
    host, port = salesforce.url.removeprefix("http://").split(":")
    head = f"POST /services/oauth2/token HTTP/1.1\r\nHost: {host}\r\nContent-Length: 100\r\n\r\nhalf of it"
    for counted in (1, 0):
        salesforce.clear_faults()
        salesforce.fault(action="delay", delay_ms=500, match={"path": "/token"})
        with socket.create_connection((host, int(port)), timeout=10) as client:
            client.sendall(head.encode())
            held_back(salesforce)
            if not counted:
                salesforce.reset_calls()
        deadline = time.monotonic() + 10
        while salesforce.calls()["total"] < 1 and time.monotonic() < deadline * counted:
            time.sleep(0.01)
        time.sleep(1)
        assert [call["status"] for call in salesforce.calls(log=True)["log"]] == [None] * counted
    assert versions(salesforce).status_code == 200


def test_a_request_that_is_held_back_does_not_reach_a_system_that_was_reset(salesforce):
    bearer = {"Authorization": f"Bearer {token(salesforce)}"}
    url, found = f"{salesforce.url}/services/data/v60.0/sobjects/Account", []

    def send():
        try:
            found.append(requests.post(url, json={"Name": "Acme"}, headers=bearer, timeout=10).status_code)
        except requests.exceptions.ConnectionError:
            found.append(None)

    for resets in (False, True):
        salesforce.clear_faults()
        salesforce.fault(action="delay", delay_ms=2000, match={"method": "POST", "path": "/Account"})
        thread = threading.Thread(target=send)
        thread.start()
        held_back(salesforce)
        if resets:
            salesforce.reset()
        thread.join()
    assert found == [201, None]
    assert (salesforce.records("Account"), salesforce.calls()["total"]) == ([], 0)


def test_an_unknown_option_is_refused_and_a_reset_restores_defaults(salesforce):
    assert requests.post(f"{salesforce.url}/_sim/options", json={"nope": 1}, timeout=10).status_code == 400
    salesforce.options(job_latency_ms=9)
    salesforce.reset()
    assert salesforce.control("GET", "options")["job_latency_ms"] == 0


def test_large_answers_are_compressed_when_asked(salesforce):
    bearer = {"Authorization": f"Bearer {token(salesforce)}", "Accept-Encoding": "gzip"}
    answer = requests.get(f"{salesforce.url}/services/data/v60.0/sobjects", headers=bearer, timeout=10)
    assert answer.headers["Content-Encoding"] == "gzip"
    assert answer.json()["maxBatchSize"] == 200


def command(*options: str) -> list[str]:
    return [sys.executable, "-m", "simulators", "--port-base", "0", *options]


def test_a_signal_stops_the_process_at_once_with_exit_code_zero():
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    options = ("--only", "salesforce", "--seed", "empty")
    with subprocess.Popen(command(*options), cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        ready = json.loads(process.stdout.readline())
        assert set(ready) == {"salesforce", "ca_file"}
        control = requests.get(f"{ready['salesforce']['url']}/_sim/calls", timeout=10)
        assert control.status_code == 404  # the control API is off unless asked for
        begun = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize(("options", "word"), [(("--only", "nowhere"), "legal"), (("--seed", "full"), "legal")])
def test_a_wrong_command_line_ends_with_a_sentence(options, word):
    found = subprocess.run(command(*options), cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert found.returncode != 0
    assert word in found.stderr
    assert "Traceback" not in found.stderr


def test_a_truncated_answer_breaks_off_in_the_middle(salesforce):
    salesforce.fault(match={"path": "/services/data"}, action="truncate", bytes=40)
    with pytest.raises(requests.exceptions.RequestException):
        versions(salesforce)
    assert versions(salesforce).json()[0]["version"] == "31.0"
    assert salesforce.calls()["total"] == 2


def test_a_body_that_is_not_what_its_encoding_says_is_refused(salesforce):
    url, headers = f"{salesforce.url}/services/oauth2/token", {"Content-Encoding": "gzip"}
    assert requests.post(url, data=b"plain", headers=headers, timeout=10).status_code == 400
    assert versions(salesforce).status_code == 200
