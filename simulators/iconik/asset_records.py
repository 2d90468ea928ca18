"""How assets, versions and their traces are written; no HTTP here."""

from __future__ import annotations

from typing import Any

from simulators.iconik.call import Call, Row
from simulators.iconik.errors import not_found
from simulators.iconik.index import latest_version
from simulators.iconik.site import SYSTEM_DOMAIN
from simulators.iconik.store import words

VERSION_PARTS = ("formats", "file_sets", "files", "proxies", "keyframes", "subtitles")
OF_ASSETS = (*VERSION_PARTS, "history", "segments", "relations", "approvals", "decisions", "metadata")
_UNSET = words(
    "category custom_keyframe custom_poster date_deleted date_viewed deleted_by_user external_id external_link"
    " last_archive_restore_date original_asset_id original_segment_id original_version_id site_name"
    " time_end_milliseconds time_start_milliseconds warning"
)


def new_version(now: str, *, key: str, user_id: str | None, number: int) -> Row:
    return {
        "id": key,
        "version_number": number,
        "status": "ACTIVE",
        "archive_status": "NOT_ARCHIVED",
        "analyze_status": "N/A",
        "transcribe_status": "N/A",
        "face_recognition_status": "N/A",
        "has_unconfirmed_persons": False,
        "is_online": False,
        "person_ids": [],
        "transcribed_languages": [],
        "created_by_user": user_id,
        "date_created": now,
    }


def new_asset(now: str, *, key: str, version_id: str, user_id: str | None, values: Row) -> Row:
    """A full asset with its first version. It is offline until a file is closed, whatever was asked for."""
    row: Row = dict.fromkeys(_UNSET)
    row |= {"id": key, "type": "ASSET", "status": "ACTIVE", "archive_status": "NOT_ARCHIVED", "analyze_status": "N/A"}
    row |= {"face_recognition_status": "N/A", "has_unconfirmed_persons": False, "is_blocked": False}
    row |= {"favoured": False, "in_collections": [], "limit_download_to_groups": [], "person_ids": []}
    row |= {"created_by_user": user_id, "updated_by_user": user_id}
    row |= {"date_created": now, "date_imported": now, "date_modified": now}
    row |= values | {"is_online": False}
    return row | {"versions": [new_version(now, key=version_id, user_id=user_id, number=1)]}


def asset_of(call: Call, *, name: str = "asset_id") -> Row:
    return call.need("assets", call.given[name])


def version_of(asset: Row, version_id: str) -> Row:
    for version in asset["versions"]:
        if version["id"] == version_id:
            return version
    raise not_found()


def current_version(asset: Row) -> str:
    """The id of the latest version; the asset's own when all are deleted."""
    version = latest_version(asset)
    return version["id"] if version else asset["id"]


def shown(call: Call, asset: Row) -> Row:
    """The asset as the API answers it."""
    row = asset | {"in_collections": call.site.index.holders(asset["id"])}
    row["versions"] = sorted(
        asset["versions"],
        key=lambda one: one["version_number"],
        reverse=bool(call.site.settings["versions_newest_first"]),
    )
    return {name: value for name, value in row.items() if not name.startswith("_")}


def save(call: Call, asset: Row, *, operation: str = "update", touch: bool = True) -> Row:
    """Store a changed asset and tell the webhooks."""
    if touch:
        asset |= {"date_modified": call.now, "updated_by_user": call.user_id}
    call.site.store.put("assets", asset["id"], asset)
    call.site.index.touch(asset["id"])
    call.tell("assets", asset["id"], realm="entity", operation=operation, data=shown(call, asset))
    return asset


def add_history(call: Call, asset: Row, operation: str, description: str = "", **values: Any) -> Row:
    key, now = call.site.store.new_id(), call.now
    row: Row = {"id": key, "asset_id": asset["id"], "version_id": current_version(asset), "user_id": call.user_id}
    row |= {"operation_type": operation, "operation_description": description, "job_id": None, "share_id": None}
    row |= {"share_user_id": None, "system_domain_id": SYSTEM_DOMAIN, "date_created": now, "date_modified": now}
    row |= values
    return call.site.store.put("history", key, row, owner=asset["id"])


def go_online(call: Call, asset: Row, version_id: str) -> None:
    """A file of this version is complete: version and asset are online."""
    for version in asset["versions"]:
        if version["id"] == version_id:
            version["is_online"] = True
    asset["is_online"] = True
    if asset["type"] == "PLACEHOLDER":
        asset["type"] = "ASSET"
    save(call, asset)


def purge(call: Call, asset: Row) -> None:
    """Remove an asset with everything that hangs on it."""
    store = call.site.store
    for kind in OF_ASSETS:
        store.remove_owned(kind, asset["id"])
    for link in store.find("contents", part=asset["id"]):
        store.remove("contents", link["id"])
    for relation in store.find("relations", part=asset["id"]):
        store.remove("relations", relation["id"])
        call.site.index.touch(relation["asset_id"])
    store.remove("assets", asset["id"])
    call.site.index.touch(asset["id"])
    call.tell("assets", asset["id"], realm="entity", operation="purge", data=shown(call, asset))
