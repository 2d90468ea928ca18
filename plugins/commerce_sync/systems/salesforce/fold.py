"""Sums of the marks a leg left in an org's records, by bucket and cell, and the records behind a sum that differs.

Text fields can be grouped by, custom numbers cannot; an aggregate query has one page of 2,000 groups and no more.
Source: SOQL and SOSL Reference, GROUP BY and its considerations, Aggregate Functions; REST API Developer Guide, Query.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa

from commerce_sync.errors import ConfigurationError, RetryableError
from commerce_sync.mapping import Compare, Field, Target
from commerce_sync.systems.salesforce.cells import Column
from commerce_sync.systems.salesforce.client import SalesforceClient, packs, room_for_keys, text_literal
from commerce_sync.systems.salesforce.paging import Pages, Query, moment
from commerce_sync.systems.salesforce.present import _is_polymorphic, _resolve, _shape, where_in
from commerce_sync.systems.salesforce.shape import Record

BUCKETS, CELLS = 1000, 50
GROUPS = 2000
"""What one aggregate query may answer. Source: EXCEEDED_ID_LIMIT, "Aggregate query does not support queryMore()"."""
FOLDS = pa.schema([("bucket", pa.string()), ("cell", pa.string()), ("rows", pa.int64()), ("marks", pa.int64())])
MEMBERS = pa.schema([
    ("target_id", pa.string()), ("external_id", pa.string()), ("mark", pa.int64()), ("bucket", pa.string()),
    ("cell", pa.string()),
])  # fmt: skip


def marks_of(target: Target) -> Compare:
    """The fields a leg keeps its marks in. Raises ConfigurationError for a leg that leaves none."""
    if target.compare is None:
        raise ConfigurationError(f"the mapping to {target.object} has no `compare`: its records carry no marks")
    return target.compare


async def folds(client: SalesforceClient, target: Target, *, buckets: Sequence[str] = ()) -> pa.Table:
    """``bucket``, ``cell``, ``rows``, ``marks``: how many records there are and what their marks add up to.

    By bucket (``cell`` is null), or by cell of some ``buckets``. Records without marks that hold the external id are
    the group whose bucket is null. Marks have 31 bits: sums of millions of them are exact in a double.
    """
    if buckets:
        most = GROUPS // CELLS
        parts = [buckets[start : start + most] for start in range(0, len(buckets), most)]
        found = [row for part in parts for row in await _cells(client, target, part)]
    else:
        found = await _buckets(client, target)
    return pa.Table.from_pylist(found, schema=FOLDS)


async def _buckets(client: SalesforceClient, target: Target) -> list[Record]:
    marks = marks_of(target)
    everybody = f"{marks.bucket} != null OR {target.external_id} != null"
    try:
        return await _sums(client, target, (marks.bucket,), everybody)
    except RetryableError as error:
        if "QUERY_TIMEOUT" not in str(error):
            raise
    # Smaller ranges of an indexed field get through where the whole object takes too long.
    nobody = await _sums(client, target, (marks.bucket,), f"{marks.bucket} = null AND {target.external_id} != null")
    found = []
    for start in range(0, BUCKETS, BUCKETS // 10):
        end = f" AND {marks.bucket} < '{start + BUCKETS // 10:03d}'" if start + BUCKETS // 10 < BUCKETS else ""
        found += await _sums(client, target, (marks.bucket,), f"{marks.bucket} >= '{start:03d}'{end}")
    return [*nobody, *found]


async def _cells(client: SalesforceClient, target: Target, buckets: Sequence[str]) -> list[Record]:
    marks = marks_of(target)
    named = ", ".join(text_literal(bucket) for bucket in buckets)
    return await _sums(client, target, (marks.bucket, marks.cell), f"{marks.bucket} IN ({named})")


async def _sums(client: SalesforceClient, target: Target, by: tuple[str, ...], where: str) -> list[Record]:
    names = ", ".join(by)
    soql = (
        f"SELECT {names}, COUNT(Id) held, SUM({marks_of(target).mark}) total FROM {target.object} "
        f"WHERE {where} GROUP BY {names}"
    )
    return [
        {
            "bucket": row[by[0]], "cell": row[by[1]] if len(by) > 1 else None, "rows": int(row["held"]),
            "marks": int(row["total"] or 0),
        }
        async for row in client.query(soql)
    ]  # fmt: skip


async def members(client: SalesforceClient, target: Target, cells: Iterable[tuple[str, str]]) -> pa.Table:
    """``target_id``, ``external_id``, ``mark``, ``bucket``, ``cell`` of the records in some cells."""
    marks, found = marks_of(target), []
    columns = _columns(target)
    room = room_for_keys(Query(target.object, columns).soql())
    for terms in packs(list(_terms(marks, cells)), room):
        query = Query(target.object, columns, (" OR ".join(terms),))
        found += [record async for page in Pages(client).read(query) for record in page.records]
    return _members(target, found)


def _terms(marks: Compare, cells: Iterable[tuple[str, str]]) -> Iterator[str]:
    by_bucket: dict[str, list[str]] = {}
    for bucket, cell in sorted(set(cells)):
        by_bucket.setdefault(bucket, []).append(text_literal(cell))
    for bucket, named in by_bucket.items():
        cell = f" = {named[0]}" if len(named) == 1 else f" IN ({', '.join(named)})"
        yield f"({marks.bucket} = {text_literal(bucket)} AND {marks.cell}{cell})"


async def unmarked(client: SalesforceClient, target: Target) -> pa.Table:
    """The records that hold the external id and no mark, as ``members`` gives them."""
    marks = marks_of(target)
    query = Query(target.object, _columns(target), (f"{marks.bucket} = null", f"{target.external_id} != null"))
    return _members(target, [record async for page in Pages(client).read(query) for record in page.records])


async def standing(client: SalesforceClient, target: Target, ids: Iterable[str]) -> pa.Table:
    """Those of some records that are there, wherever their marks say they are, as ``members`` gives them."""
    return _members(target, await where_in(client, target.object, _columns(target), "Id", ids))


def _columns(target: Target) -> tuple[str, ...]:
    return ("Id", target.external_id, *marks_of(target).names)


def _members(target: Target, records: Iterable[Record]) -> pa.Table:
    marks = marks_of(target)
    rows = [
        {
            "target_id": row["Id"], "external_id": row[target.external_id],
            "mark": None if row[marks.mark] is None else int(row[marks.mark]), "bucket": row[marks.bucket],
            "cell": row[marks.cell],
        }
        for row in records
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, schema=MEMBERS)


async def edited(
    client: SalesforceClient, target: Target, fields: Sequence[Field], *, since: datetime | None,
    types: Mapping[str, str],
) -> pa.Table:  # fmt: skip
    """``target_id`` and the present values of ``fields`` of the records somebody modified at or after ``since``.

    ``Compare.edits`` says who: everybody but our own user, or everybody. Without ``since`` it is always the former,
    because the latter would be every record there is. Whatever changes a record moves its SystemModstamp.
    """
    shape = _shape(fields, types)
    where = [f"{target.external_id} != null"]
    if since is not None:
        where.append(f"SystemModstamp >= {moment(since)}")
    if since is None or marks_of(target).edits == "others":
        where.append(f"LastModifiedById != {text_literal(await _own_user(client))}")
    query = Query(target.object, tuple(dict.fromkeys(["Id", *shape.fields()])), tuple(where))
    found = [record async for page in Pages(client).read(query) for record in page.records]
    for field in fields:
        if field.lookup is not None and _is_polymorphic(field):
            await _resolve(client, field.lookup, found, name=Column(field).id_name)
    return shape.table(found).add_column(0, "target_id", pa.array([record["Id"] for record in found], pa.string()))


async def _own_user(client: SalesforceClient) -> str:
    """Id of the user the connection works as. Source: OpenID Connect UserInfo endpoint, field user_id."""
    answer: dict[str, Any] = (await client.call("GET", "/services/oauth2/userinfo")).json()
    return str(answer["user_id"])
