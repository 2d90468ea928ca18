"""iconik's API: calls, the four styles of paging, search. Knows nothing of Airflow or of legs.

Source: app.iconik.io/docs/api.html, /docs/reference.html and the published OpenAPI documents, read 2026-11.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Self
from urllib.parse import urlsplit

import msgspec

from commerce_sync.errors import ConfigurationError, RejectedError, RetryableError
from commerce_sync.systems.iconik.reasons import NOT_FOUND, classify
from commerce_sync.systems.rest import FixedHeaders, RestSession

Row = dict[str, Any]
PER_PAGE = 100
"""Largest page that public clients use safely; the limit is not documented."""
SEARCH_FLAGS = {
    "generate_signed_url": "false",
    "generate_signed_download_url": "false",
    "generate_signed_proxy_url": "false",
    "save_search_history": "false",
}
"""The defaults would sign addresses (slow) and fill the user's search history."""
_ID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")


class Page(msgspec.Struct):
    """One page of a list or a search; unknown keys pass."""

    objects: list[Row]
    total: int | None = None
    next_url: str | None = None


_page = msgspec.json.Decoder(Page)


def credentials(app_id: str, auth_token: str) -> FixedHeaders:
    """The two headers of every call; a token cannot be renewed, a 401 is a ConfigurationError."""
    return FixedHeaders({"App-ID": app_id, "Auth-Token": auth_token})


class IconikClient:
    """Calls to one iconik domain. Use as ``async with``; safe for concurrent tasks of one event loop.

    session: its base URL ends with ``/API``; its ``classify`` should be ``reasons.classify``.
    """

    def __init__(self, session: RestSession) -> None:
        self._session = session
        parts = urlsplit(session.base_url)
        self._origin = f"{parts.scheme}://{parts.netloc}"

    async def __aenter__(self) -> Self:
        await self._session.__aenter__()
        return self

    async def __aexit__(self, *reason: object) -> None:
        await self._session.__aexit__(*reason)

    @property
    def calls(self) -> int:
        """Attempts made so far."""
        return self._session.calls.total()

    @property
    def name(self) -> str:
        """Id of the connection."""
        return self._session.name

    async def call(
        self, method: str, path: str, *, params: Mapping[str, Any] | None = None, json: Any = None,
        repeatable: bool | None = None,
    ) -> Any:  # fmt: skip
        """The decoded answer, None when it has no body (202 and 204 often have none).

        path: below ``/API/``, with the slash at its end.   repeatable: whether an unanswered call may be sent again.
        Raises IconikRefusal (400, 403, 404, 409, 422), ConfigurationError (401), RetryableError, UnknownOutcomeError.
        """
        answer = await self._session.request(
            method, path, params=params, json=json, repeatable=repeatable, classify=classify,
            headers={"Accept": "application/json"}, route=_ID.sub("{id}", path),
        )  # fmt: skip
        return answer.json() if answer.body.strip() else None

    async def get(self, path: str, **params: Any) -> Row:
        """One object. Raises IconikRefusal when there is none."""
        found: Row = await self.call("GET", path, params=params or None)
        return found

    async def find(self, path: str, **params: Any) -> Row | None:
        """One object, None when there is none (404)."""
        try:
            return await self.get(path, **params)
        except RejectedError as error:
            if error.code != NOT_FOUND:
                raise
            return None

    async def change(self, method: str, path: str, json: Any = None, **params: Any) -> Any:
        """PATCH, PUT or DELETE, which may be sent again: the same change twice is one change."""
        return await self.call(method, path, params=params or None, json=json, repeatable=True)

    async def remove(self, path: str) -> bool:
        """DELETE; False when it was not there."""
        try:
            await self.change("DELETE", path)
        except RejectedError as error:
            if error.code != NOT_FOUND:
                raise
            return False
        return True

    async def pages(self, path: str, *, per_page: int = PER_PAGE, **params: Any) -> AsyncIterator[Page]:
        """Page style, along ``next_url`` (relative to the host)."""
        address, seen = path, set[str]()
        given: dict[str, Any] | None = {"per_page": per_page, "page": 1, **params}
        while True:
            page = await self._read_page("GET", address, params=given)
            yield page
            if not page.next_url or not page.objects:
                return
            if page.next_url in seen:
                raise RetryableError(f"{self.name}: GET {path} leads back to a page it gave before; try again")
            seen.add(page.next_url)
            address, given = self._origin + page.next_url, None

    async def listed(self, path: str, *, per_page: int = PER_PAGE, **params: Any) -> list[Row]:
        """All objects of a page-style list; for short ones."""
        return [row async for page in self.pages(path, per_page=per_page, **params) for row in page.objects]

    async def by_last_id(self, path: str, *, per_page: int = PER_PAGE, **params: Any) -> list[Row]:
        """All objects of a list of the files service: ``last_id`` until a page is short."""
        return await self._by_last(path, "last_id", "id", per_page=per_page, params=params)

    async def by_last_name(self, path: str, *, per_page: int = 500, **params: Any) -> list[Row]:
        """All metadata fields: ``last_field_name`` until a page is short."""
        return await self._by_last(path, "last_field_name", "name", per_page=per_page, params=params)

    async def _by_last(self, path: str, parameter: str, name: str, *, per_page: int, params: Row) -> list[Row]:
        rows: list[Row] = []
        last: Row = {}
        while True:
            page = await self._read_page("GET", path, params={"per_page": per_page, **params, **last})
            rows += page.objects
            if len(page.objects) < per_page:
                return rows
            following = {parameter: page.objects[-1][name]}
            if following == last:
                raise RetryableError(f"{self.name}: GET {path} does not go on after {last}; try again")
            last = following

    async def search(self, criteria: Row, *, per_page: int = PER_PAGE) -> AsyncIterator[Page]:
        """Pages of search documents by ``search_after`` until one is empty; the index lags, so they are hints.

        criteria: the body of ``POST search/``; its sort should end with a unique key. Raises ConfigurationError when
        iconik refuses the criteria, RetryableError when the search does not move on.
        """
        body = dict(criteria)
        while True:
            page = await self.search_page(body, per_page=per_page)
            yield page
            if not page.objects:
                return
            after = page.objects[-1].get("_sort")
            if not after:
                raise RetryableError(f"{self.name}: search documents have no _sort to go on from; try again")
            if after == body.get("search_after"):
                raise RetryableError(f"{self.name}: search does not go on after {after}; try again")
            body["search_after"] = after

    async def search_page(self, criteria: Row, *, per_page: int) -> Page:
        """One page of search documents and the total."""
        params = {"per_page": per_page, **SEARCH_FLAGS}
        try:
            return await self._read_page("POST", "search/v1/search/", params=params, json=criteria)
        except RejectedError as error:
            raise ConfigurationError(f"{self.name}: iconik refuses the search: {error}; correct the source") from error

    async def count(self, criteria: Row) -> int:
        """How many documents the search has at present."""
        kept = {name: value for name, value in criteria.items() if name != "search_after"}
        page = await self.search_page(kept | {"include_fields": ["id"]}, per_page=1)
        if page.total is None:
            raise RetryableError(f"{self.name}: a search page came without its total; try again")
        return page.total

    async def _read_page(self, method: str, path: str, *, params: Row | None, json: Any = None) -> Page:
        route = _ID.sub("{id}", path.removeprefix(self._origin).partition("?")[0])
        answer = await self._session.request(
            method, path, params=params, json=json, repeatable=True, classify=classify,
            headers={"Accept": "application/json"}, route=route,
        )  # fmt: skip
        try:
            return _page.decode(answer.body)
        except msgspec.DecodeError as error:
            raise RetryableError(f"{self.name}: {method} {route} gave no page ({error}); try again") from error


def any_of(name: str, values: Sequence[Any]) -> Row:
    """A filter term: the field has one of these values."""
    return {"name": name, "value_in": [str(value) for value in values]}


def all_of(*terms: Row, filters: Sequence[Row] = ()) -> Row:
    """A filter node that demands every term."""
    return {"operator": "AND", "terms": list(terms), "filters": list(filters)}


def is_id(text: str) -> bool:
    """Whether a text has the form of iconik's ids."""
    return _ID.fullmatch(text) is not None
