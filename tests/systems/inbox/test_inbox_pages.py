"""A feed over HTTP: pages followed by cursor, credentials sent, trouble survived, nothing brought twice."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from commerce_sync.errors import ConfigurationError, RetryableError
from commerce_sync.ledger import Added
from commerce_sync.systems import rest
from commerce_sync.systems.inbox.operators import PollFeed
from commerce_sync.systems.inbox.polling import poll

FEED = """feed: storefront
kind: http
connection: storefront_default
path: /v1/events
cursor_param: from
size_param: limit
size: 2
"""


class Store(ThreadingHTTPServer):
    """Events behind GET /v1/events?from=<number>&limit=<number>; every answer names where to go on."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.events: list[dict] = []
        self.failures: list[int] = []
        self.next_style = "cursor"
        self.seen: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def page(self, query: dict[str, list[str]]) -> dict:
        start, limit = int(query.get("from", ["0"])[0]), int(query.get("limit", ["2"])[0])
        end = min(start + limit, len(self.events))
        page = {"events": self.events[start:end]}
        address = f"/v1/events?from={end}&limit={limit}"
        style = {"cursor": str(end), "number": end, "path": address, "url": self.url + address,
                 "elsewhere": "http://127.0.0.1:1" + address}  # fmt: skip
        if self.next_style == "until the end":
            return page | ({"next": str(end)} if end < len(self.events) else {})
        return page | {"next": style[self.next_style]}


class Handler(BaseHTTPRequestHandler):
    server: Store

    def do_GET(self) -> None:
        self.server.seen.append(self.path)
        parts = urlsplit(self.path)
        if self.headers["Authorization"] != "Bearer s3cret":
            self.reply(401, {"error": "who are you"})
        elif self.server.failures:
            self.reply(self.server.failures.pop(0), {"error": "passing"})
        elif parts.path == "/v1/events":
            self.reply(200, self.server.page(parse_qs(parts.query)))
        else:
            self.reply(404, {})

    def reply(self, status: int, body: dict) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_args: object) -> None:
        pass


@pytest.fixture
def store(home, monkeypatch) -> Iterator[Store]:
    server = Store()
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    connect(monkeypatch, server)
    monkeypatch.setattr(rest, "_pause", lambda _state: 0.0)
    (home.parent / "feed-files" / "storefront.yaml").write_text(FEED)
    yield server
    server.shutdown()
    server.server_close()


def connect(monkeypatch, server, **extra):
    value = {"conn_type": "http", "host": server.url, "extra": {"token": "s3cret"} | extra}
    monkeypatch.setenv("AIRFLOW_CONN_STOREFRONT_DEFAULT", json.dumps(value))


@pytest.fixture
def ids(kept):
    return lambda: [row["event_id"] for row in kept()]


@pytest.mark.parametrize("style", ["cursor", "number", "path", "url", "until the end"])
def test_pages_are_followed_and_the_next_poll_goes_on(store, event, ids, style):
    store.next_style = style
    store.events = [event() for _number in range(5)]
    assert poll("storefront").new == 5
    store.events += [event() for _number in range(4)]
    assert poll("storefront").new == 4
    assert ids() == [f"e{number}" for number in range(1, 10)]
    store.seen.clear()
    assert poll("storefront").new == 0
    assert len(store.seen) == 1


def test_no_more_pages_than_the_feed_allows_and_then_the_rest(store, event, ids, home):
    (home.parent / "feed-files" / "storefront.yaml").write_text(FEED + "max_pages: 2\n")
    store.events = [event() for _number in range(7)]
    assert [poll("storefront").new for _poll in range(3)] == [4, 3, 0]
    assert len(ids()) == 7


def test_events_that_come_again_on_another_page_are_known(store, event, ids):
    store.events = [event(id="a"), event(id="b"), event(id="b"), event(id="a"), event(id="c")]
    assert poll("storefront") == Added(new=3, doubled=2)
    assert ids() == ["a", "b", "c"]


def test_a_wrong_event_on_a_page_is_set_aside_and_the_feed_goes_on(store, event, ids, ledger):
    store.events = [event(), {"id": "x"}, "text", event()]
    assert poll("storefront") == Added(new=2, refused=2)
    assert "/v1/events" in ledger.rejects("feed/storefront")[0].reason


def test_passing_trouble_is_waited_out(store, event, ids):
    store.events, store.failures = [event() for _number in range(3)], [503, 429]
    assert poll("storefront").new == 3


def test_a_feed_that_breaks_off_goes_on_where_it_was(store, event, ids, ledger):
    store.events = [event() for _number in range(6)]
    calls = []

    def count(_call):
        calls.append(1)
        if len(calls) == 2:
            store.failures += [500] * 4

    with pytest.raises(RetryableError, match="500"):
        poll("storefront", on_call=count)
    assert ids() == ["e1", "e2", "e3", "e4"]
    assert ledger.feed_state("storefront").cursor == {"next": "4"}
    assert poll("storefront") == Added(new=2)


def test_wrong_credentials_are_a_matter_for_a_person(store, monkeypatch):
    connect(monkeypatch, store, token="wrong")
    with pytest.raises(ConfigurationError, match="refused .401.*correct the connection"):
        poll("storefront")


def test_credentials_do_not_follow_an_address_of_another_origin(store, event):
    store.next_style, store.events = "elsewhere", [event() for _number in range(5)]
    with pytest.raises(ConfigurationError, match="next leads to"):
        poll("storefront")


def test_an_answer_that_is_no_page_says_what_a_page_has(store, home):
    (home.parent / "feed-files" / "storefront.yaml").write_text(FEED + "events: items\n")
    with pytest.raises(RetryableError, match="no page with a list 'items'"):
        poll("storefront")


def test_a_connection_that_is_missing_is_named(store, home):
    (home.parent / "feed-files" / "storefront.yaml").write_text(FEED.replace("storefront_default", "nowhere"))
    with pytest.raises(ConfigurationError, match="no connection 'nowhere'"):
        poll("storefront")


def test_the_operator_polls_and_reports(store, event, ids):
    store.events = [event(), event(), {"id": "x"}]
    operator = PollFeed(task_id="poll", feed="storefront")
    assert operator.execute({}) == {"new": 2, "doubled": 0, "refused": 1}
    assert operator.execute({})["new"] == 0
    assert ids() == ["e1", "e2"]
