"""Storages, export locations and exports to them. Source: fact sheet section 11."""

from __future__ import annotations

from simulators.iconik import file_shapes, shapes
from simulators.iconik.asset_records import add_history
from simulators.iconik.call import Answer, Call, Route, Row, created, nothing
from simulators.iconik.paging import after_last_id, listed, page_of
from simulators.iconik.shapes import Shape
from simulators.iconik.site import SYSTEM_DOMAIN

STORAGES, LOCATIONS = "/API/files/v1/storages/", "/API/files/v1/export_locations/"
EXPORT = "/API/files/v1/{object_type:assets|collections}/{object_id}/export_locations/{location_id}/"


def routes() -> list[Route]:
    found = [
        Route("GET", STORAGES, list_storages),
        Route("GET", LOCATIONS, list_locations),
        Route("POST", EXPORT, export),
        Route("GET", STORAGES + "{item_id}/files/", storage_files),
    ]
    for base, kind, shape in (
        (STORAGES, "storages", file_shapes.STORAGE),
        (LOCATIONS, "export_locations", file_shapes.EXPORT_LOCATION),
    ):
        found += _resource(base, kind, shape)
    return found


def _resource(base: str, kind: str, shape: Shape) -> list[Route]:
    one = base + "{item_id}/"
    return [
        Route("POST", base, lambda call: create(call, kind, shape)),
        Route("GET", one, lambda call: Answer(call.need(kind, call.given["item_id"]))),
        Route("PATCH", one, lambda call: change(call, kind, shape)),
        Route("PUT", one, lambda call: change(call, kind, shape)),
        Route("DELETE", one, lambda call: delete(call, kind)),
    ]


def new_storage(key: str, values: Row) -> Row:
    row: Row = dict.fromkeys(("description", "last_scanned", "scanner_status", "status_message", "version"))
    return row | {"id": key, "status": "ACTIVE", "default": False, "settings": {}} | values


def create(call: Call, kind: str, shape: Shape) -> Answer:
    values = {name: value for name, value in shapes.read(call, shape).items() if value is not None}
    key = call.site.store.new_id()
    row = new_storage(key, values) if kind == "storages" else {"id": key, "system_domain_id": SYSTEM_DOMAIN} | values
    return created(call.site.store.put(kind, key, row))


def change(call: Call, kind: str, shape: Shape) -> Answer:
    row = call.need(kind, call.given["item_id"])
    values = shapes.read(call, shape, partial=call.method == "PATCH")
    row |= {name: value for name, value in values.items() if value is not None}
    return Answer(call.site.store.put(kind, row["id"], row))


def delete(call: Call, kind: str) -> Answer:
    call.site.store.remove(kind, call.need(kind, call.given["item_id"])["id"])
    return nothing()


def list_storages(call: Call) -> Answer:
    rows = call.site.store.find("storages")
    for name in ("name", "method", "status", "purpose"):
        if call.query.get(name):
            rows = [row for row in rows if row.get(name) == call.query[name]]
    return Answer(page_of(call, listed(call, rows)))


def storage_files(call: Call) -> Answer:
    wanted = call.need("storages", call.given["item_id"])["id"]
    return Answer(page_of(call, [row for row in call.site.store.find("files") if row["storage_id"] == wanted]))


def list_locations(call: Call) -> Answer:
    return Answer(after_last_id(call, call.site.store.find("export_locations")))


def export(call: Call) -> Answer:
    """A job; the files themselves go nowhere."""
    kind, key = call.given["object_type"], call.given["object_id"]
    row = call.need(kind, key)
    location = call.need("export_locations", call.given["location_id"])
    body = shapes.read(call, file_shapes.EXPORT)
    if body.get("metadata_view"):
        call.need("views", body["metadata_view"])
    if kind == "assets":
        add_history(call, row, "EXPORT", location["name"])
    title = f"Export {row['title']} to {location['name']}"
    job = call.site.jobs.start(
        "EXPORT",
        work=None,
        title=title,
        user_id=call.user_id,
        object_type=kind,
        object_id=key,
        metadata={"export_location_id": location["id"]} | body,
    )
    return Answer({"job_id": job["id"]})
