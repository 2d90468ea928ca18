"""Bulk 2.0 jobs and the work on them: internal batches in any order, chunks of 200, partial success."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from simulators.faults import Rule
from simulators.salesforce import csv_file, values
from simulators.salesforce.csv_file import BadFile, Rows
from simulators.salesforce.errors import RowError
from simulators.salesforce.org import Org
from simulators.salesforce.schema import Field, SObject
from simulators.salesforce.work import Batch, Parent
from simulators.salesforce.writes import Outcome

CHUNK_ROWS = 200
SLICE_ROWS = 2_000  # written at once; short enough that the process keeps answering
TURNS = 4
HELD_PAUSE_S = 0.02
FINAL = ("JobComplete", "Failed", "Aborted")


@dataclass(slots=True)
class Job:
    """One ingest or query job; ``state`` is what clients see, ``outcome`` what the work came to."""

    id: str
    item: SObject
    operation: str
    version: str
    created: str
    key: Field | None = None
    line_ending: str = "LF"
    delimiter: str = "COMMA"
    state: str = "Open"
    outcome: str | None = None
    error: str | None = None
    raw: bytes | None = None
    closed_at: float = 0.0
    polls: int = 0
    modified: str = ""
    header: list[str] = field(default_factory=list)
    total: int = 0
    failed: int = 0
    successes: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    leftovers: list[str] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)
    task: asyncio.Task[None] | None = None

    @property
    def processed(self) -> int:
        return len(self.successes) + self.failed

    def begin(self, org: Org, work: Any) -> None:
        """Start the work in the background; ``work`` is a coroutine."""
        self.state, self.closed_at = "UploadComplete", org.clock.timestamp()
        self.modified = values.stamp(org.clock.now())
        org.keep(self)
        self.task = asyncio.get_running_loop().create_task(work)

    def look(self, org: Org) -> None:
        """One status read: the visible state moves on when latency and number of reads allow it."""
        if self.state in (*FINAL, "Open"):
            return
        before = self.state
        self.polls += 1
        due = org.clock.timestamp() >= self.closed_at + org.settings["job_latency_ms"] / 1000
        if self.outcome and due and self.polls >= org.settings["job_min_polls"]:
            self.state = self.outcome
        elif self.polls > 1 or self.processed:
            self.state = "InProgress"
        if self.state != before:
            org.keep(self)


def resume(org: Org) -> None:
    """After a restart: take up the kept jobs; unfinished work begins again, except inserts, which would double."""
    if org.store.state is None:
        return
    org.classic_jobs |= {job.id: job for job in org.store.state.jobs("classic", schema=org.schema)}
    for job in org.store.state.jobs("modern", schema=org.schema):
        org.jobs[job.id] = job
        if job.outcome or job.state in (*FINAL, "Open"):
            continue
        if job.operation == "insert" or job.raw is None:
            job.outcome, job.error = "Failed", "InternalServerError : interrupted by a restart"
        else:
            job.begin(org, ingest(org, job))


async def ingest(org: Org, job: Job) -> None:
    """Process the uploaded file; leaves ``outcome`` behind. Never raises for bad data."""
    while org.faults.active("hold_jobs") and job.state != "Aborted":
        await asyncio.sleep(HELD_PAUSE_S)
    try:
        await _process(org, job)
        job.outcome = job.outcome or "JobComplete"
    except BadFile as error:
        job.outcome, job.error = "Failed", str(error)
    except Exception as error:
        # a fault of the simulator itself: the job must not look busy for ever, and the trace must be seen
        job.outcome, job.error = "Failed", f"InternalServerError : {error}"
        raise
    finally:
        org.locks.release(job.id)
        job.modified = values.stamp(org.clock.now())
        if job.outcome:  # a cancelled job keeps its data, so that a restart can begin again
            job.raw = None
            org.keep(job)


async def _process(org: Org, job: Job) -> None:
    rows, delimiter = int(org.settings["internal_batch_rows"]), csv_file.DELIMITERS[job.delimiter]
    text = await asyncio.to_thread(csv_file.opened, job.raw or b"", line_ending=job.line_ending)
    job.header, blocks = await asyncio.to_thread(csv_file.split, text, delimiter=delimiter, rows=rows)
    columns = Columns(org, job)
    org.usage.add_batches(len(blocks))
    order = random.Random(job.id)
    order.shuffle(blocks)
    stop = next(iter(org.faults.active("job_failed")), None)
    stop = stop if stop is not None and stop.spend() else None
    waiting, at_once = iter(enumerate(blocks)), min(int(org.settings["parallel_batches"]), len(blocks))

    async def lane() -> None:
        for number, block in waiting:
            owner = f"{job.id}/{number}" if at_once > 1 else job.id
            rows_of_block = csv_file.parse(block, delimiter=delimiter, width=len(job.header))
            await _block(org, job, rows_of_block, columns=columns, stop=stop, owner=owner)

    await asyncio.gather(*(lane() for _ in range(at_once)))


async def _block(org: Org, job: Job, rows: Rows, *, columns: Columns, stop: Rule | None, owner: str) -> None:
    """One internal batch. Beside others of its job it goes chunk by chunk: each is a transaction with its locks."""
    size = SLICE_ROWS if owner == job.id else CHUNK_ROWS
    for start in range(0, len(rows.lines), size):
        await _breathe()
        await _slice(org, job, rows.part(start, start + size), columns=columns, stop=stop, owner=owner)


async def _breathe() -> None:
    """Let a waiting request through: accepting, reading and answering take a turn of the loop each."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


async def _slice(
    org: Org, job: Job, rows: Rows, *, columns: Columns, stop: Rule | None, owner: str
) -> None:  # fmt: skip
    keep = _still_wanted(job, stop=stop)
    job.leftovers += rows.lines[keep:]
    for part in columns.parts(rows.part(0, keep)):
        at_work = sum(other.state not in FINAL and other.raw is not None for other in org.jobs.values())
        org.locks.contended = at_work > 1 or owner != job.id
        outcome = org.writer.write(columns.batch(part, owner=owner))
        _report(job, part, outcome, misspelt=columns.misspelt)
        if org.locks.contended:
            await asyncio.sleep(org.settings["lock_hold_ms"] / 1000)
        org.locks.release(owner)


def _still_wanted(job: Job, *, stop: Rule | None) -> int:
    """How many more rows may be written: none after an abort, some before an injected failure."""
    if job.state == "Aborted":
        return 0
    if stop is None:
        return SLICE_ROWS
    job.outcome = "Failed"
    job.error = stop.spec.get("message", "InternalServerError : Batch processing failed. Retried more than 20 times")
    return max(int(stop.spec.get("after_rows", 0)) - job.processed, 0)


def _report(job: Job, rows: Rows, outcome: Outcome, *, misspelt: list[int]) -> None:
    delimiter = csv_file.DELIMITERS[job.delimiter]
    echoes = _spoiled(rows, misspelt, delimiter=delimiter) if misspelt else rows.lines
    flags = {True: f'"{delimiter}"true"{delimiter}', False: f'"{delimiter}"false"{delimiter}'}
    lines = [
        f'"{key}{flags[created]}{echo}' for key, created, echo in zip(outcome.ids, outcome.created, echoes, strict=True)
    ]
    for row, error in outcome.errors.items():
        reason = csv_file.quoted([outcome.ids[row] or "", error.bulk()], delimiter=delimiter)
        job.failures.append(f"{reason}{delimiter}{echoes[row]}")
    job.failed += len(outcome.errors)
    failed = outcome.errors
    job.successes += [line for row, line in enumerate(lines) if row not in failed] if failed else lines


def _spoiled(rows: Rows, misspelt: list[int], *, delimiter: str) -> list[str]:
    """A header cell in the wrong case is understood, but its values come back empty."""
    blank = [""] * len(rows.lines)
    shown = [blank if index in misspelt else column for index, column in enumerate(rows.columns)]
    return [csv_file.quoted(list(record), delimiter=delimiter) for record in zip(*shown, strict=True)]


class Columns:
    """How the header of one job maps to fields; raises BadFile for a column the object has not."""

    def __init__(self, org: Org, job: Job) -> None:
        self.org, self.job = org, job
        self.fields: list[Field | None] = []
        self.parents: dict[int, tuple[Field, SObject, Field]] = {}
        self.misspelt: list[int] = []
        for index, name in enumerate(job.header):
            self.fields.append(self._column(index, name))
        self.keys = self._key_column()

    def _column(self, index: int, name: str) -> Field | None:
        found = self.job.item.find(name)
        if found is not None:
            if found.name != name:
                self.misspelt.append(index)
            return found
        self.parents[index] = self._relation(name)
        return None

    def _relation(self, name: str) -> tuple[Field, SObject, Field]:
        path, _, last = name.rpartition(".")
        prefix, colon, relationship = path.rpartition(":")
        lookup = self.job.item.by_relationship.get(relationship.lower())
        if lookup is None:
            raise BadFile(f"InvalidBatch : Field name not found : {name}")
        several = len(lookup.targets) > 1
        target = self.org.schema.find(prefix) if colon else self.org.schema.objects[lookup.targets[0]]
        wrong_prefix = bool(colon) != several or target is None or target.name not in lookup.targets
        key = target.find(last) if target else None
        if wrong_prefix or target is None or key is None or not key.is_key:
            raise BadFile(f"InvalidBatch : Field name not found : {name}")
        return lookup, target, key

    def _key_column(self) -> int | None:
        name = self.job.key.name if self.job.key else "Id"
        at = next((index for index, spec in enumerate(self.fields) if spec and spec.name == name), None)
        if at is None and self.job.operation != "insert":
            raise BadFile(f"InvalidBatch : Field name not found : {name}")
        if self.job.operation in ("delete", "hardDelete") and len(self.fields) > 1:
            raise BadFile("InvalidBatch : a delete takes the column Id only")
        return at

    def parts(self, rows: Rows) -> Iterator[Rows]:
        """All at once when no key repeats; else chunk by chunk, because only a chunk refuses repeats."""
        count = len(rows.lines)
        if self.keys is not None and self.job.operation != "insert" and len(set(rows.columns[self.keys])) < count:
            for start in range(0, count, CHUNK_ROWS):
                yield rows.part(start, start + CHUNK_ROWS)
        elif count:
            yield rows

    def batch(self, rows: Rows, *, owner: str) -> Batch:
        """Typed columns of some records; records of the wrong width fail by themselves. owner: of their locks."""
        job, width = self.job, len(self.fields)
        batch = Batch(job.item, job.operation, len(rows.lines), key=job.key, owner=owner)
        for row, found in rows.misfits.items():
            # code unverified
            batch.errors[row] = RowError("INVALID_CSV", f"the row has {found} fields, the header {width}")
        for index, cells in enumerate(rows.columns):
            self._fill(batch, index, cells)
        return batch

    def _fill(self, batch: Batch, index: int, cells: list[str]) -> None:
        spec = self.fields[index]
        if spec is None:
            lookup, target, key = self.parents[index]
            typed, errors = values.from_csv(key, cells)
            batch.parents.append(Parent(lookup, target, key, typed))
        elif spec.name == "Id":
            typed, errors = [None if cell in ("", values.NULL_MARK) else cell for cell in cells], {}
            if index == self.keys:
                batch.keys = typed
        else:
            typed, errors = values.from_csv(spec, cells)
            batch.columns[spec.name] = typed
            if index == self.keys and batch.operation == "upsert":
                batch.keys = typed
        batch.errors = errors | batch.errors
