"""Deliveries that no client library would send: the receiver answers each in time, keeps little, and stays open for others.

FUZZ=thorough asks forty times as much.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from commerce_sync.ledger import Ledger
from commerce_sync.receiver import bodies
from commerce_sync.receiver.app import PREFIX
from receiver.receiving import Receiver

LOGIN, SECRET = "sender", "s3cret-of-the-wire"
GOOD = base64.b64encode(f"{LOGIN}:{SECRET}".encode()).decode()
SIGNED_IN = f"Authorization: Basic {GOOD}\r\n"
JSON = "Content-Type: application/json\r\n"
MAX_BYTES = 1_000_000
SLOWEST_S = 30.0
SENDERS = {"/sap_commerce/webhooks/OrderSync": "sap_commerce", "/sap_commerce/sync/OrderSync": "sap_commerce",
           "/iconik/webhooks": "iconik", "/iconik/actions": "iconik", "/opentext_iot/events": "opentext_iot",
           "/events/storefront": "storefront"}  # fmt: skip
PLATFORM = {"conn_type": "commerce_sync_opentext_iot", "host": "http://127.0.0.1:9", "login": "x", "password": "x",
            "extra": {"profile": "generic_rest", "realm": "r", "tenant": "t"}}  # fmt: skip
EXAMPLES = 6_000 if os.environ.get("FUZZ") == "thorough" else 150
MUCH = settings(max_examples=EXAMPLES, deadline=None, derandomize=os.environ.get("FUZZ") != "thorough",
                suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])  # fmt: skip


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    folder = tmp_path_factory.mktemp("wire")
    ledger = Ledger.open(f"sqlite:///{folder}/ledger.db", files=f"{folder}/files")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bodies, "SLOWEST_S", 1.0)
        found = Receiver(ledger, patch, folder / "receiver.yaml", patience_s=60)
        found.file.write_text("sources:\n" + "".join(
            f"  {name}: {{per_minute: 1000000, max_bytes: {MAX_BYTES}}}\n" for name in sorted(set(SENDERS.values()))))  # fmt: skip
        for name in set(SENDERS.values()):
            found.open(name, auth="basic", login=LOGIN, password=SECRET)
        patch.setenv("AIRFLOW_CONN_OPENTEXT_IOT_DEFAULT", json.dumps(PLATFORM))
        found.start()
        yield found
        found.stop()


def exchange(receiver: Receiver, *parts: bytes, wait_s: float = SLOWEST_S) -> bytes:
    """What comes back for raw bytes; empty when the server just closes. Sending goes on until nobody takes it."""
    with socket.create_connection(("127.0.0.1", receiver.port), timeout=wait_s) as wire:
        with suppress(ConnectionError):
            for part in parts:
                wire.sendall(part)
        found = b""
        with suppress(ConnectionError, TimeoutError):
            while block := wire.recv(65_536):
                found += block
        return found


def status(answer: bytes) -> int:
    """0 when the server closed without an answer."""
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/") else 0


def assert_not_our_fault(answer: bytes) -> None:
    """Below 500; or 503 with a pause, where the platform of the devices would have to be asked and is not there."""
    is_pause = status(answer) == 503 and b"retry-after" in answer.lower() and b"names_unknown" in answer
    assert status(answer) < 500 or is_pause, answer[:300]


def head(path: str, *lines: str, method: str = "POST") -> bytes:
    return f"{method} {PREFIX}{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{''.join(lines)}\r\n".encode("latin-1")


def sized(body: bytes) -> str:
    return f"Content-Length: {len(body)}\r\n"


def assert_still_open(receiver: Receiver) -> None:
    event = {"specversion": "1.0", "id": str(time.monotonic_ns()), "source": "x", "type": "product.viewed",
             "time": "2026-11-02T09:14:07Z", "subject": "v-1", "data": {"visitor": "v-1", "product": "DRILL"}}  # fmt: skip
    answer = receiver.post("/events/storefront", event, auth=(LOGIN, SECRET),
                           headers={"Content-Type": "application/cloudevents+json"})  # fmt: skip
    assert answer.status_code < 300, answer.text


@pytest.fixture(autouse=True)
def afterwards(receiver: Receiver) -> Iterator[None]:
    """Whatever a test sent: others are served."""
    yield
    assert_still_open(receiver)


@pytest.mark.parametrize("path", SENDERS)
@pytest.mark.parametrize(
    "body",
    [
        b"[" * 200_000, b'{"a":' * 100_000 + b"1" + b"}" * 100_000, b"[" * 50_000 + b"]" * 50_000, b'"' + b"x" * 900_000 + b'"',
        b"1" + b"0" * 500_000, b"-1e" + b"9" * 300, b'{"a": "\\ud800"}', b"\xff\xfe{\x00}\x00", b'\xef\xbb\xbf{"a": 1}',
        '{"a": "é"}'.encode("latin-1"), '{"a": 1}'.encode("utf-16"), b"\x00" * 1000, b"nul", b"", b" " * 100_000,
        b'{"a": 1, "a": 2}', b'[{"id": "1"}' + b',{"id": "1"}' * 5_000 + b"]",
    ],
    ids=range(17),
)  # fmt: skip
def test_bodies_that_are_deep_long_or_no_text_are_the_senders_fault(receiver: Receiver, path: str, body: bytes) -> None:
    for kind in (
        JSON,
        "Content-Type: application/cloudevents-batch+json\r\n",
        "Content-Type: application/json; charset=utf-16\r\n",
    ):
        began = time.monotonic()
        answer = exchange(receiver, head(path, SIGNED_IN, kind, sized(body)), body)
        assert status(answer) >= 200, "it is answered"
        assert_not_our_fault(answer)
        assert time.monotonic() - began < SLOWEST_S


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "GZIP", "gzip, gzip", "x" * 500])
def test_compressed_bodies_are_refused_unread(receiver: Receiver, encoding: str) -> None:
    bomb = gzip.compress(b"[" + b"0," * 20_000_000 + b"0]")
    assert len(bomb) < 100_000
    before = psutil.Process().memory_info().rss
    answer = exchange(
        receiver, head("/events/storefront", SIGNED_IN, JSON, f"Content-Encoding: {encoding}\r\n", sized(bomb)), bomb
    )
    assert status(answer) == 415
    assert psutil.Process().memory_info().rss - before < 30_000_000


def test_a_body_without_end_is_cut_at_the_limit_and_not_kept(receiver: Receiver) -> None:
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    before = psutil.Process().memory_info().rss
    answer = exchange(
        receiver, head("/events/storefront", SIGNED_IN, JSON, "Transfer-Encoding: chunked\r\n"), *([chunk] * 3_000)
    )
    assert status(answer) in (413, 0)
    assert psutil.Process().memory_info().rss - before < 30_000_000, "200 MB were offered"


@pytest.mark.parametrize(
    "lines",
    [
        "Content-Length: 5\r\nContent-Length: 50\r\n", "Content-Length: -1\r\n", "Content-Length: 1e3\r\n",
        "Content-Length: 99999999999999999999999\r\n", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked, chunked\r\n", "Transfer-Encoding: xyz\r\n", "Content-Length: \xb2\r\n",
        "Content-Length: 1\r\n", "Content-Length: 0\r\n", "",
    ],
)  # fmt: skip
def test_lengths_that_lie_end_in_a_refusal_and_smuggle_nothing_in(receiver: Receiver, lines: str) -> None:
    inner = head("/events/storefront", SIGNED_IN, JSON, "Content-Length: 2\r\n") + b"[]"
    for body in (b"0\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n", b"zz\r\n", b'{"a":1}' + inner):
        answer = exchange(receiver, head("/events/storefront", SIGNED_IN, JSON, lines), body)
        assert_not_our_fault(answer)
        assert answer.count(b"HTTP/1.1 ") <= 1, "one request has one answer"


def test_a_promised_body_that_does_not_come_is_not_waited_for_long(receiver: Receiver) -> None:
    with socket.create_connection(("127.0.0.1", receiver.port), timeout=SLOWEST_S) as wire:
        wire.sendall(head("/events/storefront", SIGNED_IN, JSON, "Content-Length: 100\r\n") + b"[")
        began = time.monotonic()
        assert status(wire.recv(65_536)) == 408
        assert time.monotonic() - began < SLOWEST_S


@pytest.mark.parametrize("size", [1_000, 10_000, 70_000, 1_000_000])
def test_huge_headers_are_refused_or_borne(receiver: Receiver, size: int) -> None:
    for lines in (f"X-Much: {'a' * size}\r\n", "".join(f"X-{n}: a\r\n" for n in range(size // 10)), f"Cookie: {'a=b; ' * (size // 5)}\r\n",
                  f"ce-id: {'a' * size}\r\n", f"Content-Type: {'a' * size}\r\n", f"Authorization: Basic {'A' * size}\r\n"):  # fmt: skip
        answer = exchange(receiver, head("/events/storefront", SIGNED_IN, lines, "Content-Length: 2\r\n"), b"[]")
        assert_not_our_fault(answer)


def test_a_platform_without_a_connection_closes_its_source_for_now(receiver: Receiver, monkeypatch: Any) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_OPENTEXT_IOT_DEFAULT")
    answer = exchange(receiver, head("/opentext_iot/events", SIGNED_IN, JSON, "Content-Length: 2\r\n"), b"[]")
    assert status(answer) == 503
    assert b"retry-after: 60" in answer.lower()


WRONG = base64.b64encode(b"sender:wrong").decode()


@pytest.mark.parametrize("path", SENDERS)
@pytest.mark.parametrize(
    "first", [f"Authorization: Basic {WRONG}\r\n", "Authorization: \r\n", "Authorization: Bearer x\r\n"]
)
def test_of_two_credentials_a_wrong_one_does_not_get_in_by_the_other(receiver: Receiver, path: str, first: str) -> None:
    body = b"[]"
    for pair in (first + SIGNED_IN, SIGNED_IN + first):
        answer = exchange(receiver, head(path, pair, JSON, sized(body)), body)
        assert status(answer) in (401, 429), answer[:200]


@pytest.mark.parametrize(
    "given_", ["", "Basic", "Basic ", "Basic !!!!", "Basic " + "A" * 9_999, "Basic /w==", f"basic  {WRONG}", f"Bearer {GOOD}",
               f"Basic {base64.b64encode(LOGIN.encode()).decode()}", f"Basic {base64.b64encode(b':').decode()}", "Digest x", "\xff\xfe"],
)  # fmt: skip
def test_credentials_that_are_none_are_refused(receiver: Receiver, given_: str) -> None:
    for path in SENDERS:
        answer = exchange(receiver, head(path, f"Authorization: {given_}\r\n", JSON, "Content-Length: 2\r\n"), b"[]")
        assert status(answer) in (400, 401, 429), (path, answer[:200])
        assert SECRET.encode() not in answer


names = st.sampled_from(["Authorization", "Content-Type", "Content-Length", "Transfer-Encoding", "Content-Encoding", "Host",
                         "Expect", "Upgrade", "ce-id", "ce-time", "ce-type", "X-OTIoT-Signature", "X-OTIoT-Timestamp",
                         "integrationMessageId", "Range", "Content-Range"])  # fmt: skip
texts = st.text(st.characters(min_codepoint=0, max_codepoint=255), max_size=40)
raw_lines = st.lists(st.tuples(names | texts, st.sampled_from([f"Basic {GOOD}", "application/json", "multipart/mixed; boundary=b",
                     "chunked", "gzip", "100-continue", "h2c", "0", "7"]) | texts), max_size=6)  # fmt: skip
raw_bodies = st.binary(max_size=300) | st.sampled_from([b"[]", b"{}", b"--b\r\n\r\n--b--", b"0\r\n\r\n"])


@MUCH
@given(path=st.sampled_from(sorted(SENDERS)), method=st.sampled_from(["POST", "DELETE", "GET", "PUT", "TRACE", "\x00", "P" * 99]),
       lines=raw_lines, body=raw_bodies, is_signed=st.booleans(), is_sized=st.booleans())  # fmt: skip
def test_no_bytes_are_our_fault(
    receiver: Receiver, path: str, method: str, lines: Any, body: bytes, is_signed: bool, is_sized: bool
) -> None:
    told = [f"{name}: {value}\r\n" for name, value in lines]
    told += [SIGNED_IN] if is_signed else []
    told += [sized(body)] if is_sized else []
    answer = exchange(receiver, head(path, *told, method=method), body)
    assert_not_our_fault(answer)


@MUCH
@given(tail=texts, query=texts)
def test_no_address_is_our_fault(receiver: Receiver, tail: str, query: str) -> None:
    for path in ("/sap_commerce/sync/", "/sap_commerce/webhooks/", "/events/", "/"):
        answer = exchange(receiver, head(f"{path}{tail}?{query}", SIGNED_IN, JSON, "Content-Length: 2\r\n"), b"[]")
        assert_not_our_fault(answer)


def test_many_that_say_nothing_do_not_keep_others_out(receiver: Receiver) -> None:
    silent = [socket.create_connection(("127.0.0.1", receiver.port), timeout=5) for _ in range(200)]
    try:
        for number, wire in enumerate(silent):
            wire.sendall(
                b"" if number % 2 else b"POST " + PREFIX.encode() + b"/events/storefront HTTP/1.1\r\nHost: x\r\nX-A"
            )
        assert_still_open(receiver)
    finally:
        for wire in silent:
            wire.close()


def test_a_storm_of_wrong_passwords_is_slowed_and_the_right_one_gets_through(receiver: Receiver) -> None:
    seen: list[int] = []

    def knock() -> None:
        for _ in range(30):
            answer = exchange(
                receiver,
                head("/iconik/webhooks", f"Authorization: Basic {WRONG}\r\n", JSON, "Content-Length: 2\r\n"),
                b"[]",
            )
            seen.append(status(answer))

    threads = [threading.Thread(target=knock) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(60)
    assert set(seen) <= {401, 429}
    assert 429 in seen
    answer = receiver.post(
        "/events/storefront", b"[]", auth=(LOGIN, SECRET), headers={"Content-Type": "application/json"}
    )
    assert answer.status_code not in (401, 429), json.dumps(answer.text)
