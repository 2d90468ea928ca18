"""/jobs/ingest: the Bulk API 2.0 life of an upload.

Codes of misuse (second upload, early results, wrong states) are unverified; their style is the family's.
"""

from __future__ import annotations

import email
import random
from email.message import Message
from typing import Any

import msgspec

from simulators.salesforce import csv_file, ids, values
from simulators.salesforce.call import Answer, Call, Route
from simulators.salesforce.errors import ApiError, not_found
from simulators.salesforce.jobs import FINAL, Job, ingest
from simulators.salesforce.schema import Field, SObject

OPERATIONS = ("insert", "update", "upsert", "delete", "hardDelete")
LARGEST_UPLOAD_BYTES = 100 * 1024 * 1024  # 150 MB once it is base64
LARGEST_MULTIPART = 100_000
PAGE = 1000


def _bad(code: str, message: str, *, status: int = 400) -> ApiError:
    return ApiError(status, code, message)


def _choice(body: dict[str, Any], name: str, legal: dict[str, str], default: str) -> str:
    value = body.get(name) or default
    if value not in legal:
        raise _bad("INVALIDJOB", f"InvalidJob : {name} {value} is not supported; use one of {', '.join(legal)}")
    return str(value)


async def create(call: Call) -> Answer:
    """POST /jobs/ingest; multipart carries the data along and is closed at once."""
    if call.header("Content-Type").startswith("multipart/"):
        return _create_multipart(call)
    job = _new_job(call, call.json_object())
    return Answer(body=info(job, call, short=True))


def _create_multipart(call: Call) -> Answer:
    if len(call.raw) > LARGEST_MULTIPART:
        raise _bad("INVALIDJOB", f"InvalidJob : a multipart request may have {LARGEST_MULTIPART} characters")
    head = f"Content-Type: {call.header('Content-Type')}\r\n\r\n".encode()
    message = email.message_from_bytes(head + call.raw)
    parts: dict[Any, Message] = {
        part.get_param("name", header="content-disposition"): part for part in message.walk() if not part.is_multipart()
    }
    if set(parts) != {"job", "content"}:
        raise _bad("INVALIDJOB", "InvalidJob : a multipart request has the parts job and content")
    job = _new_job(call, msgspec.json.decode(_bytes(parts["job"])))
    job.raw = _bytes(parts["content"])
    job.begin(call.org, ingest(call.org, job))
    return Answer(body=info(job, call, short=True))


def _bytes(part: Message) -> bytes:
    found = part.get_payload(decode=True)
    return found if isinstance(found, bytes) else b""


def _new_job(call: Call, body: dict[str, Any]) -> Job:
    operation = body.get("operation")
    if operation not in OPERATIONS:
        raise _bad("INVALIDJOB", f"InvalidJob : operation {operation} is not supported; use {', '.join(OPERATIONS)}")
    if body.get("contentType", "CSV") != "CSV":
        raise _bad("INVALIDJOB", "InvalidJob : contentType must be CSV")
    item = call.org.schema.find(str(body.get("object")))
    if item is None:
        raise _bad("INVALIDENTITY", f"Entity '{body.get('object')}' is not supported by the Bulk API.")
    job = Job(
        id=call.org.store.next_ids(JOB_IDS, 1)[0],
        item=item,
        operation=operation,
        version=call.version,
        created=values.stamp(call.org.clock.now()),
        key=_job_key(item, body, operation=operation),
        line_ending=_choice(body, "lineEnding", csv_file.LINE_ENDINGS, "LF"),
        delimiter=_choice(body, "columnDelimiter", csv_file.DELIMITERS, "COMMA"),
    )
    job.modified = job.created
    if body.get("assignmentRuleId"):
        job.extra["assignmentRuleId"] = body["assignmentRuleId"]
    call.org.jobs[job.id] = job
    call.org.keep(job)
    return job


JOB_IDS = SObject(name="Job", label="Job", plural="Jobs", prefix="750", fields={})


def _job_key(item: SObject, body: dict[str, Any], *, operation: str) -> Field | None:
    if operation != "upsert":
        return None
    name = body.get("externalIdFieldName")
    if not name:
        raise _bad("INVALIDJOB", "InvalidJob : An external ID field name is required for an upsert")
    found = item.find(name)
    if found is None or not found.is_key:
        message = (
            f"InvalidJob : Field name provided, {name} does not match an External ID, Salesforce Id, "
            f"or indexed field for {item.name}"
        )
        raise _bad("INVALIDJOB", message)
    return found


def find(call: Call, *, query: bool = False) -> Job:
    """The job of the path; raises 404 NOT_FOUND."""
    key = ids.full(call.given["job"]) or call.given["job"]
    job: Job | None = call.org.jobs.get(key)
    if job is None or (job.operation in ("query", "queryAll")) != query:
        raise not_found()
    return job


async def upload(call: Call) -> Answer:
    """PUT /jobs/ingest/{id}/batches: once, while the job is open."""
    job = find(call)
    if job.state != "Open":
        raise _bad("INVALIDJOBSTATE", f"Job {job.id} is in state {job.state}; it must be Open", status=409)
    if job.raw is not None:
        raise _bad(
            "INVALIDBATCH",
            "Found multiple contents for job: <" + job.id + ">, please 'Close' / 'Abort' / "
            "'Delete' the current Job then create a new Job and make sure you only do 'PUT' once on a given Job.",
        )
    if "csv" not in call.header("Content-Type"):
        raise _bad("INVALIDBATCH", "InvalidBatch : Content-Type must be text/csv", status=415)
    if len(call.raw) > LARGEST_UPLOAD_BYTES:
        raise _bad("INVALIDBATCH", "InvalidBatch : Total size of the job data exceeds 150 MB once encoded", status=413)
    job.raw = call.raw
    call.org.keep(job)
    return Answer(201)


async def change(call: Call) -> Answer:
    """PATCH /jobs/ingest/{id} with the state UploadComplete or Aborted."""
    job, state = find(call), call.json_object().get("state")
    if state == "UploadComplete":
        if job.state != "Open":
            raise _bad("INVALIDJOBSTATE", f"Closing already {job.state} Job not allowed", status=409)
        job.begin(call.org, ingest(call.org, job))
    elif state == "Aborted":
        abort(job, call)
    else:
        raise _bad("INVALIDJOBSTATE", f"state {state} cannot be set; use UploadComplete or Aborted")
    return Answer(body=info(job, call, short=True))


def abort(job: Job, call: Call) -> None:
    if job.state in FINAL:
        raise _bad("INVALIDJOBSTATE", f"Aborting already {job.state} Job not allowed", status=409)
    job.state, job.modified = "Aborted", values.stamp(call.org.clock.now())
    call.org.keep(job)


async def status(call: Call) -> Answer:
    """GET /jobs/ingest/{id}."""
    job = find(call)
    job.look(call.org)
    return Answer(body=info(job, call, short=False))


async def delete(call: Call) -> Answer:
    """DELETE /jobs/ingest/{id}: not while it is open or at work."""
    job = find(call)
    if job.state in ("Open", "InProgress"):
        raise _bad("INVALIDJOBSTATE", f"Deleting {job.state} Job not allowed", status=409)
    if job.task is not None:
        job.task.cancel()
    call.org.forget(job)
    return Answer(204)


def info(job: Job, call: Call, *, short: bool) -> dict[str, Any]:
    """The job as JSON; the short form is what create, close and abort answer."""
    path = f"services/data/v{job.version}/jobs/ingest/{job.id}/batches"
    body: dict[str, Any] = {
        "id": job.id,
        "operation": job.operation,
        "object": job.item.name,
        "createdById": call.org.store.user_id,
        "createdDate": job.created,
        "systemModstamp": job.modified,
        "state": job.state,
    }
    if job.key is not None:
        body["externalIdFieldName"] = job.key.name
    body |= {
        "concurrencyMode": "Parallel",
        "contentType": "CSV",
        "apiVersion": float(job.version),
        "contentUrl": path,
        "lineEnding": job.line_ending,
        "columnDelimiter": job.delimiter,
    }
    body |= job.extra
    return body if short else body | _counters(job)


def _counters(job: Job) -> dict[str, Any]:
    busy = job.processed // 20
    counters: dict[str, Any] = {
        "jobType": "V2Ingest",
        "numberRecordsProcessed": job.processed,
        "numberRecordsFailed": job.failed,
        "retries": 0,
        "totalProcessingTime": busy,
        "apiActiveProcessingTime": busy // 2,
        "apexProcessingTime": 0,
    }
    if job.state == "Failed" and job.error:
        counters["errorMessage"] = job.error
    return counters


async def results(call: Call) -> Answer:
    """GET .../successfulResults, failedResults, unprocessedrecords: CSV in no particular order."""
    kind = call.given["kind"].lower()
    if kind not in ("successfulresults", "failedresults", "unprocessedrecords"):
        raise not_found()
    job = find(call)
    if job.state not in FINAL:
        message = f"Job {job.id} is in state {job.state}; results are there when it is finished"
        raise _bad("INVALIDJOBSTATE", message, status=409)
    if kind == "failedresults" and not job.failures and call.org.settings["empty_failed_results_204"]:
        return Answer(204)
    content = "text/csv; charset=UTF-8" if call.org.settings["csv_charset"] else "text/csv"
    return Answer(body=_result_text(job, kind), content_type=content)


def _result_text(job: Job, kind: str) -> str:
    delimiter = csv_file.DELIMITERS[job.delimiter]
    header = delimiter.join(job.header)
    if kind == "unprocessedrecords":
        lines = list(job.leftovers)
    else:
        second = "sf__Created" if kind == "successfulresults" else "sf__Error"
        header = f'"sf__Id"{delimiter}"{second}"{delimiter}{header}'
        lines = list(job.successes if kind == "successfulresults" else job.failures)
    random.Random(job.id + kind).shuffle(lines)
    end = csv_file.LINE_ENDINGS[job.line_ending]
    return end.join([header, *lines]) + end


async def listing(call: Call) -> Answer:
    """GET /jobs/ingest: every job, at most 1000 a page."""
    jobs = [job for job in call.org.jobs.values() if job.operation not in ("query", "queryAll")]
    records = [info(job, call, short=True) | {"jobType": "V2Ingest"} for job in jobs]
    records += [job.listed() for job in call.org.classic_jobs.values()]
    if wanted := call.query.get("jobType"):
        records = [record for record in records if record["jobType"] == wanted]
    locator = call.query.get("queryLocator", "0")
    start = int(locator) if locator.isdigit() else 0
    done = start + PAGE >= len(records)
    following = None if done else f"{call.data_url}/jobs/ingest?queryLocator={start + PAGE}"
    return Answer(body={"done": done, "records": records[start : start + PAGE], "nextRecordsUrl": following})


def routes(data: str) -> list[Route]:
    base = f"{data}/jobs/ingest"
    return [
        Route("POST", base, create),
        Route("GET", base, listing),
        Route("PUT", f"{base}/{{job}}/batches", upload),
        Route("PATCH", f"{base}/{{job}}", change),
        Route("GET", f"{base}/{{job}}", status),
        Route("DELETE", f"{base}/{{job}}", delete),
        Route("GET", f"{base}/{{job}}/{{kind}}", results),
    ]
