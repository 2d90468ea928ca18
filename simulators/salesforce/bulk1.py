"""/services/async: the Bulk API 1.0 in its JSON, CSV and XML dialects.

Job endpoints answer in the format of the request, batch endpoints in the format of the job.
"""

from __future__ import annotations

from typing import Any
from xml.sax.saxutils import escape

import msgspec

from simulators.salesforce import classic, ids, query, values
from simulators.salesforce.bulk2 import JOB_IDS
from simulators.salesforce.call import Answer, Call, Route
from simulators.salesforce.classic import QUERIES, ClassicBatch, ClassicJob
from simulators.salesforce.errors import ApiError
from simulators.salesforce.schema import SObject
from simulators.salesforce.xml_reading import local, parse

NAMESPACE = "http://www.force.com/2009/06/asyncapi/dataload"
BATCH_IDS = SObject(name="Batch", label="Batch", plural="Batches", prefix="751", fields={})
RESULT_IDS = SObject(name="Result", label="Result", plural="Results", prefix="752", fields={})
OPERATIONS = ("insert", "update", "upsert", "delete", "hardDelete", *QUERIES)
JSON, XML, CSV = "application/json", "application/xml", "text/csv"
DATES = ("createdDate", "systemModstamp")


def _body(call: Call) -> dict[str, Any]:
    if "json" in call.header("Content-Type"):
        return call.json_object()
    return {local(child): child.text for child in parse(call.raw)}


def _answer(name: str, fields: dict[str, Any], *, as_json: bool, status: int = 200) -> Answer:
    if as_json:
        return Answer(status, fields, content_type=JSON)
    return Answer(status, xml(name, [fields]), content_type=XML)


def xml(name: str, items: list[dict[str, Any]], *, wrapper: str | None = None) -> str:
    """Bulk XML: the namespace on the outermost element, one child a field, dates with a Z."""
    opening = f'\n   xmlns="{NAMESPACE}"'
    parts = []
    for item in items:
        inner = "".join(f"\n <{key}>{_text(key, value)}</{key}>" for key, value in item.items())
        parts.append(f"<{name}{'' if wrapper else opening}>{inner}\n</{name}>")
    text = "".join(parts)
    body = f"<{wrapper}{opening}>{text}</{wrapper}>" if wrapper else text
    return f'<?xml version="1.0" encoding="UTF-8"?>{body}'


def _text(key: str, value: Any) -> str:
    if key in DATES:
        return str(value).replace("+0000", "Z")
    if isinstance(value, bool):
        return str(value).lower()
    return escape(str(value))


async def create_job(call: Call) -> Answer:
    """POST /job."""
    body = _body(call)
    operation = body.get("operation")
    if operation not in OPERATIONS:
        raise ApiError(400, "InvalidJob", f"operation {operation} is not supported")
    item = call.org.schema.find(str(body.get("object")))
    if item is None:
        raise ApiError(400, "InvalidJob", f"Unable to find object: {body.get('object')}")
    key = item.find(str(body.get("externalIdFieldName") or "Id")) if operation == "upsert" else None
    if operation == "upsert" and (key is None or not key.is_key):
        message = f"Field name provided, {body.get('externalIdFieldName')} does not match an External ID"
        raise ApiError(400, "InvalidJob", f"{message}, Salesforce Id, or indexed field for {item.name}")
    mode = body.get("concurrencyMode")
    job = ClassicJob(
        id=call.org.store.next_ids(JOB_IDS, 1)[0],
        item=item,
        operation=operation,
        content=str(body.get("contentType") or "XML").upper(),
        concurrency="Serial" if mode in (1, "1", "Serial") else "Parallel",
        version=call.version,
        created=values.stamp(call.org.clock.now()),
        user=call.org.store.user_id,
        key=key,
    )
    call.org.classic_jobs[job.id] = job
    call.org.keep_classic(job)
    return _job_answer(call, job, status=201)


def _job_answer(call: Call, job: ClassicJob, *, status: int = 200) -> Answer:
    as_json = "json" in call.header("Content-Type")
    fields = job.fields() | ({"fastPathEnabled": False} if as_json else {})
    return _answer("jobInfo", fields, as_json=as_json, status=status)


def _job(call: Call) -> ClassicJob:
    key = ids.full(call.given["job"]) or call.given["job"]
    if key not in call.org.classic_jobs:
        raise ApiError(400, "InvalidJob", f"Unable to find job for id: {call.given['job']}")
    found: ClassicJob = call.org.classic_jobs[key]
    return found


def _batch(call: Call) -> tuple[ClassicJob, ClassicBatch]:
    job = _job(call)
    key = ids.full(call.given["batch"]) or call.given["batch"]
    if key not in job.batches:
        raise ApiError(400, "InvalidBatch", f"Unable to find batch for id: {call.given['batch']}")
    return job, job.batches[key]


async def read_job(call: Call) -> Answer:
    """GET /job/{id}."""
    return _job_answer(call, _job(call))


async def change_job(call: Call) -> Answer:
    """POST /job/{id} with the state Closed or Aborted."""
    job, state = _job(call), _body(call).get("state")
    if state not in ("Closed", "Aborted"):
        raise ApiError(400, "InvalidJobState", f"state {state} cannot be set; use Closed or Aborted")
    if job.state != "Open":
        raise ApiError(400, "InvalidJobState", f"Closing already {job.state} Job not allowed")
    job.state = state
    call.org.keep_classic(job)
    return _job_answer(call, job)


async def add_batch(call: Call) -> Answer:
    """POST /job/{id}/batch."""
    job = _job(call)
    if job.state != "Open":
        raise ApiError(400, "InvalidJobState", f"Unable to add batch to a job in state {job.state}")
    batch = ClassicBatch(
        id=call.org.store.next_ids(BATCH_IDS, 1)[0],
        created=values.stamp(call.org.clock.now()),
        raw=call.raw,
        result_id=call.org.store.next_ids(RESULT_IDS, 1)[0],
    )
    call.org.usage.add_batches(1)
    job.batches[batch.id] = batch
    classic.run(call, job, batch)
    call.org.keep_classic(job)
    fields = job.batch_fields(batch, fresh=True)
    return _answer("batchInfo", fields, as_json=job.content == "JSON", status=201)


async def list_batches(call: Call) -> Answer:
    """GET /job/{id}/batch."""
    job = _job(call)
    infos = [job.batch_fields(batch, fresh=False) for batch in job.batches.values()]
    if job.content == "JSON":
        return Answer(body={"batchInfo": infos}, content_type=JSON)
    return Answer(body=xml("batchInfo", infos, wrapper="batchInfoList"), content_type=XML)


async def read_batch(call: Call) -> Answer:
    """GET /job/{id}/batch/{batch}."""
    job, batch = _batch(call)
    return _answer("batchInfo", job.batch_fields(batch, fresh=False), as_json=job.content == "JSON")


async def read_request(call: Call) -> Answer:
    """GET /job/{id}/batch/{batch}/request: the data as it came."""
    job, batch = _batch(call)
    return Answer(body=batch.raw, content_type={"JSON": JSON, "CSV": CSV}.get(job.content, XML))


async def read_result(call: Call) -> Answer:
    """GET /job/{id}/batch/{batch}/result: row results, or the ids of query results."""
    job, batch = _batch(call)
    if batch.problem:
        raise ApiError(400, "InvalidBatch", "Records not processed")
    if job.operation in QUERIES:
        if job.content == "JSON":
            return Answer(body=[batch.result_id], content_type=JSON)
        text = f'<result-list xmlns="{NAMESPACE}"><result>{batch.result_id}</result></result-list>'
        return Answer(body=text, content_type=XML)
    assert batch.outcome is not None
    if job.content == "JSON":
        return Answer(body=classic.dml_results(batch.outcome), content_type=JSON)
    if job.content == "CSV":
        return Answer(body=classic.dml_csv(batch.outcome), content_type=CSV)
    return Answer(body=_xml_results(classic.dml_results(batch.outcome)), content_type=XML)


def _xml_results(results: list[dict[str, Any]]) -> str:
    parts = []
    for result in results:
        errors = "".join(
            f"<errors>{''.join(f'<fields>{name}</fields>' for name in error['fields'])}"
            f"<message>{escape(error['message'])}</message><statusCode>{error['statusCode']}</statusCode></errors>"
            for error in result["errors"]
        )
        key = f"<id>{result['id']}</id>" if result["id"] else ""
        flags = f"<success>{_text('', result['success'])}</success><created>{_text('', result['created'])}</created>"
        parts.append(f"<result>{key}{flags}{errors}</result>")
    return f'<?xml version="1.0" encoding="UTF-8"?><results xmlns="{NAMESPACE}">{"".join(parts)}</results>'


async def read_rows(call: Call) -> Answer:
    """GET /job/{id}/batch/{batch}/result/{result}: the rows of a query."""
    job, batch = _batch(call)
    if batch.plan is None or call.given["result"] != batch.result_id:
        raise ApiError(400, "InvalidBatch", f"Unable to find result for id: {call.given['result']}")
    if job.content == "JSON":
        rows = list(query.json_rows(batch.plan, batch.rows, call=call))
        return Answer(body=msgspec.json.encode(rows), content_type=JSON)
    return Answer(body=classic.query_csv(batch), content_type=CSV)


def routes() -> list[Route]:
    base = "/services/async/{version}/job"
    job, batch = f"{base}/{{job}}", f"{base}/{{job}}/batch/{{batch}}"
    table = [
        ("POST", base, create_job),
        ("GET", job, read_job),
        ("POST", job, change_job),
        ("POST", f"{job}/batch", add_batch),
        ("GET", f"{job}/batch", list_batches),
        ("GET", batch, read_batch),
        ("GET", f"{batch}/request", read_request),
        ("GET", f"{batch}/result", read_result),
        ("GET", f"{batch}/result/{{result}}", read_rows),
    ]
    return [Route(method, path, handler, dialect="bulk1") for method, path, handler in table]
