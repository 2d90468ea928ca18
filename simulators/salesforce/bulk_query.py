"""/jobs/query: Bulk API 2.0 exports, read in pages by locator."""

from __future__ import annotations

import asyncio
import base64
import binascii
from typing import Any

from simulators.salesforce import bulk2, csv_file, query, values
from simulators.salesforce.call import Answer, Call, Route
from simulators.salesforce.errors import ApiError, not_found
from simulators.salesforce.jobs import FINAL, HELD_PAUSE_S, Job
from simulators.salesforce.org import Org
from simulators.salesforce.soql import Plan, compile_query

OPERATIONS = ("query", "queryAll")
DEFAULT_PAGE = 50_000
SLICE_ROWS = 5_000
PAGES_LISTED = 5


async def create(call: Call) -> Answer:
    """POST /jobs/query."""
    body = call.json_object()
    operation = body.get("operation")
    if operation not in OPERATIONS:
        raise ApiError(400, "INVALIDJOB", f"InvalidJob : operation {operation} is not supported")
    plan = _plan(call, str(body.get("query", "")), deleted=operation == "queryAll")
    job = Job(
        id=call.org.store.next_ids(bulk2.JOB_IDS, 1)[0],
        item=plan.item,
        operation=operation,
        version=call.version,
        created=values.stamp(call.org.clock.now()),
        line_ending=body.get("lineEnding", "LF"),
        delimiter=body.get("columnDelimiter", "COMMA"),
    )
    call.org.jobs[job.id] = job
    job.begin(call.org, _export(call.org, job, plan))
    return Answer(body=_info(job, call, short=True))


def _plan(call: Call, text: str, *, deleted: bool) -> Plan:
    plan = compile_query(text, store=call.org.store, deleted=deleted)
    if any(output.kind == "address" for output in plan.outputs):
        raise ApiError(400, "INVALID_FIELD", "Selecting compound data not supported in Bulk Query")
    if plan.aggregate or plan.counts_only or plan.children or " OFFSET " in text.upper():
        message = "Implementation restriction: Bulk queries take no aggregates, GROUP BY, OFFSET or child subqueries"
        raise ApiError(400, "API_ERROR", message)
    return plan


async def _export(org: Org, job: Job, plan: Plan) -> None:
    while org.faults.active("hold_jobs") and job.state != "Aborted":
        await asyncio.sleep(HELD_PAUSE_S)
    shown = [(index, output) for index, output in enumerate(plan.outputs) if output.kind not in ("hidden", "parent")]
    job.header = [".".join(output.path) for _, output in shown]
    rows = await asyncio.to_thread(query.run, plan, store=org.store)
    delimiter, kinds = csv_file.DELIMITERS[job.delimiter], [(index, output.kind) for index, output in shown]
    for start in range(0, len(rows), SLICE_ROWS):
        for row in rows[start : start + SLICE_ROWS]:
            cells = [csv_value(row[index], kind) for index, kind in kinds]
            job.successes.append(csv_file.quoted(cells, delimiter=delimiter))
        await asyncio.sleep(0)
    job.outcome = "JobComplete"
    job.modified = values.stamp(org.clock.now())
    org.keep(job)


def csv_value(value: Any, kind: str) -> str:
    """A stored value as Bulk CSV shows it; null is empty."""
    if value is None:
        return ""
    if kind == "boolean":
        return "true" if value else "false"
    return value.replace("+0000", "Z") if kind == "datetime" else str(value)


def _info(job: Job, call: Call, *, short: bool) -> dict[str, Any]:
    body = bulk2.info(job, call, short=True)
    del body["contentUrl"]
    if short:
        return body
    counters = {
        "jobType": "V2Query",
        "numberRecordsProcessed": job.processed,
        "retries": 0,
        "totalProcessingTime": job.processed // 50,
        "isPkChunkingSupported": True,
    }
    return body | counters


async def status(call: Call) -> Answer:
    """GET /jobs/query/{id}."""
    job = bulk2.find(call, query=True)
    job.look(call.org)
    return Answer(body=_info(job, call, short=False))


async def change(call: Call) -> Answer:
    """PATCH /jobs/query/{id} with the state Aborted."""
    job = bulk2.find(call, query=True)
    if call.json_object().get("state") != "Aborted":
        raise ApiError(400, "INVALIDJOBSTATE", "a query job can only be set to Aborted")
    bulk2.abort(job, call)
    return Answer(body=_info(job, call, short=True))


async def delete(call: Call) -> Answer:
    """DELETE /jobs/query/{id}."""
    call.org.forget(bulk2.find(call, query=True))
    return Answer(204)


async def results(call: Call) -> Answer:
    """GET /jobs/query/{id}/results?locator=&maxRecords=; every page repeats the header."""
    job = _finished(call)
    locator = call.query.get("locator")
    start = 0 if locator in (None, "", "null") else _offset(str(locator))
    wanted = call.query.get("maxRecords", "")
    page = job.successes[start : start + (int(wanted) if wanted.isdigit() and int(wanted) else DEFAULT_PAGE)]
    beyond = start + len(page)
    end, delimiter = csv_file.LINE_ENDINGS[job.line_ending], csv_file.DELIMITERS[job.delimiter]
    text = end.join([csv_file.quoted(job.header, delimiter=delimiter), *page]) + end
    headers = {
        "Sforce-NumberOfRecords": str(len(page)),
        "Sforce-Locator": _locator(beyond) if beyond < len(job.successes) else "null",
    }
    content = "text/csv; charset=UTF-8" if call.org.settings["csv_charset"] else "text/csv"
    return Answer(body=text, headers=headers, content_type=content)


async def pages(call: Call) -> Answer:
    """GET /jobs/query/{id}/resultPages: up to five addresses for parallel download."""
    job, locator = _finished(call), call.query.get("locator")
    start = _offset(locator) if locator else 0
    base = f"{call.data_url}/jobs/query/{job.id}"
    starts = list(range(start, max(len(job.successes), 1), DEFAULT_PAGE))
    listed = [{"resultUrl": f"{base}/results?locator={_locator(at)}"} for at in starts[:PAGES_LISTED]]
    body: dict[str, Any] = {"resultPages": listed, "done": len(starts) <= PAGES_LISTED}
    if not body["done"]:
        body["nextRecordsUrl"] = f"{base}/resultPages?locator={_locator(starts[PAGES_LISTED])}"
    return Answer(body=body)


def _finished(call: Call) -> Job:
    job = bulk2.find(call, query=True)
    if job.version != call.version:
        message = f"results of this job must be read with API version {job.version}"
        raise ApiError(409, "API_VERSION_CONFLICT", message)
    if job.state != "JobComplete":
        if job.state in FINAL:
            raise not_found()
        raise ApiError(409, "INVALIDJOBSTATE", f"Job {job.id} is in state {job.state}")
    return job


def _locator(offset: int) -> str:
    return base64.urlsafe_b64encode(str(offset).encode()).decode().rstrip("=")


def _offset(locator: str) -> int:
    try:
        return int(base64.urlsafe_b64decode(locator + "=" * (-len(locator) % 4)))
    except (binascii.Error, ValueError) as error:
        raise ApiError(400, "INVALID_QUERY_LOCATOR", "invalid query locator") from error


async def listing(call: Call) -> Answer:
    """GET /jobs/query."""
    jobs = [job for job in call.org.jobs.values() if job.operation in OPERATIONS]
    records = [_info(job, call, short=True) | {"jobType": "V2Query"} for job in jobs]
    return Answer(body={"done": True, "records": records, "nextRecordsUrl": None})


def routes(data: str) -> list[Route]:
    base = f"{data}/jobs/query"
    return [
        Route("POST", base, create),
        Route("GET", base, listing),
        Route("GET", f"{base}/{{job}}", status),
        Route("PATCH", f"{base}/{{job}}", change),
        Route("DELETE", f"{base}/{{job}}", delete),
        Route("GET", f"{base}/{{job}}/results", results),
        Route("GET", f"{base}/{{job}}/resultPages", pages),
    ]
