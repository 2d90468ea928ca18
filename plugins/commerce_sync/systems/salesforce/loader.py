"""The load: a batch of changes into one object, resumable at every point, every row accounted for.

Rounds of an operation (upserts, then updates and deletes of vanished records): round 0 sends everything, up to
three smaller rounds send again what met a lock, passing trouble or an unfinished job. What a round sends through
Bulk is planned in the journal before any job exists, every job is written there before its data is sent, and the
results stay at Salesforce for 7 days: a process that starts anew finds the same plan and reads the same results.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from commerce_sync.batches import Batch, BatchWriter
from commerce_sync.errors import ConfigurationError, QuotaError
from commerce_sync.mapping import Field, Target
from commerce_sync.systems.jobs import Job, Jobs, Loaded
from commerce_sync.systems.salesforce import results
from commerce_sync.systems.salesforce.bulk import RESULTS, TERMINAL, Ingest, wait_for
from commerce_sync.systems.salesforce.client import COLLECTION_ROWS, SalesforceClient
from commerce_sync.systems.salesforce.collections import CollectionSender
from commerce_sync.systems.salesforce.launch import Launcher, in_thread
from commerce_sync.systems.salesforce.pieces import JOB_BYTES, Piece, cut
from commerce_sync.systems.salesforce.reasons import job_failure
from commerce_sync.systems.salesforce.stage import Operation, Stage

log = logging.getLogger(__name__)
OPERATIONS: tuple[Operation, ...] = ("upsert", "update", "delete")
JOB_ROWS = 100_000


@dataclass(frozen=True, slots=True)
class Pace:
    """How a load behaves; ``Target.options`` sets ``job_rows``, ``job_bytes``, ``redrives``, ``pauses_s``.

    redrives: rounds for locked and unprocessed rows.   pauses_s: before each of them.
    poll_first_s, poll_most_s: pauses between two questions for a job's state, growing by half.
    """

    job_rows: int = JOB_ROWS
    job_bytes: int = JOB_BYTES
    redrives: int = 3
    pauses_s: tuple[float, ...] = (2.0, 8.0, 30.0)
    poll_first_s: float = 0.5
    poll_most_s: float = 10.0

    @staticmethod
    def of(options: dict[str, Any]) -> Pace:
        """The pace a target's options ask for. Raises ConfigurationError for values of the wrong kind."""
        names = Pace.__dataclass_fields__
        chosen = {name: options[name] for name in names if name in options}
        if "pauses_s" in chosen:
            chosen["pauses_s"] = tuple(chosen["pauses_s"])
        for name, value in chosen.items():
            if name != "pauses_s" and (not isinstance(value, int | float) or value < 0):
                raise ConfigurationError(f"target option {name!r} is {value!r}; it must be a number from 0 on")
        return Pace(**chosen)


class Unfinished(Exception):  # noqa: N818
    """Remote jobs still run at the end of the time given."""

    def __init__(self, jobs: tuple[str, ...]) -> None:
        super().__init__(f"{len(jobs)} bulk jobs still run")
        self.jobs = jobs


class Load:
    """One load of one batch; ``folder`` is scratch space on local disk, about three times the batch's text."""

    def __init__(
        self,
        client: SalesforceClient,
        target: Target,
        fields: tuple[Field, ...],
        changes: Batch,
        *,
        jobs: Jobs,
        wait_s: float,
        folder: Path,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._client = client
        self._target = target
        self._fields = fields
        self._changes = changes
        self._jobs = jobs
        self._wait_s = wait_s
        self._folder = folder
        self._sleep = sleep
        self._pace = Pace.of(target.options)

    async def run(self, into: BatchWriter) -> Loaded:
        """Send, settle, re-drive, and write one outcome per change. Raises Unfinished when jobs still run."""
        self._until = asyncio.get_running_loop().time() + self._wait_s
        self._ingest = Ingest(self._client)
        self._stage = await in_thread(Stage, self._folder, self._target, self._fields, self._changes)
        try:
            self._launcher = Launcher(self._ingest, self._stage, self._jobs)
            headers = dict(self._target.options.get("headers", {}))
            self._sender = CollectionSender(self._client, self._stage, headers=headers)
            for operation in OPERATIONS:
                await self._operation(operation)
            return await in_thread(results.publish, self._stage, self._changes, into)
        finally:
            self._stage.close()

    async def _operation(self, operation: Operation) -> None:
        rows, where = self._stage.rows(operation), "true"
        for round_ in range(self._pace.redrives + 1):
            if not rows:
                return
            await self._round(operation, round_, rows, where)
            if message := results.no_such_column(self._stage):
                raise ConfigurationError(f"{message}; correct the mapping to {self._target.object}")
            if round_ == self._pace.redrives:
                return
            rows, where = results.select_redrives(self._stage, operation), "n IN (SELECT n FROM redrive)"
            if rows:
                pause = self._pace.pauses_s[min(round_, len(self._pace.pauses_s) - 1)]
                log.info("%d rows of %s go again in %.1f s", rows, self._target.object, pause)
                await self._sleep(pause)

    async def _round(self, operation: Operation, round_: int, rows: int, where: str) -> None:
        by_bulk = rows >= self._target.bulk_from
        if by_bulk:
            await self._bulk(operation, round_, f"bulk AND {where}")
        rest = f"NOT bulk AND {where}" if by_bulk else where
        size, at_once = max(COLLECTION_ROWS >> round_, 1), (5, 2, 1)[min(round_, 2)]
        await self._sender.send(operation, round_, where=rest, size=size, at_once=at_once)

    async def _bulk(self, operation: Operation, round_: int, where: str) -> None:
        """Send rows by Bulk jobs; while one job is worked on, the next one is uploaded."""
        tasks: list[asyncio.Task[str | None]] = []
        try:
            for number, piece in enumerate(await self._plan(operation, round_, where)):
                if piece.waits:
                    await _all_finished(tasks)
                job = await self._launcher.launch(operation, round_, number, piece, where=where)
                self._sender.answered = True
                tasks.append(asyncio.create_task(self._settle(operation, round_, piece, job, where)))
            await _all_finished(tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _plan(self, operation: Operation, round_: int, where: str) -> list[Piece]:
        """The cuts of a round: from the journal, or made now and written there as a whole before any job exists."""
        name = f"{operation}-{round_}"
        known = {job.name: job for job in self._jobs.all()}
        if name not in known:
            pieces = await in_thread(
                cut, self._stage, operation, where=where, max_bytes=self._pace.job_bytes,
                max_rows=max(self._pace.job_rows >> round_, 1),
            )  # fmt: skip
            known[name] = self._jobs.plan(name, cuts=[list(astuple(piece)) for piece in pieces])
        return [Piece(*values) for values in known[name].facts["cuts"]]

    async def _settle(self, operation: Operation, round_: int, piece: Piece, job: Job, where: str) -> str | None:
        """Wait for a job and take its results; returns its id when it still runs at the end of the time."""
        assert job.remote_id is not None
        left = max(0.0, self._until - asyncio.get_running_loop().time())
        pace = self._pace
        info = await wait_for(
            self._ingest, job.remote_id, seconds=left, pause_s=pace.poll_first_s, most_s=pace.poll_most_s
        )
        self._jobs.update(job, state=info["state"])
        if info["state"] not in TERMINAL:
            return job.remote_id
        code, reason = self._verdict(info)
        if await self._take(operation, round_, job.remote_id, code) < piece.rows:
            rows = f"n >= {piece.first} AND n < {piece.end} AND {where}"
            results.add_missing(self._stage, operation, round_, where=rows, code=code, reason=reason)
        return None

    async def _take(self, operation: Operation, round_: int, job_id: str, unprocessed: str) -> int:
        """Read all three result files, also of failed and aborted jobs: part of them may be committed."""
        rows = 0
        for kind in RESULTS:
            path = self._folder / f"{job_id}.{kind}.csv"
            if await self._ingest.results(job_id, kind, path):
                rows += await in_thread(
                    results.add_file, self._stage, operation, round_, kind=kind, path=path, unprocessed=unprocessed
                )
            path.unlink(missing_ok=True)
        return rows

    def _verdict(self, info: dict[str, Any]) -> tuple[str, str]:
        """Code and reason for the rows a finished job did not process. Raises what makes the load useless."""
        message = info.get("errorMessage")
        log.info("bulk job of %s ended as %s", self._target.object, info["state"])
        if info["state"] == "Aborted":
            return "ABORTED", str(message or "its bulk job was aborted at Salesforce")
        if info["state"] == "Failed":
            error = job_failure(str(message or ""), object_name=self._target.object)
            if isinstance(error, QuotaError):
                return "LIMIT_EXCEEDED", str(error)
            if error:
                raise error
            return "UNPROCESSED", str(message or "its bulk job failed")
        return "UNPROCESSED", "in none of its bulk job's result files"


async def _all_finished(tasks: list[asyncio.Task[str | None]]) -> None:
    """Wait for the jobs so far. Raises Unfinished when the time is over for one of them."""
    running = tuple(job for job in await asyncio.gather(*tasks) if job)
    if running:
        raise Unfinished(running)
