"""Records on their way into a batch: written in large parts, each record once, its newest version.

Memory while reading: one part, and 26 bytes for every record read (its id and its modified time).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from commerce_sync.batches import BatchWriter, Part
from commerce_sync.errors import ConfigurationError

Ids = np.ndarray[Any, np.dtype[np.bytes_]]
Times = np.ndarray[Any, np.dtype[np.int64]]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _Written:
    part: Part
    ids: Ids
    times: Times


class Collected:
    """Collects the records of one extract.   modified: column of the modified time, None when there is none."""

    def __init__(self, into: BatchWriter, *, schema: pa.Schema, modified: str | None, part_rows: int) -> None:
        self._into = into
        self._schema = schema
        self._modified = modified
        self._part_rows = part_rows
        self._waiting: list[tuple[pa.Table, Ids, Times]] = []
        self._waiting_rows = 0
        self._written: list[_Written] = []
        self._newest: int | None = None
        self.read = 0
        self.superseded = 0

    @property
    def high_water(self) -> datetime | None:
        """The newest modified time seen."""
        return None if self._newest is None else _EPOCH + timedelta(microseconds=self._newest)

    def add(self, table: pa.Table, ids: Sequence[str]) -> None:
        """Take the records of a page with their ids."""
        if not table.num_rows:
            return
        times = self._times(table)
        if self._modified is not None:
            self._newest = max(int(times.max()), self._newest if self._newest is not None else int(times.max()))
        self._waiting.append((table, np.array(ids, dtype="S18"), times))
        self._waiting_rows += table.num_rows
        self.read += table.num_rows
        if self._waiting_rows >= self._part_rows:
            self._flush()

    def _times(self, table: pa.Table) -> Times:
        if self._modified is None:
            return np.zeros(table.num_rows, np.int64)
        column = table.column(self._modified)
        if nulls := column.null_count:
            raise ConfigurationError(
                f"column {self._modified!r} is null in {nulls} records of a page; records cannot be read by it: choose "
                "SystemModstamp, or exclude them with the source's filter"
            )
        microseconds = pc.cast(column, pa.timestamp("us", tz=column.type.tz))
        found: Times = microseconds.cast(pa.int64()).to_numpy()
        return found

    def _flush(self) -> None:
        if not self._waiting:
            return
        self._into.add(pa.concat_tables([table for table, _, _ in self._waiting]).combine_chunks())
        ids = np.concatenate([ids for _, ids, _ in self._waiting])
        times = np.concatenate([times for _, _, times in self._waiting])
        self._written.append(_Written(self._into.parts[-1], ids, times))
        self._waiting, self._waiting_rows = [], 0

    def finish(self) -> int:
        """Write what waits, take out superseded versions, return the number of distinct records."""
        self._flush()
        if not self._written:
            self._into.add(self._schema.empty_table())
            return 0
        ids = np.concatenate([item.ids for item in self._written])
        ordered = np.sort(ids)
        if (ordered[1:] == ordered[:-1]).any():
            self._keep_newest(ids)
        return self.read - self.superseded

    def _keep_newest(self, ids: Ids) -> None:
        times = np.concatenate([item.times for item in self._written])
        order = np.lexsort((np.arange(len(ids)), times, ids))
        is_last = np.append(ids[order][1:] != ids[order][:-1], True)
        keep = np.zeros(len(ids), np.bool_)
        keep[order[is_last]] = True
        self.superseded = int((~keep).sum())
        start = 0
        for item in self._written:
            mask = keep[start : start + len(item.ids)]
            start += len(item.ids)
            if not mask.all():
                self._rewrite(item.part, mask)

    def _rewrite(self, part: Part, mask: np.ndarray[Any, np.dtype[np.bool_]]) -> None:
        fs, path = fsspec.core.url_to_fs(f"{self._into.uri}/{part.name}")
        with fs.open(path, "rb") as source:
            table = pq.read_table(source)
        # A part that is not in the manifest does not exist: take the old one out, add what is left of it.
        self._into.parts.remove(part)
        self._into.add(table.filter(pa.array(mask)))
        fs.rm(path)
