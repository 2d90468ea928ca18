"""The notifications service: webhooks, created, listed, changed, deleted. Source: fact sheet section 13."""

from __future__ import annotations

from simulators.iconik import file_shapes, shapes
from simulators.iconik.call import Answer, Call, Route, Row, created, nothing
from simulators.iconik.event_query import matches
from simulators.iconik.store import public

ROOT = "/API/notifications/v1/webhooks/"


def routes() -> list[Route]:
    one = ROOT + "{webhook_id}/"
    return [
        Route("GET", ROOT, list_webhooks),
        Route("POST", ROOT, create),
        Route("GET", one, read),
        Route("PUT", one, change),
        Route("DELETE", one, delete),
    ]


def list_webhooks(call: Call) -> Answer:
    return Answer({"objects": [public(row) for row in call.site.store.find("webhooks")]})


def _values(call: Call) -> Row:
    values = shapes.read(call, file_shapes.WEBHOOK)
    if values.get("query"):
        try:
            matches(values["query"], {})
        except ValueError as error:
            raise shapes.invalid({"query": str(error)}) from None
    return values


def new_webhook(now: str, *, key: str, values: Row) -> Row:
    names = "description headers last_error last_payload first_failed_at deleted_at name object_id operation query"
    row: Row = dict.fromkeys([*names.split(), "realm"])
    return row | values | {"id": key, "date_created": now, "date_modified": now}


def create(call: Call) -> Answer:
    row = new_webhook(call.now, key=call.site.store.new_id(), values=_values(call))
    return created(call.site.store.put("webhooks", row["id"], row))


def read(call: Call) -> Answer:
    return Answer(public(call.need("webhooks", call.given["webhook_id"])))


def change(call: Call) -> Answer:
    """Setting ENABLED again forgets the failures."""
    row = call.need("webhooks", call.given["webhook_id"]) | _values(call) | {"date_modified": call.now}
    if row["status"] == "ENABLED":
        row |= {"first_failed_at": None, "_failures": 0}
    call.site.store.put("webhooks", row["id"], row)
    return Answer(public(row))


def delete(call: Call) -> Answer:
    call.site.store.remove("webhooks", call.need("webhooks", call.given["webhook_id"])["id"])
    return nothing()
