"""Collections and what they hold. Source: fact sheet section 4."""

from __future__ import annotations

from simulators.iconik import asset_shapes, shapes
from simulators.iconik.call import Answer, Call, Route, Row, created, nothing
from simulators.iconik.errors import bad_request, not_found
from simulators.iconik.paging import page_of
from simulators.iconik.searching import index_page

ROOT = "/API/assets/v1/collections/"
DEEPEST = 100


def routes() -> list[Route]:
    one = ROOT + "{collection_id}/"
    return [
        Route("GET", ROOT, list_collections),
        Route("POST", ROOT, create),
        Route("GET", ROOT + "recent/", list_collections),
        Route("GET", one, read),
        Route("PATCH", one, change),
        Route("PUT", one, replace),
        Route("DELETE", one, delete),
        Route("PUT", one + "restore/", restore),
        Route("DELETE", one + "purge/", purge),
        Route("POST", one + "reindex/", reindex),
        Route("GET", one + "contents/", contents),
        Route("POST", one + "contents/", add),
        Route("DELETE", one + "contents/{object_type:assets|collections}/{object_id}/", take_out),
        Route("GET", one + "ancestors/", ancestors),
        Route("GET", one + "full/path/", full_path),
        Route("GET", one + "content/info/", info),
        Route("GET", one + "size/", size),
    ]


def shown(call: Call, row: Row) -> Row:
    index = call.site.index
    holders = [row["parent_id"]] if row.get("parent_id") else []
    holders += [key for key in index.holders(row["id"]) if key not in holders]
    more = {"object_type": "collections", "permissions": ["read", "write", "delete"], "metadata": {}}
    return row | more | {"in_collections": holders, "parents": index.ancestors(holders)}


def list_collections(call: Call) -> Answer:
    terms = []
    if "is_root" in call.query:
        terms.append({"name": "is_root", "value": str(call.flag("is_root", True)).lower()})
    if call.query.get("status"):
        terms.append({"name": "status", "value_in": call.names("status")})
    return index_page(call, {"doc_types": ["collections"], "filter": {"operator": "AND", "terms": terms}})


def new_collection(now: str, *, key: str, user_id: str | None, values: Row) -> Row:
    """All fields of a collection; without a parent it is a root."""
    names = "category custom_keyframe custom_poster date_deleted date_viewed deleted_by_user external_id parent_id"
    row: Row = dict.fromkeys([*names.split(), "project_id", "storage_id"])
    row |= {"id": key, "status": "ACTIVE", "custom_order_status": "DISABLED", "created_by_user": user_id}
    row |= {
        "date_created": now,
        "date_modified": now,
        "favoured": False,
        "keyframe_asset_ids": [],
        "keyframes": [],
        "position": 0,
    }
    row |= values
    return row | {"is_root": not row["parent_id"]}


def create(call: Call) -> Answer:
    values = shapes.read(call, asset_shapes.COLLECTION)
    _check_parent(call, None, values.get("parent_id"))
    given = {name: value for name, value in values.items() if value is not None}
    row = new_collection(call.now, key=call.site.store.new_id(), user_id=call.user_id, values=given)
    _save(call, row, operation="create")
    if row["parent_id"]:
        put_into(call, row["parent_id"], object_type="collections", object_id=row["id"])
    return created(shown(call, row))


def _check_parent(call: Call, key: str | None, parent_id: str | None) -> None:
    if parent_id is None:
        return
    if call.site.store.get("collections", parent_id) is None:
        raise bad_request("Parent collection does not exist")
    if key is not None and key in call.site.index.ancestors([parent_id]):
        raise bad_request("A collection cannot be inside itself")


def _save(call: Call, row: Row, *, operation: str = "update") -> None:
    row["date_modified"] = row["date_created"] if operation == "create" else call.now
    call.site.store.put("collections", row["id"], row)
    call.site.index.touch(row["id"])
    call.tell("collections", row["id"], realm="entity", operation=operation, data=shown(call, row))


def read(call: Call) -> Answer:
    return Answer(shown(call, call.need("collections", call.given["collection_id"])))


def change(call: Call) -> Answer:
    return _changed(call, partial=True)


def replace(call: Call) -> Answer:
    return _changed(call, partial=False)


def _changed(call: Call, *, partial: bool) -> Answer:
    row = call.need("collections", call.given["collection_id"])
    values = shapes.read(call, asset_shapes.COLLECTION, partial=partial)
    moved = "parent_id" in values and values["parent_id"] != row["parent_id"]
    if moved:
        _check_parent(call, row["id"], values["parent_id"])
        if row["parent_id"]:
            _unlink(call, row["parent_id"], row["id"])
    row |= values
    row["is_root"] = not row["parent_id"]
    _save(call, row)
    if moved and row["parent_id"]:
        put_into(call, row["parent_id"], object_type="collections", object_id=row["id"])
    if moved:
        _touch_below(call, row["id"])
    return Answer(shown(call, row))


def _touch_below(call: Call, key: str, depth: int = 0) -> None:
    for link in call.site.store.find("contents", owner=key) if depth < DEEPEST else []:
        call.site.index.touch(link["object_id"])
        if link["object_type"] == "collections":
            _touch_below(call, link["object_id"], depth + 1)


def delete(call: Call) -> Answer:
    """Soft; an empty collection goes at once (204), one with contents as a job (202)."""
    row = call.need("collections", call.given["collection_id"])
    held = call.site.store.find("contents", owner=row["id"])
    remove_collection(call, row, purge=False)
    return nothing(202 if held else 204)


def purge(call: Call) -> Answer:
    remove_collection(call, call.need("collections", call.given["collection_id"]), purge=True)
    return nothing()


def remove_collection(call: Call, row: Row, *, purge: bool) -> None:
    """Into the delete queue, or away for good; what it held stays."""
    if not purge:
        row |= {"status": "DELETED", "date_deleted": call.now, "deleted_by_user": call.user_id}
        _save(call, row, operation="delete")
        return
    _touch_below(call, row["id"])
    store = call.site.store
    for link in [*store.find("contents", owner=row["id"]), *store.find("contents", part=row["id"])]:
        store.remove("contents", link["id"])
    for kind in ("metadata", "approvals", "decisions"):
        store.remove_owned(kind, row["id"])
    store.remove("collections", row["id"])
    call.site.index.touch(row["id"])
    call.tell("collections", row["id"], realm="entity", operation="purge", data=row)


def restore(call: Call) -> Answer:
    restore_collection(call, call.need("collections", call.given["collection_id"]))
    return Answer({}, 202)


def restore_collection(call: Call, row: Row) -> None:
    if row["status"] == "DELETED":
        row |= {"status": "ACTIVE", "date_deleted": None, "deleted_by_user": None}
        _save(call, row, operation="restore")


def reindex(call: Call) -> Answer:
    call.site.index.touch(call.need("collections", call.given["collection_id"])["id"])
    return created({})


# --- contents ----------------------------------------------------------------------------------------


def contents(call: Call) -> Answer:
    """Index documents of what is inside; ``external_id`` finds by that field."""
    row = call.need("collections", call.given["collection_id"])
    terms = [{"name": "in_collections", "value": row["id"]}]
    if wanted := call.query.get("external_id"):
        terms.append({"name": "external_id", "value": wanted})
    if ids := call.names("object_ids"):
        terms.append({"name": "id", "value_in": [one.lower() for one in ids]})
    kinds = call.names("object_types") or ["assets", "collections"]
    return index_page(call, {"doc_types": kinds, "filter": {"operator": "AND", "terms": terms}})


def put_into(call: Call, collection_id: str, *, object_type: str, object_id: str) -> Row:
    """Add once; adding again changes nothing."""
    store, key = call.site.store, f"{collection_id}:{object_id}"
    if known := store.get("contents", key):
        return known
    link: Row = {"id": key, "collection_id": collection_id, "object_id": object_id, "object_type": object_type}
    store.put("contents", key, link | {"date_created": call.now}, owner=collection_id, part=object_id)
    call.site.index.touch(object_id, collection_id)
    _tell_contents(call, link | {"date_created": call.now}, operation="create")
    return link


def _tell_contents(call: Call, link: Row, *, operation: str) -> None:
    """As recorded: the event's object is what was added, the collection is only in the data."""
    parents = call.site.index.ancestors([link["collection_id"]])
    document = {name: value for name, value in link.items() if name != "id"} | {"parents": parents}
    call.tell("collections", link["object_id"], realm="contents", operation=operation, data=document)


def add(call: Call) -> Answer:
    row = call.need("collections", call.given["collection_id"])
    body = shapes.read(call, asset_shapes.CONTENT)
    if call.site.store.get(body["object_type"], body["object_id"]) is None:
        raise not_found()
    if body["object_type"] == "collections":
        _check_parent(call, body["object_id"], row["id"])
    link = put_into(call, row["id"], object_type=body["object_type"], object_id=body["object_id"])
    return created({name: value for name, value in link.items() if name != "id"})


def _unlink(call: Call, collection_id: str, object_id: str) -> bool:
    key = f"{collection_id}:{object_id}"
    link = call.site.store.get("contents", key)
    if link is None:
        return False
    call.site.store.remove("contents", key)
    call.site.index.touch(object_id, collection_id)
    _tell_contents(call, link, operation="delete")
    return True


def take_out(call: Call) -> Answer:
    row = call.need("collections", call.given["collection_id"])
    if not _unlink(call, row["id"], call.given["object_id"]):
        raise not_found()
    return nothing()


def ancestors(call: Call) -> Answer:
    row = call.need("collections", call.given["collection_id"])
    keys = call.site.index.ancestors(shown(call, row)["in_collections"])
    found = [call.site.store.get("collections", key) for key in keys]
    return Answer(page_of(call, [shown(call, one) for one in found if one]))


def full_path(call: Call) -> Answer:
    """A JSON string: the titles from the root down."""
    row = call.need("collections", call.given["collection_id"])
    titles = [row["title"]]
    while row.get("parent_id") and len(titles) < DEEPEST:
        row = call.need("collections", row["parent_id"])
        titles.append(row["title"])
    return Answer("/".join(reversed(titles)))


def _below(call: Call, key: str) -> tuple[set[str], set[str]]:
    """(assets, collections) anywhere under a collection."""
    found: dict[str, set[str]] = {"assets": set(), "collections": set()}
    waiting = [key]
    while waiting:
        for link in call.site.store.find("contents", owner=waiting.pop()):
            kind, one = link["object_type"], link["object_id"]
            if one not in found[kind] and kind == "collections":
                waiting.append(one)
            found[kind].add(one)
    return found["assets"], found["collections"]


def info(call: Call) -> Answer:
    row = call.need("collections", call.given["collection_id"])
    assets, inner = _below(call, row["id"])
    store, index = call.site.store, call.site.index
    documents = [index.build(key) or {} for key in assets]
    sizes = [one["size"] or 0 for key in assets for one in store.find("files", owner=key)]
    proxies = [one["size"] or 0 for key in assets for one in store.find("proxies", owner=key)]
    return Answer(
        {
            "title": row["title"],
            "assets_count": len(assets),
            "collections_count": len(inner),
            "total_size": sum(sizes),
            "total_proxy_size": sum(proxies),
            "total_duration_milliseconds": sum(one.get("duration_milliseconds") or 0 for one in documents),
            "storage_info": [],
        }
    )


def size(call: Call) -> Answer:
    row = call.need("collections", call.given["collection_id"])
    assets, _ = _below(call, row["id"])
    sizes = [one["size"] or 0 for key in assets for one in call.site.store.find("files", owner=key)]
    return Answer({"id": row["id"], "title": row["title"], "size": sum(sizes)})
