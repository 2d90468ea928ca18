"""The platform's API without Airflow: lists, counts, devices, events, messages. What differs stands in the profile.

Facts: public client definitions and developer pages of the platform's ancestor (2015-2017); the current product's
reference is not public, hence the profiles.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Self
from urllib.parse import quote

import msgspec

from commerce_sync.errors import ConfigurationError, RejectedError, RetryableError, SyncError
from commerce_sync.systems.answers import Call, Response, excerpt
from commerce_sync.systems.opentext_iot.documents import (
    AttributeType,
    Device,
    Document,
    device_of,
    dig,
    picked,
    text_of,
    written_moment,
)
from commerce_sync.systems.opentext_iot.profile import Paging, Profile
from commerce_sync.systems.rest import RestSession
from commerce_sync.systems.tokens import Auth
from commerce_sync.systems.trust import USUAL, Trust

REASONS = {400: "validation", 403: "permission", 404: "reference", 422: "validation", 428: "lock"}
MOST_PAGES = 100_000
Query = Mapping[str, Any]


class ConflictError(RejectedError):
    """Somebody else wrote the document meanwhile: read it again."""


class IotClient:
    """One tenant. Use as ``async with``; safe for concurrent tasks of one event loop."""

    def __init__(
        self, base_url: str, profile: Profile, auth: Auth, *, name: str, timeout_s: float = 60,
        max_per_second: float | None = None, trust: Trust = USUAL, on_call: Callable[[Call], None] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:  # fmt: skip
        self.profile = profile
        self.sleep = sleep
        self._session = RestSession(
            base_url, auth=auth, name=name, timeout_s=timeout_s, max_per_second=max_per_second, trust=trust,
            on_call=on_call, sleep=sleep,
        )  # fmt: skip
        self._types: dict[str, AttributeType] | None = None

    async def __aenter__(self) -> Self:
        await self._session.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.__aexit__()

    @property
    def calls(self) -> int:
        """Attempts made."""
        return sum(self._session.calls.values())

    async def read(
        self, path: str, *, media: str, query: Query | None = None, headers: Query | None = None
    ) -> Response:
        """One GET. 404 raises RejectedError (reference), another refusal ConfigurationError."""
        return await self._session.request(
            "GET", path, params=query, headers={"Accept": media, **(headers or {})}, classify=_unknown_id,
            route=path.partition("?")[0],
        )  # fmt: skip

    async def write(
        self, method: str, path: str, *, media: str, accept: str | None = None, body: Any = None,
        headers: Mapping[str, str] | None = None, repeatable: bool | None = None, route: str | None = None,
    ) -> Response:  # fmt: skip
        """One writing call. Raises ConflictError for a stale version, RejectedError for what is refused."""
        sent = {"Accept": accept or media, **(headers or {})}
        data = None
        if body is not None:
            data, sent["Content-Type"] = msgspec.json.encode(body), media
        return await self._session.request(
            method, path, data=data, headers=sent, classify=self._refused, repeatable=repeatable,
            route=route or path.partition("?")[0],
        )  # fmt: skip

    def _refused(self, status: int, body: bytes) -> SyncError | None:
        code, message = self._said(body)
        text = f"{status} {code}: {message}"
        if status in self.profile.errors.conflicts:
            return ConflictError(text, code=code, reason_class="lock")
        return RejectedError(text, code=code, reason_class=REASONS[status]) if status in REASONS else None

    def _said(self, body: bytes) -> tuple[str, str]:
        try:
            found = msgspec.json.decode(body)
        except msgspec.DecodeError:
            found = {}
        names = self.profile.errors
        return str(dig(found, names.code) or "no_code"), str(dig(found, names.message) or excerpt(body))

    # Lists

    async def pages(
        self, kind: str, query: Query | None = None, *, is_newest_first: bool = False
    ) -> AsyncIterator[list[Document]]:
        """Pages of a resource in the order of creation, each a list of documents, to the end of the list."""
        resource, paging = self.profile.resource(kind), self.profile.paging
        order = (paging.newest_first or paging.order) if is_newest_first else paging.order
        async for body in self._walk(resource.path, resource.media, paging, {**(query or {}), **order}):
            yield body

    async def _walk(self, path: str, media: str, paging: Paging, query: Query) -> AsyncIterator[list[Document]]:
        asked = {**query, paging.size: paging.page_rows}
        position: Any = paging.first if paging.style == "page" else None
        before = 0
        for _ in range(MOST_PAGES):
            found = (await self.read(path, media=media, query=asked | _at(paging, position))).json()
            items = _list_in(found, paging.items, path)
            yield items
            if paging.style == "cursor":
                position = dig(found, paging.next)
                if not position:
                    return
            elif not items or len(items) < min(paging.page_rows, max(before, 1)):
                # Some gateways cut the page size silently: only a page below the size seen so far is the last one.
                return
            else:
                before, position = max(before, len(items)), position + 1
        raise RetryableError(f"{path}: more than {MOST_PAGES} pages; the gateway's cursor seems to go in circles")

    async def all(self, kind: str, query: Query | None = None) -> list[Document]:
        """Every document of a resource, each id once; for catalogues, not for devices."""
        found: dict[str, Document] = {}
        async for page in self.pages(kind, query):
            found |= {str(item.get("id")): item for item in page}
        return list(found.values())

    async def count(self, kind: str, query: Query | None = None) -> int | None:
        """Number of documents by the platform's own count; None where it has none."""
        resource = self.profile.resource(kind)
        return None if resource.count is None else await self._number(resource.count, query or {}, media="text/plain")

    async def _number(self, path: str, query: Query, *, media: str, headers: Query | None = None) -> int:
        answer = await self.read(path, media=media, query=query, headers=headers)
        try:
            return int(answer.body.strip().strip(b'"'))
        except ValueError:
            raise RetryableError(f"{path} answered {excerpt(answer.body)!r} where a number should be") from None

    async def listed(self, kind: str, key: str) -> bool:
        """Wait until a new document is in the lists, which lag behind; False when the patience is over."""
        wait = self.profile.index_wait
        for _ in range(wait.attempts):
            async for page in self.pages(kind, {"id": key} if self.profile.paging.style == "page" else None):
                if any(str(item.get("id")) == key for item in page):
                    return True
            await self.sleep(wait.interval_ms / 1000)
        return False

    # Catalogue

    async def names(self, kind: str) -> dict[str, str]:
        """Id -> name of every document of a resource."""
        return {str(item["id"]): self._name(item) for item in await self.all(kind)}

    def _name(self, item: Document) -> str:
        return text_of(item.get("name"), self.profile.text) or str(item["id"])

    @property
    def tells_types(self) -> bool:
        """Whether the gateway lists its attribute types; else only the names its device types use are known."""
        return "attribute_type" in self.profile.resources

    async def attribute_types(self) -> dict[str, AttributeType]:
        """Attribute types by name, read once; of a gateway without types, the names its device types speak of."""
        if self._types is None:
            if self.tells_types:
                found = await self.all("attribute_type")
                types = [AttributeType(self._name(one), str(one["id"]), one.get("type"), one.get("isActive") is True)
                         for one in found]  # fmt: skip
            else:
                templates = await self.all("device_template")
                fields = self.profile.template.fields
                names = {name for one in templates for name in picked(one, fields, "attributes") or ()}
                types = [AttributeType(name) for name in sorted(names)]
            # Of two types with one name the active one counts.
            self._types = {one.name: one for one in sorted(types, key=lambda one: one.is_active)}
        return self._types

    async def types_by_id(self) -> dict[str, AttributeType]:
        """Attribute types by id; empty where values come by name."""
        return {one.id: one for one in (await self.attribute_types()).values() if one.id}

    async def streams(self) -> dict[str, str]:
        """Id -> name of the streams. Their documents hold secrets and are not given away."""
        return await self.names("stream")

    async def event_sources(self) -> list[Document]:
        """Event sources as the platform describes them."""
        return await self.all("event_source")

    # Devices

    async def devices(self, query: Query | None = None, **options: Any) -> AsyncIterator[list[Device]]:
        """Pages of devices. query: our names of filters (tag, template_id, serial) -> value."""
        types = await self.types_by_id()
        async for page in self.pages("device", self.device_filter(query or {}), **options):
            yield [device_of(item, self.profile, types) for item in page]

    def device_filter(self, query: Query) -> dict[str, Any]:
        """Filters as this gateway spells them; a serial number is a tag where it has no filter of its own."""
        found: dict[str, Any] = {}
        legal = self.profile.device.filters
        for name, value in query.items():
            if name == "serial" and "serial" not in legal:
                name = "tag"
                value = [f"serial:{one}" for one in value] if isinstance(value, list) else f"serial:{value}"
            if name not in legal:
                raise ConfigurationError(f"devices cannot be filtered by {name!r} here; legal: {', '.join(legal)}")
            found[legal[name]] = value
        return found

    async def device(self, key: str) -> Device | None:
        """A device by id, with the version a write needs; None when there is none."""
        resource, write = self.profile.resource("device"), self.profile.device.write
        try:
            answer = await self.read(f"{resource.path}/{quote(key, safe='')}", media=resource.media)
        except RejectedError:
            return None
        version = answer.headers.get(write.version_header) if write.style == "if_match" else None
        return device_of(answer.json(), self.profile, await self.types_by_id(), version=version)

    async def by_serial(self, serials: list[str]) -> dict[str, list[Device]]:
        """Devices by serial number; several where the platform has several, an empty list where it has none."""
        found: dict[str, list[Device]] = {serial: [] for serial in serials}
        step = 20 if self.profile.device.several else 1
        for start in range(0, len(serials), step):
            part = serials[start : start + step]
            async for page in self.devices({"serial": part if step > 1 else part[0]}):
                for device in page:
                    for serial in {tag.removeprefix("serial:") for tag in device.tags if tag.startswith("serial:")}:
                        if serial in found and device not in found[serial]:
                            found[serial].append(device)
        return found

    # Events

    def _window(self, start_ms: int, end_ms: int) -> dict[str, Any]:
        spec = self.profile.events
        return {spec.start: written_moment(start_ms, spec.times), spec.end: written_moment(end_ms, spec.times)}

    async def count_events(self, start_ms: int, end_ms: int, *, query: Query | None = None) -> int:
        """Events of [start, end) by the platform's count; where it has none, by walking the window."""
        spec = self.profile.events
        if spec.count is None:
            found = 0
            async for items in self.event_pages(start_ms, end_ms, query=query):
                found += len(items)
            return found
        asked = {**self._window(start_ms, end_ms), **(query or {})}
        return await self._number(spec.count, asked, media=spec.media, headers=self._search_headers())

    def _search_headers(self) -> dict[str, str]:
        kind = self.profile.events.content_type
        return {"Content-Type": kind} if kind else {}

    async def event_pages(
        self, start_ms: int, end_ms: int, *, query: Query | None = None
    ) -> AsyncIterator[list[Document]]:
        """Pages of the events of [start, end), as they came."""
        spec = self.profile.events
        asked = {**self._window(start_ms, end_ms), **(query or {})}
        if spec.paging != "none":
            paging = msgspec.structs.replace(
                self.profile.paging, style=spec.paging, page_rows=spec.page_rows, items=spec.items
            )
            async for items in self._walk(spec.path, spec.media, paging, asked):
                yield items
            return
        answer = await self.read(spec.path, media=spec.media, query=asked, headers=self._search_headers())
        yield _list_in(answer.json(), spec.items, spec.path)


def _at(paging: Paging, position: Any) -> dict[str, Any]:
    return {} if position is None else {paging.position: position}


def _list_in(found: Any, paths: tuple[str, ...], path: str) -> list[Document]:
    items = next((value for place in paths if isinstance(value := dig(found, place), list)), None)
    if items is None:
        places = ", ".join(repr(place) for place in paths)
        raise ConfigurationError(f"{path}: no list in the answer at {places}; correct `items` in the profile")
    if not all(isinstance(item, dict) for item in items):
        raise ConfigurationError(f"{path}: the list holds something else than objects; correct `items` in the profile")
    return items


def _unknown_id(status: int, body: bytes) -> SyncError | None:
    return RejectedError(f"404: {excerpt(body)}", code="not_found", reason_class="reference") if status == 404 else None
