"""Files: the create chain with its upload address, download addresses, dedupe by checksum.

Source: fact sheet section 11.
"""

from __future__ import annotations

import msgspec

from simulators.iconik import file_shapes, media, shapes
from simulators.iconik.asset_records import add_history, asset_of, go_online
from simulators.iconik.call import Answer, Call, Route, Row, created, nothing
from simulators.iconik.errors import bad_request, not_found
from simulators.iconik.formats import of_version, set_of, version_asked
from simulators.iconik.paging import after_last_id, envelope
from simulators.iconik.renditions import start_transcode, storage_of
from simulators.iconik.store import public

ASSET = "/API/files/v1/assets/{asset_id}/"
FILES = ASSET + "files/"


def routes() -> list[Route]:
    one = FILES + "{file_id}/"
    return [
        Route("GET", FILES, list_files),
        Route("POST", FILES, create),
        Route("GET", ASSET + "versions/{version_id}/files/", list_files),
        Route("GET", ASSET + "file_sets/{file_set_id}/files/", list_of_set),
        Route("GET", one, read),
        Route("PATCH", one, change),
        Route("PUT", one, change),
        Route("DELETE", one, delete),
        Route("GET", one + "download_url/", download_url),
        Route("POST", one + "keyframes/", transcode_keyframes),
        Route("POST", one + "mediainfo/", mediainfo),
        Route("POST", ASSET + "versions/{version_id}/transcode/", transcode_version),
        Route("GET", "/API/files/v1/files/checksum/{checksum}/", by_checksum),
    ]


def signed(call: Call, kind: str, row: Row, *, default: bool = True) -> Row:
    """The record with its address, when there is something to fetch and the call wants it."""
    url = None
    if row["status"] == "CLOSED" and row.get("is_public"):
        url = call.site.links.public(call.base_url, kind, row)
    elif row["status"] == "CLOSED" and call.flag("generate_signed_url", default):
        disposition = call.query.get("content_disposition")
        url = call.site.links.signed(call.base_url, kind, row, disposition=disposition)
    return public(row) | {"url": url}


def list_files(call: Call) -> Answer:
    rows = [row for row in of_version(call, "files") if row["status"] != "DELETED"]
    return Answer(_signed_page(call, rows))


def list_of_set(call: Call) -> Answer:
    wanted = set_of(call)["id"]
    rows = call.site.store.find("files", owner=asset_of(call)["id"])
    return Answer(_signed_page(call, [row for row in rows if row["file_set_id"] == wanted]))


def _signed_page(call: Call, rows: list[Row]) -> Row:
    page = after_last_id(call, rows)
    page["objects"] = [signed(call, "files", row) for row in page["objects"]]
    return page


def new_file(now: str, *, key: str, asset_id: str, version_id: str, user_id: str | None, values: Row) -> Row:
    names = "checksum size format_id file_set_id storage_id parent_id file_date_created file_date_modified"
    row: Row = dict.fromkeys(names.split())
    row |= {"id": key, "asset_id": asset_id, "status": "OPEN", "storage_method": "GCS", "user_id": user_id}
    row |= {"date_created": now, "date_modified": now, "name": values.get("original_name")}
    return row | values | {"version_id": version_id}


def create(call: Call) -> Answer:
    """Answers where and how to upload."""
    asset, store = asset_of(call), call.site.store
    body = {name: value for name, value in shapes.read(call, file_shapes.FILE).items() if value is not None}
    for name, kind in (("format_id", "formats"), ("file_set_id", "file_sets")):
        if name in body and store.owner(kind, body[name]) != asset["id"]:
            raise shapes.invalid({name: "Does not exist for this asset."})
    version, key = version_asked(asset, body), store.new_id()
    body["storage_id"] = body.get("storage_id") or storage_of(store, "FILES")
    row = new_file(call.now, key=key, asset_id=asset["id"], version_id=version, user_id=call.user_id, values=body)
    store.put("files", key, row, owner=asset["id"], part=version)
    call.site.index.touch(asset["id"])
    call.tell("assets", asset["id"], realm="files", operation="create", data=row)
    if row["status"] == "CLOSED":
        row = _close(call, asset, row)
    return created(row | upload_of(call, "files", row))


def upload_of(call: Call, kind: str, row: Row) -> Row:
    """Where the bytes go: PUT, or POST with ``x-goog-resumable: start`` and PUT to the Location."""
    url = call.site.links.upload(call.base_url, kind, row)
    return {"upload_url": url, "upload_method": "PUT", "upload_headers": {}, "upload_credentials": {}}


def file_of(call: Call) -> Row:
    return call.need("files", call.given["file_id"], owner=asset_of(call)["id"])


def read(call: Call) -> Answer:
    return Answer(signed(call, "files", file_of(call)))


def change(call: Call) -> Answer:
    """Setting the status to CLOSED completes an upload: size and checksum are taken from the bytes."""
    asset, row = asset_of(call), file_of(call)
    body = shapes.read(call, file_shapes.FILE, partial=call.method == "PATCH")
    was = row["status"]
    for name in ("version_id", "asset_id"):
        body.pop(name, None)
    row |= {name: value for name, value in body.items() if value is not None} | {"date_modified": call.now}
    call.site.store.put("files", row["id"], row)
    call.site.index.touch(asset["id"])
    call.tell("assets", asset["id"], realm="files", operation="update", data=row)
    if row["status"] == "CLOSED" and was != "CLOSED":
        row = _close(call, asset, row)
    return Answer(signed(call, "files", row))


def _close(call: Call, asset: Row, row: Row) -> Row:
    data = media.content(call.site.store, row)
    if data is not None:
        row |= {"size": len(data), "checksum": media.checksum(data)}
        call.site.store.put("files", row["id"], row)
    if parent := call.site.store.get("formats", row["format_id"] or ""):
        methods = sorted({*parent["storage_methods"], row["storage_method"]})
        call.site.store.put("formats", parent["id"], parent | {"is_online": True, "storage_methods": methods})
    go_online(call, asset, row["version_id"])
    if call.site.settings["auto_transcode"]:
        start_transcode(call.site, row, user_id=call.user_id)
    return row


def delete(call: Call) -> Answer:
    asset, row = asset_of(call), file_of(call)
    call.site.store.put("files", row["id"], row | {"status": "DELETED", "date_modified": call.now})
    add_history(call, asset, "DELETE_FILE", row["name"] or "")
    call.site.index.touch(asset["id"])
    call.tell("assets", asset["id"], realm="files", operation="delete", data=row)
    return nothing()


def download_url(call: Call) -> Answer:
    """A download by the user: it appears in the history, unlike an address from a list."""
    asset, row = asset_of(call), file_of(call)
    if row["status"] != "CLOSED":
        raise not_found("File is not available")
    add_history(call, asset, "DOWNLOAD", row["name"] or "")
    call.tell("assets", asset["id"], realm="entity", operation="download", data=public(row))
    url = call.site.links.signed(call.base_url, "files", row, disposition="attachment")
    return Answer({"url": url})


def by_checksum(call: Call) -> Answer:
    wanted = call.given["checksum"].lower()
    sql = "SELECT doc FROM docs WHERE kind = 'files' AND json_extract(doc, '$.checksum') = ?"
    found = call.site.store.db.execute(sql, (wanted,)).fetchall()
    if not found:
        raise not_found()
    rows = [msgspec.json.decode(doc) for (doc,) in found]
    return Answer(envelope(call, rows[: call.number("per_page", 10, least=1)], total=len(rows)))


def transcode_keyframes(call: Call) -> Answer:
    row = file_of(call)
    if row["status"] != "CLOSED":
        raise bad_request("File is not closed")
    return Answer({"job_id": start_transcode(call.site, row, user_id=call.user_id)["id"]})


def mediainfo(call: Call) -> Answer:
    row = file_of(call)
    job = call.site.jobs.start(
        "MEDIAINFO",
        work=None,
        title="Read media information",
        user_id=call.user_id,
        object_type="assets",
        object_id=row["asset_id"],
    )
    return Answer({"job_id": job["id"]})


def transcode_version(call: Call) -> Answer:
    """Every closed file of the version."""
    rows = [row for row in of_version(call, "files") if row["status"] == "CLOSED"]
    if not rows:
        raise bad_request("There is no closed file to transcode")
    jobs = [start_transcode(call.site, row, user_id=call.user_id) for row in rows]
    return Answer({"job_id": jobs[0]["id"]})
