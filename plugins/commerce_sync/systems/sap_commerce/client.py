"""The Integration API of one service (integration object) as an asyncio client; knows nothing of Airflow.

Answers are bytes or small dictionaries; pages are decoded by ``decode``. Errors follow
``commerce_sync.errors``: a refused record is a RejectedError with SAP's code and our reason class, a wrong
request a ConfigurationError.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote, urlsplit

from commerce_sync.errors import ConfigurationError, RejectedError, RetryableError, SyncError
from commerce_sync.systems.rest import OK, Response, RestSession
from commerce_sync.systems.sap_commerce import schema
from commerce_sync.systems.sap_commerce.batch import Answer, Operation, changesets, encode, parse, settle
from commerce_sync.systems.sap_commerce.protocol import MAX_PAGE, entity_path, failure, query_string

BASE_PATH = "/odata2webservices"
TOKEN_PATH = "/authorizationserver/oauth/token"
_JSON = {"Accept": "application/json"}
Query = Mapping[str, str | int | None]
"""System query options by their names: ``$filter``, ``$top``, ``$orderby``, ``$expand`` ..."""


class SapCommerceClient:
    """One service. Use as ``async with``; safe for concurrent tasks of one event loop.

    session: opened and closed with the client; its base URL is the host without path.
    language: ``Accept-Language`` of reads, None for the shop's default.
    """

    def __init__(
        self, session: RestSession, *, service: str, base_path: str = BASE_PATH, language: str | None = None
    ) -> None:
        self.service = service
        self._session = session
        self._root = f"{session.base_url}{base_path.rstrip('/')}/{service}"
        self._route = f"{base_path.rstrip('/')}/{service}"
        self._read_headers = {**_JSON, **({"Accept-Language": language} if language else {})}
        self._schema: schema.Schema | None = None

    async def __aenter__(self) -> Self:
        await self._session.__aenter__()
        return self

    async def __aexit__(self, *cause: object) -> None:
        await self._session.__aexit__(*cause)

    @property
    def calls(self) -> int:
        """Attempts made so far, repeated ones included, token requests not."""
        return self._session.calls.total()

    async def service_document(self) -> list[str]:
        """Names of the entity sets."""
        answer = await self._get("/", route="/")
        names: list[str] = answer.json()["d"]["EntitySets"]
        return names

    async def metadata(self) -> schema.Schema:
        """The service's schema; fetched once."""
        if self._schema is None:
            headers = {"Accept": "application/xml"}
            answer = await self._session.request("GET", f"{self._root}/$metadata", headers=headers)
            self._schema = schema.parse(self.service, answer.body)
        return self._schema

    async def get(self, entity_set: str, key: str, *, expand: str | None = None) -> dict[str, Any] | None:
        """One entity by its integration key, or None when there is none (404)."""
        path = f"/{entity_path(entity_set, key)}"
        answer = await self._get(path, {"$expand": expand}, route=f"/{entity_set}(key)", ok=(200, 404))
        if answer.status == 404:
            self._check_absent(answer, entity_set)
            return None
        found: dict[str, Any] = answer.json()["d"]
        return found

    async def page(self, entity_set: str, query: Query) -> bytes:
        """The first page of a query, as it came. ``$top`` is a page size (at most 1000), not a limit."""
        return (await self._get(f"/{entity_set}", query, route=f"/{entity_set}")).body

    async def page_at(self, link: str) -> bytes:
        """The page behind a ``__next`` link, asked for at the configured host whatever the link names."""
        split = urlsplit(link)
        marker = f"/{self.service}/"
        if marker not in split.path:
            raise RetryableError(f"{self.service}: __next leads to {split.path!r}, outside the service; try again")
        tail = split.path.partition(marker)[2]
        query = quote(split.query, safe="%$&=:/'(),+-_.~!*")
        url = f"{self._root}/{tail}?{query}"
        return (await self._session.request("GET", url, headers=self._read_headers)).body

    async def pages(self, entity_set: str, query: Query | None = None) -> AsyncIterator[list[dict[str, Any]]]:
        """Rows as dictionaries, page by page along ``__next``: for small sets and looking around."""
        body = await self.page(entity_set, {"$top": MAX_PAGE, **(query or {})})
        while True:
            content = Response(200, {}, body).json()["d"]
            yield content["results"]
            if not content.get("__next"):
                return
            body = await self.page_at(content["__next"])

    async def count(self, entity_set: str, *, where: str | None = None) -> int:
        """Rows that meet a filter, by ``$count``."""
        answer = await self._get(f"/{entity_set}/$count", {"$filter": where}, route=f"/{entity_set}/$count")
        text = answer.body.decode("utf-8", "replace").strip().lstrip("\ufeff")
        if not text.isdigit():
            raise RetryableError(f"{self.service}/{entity_set}/$count answered {text[:80]!r}, not a number; try again")
        return int(text)

    async def upsert(
        self, entity_set: str, record: Mapping[str, Any], *, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Create or update by key (POST; 201 for both); nested records are written with it. Repeating is
        harmless.

        Raises RejectedError when SAP refuses the record.
        """
        answer = await self._write("POST", f"/{entity_set}", record, headers=headers, route=f"/{entity_set}")
        entity: dict[str, Any] = answer.json()["d"]
        return entity

    async def update(
        self,
        entity_set: str,
        key: str,
        changes: Mapping[str, Any],
        *,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Change an existing entity (PATCH), replacing collections; absent is a RejectedError too."""
        path = f"/{entity_path(entity_set, key)}"
        answer = await self._write("PATCH", path, changes, headers=headers, route=f"/{entity_set}(key)")
        entity: dict[str, Any] = answer.json()["d"]
        return entity

    async def delete(self, entity_set: str, key: str) -> bool:
        """Delete by key; False when it was not there. Raises RejectedError when SAP refuses."""
        path, route = f"/{entity_path(entity_set, key)}", f"/{entity_set}(key)"
        try:
            await self._write("DELETE", path, None, headers=None, route=route)
        except RejectedError as error:
            if error.code == "not_found":
                return False
            raise
        return True

    async def batch(self, operations: Sequence[Operation], *, per_changeset: int = 1) -> dict[str, Answer]:
        """Send one ``$batch`` (at most 200 ChangeSets); operation id -> its answer, for those that got one.

        Only repeatable operations belong here: a lost answer makes the whole request be sent again. SAP's monitoring
        knows every ChangeSet by the integrationMessageId of the request, which is the id of the first operation.
        Raises RejectedError when SAP refuses the request as a whole.
        """
        sets = changesets(operations, size=per_changeset)
        content_type, body = encode(sets)
        answer = await self._session.request(
            "POST", f"{self._root}/$batch", data=body,
            headers={
                "Content-Type": content_type, "Accept": "multipart/mixed", "integrationMessageId": operations[0].id,
            },
            classify=self._classify(f"{self.service}/$batch"), repeatable=True, route=f"{self._route}/$batch",
        )  # fmt: skip
        return settle(sets, parse(answer.headers.get("Content-Type", ""), answer.body))

    async def send(self, operation: Operation) -> bytes:
        """Send one operation by itself; gives the answer's body. Raises RejectedError when SAP refuses it."""
        entity_set = operation.path.partition("(")[0]
        route = f"/{entity_set}" + ("(key)" if "(" in operation.path else "")
        answer = await self._write(
            operation.method, f"/{operation.path}", operation.body, headers=operation.headers, route=route
        )
        return answer.body

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
        ok: Collection[int] = OK,
        repeatable: bool | None = None,
        route: str | None = None,
    ) -> Response:
        """Any call below the host (``/odata2webservices/...``, ``/occ/v2/...``).

        ok, repeatable, route: see ``RestSession.request``.
        """
        url = _with_query(f"{self._session.base_url}/{path.lstrip('/')}", query)
        sent = {**_JSON, **(headers or {})}
        return await self._session.request(
            method, url, json=json, headers=sent, ok=ok, repeatable=repeatable, route=route
        )

    async def download(self, address: str, to_file: Path) -> None:
        """What a Media holds, to disk; address: as the Media's ``url`` has it. Raises RejectedError when it is gone."""

        def judge(status: int, _body: bytes) -> SyncError | None:
            if status not in (403, 404, 410):
                return None
            return RejectedError(f"{address} answered {status}", code=f"http_{status}", reason_class="reference")

        url = address if "://" in address else f"{self._session.base_url}/{address.lstrip('/')}"
        await self._session.download(url, to_file, classify=judge, route="/medias")

    async def _get(
        self, path: str, query: Query | None = None, *, route: str, ok: tuple[int, ...] = (200,)
    ) -> Response:
        url = _with_query(f"{self._root}{path}", query)
        return await self._session.request(
            "GET",
            url,
            headers=self._read_headers,
            ok=ok,
            route=f"{self._route}{route}",
            classify=self._misasked,
        )

    async def _write(
        self, method: str, path: str, body: Any, *, headers: Mapping[str, str] | None, route: str
    ) -> Response:
        return await self._session.request(
            method, f"{self._root}{path}", json=body, headers={**_JSON, **(headers or {})}, repeatable=True,
            classify=self._classify(f"{method} {self.service}{route}"), route=f"{self._route}{route}",
        )  # fmt: skip

    def _classify(self, what: str) -> Any:
        def judge(status: int, body: bytes) -> SyncError | None:
            found = failure(status, body)
            if status in (401, 403, 408, 429) or (status >= 500 and found.reason_class != "duplicate"):
                return None
            return found.rejected(what)

        return judge

    def _misasked(self, status: int, body: bytes) -> SyncError | None:
        if status in (401, 403, 408, 425, 429) or status >= 500:
            return None
        found = failure(status, body)
        return ConfigurationError(
            f"service {self.service} refused a read: {status} {found.code}: {found.message}; "
            "check service, entity_set, columns and filter of the source"
        )

    def _check_absent(self, answer: Response, entity_set: str) -> None:
        found = failure(answer.status, answer.body)
        if "entity set" in found.message:
            raise ConfigurationError(f"service {self.service} has no entity set {entity_set!r}: {found.message}")


def _with_query(url: str, query: Query | None) -> str:
    text = query_string(query or {})
    return f"{url}?{text}" if text else url
