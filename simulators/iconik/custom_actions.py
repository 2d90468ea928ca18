"""Custom actions: buttons that make iconik call an address. Source: fact sheet section 14.

``POST .../{context}/{action_id}/callback/`` is the user's click; the call to the address happens in the background.
"""

from __future__ import annotations

from datetime import UTC

from simulators.iconik import asset_shapes, shapes
from simulators.iconik.call import Answer, Call, Route, Row, created, nothing
from simulators.iconik.site import SYSTEM_DOMAIN
from simulators.iconik.store import public

ROOT = "/API/assets/v1/custom_actions/"
CONTEXT = ROOT + "{context:" + "|".join(asset_shapes.CONTEXTS) + "}/"


def routes() -> list[Route]:
    one = CONTEXT + "{action_id}/"
    return [
        Route("GET", ROOT, list_actions),
        Route("GET", CONTEXT, list_actions),
        Route("POST", CONTEXT, create),
        Route("GET", one, read),
        Route("PATCH", one, change),
        Route("PUT", one, change),
        Route("DELETE", one, delete),
        Route("POST", one + "callback/", click),
    ]


def list_actions(call: Call) -> Answer:
    rows = call.site.store.find("custom_actions", owner=call.given.get("context"))
    return Answer({"objects": [public(row) for row in rows]})


def create(call: Call) -> Answer:
    values = shapes.read(call, asset_shapes.CUSTOM_ACTION)
    now, context, key = call.now, call.given["context"], call.site.store.new_id()
    names = "app_id color headers last_error last_error_date metadata_view publish_template_id transcoder_id"
    row: Row = dict.fromkeys(names.split())
    row |= {"type": "POST", "disabled": False, "status": "HEALTHY", "system_domain_id": SYSTEM_DOMAIN}
    row |= values | {"id": key, "context": context, "date_created": now, "date_modified": now}
    row.pop("read_access_for_everyone", None)
    return created(call.site.store.put("custom_actions", key, row, owner=context))


def _one(call: Call) -> Row:
    return call.need("custom_actions", call.given["action_id"], owner=call.given["context"])


def read(call: Call) -> Answer:
    return Answer(public(_one(call)))


def change(call: Call) -> Answer:
    row = _one(call)
    values = shapes.read(call, asset_shapes.CUSTOM_ACTION, partial=call.method == "PATCH")
    values.pop("read_access_for_everyone", None)
    row |= values | {"context": row["context"], "date_modified": call.now}
    call.site.store.put("custom_actions", row["id"], row)
    return Answer(public(row))


def delete(call: Call) -> Answer:
    call.site.store.remove("custom_actions", _one(call)["id"])
    return nothing()


def payload(call: Call, action: Row, body: Row) -> Row:
    """As recorded three times; ``date_created`` is naive and means UTC."""
    given = {f"{name}_ids": body.get(f"{name}_ids") or [] for name in ("asset", "collection", "saved_search")}
    return {
        "user_id": call.user_id,
        "system_domain_id": SYSTEM_DOMAIN,
        "context": action["context"],
        "action_id": action["id"],
        **given,
        "metadata_view_id": body.get("metadata_view_id") or action["metadata_view"],
        "metadata_values": body.get("metadata_values"),
        "date_created": call.site.clock.now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f"),
        **({"auth_token": call.site.store.new_id()} if action.get("app_id") else {}),
    }


def click(call: Call) -> Answer:
    """Calls the action's address in the background, as a click does."""
    action = _one(call)
    body = shapes.read(call, asset_shapes.CALLBACK)
    if action["type"] == "OPEN":
        return Answer({"redirect_url": action["url"]})
    call.site.hooks.call_action(action["id"], payload(call, action, body))
    return Answer({"redirect_url": None})
