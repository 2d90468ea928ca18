"""SAP Commerce: webhooks (CloudEvents, binary) and Outbound Sync (single, DELETE, ``$batch``).

What it sends is in its integration objects; which one is in our address, because Outbound Sync does not say so:
``/sap_commerce/webhooks/<object>`` and ``/sap_commerce/sync/<object>``. Outbound Sync counts 201 alone as success;
a batch has to return each Content-ID. The values of ``ce-type`` are not documented and read leniently.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

from commerce_sync.ledger import Added
from commerce_sync.receiver import multipart
from commerce_sync.receiver.bodies import document, must_be
from commerce_sync.receiver.deliveries import Answer, Call, Delivery, Hint, Hints, answered, digest, keepable, moment
from commerce_sync.receiver.refusals import Refusal, unreadable, wrong

FEED = "sap_commerce"
JSON = ("application/json",)
BATCH = "multipart/mixed"
KINDS = ("Created", "Updated", "Deleted", "Saved")
CHANGED = "Changed"
"""What happened where the sender does not say."""
_TARGET = re.compile(r"([A-Za-z][A-Za-z0-9_]{0,99})(?:\((.*)\))?(?:/\$batch)?", re.DOTALL)


def webhook(call: Call) -> Delivery:
    """One saved or deleted item."""
    must_be(call.media, JSON)
    name, _key = _target(call.given["object"])
    payload = document(call.body)
    key = call.header("ce-subject") or _key_of(payload)
    if not key:
        raise wrong("no_key", "neither the header ce-subject nor integrationKey says which item it is")
    kind = _kind(call.header("ce-type"))
    identity = call.header("ce-id") or call.header("integrationMessageId") or digest(name, kind, key, call.body)
    hint = _hint(call, name, kind, key, identity=identity, via="webhook", payload=payload)
    return Delivery(FEED, Hints([hint]).rows(), answered(201))


def sync(call: Call) -> Delivery:
    """One run's send of Outbound Sync: an item, an item's end, or a batch of them."""
    name, key = _target(call.given["target"])
    if call.method == "DELETE":
        if not key:
            raise wrong("no_key", f"a DELETE names the item, such as {name}('4711')")
        identity = f"sync:{call.header('integrationMessageId') or digest(name, key)}"
        hint = _hint(call, name, "Deleted", key, identity=identity, via="sync", payload={})
        return Delivery(FEED, Hints([hint]).rows(), answered(200))
    must_be(call.media, (*JSON, BATCH))
    if call.media == BATCH:
        return _batch(call, name)
    payload = document(call.body)
    key = _needed_key(payload)
    identity = f"sync:{call.header('integrationMessageId') or digest(name, call.body)}"
    hint = _hint(call, name, CHANGED, key, identity=identity, via="sync", payload=payload)
    return Delivery(FEED, Hints([hint]).rows(), answered(201))


def _batch(call: Call, name: str) -> Delivery:
    hints, results = Hints(), []
    for one in multipart.operations(call.headers.get("content-type", ""), call.body):
        try:
            hints.found.append(_operation(call, name, one))
            results.append((one.content_id, 200 if one.method == "DELETE" else 201, b""))
        except Refusal as refusal:
            results.append((one.content_id, refusal.status, refusal.body()))
    failed = sum(status >= 400 for _name, status, _body in results)

    def _answer(_added: Added) -> Answer:
        content_type, body = multipart.answer(results)
        return Answer(202, body, content_type)

    return Delivery(FEED, hints.rows(), _answer, reason=f"{failed} of {len(results)} parts refused" if failed else None)


def _operation(call: Call, name: str, one: multipart.Operation) -> Hint:
    identity = f"sync:{one.content_id or digest(name, one.path, one.body)}"
    if one.method == "DELETE":
        _set, key = _target(unquote(one.path.rpartition("/")[2]))
        if not key:
            raise wrong("no_key", "a DELETE names the item")
        return _hint(call, name, "Deleted", key, identity=identity, via="sync", payload={})
    payload = document(one.body)
    return _hint(call, name, CHANGED, _needed_key(payload), identity=identity, via="sync", payload=payload)


def _target(text: str) -> tuple[str, str]:
    """Name and key of ``OutboundOrder('4711')``; no key is an empty one."""
    found = _TARGET.fullmatch(text)
    if found is None:
        raise unreadable("address", "the address ends with an integration object's code: letters, digits and '_'")
    return found[1], keepable((found[2] or "").strip().removeprefix("'").removesuffix("'"), what="the key")


def _kind(ce_type: str) -> str:
    """What happened, from ``sap.cx.commerce.<object>.<what>.v1`` or anything like it: the last word we know."""
    words = [word.capitalize() for word in ce_type.split(".")]
    return next((word for word in reversed(words) if word in KINDS), CHANGED)


def _key_of(payload: dict[str, Any]) -> str:
    key = payload.get("integrationKey")
    return keepable(key, what="integrationKey") if isinstance(key, str) else ""


def _needed_key(payload: dict[str, Any]) -> str:
    key = _key_of(payload)
    if not key:
        raise wrong("no_key", "integrationKey is missing in the payload")
    return key


def _hint(call: Call, name: str, kind: str, key: str, *, identity: str, via: str, payload: dict[str, Any]) -> Hint:
    told = {"via": via, "object": name, "kind": kind, "message_id": call.header("integrationMessageId") or None}
    kept = {"payload": payload} if call.rules.keep_payload and payload else {}
    source = call.header("ce-source") or FEED
    return Hint(identity, f"{name}.{kind}", source, key, moment(call.header("ce-time")), told | kept)
