"""The jobs and transcode services. Source: fact sheet section 12."""

from __future__ import annotations

from simulators.iconik import file_shapes, shapes
from simulators.iconik.asset_records import current_version
from simulators.iconik.call import Answer, Call, Route, Row, created, nothing
from simulators.iconik.errors import bad_request
from simulators.iconik.job_engine import new_job
from simulators.iconik.paging import listed, page_asked, page_of
from simulators.iconik.renditions import start_transcode
from simulators.iconik.store import public

ROOT, TRANSCODE = "/API/jobs/v1/jobs/", "/API/transcode/v1/"
FILTERS = ("type", "object_type", "parent_id", "object_id", "status", "created_by")
ENDED = ("FINISHED", "FINISHED_WITH_WARNING", "SKIPPED", "FAILED", "ABORTED", "DISCARDED")


def routes() -> list[Route]:
    one = ROOT + "{job_id}/"
    return [
        Route("GET", ROOT, list_jobs),
        Route("POST", ROOT, create),
        Route("PUT", ROOT + "state/", set_state),
        Route("GET", one, read),
        Route("PATCH", one, change),
        Route("PUT", one, change),
        Route("DELETE", one, delete),
        Route("PATCH", one + "steps/", change_steps),
        Route("PUT", one + "steps/", change_steps),
        Route("PATCH", one + "steps/{step_id}/", change_step),
        Route("PUT", one + "steps/{step_id}/", change_step),
        Route("POST", TRANSCODE + "transcode/", transcode),
        Route("GET", TRANSCODE + "transcode/queue/", queue),
        Route("GET", TRANSCODE + "transcode/{job_id}/", read),
        Route("DELETE", TRANSCODE + "transcode/{job_id}/", abort),
        Route("POST", TRANSCODE + "analyze/assets/{asset_id}/", analyze),
    ]


def list_jobs(call: Call) -> Answer:
    rows = call.site.store.find("jobs", owner=call.query.get("object_id") or None)
    for name in FILTERS:
        if wanted := call.names(name):
            rows = [row for row in rows if row.get(name) in wanted]
    if ids := call.names("ids"):
        rows = [row for row in rows if row["id"] in ids]
    rows = listed(call, rows)
    rows = [row | {"_sort": [row["date_created"], row["id"]]} for row in rows]
    if after := call.query.get("search_after"):
        last = after.strip('[]"').rpartition(",")[2].strip('" ')
        place = next((number for number, row in enumerate(rows, 1) if row["id"] == last), len(rows))
        return Answer(page_of(call, rows[place : place + page_asked(call)[1]]) | {"facets": {}})
    return Answer(page_of(call, rows) | {"facets": {}})


def _steps(call: Call, given: list[Row]) -> list[Row]:
    settings = call.site.settings
    known = [shapes.checked(one, file_shapes.STEP, partial=True, settings=settings) for one in given]
    base = {"status": "WAITING", "error_message": None, "message": None}
    return [base | {"id": call.site.store.new_id(), "label": ""} | one | {"date_updated": call.now} for one in known]


def create(call: Call) -> Answer:
    """A job of the caller's own, which only the caller moves; type CUSTOM shows in iconik's interface."""
    body = {name: value for name, value in shapes.read(call, file_shapes.JOB).items() if value is not None}
    body["steps"] = _steps(call, body.get("steps", []))
    key = call.site.store.new_id()
    row = new_job(call.now, key=key, user_id=call.user_id) | body
    call.site.store.put("jobs", key, row, owner=row["object_id"])
    return created(row)


def read(call: Call) -> Answer:
    return Answer(public(call.need("jobs", call.given["job_id"])))


def change(call: Call) -> Answer:
    row = call.need("jobs", call.given["job_id"])
    body = shapes.read(call, file_shapes.JOB, partial=call.method == "PATCH")
    if body.get("steps") is not None:
        body["steps"] = _steps(call, body["steps"])
    if call.flag("merge_metadata", False):
        body["metadata"] = (row["metadata"] or {}) | (body.get("metadata") or {})
    row |= {name: value for name, value in body.items() if value is not None} | {"date_modified": call.now}
    if row["status"] == "STARTED" and not row["started_at"]:
        row["started_at"] = call.now
    if row["status"] in ENDED and not row["completed_at"]:
        row["completed_at"] = call.now
    call.site.store.put("jobs", row["id"], row)
    return Answer(public(row))


def delete(call: Call) -> Answer:
    call.site.store.remove("jobs", call.need("jobs", call.given["job_id"])["id"])
    return nothing()


def set_state(call: Call) -> Answer:
    body = shapes.read(call, file_shapes.JOB_STATE)
    rows = [call.site.store.get("jobs", key) for key in body["job_ids"]]
    for row in rows:
        if row is not None:
            call.site.jobs.control(row, body["action"])
    return Answer({})


def abort(call: Call) -> Answer:
    call.site.jobs.control(call.need("jobs", call.given["job_id"]), "ABORT")
    return nothing()


def _update_step(call: Call, row: Row, key: str, values: Row) -> None:
    for step in row["steps"]:
        if step["id"] == key:
            step |= {name: value for name, value in values.items() if name != "id"} | {"date_updated": call.now}
            return
    raise bad_request(f"Job has no step {key}")


def change_steps(call: Call) -> Answer:
    row = call.need("jobs", call.given["job_id"])
    given = call.json_object().get("steps")
    if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
        raise shapes.invalid({"steps": shapes.MISSING})
    for one in given:
        values = shapes.checked(one, file_shapes.STEP, partial=True, settings=call.site.settings)
        _update_step(call, row, str(values.get("id")), values)
    call.site.store.put("jobs", row["id"], row)
    return Answer(public(row))


def change_step(call: Call) -> Answer:
    row = call.need("jobs", call.given["job_id"])
    _update_step(call, row, call.given["step_id"], shapes.read(call, file_shapes.STEP, partial=True))
    call.site.store.put("jobs", row["id"], row)
    return Answer(public(row))


# --- transcode -----------------------------------------------------------------------------------------


def _closed_file(call: Call, asset_id: str | None) -> Row:
    asset = call.need("assets", asset_id or "")
    version = current_version(asset)
    for row in call.site.store.find("files", owner=asset["id"]):
        if row["version_id"] == version and row["status"] == "CLOSED":
            return row
    raise bad_request("There is no closed file to transcode")


def transcode(call: Call) -> Answer:
    """A job for an asset's latest version."""
    body = shapes.read(call, file_shapes.JOB, partial=True)
    if body.get("object_type") not in (None, "assets") or not body.get("object_id"):
        raise shapes.invalid({"object_id": shapes.MISSING})
    return created(public(start_transcode(call.site, _closed_file(call, body["object_id"]), user_id=call.user_id)))


def queue(call: Call) -> Answer:
    rows = [row for row in call.site.store.find("jobs") if row["type"] == "TRANSCODE" and row["status"] not in ENDED]
    return Answer(page_of(call, listed(call, rows)))


def analyze(call: Call) -> Answer:
    asset = call.need("assets", call.given["asset_id"])
    job = call.site.jobs.start(
        "ANALYZE", work=None, title="Analyze", user_id=call.user_id, object_type="assets", object_id=asset["id"]
    )
    return created({"job_id": job["id"]})
