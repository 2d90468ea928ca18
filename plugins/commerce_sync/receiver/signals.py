"""Event feeds: CloudEvents 1.0 over HTTP, structured, batched, binary, or one a line.

Source: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md (read 2026-11).
What is not valid is set aside with its reason, as events from files and pages are; a delivery without any valid event
is answered 422 besides.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import msgspec

from commerce_sync.ledger import Added
from commerce_sync.receiver.bodies import must_be, must_be_keepable, parsed
from commerce_sync.receiver.deliveries import Answer, Call, Delivery
from commerce_sync.receiver.refusals import unreadable, wrong
from commerce_sync.systems.inbox import feeds
from commerce_sync.systems.inbox.checking import Checked, check

STRUCTURED, BATCHED = "application/cloudevents+json", "application/cloudevents-batch+json"
PLAIN, LINES = "application/json", "application/x-ndjson"
ATTRIBUTES = ("id", "source", "type", "specversion", "time", "subject", "datacontenttype", "dataschema")
MOST_EVENTS = 10_000
MOST_REASONS = 5


def events(call: Call) -> Delivery:
    """The events of one request. Raises Refusal for what is no JSON at all."""
    feed = feeds.find(call.rules.name)
    texts = _texts(call)
    if not texts:
        raise unreadable("malformed", "the delivery has no event")
    if len(texts) > MOST_EVENTS:
        raise wrong("too_many", f"a delivery has at most {MOST_EVENTS} events")
    try:
        checked = check(texts, types=feed.types, where="delivered")
    except RecursionError as error:
        raise unreadable("malformed", "an event is nested too deeply") from error
    reason = _first(checked)
    return Delivery(feed.feed, checked.rows(), lambda added: _answer(checked, added), checked.refused(), reason)


def _texts(call: Call) -> list[bytes]:
    """Each event's JSON. A JSON body without CloudEvents headers is one event, or an array of them."""
    must_be(call.media, (STRUCTURED, BATCHED, PLAIN, LINES))
    if call.media == LINES:
        return _lines(call.body)
    if call.media == PLAIN and call.headers.get("ce-id"):
        return [_binary(call)]
    found = parsed(call.body)
    if isinstance(found, list) and call.media != STRUCTURED:
        return [bytes(one) for one in msgspec.json.decode(call.body, type=list[msgspec.Raw])]
    if not isinstance(found, dict) or call.media == BATCHED:
        raise wrong("schema", f"{call.media} has to be {'an array of events' if call.media == BATCHED else 'an event'}")
    return [call.body]


def _lines(body: bytes) -> list[bytes]:
    lines = [line.strip() for line in body.splitlines() if line.strip()]
    for line in lines:
        must_be_keepable(line, parsed(line))
    return lines


def _binary(call: Call) -> bytes:
    """The event of a request whose attributes stand in headers and whose body is the data."""
    told = {name: call.header(f"ce-{name}") for name in ATTRIBUTES}
    return json.dumps({name: value for name, value in told.items() if value} | {"data": parsed(call.body)}).encode()


def _first(checked: Checked) -> str | None:
    """Why the first of the refused events was, without its values."""
    if not checked.rejects:
        return None
    place = checked.rejects[0]["fields"]
    return f"{len(checked.rejects)} events refused" + (f", the first at {place}" if place else "")


def _answer(checked: Checked, added: Added) -> Answer:
    told = {"new": added.new, "known": len(checked.events) - added.new, "refused": len(checked.rejects)}
    if not checked.rejects:
        return Answer(200, json.dumps(told).encode())
    body = told | {"reasons": _reasons(checked.rejects)}
    return Answer(200 if checked.events else 422, json.dumps(body).encode())


def _reasons(rejects: Sequence[dict[str, object]]) -> list[dict[str, object]]:
    return [{"id": str(one["key"])[:100], "at": one["fields"], "reason": str(one["reason"])[:200]}
            for one in rejects[:MOST_REASONS]]  # fmt: skip
