"""Signed addresses that expire, public ones that do not, and the bytes behind both; uploads too.

Signed: ``/storage/{kind}/{id}/{name}?expires=<seconds since 1970>&signature=<hmac>``. An expired or forged one
answers XML, as object storages do. Source: fact sheet sections 11 and 17.7; the lifetime is not documented.
"""

from __future__ import annotations

import hashlib
import hmac
import mimetypes
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

from aiohttp import web

from simulators.clock import Clock
from simulators.faults import Faults
from simulators.iconik import media
from simulators.iconik.store import Row, Store

KINDS = ("files", "proxies", "keyframes")
STANDING = {"truncate_download", "corrupt_download"}
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_SECRET = b"simulated storage"


@dataclass(slots=True)
class Links:
    """Makes addresses and serves them."""

    store: Store
    clock: Clock
    settings: Row
    faults: Faults
    epoch: int = field(default=0)

    def expire_all(self, _spec: Any = None) -> None:
        """Every signed address given out so far stops working."""
        self.epoch += 1

    def signed(self, base: str, kind: str, row: Row, *, disposition: str | None = None) -> str:
        expires = int(self.clock.timestamp() + float(self.settings["signed_url_ttl_s"]))
        query = {"expires": str(expires)} | ({"disposition": disposition} if disposition else {})
        path = _path(kind, row)
        return f"{base}{path}?{urlencode(query | {'signature': self._signature('GET', path, query)})}"

    def public(self, base: str, kind: str, row: Row) -> str:
        return f"{base}{_path(kind, row).replace('/storage/', '/public/', 1)}"

    def upload(self, base: str, kind: str, row: Row) -> str:
        expires = int(self.clock.timestamp() + float(self.settings["signed_url_ttl_s"]))
        query, path = {"expires": str(expires)}, _path(kind, row).replace("/storage/", "/upload/", 1)
        return f"{base}{path}?{urlencode(query | {'signature': self._signature('PUT', path, query)})}"

    def _signature(self, method: str, path: str, query: Row) -> str:
        text = f"{self.epoch} {method} {path} {sorted(query.items())}"
        return hmac.new(_SECRET, text.encode(), hashlib.sha256).hexdigest()

    def _refusal(self, request: web.Request, method: str) -> web.Response | None:
        query = {name: value for name, value in request.query.items() if name != "signature"}
        given = request.query.get("signature", "").encode("utf-8", "replace")
        right = self._signature(method, request.rel_url.raw_path, query)
        if not hmac.compare_digest(given, right.encode()):
            return _xml(int(self.settings["expired_url_status"]), "SignatureDoesNotMatch", "Access denied.")
        if not query.get("expires", "").isdigit() or int(query["expires"]) < self.clock.timestamp():
            return _xml(int(self.settings["expired_url_status"]), "ExpiredToken", "The provided token has expired.")
        return None

    # --- HTTP --------------------------------------------------------------------------------------

    def add_routes(self, app: web.Application) -> None:
        place = "/{kind:files|proxies|keyframes}/{id}/{name}"
        app.router.add_get("/storage" + place, self.download)
        app.router.add_get("/public" + place, self.open_download)
        app.router.add_put("/upload" + place, self.take)
        app.router.add_post("/upload" + place, self.start_upload)

    async def download(self, request: web.Request) -> web.StreamResponse:
        return self._refusal(request, "GET") or self._serve(request)

    async def open_download(self, request: web.Request) -> web.StreamResponse:
        row = self.store.get(request.match_info["kind"], request.match_info["id"])
        if row is None or not row.get("is_public"):
            return _xml(403, "AccessDenied", "Access denied.")
        return self._serve(request)

    async def start_upload(self, request: web.Request) -> web.StreamResponse:
        """A resumable upload: ``x-goog-resumable: start`` gives the address to PUT to."""
        if refusal := self._refusal(request, "PUT"):
            return refusal
        location = f"{request.scheme}://{request.host}{request.rel_url}"
        return web.Response(status=201, headers={"Location": location, "X-GUploader-UploadID": self.store.new_id()})

    async def take(self, request: web.Request) -> web.StreamResponse:
        if refusal := self._refusal(request, "PUT"):
            return refusal
        kind, key = request.match_info["kind"], request.match_info["id"]
        row, data = self.store.get(kind, key), await request.read()
        if row is None:
            return _xml(404, "NoSuchKey", "The specified key does not exist.")
        self.store.keep_blob(key, data)
        return web.Response(status=200, headers={"ETag": f'"{media.checksum(data)}"'})

    def _serve(self, request: web.Request) -> web.StreamResponse:
        kind, key = request.match_info["kind"], request.match_info["id"]
        row = self.store.get(kind, key)
        data = media.content(self.store, row) if row else None
        if row is None or data is None or row.get("status") != "CLOSED":
            return _xml(404, "NoSuchKey", "The specified key does not exist.")
        headers = {"Accept-Ranges": "bytes", "ETag": f'"{media.checksum(data)}"', "Content-Encoding": "identity"}
        headers["Content-Type"] = mimetypes.guess_type(name_of(row))[0] or "application/octet-stream"
        if request.query.get("disposition", "").startswith("attachment"):
            headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(name_of(row), safe='')}"
        status, data = _ranged(request.headers.get("Range", ""), data, headers)
        return self._spoiled(request, status, data, headers)

    def _spoiled(self, request: web.Request, status: int, data: bytes, headers: dict[str, str]) -> web.StreamResponse:
        for rule in self.faults.active("corrupt_download"):
            if _meant(rule.path, request) and rule.spend():
                data = bytes([data[0] ^ 0xFF]) + data[1:] if data else data
        for rule in self.faults.active("truncate_download"):
            if _meant(rule.path, request) and rule.spend():
                return _Truncated(data, status=status, headers=headers)
        return web.Response(status=status, body=data, headers=headers)


class _Truncated(web.Response):
    """Announces the whole length and closes the connection after half of it."""

    def __init__(self, data: bytes, *, status: int, headers: dict[str, str]) -> None:
        super().__init__(status=status, headers={**headers, "Content-Length": str(len(data))}, body=data)
        self._half = data[: len(data) // 2]

    async def write_eof(self, data: bytes = b"") -> None:
        if self._payload_writer is not None:
            await self._payload_writer.write(self._half)
        if self._req is not None and self._req.transport is not None:
            self._req.transport.close()


def name_of(row: Row) -> str:
    return str(row.get("name") or row.get("filename") or row["id"])


def _path(kind: str, row: Row) -> str:
    return f"/storage/{kind}/{row['id']}/{quote(name_of(row).replace('/', '_'), safe='')}"


def _meant(pattern: re.Pattern[str] | None, request: web.Request) -> bool:
    return pattern is None or pattern.search(request.path_qs) is not None


def _ranged(asked: str, data: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
    """One byte range, or all of it; what cannot be satisfied is 416."""
    found = _RANGE.fullmatch(asked.strip())
    if found is None or found.groups() == ("", ""):
        return 200, data
    first, last = found.groups()
    start = int(first) if first else max(len(data) - int(last), 0)
    end = min(int(last), len(data) - 1) if first and last else len(data) - 1
    if start >= len(data) or end < start:
        headers["Content-Range"] = f"bytes */{len(data)}"
        return 416, b""
    headers["Content-Range"] = f"bytes {start}-{end}/{len(data)}"
    return 206, data[start : end + 1]


def _xml(status: int, code: str, message: str) -> web.Response:
    text = f"<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return web.Response(status=status, text=text, content_type="application/xml")
