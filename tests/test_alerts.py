"""Alerts: a failed flow is told to somebody, with counts and reasons, by mail or by HTTP."""

import json
import logging
import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace

import pyarrow as pa
import pytest

from commerce_sync import alerts, duty, places
from commerce_sync.errors import GuardError
from mailing import connection, mail_server, read

LOG = logging.getLogger(__name__)


def mailed_to(monkeypatch, port: int, name: str = "COMMERCE_SYNC_ALERTS") -> None:
    monkeypatch.setenv(f"AIRFLOW_CONN_{name}", connection(port))


@contextmanager
def http_server():
    posts: list[dict] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posts.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *args) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield posts, server.server_port
    server.shutdown()
    server.server_close()
    thread.join(10)


@pytest.fixture
def failed_run(tmp_path, monkeypatch):
    """A leg whose run stopped at its guard, and the context Airflow hands to the notifier."""
    monkeypatch.setenv("COMMERCE_SYNC_HOME", str(tmp_path))
    ledger = places.open_ledger()
    run = ledger.begin("customers", "manual__1", kind="changes", mapping_version=1)
    ledger.update(
        run, status="stopped", message="9 of 10 records is more than guard max_deletes allows (2)", extracted=10
    )
    running = ledger.begin("contacts", "manual__1", kind="changes", mapping_version=1)
    context = {"dag_run": SimpleNamespace(dag_id="salesforce_customers", run_id="manual__1"), "reason": "task_failure"}
    return ledger, running, context


def notify(context) -> None:
    alerts.FailureNotifier(legs=["customers", "contacts", "never_began"]).notify(context)


def of_task(context, leg="customers", error=None):
    """The context of a task's own callback."""
    error = error or GuardError("9 of 10 records is more than guard max_deletes allows (2)")
    return context | {"ti": SimpleNamespace(task_id=f"{leg}.map_changes"), "exception": error}


def test_a_failed_step_is_mailed_with_counts_reasons_and_links(failed_run, monkeypatch):
    ledger, _, context = failed_run
    with mail_server() as (box, port):
        mailed_to(monkeypatch, port)
        monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example")
        notify(of_task(context))
    (letter,) = box.letters
    subject, body = read(letter)
    assert subject == "salesforce_customers failed"
    assert "step customers.map_changes: GuardError: 9 of 10 records" in body
    assert "customers: stopped; extracted 10" in body
    assert "https://airflow.example/dags/salesforce_customers/runs/manual__1/tasks/customers.map_changes" in body
    assert [item.told_at is not None for item in ledger.alerts()] == [True]


def test_classes_of_reasons_are_counted(failed_run, monkeypatch):
    ledger, running, context = failed_run
    rows = [{"key": f"K{number}", "status": "rejected", "reason_class": name, "reason": "?", "attempts": 1}
            for number, name in enumerate(("lock", "lock", "validation"))]  # fmt: skip
    version = ledger.state("contacts").version
    ledger.settle(running, state_version=version, status="red", rejects=pa.Table.from_pylist(rows), extracted=3, sent=3,
                  rejected=3, new=3)  # fmt: skip
    with http_server() as (posts, port):
        monkeypatch.setenv("AIRFLOW_CONN_COMMERCE_SYNC_ALERTS", f"http://127.0.0.1:{port}")
        notify(of_task(context, "contacts"))
    assert "refused: lock 2, validation 1" in posts[0]["text"]


def test_task_and_dag_callbacks_make_one_message_per_failed_leg(failed_run, monkeypatch):
    """The task's callback may even run twice, when its supervisor dies; the DAG's comes after both."""
    context = failed_run[2]
    with mail_server() as (box, port):
        mailed_to(monkeypatch, port)
        notify(of_task(context))
        notify(of_task(context))
        notify(context)
        notify(context)
    bodies = [read(letter)[1] for letter in box.letters]
    assert len(bodies) == 2
    assert "leg customers" in bodies[0]
    assert "leg customers" not in bodies[1]
    assert "leg contacts" in bodies[1]


def test_a_cleared_run_that_fails_again_is_told_again(failed_run, monkeypatch):
    context = failed_run[2]
    with mail_server() as (box, port):
        mailed_to(monkeypatch, port)
        notify(of_task(context))
        context["dag_run"].start_date = datetime(2026, 5, 2, tzinfo=UTC)
        notify(of_task(context))
    assert len(box.letters) == 2


def test_errors_of_others_are_named_without_their_text(failed_run, monkeypatch):
    with mail_server() as (box, port):
        mailed_to(monkeypatch, port)
        notify(of_task(failed_run[2], error=ValueError("ada@people.example")))
    subject, body = read(box.letters[0])
    assert "ValueError" in body
    assert "ada@people" not in subject + body


def test_a_run_that_died_no_longer_holds_up_the_next_one(failed_run):
    ledger, running, context = failed_run
    notify(context)
    assert ledger.find_run("contacts", running.run).status == "stopped"


def test_without_a_connection_the_alert_stays_in_the_log(failed_run):
    notify(failed_run[2])
    assert all(item.told_at is not None for item in failed_run[0].alerts())


def test_what_could_not_be_mailed_is_sent_by_the_watch(failed_run, monkeypatch, tmp_path):
    ledger, _, context = failed_run
    monkeypatch.setattr(duty, "LEFT_ALONE", timedelta(0))
    with mail_server() as (box, port):
        mailed_to(monkeypatch, port)
        box.refuses = True
        notify(of_task(context))
        assert box.letters == []
        box.refuses = False
        duty.look(ledger, folder=tmp_path, log=LOG)
        duty.look(ledger, folder=tmp_path, log=LOG)
    (letter,) = box.letters
    assert "9 of 10 records" in read(letter)[1]


KILLED = """
import sys
from types import SimpleNamespace
from commerce_sync import alerts
from commerce_sync.errors import GuardError

context = {"dag_run": SimpleNamespace(dag_id="salesforce_customers", run_id="manual__1", start_date=None),
           "ti": SimpleNamespace(task_id="customers.map_changes"), "exception": GuardError("too many")}
alerts.FailureNotifier(legs=["customers"]).notify(context)
"""


def test_a_process_killed_while_it_mails_loses_no_alert_and_doubles_none(failed_run, monkeypatch, tmp_path):
    ledger, _, context = failed_run
    monkeypatch.setattr(duty, "LEFT_ALONE", timedelta(0))
    with mail_server() as (box, port):
        mailed_to(monkeypatch, port)
        child = subprocess.Popen([sys.executable, "-c", KILLED], env=os.environ | {"PYTHONPATH": "plugins"})
        box.dies = lambda: child.send_signal(signal.SIGKILL)
        box.refuses = True  # the letter was on its way when its sender died
        assert child.wait(60) == -signal.SIGKILL
        box.dies, box.refuses = None, False
        notify(context | {"dag_run": SimpleNamespace(dag_id="salesforce_customers", run_id="manual__1")})
        for _round in range(2):
            duty.look(ledger, folder=tmp_path, log=LOG)
    told = "".join(read(letter)[1] for letter in box.letters)
    assert told.count("leg customers") == 1
    assert told.count("leg contacts") == 1


def test_several_ways_are_tried_and_one_that_fails_stops_no_other(failed_run, monkeypatch):
    """Slack's webhook and Apprise's JSON service are spoken to over HTTP, as they are."""
    with http_server() as (posts, port):
        monkeypatch.setenv("COMMERCE_SYNC_ALERTS", "nowhere, gone, slack, all_else")
        monkeypatch.setenv("AIRFLOW_CONN_GONE", "http://127.0.0.1:9")
        slack = {"conn_type": "slackwebhook", "password": f"http://127.0.0.1:{port}/services/T/B/secret"}
        monkeypatch.setenv("AIRFLOW_CONN_SLACK", json.dumps(slack))
        other = {"conn_type": "apprise", "extra": {"config": {"path": f"json://127.0.0.1:{port}/hook", "tag": "ops"}}}
        monkeypatch.setenv("AIRFLOW_CONN_ALL_ELSE", json.dumps(other))
        notify(of_task(failed_run[2]))
    assert [next(key for key in ("text", "message") if key in post) for post in posts] == ["text", "message"]
    assert "*salesforce_customers failed*" in posts[0]["text"]
    assert "guard max_deletes allows (2)" in posts[1]["message"]
    assert all(item.told_at is not None for item in failed_run[0].alerts())


def test_a_service_of_apprise_that_does_not_take_it_is_no_success(failed_run, monkeypatch):
    other = {"conn_type": "apprise", "extra": {"config": {"path": "json://127.0.0.1:9/hook"}}}
    monkeypatch.setenv("AIRFLOW_CONN_COMMERCE_SYNC_ALERTS", json.dumps(other))
    notify(of_task(failed_run[2]))
    assert [item.told_at for item in failed_run[0].alerts()] == [None]


def test_a_late_run_is_told_once(failed_run, monkeypatch):
    with mail_server() as (box, port):
        mailed_to(monkeypatch, port)
        for _time in range(2):
            alerts.late(legs=["customers"], hours=4.0,
                        context={"dag_run": {"dag_id": "salesforce_customers", "run_id": "manual__1"}})  # fmt: skip
    (letter,) = box.letters
    subject, body = read(letter)
    assert subject == "salesforce_customers is late"
    assert "is not done 4 hours after it was queued" in body
    assert "customers: stopped; extracted 10" in body
