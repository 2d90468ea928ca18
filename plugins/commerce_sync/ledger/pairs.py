"""Pairs: what the two legs of a flow both ways have agreed on, record by record and value by value.

A pair has Parquet files like a leg's markers (see ``markers``): a base and a few deltas, named by its pointer row (see
``conflicts.PairState``), which moves in the transaction of a leg's settlement. Columns:

    key, name      VARCHAR; name is what both legs call the value
    value, type    VARCHAR; its mark (see ``changes.mark``: nothing personal but the key is kept) and DuckDB type
    leg            VARCHAR; the last that sent it, null when both sides had it
    turns, since   INTEGER, TIMESTAMPTZ; how often in a row the direction changed, and from when
    settled_at     TIMESTAMPTZ
    gone           BOOLEAN; no longer agreed
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from sqlalchemy.engine import Engine

from commerce_sync.errors import BalanceError
from commerce_sync.ledger import conflicts
from commerce_sync.ledger.conflicts import PairMove, PairState
from commerce_sync.ledger.database import reading, writing
from commerce_sync.ledger.markers import COMPACTION_MEMORY, LARGEST_SHARE, MOST_DELTAS, MarkerFiles
from commerce_sync.ledger.state import RETIRED_FOR, MarkerFile

if TYPE_CHECKING:
    import duckdb

KINDS = {
    "key": "VARCHAR", "name": "VARCHAR", "value": "VARCHAR", "type": "VARCHAR", "leg": "VARCHAR", "turns": "INTEGER",
    "since": "TIMESTAMPTZ", "settled_at": "TIMESTAMPTZ",
}  # fmt: skip
COLUMNS = ", ".join(KINDS)
NOTHING = f"SELECT {', '.join(f'NULL::{kind} AS {name}' for name, kind in KINDS.items())} WHERE false"
RETIRED, TYPES = "retired", "types"
"""Descriptors with the first name a file that late readers may still hold; with the second, the types of a leg."""


class Pairs:
    """What pairs have agreed on, for one ledger."""

    _engine: Engine
    files: MarkerFiles

    def agreed_sql(self, state: PairState) -> str:
        """SQL of what is agreed, one row per key and name: key, name, value, type, leg, turns, since, settled_at."""
        return _agreed(self.files, _files(state))

    def stage_agreed(self, state: PairState, con: duckdb.DuckDBPyConnection, query: str) -> PairMove:
        """Write a delta from ``query`` (all columns) upon ``state``, unseen until a run settles it.

        Folds the deltas into a new base when they exceed 10 % of it or are more than 20.
        Raises BalanceError for a value that is there twice.
        """
        files = AgreedFiles(self.files.root)
        delta = files.stage_delta(con, pair=state.pair, query=query)
        before = _files(state)
        after = [*before, delta] if delta.rows else before
        if _is_long(after):
            after = [files.fold(state.pair, after)]
            files.sweep(_folder(state.pair), keep=_named(state), before=datetime.now(UTC) - RETIRED_FOR)
        return PairMove(state.pair, state.version, [asdict(item) for item in after] + _beside(state, kept=after))

    def declare_types(self, pair: str, *, leg: str, types: dict[str, str]) -> dict[str, dict[str, str]]:
        """Note the DuckDB types a leg gives its shared values; gives those of all legs of the pair, by leg.

        Raises RetryableError when the other leg settles at this moment.
        """
        with reading(self._engine) as connection:
            state = conflicts.pair_state(connection, pair)
        known = {item["leg"]: item[TYPES] for item in state.agreed if TYPES in item}
        if known.get(leg) != types:
            known[leg] = types
            others = [item for item in state.agreed if TYPES not in item]
            declared = others + [{"leg": name, TYPES: given} for name, given in known.items()]
            with writing(self._engine) as connection:
                conflicts.move_pair(connection, pair, version=state.version, agreed=declared)
        return known


class AgreedFiles(MarkerFiles):
    """The files of agreed values, beside the markers."""

    def stage_delta(self, con: duckdb.DuckDBPyConnection, *, pair: str, query: str) -> MarkerFile:
        """Write a delta. Raises BalanceError for a value that is there twice."""
        self.attach(con)
        casts = ", ".join(f"CAST({name} AS {kind}) AS {name}" for name, kind in KINDS.items())
        rows = f"SELECT {casts}, coalesce(gone, false) AS gone FROM ({query})"
        staged = self._write(con, leg=_folder(pair), kind="delta", query=rows)
        twice = f"SELECT key, name FROM {self.scan([staged])} GROUP BY key, name HAVING count(*) > 1 OR key IS NULL"
        if wrong := con.execute(f"{twice} LIMIT 3").fetchall():
            self.fs.rm(self.uri(staged.name))
            shown = ", ".join(f"{name} of {key!r}" for key, name in wrong)
            raise BalanceError(f"ledger: pair {pair} would agree twice on {shown}; every value may be settled once")
        return staged

    def fold(self, pair: str, files: Sequence[MarkerFile]) -> MarkerFile:
        """Write all agreed values into one new base, through its own DuckDB session with bounded memory."""
        import duckdb

        config: dict[str, Any] = {"memory_limit": COMPACTION_MEMORY, "preserve_insertion_order": False}
        with TemporaryDirectory(prefix="ledger-") as spill, closing(duckdb.connect(config=config)) as con:
            con.execute(f"SET temp_directory = '{spill}'; SET TimeZone = 'UTC'")
            self.attach(con)
            query = f"SELECT *, false AS gone FROM ({_agreed(self, files)})"
            return self._write(con, leg=_folder(pair), kind="base", query=query)


def _agreed(files: MarkerFiles, named: Sequence[MarkerFile]) -> str:
    if not named:
        return NOTHING
    parts = [f"SELECT {COLUMNS}, gone, {age} AS age FROM {files.scan([item])}" for age, item in enumerate(named)]
    # A window and not arg_max: that one skips nulls and would revive an older value.
    return f"""SELECT {COLUMNS} FROM (SELECT * FROM ({" UNION ALL ".join(parts)})
        QUALIFY row_number() OVER (PARTITION BY key, name ORDER BY age DESC) = 1) WHERE NOT gone"""


def _folder(pair: str) -> str:
    """No leg's name has a dot in it, so that a pair may be called like one of its legs."""
    return f"pair.{pair}"


def _files(state: PairState) -> list[MarkerFile]:
    """The files in force, oldest first: a later one overrides an earlier one."""
    return [MarkerFile(**item) for item in state.agreed if RETIRED not in item and TYPES not in item]


def _named(state: PairState) -> set[str]:
    return {item["name"] for item in state.agreed if "name" in item}


def _is_long(files: Sequence[MarkerFile]) -> bool:
    later = sum(item.rows for item in files[1:])
    return len(files) > 1 and (len(files) > MOST_DELTAS or later > LARGEST_SHARE * files[0].rows)


def _beside(state: PairState, *, kept: Sequence[MarkerFile]) -> list[dict[str, Any]]:
    """The other descriptors: types, files retired not long ago, and files that retire now."""
    now, names = datetime.now(UTC), {item.name for item in kept}
    young = [
        item
        for item in state.agreed
        if TYPES in item or (RETIRED in item and datetime.fromisoformat(item[RETIRED]) > now - RETIRED_FOR)
    ]
    retiring = [{"name": item.name, RETIRED: now.isoformat()} for item in _files(state) if item.name not in names]
    return young + retiring
