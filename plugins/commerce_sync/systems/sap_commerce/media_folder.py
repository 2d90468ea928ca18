"""The shop's hot folder: zips of one ImpEx file and media, put where the shop imports them.

On SAP Commerce Cloud that is a blob container (``hybris``, below ``master/hotfolder``) written with the Blob service's
REST calls and a shared access signature; an imported zip is moved to ``archive``, a refused one to ``error``. Whether
it was imported is never read from there but from the shop's own media; ``error`` only makes a refusal known early.
Source: CX Works "Get the most out of your cloud hot folders and Azure Blob Storage"; Blob service REST, Put Blob;
ImpEx API, media translator. That the unzip channel gives the entries to the translator by name is not verified.
"""

from __future__ import annotations

import base64
import hashlib
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import parse_qsl

from commerce_sync.errors import ConfigurationError
from commerce_sync.systems.rest import FixedHeaders, RestSession, file_body
from commerce_sync.systems.trust import USUAL, Trust

VERSION = "2021-08-06"
TRANSLATOR = "de.hybris.platform.impex.jalo.media.MediaDataTranslator"
HEADER = (
    "INSERT_UPDATE Media;code[unique=true];catalogVersion(catalog(id),version)[unique=true];mime;realfilename;"
    f"@media[translator={TRANSLATOR}]"
)
UPLOAD_TIMEOUT_S = 3600.0
LOG_BYTES = 500


@dataclass(frozen=True, slots=True)
class Item:
    """One Media of a zip: what it is called in the shop, and the local file it will hold."""

    code: str
    catalog: str
    version: str
    mime: str
    name: str
    path: Path
    sha256: str


class HotFolder:
    """Use as ``async with``. session: its base URL is the container's.   signature: the shared access signature."""

    def __init__(self, session: RestSession, *, signature: str, intake: str) -> None:
        self._session = session
        self._signature = dict(parse_qsl(signature.lstrip("?")))
        self._intake = intake.strip("/")

    async def __aenter__(self) -> Self:
        await self._session.__aenter__()
        return self

    async def __aexit__(self, *cause: object) -> None:
        await self._session.__aexit__(*cause)

    async def put(self, name: str, path: Path, *, md5: bytes) -> None:
        """Upload a file from disk. The same name again is the same zip. Raises RetryableError, ConfigurationError."""
        data, headers = file_body(path)
        headers |= {"x-ms-blob-type": "BlockBlob", "Content-MD5": base64.b64encode(md5).decode()}
        await self._session.request(
            "PUT", f"{self._intake}/{name}", params=self._signature, data=data, ok=(201,), headers=headers,
            timeout_s=UPLOAD_TIMEOUT_S, route="/hotfolder(zip)",
        )  # fmt: skip

    async def refusal(self, name: str) -> str | None:
        """What the shop says of a zip it refused; None when it did not (or has not come to it)."""
        answer = await self._session.request(
            "HEAD", f"{self._intake}/error/{name}", params=self._signature, ok=(200, 404), route="/hotfolder/error(zip)"
        )
        if answer.status == 404:
            return None
        log = await self._session.request(
            "GET",
            f"{self._intake}/error/{name}.log",
            params=self._signature,
            ok=(200, 404),
            route="/hotfolder/error(log)",
        )
        text = log.body[:LOG_BYTES].decode("utf-8", "replace") if log.status == 200 else "no log was left"
        return f"the shop refused the import of {name}: {text}"


def hot_folder(address: str, signature: str, *, name: str, intake: str, trust: Trust = USUAL) -> HotFolder:
    """The folder behind a connection. address: of the container.   Raises ConfigurationError for a missing part."""
    if "://" not in address or not signature:
        raise ConfigurationError(
            f"connection {name!r} needs the container's address (https://<account>.blob.core.windows.net/hybris) as "
            "host and a shared access signature that may create, write and read as password"
        )
    session = RestSession(address, auth=FixedHeaders({"x-ms-version": VERSION}), name=name, trust=trust)
    return HotFolder(session, signature=signature, intake=intake)


def pack(items: Sequence[Item], folder: Path) -> tuple[Path, bytes]:
    """A zip of the items (stored, not compressed: media are) and its MD5; named by what it holds."""
    known = "\n".join(sorted(f"{item.code}|{item.version}|{item.catalog}|{item.sha256}" for item in items))
    path = folder / f"media-{hashlib.sha256(known.encode()).hexdigest()[:32]}.zip"
    entries = [f"{number:04d}{Path(item.name).suffix.lower()}" for number, item in enumerate(items)]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as into:
        for entry, item in zip(entries, items, strict=True):
            into.write(item.path, entry)
        into.writestr("media.impex", impex(list(zip(items, entries, strict=True))))
    return path, digest(path, "md5")


def impex(items: Sequence[tuple[Item, str]]) -> str:
    """The ImpEx text of items and their entries."""
    rows = []
    for item, entry in items:
        cells = [item.code, f"{item.catalog}:{item.version}", item.mime, item.name]
        rows.append(";".join(["", *map(_cell, cells), entry]))
    return "\n".join([HEADER, *rows, ""])


def _cell(text: str) -> str:
    """A quoted ImpEx cell; a line break would end the row."""
    return '"' + " ".join(text.split()).replace('"', '""') + '"'


def digest(path: Path, algorithm: str) -> bytes:
    """Digest of a file, read in blocks."""
    with path.open("rb") as source:
        return hashlib.file_digest(source, algorithm).digest()
