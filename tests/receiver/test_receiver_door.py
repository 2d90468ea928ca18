"""Who gets in, how much, how it is remembered, and what happens while the ledger stands still."""

from __future__ import annotations

import gzip
import json
import logging
import threading
import time

import pytest

from commerce_sync.errors import ConfigurationError, RetryableError
from commerce_sync.ledger import Ledger
from commerce_sync.receiver.credentials import Keys, credential
from commerce_sync.receiver.pace import Pace
from receiver.receiving import LOGIN, SECRET, Receiver, until

AUTH = (LOGIN, SECRET.encode())
PATH = "/sap_commerce/sync/OutboundOrder"
ITEM = {"integrationKey": "o1"}


def item(number):
    return {"integrationKey": f"o{number}"}


@pytest.fixture
def opened(receiver):
    receiver.open("sap_commerce", login=LOGIN)
    return receiver


def test_nobody_gets_in_before_there_is_a_connection(receiver):
    assert receiver.post(PATH, ITEM, auth=AUTH).status_code == 404
    receiver.open("sap_commerce", login=LOGIN)
    assert receiver.post(PATH, ITEM, auth=AUTH).status_code == 201
    receiver.close("sap_commerce")
    assert receiver.post(PATH, ITEM, auth=AUTH).status_code == 404


def test_without_the_receivers_file_everything_is_closed(opened):
    opened.file.unlink()
    assert opened.post(PATH, ITEM, auth=AUTH).status_code == 404


@pytest.mark.parametrize("auth", [None, (LOGIN, b"wrong"), ("other", SECRET.encode()), (LOGIN, b""), ("", b"")])
def test_wrong_credentials_are_refused(opened, auth):
    answer = opened.post(PATH, ITEM, auth=auth)
    assert (answer.status_code, "WWW-Authenticate" in answer.headers) == (401, True)
    assert opened.kept("sap_commerce") == []


@pytest.mark.parametrize("header", ["Basic %%%", "Basic", "Bearer x", "Basic eA==", "", "\u00e9"])
def test_odd_authorizations_are_refused(opened, header):
    assert opened.post(PATH, ITEM, headers={"Authorization": header.encode("latin-1")}).status_code == 401


def test_the_password_before_is_taken_while_it_is_being_changed(opened):
    opened.open("sap_commerce", login=LOGIN, password="new", previous_password=SECRET)
    assert [opened.post(PATH, ITEM, auth=(LOGIN, one)).status_code for one in (b"new", SECRET.encode(), b"older")] == [
        201, 201, 401,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"password": ""}, "lacks login and password"),
        ({"login": None}, "lacks login and password"),
        ({"auth": "none"}, "auth is 'none'; legal: basic, header, bearer, hmac"),
        ({"auht": "basic"}, "unknown extra 'auht'; legal: auth"),
        ({"skew_s": "long"}, "skew_s is 'long'"),
    ],
)
def test_a_connection_that_cannot_be_used_closes_the_source_and_says_why_in_the_log(opened, fields, message, caplog):
    opened.open("sap_commerce", **({"login": LOGIN} | fields))
    with caplog.at_level(logging.ERROR):
        answer = opened.post(PATH, ITEM, auth=AUTH)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "misconfigured")
    assert message in caplog.text


def test_a_broken_file_is_named_with_its_line_in_the_log(opened, caplog):
    opened.file.write_text("sources:\n  sap_commerce: {max_byte: 1}\n")
    with caplog.at_level(logging.ERROR):
        assert opened.post(PATH, ITEM, auth=AUTH).status_code == 503
    assert "receiver.yaml:2: unknown 'max_byte' (did you mean 'max_bytes'?)" in caplog.text


def test_no_secret_is_ever_logged_or_shown(opened, caplog):
    with caplog.at_level(logging.DEBUG):
        opened.post(PATH, ITEM, auth=(LOGIN, b"guessed-password"))
        opened.post(PATH, ITEM, auth=AUTH)
        opened.open("sap_commerce", login=LOGIN, auth="none")
        opened.post(PATH, ITEM, auth=AUTH)
    assert SECRET not in caplog.text
    assert "guessed-password" not in caplog.text

    class Given:
        login, password, extra_dejson = LOGIN, SECRET, {}

    assert SECRET not in repr(credential("sap_commerce", Given, name="x"))


def test_a_connection_is_remembered_for_a_while():
    asked = []
    keys = Keys(lambda name: asked.append(name), kept_s=60)
    assert [keys.find("iconik"), keys.find("iconik")] == [None, None]
    assert asked == ["commerce_sync_receiver_iconik"]


def test_too_many_are_told_when_to_come_again(opened):
    opened.file.write_text(opened.file.read_text().replace("per_minute: 6000", "per_minute: 3"))
    answers = [opened.post(PATH, item(n), auth=AUTH) for n in range(4)]
    assert [one.status_code for one in answers] == [201, 201, 201, 429]
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 20
    assert len(opened.kept("sap_commerce")) == 3


def test_a_pace_refills():
    now = [0.0]
    pace = Pace(60, clock=lambda: now[0])
    assert [pace.wait_s() for _ in range(61)] == [0] * 60 + [1]
    now[0] = 1.0
    assert (pace.wait_s(), pace.wait_s()) == (0, 1)


def test_strangers_leave_one_receipt_a_minute_and_do_not_use_up_the_senders_share(opened):
    opened.file.write_text(opened.file.read_text().replace("per_minute: 6000", "per_minute: 5"))
    statuses = [opened.post(PATH, ITEM, auth=(LOGIN, b"wrong")).status_code for _ in range(70)]
    assert (statuses[0], statuses[-1]) == (401, 429)
    assert opened.post(PATH, ITEM, auth=AUTH).status_code == 201
    until(lambda: opened.ledger.receipts(failed=True), what="the receipt")
    assert len(opened.ledger.receipts(failed=True)) == 1


def test_a_body_that_is_too_large_or_encoded_is_not_read(opened):
    opened.file.write_text(opened.file.read_text().replace("max_bytes: 4000000", "max_bytes: 1000"))
    assert opened.post(PATH, b"x" * 1001, auth=AUTH).status_code == 413
    assert opened.post(PATH, iter([b"x" * 600] * 3), auth=AUTH).status_code == 413
    packed = gzip.compress(json.dumps(ITEM).encode())
    assert opened.post(PATH, packed, auth=AUTH, headers={"Content-Encoding": "gzip"}).status_code == 415


def test_a_ledger_that_does_not_answer_means_come_again(opened, monkeypatch):
    def _away(*_args, **_options):
        raise RetryableError("the database did not answer")

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "add_events", _away)
        answer = opened.post(PATH, ITEM, auth=AUTH)
    assert (answer.status_code, answer.headers["Retry-After"], answer.json()["error"]["code"]) == (
        503,
        "5",
        "no_ledger",
    )
    assert opened.post(PATH, ITEM, auth=AUTH).status_code == 201
    assert len(opened.kept("sap_commerce")) == 1


def test_a_ledger_that_is_locked_is_answered_in_time_and_nothing_is_doubled(ledger, tmp_path, monkeypatch):
    """Another process holds the database's write lock for longer than the sender waits."""
    import sqlite3

    receiver = Receiver(ledger, monkeypatch, tmp_path / "receiver.yaml", patience_s=0.5).start()
    try:
        receiver.open("sap_commerce", login=LOGIN)
        headers = {"integrationMessageId": "m-1"}
        lock = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
        lock.execute("BEGIN IMMEDIATE")
        began = time.perf_counter()
        answer = receiver.post(PATH, ITEM, auth=AUTH, headers=dict(headers))
        took = time.perf_counter() - began
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "slow")
        lock.execute("ROLLBACK")
        lock.close()
        print(f"\nanswered after {took:.2f} s while the ledger was locked")
        assert receiver.post(PATH, ITEM, auth=AUTH, headers=dict(headers)).status_code == 201
        until(lambda: len(ledger.receipts()) == 2, what="the late write")
        assert len(receiver.kept("sap_commerce")) == 1
    finally:
        receiver.stop()


def test_deliveries_at_once_are_all_there(opened):
    def send(start):
        for number in range(start, start + 10):
            assert opened.post(PATH, item(number), auth=AUTH).status_code == 201

    threads = [threading.Thread(target=send, args=(start,)) for start in range(0, 60, 10)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(f"\n60 deliveries by 6 senders in {time.perf_counter() - began:.2f} s")
    assert len(opened.kept("sap_commerce")) == 60
    numbers = [one.seq for one in opened.ledger.receipts()]
    assert (len(numbers), numbers) == (60, sorted(numbers, reverse=True))


def test_an_event_is_durable_before_it_is_answered(opened, tmp_path):
    """Looked at through another connection to the database, the moment the answer is there."""
    import sqlite3

    for number in range(5):
        assert opened.post(PATH, item(number), auth=AUTH).status_code == 201
        with sqlite3.connect(tmp_path / "ledger.db") as other:
            found = other.execute("SELECT count(*) FROM ledger_event").fetchone()
            noted = other.execute("SELECT count(*) FROM ledger_receipt").fetchone()
        other.close()
        assert (found, noted) == ((number + 1,), (number + 1,))


def test_a_source_without_basic_data_is_a_fault_of_ours():
    class Given:
        login, password, extra_dejson = None, None, {}

    with pytest.raises(ConfigurationError, match="commerce_sync_receiver_rates' lacks a password"):
        credential("rates", Given, name="commerce_sync_receiver_rates")
