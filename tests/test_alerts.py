"""Alerts: a failed flow is told to somebody, with counts and reasons, by mail or by HTTP."""

import asyncio
import email
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace

import pytest

from commerce_sync import alerts, places


class Mailbox:
    """A mail server that takes every letter: enough of RFC 5321 for a client that only sends."""

    def __init__(self) -> None:
        self.letters: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 test\r\n")
        while line := (await reader.readline()).decode().strip():
            verb = line.split(" ")[0].upper()
            if verb == "DATA":
                writer.write(b"354 go on\r\n")
                self.letters.append((await reader.readuntil(b"\r\n.\r\n")).decode())
                writer.write(b"250 taken\r\n")
            elif verb == "QUIT":
                writer.write(b"221 bye\r\n")
                break
            else:
                writer.write(b"250 fine\r\n")
        writer.close()


@contextmanager
def mail_server():
    box, loop, port = Mailbox(), asyncio.new_event_loop(), []
    ready = threading.Event()

    def run() -> None:
        asyncio.set_event_loop(loop)
        server = loop.run_until_complete(asyncio.start_server(box.serve, "127.0.0.1", 0))
        port.append(server.sockets[0].getsockname()[1])
        ready.set()
        loop.run_forever()
        server.close()
        loop.run_until_complete(server.wait_closed())

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    ready.wait(10)
    yield box, port[0]
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


@contextmanager
def http_server():
    posts: list[dict] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posts.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

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


def test_a_failed_flow_is_mailed_with_its_counts_and_reasons(failed_run, monkeypatch):
    with mail_server() as (box, port):
        monkeypatch.setenv("AIRFLOW_CONN_COMMERCE_SYNC_ALERTS", json.dumps({
            "conn_type": "smtp", "host": "127.0.0.1", "port": port, "login": "", "password": "",
            "extra": {"to": "ops@example.com", "from_email": "sync@example.com", "disable_ssl": True, "disable_tls": True}}))  # fmt: skip
        notify(failed_run[2])
    assert len(box.letters) == 1
    letter = email.message_from_string(box.letters[0].removesuffix("\r\n.\r\n"))
    body = (
        next(part for part in letter.walk() if part.get_content_maintype() == "text").get_payload(decode=True).decode()
    )
    assert letter["Subject"] == "salesforce_customers failed"
    assert "customers: stopped; extracted 10" in body
    assert "guard max_deletes allows (2)" in body


def test_a_failed_flow_is_posted_as_json(failed_run, monkeypatch):
    with http_server() as (posts, port):
        monkeypatch.setenv("AIRFLOW_CONN_COMMERCE_SYNC_ALERTS", f"http://127.0.0.1:{port}")
        notify(failed_run[2])
    assert [(leg["leg"], leg["status"]) for leg in posts[0]["legs"]] == [
        ("customers", "stopped"),
        ("contacts", "stopped"),
    ]
    assert posts[0]["legs"][0]["extracted"] == 10


def test_a_run_that_died_no_longer_holds_up_the_next_one(failed_run):
    ledger, running, context = failed_run
    notify(context)
    assert ledger.find_run("contacts", running.run).status == "stopped"


def test_without_a_connection_the_alert_stays_in_the_log(failed_run):
    notify(failed_run[2])
