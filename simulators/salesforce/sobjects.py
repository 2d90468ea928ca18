"""/sobjects: describe, single records, upsert by external id, getUpdated and getDeleted."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import unquote_plus

from simulators.salesforce import describe, ids, values
from simulators.salesforce.call import Answer, Call, Route
from simulators.salesforce.duplicates import check_duplicates
from simulators.salesforce.errors import ApiError, RowError, not_found
from simulators.salesforce.payload import check_names, json_batch, upsert_key
from simulators.salesforce.records import record_of
from simulators.salesforce.related import related
from simulators.salesforce.schema import Field, SObject
from simulators.salesforce.work import Batch
from simulators.salesforce.writes import Outcome

REPLICATION_DAYS = {"updated": 30, "deleted": 15}
MOST_UPDATED_IDS = 600_000


def item_of(call: Call) -> SObject:
    found = call.org.schema.find(call.given["kind"])
    if found is None:
        raise not_found()
    return found


async def describe_global(call: Call) -> Answer:
    """GET /sobjects."""
    return Answer(body=describe.everything(call.org.schema, data_url=call.data_url))


async def about(call: Call) -> Answer:
    """GET /sobjects/{name}."""
    scalars = describe.scalars(item_of(call), data_url=call.data_url)
    return Answer(body={"objectDescribe": scalars, "recentItems": []})


async def describe_one(call: Call) -> Answer:
    """GET /sobjects/{name}/describe; the schema never changes, so If-Modified-Since gives 304."""
    if call.header("If-Modified-Since"):
        return Answer(304)
    return Answer(body=describe.one(item_of(call), data_url=call.data_url))


async def create(call: Call) -> Answer:
    """POST /sobjects/{name}."""
    item, record = item_of(call), call.json_object()
    check_names(item, record)
    check_duplicates(call, item, record)
    outcome = _written(call, json_batch(item, [record], operation="insert", schema=call.org.schema))
    return _created(call, item, outcome.ids[0], extra={})


async def create_by_null_id(call: Call) -> Answer:
    """POST /sobjects/{name}/Id: an insert written as an upsert."""
    return await create(call)


def _created(call: Call, item: SObject, key: str | None, *, extra: dict[str, Any]) -> Answer:
    location = {"Location": f"{call.data_url}/sobjects/{item.name}/{key}"}
    return Answer(201, {"id": key, "success": True, "errors": []} | extra, headers=location)


async def read(call: Call) -> Answer:
    """GET /sobjects/{name}/{id}?fields=a,b."""
    item = item_of(call)
    return Answer(body=record_of(call, item, _living_id(call, item)))


async def update(call: Call) -> Answer:
    """PATCH /sobjects/{name}/{id}."""
    item, record = item_of(call), call.json_object()
    check_names(item, record)
    key = _living_id(call, item)
    if any(name.lower() == "id" for name in record):
        message = "The Id field should not be specified in the sobject data."
        raise ApiError(400, "INVALID_FIELD", message)
    _written(call, json_batch(item, [record | {"Id": key}], operation="update", schema=call.org.schema))
    return Answer(204)


async def delete(call: Call) -> Answer:
    """DELETE /sobjects/{name}/{id}."""
    item = item_of(call)
    _written(call, Batch(item, "delete", 1, keys=[_living_id(call, item)]))
    return Answer(204)


async def read_by_key(call: Call) -> Answer:
    """GET /sobjects/{name}/{field}/{value}, and /sobjects/{name}/{id}/{relationship}."""
    item = item_of(call)
    if item.find(call.given["field"]) is None and ids.full(call.given["field"]) is not None:
        call.given["id"] = call.given["field"]
        return await related(call, item, _living_id(call, item), call.given["value"])
    found = _matches(call, item, _key(call, item))
    if len(found) > 1:
        return _several(call, item, found)
    if not found:
        raise not_found()
    return Answer(body=record_of(call, item, found[0]))


async def upsert(call: Call) -> Answer:
    """PATCH /sobjects/{name}/{field}/{value}: 201 created, 200 updated (204 up to API 45), 300 ambiguous."""
    item, record = item_of(call), call.json_object()
    key = _key(call, item)
    check_names(item, record)
    if repeated := [name for name in record if name.lower() in (key.name.lower(), "id")]:
        message = f"The {repeated[0]} field should not be specified in the sobject data."
        raise ApiError(400, "INVALID_FIELD", message)
    found = _matches(call, item, key)
    if len(found) > 1:
        return _several(call, item, found)
    if not found and call.query.get("updateOnly", "").lower() == "true":
        raise not_found()
    if not found:
        check_duplicates(call, item, record)
    value = found[0] if key.name == "Id" and found else _value(call)
    batch = json_batch(item, [record | {key.name: value}], operation="upsert", schema=call.org.schema, key=key)
    outcome = _written(call, batch)
    modern = call.number >= 46
    if outcome.created[0]:
        return _created(call, item, outcome.ids[0], extra={"created": True} if modern else {})
    if not modern:
        return Answer(204)
    return Answer(body={"id": outcome.ids[0], "success": True, "errors": [], "created": False})


async def delete_by_key(call: Call) -> Answer:
    """DELETE /sobjects/{name}/{field}/{value}."""
    item = item_of(call)
    found = _matches(call, item, _key(call, item))
    if len(found) > 1:
        return _several(call, item, found)
    if not found:
        raise not_found()
    _written(call, Batch(item, "delete", 1, keys=found))
    return Answer(204)


def _key(call: Call, item: SObject) -> Field:
    return upsert_key(item, call.given["field"])


def _value(call: Call) -> str:
    # one widely used client writes blanks as plus signs into the path
    return unquote_plus(call.given["value"]) if "+" in call.given["value"] else call.given["value"]


def _matches(call: Call, item: SObject, key: Field) -> list[str]:
    for value in dict.fromkeys((call.given["value"], _value(call))):
        wanted = ids.full(value) or value if key.name == "Id" else value
        if found := [record for _, record in call.org.store.pairs(item, key, [wanted])]:
            return found
    return []


def _several(call: Call, item: SObject, found: list[str]) -> Answer:
    return Answer(300, [f"{call.data_url}/sobjects/{item.name}/{key}" for key in found])


def _living_id(call: Call, item: SObject) -> str:
    """The 18 character id in the path; raises what the API answers for bad, absent and deleted ones."""
    given = call.given["id"]
    key = ids.full(given)
    if key is None or not key.startswith(item.prefix):
        if len(given) not in (15, 18):
            raise not_found()
        message = f"{item.label} ID: id value of incorrect type: {given}"
        raise ApiError(400, "MALFORMED_ID", message, fields=["Id"])
    found = call.org.store.rows_by_id(item, ["IsDeleted"], [key])
    if key not in found:
        raise not_found()
    if found[key][0]:
        raise ApiError(404, "ENTITY_IS_DELETED", "entity is deleted", fields=[])
    return key


def _written(call: Call, batch: Batch) -> Outcome:
    outcome = call.org.writer.write(batch)
    if outcome.errors:
        raise _refusal(outcome.errors[0])
    return outcome


def _refusal(error: RowError) -> ApiError:
    status = 404 if error.code in ("ENTITY_IS_DELETED", "NOT_FOUND") else 400
    return ApiError(status, error.code, error.message, fields=list(error.fields))


def _window(call: Call, *, kind: str) -> tuple[str, str]:
    """The parameters start and end as stored moments, seconds cut off; raises for malformed and too old ones."""
    try:
        start, end = (values.parse_datetime(call.query[name].replace(" ", "+")) for name in ("start", "end"))
    except (KeyError, ValueError) as error:
        raise ApiError(400, "INVALID_FIELD", "start and end must be ISO-8601 moments with a zone") from error
    days = REPLICATION_DAYS[kind]
    if start < call.org.clock.now() - timedelta(days=days):
        raise ApiError(400, "INVALID_REPLICATION_DATE", f"startDate before {days} days ago")
    if end <= start:
        raise ApiError(400, "INVALID_REPLICATION_DATE", "endDate must be greater than startDate")
    start, end = (moment.replace(second=0, microsecond=0) for moment in (start, end))
    return values.stamp(start), values.stamp(end)


async def updated(call: Call) -> Answer:
    """GET /sobjects/{name}/updated: ids changed in [start, end), by SystemModstamp."""
    item = item_of(call)
    start, end = _window(call, kind="updated")
    sql = (
        f'SELECT "Id" FROM "{item.name}" WHERE "SystemModstamp" >= ? AND "SystemModstamp" < ? '
        f'AND "IsDeleted" = 0 LIMIT {MOST_UPDATED_IDS + 1}'
    )
    found = [key for (key,) in call.org.store.db.execute(sql, (start, end))]
    if len(found) > MOST_UPDATED_IDS:
        raise ApiError(400, "EXCEEDED_ID_LIMIT", f"more than {MOST_UPDATED_IDS} ids")
    return Answer(body={"ids": found, "latestDateCovered": min(end, _now(call))})


async def deleted(call: Call) -> Answer:
    """GET /sobjects/{name}/deleted: what was deleted in [start, end)."""
    item = item_of(call)
    start, end = _window(call, kind="deleted")
    sql = (
        f'SELECT "Id", "SystemModstamp" FROM "{item.name}" '
        'WHERE "SystemModstamp" >= ? AND "SystemModstamp" < ? AND "IsDeleted" = 1'
    )
    rows = call.org.store.db.execute(sql, (start, end))
    earliest = values.stamp(call.org.clock.now() - timedelta(days=REPLICATION_DAYS["deleted"]))
    return Answer(
        body={
            "deletedRecords": [{"deletedDate": moment, "id": key} for key, moment in rows],
            "earliestDateAvailable": earliest,
            "latestDateCovered": min(end, _now(call)),
        }
    )


def _now(call: Call) -> str:
    return values.stamp(call.org.clock.now())


def routes(data: str) -> list[Route]:
    one, keyed = f"{data}/sobjects/{{kind}}/{{id}}", f"{data}/sobjects/{{kind}}/{{field}}/{{value}}"
    return [
        Route("GET", f"{data}/sobjects", describe_global),
        Route("GET", f"{data}/sobjects/{{kind}}", about),
        Route("POST", f"{data}/sobjects/{{kind}}", create),
        Route("GET", f"{data}/sobjects/{{kind}}/describe", describe_one),
        Route("GET", f"{data}/sobjects/{{kind}}/updated", updated),
        Route("GET", f"{data}/sobjects/{{kind}}/deleted", deleted),
        Route("POST", f"{data}/sobjects/{{kind}}/Id", create_by_null_id),
        Route("GET", one, read),
        Route("PATCH", one, update),
        Route("DELETE", one, delete),
        Route("GET", keyed, read_by_key),
        Route("PATCH", keyed, upsert),
        Route("DELETE", keyed, delete_by_key),
    ]
