"""Markers: what the target has acknowledged, as Parquet files that are never changed.

A leg has base files sorted by key and a few delta files; the pointer row says which. A file that no pointer
row names does not exist. Columns: key VARCHAR, fingerprint UBIGINT, target_id VARCHAR, gone BOOLEAN (deleted
at the target; never true in a base).
"""

from __future__ import annotations

import os
import re
import threading
import uuid
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import fsspec

from commerce_sync.errors import BalanceError, ConfigurationError
from commerce_sync.ledger.state import LegState, MarkerFile

if TYPE_CHECKING:
    import duckdb

EMPTY = "SELECT NULL::VARCHAR AS key, NULL::UBIGINT AS fingerprint, NULL::VARCHAR AS target_id WHERE false"
# Row groups of 64 Ki rows, sorted by key: a point lookup opens one group per file.
PARQUET = "(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 65536)"
COMPACTION_MEMORY = "512MB"
MOST_DELTAS = 20
LARGEST_SHARE = 0.10


class MarkerFiles:
    """The marker files below one folder or fsspec URL."""

    def __init__(self, root: str) -> None:
        self.fs, path = fsspec.core.url_to_fs(root)
        protocol = self.fs.protocol if isinstance(self.fs.protocol, str) else self.fs.protocol[0]
        self._protocol = protocol
        self.local = protocol in ("file", "local")
        self.root = (path if self.local else f"{protocol}://{path.lstrip('/')}").rstrip("/")
        self._lock = threading.Lock()
        self._session: tuple[int, duckdb.DuckDBPyConnection] | None = None

    def uri(self, name: str) -> str:
        """Full path of a file; names that are addresses already stay as they are."""
        return name if name.startswith("/") or "://" in name else f"{self.root}/{name}"

    def folder(self, leg: str) -> str:
        """Where the files of a leg live. Raises ConfigurationError for a leg name that is no folder name."""
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", leg):
            raise ConfigurationError(f"ledger: {leg!r} cannot be a leg's name; use letters, digits, '.', '_' and '-'")
        return f"{self.root}/{leg}"

    def attach(self, con: duckdb.DuckDBPyConnection) -> None:
        """Let a DuckDB session read and write here, if this is not a local folder."""
        if not self.local and not con.filesystem_is_registered(self._protocol):
            con.register_filesystem(self.fs)

    def scan(self, files: Sequence[MarkerFile]) -> str:
        """SQL that reads files of one kind."""
        paths = ", ".join("'" + self.uri(item.name).replace("'", "''") + "'" for item in files)
        return f"read_parquet([{paths}])"

    def current(self, state: LegState) -> str:
        """SQL of the markers as they are: key, fingerprint, target_id, one row per key."""
        if not state.deltas:
            return f"SELECT key, fingerprint, target_id FROM {self.scan(state.base)}" if state.base else EMPTY
        latest = self._latest(state.deltas)
        alive = f"SELECT key, fingerprint, target_id FROM ({latest}) WHERE NOT gone"
        if not state.base:
            return alive
        keys = f"SELECT key FROM {self.scan(state.deltas)}"
        base = f"SELECT key, fingerprint, target_id FROM {self.scan(state.base)}"
        return f"{base} AS base ANTI JOIN ({keys}) AS later USING (key) UNION ALL {alive}"

    def _latest(self, deltas: Sequence[MarkerFile]) -> str:
        columns = "key, fingerprint, target_id, gone"
        if len(deltas) == 1:
            return f"SELECT {columns} FROM {self.scan(deltas)}"
        parts = [f"SELECT {columns}, {number} AS age FROM {self.scan([item])}" for number, item in enumerate(deltas)]
        # A window and not arg_max(target_id, age): that one skips nulls and would revive an older target id.
        return f"""SELECT {columns} FROM ({" UNION ALL ".join(parts)})
                   QUALIFY row_number() OVER (PARTITION BY key ORDER BY age DESC) = 1"""

    def stage(self, con: duckdb.DuckDBPyConnection, *, leg: str, query: str) -> MarkerFile:
        """Write a delta from ``query`` (key, fingerprint, target_id, gone), unseen until a run settles it.

        Further columns are written as they are; markers do not know them. Raises BalanceError for a key that is null or
        there twice.
        """
        self.attach(con)
        rows = f"""SELECT * REPLACE (CAST(key AS VARCHAR) AS key, CAST(fingerprint AS UBIGINT) AS fingerprint,
                                     CAST(target_id AS VARCHAR) AS target_id,
                                     coalesce(CAST(gone AS BOOLEAN), false) AS gone)
                   FROM ({query})"""
        staged = self._write(con, leg=leg, kind="delta", query=rows)
        self._check_keys(con, staged)
        return staged

    def _write(self, con: duckdb.DuckDBPyConnection, *, leg: str, kind: str, query: str) -> MarkerFile:
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
        name = f"{leg}/{kind}-{stamp}-{uuid.uuid4().hex[:12]}.parquet"
        self.fs.makedirs(self.folder(leg), exist_ok=True)
        path = self.uri(name)
        con.execute(f"COPY (SELECT * FROM ({query}) ORDER BY key) TO '{path.replace(chr(39), chr(39) * 2)}' {PARQUET}")
        self._to_disk(path)
        measure = f"SELECT count(*), count(*) FILTER (gone) FROM {self._scan_path(path)}"
        rows, gone = con.execute(measure).fetchall()[0]
        return MarkerFile(name=name, rows=rows, gone=gone, size_bytes=int(self.fs.size(path)))

    def _scan_path(self, path: str) -> str:
        return self.scan([MarkerFile(name=path, rows=0, gone=0, size_bytes=0)])

    def _to_disk(self, path: str) -> None:
        """A pointer row must not outlive the file it names when the power fails."""
        if self.local:
            for opened in (path, os.path.dirname(path)):
                descriptor = os.open(opened, os.O_RDONLY)
                os.fsync(descriptor)
                os.close(descriptor)

    def _check_keys(self, con: duckdb.DuckDBPyConnection, staged: MarkerFile) -> None:
        scan = self.scan([staged])
        # Counting hashes takes 8 bytes a key; only when they disagree the keys themselves are looked at.
        if (
            con.execute(f"SELECT count(DISTINCT hash(key)) FROM {scan} WHERE key IS NOT NULL").fetchall()[0][0]
            == staged.rows
        ):
            return
        query = f"SELECT key, count(*) FROM {scan} GROUP BY key HAVING key IS NULL OR count(*) > 1 LIMIT 3"
        wrong = con.execute(query).fetchall()
        if wrong:
            shown = ", ".join(f"{key!r} {times} times" for key, times in wrong)
            self.fs.rm(self.uri(staged.name))
            raise BalanceError(f"ledger: {staged.name} would hold {shown}; every key may be settled once per run")

    def compact(self, state: LegState) -> MarkerFile:
        """Write all markers into one new base, through its own DuckDB session with bounded memory."""
        import duckdb

        config: dict[str, Any] = {"memory_limit": COMPACTION_MEMORY, "preserve_insertion_order": False}
        with TemporaryDirectory(prefix="ledger-") as spill, closing(duckdb.connect(config=config)) as con:
            con.execute(f"SET temp_directory = '{spill}'; SET enable_progress_bar = false")
            self.attach(con)
            query = f"SELECT *, false AS gone FROM ({self.current(state)})"
            return self._write(con, leg=state.leg, kind="base", query=query)

    def find(self, state: LegState, *, key: str) -> dict[str, Any] | None:
        """The marker of one key (also a gone one) with the run that settled it, if still known; else None."""
        import duckdb

        with closing(duckdb.connect()) as con:
            self.attach(con)
            for item in (*reversed(state.deltas), *state.base):
                query = f"SELECT key, fingerprint, target_id, gone FROM {self.scan([item])} WHERE key = ?"
                found = con.execute(query, [key]).fetchone()
                if found is not None:
                    names = ("key", "fingerprint", "target_id", "gone")
                    return dict(zip(names, found, strict=True)) | {"run": item.run}
        return None

    def find_many(
        self, states: Sequence[LegState], *, keys: Sequence[str], column: str = "key"
    ) -> list[dict[str, Any]]:
        """Markers of keys (also gone ones) in several legs, as ``find`` gives them, each with its ``leg``.

        column: ``target_id`` looks for target ids instead, which reads all markers.
        """
        order = {self.uri(item.name): (state.leg, age, item.run) for state in states
                 for age, item in enumerate((*state.base, *state.deltas))}  # fmt: skip
        if not order or not keys:
            return []
        paths = ", ".join("'" + path.replace("'", "''") + "'" for path in order)
        with self._cursor() as con:
            found = con.execute(
                f"""SELECT filename, key, fingerprint, target_id, gone
                FROM read_parquet([{paths}], filename = true, union_by_name = true)
                WHERE {column} IN ({", ".join("?" * len(keys))})""", list(keys),
            ).fetchall()  # fmt: skip
        newest: dict[tuple[str, str], tuple[int, dict[str, Any]]] = {}
        for path, key, fingerprint, target_id, gone in found:
            leg, age, run = order[path]
            row = {"leg": leg, "key": key, "fingerprint": fingerprint, "target_id": target_id, "gone": gone, "run": run}
            if newest.get((leg, key), (-1, {}))[0] < age:
                newest[leg, key] = age, row
        return [row for _age, row in newest.values()]

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        """Of a session that stays open and knows the footers it has read: files are never changed."""
        import duckdb

        with self._lock:
            if self._session is None or self._session[0] != os.getpid():
                con = duckdb.connect(config={"memory_limit": "256MB"})
                con.execute("SET parquet_metadata_cache = true")
                self.attach(con)
                self._session = os.getpid(), con
            return self._session[1].cursor()

    def sweep(self, leg: str, *, keep: set[str], before: datetime) -> int:
        """Delete files of a leg written before a moment unless ``keep`` names it or a folder above it."""
        kept = {self.uri(name) for name in keep}
        removed = 0
        for path in self._files(leg):
            if not _covers(kept, path) and self._written(path) < before:
                self.fs.rm(path)
                removed += 1
        return removed

    def _files(self, leg: str) -> list[str]:
        found = self.fs.find(self.folder(leg))
        # fsspec lists without the protocol; the names in a pointer row have it.
        return found if self.local else [f"{self._protocol}://{path.lstrip('/')}" for path in found]

    def _written(self, path: str) -> datetime:
        written: datetime = self.fs.modified(path)
        return written if written.tzinfo else written.replace(tzinfo=UTC)


def needs_compaction(state: LegState) -> bool:
    """Whether the deltas have more than 10 % of the base's rows, or are more than 20."""
    changed, settled = sum(item.rows for item in state.deltas), sum(item.rows for item in state.base)
    return len(state.deltas) > MOST_DELTAS or changed > LARGEST_SHARE * settled


def _covers(kept: set[str], path: str) -> bool:
    return path in kept or any(path.startswith(f"{name}/") for name in kept)
