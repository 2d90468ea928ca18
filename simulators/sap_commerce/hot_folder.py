"""The cloud hot folder: a blob container beside the shop, from which zips of ImpEx and media files are imported.

Blobs follow the Blob service's REST form (Put Blob, HEAD, GET, DELETE, a shared access signature in the query). A zip
in ``master/hotfolder`` is imported and moved to ``archive``, or to ``error`` when a row was refused; the other rows
stay. Understood: INSERT_UPDATE blocks, for Media also a column ``@media[translator=...MediaDataTranslator]`` that names
an entry of the zip. What a Media holds is served at its ``url``. Blobs and media bytes live in memory only.
Source: fact sheet section on Media (binaries do not go through OData), CX Works on cloud hot folders.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import zipfile
from typing import Any

from aiohttp import web

from simulators.sap_commerce.impex import Column, _header, _value
from simulators.sap_commerce.records import Records
from simulators.sap_commerce.store import Store

CONTAINER, INTAKE = "hybris", "master/hotfolder"
SIGNATURE = "simulated"
TRANSLATOR = "MediaDataTranslator"


class HotFolder:
    """Blobs by path, and what the media of the shop hold by pk."""

    def __init__(self, store: Store, settings: dict[str, Any]) -> None:
        self._store, self._settings = store, settings
        self._records = Records(store)
        self.blobs: dict[str, bytes] = {}
        self.held: dict[int, bytes] = {}

    def add_routes(self, app: web.Application) -> None:
        app.router.add_route("*", f"/{CONTAINER}/{{path:.+}}", self.handle)
        app.router.add_get("/medias/{name:.+}", self.serve)

    def clear(self) -> None:
        self.blobs.clear()
        self.held.clear()

    async def handle(self, request: web.Request) -> web.Response:
        """One call on one blob."""
        if request.query.get("sig") != SIGNATURE:
            return _refused(403, "AuthenticationFailed")
        self.work()
        path = request.match_info["path"]
        if request.method == "PUT":
            return self._put(path, request.headers, await request.read())
        if path not in self.blobs:
            return _refused(404, "BlobNotFound")
        if request.method == "DELETE":
            del self.blobs[path]
            return web.Response(status=202)
        return web.Response(body=self.blobs[path], content_type="application/octet-stream")

    def _put(self, path: str, headers: Any, body: bytes) -> web.Response:
        if headers.get("x-ms-blob-type") != "BlockBlob":
            return _refused(400, "MissingRequiredHeader")
        digest = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
        if headers.get("Content-MD5") not in (None, digest):
            return _refused(400, "Md5Mismatch")
        self.blobs[path] = body
        self.work()
        return web.Response(status=201, headers={"Content-MD5": digest})

    def work(self) -> None:
        """Import what lies in the intake, unless the folder stands still."""
        waiting = [path for path in self.blobs if path.rpartition("/")[0] == INTAKE and path.endswith(".zip")]
        if self._settings["hot_folder"] == "hold":
            return
        for path in sorted(waiting):
            body, name = self.blobs.pop(path), path.rpartition("/")[2]
            faults = self._import(body) if self._settings["hot_folder"] == "import" else ["the import was told to fail"]
            self.blobs[f"{INTAKE}/{'error' if faults else 'archive'}/{name}"] = body
            if faults:
                self.blobs[f"{INTAKE}/error/{name}.log"] = "\n".join(faults).encode()

    def _import(self, body: bytes) -> list[str]:
        try:
            with zipfile.ZipFile(io.BytesIO(body)) as pack:
                names = sorted(name for name in pack.namelist() if name.endswith(".impex"))
                return [fault for name in names for fault in self._run(pack, pack.read(name).decode())]
        except (zipfile.BadZipFile, UnicodeError) as error:
            return [str(error)]

    def _run(self, pack: zipfile.ZipFile, text: str) -> list[str]:
        """Import an ImpEx text; one sentence per refused row."""
        code, columns, faults = "", [], []  # type: tuple[str, list[Column], list[str]]
        for line in text.splitlines():
            if not line.strip() or line.startswith("#"):
                continue
            try:
                if line.startswith(";"):
                    with self._store.transaction():
                        self._row(pack, code, columns, next(csv.reader([line], delimiter=";"))[1:])
                else:
                    code, columns = _header(line.strip())
            except (ValueError, LookupError) as error:
                faults.append(f"{line[:120]}: {error}")
        return faults

    def _row(self, pack: zipfile.ZipFile, code: str, columns: list[Column], cells: list[str]) -> None:
        item_type, row, data = self._records.type(code), {}, None
        for column, cell in zip(columns, cells, strict=False):
            if column.name == "@media":
                data = pack.read(cell) if cell else None
            elif cell:
                row[column.name] = _value(item_type, column, cell, records=self._records)
                attribute = item_type.attributes[column.name]
                if (
                    attribute.kind == "ref"
                    and self._records.reference(attribute.target, row[column.name], create=False) is None
                ):
                    raise ValueError(f"column {column.name}: could not resolve item for {cell}")
        pk = self._records.load(code, row)
        if data is not None:
            self.held[pk] = data
            name = self._store.value(pk, "realfilename") or self._store.value(pk, "code")
            context = base64.urlsafe_b64encode(str(pk).encode()).decode()
            self._records.load(code, row | {"size": len(data), "url": f"/medias/{name}?context={context}"})

    async def serve(self, request: web.Request) -> web.Response:
        """The bytes of a Media, for anybody."""
        try:
            pk = int(base64.urlsafe_b64decode(request.query.get("context", "")).decode())
        except ValueError:
            return web.Response(status=404)
        if pk not in self.held or not self._store.exists(pk):
            return web.Response(status=404)
        mime = self._store.value(pk, "mime") or "application/octet-stream"
        return web.Response(body=self.held[pk], content_type=mime)


def _refused(status: int, code: str) -> web.Response:
    text = f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code></Error>'
    return web.Response(status=status, text=text, content_type="application/xml")
