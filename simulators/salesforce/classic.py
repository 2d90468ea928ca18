"""Bulk API 1.0 jobs and batches: the state, and the work on one batch.

A batch is written when it is posted, in the order of its rows; its state shows Completed from the first read on.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field
from typing import Any

import msgspec

from simulators.salesforce import csv_file, query, values
from simulators.salesforce.bulk_query import csv_value
from simulators.salesforce.call import Call
from simulators.salesforce.errors import ApiError
from simulators.salesforce.payload import Record, json_batch
from simulators.salesforce.schema import Field, SObject
from simulators.salesforce.soql import Plan, compile_query
from simulators.salesforce.work import Batch
from simulators.salesforce.writes import Outcome
from simulators.salesforce.xml_reading import local, parse

MOST_ROWS = 10_000
CHUNK_ROWS = 200
LARGEST_BATCH = 10_000_000
QUERIES = ("query", "queryAll")


@dataclass(slots=True)
class ClassicBatch:
    """One batch; ``outcome`` of DML, ``rows`` of a query, ``problem`` when it failed as a whole."""

    id: str
    created: str
    raw: bytes
    size: int = 0
    outcome: Outcome | None = None
    plan: Plan | None = None
    rows: list[tuple[Any, ...]] = field(default_factory=list)
    result_id: str = ""
    problem: str | None = None
    state: str = "Completed"

    @property
    def failed(self) -> int:
        return len(self.outcome.errors) if self.outcome else 0


@dataclass(slots=True)
class ClassicJob:
    """One job; ``content`` is JSON, CSV or XML."""

    id: str
    item: SObject
    operation: str
    content: str
    concurrency: str
    version: str
    created: str
    user: str
    key: Field | None = None
    state: str = "Open"
    batches: dict[str, ClassicBatch] = field(default_factory=dict)
    task: None = None

    def fields(self) -> dict[str, Any]:
        """The jobInfo in the order of recorded answers; dates are still in the stored form."""
        done = [batch for batch in self.batches.values() if batch.problem is None]
        head: dict[str, Any] = {
            "id": self.id,
            "operation": self.operation,
            "object": self.item.name,
            "createdById": self.user,
            "createdDate": self.created,
            "systemModstamp": self.created,
            "state": self.state,
        }
        if self.key is not None:
            head["externalIdFieldName"] = self.key.name
        return head | {
            "concurrencyMode": self.concurrency,
            "contentType": self.content,
            "numberBatchesQueued": 0,
            "numberBatchesInProgress": 0,
            "numberBatchesCompleted": len(done),
            "numberBatchesFailed": len(self.batches) - len(done),
            "numberBatchesTotal": len(self.batches),
            "numberRecordsProcessed": sum(batch.size for batch in done),
            "numberRetries": 0,
            "apiVersion": float(self.version),
            "numberRecordsFailed": sum(batch.failed for batch in done),
            "totalProcessingTime": 0,
            "apiActiveProcessingTime": 0,
            "apexProcessingTime": 0,
        }

    def listed(self) -> dict[str, Any]:
        """As the Bulk 2.0 list shows it."""
        return self.fields() | {"jobType": "Classic"}

    def batch_fields(self, batch: ClassicBatch, *, fresh: bool) -> dict[str, Any]:
        """The batchInfo; right after the post a batch is Queued."""
        state = "Queued" if fresh else "Failed" if batch.problem else batch.state
        head: dict[str, Any] = {"id": batch.id, "jobId": self.id, "state": state}
        if batch.problem and not fresh:
            head["stateMessage"] = batch.problem
        return head | {
            "createdDate": batch.created,
            "systemModstamp": batch.created,
            "numberRecordsProcessed": 0 if fresh else batch.size,
            "numberRecordsFailed": 0 if fresh else batch.failed,
            "totalProcessingTime": 0,
            "apiActiveProcessingTime": 0,
            "apexProcessingTime": 0,
        }


def run(call: Call, job: ClassicJob, batch: ClassicBatch) -> None:
    """Do the work of a batch; what fails as a whole is kept in ``problem``."""
    try:
        if job.operation in QUERIES:
            _query(call, job, batch)
        else:
            _write(call, job, batch)
    except (ApiError, csv_file.BadFile, csv.Error, msgspec.DecodeError) as error:
        batch.problem = f"InvalidBatch : {error}" if isinstance(error, ApiError) else str(error)


def _query(call: Call, job: ClassicJob, batch: ClassicBatch) -> None:
    text = batch.raw.decode("utf-8")
    batch.plan = compile_query(text, store=call.org.store, deleted=job.operation == "queryAll")
    batch.rows = query.run(batch.plan, store=call.org.store)
    batch.size = len(batch.rows)


def _write(call: Call, job: ClassicJob, batch: ClassicBatch) -> None:
    records = RECORDS[job.content](batch.raw)
    if len(records) > MOST_ROWS or len(batch.raw) > LARGEST_BATCH:
        raise csv_file.BadFile(f"InvalidBatch : Too many records: {len(records)} (maximum {MOST_ROWS})")
    batch.size, batch.outcome = len(records), Outcome([], [], {})
    for start in range(0, len(records), CHUNK_ROWS):
        part = call.org.writer.write(_work(call, job, records[start : start + CHUNK_ROWS]))
        batch.outcome.ids.extend(part.ids)
        batch.outcome.created.extend(part.created)
        batch.outcome.errors.update({start + row: error for row, error in part.errors.items()})


def _work(call: Call, job: ClassicJob, records: list[Record]) -> Batch:
    if job.operation in ("delete", "hardDelete"):
        keys = [record.get("Id") or record.get("id") for record in records]
        return Batch(job.item, job.operation, len(records), keys=keys)
    return json_batch(job.item, records, operation=job.operation, schema=call.org.schema, key=job.key)


def _json_records(raw: bytes) -> list[Record]:
    found = msgspec.json.decode(raw)
    if not isinstance(found, list):
        raise csv_file.BadFile("InvalidBatch : a JSON batch is a list of records")
    return found


def _csv_records(raw: bytes) -> list[Record]:
    reader = csv.DictReader(io.StringIO(raw.decode("utf-8"), newline=""))
    return [_csv_record(row) for row in reader]


def _csv_record(row: dict[str, Any]) -> Record:
    """Empty cells are left out, ``#N/A`` clears, dotted columns are parents by external id."""
    record: Record = {}
    for name, cell in row.items():
        if cell in ("", None):
            continue
        value = None if cell == values.NULL_MARK else cell
        relationship, dot, key = name.partition(".")
        if dot:
            record[relationship] = {key: value}
        else:
            record[name] = value
    return record


def _xml_records(raw: bytes) -> list[Record]:
    return [{local(cell): cell.text or None for cell in record if not len(cell)} for record in parse(raw)]


RECORDS = {"JSON": _json_records, "CSV": _csv_records, "XML": _xml_records}


def query_csv(batch: ClassicBatch) -> str:
    """Query rows as CSV; without rows the header is a sentence, as recorded."""
    plan = batch.plan
    if plan is None or not batch.rows:
        return '"Records not found for this query"\n'
    shown = [(index, output) for index, output in enumerate(plan.outputs) if output.kind not in ("hidden", "parent")]
    lines = [csv_file.quoted([".".join(output.path) for _, output in shown], delimiter=",")]
    for row in batch.rows:
        cells = [csv_value(row[index], output.kind) for index, output in shown]
        lines.append(csv_file.quoted(cells, delimiter=","))
    return "\n".join(lines) + "\n"


def dml_results(outcome: Outcome) -> list[dict[str, Any]]:
    """One result a row, in the order of the request."""
    found = []
    for row, key in enumerate(outcome.ids):
        error = outcome.errors.get(row)
        errors = [error.collection() | {"extendedErrorDetails": None}] if error else []
        created = outcome.created[row] and error is None
        found.append({"success": error is None, "created": created, "id": None if error else key, "errors": errors})
    return found


def dml_csv(outcome: Outcome) -> str:
    lines = ['"Id","Success","Created","Error"']
    for row, key in enumerate(outcome.ids):
        error = outcome.errors.get(row)
        created = outcome.created[row] and error is None
        cells = ["" if error else str(key), _flag(error is None), _flag(created), error.bulk() if error else ""]
        lines.append(csv_file.quoted(cells, delimiter=","))
    return "\n".join(lines) + "\n"


def _flag(value: bool) -> str:
    return "true" if value else "false"
