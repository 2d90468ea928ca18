"""Proxies, keyframes and subtitles; public links. Source: fact sheet section 11."""

from __future__ import annotations

from simulators.iconik import file_shapes, media, shapes
from simulators.iconik.asset_records import asset_of
from simulators.iconik.call import Answer, Call, Route, Row, created, nothing
from simulators.iconik.errors import not_found
from simulators.iconik.files import signed, upload_of
from simulators.iconik.formats import of_version, version_asked
from simulators.iconik.paging import after_last_id
from simulators.iconik.renditions import blank_upload, storage_of
from simulators.iconik.store import public

ASSET = "/API/files/v1/assets/{asset_id}/"
KINDS = "{kind:proxies|keyframes}/"
SHAPES = {"proxies": file_shapes.PROXY, "keyframes": file_shapes.KEYFRAME}
PURPOSES = {"proxies": "PROXIES", "keyframes": "KEYFRAMES"}


def routes() -> list[Route]:
    one, texts = ASSET + KINDS + "{item_id}/", ASSET + "subtitles/"
    return [
        Route("GET", ASSET + KINDS, list_all),
        Route("POST", ASSET + KINDS, create),
        Route("POST", ASSET + "method/{storage_method}/" + KINDS, create),
        Route("GET", ASSET + "versions/{version_id}/" + KINDS, list_all),
        Route("GET", one, read),
        Route("PATCH", one, change),
        Route("PUT", one, change),
        Route("POST", one, change),
        Route("DELETE", one, delete),
        Route("GET", one + "download_url/", download_url),
        Route("POST", one + "public/", publish),
        Route("DELETE", one + "public/", withdraw),
        Route("GET", texts, list_subtitles),
        Route("POST", texts, create_subtitle),
        Route("GET", ASSET + "versions/{version_id}/subtitles/", list_subtitles),
        Route("GET", texts + "{language}/webvtt/", webvtt),
        Route("GET", texts + "{language}/cc/webvtt/", webvtt),
        Route("GET", texts + "{subtitle_id}/", read_subtitle),
        Route("PATCH", texts + "{subtitle_id}/", change_subtitle),
        Route("PUT", texts + "{subtitle_id}/", change_subtitle),
        Route("DELETE", texts + "{subtitle_id}/", delete_subtitle),
    ]


def list_all(call: Call) -> Answer:
    kind = call.given["kind"]
    rows = [row for row in of_version(call, kind) if row["status"] != "DELETED"]
    page = after_last_id(call, rows)
    wanted = {row["id"] for row in page["objects"]}
    page["objects"] = [signed(call, kind, row) for row in rows if row["id"] in wanted]
    return Answer(page)


def create(call: Call) -> Answer:
    asset, kind, store = asset_of(call), call.given["kind"], call.site.store
    body = {name: value for name, value in shapes.read(call, SHAPES[kind]).items() if value is not None}
    version, key = version_asked(asset, body), store.new_id()
    storage = body.get("storage_id") or storage_of(store, PURPOSES[kind])
    row = blank_upload(call.now, key=key, asset_id=asset["id"], version_id=version, storage_id=storage)
    row |= body | {"version_id": version, "storage_id": storage}
    store.put(kind, key, row, owner=asset["id"], part=version)
    _told(call, kind, row, operation="create")
    return created(public(row) | upload_of(call, kind, row))


def _told(call: Call, kind: str, row: Row, *, operation: str) -> None:
    call.site.index.touch(row["asset_id"])
    call.tell("assets", row["asset_id"], realm=kind, operation=operation, data=row)


def _one(call: Call) -> tuple[str, Row]:
    kind = call.given["kind"]
    return kind, call.need(kind, call.given["item_id"], owner=asset_of(call)["id"])


def read(call: Call) -> Answer:
    """A single one that is still open also names where to upload."""
    kind, row = _one(call)
    more = upload_of(call, kind, row) if row["status"] in ("OPEN", "AWAITED") else {}
    return Answer(signed(call, kind, row) | more)


def change(call: Call) -> Answer:
    kind, row = _one(call)
    body = shapes.read(call, SHAPES[kind], partial=call.method != "PUT")
    for name in ("version_id", "asset_id"):
        body.pop(name, None)
    row |= {name: value for name, value in body.items() if value is not None} | {"date_modified": call.now}
    if row["status"] == "CLOSED" and (data := media.content(call.site.store, row)) is not None:
        row["size"] = len(data)
    call.site.store.put(kind, row["id"], row)
    _told(call, kind, row, operation="update")
    return Answer(signed(call, kind, row))


def delete(call: Call) -> Answer:
    kind, row = _one(call)
    call.site.store.remove(kind, row["id"])
    _told(call, kind, row, operation="delete")
    return nothing()


def download_url(call: Call) -> Answer:
    kind, row = _one(call)
    if row["status"] != "CLOSED":
        raise not_found()
    return Answer({"url": call.site.links.signed(call.base_url, kind, row, disposition="attachment")})


def publish(call: Call) -> Answer:
    """From now on its address does not expire."""
    kind, row = _one(call)
    row |= {"is_public": True, "date_modified": call.now}
    call.site.store.put(kind, row["id"], row)
    call.site.index.touch(row["asset_id"])
    return created(signed(call, kind, row))


def withdraw(call: Call) -> Answer:
    kind, row = _one(call)
    call.site.store.put(kind, row["id"], row | {"is_public": False, "date_modified": call.now})
    call.site.index.touch(row["asset_id"])
    return nothing()


# --- subtitles ---------------------------------------------------------------------------------------


def list_subtitles(call: Call) -> Answer:
    return Answer(after_last_id(call, of_version(call, "subtitles")))


def create_subtitle(call: Call) -> Answer:
    asset = asset_of(call)
    body = {name: value for name, value in shapes.read(call, file_shapes.SUBTITLE).items() if value is not None}
    version, key = version_asked(asset, body), call.site.store.new_id()
    base: Row = {"closed_captions": False, "content": "", "name": None, "format_id": None}
    row = base | body | {"id": key, "asset_id": asset["id"], "version_id": version}
    if row["format_id"] is None:
        formats = call.site.store.find("formats", owner=asset["id"])
        row["format_id"] = formats[0]["id"] if formats else key
    call.site.store.put("subtitles", key, row, owner=asset["id"], part=version)
    call.site.index.touch(asset["id"])
    return created(row)


def _subtitle(call: Call) -> Row:
    return call.need("subtitles", call.given["subtitle_id"], owner=asset_of(call)["id"])


def read_subtitle(call: Call) -> Answer:
    return Answer(_subtitle(call))


def change_subtitle(call: Call) -> Answer:
    row = _subtitle(call)
    body = shapes.read(call, file_shapes.SUBTITLE, partial=True)
    row |= {name: value for name, value in body.items() if value is not None and name != "version_id"}
    return Answer(call.site.store.put("subtitles", row["id"], row))


def delete_subtitle(call: Call) -> Answer:
    call.site.store.remove("subtitles", _subtitle(call)["id"])
    return nothing()


def webvtt(call: Call) -> Answer:
    wanted, captions = call.given["language"].lower(), "/cc/" in call.path
    for row in of_version(call, "subtitles"):
        if row["language"].lower() == wanted and bool(row["closed_captions"]) == captions:
            text = row["content"] if row["content"].startswith("WEBVTT") else f"WEBVTT\n\n{row['content']}"
            return Answer(text=text, content_type="text/vtt")
    raise not_found()
