"""Bring one planned job to Salesforce, or find the one an earlier process brought there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

from commerce_sync.errors import RetryableError
from commerce_sync.systems.jobs import Job, Jobs
from commerce_sync.systems.salesforce.bulk import Ingest
from commerce_sync.systems.salesforce.pieces import Piece
from commerce_sync.systems.salesforce.stage import Operation, Round, Stage

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger(__name__)
UPLOAD_TRIES = 3
OPEN, SENT, ABANDONED = "Open", "Sent", "Abandoned"
"""Our states of a job before Salesforce works on it: it exists, its data was sent, it is given up."""


async def in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run blocking work beside the event loop; a cancelled caller still waits for it, since it uses the stage."""
    task = asyncio.ensure_future(asyncio.to_thread(work, *args, **kwargs))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


class Launcher:
    """Launches the pieces of one load; every step is in the journal before the next one is taken."""

    def __init__(self, ingest: Ingest, stage: Stage, jobs: Jobs) -> None:
        self._ingest = ingest
        self._stage = stage
        self._jobs = jobs
        self._files: dict[str, asyncio.Task[Path]] = {}

    def prepare(self, name: str, round_: Round, piece: Piece) -> None:
        """Begin to write the CSV of a piece, beside whatever is going on."""
        if name not in self._files:
            self._files[name] = asyncio.create_task(self._write(name, round_, piece))

    async def written(self, name: str) -> None:
        """Wait for the CSV of a prepared piece, so that no more than two are on disk."""
        if name in self._files:
            await self._files[name]

    async def drop(self) -> None:
        """Wait for what is being written and will not be sent."""
        files = list(self._files.values())
        for task in files:
            task.cancel()
        await asyncio.gather(*files, return_exceptions=True)

    async def launch(self, name: str, round_: Round, piece: Piece) -> Job:
        """The job that holds a piece, handed over for processing; nothing is sent twice into effect.

        A job that is open may hold half an upload: it is aborted and replaced. A job Salesforce has begun, or
        finished, is taken as it is. One that is gone (7 days) is replaced: upserts may be repeated.
        """
        job = self._jobs.plan(name)
        if job.remote_id and job.state != ABANDONED:
            info = await self._ingest.info(job.remote_id)
            if info and info["state"] != OPEN:
                return self._jobs.update(job, state=info["state"])
        if job.remote_id:
            await self.abandon(job)
        self.prepare(name, round_, piece)
        return await self._send(job, round_.operation, rows=piece.rows)

    async def _write(self, name: str, round_: Round, piece: Piece) -> Path:
        path = self._stage.folder / f"{name}.csv"
        bounds = {"first": piece.first, "end": piece.end, "shape": piece.shape}
        await in_thread(self._stage.write_csv, path, round_.operation, where=round_.where, **bounds)
        return path

    async def _send(self, job: Job, operation: Operation, *, rows: int) -> Job:
        path = await self._files[job.name]
        try:
            await in_thread(self._ingest.draw, rows=rows, size_bytes=path.stat().st_size)
            for left in reversed(range(UPLOAD_TRIES)):
                job = await self._create(job, operation)
                try:
                    await self._ingest.upload(str(job.remote_id), path)
                except RetryableError:
                    # Whether the data arrived cannot be read back, and a job takes one upload.
                    await self.abandon(job)
                    if not left:
                        raise
                    continue
                job = self._jobs.update(job, state=SENT)
                return self._jobs.update(job, state=await self._ingest.close(str(job.remote_id)))
        finally:
            path.unlink(missing_ok=True)
        raise AssertionError("the loop returns or raises")

    async def _create(self, job: Job, operation: Operation) -> Job:
        target = self._stage.target
        extra = {}
        if operation == "upsert" and (rule := target.options.get("assignment_rule")):
            extra["assignmentRuleId"] = rule
        key = target.external_id if operation == "upsert" else None
        remote_id = await self._ingest.create(target.object, operation, external_id=key, **extra)
        return self._jobs.update(job, remote_id=remote_id, state=OPEN)

    async def abandon(self, job: Job) -> None:
        """Give up a job, wherever it stands."""
        # Written first: an aborted job of our own must not be read as one that a person aborted.
        self._jobs.update(job, state=ABANDONED)
        await self._ingest.abort(str(job.remote_id))
