"""What transcoding leaves behind: proxies and keyframes of a closed file; no HTTP here."""

from __future__ import annotations

import mimetypes
from typing import Any

from simulators.iconik import media
from simulators.iconik.site import Site
from simulators.iconik.store import Row, Store

PROXY_WIDTH, POSTER_WIDTH = 320, 160
SECONDS = 2.0


def kind_of(name: str) -> str:
    """image, video, audio or other, by the file's name."""
    kind = (mimetypes.guess_type(name)[0] or "").partition("/")[0]
    return kind if kind in ("image", "video", "audio") else "other"


def _scaled(file: Row, width: int) -> tuple[int, int]:
    recipe = file.get("_recipe") or {}
    across, down = recipe.get("width", 640), recipe.get("height", 360)
    width = min(width, across)
    return width, max(1, round(down * width / across))


def blank_upload(now: str, *, key: str, asset_id: str, version_id: str | None, storage_id: str | None) -> Row:
    """What proxies and keyframes have in common, unset."""
    names = "name filename format resolution rotation size url upload_url upload_method upload_headers"
    row: Row = dict.fromkeys([*names.split(), "upload_credentials", "content_type"])
    row |= {"id": key, "asset_id": asset_id, "version_id": version_id, "storage_id": storage_id, "status": "OPEN"}
    return row | {"storage_method": "GCS", "is_public": False, "date_created": now, "date_modified": now}


def proxy_of(now: str, *, key: str, file: Row, storage_id: str | None) -> Row | None:
    """The web copy of a file; None for what has none."""
    kind = kind_of(file["name"])
    makes = {"image": ("jpeg", "jpg", "mjpeg"), "video": ("mp4", "mp4", "mjpeg"), "audio": ("wav", "wav", "pcm_s16le")}
    if kind not in makes:
        return None
    make, ending, codec = makes[kind]
    width, height = _scaled(file, PROXY_WIDTH)
    source = file.get("_recipe") or {}
    row = blank_upload(now, key=key, asset_id=file["asset_id"], version_id=file["version_id"], storage_id=storage_id)
    name = f"{file['name'].rpartition('.')[0] or file['name']}_proxy.{ending}"
    row |= {"name": name, "filename": name, "format": ending, "codec": codec, "audio_bitrate": None, "bit_rate": None}
    row |= {"frame_rate": "5" if kind == "video" else None, "is_drop_frame": False, "start_time_code": None}
    if kind != "audio":
        row["resolution"] = {"width": width, "height": height}
    seconds = source.get("seconds", SECONDS)
    seed = source.get("seed") or file["id"]
    row["_recipe"] = {"make": make, "width": width, "height": height, "seconds": seconds, "seed": seed}
    return row


def keyframes_of(now: str, *, keys: list[str], file: Row, storage_id: str | None) -> list[Row]:
    """A poster, and for films a keyframe."""
    kind = kind_of(file["name"])
    wanted = ["POSTER", "KEYFRAME"] if kind == "video" else ["POSTER"] if kind == "image" else []
    width, height = _scaled(file, POSTER_WIDTH)
    seed = (file.get("_recipe") or {}).get("seed") or file["id"]
    found = []
    for key, role in zip(keys, wanted, strict=False):
        row = blank_upload(
            now, key=key, asset_id=file["asset_id"], version_id=file["version_id"], storage_id=storage_id
        )
        name = f"{role.lower()}.jpg"
        row |= {"type": role, "name": name, "filename": name, "format": "JPEG", "is_custom_keyframe": False}
        row |= {"resolution": {"width": width, "height": height}, "status": "CLOSED", "collection_id": None}
        row["time_code"] = {"frames_number": 0, "is_drop_frame": False, "time_base": None}
        row["_recipe"] = {"make": "jpeg", "width": width, "height": height, "seed": seed}
        found.append(row)
    return found


def sized(row: Row) -> Row:
    """The record with the size of what its recipe makes."""
    return row | {"size": len(media.made(row["_recipe"]))}


def storage_of(store: Store, purpose: str) -> str | None:
    """The default storage for a purpose."""
    for row in store.find("storages"):
        if row["purpose"] == purpose:
            return row["id"]
    return None


def start_transcode(site: Site, file: Row, *, user_id: str, parts: str = "all") -> Row:
    """A job that makes proxy and keyframes; the proxy is AWAITED until then. ``parts``: all or keyframes."""
    store = site.store
    if parts == "all":
        proxy = proxy_of(store.now(), key=store.new_id(), file=file, storage_id=storage_of(store, "PROXIES"))
        if proxy is not None:
            proxy |= {"status": "AWAITED", "_of": file["id"]}
            store.put("proxies", proxy["id"], proxy, owner=file["asset_id"], part=file["version_id"])
    step = {"id": store.new_id(), "label": "Transcode", "status": "WAITING", "error_message": None, "message": None}
    return site.jobs.start(
        "TRANSCODE",
        work="transcode",
        title=f"Transcode {file['name']}",
        user_id=user_id,
        object_type="assets",
        object_id=file["asset_id"],
        progress_total=100,
        steps=[step],
        metadata={"version_id": file["version_id"], "file_id": file["id"]},
    )


def register(site: Site) -> None:
    """Tell the job engine what the end of each work means."""
    site.jobs.works["nothing"] = (lambda _job: None, lambda _job: None)
    site.jobs.works["transcode"] = (lambda job: _finish(site, job), lambda job: _fail(site, job))


def _awaited(store: Store, job: Row) -> list[Row]:
    rows = store.find("proxies", owner=job["object_id"])
    return [row for row in rows if row.get("_of") == job["metadata"]["file_id"] and row["status"] == "AWAITED"]


def _finish(site: Site, job: Row) -> None:
    store = site.store
    file = store.get("files", job["metadata"]["file_id"])
    if file is None:
        return
    now = store.now()
    for row in _awaited(store, job):
        store.put("proxies", row["id"], sized(row) | {"status": "CLOSED", "date_modified": now})
    keys = [store.new_id(), store.new_id()]
    for row in keyframes_of(now, keys=keys, file=file, storage_id=storage_of(store, "KEYFRAMES")):
        store.put("keyframes", row["id"], sized(row), owner=file["asset_id"], part=file["version_id"])
    _components(store, file)
    site.index.touch(file["asset_id"])


def _fail(site: Site, job: Row) -> None:
    for row in _awaited(site.store, job):
        site.store.put("proxies", row["id"], row | {"status": "FAILED"})
    site.index.touch(job["object_id"])


def components_of(file: Row, *, key: str) -> list[Row]:
    """Technical metadata; durations are seconds as text, as recorded."""
    recipe, kind = file.get("_recipe") or {}, kind_of(file["name"])
    known: dict[str, Any] = {"format": file["name"].rpartition(".")[2].upper()}
    if kind in ("image", "video"):
        known |= {"width": str(recipe.get("width", 640)), "height": str(recipe.get("height", 360))}
    if kind in ("audio", "video"):
        known["duration"] = f"{float(recipe.get('seconds', SECONDS)):.3f}"
    if kind == "video":
        known |= {"codec_id": "jpeg", "frame_rate": "5.000"}
    role = {"image": "IMAGE", "video": "VIDEO", "audio": "AUDIO"}.get(kind, "GENERAL")
    return [{"id": key, "name": role.capitalize(), "type": role, "metadata": known}]


def _components(store: Store, file: Row) -> None:
    row = store.get("formats", file["format_id"]) if file.get("format_id") else None
    if row is not None and not row["components"]:
        store.put("formats", row["id"], row | {"components": components_of(file, key=store.new_id())})
