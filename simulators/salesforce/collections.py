"""/composite/sobjects: up to 200 records in one call, results in the order of the request."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from simulators.salesforce import ids
from simulators.salesforce.call import Answer, Call, Route
from simulators.salesforce.duplicates import Duplicates, check_duplicates
from simulators.salesforce.errors import ApiError, RowError, not_found
from simulators.salesforce.payload import Record, attributes_of, json_batch, upsert_key
from simulators.salesforce.records import record_of
from simulators.salesforce.schema import Field, SObject
from simulators.salesforce.sobjects import item_of
from simulators.salesforce.work import Batch

MOST_RECORDS = 200
MOST_CHUNKS = 10
MOST_RETRIEVED = 2000
ROLLED_BACK = RowError(
    "ALL_OR_NONE_OPERATION_ROLLED_BACK",
    "Record rolled back because not all records were valid and the request was using AllOrNone header",
)
Result = dict[str, Any]


async def create(call: Call) -> Answer:
    """POST /composite/sobjects: mixed types, at most ten runs of one type."""
    return _saved(call, operation="insert")


async def update(call: Call) -> Answer:
    """PATCH /composite/sobjects: each record carries its id."""
    return _saved(call, operation="update")


async def upsert(call: Call) -> Answer:
    """PATCH /composite/sobjects/{name}/{field}."""
    item = item_of(call)
    return _saved(call, operation="upsert", item=item, key=upsert_key(item, call.given["field"]))


def _saved(call: Call, *, operation: str, item: SObject | None = None, key: Field | None = None) -> Answer:
    body = call.json_object()
    records = body.get("records")
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise ApiError(400, "JSON_PARSER_ERROR", "records must be a list of objects")
    _check_size(len(records))
    results: list[Result] = []
    with _AllOrNone(call, wanted=bool(body.get("allOrNone", False)), results=results):
        for group in _runs(call, records, item=item):
            kind, run = group
            results += _write(call, kind, run, operation=operation, key=key)
    return Answer(body=results)


def _check_size(count: int) -> None:
    if count > MOST_RECORDS:
        message = f"record count of {count} exceeds the limit of {MOST_RECORDS}"
        raise ApiError(400, "EXCEEDED_MAX_SIZE_REQUEST", message)


def _runs(call: Call, records: list[Record], *, item: SObject | None) -> list[tuple[SObject, list[Record]]]:
    if item is not None:
        return [(item, records)] if records else []
    runs = [(name, list(run)) for name, run in groupby(records, key=_type_of)]
    if len(runs) > MOST_CHUNKS:
        raise ApiError(400, "LIMIT_EXCEEDED", f"more than {MOST_CHUNKS} chunks of one type in a request")
    found = []
    for name, run in runs:
        kind = call.org.schema.find(name)
        if kind is None:
            raise ApiError(400, "INVALID_TYPE", f"sObject type '{name}' is not supported.")
        found.append((kind, run))
    return found


def _type_of(record: Record) -> str:
    name = attributes_of(record).get("type")
    if not name:
        raise ApiError(400, "INVALID_INPUT", "every record needs attributes with its type")
    return str(name)


def _write(call: Call, item: SObject, records: list[Record], *, operation: str, key: Field | None) -> list[Result]:
    batch = json_batch(item, records, operation=operation, schema=call.org.schema, key=key)
    known = _known(call, item, records, key) if operation == "upsert" and key else set()
    for row, record in enumerate(records) if operation in ("insert", "upsert") else ():
        if key is None or str(record.get(key.name)) not in known:
            _note_duplicates(call, batch, row=row, record=record)
    outcome = call.org.writer.write(batch)
    results: list[Result] = []
    for row in range(batch.size):
        if error := outcome.errors.get(row):
            known = {"id": outcome.ids[row]} if operation == "update" and outcome.ids[row] else {}
            results.append(known | {"success": False, "errors": [error.collection()]})
        else:
            flag = {"created": outcome.created[row]} if operation == "upsert" else {}
            results.append({"id": outcome.ids[row], "success": True, "errors": []} | flag)
    return results


def _known(call: Call, item: SObject, records: list[Record], key: Field) -> set[str]:
    """External ids whose records are there: they are updated, and no duplicate rule asks about them."""
    given = [value for record in records if isinstance(value := record.get(key.name), str | int | float)]
    return {str(value) for value, _ in call.org.store.pairs(item, key, given)}


def _note_duplicates(call: Call, batch: Batch, *, row: int, record: Record) -> None:
    try:
        check_duplicates(call, batch.item, record)
    except Duplicates as found:
        batch.errors.setdefault(row, RowError(found.code, found.message, duplicates=found.result))


class _AllOrNone:
    """Rolls every row back when one failed and the request asked for it."""

    def __init__(self, call: Call, *, wanted: bool, results: list[Result]) -> None:
        self.db, self.wanted, self.results = call.org.store.db, wanted, results

    def __enter__(self) -> None:
        self.db.execute("SAVEPOINT all_or_none")

    def __exit__(self, kind: Any, *_: Any) -> None:
        failed = any(not result["success"] for result in self.results)
        if kind is not None or (self.wanted and failed):
            self.db.execute("ROLLBACK TO all_or_none")
            for result in self.results:
                if result["success"]:
                    result.pop("created", None)
                    result |= {"success": False, "errors": [ROLLED_BACK.collection()]}
        self.db.execute("RELEASE all_or_none")


async def delete(call: Call) -> Answer:
    """DELETE /composite/sobjects?ids=a,b&allOrNone=false."""
    given = [key for key in call.query.get("ids", "").split(",") if key]
    _check_size(len(given))
    results: list[Result] = []
    with _AllOrNone(call, wanted=call.query.get("allOrNone", "").lower() == "true", results=results):
        results += [_deleted(call, key) for key in given]
    return Answer(body=results)


def _deleted(call: Call, given: str) -> Result:
    item = call.org.schema.by_prefix.get(given[:3])
    if item is None or ids.full(given) is None:
        error = RowError("MALFORMED_ID", f"bad id {given}")
        return {"success": False, "errors": [error.collection()]}
    outcome = call.org.writer.write(Batch(item, "delete", 1, keys=[given]))
    if error_found := outcome.errors.get(0):
        return {"id": outcome.ids[0], "success": False, "errors": [error_found.collection()]}
    return {"id": outcome.ids[0], "success": True, "errors": []}


async def retrieve(call: Call) -> Answer:
    """GET or POST /composite/sobjects/{name}: records by id, null for those that are not there."""
    item = item_of(call)
    if call.method == "POST":
        body = call.json_object()
        wanted, names = body.get("ids", []), body.get("fields", [])
    else:
        wanted, names = (call.query.get(name, "").split(",") for name in ("ids", "fields"))
    if len(wanted) > MOST_RETRIEVED:
        raise ApiError(400, "EXCEEDED_MAX_SIZE_REQUEST", f"more than {MOST_RETRIEVED} ids")
    if not names:
        raise not_found()
    full = [ids.full(key) for key in wanted]
    rows = call.org.store.rows_by_id(item, ["IsDeleted"], [key for key in full if key])
    living = {key for key, row in rows.items() if not row[0]}
    return Answer(body=[record_of(call, item, key, names) if key in living and key else None for key in full])


def routes(data: str) -> list[Route]:
    base = f"{data}/composite/sobjects"
    return [
        Route("POST", base, create),
        Route("PATCH", base, update),
        Route("DELETE", base, delete),
        Route("GET", f"{base}/{{kind}}", retrieve),
        Route("POST", f"{base}/{{kind}}", retrieve),
        Route("PATCH", f"{base}/{{kind}}/{{field}}", upsert),
    ]
