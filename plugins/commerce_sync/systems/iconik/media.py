"""Formats, file sets, files, proxies, keyframes, subtitles, their addresses, transcodes and jobs.

Source: the files, transcode and jobs services' OpenAPI documents. Signed addresses are short-lived: fetch one right
before it is used, never store it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from commerce_sync.errors import ConfigurationError
from commerce_sync.systems.iconik.client import IconikClient, Row
from commerce_sync.systems.iconik.reasons import NOT_FOUND, IconikRefusal

Part = Literal["formats", "file_sets", "files", "proxies", "keyframes", "subtitles"]
CLOSED = "CLOSED"
"""The only status of a file, proxy or keyframe that is complete."""
JOB_DONE = frozenset({"FINISHED", "FINISHED_WITH_WARNING", "SKIPPED"})
JOB_FAILED = frozenset({"FAILED", "ABORTED", "DISCARDED"})
JOB_ENDED = JOB_DONE | JOB_FAILED


def path_of(asset_id: str, rest: str) -> str:
    """``files/v1/assets/<id>/<rest>/``."""
    return f"files/v1/assets/{asset_id}/{rest}/"


async def parts(client: IconikClient, asset_id: str, kind: Part, *, signed: bool = False) -> list[Row]:
    """All formats, file sets, files, proxies, keyframes or subtitles of the latest version, by id.

    signed: with short-lived addresses (files, proxies, keyframes).
    """
    params: Row = {"generate_signed_url": str(signed).lower()} if kind in ("files", "proxies", "keyframes") else {}
    return await client.by_last_id(path_of(asset_id, kind), **params)


async def format_named(client: IconikClient, asset_id: str, name: str = "ORIGINAL") -> Row | None:
    """A format by its name."""
    return await client.find(path_of(asset_id, f"formats/{name}"))


async def address(client: IconikClient, asset_id: str, kind: Literal["files", "proxies", "keyframes"], key: str) -> str:
    """A fresh signed address of a file, proxy or keyframe.

    From the list, because there it leaves no "download" entry in the asset's history, unlike ``download_url``.
    Raises IconikRefusal when the asset's latest version has no such file.
    """
    rows = await parts(client, asset_id, kind, signed=True)
    found = next((row for row in rows if row["id"] == key), None)
    if found is None:
        raise IconikRefusal(
            f"asset {asset_id} has no {kind} {key} in its latest version", code=NOT_FOUND, reason_class="reference"
        )
    return str(found.get("url") or (await client.get(path_of(asset_id, f"{kind}/{key}/download_url")))["url"])


async def publish_proxy(client: IconikClient, asset_id: str, proxy_id: str) -> Row:
    """Make the proxy's link public and lasting; answers the proxy."""
    done = await client.call("POST", path_of(asset_id, f"proxies/{proxy_id}/public"), repeatable=True)
    return done or await client.get(path_of(asset_id, f"proxies/{proxy_id}"))


async def withdraw_proxy(client: IconikClient, asset_id: str, proxy_id: str) -> None:
    """End the public link."""
    await client.remove(path_of(asset_id, f"proxies/{proxy_id}/public"))


async def with_checksum(client: IconikClient, md5: str) -> list[Row]:
    """Files whose content has this MD5."""
    found = await client.find(f"files/v1/files/checksum/{md5}/")
    return list((found or {}).get("objects") or [])


async def transcode(client: IconikClient, asset_id: str, version_id: str, body: Row | None = None) -> str:
    """Start a transcode of a version; answers the job's id."""
    made = await client.call("POST", path_of(asset_id, f"versions/{version_id}/transcode"), json=body or {})
    key = (made or {}).get("job_id") or (made or {}).get("id")
    if not key:
        raise ConfigurationError(f"{client.name}: the transcode of asset {asset_id} gave no job id; it gave {made}")
    return str(key)


async def job(client: IconikClient, job_id: str) -> Row | None:
    """A job, None when there is none (any more)."""
    return await client.find(f"jobs/v1/jobs/{job_id}/")


async def jobs_of(client: IconikClient, object_id: str, **params: Any) -> list[Row]:
    """Jobs of one object."""
    return await client.listed("jobs/v1/jobs/", object_id=object_id, **params)


async def start_job(client: IconikClient, body: Row) -> Row:
    """Write down a CUSTOM job, which users see on the asset; ``title``, ``type`` and ``status`` are required."""
    made: Row = await client.call("POST", "jobs/v1/jobs/", json=body)
    return made


async def change_job(client: IconikClient, job_id: str, body: Row) -> Row:
    """Move a job by hand: status, progress, message."""
    changed: Row = await client.change("PATCH", f"jobs/v1/jobs/{job_id}/", body)
    return changed


async def steer_jobs(client: IconikClient, job_ids: Sequence[str], action: str) -> None:
    """ABORT, PAUSE, RESUME or RESTART jobs."""
    await client.change("PUT", "jobs/v1/jobs/state/", {"job_ids": list(job_ids), "action": action})
