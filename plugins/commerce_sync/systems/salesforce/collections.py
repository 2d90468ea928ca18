"""Send rows by sObject Collections: 200 a call, few calls at once, one parent never in two of them.

Source: REST API Developer Guide, sObject Collections. Answers come in request order and carry no key, so inside
one call (and only there) order is what matches them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from commerce_sync.errors import QuotaError, RejectedError, RetryableError
from commerce_sync.systems.salesforce.client import COLLECTION_ROWS, SalesforceClient
from commerce_sync.systems.salesforce.results import RowResult, add_rows
from commerce_sync.systems.salesforce.stage import Operation, Stage

Records = Sequence[tuple[str, dict[str, Any]]]
LIMIT_CODE, TRANSIENT_CODE = "REQUEST_LIMIT_EXCEEDED", "SERVER_UNAVAILABLE"


def lanes(rows: Iterable[tuple[int, str | None]], *, size: int) -> list[list[list[int]]]:
    """Pack (ordinal, parent) rows, neighbours by parent, into requests of at most ``size``.

    A lane is a list of requests that must run one after another because they share a parent; lanes share none.
    """
    result: list[list[list[int]]] = []
    for group in _groups(rows):
        if result and len(result[-1]) == 1 and len(result[-1][0]) + len(group) <= size:
            result[-1][0].extend(group)
        else:
            result.append([group[start : start + size] for start in range(0, len(group), size)])
    return result


def _groups(rows: Iterable[tuple[int, str | None]]) -> list[list[int]]:
    """Rows of one parent together; a row without a parent is a group of its own."""
    groups: list[list[int]] = []
    before: str | None = None
    for ordinal, parent in rows:
        if parent is not None and parent == before:
            groups[-1].append(ordinal)
        else:
            groups.append([ordinal])
        before = parent
    return groups


class CollectionSender:
    """Sends one round of an operation and adds the answers to the stage."""

    def __init__(self, client: SalesforceClient, stage: Stage, *, headers: dict[str, str]) -> None:
        self._client = client
        self._stage = stage
        self._headers = headers
        self.answered = False
        """Whether any call got through: before, an outage is the whole load's; after, it is the rows'."""

    async def send(
        self, operation: Operation, round_: int, *, where: str, size: int = COLLECTION_ROWS, at_once: int = 5
    ) -> None:
        """Send the rows that meet ``where``; raises what stopped the first call if none got through."""
        rows = self._stage.hold(operation, where)
        gate = asyncio.Semaphore(at_once)
        await asyncio.gather(*(self._lane(operation, round_, lane, gate) for lane in lanes(rows, size=size)))

    async def _lane(self, operation: Operation, round_: int, lane: list[list[int]], gate: asyncio.Semaphore) -> None:
        async with gate:
            for ordinals in lane:
                records = self._stage.records(operation, ordinals)
                add_rows(self._stage, operation, round_, await self._answers(operation, records))

    async def _answers(self, operation: Operation, records: Records) -> list[RowResult]:
        try:
            results = await self._call(operation, records)
        except RejectedError as error:
            return await self._halves(operation, records, error)
        except (QuotaError, RetryableError) as error:
            if not self.answered:
                raise
            code = LIMIT_CODE if isinstance(error, QuotaError) else TRANSIENT_CODE
            return [RowResult(match, False, code=code, reason=str(error), processed=False) for match, _ in records]
        self.answered = True
        return [_row(match, result) for (match, _), result in zip(records, results, strict=True)]

    async def _call(self, operation: Operation, records: Records) -> list[dict[str, Any]]:
        target = self._stage.target
        rows = [record for _, record in records]
        if operation == "delete":
            return await self._client.delete_collection([match for match, _ in records])
        if operation == "update":
            return await self._client.update_collection(target.object, rows, headers=self._headers)
        return await self._client.upsert_collection(target.object, target.external_id, rows, headers=self._headers)

    async def _halves(self, operation: Operation, records: Records, error: RejectedError) -> list[RowResult]:
        """One record makes the whole call unreadable: find it by halves, so that the others get through."""
        if len(records) == 1:
            return [RowResult(records[0][0], False, code=error.code, reason=str(error))]
        middle = len(records) // 2
        return [
            *await self._answers(operation, records[:middle]),
            *await self._answers(operation, records[middle:]),
        ]


def _row(match: str, result: dict[str, Any]) -> RowResult:
    if result.get("success"):
        return RowResult(match, True, id=result.get("id"), created=bool(result.get("created")))
    error = (result.get("errors") or [{}])[0]
    return RowResult(
        match,
        False,
        id=result.get("id"),
        code=error.get("statusCode"),
        reason=_reason(error),
        fields=",".join(error.get("fields") or ()) or None,
    )


def _reason(error: dict[str, Any]) -> str | None:
    """The org's sentence; a duplicate rule's, which names nobody, with the ids of the records it means.

    Source: answers seen in public repositories: errors[].duplicateResult.matchResults[].matchRecords[].record.Id.
    """
    found = (error.get("duplicateResult") or {}).get("matchResults") or ()
    records = [match.get("record") or {} for result in found for match in result.get("matchRecords") or ()]
    ids = ", ".join(dict.fromkeys(str(record["Id"]) for record in records if record.get("Id")))
    return f"{error.get('message')} (there already: {ids})" if ids else error.get("message")
