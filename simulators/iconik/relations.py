"""Relations between assets, their types, and the history of an asset. Source: fact sheet sections 7 and 8."""

from __future__ import annotations

from simulators.iconik import asset_shapes, shapes
from simulators.iconik.asset_records import add_history, asset_of
from simulators.iconik.call import Answer, Call, Route, Row, created, nothing
from simulators.iconik.errors import bad_request
from simulators.iconik.paging import listed, page_asked, page_of
from simulators.iconik.store import public

TYPES = "/API/assets/v1/assets/relation_types/"
ROOT = "/API/assets/v1/assets/{asset_id}/"


def routes() -> list[Route]:
    relations, history = ROOT + "relations/", ROOT + "history/"
    return [
        Route("GET", TYPES, list_types),
        Route("POST", TYPES, create_type),
        Route("GET", TYPES + "{relation_type}/", read_type),
        Route("PATCH", TYPES + "{relation_type}/", change_type),
        Route("PUT", TYPES + "{relation_type}/", change_type),
        Route("DELETE", TYPES + "{relation_type}/", delete_type),
        Route("GET", relations, list_relations),
        Route("POST", relations, create),
        Route("GET", relations + "{relation_type}/", list_relations),
        Route("POST", relations + "{relation_type}/{related_id}/", create_named),
        Route("DELETE", relations + "{relation_type}/{related_id}/", delete),
        Route("POST", relations + "{relation_type}/{related_id}/reverse/", reverse),
        Route("GET", history, list_history),
        Route("POST", history, write_history),
        Route("GET", history + "{entry_id}/", read_history),
        Route("DELETE", history + "{entry_id}/", delete_history),
    ]


def list_types(call: Call) -> Answer:
    return Answer(page_of(call, call.site.store.find("relation_types")))


def create_type(call: Call) -> Answer:
    values = shapes.read(call, asset_shapes.RELATION_TYPE)
    if call.site.store.get("relation_types", values["name"]):
        raise bad_request("Relation type already exists")
    now = call.now
    base = {"is_directional": True, "description": None, "is_system": False, "date_created": now, "date_modified": now}
    return created(call.site.store.put("relation_types", values["name"], base | values))


def read_type(call: Call) -> Answer:
    return Answer(call.need("relation_types", call.given["relation_type"]))


def change_type(call: Call) -> Answer:
    row = call.need("relation_types", call.given["relation_type"])
    values = shapes.read(call, asset_shapes.RELATION_TYPE, partial=call.method == "PATCH")
    row |= values | {"name": row["name"], "date_modified": call.now}
    return Answer(call.site.store.put("relation_types", row["name"], row))


def delete_type(call: Call) -> Answer:
    row = call.need("relation_types", call.given["relation_type"])
    if row["is_system"]:
        raise bad_request("System relation types cannot be deleted")
    call.site.store.remove("relation_types", row["name"])
    return nothing()


def _link(asset_id: str, kind: str, related_id: str) -> str:
    return f"{asset_id}:{kind}:{related_id}"


def list_relations(call: Call) -> Answer:
    """Pages of asset documents; ``search_after`` is the ``_sort`` of the last one."""
    asset, kind = asset_of(call), call.given.get("relation_type")
    if kind is not None:
        call.need("relation_types", kind)
    links = call.site.store.find("relations", owner=asset["id"])
    wanted = [link["related_to_asset_id"] for link in links if kind in (None, link["relation_type"])]
    documents = [call.site.index.build(key) for key in wanted]
    deleted = call.flag("include_deleted", False)
    rows = [row for row in documents if row is not None and (deleted or row["status"] != "DELETED")]
    rows = [row | {"_sort": [row["date_created"], row["id"]]} for row in listed(call, rows)]
    if after := call.query.get("search_after"):
        rows.sort(key=lambda row: row["_sort"])
        last = after.strip('[]"').rpartition(",")[2].strip('" ')
        place = next((number for number, row in enumerate(rows, 1) if row["id"] == last), len(rows))
        return Answer(page_of(call, rows[place : place + page_asked(call)[1]]))
    return Answer(page_of(call, rows))


def create(call: Call) -> Answer:
    return _create(call, shapes.read(call, asset_shapes.RELATION))


def create_named(call: Call) -> Answer:
    named = {"related_to_asset_id": call.given["related_id"], "relation_type": call.given["relation_type"]}
    call.content = {**call.json_object(), **named}
    return create(call)


def _create(call: Call, body: Row) -> Answer:
    """201 when it is new, 200 when it was there."""
    asset, store = asset_of(call), call.site.store
    if store.get("relation_types", body["relation_type"]) is None:
        raise bad_request("Relation type does not exist")
    if store.get("assets", body["related_to_asset_id"]) is None or body["related_to_asset_id"] == asset["id"]:
        raise bad_request("Related asset does not exist")
    key = _link(asset["id"], body["relation_type"], body["related_to_asset_id"])
    if known := store.get("relations", key):
        return Answer(_relation(known))
    now = call.now
    row: Row = {"id": key, "uuid": store.new_id(), "asset_id": asset["id"], "description": None, "date_created": now}
    row |= body | {"date_modified": now}
    store.put("relations", key, row, owner=asset["id"], part=body["related_to_asset_id"])
    call.site.index.touch(asset["id"])
    call.tell("assets", asset["id"], realm="relations", operation="create", data=_relation(row))
    return created(_relation(row))


def _relation(row: Row) -> Row:
    return {name: value for name, value in row.items() if name != "uuid"} | {"id": row["uuid"]}


def delete(call: Call) -> Answer:
    asset = asset_of(call)
    key = _link(asset["id"], call.given["relation_type"], call.given["related_id"])
    row = call.need("relations", key)
    call.site.store.remove("relations", key)
    call.site.index.touch(asset["id"])
    call.tell("assets", asset["id"], realm="relations", operation="delete", data=_relation(row))
    return nothing()


def reverse(call: Call) -> Answer:
    """Turn a relation round: the related asset becomes the source."""
    asset, store = asset_of(call), call.site.store
    row = call.need("relations", _link(asset["id"], call.given["relation_type"], call.given["related_id"]))
    store.remove("relations", row["id"])
    turned = row | {"asset_id": row["related_to_asset_id"], "related_to_asset_id": asset["id"]}
    turned["id"] = _link(turned["asset_id"], row["relation_type"], asset["id"])
    store.put("relations", turned["id"], turned, owner=turned["asset_id"], part=asset["id"])
    call.site.index.touch(asset["id"], turned["asset_id"])
    return Answer(_relation(turned))


# --- history -----------------------------------------------------------------------------------------


def list_history(call: Call) -> Answer:
    rows = call.site.store.find("history", owner=asset_of(call)["id"])
    return Answer(page_of(call, listed(call, rows)))


def write_history(call: Call) -> Answer:
    asset = asset_of(call)
    body = shapes.read(call, asset_shapes.HISTORY_ENTRY)
    operation, text = body.pop("operation_type"), body.pop("operation_description", None)
    values = {name: value for name, value in body.items() if value is not None}
    return created(add_history(call, asset, operation, text or "", **values))


def read_history(call: Call) -> Answer:
    return Answer(public(call.need("history", call.given["entry_id"], owner=asset_of(call)["id"])))


def delete_history(call: Call) -> Answer:
    row = call.need("history", call.given["entry_id"], owner=asset_of(call)["id"])
    call.site.store.remove("history", row["id"])
    return nothing()
