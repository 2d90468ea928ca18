"""The assets themselves: create, read, change, delete, restore, purge, bulk edits, the delete queue.

Source: fact sheet section 3.
"""

from __future__ import annotations

from simulators.iconik import asset_shapes, shapes
from simulators.iconik.asset_records import add_history, asset_of, new_asset, purge, save, shown
from simulators.iconik.call import Answer, Call, Route, Row, created, nothing
from simulators.iconik.collections import put_into, remove_collection, restore_collection
from simulators.iconik.errors import bad_request, not_found
from simulators.iconik.paging import listed, page_of
from simulators.iconik.searching import index_page

ROOT = "/API/assets/v1/assets/"
QUEUE = "/API/assets/v1/delete_queue/"


def routes() -> list[Route]:
    one, queue = ROOT + "{asset_id}/", QUEUE + "{object_type:assets|collections}/"
    return [
        Route("GET", ROOT, list_assets),
        Route("POST", ROOT, create),
        Route("PATCH", ROOT, edit_many),
        Route("PUT", ROOT, edit_many),
        Route("GET", ROOT + "recent/", list_assets),
        Route("GET", one, read),
        Route("PATCH", one, change),
        Route("PUT", one, replace),
        Route("DELETE", one, delete),
        Route("PUT", one + "restore/", restore),
        Route("DELETE", one + "purge/", purge_one),
        Route("POST", one + "reindex/", reindex),
        Route("POST", QUEUE + "bulk/", delete_bulk),
        Route("POST", QUEUE + "purge/all/", purge_all),
        Route("GET", queue, deleted),
        Route("POST", queue, delete_many),
        Route("DELETE", queue, restore_many),
        Route("POST", queue + "purge/", purge_many),
        Route("POST", queue + "purge/all/", purge_all),
        Route("POST", queue + "restore/all/", restore_all),
    ]


def list_assets(call: Call) -> Answer:
    """Index documents, so they lag."""
    wanted = call.names("types")
    terms = [{"name": "type", "value_in": wanted}] if wanted else []
    criteria = {"doc_types": ["assets"], "filter": {"operator": "AND", "terms": terms}}
    return index_page(call, criteria)


def create(call: Call) -> Answer:
    values = shapes.read(call, asset_shapes.ASSET)
    collection_id = values.pop("collection_id", None)
    if collection_id is not None and call.site.store.get("collections", collection_id) is None:
        raise bad_request("Collection does not exist")
    values = {name: value for name, value in values.items() if value is not None}
    store = call.site.store
    asset = new_asset(call.now, key=store.new_id(), version_id=store.new_id(), user_id=call.user_id, values=values)
    store.put("assets", asset["id"], asset)
    call.site.index.touch(asset["id"])
    call.tell("assets", asset["id"], realm="entity", operation="create", data=shown(call, asset))
    if collection_id is not None:
        put_into(call, collection_id, object_type="assets", object_id=asset["id"])
    return created(shown(call, asset))


def read(call: Call) -> Answer:
    return Answer(shown(call, asset_of(call)))


def change(call: Call) -> Answer:
    return _changed(call, partial=True)


def replace(call: Call) -> Answer:
    return _changed(call, partial=False)


def _changed(call: Call, *, partial: bool) -> Answer:
    values = shapes.read(call, asset_shapes.ASSET, partial=partial)
    values.pop("collection_id", None)
    return Answer(shown(call, _apply(call, asset_of(call), values)))


def _apply(call: Call, asset: Row, values: Row) -> Row:
    """Writable dates count: ``date_modified`` may be set. A status of DELETED deletes."""
    if values.get("status") == "DELETED" and asset["status"] != "DELETED":
        _to_queue(call, asset)
    given = values.get("date_modified")
    asset |= values | {"updated_by_user": call.user_id, "date_modified": given or call.now}
    return save(call, asset, touch=False)


def edit_many(call: Call) -> Answer:
    """A job: each object is an id with the fields to change."""
    objects = call.json_object().get("objects")
    if not isinstance(objects, list) or not all(isinstance(one, dict) for one in objects):
        raise shapes.invalid({"objects": shapes.MISSING})
    for one in objects:
        values = shapes.checked(one, asset_shapes.ASSET, partial=True, settings=call.site.settings)
        _apply(call, call.need("assets", str(one.get("id")).lower()), values)
    job = call.site.jobs.start("METADATA", work=None, title="Bulk edit of assets", user_id=call.user_id)
    return Answer({"job_id": job["id"]}, 202)


def _to_queue(call: Call, asset: Row) -> None:
    asset |= {"status": "DELETED", "date_deleted": call.now, "deleted_by_user": call.user_id}
    add_history(call, asset, "DELETE")


def delete(call: Call) -> Answer:
    _delete(call, asset_of(call))
    return nothing()


def _delete(call: Call, asset: Row) -> None:
    if asset["status"] != "DELETED":
        _to_queue(call, asset)
        save(call, asset, operation="delete")


def restore(call: Call) -> Answer:
    _restore(call, asset_of(call))
    return nothing()


def _restore(call: Call, asset: Row) -> None:
    if asset["status"] == "DELETED":
        asset |= {"status": "ACTIVE", "date_deleted": None, "deleted_by_user": None}
        add_history(call, asset, "RESTORE")
        save(call, asset, operation="restore")


def purge_one(call: Call) -> Answer:
    purge(call, asset_of(call))
    return nothing()


def reindex(call: Call) -> Answer:
    call.site.index.touch(asset_of(call)["id"])
    return created({})


# --- the delete queue --------------------------------------------------------------------------------


def _named(call: Call) -> tuple[str, list[Row]]:
    kind = call.given["object_type"]
    ids = shapes.read(call, asset_shapes.IDS)["ids"]
    rows = [call.site.store.get(kind, key) for key in ids]
    return kind, [row for row in rows if row is not None]


def _queued(call: Call, kind: str) -> list[Row]:
    return [row for row in call.site.store.find(kind) if row["status"] == "DELETED"]


def deleted(call: Call) -> Answer:
    return Answer(page_of(call, listed(call, _queued(call, call.given["object_type"]))))


def _end(call: Call, kind: str, row: Row, *, how: str) -> None:
    if kind == "assets":
        {"delete": _delete, "restore": _restore, "purge": purge}[how](call, row)
    elif how == "restore":
        restore_collection(call, row)
    else:
        remove_collection(call, row, purge=how == "purge")


def delete_many(call: Call) -> Answer:
    return _many(call, how="delete")


def restore_many(call: Call) -> Answer:
    return _many(call, how="restore")


def purge_many(call: Call) -> Answer:
    return _many(call, how="purge")


def _many(call: Call, *, how: str) -> Answer:
    kind, rows = _named(call)
    for row in rows:
        _end(call, kind, row, how=how)
    return nothing()


def delete_bulk(call: Call) -> Answer:
    """Objects of one type, or with ``content_only`` what a collection holds."""
    body = shapes.read(call, asset_shapes.BULK_DELETE)
    kind, keys = body["object_type"], body["object_ids"]
    if kind == "saved_searches":
        raise not_found()
    if body.get("content_only") and kind == "collections":
        links = [link for key in keys for link in call.site.store.find("contents", owner=key)]
        wanted = [(link["object_type"], link["object_id"]) for link in links]
    else:
        wanted = [(kind, key) for key in keys]
    for one, key in wanted:
        if row := call.site.store.get(one, key):
            _end(call, one, row, how="delete")
    return nothing(202)


def purge_all(call: Call) -> Answer:
    return _all(call, how="purge")


def restore_all(call: Call) -> Answer:
    return _all(call, how="restore")


def _all(call: Call, *, how: str) -> Answer:
    kinds = [call.given["object_type"]] if "object_type" in call.given else ["assets", "collections"]
    for kind in kinds:
        for row in _queued(call, kind):
            _end(call, kind, row, how=how)
    return nothing()
