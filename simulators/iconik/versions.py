"""Versions of an asset. There is no list call: they come with the asset. Source: fact sheet section 6."""

from __future__ import annotations

from simulators.iconik import asset_shapes, shapes
from simulators.iconik.asset_records import (
    VERSION_PARTS,
    add_history,
    asset_of,
    current_version,
    new_version,
    save,
    shown,
    version_of,
)
from simulators.iconik.call import Answer, Call, Route, Row, nothing
from simulators.iconik.errors import bad_request, refused
from simulators.iconik.site import SYSTEM_DOMAIN

ROOT = "/API/assets/v1/assets/{asset_id}/versions/"


def routes() -> list[Route]:
    return [
        Route("POST", ROOT, create),
        Route("DELETE", ROOT + "old/", delete_old),
        Route("POST", ROOT + "from/assets/{source_asset_id}/", from_asset),
        Route("POST", ROOT + "from/versions/{source_version_id}/", from_version),
        Route("PATCH", ROOT + "{version_id}/", change),
        Route("PUT", ROOT + "{version_id}/", change),
        Route("DELETE", ROOT + "{version_id}/", delete),
        Route("PUT", ROOT + "{version_id}/promote/", promote),
    ]


def _answer(call: Call, asset: Row) -> Row:
    return {"asset_id": asset["id"], "system_domain_id": SYSTEM_DOMAIN, "versions": shown(call, asset)["versions"]}


def _next_number(asset: Row) -> int:
    return 1 + max((one["version_number"] for one in asset["versions"]), default=0)


def _add(call: Call, asset: Row, *, copy_from: str | None) -> Row:
    """A new latest version. Approval does not come along: it hangs on a version."""
    version = new_version(call.now, key=call.site.store.new_id(), user_id=call.user_id, number=_next_number(asset))
    asset["versions"].append(version)
    if copy_from is not None:
        _copy_metadata(call, asset, source=copy_from, target=version["id"])
    add_history(call, asset, "VERSION_CREATE")
    call.tell("assets", asset["id"], realm="versions", operation="create", data=version | {"asset_id": asset["id"]})
    return version


def _copy_metadata(call: Call, asset: Row, *, source: str, target: str) -> None:
    values = call.site.store.get("metadata", source)
    if values is not None:
        row = values | {"id": target, "version_id": target, "object_id": asset["id"]}
        call.site.store.put("metadata", target, row, owner=asset["id"], part=target)


def create(call: Call) -> Answer:
    """Answers 200, not 201, with all versions."""
    asset = asset_of(call)
    body = shapes.read(call, asset_shapes.NEW_VERSION)
    source = body.get("source_version_id") or current_version(asset)
    if body.get("source_version_id"):
        version_of(asset, source)
    _add(call, asset, copy_from=source if body.get("copy_metadata", True) else None)
    save(call, asset)
    return Answer(_answer(call, asset))


def _copy_files(call: Call, source: Row, target: Row, *, old: str, new: str) -> None:
    """The files of a version, again, under another one; the bytes come along."""
    store = call.site.store
    names: dict[str, str] = {}
    for kind in VERSION_PARTS:
        for row in store.find(kind, owner=source["id"]):
            if row.get("version_id") != old:
                continue
            key = names[row["id"]] = store.new_id()
            copy = row | {"id": key, "asset_id": target["id"], "version_id": new}
            copy |= {name: names[row[name]] for name in ("format_id", "file_set_id") if row.get(name) in names}
            if (data := store.blob(row["id"])) is not None:
                store.keep_blob(key, data)
            store.put(kind, key, copy, owner=target["id"], part=new)


def from_asset(call: Call) -> Answer:
    asset, source = asset_of(call), asset_of(call, name="source_asset_id")
    shapes.read(call, asset_shapes.NEW_VERSION)
    jobs = call.site.store.find("jobs", owner=source["id"])
    if any(job["type"] == "TRANSCODE" and job["status"] in ("READY", "STARTED") for job in jobs):
        raise refused(409, "The asset is being transcoded and cannot be set as a new version")
    version = _add(call, asset, copy_from=current_version(asset))
    _copy_files(call, source, asset, old=current_version(source), new=version["id"])
    version["is_online"] = asset["is_online"] = source["is_online"]
    save(call, asset)
    return nothing(202)


def from_version(call: Call) -> Answer:
    asset = asset_of(call)
    old = version_of(asset, call.given["source_version_id"])
    version = _add(call, asset, copy_from=old["id"])
    _copy_files(call, asset, asset, old=old["id"], new=version["id"])
    version["is_online"] = old["is_online"]
    save(call, asset)
    return nothing(202)


def change(call: Call) -> Answer:
    asset = asset_of(call)
    version = version_of(asset, call.given["version_id"])
    version |= shapes.read(call, asset_shapes.VERSION, partial=True)
    add_history(call, asset, "VERSION_UPDATE")
    save(call, asset)
    return Answer(version)


def promote(call: Call) -> Answer:
    """Make it the latest: it takes the next number."""
    asset = asset_of(call)
    version = version_of(asset, call.given["version_id"])
    version["version_number"] = _next_number(asset)
    add_history(call, asset, "VERSION_PROMOTE")
    save(call, asset)
    return Answer(_answer(call, asset))


def delete(call: Call) -> Answer:
    asset = asset_of(call)
    version = version_of(asset, call.given["version_id"])
    if len([one for one in asset["versions"] if one["status"] != "DELETED"]) <= 1:
        raise bad_request("The only version of an asset cannot be deleted")
    _remove(call, asset, version, hard=call.flag("hard_delete", False))
    save(call, asset)
    return nothing()


def delete_old(call: Call) -> Answer:
    asset = asset_of(call)
    latest = current_version(asset)
    for version in [one for one in asset["versions"] if one["id"] != latest]:
        _remove(call, asset, version, hard=True)
    save(call, asset)
    return nothing()


def _remove(call: Call, asset: Row, version: Row, *, hard: bool) -> None:
    add_history(call, asset, "VERSION_DELETE", version_id=version["id"])
    if not hard:
        version["status"] = "DELETED"
        return
    asset["versions"] = [one for one in asset["versions"] if one["id"] != version["id"]]
    for kind in (*VERSION_PARTS, "metadata", "approvals", "decisions"):
        for row in call.site.store.find(kind, part=version["id"]):
            call.site.store.remove(kind, row["id"])
