"""Operators for DAGs of one's own: search to a file, download, transcode. They need no mapping and no ledger.

IconikSearchOperator(task_id="heroes", criteria={"doc_types": ["assets"], "query": "metadata.media_role:hero"},
                     fields={"id": "VARCHAR", "title": "VARCHAR"}, path="/data/heroes.parquet")
IconikDownloadOperator(task_id="master", asset_id="{{ params.asset }}", path="/data/master")
IconikTranscodeOperator(task_id="web_copy", asset_id="{{ params.asset }}", deferrable=True)
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from airflow.sdk import BaseOperator

from commerce_sync.errors import ConfigurationError, RetryableError
from commerce_sync.systems.iconik import catalogue, columns, media
from commerce_sync.systems.iconik.client import IconikClient, Row

if TYPE_CHECKING:
    from airflow.sdk import Context

    from commerce_sync.systems.iconik.hook import IconikHook

DEFAULT_CONN = "iconik_default"


class _IconikOperator(BaseOperator):
    """A connection and the hook for it, made when the task runs."""

    ui_color = "#e6e0ff"

    def __init__(self, *, iconik_conn_id: str = DEFAULT_CONN, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.iconik_conn_id = iconik_conn_id

    def _hook(self) -> IconikHook:
        from commerce_sync.systems.iconik.hook import IconikHook

        return IconikHook(self.iconik_conn_id)


class IconikSearchOperator(_IconikOperator):
    """Write what a search finds to a local .parquet file; the index lags, so these are hints.

    criteria: body of ``POST search/``.   fields: column -> DuckDB type; nested ones as STRUCT(...).
    Returns ``{"path", "rows"}``.
    """

    template_fields: Sequence[str] = ("criteria", "path", "iconik_conn_id")

    def __init__(
        self, *, criteria: dict[str, Any], fields: dict[str, str], path: str, limit: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.criteria = criteria
        self.fields = fields
        self.path = path
        self.limit = limit

    def execute(self, context: Context) -> dict[str, Any]:
        """Run the search."""
        import pyarrow.parquet as pq

        criteria = {"include_fields": list(self.fields)} | self.criteria
        rows = self._hook().search(criteria, limit=self.limit)
        pq.write_table(columns.table(rows, self.fields), self.path, compression="zstd")
        self.log.info("search done: %d documents", len(rows))
        return {"path": self.path, "rows": len(rows)}


class IconikDownloadOperator(_IconikOperator):
    """Stream a file of an asset to local disk, whatever its size; a retry goes on where the last attempt stood.

    file_id: default is the only complete file of the latest version (proxies: the only proxy).
    Returns ``{"path", "size_bytes", "md5", "sha256"}``.
    """

    template_fields: Sequence[str] = ("asset_id", "file_id", "path", "iconik_conn_id")

    def __init__(
        self, *, asset_id: str, path: str, file_id: str | None = None, kind: Literal["files", "proxies"] = "files",
        **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(**kwargs)
        self.asset_id = asset_id
        self.path = path
        self.file_id = file_id
        self.kind: Literal["files", "proxies"] = kind

    def execute(self, context: Context) -> dict[str, Any]:
        """Find the file and fetch it."""
        hook = self._hook()
        row = asyncio.run(self._chosen(hook))
        done = hook.download(
            self.asset_id, row["id"], Path(self.path), kind=self.kind, expected_checksum=row.get("checksum") or None,
            size=int(row["size"]) if row.get("size") else None,
        )  # fmt: skip
        self.log.info("download done: %d bytes in %d requests", done.size_bytes, done.requests)
        return {"path": self.path, "size_bytes": done.size_bytes, "md5": done.md5, "sha256": done.sha256}

    async def _chosen(self, hook: IconikHook) -> Row:
        async with hook.client() as client:
            rows = await media.parts(client, self.asset_id, self.kind)
        fitting = [row for row in rows if row["status"] == media.CLOSED and self.file_id in (None, row["id"])]
        if len(fitting) == 1:
            return fitting[0]
        there = ", ".join(f"{row['id']} ({row['status']})" for row in rows) or "none"
        raise ConfigurationError(
            f"asset {self.asset_id} has {len(fitting)} complete {self.kind} that fit file_id {self.file_id!r}, one is "
            f"needed; it has: {there}"
        )


class IconikTranscodeOperator(_IconikOperator):
    """Transcode the latest version of an asset and wait for the job; returns the job's id.

    body: what the transcode is to make, as the API takes it; default the domain's own profile.   deferrable: wait
    without a worker.   A failed job is a RetryableError: Airflow's retry starts another one.
    """

    template_fields: Sequence[str] = ("asset_id", "body", "iconik_conn_id")

    def __init__(
        self, *, asset_id: str, body: dict[str, Any] | None = None, deferrable: bool = False, poll_s: float = 5.0,
        timeout_s: float = 14_400.0, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(**kwargs)
        self.asset_id = asset_id
        self.body = body
        self.deferrable = deferrable
        self.poll_s = poll_s
        self.timeout_s = timeout_s

    def execute(self, context: Context) -> str:
        """Start the job, then wait or defer."""
        hook = self._hook()
        job_id = asyncio.run(self._start(hook))
        if not self.deferrable:
            return self._settled(job_id, self._wait(hook, job_id))
        from commerce_sync.systems.iconik.triggers import IconikJobsTrigger

        self.defer(
            trigger=IconikJobsTrigger(
                self.iconik_conn_id, job_ids=[job_id], poll_s=self.poll_s, timeout_s=self.timeout_s
            ),
            method_name="resume",
            kwargs={"job_id": job_id},
        )
        return job_id

    def resume(self, context: Context, event: dict[str, Any] | None = None, *, job_id: str) -> str:
        """Judge the job after the trigger fired."""
        happened = event or {}
        if happened.get("status") == "error":
            raise RetryableError(f"transcode job {job_id} could not be watched: {happened.get('message')}")
        return self._settled(job_id, (happened.get("states") or {}).get(job_id) or {"status": "unknown"})

    async def _start(self, hook: IconikHook) -> str:
        async with hook.client() as client:
            found = await catalogue.read(client, "assets", self.asset_id)
            version = catalogue.latest_version(found) if found else None
            if version is None:
                raise ConfigurationError(f"asset {self.asset_id} is not in iconik or has no version")
            running = await self._running(client) if self.body is None else None
            return running or await media.transcode(client, self.asset_id, version["id"], self.body)

    async def _running(self, client: IconikClient) -> str | None:
        """A usual transcode that is already under way: a repeated task joins it instead of starting another."""
        rows = await media.jobs_of(client, self.asset_id, type="TRANSCODE")
        live = [row for row in rows if row["status"] not in media.JOB_ENDED]
        return str(live[0]["id"]) if live else None

    def _wait(self, hook: IconikHook, job_id: str) -> Row:
        until = time.monotonic() + self.timeout_s
        while True:
            state = asyncio.run(hook.job_states([job_id]))[job_id]
            if state["status"] in media.JOB_ENDED or time.monotonic() > until:
                return state
            time.sleep(self.poll_s)

    def _settled(self, job_id: str, state: Row) -> str:
        if state["status"] in media.JOB_DONE:
            return job_id
        raise RetryableError(
            f"transcode job {job_id} of asset {self.asset_id} is {state['status']}: "
            f"{state.get('error_message') or 'no reason given'}"
        )
