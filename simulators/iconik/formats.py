"""Formats, their components, file sets: what a file belongs to. Source: fact sheet section 11."""

from __future__ import annotations

from simulators.iconik import file_shapes, shapes
from simulators.iconik.asset_records import add_history, asset_of, current_version, save, version_of
from simulators.iconik.call import Answer, Call, Route, Row, created, nothing
from simulators.iconik.errors import bad_request, not_found
from simulators.iconik.paging import after_last_id

ASSET = "/API/files/v1/assets/{asset_id}/"
FORMATS, SETS = ASSET + "formats/", ASSET + "file_sets/"


def routes() -> list[Route]:
    one, parts = FORMATS + "{format_id}/", FORMATS + "{format_id}/components/"
    return [
        Route("GET", FORMATS, list_formats),
        Route("POST", FORMATS, create_format),
        Route("GET", ASSET + "versions/{version_id}/formats/", list_formats),
        Route("GET", one, read_format),
        Route("PATCH", one, change_format),
        Route("PUT", one, change_format),
        Route("DELETE", one, delete_format),
        Route("PUT", one + "restore/", undelete_format),
        Route("POST", one + "restore/", restore),
        Route("POST", one + "archive/", archive),
        Route("GET", parts, list_components),
        Route("POST", parts, add_component),
        Route("DELETE", parts + "{component_id}/", delete_component),
        Route("GET", one + "file_sets/", list_sets),
        Route("GET", SETS, list_sets),
        Route("POST", SETS, create_set),
        Route("GET", ASSET + "versions/{version_id}/file_sets/", list_sets),
        Route("GET", SETS + "{file_set_id}/", read_set),
        Route("PATCH", SETS + "{file_set_id}/", change_set),
        Route("PUT", SETS + "{file_set_id}/", change_set),
        Route("DELETE", SETS + "{file_set_id}/", delete_set),
    ]


def of_version(call: Call, kind: str) -> list[Row]:
    """The records of the named version, else of the latest; of all with ``include_all_versions``."""
    asset = asset_of(call)
    rows = call.site.store.find(kind, owner=asset["id"])
    if call.flag("include_all_versions", False) and "version_id" not in call.given:
        return rows
    named = call.given.get("version_id")
    version = version_of(asset, named)["id"] if named else current_version(asset)
    return [row for row in rows if row.get("version_id") in (version, None)]


def version_asked(asset: Row, values: Row) -> str:
    """The version a new record goes to."""
    named = values.get("version_id")
    return version_of(asset, named)["id"] if named else current_version(asset)


def list_formats(call: Call) -> Answer:
    rows = [row for row in of_version(call, "formats") if row["status"] == "ACTIVE"]
    return Answer(after_last_id(call, rows))


def new_format(now: str, *, key: str, asset_id: str, version_id: str, user_id: str | None, values: Row) -> Row:
    row: Row = {"id": key, "asset_id": asset_id, "status": "ACTIVE", "archive_status": "NOT_ARCHIVED"}
    row |= {"is_online": False, "storage_methods": [], "metadata": [], "components": [], "warnings": []}
    row |= {"date_created": now, "date_modified": now, "date_deleted": None, "deleted_by_user": None}
    row |= {"external_references": [], "user_id": user_id}
    return row | values | {"version_id": version_id}


def _components(call: Call, given: list[Row]) -> list[Row]:
    settings = call.site.settings
    known = [shapes.checked(one, file_shapes.COMPONENT, partial=False, settings=settings) for one in given]
    return [{"id": call.site.store.new_id(), "metadata": {}} | one for one in known]


def create_format(call: Call) -> Answer:
    asset = asset_of(call)
    body = {name: value for name, value in shapes.read(call, file_shapes.FORMAT).items() if value is not None}
    body["components"] = _components(call, body.get("components", []))
    version, key = version_asked(asset, body), call.site.store.new_id()
    row = new_format(call.now, key=key, asset_id=asset["id"], version_id=version, user_id=call.user_id, values=body)
    call.site.store.put("formats", key, row, owner=asset["id"], part=version)
    add_history(call, asset, "ADD_FORMAT", row["name"])
    call.site.index.touch(asset["id"])
    call.tell("assets", asset["id"], realm="formats", operation="create", data=row)
    return created(row)


def format_of(call: Call) -> Row:
    """By id, or by name in the latest version."""
    asset, wanted = asset_of(call), call.given["format_id"]
    row = call.site.store.get("formats", wanted)
    if row is not None and row["asset_id"] == asset["id"]:
        return row
    for one in of_version(call, "formats"):
        if one["name"].lower() == wanted.lower() and one["status"] == "ACTIVE":
            return one
    raise not_found()


def read_format(call: Call) -> Answer:
    return Answer(format_of(call))


def _save(call: Call, kind: str, row: Row, *, operation: str = "update") -> Row:
    row["date_modified"] = call.now
    call.site.store.put(kind, row["id"], row)
    call.site.index.touch(row["asset_id"])
    call.tell("assets", row["asset_id"], realm=kind, operation=operation, data=row)
    return row


def change_format(call: Call) -> Answer:
    row = format_of(call)
    body = shapes.read(call, file_shapes.FORMAT, partial=call.method == "PATCH")
    if body.get("components") is not None:
        body["components"] = _components(call, body["components"])
    body.pop("version_id", None)
    return Answer(_save(call, "formats", row | {name: value for name, value in body.items() if value is not None}))


def delete_format(call: Call) -> Answer:
    row = format_of(call) | {"status": "DELETED", "date_deleted": call.now, "deleted_by_user": call.user_id}
    add_history(call, asset_of(call), "DELETE_FORMAT", row["name"])
    _save(call, "formats", row, operation="delete")
    return nothing()


def undelete_format(call: Call) -> Answer:
    row = call.need("formats", call.given["format_id"], owner=asset_of(call)["id"])
    return Answer(_save(call, "formats", row | {"status": "ACTIVE", "date_deleted": None}, operation="restore"))


# --- archive: the original goes off line, the proxy usually stays ---------------------------------------


def _archive(call: Call, row: Row, *, status: str, online: bool) -> None:
    asset = asset_of(call)
    _save(call, "formats", row | {"archive_status": status, "is_online": online})
    wanted = "ARCHIVED" if status == "ARCHIVED" else "CLOSED"
    for one in call.site.store.find("files", owner=asset["id"]):
        if one["format_id"] == row["id"] and one["status"] in ("CLOSED", "ARCHIVED"):
            call.site.store.put("files", one["id"], one | {"status": wanted})
    asset |= {"archive_status": status, "is_online": online}
    for version in asset["versions"]:
        if version["id"] == row["version_id"]:
            version |= {"archive_status": status, "is_online": online}
    save(call, asset)


def archive(call: Call) -> Answer:
    row = format_of(call)
    if row["archive_status"] == "ARCHIVED":
        raise bad_request("Format is already archived")
    _archive(call, row, status="ARCHIVED", online=False)
    add_history(call, asset_of(call), "ARCHIVE", row["name"])
    return _job(call, "ARCHIVE")


def restore(call: Call) -> Answer:
    row = format_of(call)
    if row["archive_status"] != "ARCHIVED":
        raise bad_request("Format is not archived")
    _archive(call, row, status="NOT_ARCHIVED", online=True)
    add_history(call, asset_of(call), "RESTORE_ARCHIVE", row["name"])
    return _job(call, "RESTORE")


def _job(call: Call, kind: str) -> Answer:
    key = asset_of(call)["id"]
    job = call.site.jobs.start(
        kind, work=None, title=kind.capitalize(), user_id=call.user_id, object_type="assets", object_id=key
    )
    return Answer({"job_id": job["id"]}, 202)


# --- components ----------------------------------------------------------------------------------------


def list_components(call: Call) -> Answer:
    return Answer(after_last_id(call, format_of(call)["components"]))


def add_component(call: Call) -> Answer:
    row = format_of(call)
    component = _components(call, [call.json_object()])[0]
    row["components"].append(component)
    _save(call, "formats", row)
    return Answer(component)


def delete_component(call: Call) -> Answer:
    row = format_of(call)
    kept = [one for one in row["components"] if one["id"] != call.given["component_id"]]
    if len(kept) == len(row["components"]):
        raise not_found()
    _save(call, "formats", row | {"components": kept})
    return nothing()


# --- file sets -----------------------------------------------------------------------------------------


def list_sets(call: Call) -> Answer:
    rows = [row for row in of_version(call, "file_sets") if row["status"] != "DELETED"]
    if "format_id" in call.given:
        wanted = format_of(call)["id"]
        rows = [row for row in rows if row["format_id"] == wanted]
    return Answer(after_last_id(call, [_counted(call, row) for row in rows]))


def _counted(call: Call, row: Row) -> Row:
    files = call.site.store.find("files", owner=row["asset_id"])
    return row | {"file_count": sum(one["file_set_id"] == row["id"] for one in files)}


def new_file_set(now: str, *, key: str, asset_id: str, version_id: str, values: Row) -> Row:
    row: Row = {"id": key, "asset_id": asset_id, "status": "ACTIVE", "is_archive": False, "type": "REGULAR"}
    row |= {"archive_file_set_id": None, "original_storage_id": None, "storage_id": None, "file_count": 0}
    row |= {"date_created": now, "date_modified": now, "date_deleted": None, "deleted_by_user": None}
    return row | values | {"version_id": version_id}


def create_set(call: Call) -> Answer:
    asset = asset_of(call)
    body = {name: value for name, value in shapes.read(call, file_shapes.FILE_SET).items() if value is not None}
    if call.site.store.owner("formats", body["format_id"]) != asset["id"]:
        raise bad_request("Format does not exist")
    version, key = version_asked(asset, body), call.site.store.new_id()
    row = new_file_set(call.now, key=key, asset_id=asset["id"], version_id=version, values=body)
    call.site.store.put("file_sets", key, row, owner=asset["id"], part=version)
    return created(row)


def set_of(call: Call) -> Row:
    return call.need("file_sets", call.given["file_set_id"], owner=asset_of(call)["id"])


def read_set(call: Call) -> Answer:
    return Answer(_counted(call, set_of(call)))


def change_set(call: Call) -> Answer:
    row = set_of(call)
    body = shapes.read(call, file_shapes.FILE_SET, partial=call.method == "PATCH")
    body.pop("version_id", None)
    kept = {name: value for name, value in body.items() if value is not None}
    return Answer(_save(call, "file_sets", row | kept))


def delete_set(call: Call) -> Answer:
    """Marked as deleted (200), or gone with ``immediately`` (204)."""
    row = set_of(call) | {"status": "DELETED", "date_deleted": call.now, "deleted_by_user": call.user_id}
    add_history(call, asset_of(call), "DELETE_FILESET", row["name"])
    _save(call, "file_sets", row, operation="delete")
    if not call.flag("immediately", False):
        return Answer(row)
    call.site.store.remove("file_sets", row["id"])
    return nothing()
