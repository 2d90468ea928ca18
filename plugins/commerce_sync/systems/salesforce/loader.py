"""The load: a batch of changes into one object, resumable at every point, every row accounted for.

Rounds of an operation (upserts, then updates and deletes of vanished records): round 0 sends everything, up to
three smaller rounds send again what met a lock, passing trouble or an unfinished job. What a round sends through
Bulk is planned in the journal before any job exists, every job is written there before its data is sent, and the
results stay at Salesforce for 7 days: a process that starts anew finds the same plan and reads the same results.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any

from commerce_sync.batches import Batch, BatchWriter
from commerce_sync.errors import ConfigurationError, QuotaError
from commerce_sync.mapping import Field, Target
from commerce_sync.systems.jobs import Job, Jobs, Loaded
from commerce_sync.systems.salesforce import results
from commerce_sync.systems.salesforce.bulk import TERMINAL, Ingest, wait_for
from commerce_sync.systems.salesforce.client import COLLECTION_ROWS, SalesforceClient
from commerce_sync.systems.salesforce.collections import CollectionSender
from commerce_sync.systems.salesforce.launch import ABANDONED, Launcher, in_thread
from commerce_sync.systems.salesforce.pieces import JOB_BYTES, Piece, cut
from commerce_sync.systems.salesforce.reasons import job_failure
from commerce_sync.systems.salesforce.stage import REDRIVEN, Operation, Round, Stage

log = logging.getLogger(__name__)
OPERATIONS: tuple[Operation, ...] = ("upsert", "update", "delete")
JOB_ROWS = 131_072
"""Two row groups of a batch, which are then read once."""
READING_AT_ONCE = 2
"""Jobs whose result files are on disk at a time."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How a load behaves; ``Target.options`` sets ``job_rows``, ``job_bytes``, ``redrives``, ``pauses_s``.

    redrives: rounds for locked and unprocessed rows.   pauses_s: before each of them; the first is short, as our own
    jobs have ended by then and Salesforce has waited for a row's lock itself before it refused.
    poll_first_s, poll_most_s: pauses between two questions for a job's state, growing by half.
    """

    job_rows: int = JOB_ROWS
    job_bytes: int = JOB_BYTES
    redrives: int = 3
    pauses_s: tuple[float, ...] = (0.5, 8.0, 30.0)
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
    """One load of one batch.

    folder: scratch space on local disk for the files of a few jobs and, with lookups, a copy of the batch.
    """

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
        self._into = into
        self._until = asyncio.get_running_loop().time() + self._wait_s
        self._reading = asyncio.Semaphore(READING_AT_ONCE)
        self._matching = asyncio.Lock()
        self._chaining = asyncio.Lock()
        self._ingest = Ingest(self._client)
        self._stage = await in_thread(Stage, self._folder, self._target, self._fields, self._changes)
        try:
            self._launcher = Launcher(self._ingest, self._stage, self._jobs)
            headers = dict(self._target.options.get("headers", {}))
            self._sender = CollectionSender(self._client, self._stage, headers=headers)
            for operation in OPERATIONS:
                await self._operation(operation)
            return await in_thread(results.publish, self._stage, self._changes, into)
        except Unfinished:
            # The next call writes them anew from what Salesforce keeps.
            into.parts.clear()
            raise
        finally:
            self._stage.close()

    async def _operation(self, operation: Operation) -> None:
        rows, where = self._stage.rows(operation), "true"
        for number in range(self._pace.redrives + 1):
            if not rows:
                return
            await self._round(Round(operation, number, where), rows)
            if message := results.no_such_column(self._stage):
                raise ConfigurationError(f"{message}; correct the mapping to {self._target.object}")
            if number == self._pace.redrives:
                return
            rows, where = results.select_redrives(self._stage, operation), REDRIVEN
            if rows:
                pause = self._pace.pauses_s[min(number, len(self._pace.pauses_s) - 1)]
                log.info("%d rows of %s go again in %.1f s", rows, self._target.object, pause)
                await self._sleep(pause)

    async def _round(self, round_: Round, rows: int) -> None:
        by_bulk = rows >= self._target.bulk_from
        if by_bulk:
            await self._bulk(replace(round_, where=f"bulk AND {round_.where}"))
        rest = f"NOT bulk AND {round_.where}" if by_bulk else round_.where
        size, at_once = max(COLLECTION_ROWS >> round_.number, 1), (5, 2, 1)[min(round_.number, 2)]
        await self._sender.send(round_.operation, round_.number, where=rest, size=size, at_once=at_once)

    async def _bulk(self, round_: Round) -> None:
        """Send rows by Bulk jobs; while one is uploaded the next one is written and earlier ones are read back."""
        name = f"{round_.operation}-{round_.number}-{self._stage.order:016x}"
        pieces = {f"{name}-{number:05d}": piece for number, piece in enumerate(await self._plan(name, round_))}
        begun = {job.name for job in self._jobs.all() if job.remote_id}
        heads = [chain[0] for chain in _chains(pieces)]
        ahead = iter([job_name for job_name in heads if job_name not in begun])
        self._prepare(next(ahead, None), round_, pieces)
        tasks: list[asyncio.Task[str | None]] = []
        try:
            for job_name, *chain in _chains(pieces):
                if pieces[job_name].waits:
                    await _all_finished(tasks)
                if job_name not in begun:
                    await self._launcher.written(job_name)
                    self._prepare(next(ahead, None), round_, pieces)
                job = await self._launcher.launch(job_name, round_, pieces[job_name])
                self._sender.answered = True
                tasks.append(asyncio.create_task(self._follow(round_, pieces, job, [job_name, *chain])))
            await _all_finished(tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._launcher.drop()

    def _prepare(self, name: str | None, round_: Round, pieces: dict[str, Piece]) -> None:
        if name:
            self._launcher.prepare(name, round_, pieces[name])

    async def _plan(self, name: str, round_: Round) -> list[Piece]:
        """The cuts of a round: from the journal, or made now and written there as a whole before any job exists."""
        known = {job.name: job for job in self._jobs.all()}
        if name not in known:
            await self._give_up(round_, known.values())
            pieces = await in_thread(
                cut, self._stage, round_.operation, where=round_.where, max_bytes=self._pace.job_bytes,
                max_rows=max(self._pace.job_rows >> round_.number, 1),
            )  # fmt: skip
            known[name] = self._jobs.plan(name, cuts=[list(astuple(piece)) for piece in pieces])
        return [Piece(*values) for values in known[name].facts["cuts"]]

    async def _give_up(self, round_: Round, known: Iterable[Job]) -> None:
        """End the jobs of an earlier process for which the batch lay in another order: their cuts mean other rows.

        What they have done already is done again, which an upsert or delete by id does not mind.
        """
        for job in known:
            if job.name.startswith(f"{round_.operation}-{round_.number}-") and job.remote_id and job.state != ABANDONED:
                log.warning("the batch was written anew in another order: bulk job %s is given up", job.remote_id)
                await self._launcher.abandon(job)

    async def _follow(self, round_: Round, pieces: dict[str, Piece], job: Job, chain: list[str]) -> str | None:
        """Settle a job, then launch and settle those of its parent one by one; the other jobs do not wait for them.

        Returns the id of the one that still runs at the end of the time.
        """
        running = await self._settle(round_, pieces[chain[0]], job)
        for name in chain[1:]:
            if running is not None:
                return running
            async with self._chaining:
                job = await self._launcher.launch(name, round_, pieces[name])
            running = await self._settle(round_, pieces[name], job)
        return running

    async def _settle(self, round_: Round, piece: Piece, job: Job) -> str | None:
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
        async with self._reading:
            await self._take(round_, piece, job.remote_id, code=code, reason=reason)
        return None

    async def _take(self, round_: Round, piece: Piece, job_id: str, *, code: str, reason: str) -> None:
        """Read a job's result files, also of failed and aborted ones: part of them may be committed."""
        files = {kind: self._folder / f"{job_id}.{kind}.csv" for kind in results.KINDS}
        try:
            await self._ingest.results(job_id, results.SUCCESS, files[results.SUCCESS])
            # Matching is what needs memory: one job at a time.
            async with self._matching:
                through = await in_thread(
                    results.deliver, self._stage, round_, piece, files[results.SUCCESS], self._into
                )
            if through < piece.rows:
                await self._ingest.results(job_id, results.FAILED, files[results.FAILED])
                await self._ingest.results(job_id, results.UNPROCESSED, files[results.UNPROCESSED])
                async with self._matching:
                    await in_thread(results.refuse, self._stage, round_, piece, files, code=code, reason=reason)
        finally:
            for path in files.values():
                path.unlink(missing_ok=True)

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


def _chains(pieces: dict[str, Piece]) -> list[list[str]]:
    """Names of the jobs, those together that must run one after another."""
    found: list[list[str]] = []
    for name, piece in pieces.items():
        if piece.chained and found:
            found[-1].append(name)
        else:
            found.append([name])
    return found


async def _all_finished(tasks: list[asyncio.Task[str | None]]) -> None:
    """Wait for the jobs so far. Raises Unfinished when the time is over for one of them."""
    running = tuple(job for job in await asyncio.gather(*tasks) if job)
    if running:
        raise Unfinished(running)
