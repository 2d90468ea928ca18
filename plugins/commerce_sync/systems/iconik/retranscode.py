"""Failed transcodes are asked for again, a few times per version; iconik's own jobs are the memory of how often."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from commerce_sync.systems.iconik import catalogue, columns, media
from commerce_sync.systems.iconik.client import IconikClient, Row, all_of, any_of
from commerce_sync.systems.iconik.operators import _IconikOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

FAILED = "FAILED"


class IconikRetryTranscodesOperator(_IconikOperator):
    """Start the transcode of assets whose latest version has a failed proxy and no finished one.

    terms: field -> values the assets must have, such as ``{"metadata.commerce_status": ["published"]}``.
    times: further attempts per version.   Returns ``{"started": [asset ids], "given_up": [asset ids]}``.
    """

    template_fields: Sequence[str] = ("iconik_conn_id",)

    def __init__(self, *, terms: Mapping[str, Sequence[Any]], times: int = 2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.terms = terms
        self.times = times

    def execute(self, context: Context) -> dict[str, list[str]]:
        """Look at all such assets; what is running is left alone."""
        found = asyncio.run(self._work())
        self.log.info("transcodes started again: %d, given up: %d", len(found["started"]), len(found["given_up"]))
        return found

    async def _work(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {"started": [], "given_up": []}
        async with self._hook().client() as client:
            async for page in client.search(self._criteria()):
                for row in page.objects:
                    verdict = await retry(client, str(row["id"]), times=self.times) if _has_failed(row) else None
                    if verdict:
                        found[verdict].append(str(row["id"]))
        return found

    def _criteria(self) -> Row:
        terms = [any_of("status", ["ACTIVE"]), *(any_of(name, list(values)) for name, values in self.terms.items())]
        order = [{"name": name, "order": "asc"} for name in ("date_created", "id")]
        return {"doc_types": ["assets"], "query": "", "filter": all_of(*terms), "sort": order,
                "include_fields": ["id", "proxies"]}  # fmt: skip


def _has_failed(row: Row) -> bool:
    return any(proxy.get("status") == FAILED for proxy in row.get("proxies") or [])


async def retry(client: IconikClient, asset_id: str, *, times: int) -> str | None:
    """``started``, ``given_up``, or None with nothing to do. The search is a hint, the asset itself decides."""
    asset = await catalogue.read(client, "assets", asset_id)
    version = catalogue.latest_version(asset) if asset else None
    if version is None:
        return None
    proxies = [row for row in await media.parts(client, asset_id, "proxies")
               if row.get("version_id") in (None, version["id"])]  # fmt: skip
    if not _has_failed({"proxies": proxies}) or any(row["status"] != FAILED for row in proxies):
        return None
    since = columns.moment(version["date_created"])
    jobs = [row for row in await media.jobs_of(client, asset_id, type="TRANSCODE")
            if columns.moment(row["date_created"]) >= since]  # fmt: skip
    if any(row["status"] not in media.JOB_ENDED for row in jobs):
        return None
    if sum(row["status"] in media.JOB_FAILED for row in jobs) > times:
        return "given_up"
    await media.transcode(client, asset_id, str(version["id"]))
    return "started"
