"""iconik: webhooks and custom actions. There is no signature, so a secret stands in a header of our own choosing.

Envelopes have no event id and no time, and ``object_id`` is not reliably the asset: an event is told apart by its
request, and the asset is found by the rules of ``asset_of``. Events may be lost, doubled and out of order.
"""

from __future__ import annotations

import uuid
from typing import Any

from commerce_sync.receiver.bodies import document, must_be
from commerce_sync.receiver.deliveries import Call, Delivery, Hint, Hints, answered, digest, keepable, moment
from commerce_sync.receiver.refusals import wrong

FEED = "iconik"
JSON = ("application/json",)
NEEDED = ("event_type", "realm", "operation", "object_id")
ID_LISTS = ("asset_ids", "collection_ids", "saved_search_ids")
MOST_IDS = 1000
TAKEN = b'{"redirect_url": null}'


def webhook(call: Call) -> Delivery:
    """One event. Those of our own user are echoes of what we wrote; they are answered and not kept."""
    must_be(call.media, JSON)
    body = document(call.body)
    told = {name: _text(body, name) for name in (*NEEDED, "request_id", "user_id")}
    missing = [name for name in NEEDED if not told[name]]
    if missing:
        raise wrong("schema", f"{missing[0]} is missing; an event has {', '.join(NEEDED)}")
    if told["user_id"] in call.credential.own_users:
        return Delivery(FEED, Hints().rows(), answered(200), reason="own_change")
    words = [told[name].lower() for name in ("event_type", "realm", "operation")]
    # Without a request to tell it apart, an event that looks like an earlier one may still be another.
    identity = told["request_id"] and digest(told["request_id"], *words, told["object_id"])
    data: dict[str, Any] = {name: told[name] for name in ("object_id", "user_id", "request_id")}
    data |= {"payload": body.get("data")} if call.rules.keep_payload else {}
    subject = asset_of(body, realm=words[1], object_id=told["object_id"])
    hint = Hint(identity or str(uuid.uuid4()), ".".join(words), FEED, subject, moment(None), data)
    return Delivery(FEED, Hints([hint]).rows(), answered(200))


def asset_of(body: dict[str, Any], *, realm: str, object_id: str) -> str:
    """The asset an event is about, as far as it says so; whoever reads it looks the asset up and lives with a 404."""
    data = body.get("data")
    inside = data if isinstance(data, dict) else {}
    if inside.get("object_type") == "assets" and _text(inside, "object_id"):
        return _text(inside, "object_id")
    if realm == "entity":
        return object_id
    return _text(inside, "asset_id") or _text(inside, "id") or object_id


def action(call: Call) -> Delivery:
    """A person's click. The short-lived token that may come along is never kept."""
    must_be(call.media, JSON)
    body = document(call.body)
    context, action_id = _text(body, "context").lower(), _text(body, "action_id")
    if not context or not action_id:
        raise wrong("schema", "context or action_id is missing; this is no custom action")
    ids = {name: _ids(body, name) for name in ID_LISTS}
    user, clicked = _text(body, "user_id"), _text(body, "date_created")
    chosen = [one for name in ID_LISTS for one in ids[name]]
    data: dict[str, Any] = {"action_id": action_id, "user_id": user} | ids
    data |= {"metadata_values": body.get("metadata_values")} if call.rules.keep_payload else {}
    identity = digest(action_id, user, clicked, *chosen) if clicked else str(uuid.uuid4())
    subject = chosen[0] if len(chosen) == 1 else None
    hint = Hint(identity, f"action.{context}", FEED, subject, moment(clicked), data)
    return Delivery(FEED, Hints([hint]).rows(), answered(200, TAKEN))


def _ids(body: dict[str, Any], name: str) -> list[str]:
    found = body.get(name) or []
    if not isinstance(found, list) or len(found) > MOST_IDS or not all(isinstance(one, str) for one in found):
        raise wrong("schema", f"{name} has to be a list of at most {MOST_IDS} ids")
    return [keepable(one, what=name) for one in found]


def _text(body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise wrong("schema", f"{name} has to be a text")
    return keepable(value or "", what=name)
