"""Media with their bytes: fetched to disk, imported by the hot folder, proved by reading back, then described by OData.

Order of a load: what is taken back goes first (links, then the Media), then the new bytes, then the other fields. A
Media that already holds the right bytes is not sent again, so that a killed load may be repeated. Bytes are streamed
from disk to disk; a fetch that was cut goes on where it stood. A row is delivered when the shop holds bytes of the
right size, type and SHA-256 and has taken its other fields.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from commerce_sync.batches import Batch, BatchWriter, Part
from commerce_sync.errors import RejectedError, RetryableError
from commerce_sync.mapping import Field, Target
from commerce_sync.systems.jobs import Loaded
from commerce_sync.systems.sap_commerce import loader
from commerce_sync.systems.sap_commerce.client import SapCommerceClient
from commerce_sync.systems.sap_commerce.media_folder import HotFolder, Item, digest, pack
from commerce_sync.systems.sap_commerce.media_links import retract
from commerce_sync.systems.sap_commerce.media_options import (
    BINARY,
    Binaries,
    MediaOptions,
    check_fields,
    plain,
    plain_fields,
)
from commerce_sync.systems.sap_commerce.outcomes import LOAD_SCHEMA, refusal
from commerce_sync.systems.sap_commerce.protocol import literal

log = logging.getLogger(__name__)
KEYS_PER_REQUEST = 20
Row = dict[str, Any]
Outcome = dict[str, Any]
Identity = tuple[str, str, str]
Clients = Callable[[str], AbstractAsyncContextManager[SapCommerceClient]]
MAGIC = {
    "image/jpeg": ((0, b"\xff\xd8\xff"),),
    "image/png": ((0, b"\x89PNG\r\n\x1a\n"),),
    "image/gif": ((0, b"GIF8"),),
    "image/webp": ((0, b"RIFF"), (8, b"WEBP")),
    "application/pdf": ((0, b"%PDF-"),),
    "video/mp4": ((4, b"ftyp"),),
    "audio/wav": ((0, b"RIFF"), (8, b"WAVE")),
}
"""How files of a type begin: (offset, bytes), all of them."""


@dataclass(slots=True)
class MediaStore:
    """One load. binaries: where bytes come from.   spool: local folder for them.   sleep: injected by tests."""

    clients: Clients
    folder: HotFolder
    binaries: Binaries
    options: MediaOptions
    service: str
    entity_set: str
    spool: Path
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    failed: dict[str, Outcome] = field(default_factory=dict)
    stopped: RetryableError | None = None

    async def withdraw(self, rows: Sequence[Row]) -> None:
        """Remove every link to the media of these rows, and to containers that lose their last one."""
        gone = {row["_target_id"] for row in rows if row["_target_id"]}
        if not gone or not self.options.unlink:
            return
        try:
            async with self.clients(self.service) as client:
                gone |= await self._emptied(client, gone)
            for place in self.options.places:
                async with self.clients(place.service) as client:
                    count = await retract(client, place, gone)
                log.info("links removed: %d records of %s/%s", count, place.service, place.entity_set)
        except RejectedError as error:
            self._fail(rows, "rejected", error.code, error.reason_class, f"a link could not be removed: {error}")
        except RetryableError as error:
            self._stop(rows, error)

    async def _emptied(self, client: SapCommerceClient, gone: Collection[str]) -> set[str]:
        """Integration keys of containers all of whose media are in ``gone``."""
        held: dict[str, bool] = {}
        async for page in client.pages(self.entity_set, {"$expand": "mediaContainer"}):
            for row in page:
                container = (row.get("mediaContainer") or {}).get("integrationKey")
                if container:
                    held[container] = held.get(container, True) and row["integrationKey"] in gone
        return {container for container, is_empty in held.items() if is_empty}

    async def fill(self, rows: Sequence[Row]) -> None:
        """Bring the bytes of these rows into the shop."""
        self.spool.mkdir(parents=True, exist_ok=True)
        async with self.clients(self.service) as client:
            for part in self._parts(await self._lacking(client, rows, {})):
                await self._import(client, part)

    def _parts(self, rows: Sequence[Row]) -> Iterator[list[Row]]:
        part: list[Row] = []
        size = 0
        for row in rows:
            weight = int(row[f"{BINARY}size"] or 0)
            if part and (len(part) >= self.options.zip_rows or size + weight > self.options.zip_bytes):
                yield part
                part, size = [], 0
            part.append(row)
            size += weight
        if part:
            yield part

    async def _import(self, client: SapCommerceClient, rows: Sequence[Row]) -> None:
        items = {row["_key"]: item for row in rows if (item := await self._fetched(row)) is not None}
        fetched = [row for row in rows if row["_key"] in items]
        waiting = await self._lacking(client, fetched, items)
        for key in items.keys() - {row["_key"] for row in waiting}:  # a rendition without a checksum of its own
            items.pop(key).path.unlink(missing_ok=True)
        if not waiting:
            return
        package, md5 = await asyncio.to_thread(pack, list(items.values()), self.spool)
        try:
            await self.folder.put(package.name, package, md5=md5)
            await self._prove(client, waiting, items, package.name)
        except RetryableError as error:
            self._stop([row for row in waiting if row["_key"] not in self.failed], error)
        else:
            for item in items.values():
                item.path.unlink(missing_ok=True)
        finally:
            package.unlink(missing_ok=True)

    async def _fetched(self, row: Row) -> Item | None:
        """The row's file on local disk, proved and of the type it says; None when the row failed."""
        to = self.spool / f"{row[f'{BINARY}id']}"
        size = row[f"{BINARY}size"]
        try:
            found = await asyncio.to_thread(
                self.binaries.download, row[f"{BINARY}owner"], row[f"{BINARY}id"], to, kind=row[f"{BINARY}part"],
                expected_checksum=row[f"{BINARY}checksum"], size=int(size) if size is not None else None,
            )  # fmt: skip
        except RejectedError as error:
            self._fail([row], "rejected", error.code, error.reason_class, str(error))
            return None
        except RetryableError as error:
            self._stop([row], error)
            return None
        if fault := unlike(to, row["mime"]):
            to.unlink(missing_ok=True)
            self._fail([row], "rejected", "not_decodable", "validation", fault)
            return None
        code, version, catalog = identity(row)
        return Item(code, catalog, version, row["mime"], row["realfilename"], to, found.sha256)

    async def _prove(self, client: SapCommerceClient, rows: list[Row], items: dict[str, Item], name: str) -> None:
        """Look until the shop holds the bytes of all rows, has refused the zip, or patience is over."""
        waited = 0.0
        while True:
            refused = await self.folder.refusal(name)
            rows = await self._lacking(client, rows, items)
            if not rows:
                return
            if refused:
                self._fail(rows, "rejected", "import_refused", "validation", refused)
                return
            if waited >= self.options.patience_s:
                raise RetryableError(f"the shop has not imported {name} within {self.options.patience_s:.0f} s")
            await self.sleep(self.options.poll_s)
            waited += self.options.poll_s

    async def _lacking(self, client: SapCommerceClient, rows: Sequence[Row], items: Mapping[str, Item]) -> list[Row]:
        """The rows whose bytes the shop does not hold.   items: fetched files by row key."""
        held = await self._held(client, rows)
        return [
            row for row in rows if not await self._holds(client, held.get(identity(row)), row, items.get(row["_key"]))
        ]

    async def _held(self, client: SapCommerceClient, rows: Sequence[Row]) -> dict[Identity, Row]:
        """The shop's media with the codes of these rows."""
        codes = list(dict.fromkeys(str(row["code"]) for row in rows))
        found: dict[Identity, Row] = {}
        for start in range(0, len(codes), KEYS_PER_REQUEST):
            where = " or ".join(f"code eq {literal(code)}" for code in codes[start : start + KEYS_PER_REQUEST])
            query: dict[str, str | int | None] = {"$filter": where, "$expand": "catalogVersion/catalog"}
            async for page in client.pages(self.entity_set, query):
                for row in page:
                    home = row["catalogVersion"]
                    found[(row["code"], home["version"], home["catalog"]["id"])] = row
        return found

    async def _holds(self, client: SapCommerceClient, held: Row | None, row: Row, item: Item | None = None) -> bool:
        """Whether a Media of the shop holds the row's bytes.   item: the fetched file, when there is one."""
        size = item.path.stat().st_size if item else row[f"{BINARY}size"]
        if held is None or not held.get("url") or held.get("mime") != row["mime"]:
            return False
        if size is None or str(held.get("size")) != str(int(size)):
            return False
        expected = item.sha256 if item else row[f"{BINARY}checksum"]
        if self.options.proof == "size":
            return True
        return expected is not None and await self._digest(client, str(held["url"]), expected)

    async def _digest(self, client: SapCommerceClient, url: str, expected: str) -> bool:
        """Whether the bytes behind a Media's address have this MD5 or SHA-256."""
        copy = self.spool / f"proof-{uuid.uuid4().hex}"
        try:
            await client.download(url, copy)
            algorithm = "sha256" if len(expected) == 64 else "md5"
            return (await asyncio.to_thread(digest, copy, algorithm)).hex() == expected.lower()
        except RejectedError:
            return False
        finally:
            copy.unlink(missing_ok=True)

    def _fail(self, rows: Sequence[Row], outcome: str, code: str, reason_class: str, reason: str) -> None:
        for row in rows:
            self.failed[row["_key"]] = refusal(outcome, code, reason_class, reason, "")

    def _stop(self, rows: Sequence[Row], error: RetryableError) -> None:
        self.stopped = error
        self._fail(rows, "unprocessed", "unprocessed", "transient", str(error))


def identity(row: Row) -> Identity:
    """Code, catalog version and catalog of a row."""
    return str(row["code"]), str(row["catalogVersion.version"]), str(row["catalogVersion.catalog.id"])


def unlike(path: Path, mime: str) -> str | None:
    """Why a file cannot be of a type, None when it begins as such files do. A type that is not known is refused."""
    if mime not in MAGIC:
        return f"{path.name} is {mime}, which is not known; known: {', '.join(MAGIC)}"
    with path.open("rb") as source:
        head = source.read(16)
    begins = all(head[at : at + len(magic)] == magic for at, magic in MAGIC[mime])
    return None if begins and head else f"{path.name} does not begin like {mime}: it cannot be decoded as such"


async def load(
    store: MediaStore, target: Target, fields: Sequence[Field], changes: Batch, *, into: BatchWriter
) -> Loaded:
    """Write the media and one outcome per row into ``into``.

    Raises ConfigurationError for wrong options, RetryableError when nothing got through because something was down.
    """
    check_fields(fields)
    table = _read(changes)
    columns = ["_key", "_kind", "_target_id", *(item.name for item in fields)]
    rows: list[Row] = table.select(columns).to_pylist()
    done = [0, 0, 0]
    for kinds, work in ((("DELETED",), store.withdraw), (("NEW", "MODIFIED"), store.fill)):
        chosen = [row for row in rows if row["_kind"] in kinds]
        if not chosen:
            continue
        await work(chosen)
        fit = [row["_key"] for row in chosen if row["_key"] not in store.failed]
        if fit:
            found = await _describe(store, target, fields, table, fit, into=into)
            done = [done[0] + found.delivered, done[1] + found.rejected, done[2] + found.unprocessed]
    if store.stopped and not done[0]:
        raise store.stopped
    outcomes = [{"_key": key, **outcome} for key, outcome in store.failed.items()]
    into.add(pa.Table.from_pylist(outcomes, schema=LOAD_SCHEMA))
    rejected = sum(row["outcome"] == "rejected" for row in outcomes)
    return Loaded(done[0], done[1] + rejected, done[2] + len(outcomes) - rejected)


def _read(changes: Batch) -> pa.Table:
    tables = []
    for path in changes.paths():
        with fsspec.open(path, "rb") as source:
            tables.append(pq.read_table(source))
    return pa.concat_tables(tables)


async def _describe(
    store: MediaStore, target: Target, fields: Sequence[Field], table: pa.Table, keys: Sequence[str], *,
    into: BatchWriter,
) -> Loaded:  # fmt: skip
    """The other fields of these rows, or their deletion, as any SAP target is written."""
    part = table.filter(pc.is_in(table["_key"], value_set=pa.array(keys, pa.string())))
    part = part.select([name for name in part.column_names if not name.startswith(BINARY)])
    store.spool.mkdir(parents=True, exist_ok=True)
    name = f"rows-{uuid.uuid4().hex}.parquet"
    path = store.spool / name
    try:
        pq.write_table(part, path)
        batch = Batch(str(store.spool), part.num_rows, path.stat().st_size, (Part(name, part.num_rows, 0),))
        async with store.clients(store.service) as client:
            return await loader.load(client, plain(target), plain_fields(fields), batch, into=into)
    finally:
        path.unlink(missing_ok=True)
