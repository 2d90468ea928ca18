"""Rows in sending order: the parts of a batch one after another; a row's place in them is its ordinal.

Nothing is copied for that: a range of ordinals is a range of rows in Parquet files, of which DuckDB reads only the
row groups and columns it needs.
"""

from __future__ import annotations

from dataclasses import dataclass

from commerce_sync.batches import Batch
from commerce_sync.systems.salesforce.cells import literal


@dataclass(frozen=True, slots=True)
class Ordered:
    """Parquet files in order, each with its number of rows."""

    parts: tuple[tuple[str, int], ...]

    @staticmethod
    def of(batch: Batch) -> Ordered:
        """The rows of a batch as they lie there; the same as long as its files are."""
        return Ordered(tuple((path, part.rows) for path, part in zip(batch.paths(), batch.parts, strict=True)))

    def scan(self, columns: str, *, first: int = 0, end: int | None = None) -> str:
        """SQL of ``columns`` and the ordinal ``n`` of the rows with ordinals in [first, end), in order."""
        selects, start = [], 0
        for path, rows in self.parts:
            stop = start + rows
            if start == 0 or (first < stop and (end is None or end > start)):
                selects.append(_select(columns, path, start, first, end))
            start = stop
        return " UNION ALL ".join(selects)


def _select(columns: str, path: str, start: int, first: int, end: int | None) -> str:
    """One file's share. The bounds are put on the bare row number: only then row groups are left out."""
    bounds = [f"file_row_number >= {first - start}"] if first > start else []
    bounds += [f"file_row_number < {end - start}"] if end is not None else []
    where = f" WHERE {' AND '.join(bounds)}" if bounds else ""
    return (
        f"SELECT {columns}, file_row_number + {start} AS n "
        f"FROM read_parquet({literal(path)}, file_row_number = true){where}"
    )
