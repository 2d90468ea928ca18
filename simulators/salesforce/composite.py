"""/composite, /composite/batch and /composite/tree: several requests in one."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from simulators.salesforce import web
from simulators.salesforce.call import Answer, Call, Route
from simulators.salesforce.errors import ApiError, not_found
from simulators.salesforce.payload import Record, attributes_of, json_batch
from simulators.salesforce.schema import Field, SObject

MOST_REQUESTS = 25
MOST_QUERIES = 5
MOST_RECORDS = 200
MOST_LEVELS = 5
REFERENCE = re.compile(r"@\{(\w+)((?:\.\w+|\[\d+\])+)\}")
STEP = re.compile(r"\.(\w+)|\[(\d+)\]")
HALTED = "The transaction was rolled back since another operation in the same transaction failed."


async def composite(call: Call) -> Answer:
    """POST /composite: up to 25 dependent requests, one API call."""
    body = call.json_object()
    requests = requests_of(body, "compositeRequest")
    _check_count(requests, urls=[request.get("url", "") for request in requests])
    done, _ = await run_together(call, requests, all_or_none=bool(body.get("allOrNone", False)))
    return Answer(body={"compositeResponse": done})


async def run_together(call: Call, requests: list[Record], *, all_or_none: bool) -> tuple[list[dict[str, Any]], bool]:
    """(answers in order, whether all went well); with ``all_or_none`` one failure undoes everything."""
    done: list[dict[str, Any]] = []
    db = call.org.store.db
    db.execute("SAVEPOINT composite")
    try:
        for request in requests:
            done.append(await _composite_one(call, request, done=done))
            if all_or_none and _failed(done[-1]):
                db.execute("ROLLBACK TO composite")
                return _halted(requests, culprit=done[-1]), False
    finally:
        db.execute("RELEASE composite")
    return done, not any(_failed(one) for one in done)


def requests_of(body: dict[str, Any], name: str) -> list[Record]:
    found = body.get(name)
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise ApiError(400, "JSON_PARSER_ERROR", f"{name} must be a list of objects")
    for request in found:
        if not request.get("method") or not request.get("url"):
            raise ApiError(400, "INVALID_INPUT", "every subrequest needs a method and a url")
    return found


def _check_count(requests: list[Any], *, urls: list[str]) -> None:
    if len(requests) > MOST_REQUESTS:
        raise ApiError(400, "LIMIT_EXCEEDED", f"a request takes at most {MOST_REQUESTS} subrequests")
    heavy = sum("/query" in url or "/composite/sobjects" in url for url in urls)
    if heavy > MOST_QUERIES:
        raise ApiError(400, "LIMIT_EXCEEDED", f"at most {MOST_QUERIES} subrequests may be queries or collections")


async def _composite_one(call: Call, request: Record, *, done: list[dict[str, Any]]) -> dict[str, Any]:
    reference = request.get("referenceId", "")
    known = {one["referenceId"]: one["body"] for one in done}
    try:
        url = _filled(request.get("url", ""), known)
        answer = await _dispatch(call, request["method"], url, body=_filled(request.get("body"), known))
    except ApiError as error:
        answer = Answer(error.status, error.body())
    return {
        "body": answer.body,
        "httpHeaders": answer.headers,
        "httpStatusCode": answer.status,
        "referenceId": reference,
    }


def _failed(one: dict[str, Any]) -> bool:
    rows = one["body"] if isinstance(one["body"], list) else []
    return one["httpStatusCode"] >= 400 or any(isinstance(row, dict) and row.get("success") is False for row in rows)


def _halted(requests: list[Record], *, culprit: dict[str, Any]) -> list[dict[str, Any]]:
    halted = [{"errorCode": "PROCESSING_HALTED", "message": HALTED}]
    found = []
    for request in requests:
        reference = request.get("referenceId", "")
        other = {"body": halted, "httpHeaders": {}, "httpStatusCode": 400, "referenceId": reference}
        found.append(culprit if reference == culprit["referenceId"] else other)
    return found


def _filled(value: Any, known: dict[str, Any]) -> Any:
    """Replace ``@{reference.path}`` by what an earlier answer holds there."""
    if isinstance(value, dict):
        return {key: _filled(one, known) for key, one in value.items()}
    if isinstance(value, list):
        return [_filled(one, known) for one in value]
    if not isinstance(value, str):
        return value
    return REFERENCE.sub(lambda match: str(_looked_up(match, known)), value)


def _looked_up(match: re.Match[str], known: dict[str, Any]) -> Any:
    found: Any = known.get(match[1])
    for step in STEP.finditer(match[2]):
        try:
            found = found[step[1]] if step[1] else found[int(step[2])]
        except (KeyError, IndexError, TypeError) as error:
            message = f"Invalid reference specified. No value for {match[0][2:-1]} found in {match[1]}"
            raise ApiError(400, "PROCESSING_HALTED", message) from error
    return found


async def _dispatch(call: Call, method: str, url: str, *, body: Any) -> Answer:
    """Run the handler of a subrequest within the same org and session."""
    parts = urlsplit(url)
    for route in call.org.routes:
        given = web.matches(route.template, parts.path) if route.method == method.upper() else None
        if given is not None and route.dialect == "rest":
            inner = Call(
                org=call.org,
                method=route.method,
                path=parts.path,
                given={name: unquote(value) for name, value in given.items()},
                query=dict(parse_qsl(parts.query, keep_blank_values=True)),
                headers=call.headers,
                raw=b"" if body is None else msgspec.json.encode(body),
                scheme=call.scheme,
                host=call.host,
            )
            return await web.answered(route, inner, outer=False)
    raise not_found()


async def batch(call: Call) -> Answer:
    """POST /composite/batch: up to 25 independent requests, each an API call of its own."""
    body = call.json_object()
    requests = requests_of(body, "batchRequests")
    _check_count(requests, urls=[])
    call.org.usage.add_call(max(len(requests) - 1, 0))
    results: list[dict[str, Any]] = []
    for request in requests:
        if body.get("haltOnError") and any(result["statusCode"] >= 400 for result in results):
            halted = [{"errorCode": "BATCH_PROCESSING_HALTED", "message": "Batch processing halted per request"}]
            results.append({"statusCode": 412, "result": halted})
            continue
        url = request.get("url", "")
        path = url if url.startswith("/services/") else f"/services/data/{url.lstrip('/')}"
        try:
            answer = await _dispatch(call, request["method"], path, body=request.get("richInput"))
        except ApiError as error:
            answer = Answer(error.status, error.body())
        results.append({"statusCode": answer.status, "result": answer.body})
    failed = any(result["statusCode"] >= 400 for result in results)
    return Answer(body={"hasErrors": failed, "results": results})


class _Tree:
    """One /composite/tree request: inserts level by level, all or nothing."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.results: list[dict[str, Any]] = []
        self.errors: list[dict[str, Any]] = []
        self.count = 0

    def insert(self, item: SObject, records: list[Record], *, parent: tuple[Field, str] | None, level: int) -> None:
        self.count += len(records)
        if self.count > MOST_RECORDS or level > MOST_LEVELS:
            raise ApiError(400, "LIMIT_EXCEEDED", f"a tree has at most {MOST_RECORDS} records on {MOST_LEVELS} levels")
        plain = [self._plain(record, parent) for record in records]
        outcome = self.call.org.writer.write(json_batch(item, plain, operation="insert", schema=self.call.org.schema))
        for row, record in enumerate(records):
            reference = attributes_of(record).get("referenceId")
            if error := outcome.errors.get(row):
                self.errors.append({"referenceId": reference, "errors": [error.collection()]})
                continue
            key = str(outcome.ids[row])
            self.results.append({"referenceId": reference, "id": key})
            self._children(item, record, key=key, level=level)

    @staticmethod
    def _plain(record: Record, parent: tuple[Field, str] | None) -> Record:
        own = {name: value for name, value in record.items() if not _is_child_list(value)}
        return own | {parent[0].name: parent[1]} if parent else own

    def _children(self, item: SObject, record: Record, *, key: str, level: int) -> None:
        for name, value in record.items():
            if not _is_child_list(value):
                continue
            known = item.children.get(name.lower())
            if known is None:
                raise ApiError(400, "INVALID_FIELD", f"No such relationship '{name}' on {item.name}")
            child = self.call.org.schema.objects[known[0]]
            self.insert(child, value["records"], parent=(known[1], key), level=level + 1)


def _is_child_list(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("records"), list)


async def tree(call: Call) -> Answer:
    """POST /composite/tree/{name}; 201, or 400 with nothing written."""
    item = call.org.schema.find(call.given["kind"])
    if item is None:
        raise not_found()
    found, db = _Tree(call), call.org.store.db
    db.execute("SAVEPOINT tree")
    try:
        found.insert(item, call.json_object().get("records") or [], parent=None, level=1)
        if found.errors:
            db.execute("ROLLBACK TO tree")
    except ApiError:
        db.execute("ROLLBACK TO tree")
        raise
    finally:
        db.execute("RELEASE tree")
    if found.errors:
        return Answer(400, {"hasErrors": True, "results": found.errors})
    return Answer(201, {"hasErrors": False, "results": found.results})


def routes(data: str) -> list[Route]:
    return [
        Route("POST", f"{data}/composite", composite),
        Route("POST", f"{data}/composite/batch", batch),
        Route("POST", f"{data}/composite/tree/{{kind}}", tree),
    ]
