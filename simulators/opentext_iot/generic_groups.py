"""Device groups and subscriptions of the conventional profile. All assumed: fact sheet 11."""

from __future__ import annotations

from urllib.parse import urlsplit

from simulators.opentext_iot import generic, shapes
from simulators.opentext_iot.call import Answer, Call, Route
from simulators.opentext_iot.documents import Body, Document
from simulators.opentext_iot.errors import invalid
from simulators.opentext_iot.profile import profile

PATHS = profile("generic_rest")["paths"]


def routes() -> list[Route]:
    json = ("application/json",)
    return [
        Route("GET", PATHS["groups"], groups, dialect="problem"),
        Route("POST", PATHS["groups"], create_group, sends=json, dialect="problem"),
        Route("PUT", PATHS["group_member"], add_member, dialect="problem"),
        Route("DELETE", PATHS["group_member"], remove_member, dialect="problem"),
        Route("GET", PATHS["subscriptions"], subscriptions, dialect="problem"),
        Route("POST", PATHS["subscriptions"], subscribe, sends=json, dialect="problem"),
        Route("DELETE", PATHS["subscription"], unsubscribe, dialect="problem"),
    ]


def groups(call: Call) -> Answer:
    found, last = generic.select_page(call, "deviceGroup")
    return generic.paged([_group(one) for one in found], last=last)


def _group(one: Document) -> Body:
    return {"id": one.id, "name": one.body.get("name"), "members": one.body.get("members", [])}


def create_group(call: Call) -> Answer:
    body = call.document()
    shapes.technical(body, "name")
    made = call.platform.documents.create("deviceGroup", {"name": body["name"], "members": []})
    return Answer(201, _group(made))


def add_member(call: Call) -> Answer:
    group = call.platform.documents.get("deviceGroup", call.given["gid"])
    device = generic.needed_device(call)
    if device.id not in group.body["members"]:
        group.body["members"].append(device.id)
        call.platform.documents.write(group)
    return Answer(204)


def remove_member(call: Call) -> Answer:
    group = call.platform.documents.get("deviceGroup", call.given["gid"])
    if call.given["id"] not in group.body["members"]:
        raise generic.missing(call.given["id"])
    group.body["members"].remove(call.given["id"])
    call.platform.documents.write(group)
    return Answer(204)


def subscriptions(call: Call) -> Answer:
    found, last = generic.select_page(call, "subscription")
    return generic.paged([_subscription(one) for one in found], last=last)


def _subscription(one: Document) -> Body:
    """Without its secret."""
    return {"id": one.id, "url": one.body["url"], "eventTypes": one.body["eventTypes"]}


def subscribe(call: Call) -> Answer:
    """From now on, events of these types (none: all) are posted to the url."""
    body = call.document()
    url, types, secret = body.get("url"), body.get("eventTypes", []), body.get("secret", "")
    if not isinstance(url, str) or not _is_web_address(url):
        raise invalid("url must be an http or https address")
    if not isinstance(types, list) or not all(isinstance(one, str) for one in types) or not isinstance(secret, str):
        raise invalid("eventTypes must be a list of texts, secret a text")
    made = call.platform.documents.create("subscription", {"url": url, "eventTypes": types, "secret": secret})
    call.platform.database.db.execute("CREATE INDEX IF NOT EXISTS events_visible ON events (visible_ms)")
    return Answer(201, _subscription(made))


def _is_web_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False


def unsubscribe(call: Call) -> Answer:
    call.platform.documents.delete("subscription", call.given["id"])
    return Answer(204)
