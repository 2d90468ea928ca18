"""The edge that forgotten records do not cross: what a source gives is written without them.

A row that is about a forgotten record (its key, the key of its leg, or its owner is a name of it) is not stored and
counts as filtered; one that mentions it is stored without the person (see ``forget_rows``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from commerce_sync import forget_rows
from commerce_sync.batches import BatchWriter, Part
from commerce_sync.ledger import Ledger
from commerce_sync.ledger.tombstones_marks import Marks
from commerce_sync.mapping import Mapping, Source

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

FORGOTTEN = "forgotten"
"""Fact of an extract: how many rows were left out because they are about a forgotten record."""
WHOSE = ("_whose_0", "_whose_1", "_whose_2")
CHUNK_ROWS = 65_536


def marks_of(ledger: Ledger, mapping: Mapping, source: Source | None = None) -> Marks:
    """What recognises forgotten records in a leg, or in one of its sources."""
    systems = [f"system:{source.system}"] if source else [f"system:{item.system}" for item in mapping.sources]
    return ledger.marks(*systems, f"leg:{mapping.leg}")


def edge(ledger: Ledger, mapping: Mapping, source: Source, into: BatchWriter) -> BatchWriter | Edge:
    """Where a source writes; ``into`` itself as long as nothing was forgotten."""
    marks = marks_of(ledger, mapping, source)
    return Edge(into, marks, mapping, source) if marks else into


class Edge(BatchWriter):
    """A batch that takes no forgotten record. Rows keep their places until ``finish``: sources count them."""

    def __init__(self, into: BatchWriter, marks: Marks, mapping: Mapping, source: Source) -> None:
        super().__init__(into._fs, into.uri)
        self.parts, self.facts = into.parts, into.facts
        self._marks = marks
        self._whose = [source.key, source.owner, mapping.key if mapping.aggregate is None else None]
        self._blanks = False

    def add(self, table: pa.Table) -> None:
        """Append an Arrow table as one part, without what must not be kept."""
        judged = forget_rows.judge(self._with_owners(table), self._marks, keys=WHOSE)
        self._blanks |= bool(judged.about.any())
        super().add(forget_rows.blanked(table, self._marks, judged))

    def copy(self, con: duckdb.DuckDBPyConnection, query: str) -> int:
        """Append the rows of ``query``, without what must not be kept; returns how many there were."""
        import pyarrow as pa

        rows = 0
        reader: Any = con.sql(query).to_arrow_reader(CHUNK_ROWS)
        for batch in reader:
            rows += batch.num_rows
            self.add(pa.Table.from_batches([batch]))
        return rows

    def finish(self) -> int:
        """Take the empty places out; gives how many rows were left out. Nothing else may be added."""
        if not self._blanks:
            return 0
        before = sum(part.rows for part in self.parts)
        for part in list(self.parts):
            self._fill(part)
        return before - sum(part.rows for part in self.parts)

    def _fill(self, part: Part) -> None:
        import pyarrow.parquet as pq

        with self._fs.open(f"{self.uri}/{part.name}", "rb") as source:
            table = pq.read_table(source)
        kept = forget_rows.filled(table)
        if kept.num_rows < table.num_rows:
            self.parts.remove(part)
            super().add(kept)
            self._fs.rm(f"{self.uri}/{part.name}")

    def _with_owners(self, table: pa.Table) -> pa.Table:
        """The table with whom each row belongs to, as the mapping says it."""
        import duckdb

        named: dict[str, str] = {name: text for name, text in zip(WHOSE, self._whose, strict=True) if text}
        with duckdb.connect(config={"threads": 1}) as con:
            con.execute("SET TimeZone = 'UTC'")
            con.register("rows", table)
            columns = ", ".join(f"CAST({_sql(name, sql)} AS VARCHAR) AS {name}" for name, sql in named.items())
            found: Any = con.sql(f"SELECT {columns} FROM rows").to_arrow_table()
        for name in named:
            table = table.append_column(name, found[name])
        return table


def _sql(name: str, text: str) -> str:
    """The source's key is a column's name, the others are SQL."""
    return '"' + text.replace('"', '""') + '"' if name == WHOSE[0] else f"({text})"
