"""Reviews: a request and decisions, both on one version of an object. Source: fact sheet section 5.

How a status follows from the decisions is not published; the rule is the fact sheet's. The record of a request has
the id of its version (for a collection: of the collection), so a test can revoke it with one PATCH.
"""

from __future__ import annotations

from simulators.iconik import asset_shapes, shapes
from simulators.iconik.asset_records import add_history, current_version, save, version_of
from simulators.iconik.call import Answer, Call, Route, Row, created, nothing
from simulators.iconik.errors import bad_request, not_found
from simulators.iconik.paging import page_of
from simulators.iconik.store import Store

ROOT = "/API/assets/v1/"
OBJECT = ROOT + "{object_type:assets|collections}/{object_id}/"


def routes() -> list[Route]:
    request = OBJECT + "approvals/request/"
    return [
        Route("POST", ROOT + "approvals/bulk/", bulk_set),
        Route("POST", ROOT + "approvals/bulk_remove/", bulk_remove),
        Route("GET", OBJECT + "approvals/", decisions),
        Route("PUT", OBJECT + "approvals/", decide),
        Route("DELETE", OBJECT + "approvals/", remove_all),
        Route("GET", request, read),
        Route("POST", request, ask),
        Route("PATCH", request, edit),
        Route("PUT", request, edit),
        Route("DELETE", request, remove),
        Route("DELETE", OBJECT + "approvals/user/{user_id}/", remove_user),
        Route("DELETE", OBJECT + "approvals/external/{email}/", remove_external),
        Route("GET", OBJECT + "versions/{version_id}/approvals/", decisions),
        Route("GET", OBJECT + "versions/{version_id}/approvals/request/", read),
    ]


def _object(call: Call) -> tuple[str, Row, str]:
    """(type, record, version): the named version, else the latest; a collection is its own."""
    kind = call.given["object_type"]
    row = call.need(kind, call.given["object_id"])
    if kind == "collections":
        return kind, row, row["id"]
    named = call.given.get("version_id")
    return kind, row, version_of(row, named)["id"] if named else current_version(row)


def new_request(now: str, *, version: str, object_type: str, object_id: str, user_id: str | None) -> Row:
    row: Row = {"id": version, "version_id": version, "object_id": object_id, "object_type": object_type}
    row |= {"status": "REQUESTED", "users": [], "groups": [], "externals": [], "min_number": 1, "share_id": None}
    return row | {"request_date": now, "change_date": now, "requested_by": user_id}


def status_of(request: Row, given: list[Row]) -> str:
    """The aggregate of the decisions."""
    yes = sum(one["status"] == "APPROVED" for one in given)
    no = sum(one["status"] == "NOT_APPROVED" for one in given)
    if yes and no:
        return "MIXED"
    if no:
        return "NOT_APPROVED"
    return "APPROVED" if yes and yes >= (request["min_number"] or 1) else "REQUESTED"


def recompute(store: Store, version: str) -> None:
    """Bring the stored status in line with the decisions."""
    request = store.get("approvals", version)
    if request is not None:
        request |= {"status": status_of(request, store.find("decisions", part=version)), "change_date": store.now()}
        store.put("approvals", version, request)


def shown(call: Call, request: Row) -> Row:
    store = call.site.store
    given = store.find("decisions", part=request["version_id"])
    mine = next((one["status"] for one in given if one["user"] == call.user_id), None)
    people = [store.get("users", key) for key in request["users"]]
    infos = [
        {name: one.get(name) for name in ("id", "email", "first_name", "last_name", "photo")} for one in people if one
    ]
    row = {name: value for name, value in request.items() if name != "id" and not name.startswith("_")}
    return row | {"approvals_by": [_decision(one) for one in given], "user_status": mine, "users_info": infos}


def _decision(row: Row) -> Row:
    return {name: value for name, value in row.items() if name != "id"}


def read(call: Call) -> Answer:
    kind, row, version = _object(call)
    request = call.site.store.get("approvals", version)
    if request is not None:
        return Answer(shown(call, request))
    if call.site.settings["never_requested_approval"] == "404":
        raise not_found()
    blank = new_request(call.now, version=version, object_type=kind, object_id=row["id"], user_id=None)
    dates = {"request_date": None, "change_date": None}
    return Answer(shown(call, blank | dates | {"status": "N/A"}))


def _changed(call: Call, kind: str, row: Row, version: str, *, operation: str) -> None:
    request = call.site.store.get("approvals", version)
    call.site.index.touch(row["id"])
    if kind == "assets" and call.site.settings["approval_touches_asset"]:
        save(call, row)
    realm = str(call.site.settings["approval_realm"])
    document = shown(call, request) if request else {"object_id": row["id"], "object_type": kind, "version_id": version}
    call.tell(kind, row["id"], realm=realm, operation=operation, data=document)


def ask(call: Call) -> Answer:
    kind, row, version = _object(call)
    body = shapes.read(call, asset_shapes.APPROVAL_REQUEST)
    if (body.get("min_number") or 1) < 1:
        raise shapes.invalid({"min_number": "Must be at least 1."})
    body.pop("status", None)
    store = call.site.store
    base = new_request(call.now, version=version, object_type=kind, object_id=row["id"], user_id=call.user_id)
    request = base | {name: value for name, value in body.items() if value is not None}
    store.put("approvals", version, request, owner=row["id"], part=version)
    recompute(store, version)
    _changed(call, kind, row, version, operation="create")
    if call.site.settings["approval_as_job"]:
        job = call.site.jobs.start(
            "REQUEST_APPROVAL",
            work=None,
            title="Request approval",
            user_id=call.user_id,
            object_type=kind,
            object_id=row["id"],
        )
        return Answer({"job_id": job["id"]}, 202)
    return created(shown(call, call.need("approvals", version)))


def edit(call: Call) -> Answer:
    kind, row, version = _object(call)
    request = call.need("approvals", version)
    body = shapes.read(call, asset_shapes.APPROVAL_REQUEST, partial=True)
    body.pop("status", None)
    request |= {name: value for name, value in body.items() if value is not None}
    call.site.store.put("approvals", version, request)
    recompute(call.site.store, version)
    _changed(call, kind, row, version, operation="update")
    return Answer(shown(call, call.need("approvals", version)))


def remove(call: Call) -> Answer:
    """The request and with it every decision."""
    kind, row, version = _object(call)
    call.need("approvals", version)
    _clear(call, kind, row, version)
    return nothing()


def _clear(call: Call, kind: str, row: Row, version: str) -> None:
    store = call.site.store
    for one in store.find("decisions", part=version):
        store.remove("decisions", one["id"])
    store.remove("approvals", version)
    _changed(call, kind, row, version, operation="delete")


# --- decisions ---------------------------------------------------------------------------------------


def decisions(call: Call) -> Answer:
    _kind, _row, version = _object(call)
    return Answer(page_of(call, [_decision(one) for one in call.site.store.find("decisions", part=version)]))


def _decide(call: Call, kind: str, row: Row, version: str, *, status: str, external: str | None = None) -> Row:
    store = call.site.store
    if store.get("approvals", version) is None:
        if call.site.settings["decision_without_request"] != "accept":
            raise not_found()
        request = new_request(call.now, version=version, object_type=kind, object_id=row["id"], user_id=call.user_id)
        store.put("approvals", version, request, owner=row["id"], part=version)
    who = None if external else call.user_id
    key = f"{version}:{external or who}"
    decision = {"id": key, "user": who, "external": external, "status": status, "change_date": call.now}
    decision |= {"object_id": row["id"], "object_type": kind, "version_id": version}
    store.put("decisions", key, decision, owner=row["id"], part=version)
    recompute(store, version)
    if kind == "assets" and status in ("APPROVED", "NOT_APPROVED"):
        add_history(call, row, "APPROVE" if status == "APPROVED" else "REJECT", version_id=version)
    _changed(call, kind, row, version, operation="update")
    return decision


def decide(call: Call) -> Answer:
    """My decision on the latest version."""
    kind, row, version = _object(call)
    body = shapes.read(call, asset_shapes.DECISION)
    return Answer(
        _decision(_decide(call, kind, row, version, status=body["status"], external=body.get("external"))),
    )


def _remove_decisions(call: Call, keys: list[str]) -> Answer:
    kind, row, version = _object(call)
    gone = [call.site.store.remove("decisions", f"{version}:{key}") for key in keys]
    if keys and not any(gone):
        raise not_found()
    recompute(call.site.store, version)
    _changed(call, kind, row, version, operation="delete")
    return nothing()


def remove_all(call: Call) -> Answer:
    _kind, _row, version = _object(call)
    given = call.site.store.find("decisions", part=version)
    return _remove_decisions(call, [one["user"] or one["external"] for one in given])


def remove_user(call: Call) -> Answer:
    return _remove_decisions(call, [call.given["user_id"]])


def remove_external(call: Call) -> Answer:
    return _remove_decisions(call, [call.given["email"]])


def bulk_set(call: Call) -> Answer:
    body = shapes.read(call, asset_shapes.BULK_APPROVAL)
    return _bulk(call, body, status=body["status"])


def bulk_remove(call: Call) -> Answer:
    return _bulk(call, shapes.read(call, asset_shapes.BULK_REMOVE), status=None)


def _bulk(call: Call, body: Row, *, status: str | None) -> Answer:
    kind = body["object_type"]
    if kind == "saved_searches":
        raise bad_request("Saved searches cannot be approved here")
    for key in body["object_ids"]:
        row = call.site.store.get(kind, key)
        if row is None:
            continue
        version = current_version(row) if kind == "assets" else key
        if status is None:
            _clear(call, kind, row, version)
        else:
            _decide(call, kind, row, version, status=status)
    job = call.site.jobs.start("SET_APPROVAL", work=None, title="Set approval", user_id=call.user_id, object_type=kind)
    return Answer({"job_id": job["id"]})
