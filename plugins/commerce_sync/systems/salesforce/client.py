"""Salesforce's REST API: sessions, describe, limits, SOQL, single records, Collections.

Knows the API, not Airflow. Bulk API 2.0 is in ``bulk``.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Self
from urllib.parse import quote

from commerce_sync.errors import ConfigurationError, QuotaError
from commerce_sync.systems.answers import Call, Response
from commerce_sync.systems.rest import RestSession
from commerce_sync.systems.salesforce.reasons import classify
from commerce_sync.systems.tokens import Auth
from commerce_sync.systems.trust import USUAL, Trust

COLLECTION_ROWS = 200
URL_BYTES = 7_500
"""Salesforce takes 16,384 bytes of URL and headers, but proxies on the way often only 8 KB of URL."""
LEAST_ROOM_BYTES = 2_500
"""For the keys of a query whose columns alone are long."""


class SalesforceClient:
    """Calls to one org. Use as ``async with``.

    instance_url: My Domain URL, any scheme.   auth: see ``auth``.   version: API version such as "62.0".
    call_reserve: calls of the org's rolling 24 hours to leave to others; below it calls raise QuotaError.
    """

    def __init__(
        self,
        instance_url: str,
        auth: Auth,
        version: str = "62.0",
        *,
        trust: Trust = USUAL,
        timeout_s: float = 120,
        call_reserve: int = 0,
        name: str = "salesforce",
        on_call: Callable[[Call], None] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        if not re.fullmatch(r"\d{2}\.\d", version):
            raise ConfigurationError(f"Salesforce API version {version!r} must look like '62.0'")
        self.root = f"/services/data/v{version}"
        self.version = version
        self.sleep = sleep
        self.calls_used: int | None = None
        self.calls_allowed: int | None = None
        self._call_reserve = call_reserve
        self._under_way = 0
        self._on_call = on_call
        self.rest = RestSession(
            instance_url,
            auth=auth,
            name=name,
            timeout_s=timeout_s,
            trust=trust,
            classify=classify,
            on_call=self._heard,
            sleep=sleep,
        )

    def __repr__(self) -> str:
        return f"SalesforceClient({self.rest.base_url!r}, version={self.version!r})"

    async def __aenter__(self) -> Self:
        await self.rest.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.rest.__aexit__(*error)

    def _heard(self, call: Call) -> None:
        # Source: REST API Developer Guide, Limit Info Header. Apps of their own add a suffix.
        if match := re.match(r"api-usage=(\d+)/(\d+)", call.headers.get("Sforce-Limit-Info", "")):
            self.calls_used, self.calls_allowed = int(match[1]), int(match[2])
        if self._on_call:
            self._on_call(call)

    def _spend(self) -> None:
        if not self._call_reserve or self.calls_used is None or self.calls_allowed is None:
            return
        # Calls under way are in no answer yet.
        if self.calls_allowed - self.calls_used - self._under_way <= self._call_reserve:
            raise QuotaError(
                f"{self.calls_used} of the org's {self.calls_allowed} API calls of 24 hours are used and "
                f"{self._call_reserve} are reserved for others: run later, or lower the connection's reserve"
            )

    async def call(self, method: str, path: str, **options: Any) -> Response:
        """One REST call; ``path`` below ``/services/data/vXX.0`` unless it begins with ``/services`` or a scheme.

        Takes the options of ``RestSession.request``. Raises QuotaError when the call reserve is reached.
        """
        self._spend()
        full = path if path.startswith("/services") or "://" in path else f"{self.root}/{path.lstrip('/')}"
        # Lets readers of the org's change events recognise our own writes (Sforce-Call-Options).
        headers = {"Sforce-Call-Options": "client=commerce-sync", **(options.pop("headers", None) or {})}
        self._under_way += 1
        try:
            return await self.rest.request(method, full, headers=headers, **options)
        finally:
            self._under_way -= 1

    async def describe(self, object_name: str) -> dict[str, Any]:
        """Fields and rights of one object as the current user sees them."""
        answer: dict[str, Any] = (await self.call("GET", f"sobjects/{object_name}/describe")).json()
        return answer

    async def limits(self) -> dict[str, Any]:
        """The org's allowances, ``{"DailyApiRequests": {"Max", "Remaining"}, ...}``."""
        answer: dict[str, Any] = (await self.call("GET", "limits")).json()
        return answer

    async def pages(self, soql: str, *, all_rows: bool = False) -> AsyncIterator[dict[str, Any]]:
        """Yield the result pages of a SOQL query as Salesforce sends them; ``all_rows`` includes deleted ones."""
        answer = await self.call("GET", "queryAll" if all_rows else "query", params={"q": soql})
        page = answer.json()
        yield page
        while not page["done"]:
            page = (await self.call("GET", page["nextRecordsUrl"], route=f"{self.root}/query/next")).json()
            yield page

    async def query(self, soql: str, *, all_rows: bool = False) -> AsyncIterator[dict[str, Any]]:
        """Yield records flat: ``{"Id": .., "Account.Name": ..}``, without ``attributes``."""
        async for page in self.pages(soql, all_rows=all_rows):
            for record in page["records"]:
                yield flat(record)

    async def get(self, object_name: str, record_id: str, *, fields: Sequence[str] = ()) -> dict[str, Any] | None:
        """One record by id, or None when there is none."""
        params = {"fields": ",".join(fields)} if fields else None
        path = f"sobjects/{object_name}/{quote(record_id, safe='')}"
        answer = await self.call("GET", path, params=params, ok=(200, 404), route=_record_route(self, object_name))
        return answer.json() if answer.status == 200 else None

    async def create(
        self, object_name: str, record: Mapping[str, Any], *, headers: Mapping[str, str] | None = None
    ) -> str:
        """Create one record and return its id. Not repeatable: raises UnknownOutcomeError when unanswered."""
        answer = await self.call("POST", f"sobjects/{object_name}", json=record, headers=headers)
        return str(answer.json()["id"])

    async def update(self, object_name: str, record_id: str, record: Mapping[str, Any]) -> None:
        """Set the given fields of one record; None clears."""
        route = _record_route(self, object_name)
        path = f"sobjects/{object_name}/{quote(record_id, safe='')}"
        await self.call("PATCH", path, json=record, repeatable=True, route=route)

    async def upsert(
        self, object_name: str, external_id: str, value: str, record: Mapping[str, Any]
    ) -> tuple[str | None, bool]:
        """Upsert one record by external id; returns (id, created). Raises RejectedError for a value held twice."""
        path = f"sobjects/{object_name}/{external_id}/{quote(value, safe='')}"
        body = {name: cell for name, cell in record.items() if name not in (external_id, "Id")}
        answer = await self.call(
            "PATCH", path, json=body, repeatable=True, ok=(200, 201, 204, 300),
            route=f"{self.root}/sobjects/{object_name}/{external_id}/{{value}}",
        )  # fmt: skip
        if answer.status == 300:
            raise duplicate(object_name, external_id)
        said = answer.json() if answer.body else {}
        return said.get("id"), bool(said.get("created", answer.status == 201))

    async def delete(self, object_name: str, record_id: str) -> bool:
        """Delete one record; False when it was gone already."""
        path = f"sobjects/{object_name}/{quote(record_id, safe='')}"
        answer = await self.call("DELETE", path, ok=(204, 404), route=_record_route(self, object_name))
        return answer.status == 204

    async def upsert_collection(
        self, object_name: str, external_id: str, records: Sequence[Mapping[str, Any]], **options: Any
    ) -> list[dict[str, Any]]:
        """Upsert up to 200 records, results in request order; repeatable since the key decides.

        Source: REST API Developer Guide, Upsert Multiple Records with sObject Collections (API 46.0).
        """
        rows = [{"attributes": {"type": object_name}, **record} for record in records]
        body = {"allOrNone": False, "records": rows}
        path = f"composite/sobjects/{object_name}/{external_id}"
        answer = await self.call("PATCH", path, json=body, repeatable=True, **options)
        return _as_many(answer, len(rows))

    async def update_collection(
        self, object_name: str, records: Sequence[Mapping[str, Any]], **options: Any
    ) -> list[dict[str, Any]]:
        """Update up to 200 records that carry their ``Id``; results in request order."""
        rows = [{"attributes": {"type": object_name}, **record} for record in records]
        answer = await self.call(
            "PATCH", "composite/sobjects", json={"allOrNone": False, "records": rows}, repeatable=True, **options
        )  # fmt: skip
        return _as_many(answer, len(rows))

    async def delete_collection(self, ids: Sequence[str]) -> list[dict[str, Any]]:
        """Delete up to 200 records by id; results in request order."""
        params = {"ids": ",".join(ids), "allOrNone": "false"}
        return _as_many(await self.call("DELETE", "composite/sobjects", params=params), len(ids))

    async def read_by_keys(
        self, object_name: str, keys: Sequence[str], *, key_field: str, fields: Sequence[str]
    ) -> AsyncIterator[dict[str, Any]]:
        """Yield the records whose ``key_field`` is in ``keys``, in as many queries as the URL limit asks for.

        Empty keys are not asked for: SOQL takes them for null and would give every record without a key.
        """
        columns = ", ".join(dict.fromkeys((key_field, *fields)))
        start = f"SELECT {columns} FROM {object_name} WHERE {key_field} IN ("
        wanted = [text_literal(key) for key in dict.fromkeys(keys) if key]
        for pack in packs(wanted, room_for_keys(start)):
            async for record in self.query(f"{start}{', '.join(pack)})"):
                yield record


def flat(record: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten a record with its parents (``Account.Name``), dropping ``attributes``; child lists stay lists."""
    row: dict[str, Any] = {}
    for name, value in record.items():
        if name == "attributes":
            continue
        if isinstance(value, dict) and "attributes" in value:
            row.update(flat(value, f"{prefix}{name}."))
        else:
            row[prefix + name] = value
    return row


def text_literal(text: str) -> str:
    """A SOQL string literal. Source: SOQL and SOSL Reference, Quoted String Escape Sequences."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\r", "\\r")
    return f"'{escaped}'"


def duplicate(object_name: str, external_id: str) -> Exception:
    """The error for an external id that several records hold (300 Multiple Choices)."""
    from commerce_sync.errors import RejectedError

    return RejectedError(
        f"several {object_name} records hold this {external_id}: merge them and make the field unique",
        code="DUPLICATE_EXTERNAL_ID",
        reason_class="duplicate",
    )


def _record_route(client: SalesforceClient, object_name: str) -> str:
    return f"{client.root}/sobjects/{object_name}/{{id}}"


def _as_many(answer: Response, rows: int) -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = answer.json()
    if len(results) != rows:
        raise ConfigurationError(
            f"Salesforce answered {len(results)} results for {rows} records; which belongs to which cannot be told"
        )
    return results


def room_for_keys(start: str) -> int:
    """Bytes of a URL that are left for keys behind the beginning of a statement; some in any case."""
    return max(URL_BYTES - len(quote(start)) - 200, LEAST_ROOM_BYTES)


def packs(literals: list[str], room: int) -> list[list[str]]:
    """Literals in their order, cut into lists that take up to ``room`` bytes of a URL each."""
    found: list[list[str]] = []
    used = room + 1
    for literal in literals:
        size = len(quote(literal)) + 6
        if used + size > room:
            found.append([])
            used = 0
        found[-1].append(literal)
        used += size
    return found
