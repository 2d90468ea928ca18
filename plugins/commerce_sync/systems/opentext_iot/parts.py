"""Rows on their way into a batch: typed by DuckDB, each key once, written in parts.

Memory: one part, and 8 bytes for every key.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from commerce_sync.batches import BatchWriter

if TYPE_CHECKING:
    import duckdb


class Seen:
    """Ids read so far, as 64-bit hashes in sorted blocks; two ids out of ten million share one by a chance of 1e-6."""

    def __init__(self) -> None:
        self._blocks: list[np.ndarray[Any, np.dtype[np.uint64]]] = []

    def fresh(self, hashes: np.ndarray[Any, np.dtype[np.uint64]]) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Which of these come for the first time; they are remembered."""
        _, firsts = np.unique(hashes, return_index=True)
        mask = np.zeros(len(hashes), np.bool_)
        mask[firsts] = True
        for block in self._blocks:
            place = np.minimum(np.searchsorted(block, hashes), len(block) - 1)
            mask &= block[place] != hashes
        block = np.sort(hashes[mask])
        # Merging blocks of like size keeps their number small and the work n log n.
        while self._blocks and len(self._blocks[-1]) <= 2 * len(block):
            block = np.sort(np.concatenate([self._blocks.pop(), block]))
        if len(block):
            self._blocks.append(block)
        return mask


class Parts:
    """Rows on their way into a batch, in parts of a size, each key once."""

    def __init__(self, into: BatchWriter, *, key: str, part_rows: int) -> None:
        self._into, self._key, self._part_rows = into, key, part_rows
        self._waiting: list[pa.Table] = []
        self._seen = Seen()
        self.rows = 0

    def add(self, table: pa.Table, hashes: pa.Array) -> None:
        """Take the rows whose key has not come before. hashes: 64 bits of each row's key."""
        mask = self._seen.fresh(hashes.to_numpy(zero_copy_only=False))
        kept = table if mask.all() else table.filter(pa.array(mask))
        self.rows += kept.num_rows
        self._waiting.append(kept)
        if sum(item.num_rows for item in self._waiting) >= self._part_rows:
            self.flush()

    def flush(self) -> None:
        """Write what waits; the batch gets at least one part."""
        if self._waiting and (sum(item.num_rows for item in self._waiting) or not self._into.parts):
            self._into.add(pa.concat_tables(self._waiting).combine_chunks())
        self._waiting = []


@contextlib.contextmanager
def session() -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB session in UTC for the columns of one read."""
    import duckdb

    with duckdb.connect(config={"memory_limit": "256MB", "threads": 1}) as con:
        con.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
        yield con
