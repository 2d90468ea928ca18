"""Runs plans and shapes their rows: nested JSON with paging, flat rows for Bulk."""

from __future__ import annotations

import json
import secrets
from collections import OrderedDict, defaultdict
from collections.abc import Iterator
from typing import Any

from simulators.salesforce import ids
from simulators.salesforce.call import Answer, Call, Route
from simulators.salesforce.errors import ApiError
from simulators.salesforce.schema import NUMBER_TYPES
from simulators.salesforce.soql import Plan, compile_query
from simulators.salesforce.store import Store

DEFAULT_PAGE = 2000
SMALLEST_PAGE = 200
MOST_CURSORS = 50
URI_LIMIT_BYTES = 16_384


class Cursors:
    """Results that are being paged: locator -> (plan, rows, page size); the oldest is forgotten first."""

    def __init__(self) -> None:
        self._open: OrderedDict[str, tuple[Plan, list[tuple[Any, ...]], int]] = OrderedDict()

    def add(self, plan: Plan, rows: list[tuple[Any, ...]], size: int) -> str:
        locator = ids.make("01g", secrets.randbelow(10**9))
        self._open[locator] = (plan, rows, size)
        while len(self._open) > MOST_CURSORS:
            self._open.popitem(last=False)
        return locator

    def find(self, locator: str) -> tuple[Plan, list[tuple[Any, ...]], int]:
        if locator not in self._open:
            raise ApiError(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
        return self._open[locator]

    def clear(self) -> None:
        self._open.clear()


def run(plan: Plan, *, store: Store) -> list[tuple[Any, ...]]:
    """All rows of a top-level plan."""
    return store.db.execute(plan.sql, plan.given).fetchall()


def json_rows(plan: Plan, rows: list[tuple[Any, ...]], *, call: Call) -> Iterator[dict[str, Any]]:
    """The records as the REST API nests them."""
    children = [_children(child, [row[0] for row in rows], call=call) for child in plan.children]
    for row in rows:
        record = _record(plan, row, call=call)
        for (relationship, *_), found in zip(plan.children, children, strict=True):
            record[relationship] = found.get(row[0])
        yield record


def _record(plan: Plan, row: tuple[Any, ...], *, call: Call) -> dict[str, Any]:
    if plan.aggregate:
        record: dict[str, Any] = {"attributes": {"type": "AggregateResult"}}
    else:
        record = {"attributes": attributes(plan.item.name, row[0], call=call)}
    present = _parents(plan, row, call=call)
    for output, value in zip(plan.outputs, row, strict=True):
        if output.kind in ("hidden", "parent"):
            continue
        _place(record, output.path, json_value(value, output.kind), present=present)
    return record


def _parents(plan: Plan, row: tuple[Any, ...], *, call: Call) -> dict[tuple[str, ...], dict[str, Any] | None]:
    """What each joined parent starts as: its attributes, or None where the lookup is empty."""
    found: dict[tuple[str, ...], dict[str, Any] | None] = {}
    for output, value in zip(plan.outputs, row, strict=True):
        if output.kind == "parent":
            path = output.path[:-1]
            found[path] = value and {"attributes": _parent_attributes(plan.parents[path].name, value, call=call)}
    return found


def _parent_attributes(kind: str, key: str, *, call: Call) -> dict[str, str]:
    """A lookup with several targets shows the type Name (unverified) and the address of the real record."""
    real = call.org.schema.by_prefix[key[:3]].name if kind == "Name" else kind
    return attributes(real, key, call=call) | {"type": kind}


def _place(record: dict[str, Any], path: tuple[str, ...], value: Any, *, present: dict[tuple[str, ...], Any]) -> None:
    for depth in range(1, len(path)):
        start = present.get(path[:depth])
        if not start:
            record[path[depth - 1]] = None
            return
        record = record.setdefault(path[depth - 1], start)
    record[path[-1]] = value


def attributes(kind: str, key: str, *, call: Call) -> dict[str, str]:
    return {"type": kind, "url": f"{call.data_url}/sobjects/{kind}/{key}"}


def json_value(value: Any, kind: str) -> Any:
    """A stored value as JSON answers show it."""
    if value is None:
        return None
    if kind == "boolean":
        return bool(value)
    if kind == "address":
        return json.loads(value)
    return float(value) if kind in NUMBER_TYPES else value


def _children(child: tuple[str, str, Any, Plan], parents: list[str], *, call: Call) -> dict[str, dict[str, Any]]:
    _, _, _, plan = child
    size = int(call.org.settings["child_page_rows"])
    given = [json.dumps(parents) if value is None else value for value in plan.given]
    groups: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
    for row in call.org.store.db.execute(plan.sql, given):
        groups[row[1]].append(row)
    found = {}
    for parent, rows in groups.items():
        kept = rows[: plan.limit]
        following = f"{call.org.cursors.add(plan, kept, size)}-{size}" if len(kept) > size else None
        found[parent] = _page(plan, kept[:size], total=len(kept), call=call, next_locator=following)
    return found


async def query(call: Call) -> Answer:
    """GET /query and /queryAll; ``?explain=`` answers with a plan."""
    if "explain" in call.query:
        return Answer(body=_explained(call))
    text = call.query.get("q")
    if text is None:
        raise ApiError(400, "MALFORMED_QUERY", "A query string has to be specified")
    return answer(text, call=call, deleted="/queryAll" in call.path)


def answer(text: str, *, call: Call, deleted: bool = False) -> Answer:
    """The first page of a query's result."""
    store = call.org.store
    plan = compile_query(text, store=store, deleted=deleted)
    rows = run(plan, store=store)
    if plan.counts_only:
        return Answer(body={"totalSize": rows[0][0], "done": True, "records": []})
    size = page_size(call)
    if plan.aggregate and len(rows) > DEFAULT_PAGE:
        message = "Aggregate query does not support queryMore(), use LIMIT to restrict the results to a single batch"
        raise ApiError(400, "EXCEEDED_ID_LIMIT", message)
    if len(rows) <= size:
        return Answer(body=_page(plan, rows, total=len(rows), call=call))
    locator = call.org.cursors.add(plan, rows, size)
    return Answer(body=_page(plan, rows[:size], total=len(rows), call=call, next_locator=f"{locator}-{size}"))


async def more(call: Call) -> Answer:
    """GET /query/{locator}: the next page; the same locator gives the same page again."""
    locator, _, offset = call.given["locator"].partition("-")
    plan, rows, size = call.org.cursors.find(ids.full(locator) or locator)
    if not offset.isdigit():
        raise ApiError(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
    start = int(offset)
    following = f"{locator}-{start + size}" if start + size < len(rows) else None
    return Answer(body=_page(plan, rows[start : start + size], total=len(rows), call=call, next_locator=following))


def page_size(call: Call) -> int:
    """``Sforce-Query-Options: batchSize=n`` between 200 and 2000."""
    _, _, wanted = call.header("Sforce-Query-Options").replace(" ", "").partition("batchSize=")
    return min(max(int(wanted), SMALLEST_PAGE), DEFAULT_PAGE) if wanted.isdigit() else DEFAULT_PAGE


def _page(
    plan: Plan, rows: list[tuple[Any, ...]], *, total: int, call: Call, next_locator: str | None = None
) -> dict[str, Any]:
    page: dict[str, Any] = {"totalSize": total, "done": next_locator is None}
    if next_locator is not None:
        page["nextRecordsUrl"] = f"{call.data_url}/query/{next_locator}"
    page["records"] = list(json_rows(plan, rows, call=call))
    return page


def _explained(call: Call) -> dict[str, Any]:
    text = call.query["explain"] if call.query["explain"] != "true" else call.query.get("q", "")
    plan = compile_query(text, store=call.org.store, deleted=False)
    total = call.org.store.db.execute(f'SELECT count(*) FROM "{plan.item.name}"').fetchone()[0]
    step = {
        "cardinality": total,
        "fields": [],
        "leadingOperationType": "TableScan",
        "notes": [],
        "relativeCost": 1.0,
        "sobjectCardinality": total,
        "sobjectType": plan.item.name,
    }
    return {"plans": [step], "sourceQuery": text}


def routes(data: str) -> list[Route]:
    return [
        Route("GET", f"{data}/query", query),
        Route("GET", f"{data}/queryAll", query),
        Route("GET", f"{data}/query/{{locator}}", more),
        Route("GET", f"{data}/queryAll/{{locator}}", more),
    ]
