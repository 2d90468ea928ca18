"""Segments: comments, markers, tags on the time line of an asset. Source: fact sheet section 8."""

from __future__ import annotations

from simulators.iconik import asset_shapes, shapes
from simulators.iconik.asset_records import asset_of, current_version
from simulators.iconik.call import Answer, Call, Route, Row, created, nothing
from simulators.iconik.errors import bad_request, not_found
from simulators.iconik.paging import listed, page_of

ROOT = "/API/assets/v1/assets/{asset_id}/segments/"
FILTERS = ("segment_type", "segment_color", "status", "person_id", "share_id", "project_id", "transcription_id")
NUMBERS = {
    "time_start_milliseconds": ("time_start_milliseconds", lambda left, right: left == right),
    "time_end_milliseconds": ("time_end_milliseconds", lambda left, right: left == right),
    "time_start_milliseconds__gte": ("time_start_milliseconds", lambda left, right: left >= right),
    "time_end_milliseconds__lte": ("time_end_milliseconds", lambda left, right: left <= right),
}


def routes() -> list[Route]:
    one = ROOT + "{segment_id}/"
    return [
        Route("GET", ROOT, list_segments),
        Route("POST", ROOT, create),
        Route("POST", ROOT + "bulk/", create_many),
        Route("PUT", ROOT + "bulk/", change_many),
        Route("DELETE", ROOT + "bulk/", delete_many),
        Route("GET", ROOT + "csv/", as_csv),
        Route("GET", ROOT + "text/", as_text),
        Route("GET", ROOT + "srt/", as_srt),
        Route("GET", ROOT + "vtt/", as_vtt),
        Route("GET", one, read),
        Route("PATCH", one, change),
        Route("PUT", one, change),
        Route("DELETE", one, delete),
    ]


def new_segment(now: str, *, key: str, asset: Row, user_id: str, values: Row) -> Row:
    row: Row = dict.fromkeys(name for name in asset_shapes.SEGMENT.fields)
    row |= {"id": key, "asset_id": asset["id"], "version_id": current_version(asset), "status": "ACTIVE"}
    row |= {"user_id": user_id, "date_created": now, "date_modified": now, "segment_checked": False, "path": None}
    row |= {"is_internal": False, "has_attachments": False, "has_drawing": False, "top_level": True}
    row |= {name: value for name, value in values.items() if value is not None}
    return row | {"top_level": row["parent_id"] is None}


def _wanted(call: Call) -> list[Row]:
    asset = asset_of(call)
    rows = call.site.store.find("segments", owner=asset["id"])
    if "status" not in call.query:
        rows = [row for row in rows if row["status"] != "DELETED"]
    if not call.flag("include_all_versions", False):
        version = call.query.get("version_id") or current_version(asset)
        rows = [row for row in rows if row["version_id"] == version]
    for name in FILTERS:
        if call.query.get(name):
            rows = [row for row in rows if row.get(name) == call.query[name]]
    for name, (field, holds) in NUMBERS.items():
        if name in call.query:
            bound = call.number(name, 0)
            rows = [row for row in rows if row.get(field) is not None and holds(row[field], bound)]
    if ids := call.names("ids"):
        rows = [row for row in rows if row["id"] in ids]
    return rows


def list_segments(call: Call) -> Answer:
    return Answer(page_of(call, listed(call, _wanted(call))) | {"facets": {}})


def _store(call: Call, asset: Row, row: Row, *, operation: str) -> Row:
    call.site.store.put("segments", row["id"], row, owner=asset["id"], part=row["version_id"])
    call.site.index.touch(row["id"], asset["id"])
    call.tell("assets", asset["id"], realm="segments", operation=operation, data=row)
    return row


def _check_times(row: Row) -> None:
    start, end = row.get("time_start_milliseconds"), row.get("time_end_milliseconds")
    if start is not None and end is not None and end < start:
        raise bad_request("time_end_milliseconds must not be before time_start_milliseconds")


def _create(call: Call, asset: Row, body: Row) -> Row:
    values = shapes.checked(body, asset_shapes.SEGMENT, partial=False, settings=call.site.settings)
    row = new_segment(call.now, key=call.site.store.new_id(), asset=asset, user_id=call.user_id, values=values)
    _check_times(row)
    return _store(call, asset, row, operation="create")


def create(call: Call) -> Answer:
    return created(_create(call, asset_of(call), call.json_object()))


def _objects(call: Call) -> list[Row]:
    body = call.json_object()
    rows = body.get("objects", body.get("segments"))
    if not isinstance(rows, list) or not all(isinstance(one, dict) for one in rows):
        raise shapes.invalid({"objects": shapes.MISSING})
    return rows


def create_many(call: Call) -> Answer:
    asset = asset_of(call)
    return created({"objects": [_create(call, asset, one) for one in _objects(call)]})


def change_many(call: Call) -> Answer:
    asset = asset_of(call)
    rows = []
    for one in _objects(call):
        row = call.need("segments", str(one.get("id")).lower(), owner=asset["id"])
        rows.append(_change(call, asset, row, one))
    return created({"objects": rows})


def _change(call: Call, asset: Row, row: Row, body: Row) -> Row:
    values = shapes.checked(body, asset_shapes.SEGMENT_EDIT, partial=True, settings=call.site.settings)
    row |= values | {"date_modified": call.now, "version_id": values.get("version_id") or row["version_id"]}
    _check_times(row)
    return _store(call, asset, row, operation="update")


def _one(call: Call) -> tuple[Row, Row]:
    asset = asset_of(call)
    return asset, call.need("segments", call.given["segment_id"], owner=asset["id"])


def read(call: Call) -> Answer:
    return Answer(_one(call)[1])


def change(call: Call) -> Answer:
    asset, row = _one(call)
    return Answer(_change(call, asset, row, call.json_object()))


def _delete(call: Call, asset: Row, row: Row, *, soft: bool) -> None:
    if soft:
        _store(call, asset, row | {"status": "DELETED", "date_modified": call.now}, operation="delete")
        return
    call.site.store.remove("segments", row["id"])
    call.site.index.touch(row["id"], asset["id"])
    call.tell("assets", asset["id"], realm="segments", operation="delete", data=row)


def delete(call: Call) -> Answer:
    asset, row = _one(call)
    _delete(call, asset, row, soft=call.flag("soft_delete", True))
    return nothing()


def delete_many(call: Call) -> Answer:
    """By ids or by type."""
    asset, body = asset_of(call), call.json_object()
    ids, kind = body.get("segment_ids"), body.get("segment_type")
    if not ids and not kind:
        raise bad_request("Segment ids or segment type not provided correctly")
    rows = call.site.store.find("segments", owner=asset["id"])
    chosen = [row for row in rows if (row["id"] in (ids or [])) or (kind and row["segment_type"] == kind)]
    if not chosen:
        raise not_found("No segments found")
    for row in chosen:
        _delete(call, asset, row, soft=False)
    return nothing()


# --- exports -----------------------------------------------------------------------------------------


def _timed(call: Call) -> list[tuple[str, str, str]]:
    rows = sorted(_wanted(call), key=lambda row: row.get("time_start_milliseconds") or 0)
    spans = [(row.get("time_start_milliseconds") or 0, row.get("time_end_milliseconds") or 0) for row in rows]
    return [
        (_clock(start), _clock(end), row.get("segment_text") or "")
        for (start, end), row in zip(spans, rows, strict=True)
    ]


def _clock(milliseconds: int) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{rest:03d}"


def as_text(call: Call) -> Answer:
    return Answer(text="\n".join(text for _, _, text in _timed(call)), content_type="text/plain")


def as_csv(call: Call) -> Answer:
    lines = ["start,end,text"]
    for start, end, text in _timed(call):
        quoted = text.replace('"', '""')
        lines.append(f'{start},{end},"{quoted}"')
    return Answer(text="\r\n".join(lines), content_type="text/csv")


def as_vtt(call: Call) -> Answer:
    cues = [f"{start} --> {end}\n{text}" for start, end, text in _timed(call)]
    return Answer(text="\n\n".join(["WEBVTT", *cues]), content_type="text/vtt")


def as_srt(call: Call) -> Answer:
    cues = [f"{start} --> {end}".replace(".", ",") + f"\n{text}" for start, end, text in _timed(call)]
    numbered = [f"{number}\n{cue}" for number, cue in enumerate(cues, 1)]
    return Answer(text="\n\n".join(numbered), content_type="application/x-subrip")
