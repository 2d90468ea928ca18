"""An aggregate's SQL by itself, over rows given by hand: what it gives, run after run, with its memory."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import duckdb

from flows.walking import Row, mapping_of


class Aggregate:
    """The aggregate of a leg in a session of its own; tables are named like its sources."""

    def __init__(self, leg: str, *, now: datetime) -> None:
        self.mapping = mapping_of(leg)
        self.con = duckdb.connect(config={"threads": 1})
        self.con.execute("SET TimeZone = 'UTC'")
        self.con.execute("SET VARIABLE now = ?::TIMESTAMPTZ", [now.replace(tzinfo=UTC)])
        for source in self.mapping.sources:
            columns = ", ".join(f'"{name}" {kind}' for name, kind in source.columns.items())
            self.con.execute(f'CREATE TABLE "raw_{source.name}" ({columns})')
            self.con.execute(
                f'CREATE VIEW "{source.name}" AS SELECT *, CAST({source.owner} AS VARCHAR) AS _owner FROM "raw_{source.name}"'
            )
        self.forget()

    def forget(self) -> None:
        """As before the first run."""
        columns = ", ".join(f'"{name}" {kind}' for name, kind in {"owner": "VARCHAR", **self.mapping.memory}.items())
        self.con.execute(f"CREATE OR REPLACE TABLE before ({columns})")

    def fill(self, name: str, rows: Iterable[Row]) -> None:
        """Put these rows, and no others, into a source; values that are not given are null."""
        (source,) = [item for item in self.mapping.sources if item.name == name]
        self.con.execute(f'DELETE FROM "raw_{name}"')
        given = [[row.get(column) for column in source.columns] for row in rows]
        if given:
            values = ", ".join("?" for _ in source.columns)
            self.con.executemany(f'INSERT INTO "raw_{name}" VALUES ({values})', given)

    def run(self) -> list[dict[str, Any]]:
        """What it gives, which is what it remembers next time."""
        self.con.execute(f"CREATE OR REPLACE TEMP TABLE given AS {self.mapping.aggregate}")
        memory = ", ".join(f'"{name}"' for name in ("owner", *self.mapping.memory))
        self.con.execute(f"CREATE OR REPLACE TABLE before AS SELECT {memory} FROM given")
        found = self.con.execute("SELECT * FROM given")
        names = [column[0] for column in found.description or ()]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]
