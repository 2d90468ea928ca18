"""Metadata values of assets, collections and segments, through views and without. Source: fact sheet section 9."""

from __future__ import annotations

from typing import Any

from simulators.iconik import shapes
from simulators.iconik.asset_records import add_history, current_version, version_of
from simulators.iconik.call import Answer, Call, Route, Row, nothing
from simulators.iconik.errors import bad_request, forbidden, invalid
from simulators.iconik.field_values import as_text, same, written
from simulators.iconik.metadata_views import SEPARATOR, merged

ROOT = "/API/metadata/v1/"
TYPES = "{object_type:assets|collections|segments}"
INNER = ROOT + "assets/{asset_id}/{object_type:segments}/{object_id}/"


def routes() -> list[Route]:
    direct, viewed = ROOT + TYPES + "/{object_id}/", ROOT + TYPES + "/{object_id}/views/{view_id}/"
    many = ROOT + TYPES + "/views/{view_id}/"
    return [
        Route("PUT", many, write_same),
        Route("POST", many, write_each),
        Route("PUT", ROOT + "{object_type:collections}/content/views/{view_id}/", write_contents),
        Route("GET", ROOT + "{object_type:assets}/{object_id}/versions/{version_id}/views/{view_id}/", read),
        Route("GET", INNER + "views/{view_id}/", read),
        Route("PUT", INNER + "views/{view_id}/", write),
        Route("GET", viewed, read),
        Route("PUT", viewed, write),
        Route("GET", direct, read_all),
        Route("PUT", direct, write),
    ]


def _place(call: Call, kind: str, key: str) -> tuple[Row, str]:
    """(object, id its values are stored under): assets by version, anything else by itself."""
    row = call.need(kind, key)
    if kind != "assets":
        return row, row["id"]
    named = call.given.get("version_id")
    return row, version_of(row, named)["id"] if named else current_version(row)


def _view(call: Call) -> Row | None:
    key = call.given.get("view_id")
    return merged(call, call.need("views", key)) if key else None


def blank(key: str, *, kind: str, object_id: str) -> Row:
    row: Row = {"id": key, "object_id": object_id, "object_type": kind, "version_id": key, "metadata_values": {}}
    return row | {"date_created": None, "date_modified": None}


def _stored(call: Call, kind: str, row: Row, key: str) -> Row:
    return call.site.store.get("metadata", key) or blank(key, kind=kind, object_id=row["id"])


def read(call: Call) -> Answer:
    row, key = _place(call, call.given["object_type"], call.given["object_id"])
    return Answer(_shown(call, _stored(call, call.given["object_type"], row, key), _view(call)))


def _shown(call: Call, stored: Row, view: Row | None) -> Row:
    """All fields of the view; those without a value are empty lists."""
    values = stored["metadata_values"]
    if view is not None:
        empty: Row = {"date_created": None, "field_values": []}
        values = {one["name"]: values.get(one["name"], empty) for one in view["view_fields"]}
    if call.flag("reencode_values_to_string", False):
        values = {name: _texts(entry) for name, entry in values.items()}
    return {name: value for name, value in stored.items() if name != "id"} | {"metadata_values": values}


def _texts(entry: Row) -> Row:
    return entry | {"field_values": [one | {"value": as_text(one["value"])} for one in entry["field_values"]]}


def _admin(call: Call) -> None:
    if not call.need("users", call.user_id).get("is_admin"):
        raise forbidden()


def read_all(call: Call) -> Answer:
    """Without a view, for administrators: another form, ``{field: {name, type, values}}``."""
    _admin(call)
    row, key = _place(call, call.given["object_type"], call.given["object_id"])
    found: Row = {}
    for name, entry in _stored(call, call.given["object_type"], row, key)["metadata_values"].items():
        field = call.site.store.get("fields", name) or {}
        found[name] = {"name": name, "type": field.get("field_type"), "values": entry["field_values"]}
    return Answer(found)


def _fields(call: Call, values: Any, view: Row | None) -> dict[str, Row]:
    """The definition of every field that is written. Raises the field form for unknown ones."""
    if not isinstance(values, dict):
        raise invalid({"metadata_values": shapes.MISSING})
    legal = {one["name"]: one for one in view["view_fields"]} if view else None
    found: dict[str, Row] = {}
    for name in values:
        definition = legal.get(name) if legal is not None else call.site.store.get("fields", name)
        if definition is not None and name != SEPARATOR:
            found[name] = definition
        elif name != SEPARATOR and call.site.settings["unknown_metadata_fields"] == "refuse":
            where = f"view {view['name']}" if view else "this domain"
            raise invalid({"metadata_values": {name: [f"Field does not exist in {where}."]}})
    return found


def apply(call: Call, kind: str, object_id: str, values: Any, *, view: Row | None) -> Row:
    """Write values of one object; fields that are not named stay as they are."""
    row, key = _place(call, kind, object_id)
    stored = _stored(call, kind, row, key)
    ignore, faults, changed, now = call.flag("ignore_unchanged", False), {}, False, call.now
    for name, field in _fields(call, values, view).items():
        old = stored["metadata_values"].get(name, {}).get("field_values", [])
        try:
            new = written(field, values[name], old)
        except shapes.Invalid as fault:
            faults[name] = [str(fault)]
            continue
        if ignore and same(old, new):
            continue
        changed = True
        stored["metadata_values"][name] = {"date_created": now, "field_values": new}
    if faults:
        raise invalid({"metadata_values": faults})
    if changed or not ignore:
        _save(call, kind, row, stored)
    return stored


def _save(call: Call, kind: str, row: Row, stored: Row) -> None:
    now = call.now
    stored |= {"date_created": stored["date_created"] or now, "date_modified": now}
    call.site.store.put("metadata", stored["id"], stored, owner=row["id"], part=stored["version_id"])
    call.site.index.touch(row["id"])
    if kind == "segments":
        plain = {name: entry["field_values"] for name, entry in stored["metadata_values"].items()}
        call.site.store.put(kind, row["id"], row | {"metadata": {n: {"field_values": v} for n, v in plain.items()}})
    elif call.site.settings["metadata_touches_asset"]:
        row["date_modified"] = now
        call.site.store.put(kind, row["id"], row)
    if kind == "assets":
        add_history(call, row, "METADATA")
    event = "collections" if kind == "collections" else "assets"
    call.tell(event, row.get("asset_id", row["id"]), realm="metadata", operation="update", data=_told(stored))


def _told(stored: Row) -> Row:
    return {name: value for name, value in stored.items() if name != "id"}


def write(call: Call) -> Answer:
    view = _view(call)
    if view is None:
        _admin(call)
    kind = call.given["object_type"]
    stored = apply(call, kind, call.given["object_id"], call.json_object().get("metadata_values"), view=view)
    return Answer(_shown(call, stored, view))


# --- many objects, as a job --------------------------------------------------------------------------


def _ids(call: Call) -> list[str]:
    ids = call.json_object().get("object_ids")
    if not isinstance(ids, list):
        raise invalid({"object_ids": shapes.MISSING})
    try:
        return [shapes.identifier(one) for one in ids]
    except shapes.Invalid as fault:
        raise invalid({"object_ids": str(fault)}) from None


def _job(call: Call, count: int) -> Answer:
    job = call.site.jobs.start(
        "METADATA", work=None, title="Update metadata", user_id=call.user_id, progress_total=count
    )
    return Answer({"job_id": job["id"]}, 202)


def write_same(call: Call) -> Answer:
    view, ids = _view(call), _ids(call)
    for key in ids:
        apply(call, call.given["object_type"], key, call.json_object().get("metadata_values"), view=view)
    return _job(call, len(ids))


def write_each(call: Call) -> Answer:
    view, _ = _view(call), _ids(call)
    mapping = call.json_object().get("metadata_values_object_id_mapping")
    if not isinstance(mapping, list) or not all(isinstance(one, dict) for one in mapping):
        raise invalid({"metadata_values_object_id_mapping": shapes.MISSING})
    for one in mapping:
        apply(call, call.given["object_type"], str(one.get("id")).lower(), one.get("metadata_values"), view=view)
    return _job(call, len(mapping))


def write_contents(call: Call) -> Answer:
    """The same values on everything directly inside the named collections."""
    view, count = _view(call), 0
    for key in _ids(call):
        for link in call.site.store.find("contents", owner=key):
            apply(call, link["object_type"], link["object_id"], call.json_object().get("metadata_values"), view=view)
            count += 1
    if not call.json_object().get("metadata_values"):
        raise bad_request("metadata_values must be given")
    return nothing(202) if not count else _job(call, count)
