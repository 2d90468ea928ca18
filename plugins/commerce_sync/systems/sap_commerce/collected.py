"""Rows on their way into a batch: written in large parts, each key once, the newest version.

Memory while reading: one part (``part_rows`` rows) plus 16 bytes for every row read (a 64-bit hash of its key
and its modified time); sorting these at the end takes about 40 bytes a row for a moment. Two different keys
with one hash (a chance of 3 in a million for ten million rows) would count as one, which the row count then
finds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from commerce_sync.batches import BatchWriter, Part
from commerce_sync.errors import ConfigurationError

IDENTITY = "integrationKey"
Ints = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, slots=True)
class Rows:
    """A table with, per row, the hash of its key and its modified time in microseconds since 1970."""

    table: pa.Table
    hashes: Ints
    modified: Ints
    has_times: bool = True


def identify(table: pa.Table, *, modified: str | None, columns: Sequence[str]) -> Rows:
    """Rows of a page: ``columns`` of it, identified by integrationKey, which every entity has and none shares.

    Raises ConfigurationError when a modified time is null.
    """
    hashes = np.fromiter(map(hash, table.column(IDENTITY).to_pylist()), np.int64, table.num_rows)
    kept = table.select(list(columns))
    if modified is None:
        return Rows(kept, hashes, np.zeros(table.num_rows, np.int64), has_times=False)
    if nulls := table.column(modified).null_count:
        raise ConfigurationError(f"column {modified!r} is null in {nulls} rows of a page; it cannot be read by changes")
    times = pc.cast(table.column(modified), pa.timestamp("us", tz=table.schema.field(modified).type.tz))
    return Rows(kept, hashes, times.cast(pa.int64()).to_numpy())


class Collected:
    """Collects the rows of one extract into a batch."""

    def __init__(self, into: BatchWriter, *, empty: pa.Table, part_rows: int) -> None:
        self._into = into
        self._empty = empty
        self._part_rows = part_rows
        self._waiting: list[Rows] = []
        self._waiting_rows = 0
        self._written: list[tuple[Part, Ints, Ints]] = []
        self.rows = 0
        self.superseded = 0
        self.newest: int | None = None

    def add(self, rows: Rows, *, seen: dict[int, int]) -> int:
        """Take the rows whose version ``seen`` (key hash -> modified) does not hold; returns their number."""
        versions = zip(rows.hashes.tolist(), rows.modified.tolist(), strict=True)
        fresh = np.fromiter((seen.get(key) != time for key, time in versions), np.bool_, rows.table.num_rows)
        seen.update(zip(rows.hashes.tolist(), rows.modified.tolist(), strict=True))
        if not fresh.all():
            rows = Rows(rows.table.filter(pa.array(fresh)), rows.hashes[fresh], rows.modified[fresh], rows.has_times)
        if rows.table.num_rows:
            self._waiting.append(rows)
            self._waiting_rows += rows.table.num_rows
            self.rows += rows.table.num_rows
            if rows.has_times:
                self.newest = max(self.newest or 0, int(rows.modified.max()))
        if self._waiting_rows >= self._part_rows:
            self._flush()
        return len(rows.hashes)

    def _flush(self) -> None:
        if not self._waiting:
            return
        self._into.add(pa.concat_tables([rows.table for rows in self._waiting]).combine_chunks())
        hashes = np.concatenate([rows.hashes for rows in self._waiting])
        modified = np.concatenate([rows.modified for rows in self._waiting])
        self._written.append((self._into.parts[-1], hashes, modified))
        self._waiting, self._waiting_rows = [], 0

    def finish(self) -> int:
        """Write what waits, take out superseded versions, return the number of distinct keys."""
        self._flush()
        if not self._written:
            self._into.add(self._empty)
            return 0
        ordered = np.concatenate([hashes for _, hashes, _ in self._written])
        # Sorted in place: np.unique builds a hash set of about 40 bytes a row.
        ordered.sort()
        if (ordered[1:] == ordered[:-1]).any():
            self._keep_newest(np.concatenate([hashes for _, hashes, _ in self._written]))
        return self.rows - self.superseded

    def _keep_newest(self, hashes: Ints) -> None:
        modified = np.concatenate([modified for _, _, modified in self._written])
        order = np.lexsort((np.arange(len(hashes)), modified, hashes))
        is_last = np.append(hashes[order][1:] != hashes[order][:-1], True)
        keep = np.zeros(len(hashes), np.bool_)
        keep[order[is_last]] = True
        self.superseded = int((~keep).sum())
        start = 0
        for part, part_hashes, _ in self._written:
            mask = keep[start : start + len(part_hashes)]
            start += len(part_hashes)
            if not mask.all():
                self._rewrite(part, mask)

    def _rewrite(self, part: Part, mask: np.ndarray[Any, np.dtype[np.bool_]]) -> None:
        fs, path = fsspec.core.url_to_fs(f"{self._into.uri}/{part.name}")
        with fs.open(path, "rb") as source:
            table = pq.read_table(source)
        # A part that is not in the manifest does not exist: take the old one out, add what is left of it.
        self._into.parts.remove(part)
        self._into.add(table.filter(pa.array(mask)))
        fs.rm(path)
