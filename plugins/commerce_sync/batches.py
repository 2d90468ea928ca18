"""Batches: the Parquet files one step hands to the next, at an address (leg, run, step).

A batch is a folder ``<root>/<leg>/<run>/<step>/`` with parts and a ``manifest.json`` that is written last and names
the parts: what is not in a manifest does not exist. The root is a local folder or any fsspec URL (s3://, gs://,
abfs://, memory://), so that every worker can read what another one wrote.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import fsspec

from commerce_sync.errors import BalanceError, ConfigurationError

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

LOG = logging.getLogger(__name__)
MEMORY_LIMIT = "256MB"
"""Of a step's DuckDB session; more is spilled to disk, so that a step's memory does not grow with its rows."""
MANIFEST = "manifest.json"
DIGEST_BLOCK_BYTES = 1 << 20
LONGEST_NAME = 200
PARQUET = "(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 65536)"


@dataclass(frozen=True, slots=True)
class Part:
    """One Parquet file of a batch: its name in the batch's folder, its rows, its size.

    digest: SHA-256 of its bytes when it was written; "" for a batch of an earlier release, which is not compared.
    """

    name: str
    rows: int
    size_bytes: int
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Batch:
    """A finished batch. ``facts`` are small things its writer wants the next step to know (counts, bounds)."""

    uri: str
    rows: int
    size_bytes: int
    parts: tuple[Part, ...]
    facts: dict[str, Any] = field(default_factory=dict)

    def paths(self) -> list[str]:
        """Full paths of the parts that hold rows, for DuckDB or pyarrow."""
        return [f"{self.uri}/{part.name}" for part in self.parts]

    def scan(self, *, by_name: bool = False) -> str:
        """SQL that reads the batch: ``read_parquet([...])``. Raises ConfigurationError for a batch without parts.

        by_name: the parts may have different columns; what a part does not have is null.
        """
        if not self.parts:
            raise ConfigurationError(f"batch {self.uri} has no parts to read; its writer must add at least one")
        quoted = ", ".join("'" + path.replace("'", "''") + "'" for path in self.paths())
        return f"read_parquet([{quoted}]{', union_by_name = true' if by_name else ''})"

    def altered(self) -> list[str]:
        """Names of the parts that are not, byte for byte, what their writer left.

        Raises FileNotFoundError for a part that is gone.
        """
        fs, path = fsspec.core.url_to_fs(self.uri)
        known = [part for part in self.parts if part.digest]
        return [part.name for part in known if digest_of(fs, f"{path}/{part.name}") != part.digest]

    def brief(self) -> dict[str, Any]:
        """What may travel in XCom: address and counts, never rows."""
        return {"uri": self.uri, "rows": self.rows, "bytes": self.size_bytes, "facts": self.facts}


class BatchWriter:
    """Collects the parts of one batch; made by ``Batches.write``."""

    def __init__(self, fs: fsspec.AbstractFileSystem, uri: str) -> None:
        self._fs = fs
        self.uri = uri
        self.parts: list[Part] = []
        self.facts: dict[str, Any] = {}

    def add(self, table: pa.Table) -> None:
        """Append an Arrow table as one part."""
        import pyarrow.parquet as pq

        name = self._next_name()
        with self._fs.open(f"{self.uri}/{name}", "wb") as sink:
            pq.write_table(table, sink, compression="zstd")
        self._record(name, table.num_rows)

    def copy(self, con: duckdb.DuckDBPyConnection, query: str) -> int:
        """Append the rows of ``query`` as one part without holding them in memory; returns their number.

        Raises ConfigurationError when four times the session's memory are not enough.
        """
        name = self._next_name()
        rows = _with_more_room(con, f"COPY ({query}) TO '{self.uri}/{name}' {PARQUET}")
        self._record(name, rows)
        return rows

    def _next_name(self) -> str:
        return f"part-{len(self.parts):05d}-{uuid.uuid4().hex[:8]}.parquet"

    def _record(self, name: str, rows: int) -> None:
        path = f"{self.uri}/{name}"
        self.parts.append(Part(name, rows, int(self._fs.size(path)), digest_of(self._fs, path)))


class Batches:
    """All batches below one root."""

    def __init__(self, root: str) -> None:
        # Another worker's batch is not in a listing that this process kept.
        self._fs, path = fsspec.core.url_to_fs(root, use_listings_cache=False)
        protocol = self._fs.protocol if isinstance(self._fs.protocol, str) else self._fs.protocol[0]
        self._local = protocol in ("file", "local")
        self.root = path if self._local else f"{protocol}://{path.lstrip('/')}"

    def address(self, leg: str, run: str, step: str) -> str:
        """Where the batch of a step lives."""
        return str(PurePosixPath("/")).join([self.root.rstrip("/"), safe_name(leg), safe_name(run), safe_name(step)])

    @contextmanager
    def write(self, leg: str, run: str, step: str) -> Iterator[BatchWriter]:
        """Empty the address, collect parts, publish them with the manifest when the block ends without an error."""
        uri = self.address(leg, run, step)
        if self._fs.exists(uri):
            self._fs.rm(uri, recursive=True)
        self._fs.makedirs(uri, exist_ok=True)
        writer = BatchWriter(self._fs, uri)
        yield writer
        self._publish(writer)

    @contextmanager
    def extend(self, leg: str, run: str, step: str) -> Iterator[BatchWriter]:
        """Add parts to the batch at an address, or begin one; until the block ends readers see what was there."""
        uri, found = self.address(leg, run, step), self.find(leg, run, step)
        self._fs.makedirs(uri, exist_ok=True)
        writer = BatchWriter(self._fs, uri)
        if found is not None:
            writer.parts, writer.facts = list(found.parts), dict(found.facts)
        yield writer
        self._publish(writer)

    def _publish(self, writer: BatchWriter) -> None:
        manifest = {"parts": [asdict(part) for part in writer.parts], "facts": writer.facts}
        draft = f"{writer.uri}/{MANIFEST}.{uuid.uuid4().hex[:8]}"
        with self._fs.open(draft, "w") as sink:
            json.dump(manifest, sink)
        self._fs.mv(draft, f"{writer.uri}/{MANIFEST}")

    def hand_on(self, leg: str, run: str, step: str, *, to: str) -> None:
        """Give the finished batch of a run to another run of the leg as well; without one nothing happens."""
        found = self.find(leg, run, step)
        if found is None:
            return
        with self.write(leg, to, step) as into:
            for path, part in zip(found.paths(), found.parts, strict=True):
                self._fs.copy(path, f"{into.uri}/{part.name}")
            into.parts, into.facts = list(found.parts), dict(found.facts)

    def read(self, leg: str, run: str, step: str) -> Batch:
        """The finished batch at an address. Raises ConfigurationError when there is none."""
        batch = self.find(leg, run, step)
        if batch is None:
            raise ConfigurationError(f"no finished batch at {self.address(leg, run, step)}: run step {step!r} first")
        return batch

    def find(self, leg: str, run: str, step: str) -> Batch | None:
        """The finished batch at an address, or None."""
        return self.open(self.address(leg, run, step))

    def open(self, uri: str) -> Batch | None:
        """The finished batch in a folder, or None."""
        try:
            with self._fs.open(f"{uri}/{MANIFEST}", "r") as source:
                manifest = json.load(source)
        except FileNotFoundError:
            return None
        parts = tuple(Part(**part) for part in manifest["parts"])
        size = sum(part.size_bytes for part in parts)
        return Batch(uri=uri, rows=sum(p.rows for p in parts), size_bytes=size, parts=parts, facts=manifest["facts"])

    def remove(self, uri: str) -> None:
        """Delete a folder of batches if it is there."""
        if self._fs.exists(uri):
            self._fs.rm(uri, recursive=True)

    def remove_all(self, uri: str, *, but: Sequence[str] = ()) -> int:
        """Delete the batches in a run's folder except for some steps'; gives how many went."""
        if not self._fs.exists(uri):
            return 0
        steps = [str(path).rstrip("/").rpartition("/")[2] for path in self._fs.ls(uri, detail=False)]
        gone = [step for step in steps if step not in but]
        for step in gone:
            self.remove(f"{uri}/{step}")
        if len(gone) == len(steps):
            self.remove(uri)
        return len(gone)

    def connect(self, *, memory_limit: str = "1GB", threads: int | None = None) -> duckdb.DuckDBPyConnection:
        """A DuckDB session that can read and write batches: UTC, bounded memory, spills to the working folder."""
        import duckdb

        settings: dict[str, Any] = {"memory_limit": memory_limit, "preserve_insertion_order": False}
        if threads:
            settings["threads"] = threads
        con = duckdb.connect(config=settings)
        con.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
        if not self._local:
            con.register_filesystem(self._fs)
        return con


def _with_more_room(con: duckdb.DuckDBPyConnection, statement: str) -> int:
    """Rows that a COPY wrote; what cannot be spilled (the state of large groups) may have four times the memory."""
    import duckdb

    try:
        return int(con.execute(statement).fetchall()[0][0])
    except duckdb.OutOfMemoryException:
        before = con.execute("SELECT current_setting('memory_limit')").fetchall()[0][0]
    wider = roomier(before, 4)
    LOG.warning("a step needs more memory than %s and gets up to %s; see COMMERCE_SYNC_MEMORY", before, wider)
    con.execute(f"SET memory_limit = '{wider}'")
    try:
        return int(con.execute(statement).fetchall()[0][0])
    except duckdb.OutOfMemoryException as error:
        raise ConfigurationError(
            f"a step needs more than {wider} of memory; set COMMERCE_SYNC_MEMORY (now {before}) higher where tasks run"
        ) from error


def roomier(limit: str, times: int) -> str:
    """So many times a limit like ``256MB`` or DuckDB's own ``244.1 MiB``."""
    found = re.fullmatch(r"([0-9.]+) ?([KMGT]i?B)", limit)
    if found is None:
        raise ConfigurationError(f"COMMERCE_SYNC_MEMORY is {limit!r}; give a number with MB or GB, for example 512MB")
    return f"{float(found[1]) * times:g}{found[2]}"


def refuse_altered(con: duckdb.DuckDBPyConnection, batch: Batch, *, cure: str = "run the leg again") -> None:
    """Raises BalanceError when a batch's files hold fewer, more or other bytes than were written.

    cure: what helps, for the message.
    """
    import duckdb

    try:
        found = con.execute(f"SELECT count(*) FROM {batch.scan()}").fetchall()[0][0] if batch.parts else 0
        altered = batch.altered() if found == batch.rows else []
    except (duckdb.IOException, FileNotFoundError) as error:
        raise BalanceError(f"a part of batch {batch.uri} cannot be read: {error}; {cure}") from error
    if found != batch.rows:
        raise BalanceError(f"batch {batch.uri} holds {found} rows, {batch.rows} were written; {cure}")
    if altered:
        raise BalanceError(f"batch {batch.uri}: {altered[0]} is not what was written; {cure}")


def digest_of(fs: fsspec.AbstractFileSystem, path: str) -> str:
    """SHA-256 of a file's bytes. Read back rather than taken on the way: it is the stored file that gets read."""
    found = hashlib.sha256()
    with fs.open(path, "rb") as source:
        while block := source.read(DIGEST_BLOCK_BYTES):
            found.update(block)
    return found.hexdigest()


def safe_name(text: str) -> str:
    """A folder name for any leg, run or step name; Airflow run ids contain ':' and '+'. Never ``.`` or ``..``.

    What is too long for a file system is cut, and told from others by a digest of the whole.
    """
    name = re.sub(r"[^A-Za-z0-9._-]", "_", text) if text.strip(".") else "_" * len(text)
    if len(name) <= LONGEST_NAME:
        return name
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]
    return f"{name[: LONGEST_NAME - 17]}-{digest}"
