"""Bulk API 2.0: ingest jobs (create, upload, close, poll, results) and query jobs (to CSV or Parquet).

Source: Bulk API 2.0 and Bulk API Developer Guide, chapters "Bulk API 2.0 Ingest" and "Bulk API 2.0 Query".
"""

from __future__ import annotations

import asyncio
import math
from pathlib import Path
from typing import Any

from commerce_sync import budget_meter
from commerce_sync.budget import BATCHES, BYTES, JOBS
from commerce_sync.errors import ConfigurationError, RetryableError, SyncError
from commerce_sync.systems.answers import UnknownOutcomeError
from commerce_sync.systems.rest import file_body
from commerce_sync.systems.salesforce.client import SalesforceClient
from commerce_sync.systems.salesforce.reasons import job_failure

TERMINAL = frozenset({"JobComplete", "Failed", "Aborted"})
TRANSFER_TIMEOUT_S = 900.0
"""A job's file may be 100 MB; a slow line needs minutes for it."""
QUERY_PAGE_ROWS = 50_000
BATCH_ROWS = 10_000


class Ingest:
    """Ingest jobs of one client. States: Open, UploadComplete, InProgress, JobComplete, Failed, Aborted."""

    def __init__(self, client: SalesforceClient) -> None:
        self._client = client
        self._route = f"{client.root}/jobs/ingest/{{id}}"

    def draw(self, *, rows: int, size_bytes: int) -> None:
        """Take a job, its batches of 10,000 rows and its bytes from the budget. Raises QuotaError without room.

        Source: Bulk API 2.0 and Bulk API Developer Guide, Limits: a job counts as many batches of the 24 hours.
        """
        if meter := budget_meter.current(self._client.rest.name):
            meter.spend(JOBS, 1)
            meter.spend(BATCHES, math.ceil(rows / BATCH_ROWS))
            meter.spend(BYTES, size_bytes)

    async def create(self, object_name: str, operation: str, *, external_id: str | None = None, **extra: Any) -> str:
        """Make an empty job and return its id. Repeatable: an empty job that nobody uploads to does nothing."""
        job = {
            "object": object_name,
            "operation": operation,
            "contentType": "CSV",
            "lineEnding": "LF",
            **extra,
        }
        if external_id:
            job["externalIdFieldName"] = external_id
        answer = await self._client.call("POST", "jobs/ingest", json=job, repeatable=True)
        return str(answer.json()["id"])

    async def upload(self, job_id: str, path: Path) -> None:
        """Stream a CSV file into an Open job; a job takes one upload, so a failure means a new job.

        Raises RetryableError when it cannot be told whether the data arrived.
        """
        stream, headers = file_body(path)
        await self._client.call(
            "PUT", f"jobs/ingest/{job_id}/batches", data=stream, ok=(200, 201), repeatable=False,
            headers={**headers, "Content-Type": "text/csv; charset=UTF-8"}, timeout_s=TRANSFER_TIMEOUT_S,
            route=f"{self._route}/batches",
        )  # fmt: skip

    async def close(self, job_id: str) -> str:
        """Hand the uploaded data over for processing and return the state; settles an unanswered call by reading."""
        try:
            return await self._move(job_id, "UploadComplete")
        except (UnknownOutcomeError, ConfigurationError):
            state = await self._state(job_id)
            if state == "Open":
                return await self._move(job_id, "UploadComplete")
            return state

    async def abort(self, job_id: str) -> None:
        """Give a job up; one that is finished or gone stays as it is."""
        info = await self.info(job_id)
        if info is None or info["state"] in TERMINAL:
            return
        try:
            await self._move(job_id, "Aborted")
        except (UnknownOutcomeError, ConfigurationError):
            if await self._state(job_id) not in TERMINAL:
                raise

    async def info(self, job_id: str) -> dict[str, Any] | None:
        """The job as Salesforce describes it, None when it is not there any more (7 days)."""
        answer = await self._client.call("GET", f"jobs/ingest/{job_id}", ok=(200, 404), route=self._route)
        return answer.json() if answer.status == 200 else None

    async def results(self, job_id: str, kind: str, path: Path) -> bool:
        """Stream one result file to disk; False when there is none (204, 404, empty).

        kind: successfulResults, failedResults or unprocessedrecords.
        """
        answer = await self._client.call(
            "GET", f"jobs/ingest/{job_id}/{kind}/", to_file=path, ok=(200, 204, 404), headers={"Accept": "text/csv"},
            timeout_s=TRANSFER_TIMEOUT_S, route=f"{self._route}/{kind}",
        )  # fmt: skip
        return answer.status == 200 and path.stat().st_size > 0

    async def _move(self, job_id: str, state: str) -> str:
        answer = await self._client.call("PATCH", f"jobs/ingest/{job_id}", json={"state": state}, route=self._route)
        return str(answer.json()["state"])

    async def _state(self, job_id: str) -> str:
        info = await self.info(job_id)
        return str(info["state"]) if info else "Aborted"


class BulkQuery:
    """Query jobs of one client: for results of thousands of rows and more.

    longest_s: how long a job may take before it is given up.
    """

    def __init__(
        self, client: SalesforceClient, *, poll_first_s: float = 1.0, poll_most_s: float = 10.0,
        longest_s: float = 7200.0,
    ) -> None:  # fmt: skip
        self._client = client
        self._longest_s = longest_s
        self._poll_first_s = poll_first_s
        self._poll_most_s = poll_most_s
        self._route = f"{client.root}/jobs/query/{{id}}"

    async def to_csv(self, soql: str, folder: Path, *, all_rows: bool = False) -> tuple[dict[str, Any], list[Path]]:
        """Run a query and stream its result pages into ``folder``; returns the finished job and the CSV files.

        Every file has the header row; values are UTF-8, empty means null. Raises ConfigurationError for a query
        that Bulk does not take (aggregates, child queries, compound fields).
        """
        job = await self._run(soql, all_rows=all_rows)
        paths: list[Path] = []
        locator: str | None = None
        while locator != "null":
            path = folder / f"page-{len(paths):05d}.csv"
            locator = await self._page(str(job["id"]), path, locator)
            paths.append(path)
        await self._client.call("DELETE", f"jobs/query/{job['id']}", route=self._route, ok=(204, 404))
        return job, paths

    async def _run(self, soql: str, *, all_rows: bool) -> dict[str, Any]:
        body = {"operation": "queryAll" if all_rows else "query", "query": soql, "contentType": "CSV"}
        answer = await self._client.call("POST", "jobs/query", json=body, repeatable=True)
        job: dict[str, Any] = answer.json()
        pause, waited = self._poll_first_s, 0.0
        while job["state"] not in TERMINAL:
            if waited >= self._longest_s:
                raise await self._given_up(job, waited)
            await self._client.sleep(pause)
            waited += pause
            pause = min(pause * 1.5, self._poll_most_s)
            job = (await self._client.call("GET", f"jobs/query/{job['id']}", route=self._route)).json()
        if job["state"] != "JobComplete":
            raise _query_failure(job)
        return job

    async def _given_up(self, job: dict[str, Any], waited_s: float) -> RetryableError:
        await self._client.call(
            "PATCH", f"jobs/query/{job['id']}", json={"state": "Aborted"}, route=self._route, repeatable=True
        )
        return RetryableError(
            f"Salesforce bulk query of {job.get('object')} was still {job['state']} after {waited_s:.0f} s and was "
            "aborted: try again, or read less at once"
        )

    async def _page(self, job_id: str, path: Path, locator: str | None) -> str:
        params: dict[str, Any] = {"maxRecords": QUERY_PAGE_ROWS}
        if locator:
            params["locator"] = locator
        answer = await self._client.call(
            "GET", f"jobs/query/{job_id}/results", params=params, to_file=path, ok=(200,),
            headers={"Accept": "text/csv"}, timeout_s=TRANSFER_TIMEOUT_S, route=f"{self._route}/results",
        )  # fmt: skip
        return answer.headers.get("Sforce-Locator") or "null"


async def wait_for(ingest: Ingest, job_id: str, *, seconds: float, pause_s: float, most_s: float) -> dict[str, Any]:
    """Poll a job until it is finished or ``seconds`` are over; returns what was last known of it."""
    clock = asyncio.get_running_loop()
    until = clock.time() + seconds
    while True:
        info = await ingest.info(job_id) or {"id": job_id, "state": "Aborted", "errorMessage": "job is gone"}
        if info["state"] in TERMINAL or clock.time() >= until:
            return info
        await asyncio.sleep(min(pause_s, max(0.01, until - clock.time())))
        pause_s = min(pause_s * 1.5, most_s)


def _query_failure(job: dict[str, Any]) -> SyncError:
    message = str(job.get("errorMessage") or f"job {job['id']} ended as {job['state']}")
    known = job_failure(message, object_name=str(job.get("object")))
    return known or RetryableError(f"Salesforce bulk query of {job.get('object')}: {message}")
