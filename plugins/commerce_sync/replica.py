"""The replica: a keyed local copy of the sources of a leg that aggregates, and the figures computed from it.

Whole records are replaced. Touched owners are those of the new *and* of the replaced versions; only their figures are
computed again, from all of their records, so late, changed, cancelled and moved records are exact by construction.
A record that moved may leave others behind that still name its former owner (the returns of an order): until the next
complete scan reads those again, owners between whom records moved are always computed together.
A store is a list of batch addresses, oldest first: the first is the base, the others are deltas over it. Nothing here
is in force until the leg's commit moves the pointer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import md5
from typing import TYPE_CHECKING, Any

from commerce_sync.batches import Batch, Batches
from commerce_sync.binding import AS_OF, OWNER
from commerce_sync.changes import quoted
from commerce_sync.errors import ConfigurationError
from commerce_sync.mapping import Mapping, Source

if TYPE_CHECKING:
    import duckdb

FIGURES = "figures"
MOVED = "moved"
DEFINITION = "definition"
SHAPE = "shape"
COMPACT_SHARE = 0.10
COMPACT_FILES = 20

Pointer = dict[str, Any]
"""source name -> addresses; ``figures`` -> addresses; ``definition`` -> what the replica was built by; ``moved`` ->
pairs of owners between whom records moved since the last complete scan, "" standing for nobody."""


@dataclass(frozen=True, slots=True)
class Aggregated:
    """What an aggregation staged: the pointer to put in force at commit, and counts."""

    pointer: Pointer
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Replica:
    """The replica of one leg as it stands, with the session and stores to work in."""

    con: duckdb.DuckDBPyConnection
    stores: Batches
    mapping: Mapping
    pointer: Pointer

    def aggregate(self, extracts: dict[str, Batch], *, run: str, complete: bool) -> Aggregated:
        """Merge the extracts, recompute the figures of the touched owners, stage both under ``run``."""
        if self.mapping.aggregate is None:
            raise ConfigurationError(f"leg {self.mapping.leg} has no aggregate")
        pointer: Pointer = {DEFINITION: definition(self.mapping), SHAPE: _shape(self.mapping)}
        self.con.execute("CREATE OR REPLACE TEMP TABLE touched_owners (owner VARCHAR)")
        self.con.execute("CREATE OR REPLACE TEMP TABLE moved (was VARCHAR, now VARCHAR)")
        facts: dict[str, Any] = {}
        for source in self.mapping.sources:
            pointer[source.name], facts[source.name] = self._merge(source, extracts[source.name], run, complete)
        pointer[MOVED] = [] if complete else self._follow_moves()
        everything = self.pointer.get(DEFINITION) != pointer[DEFINITION]
        pointer[FIGURES], facts["touched"] = self._figures(pointer, run, everything=everything)
        facts["figures"] = self._rows(pointer[FIGURES])
        return Aggregated(pointer=pointer, facts=facts)

    def _merge(self, source: Source, extract: Batch, run: str, complete: bool) -> tuple[list[str], dict[str, int]]:
        """Stage the delta of one source and note the owners it touches."""
        before = list(self.pointer.get(source.name, []))
        previous = self.current(before, _stored(source))
        delta = self._stage(source, extract, previous, run, complete)
        after = [*before, delta.uri]
        self.con.execute(f"""INSERT INTO touched_owners
            SELECT _owner FROM {delta.scan()} UNION
            SELECT _owner FROM ({previous}) WHERE _key IN (SELECT _key FROM {delta.scan()})""")
        self.con.execute(f"""INSERT INTO moved SELECT DISTINCT coalesce(p._owner, ''), n._owner
            FROM {delta.scan()} AS n JOIN ({previous}) AS p ON p._key = n._key
            WHERE n._owner <> coalesce(p._owner, '') AND NOT n._gone""")
        unowned = self._count(f"SELECT count(*) FROM {delta.scan()} WHERE _owner IS NULL AND NOT _gone")
        facts = {"read": extract.rows, "changed": delta.rows, "unowned": unowned}
        return self._compact(source, after, run), facts

    def _stage(self, source: Source, extract: Batch, previous: str, run: str, complete: bool) -> Batch:
        # A record compares by the text of all its columns: an upgrade that prints differently only recomputes.
        columns = ", ".join(quoted(name) for name in source.columns)
        key = f"CAST({quoted(source.key)} AS VARCHAR)"
        fresh = f"""SELECT {key} AS _key, CAST({source.owner} AS VARCHAR) AS _owner,
            md5_number_lower(CAST(ROW({columns}) AS VARCHAR))::UBIGINT AS _hash, {columns}
            FROM {_scan(source, extract)}"""
        query = f"""SELECT n._key, n._owner, n._hash, false AS _gone, {_prefixed("n", source)} FROM ({fresh}) AS n
            LEFT JOIN (SELECT _key, _hash FROM ({previous})) AS p ON p._key = n._key
            WHERE p._hash IS DISTINCT FROM n._hash"""
        if complete:
            query += f""" UNION ALL SELECT p._key, p._owner, p._hash, true, {_prefixed("p", source)}
                FROM ({previous}) AS p WHERE p._key NOT IN (SELECT {key} FROM {_scan(source, extract)})"""
        with self.stores.write(self.mapping.leg, run, source.name) as into:
            into.copy(self.con, query)
        return self.stores.read(self.mapping.leg, run, source.name)

    def _follow_moves(self) -> list[list[str]]:
        """Touch every owner that touched ones are tied to by moves, old and new; gives all pairs, for the pointer."""
        known = self.pointer.get(MOVED, [])
        if known:
            self.con.executemany("INSERT INTO moved VALUES (?, ?)", known)
        self.con.execute("""INSERT INTO touched_owners
            WITH RECURSIVE reached(owner) AS (
                SELECT owner FROM touched_owners WHERE owner IS NOT NULL
                UNION SELECT CASE WHEN m.was = r.owner THEN m.now ELSE m.was END
                FROM reached AS r JOIN moved AS m ON r.owner IN (m.was, m.now))
            SELECT owner FROM reached WHERE owner NOT IN (SELECT owner FROM touched_owners WHERE owner IS NOT NULL)""")
        return [list(pair) for pair in self.con.execute("SELECT DISTINCT was, now FROM moved ORDER BY ALL").fetchall()]

    def _figures(self, pointer: Pointer, run: str, *, everything: bool) -> tuple[list[str], int]:
        """Stage the figures: those of touched owners computed again, the others as they were."""
        for source in self.mapping.sources:
            self._open_view(source, pointer[source.name], everything=everything)
        query = f"SELECT * FROM ({self.mapping.aggregate}\n) WHERE {OWNER} IS NOT NULL"
        before = list(self.pointer.get(FIGURES, []))
        if before and not everything:
            query = f"""{query} UNION ALL BY NAME SELECT * FROM {self._opened(before[0]).scan()}
                WHERE {OWNER} NOT IN (SELECT owner FROM touched_owners WHERE owner IS NOT NULL)"""
        with self.stores.write(self.mapping.leg, run, FIGURES) as into:
            into.copy(self.con, query)
        touched = self._count("SELECT count(DISTINCT owner) FROM touched_owners")
        return [self.stores.address(self.mapping.leg, run, FIGURES)], touched

    def _open_view(self, source: Source, addresses: list[str], *, everything: bool) -> None:
        """What the aggregate's SQL reads under the source's name: all records of the owners in question."""
        columns = ", ".join(quoted(name) for name in source.columns)
        touched = "" if everything else "WHERE coalesce(_owner, '') IN (SELECT owner FROM touched_owners)"
        self.con.execute(f"""CREATE OR REPLACE TEMP VIEW {quoted(source.name)} AS SELECT {columns}, _owner
            FROM ({self.current(addresses, _stored(source))}) {touched}""")

    def records(self, pointer: Pointer, *, as_of: str) -> str:
        """SQL of the records to map: all figures, with the run's date beside them."""
        return f"SELECT *, DATE '{as_of}' AS {AS_OF} FROM {self._opened(pointer[FIGURES][0]).scan()}"

    def current(self, addresses: Sequence[str], columns: dict[str, str]) -> str:
        """SQL of a store as it stands after all its deltas."""
        opened = [batch for batch in (self._opened(item) for item in addresses) if batch.parts]
        names = ", ".join(quoted(name) for name in columns)
        if not opened:
            nothing = ", ".join(f"NULL::{kind} AS {quoted(name)}" for name, kind in columns.items())
            return f"SELECT {nothing} WHERE false"
        base, deltas = opened[0], opened[1:]
        if not deltas:
            return f"SELECT {names} FROM {base.scan()} WHERE NOT _gone"
        parts = (f"SELECT {names}, _gone, {age} AS _age FROM {item.scan()}" for age, item in enumerate(deltas))
        union = " UNION ALL ".join(parts)
        return f"""SELECT {names} FROM (SELECT * FROM ({union})
                QUALIFY row_number() OVER (PARTITION BY _key ORDER BY _age DESC) = 1) WHERE NOT _gone
            UNION ALL SELECT {names} FROM {base.scan()} WHERE NOT _gone AND _key NOT IN (SELECT _key FROM ({union}))"""

    def _compact(self, source: Source, addresses: list[str], run: str) -> list[str]:
        """One base instead of base and deltas, once the deltas are many or large."""
        sizes = [self._opened(item).rows for item in addresses]
        if len(addresses) == 1 or (sum(sizes[1:]) <= COMPACT_SHARE * sizes[0] and len(addresses) <= COMPACT_FILES):
            return addresses
        with self.stores.write(self.mapping.leg, run, f"{source.name}-base") as into:
            into.copy(
                self.con, f"SELECT *, false AS _gone FROM ({self.current(addresses, _stored(source))}) ORDER BY _owner"
            )
        return [self.stores.address(self.mapping.leg, run, f"{source.name}-base")]

    def _opened(self, address: str) -> Batch:
        batch = self.stores.open(address)
        if batch is None:
            raise ConfigurationError(
                f"replica of leg {self.mapping.leg} lacks {address}; run a complete scan with an empty replica"
            )
        return batch

    def _rows(self, addresses: Sequence[str]) -> int:
        return sum(self._opened(item).rows for item in addresses)

    def _count(self, query: str) -> int:
        return int(self.con.execute(query).fetchall()[0][0])


def definition(mapping: Mapping) -> str:
    """Changes when the aggregate's SQL, an owner or a source's columns change: then all figures are computed again."""
    return md5(f"{mapping.aggregate}\n{_shape(mapping)}".encode(), usedforsecurity=False).hexdigest()


def readable(mapping: Mapping, pointer: Pointer) -> bool:
    """Whether what is stored still has the columns the mapping declares; if not, only a complete scan can go on."""
    return not pointer or pointer.get(SHAPE) == _shape(mapping)


def _shape(mapping: Mapping) -> str:
    return repr([(item.name, item.owner, sorted(item.columns.items())) for item in mapping.sources])


def _stored(source: Source) -> dict[str, str]:
    return {"_key": "VARCHAR", "_owner": "VARCHAR", "_hash": "UBIGINT", **source.columns}


def _scan(source: Source, extract: Batch) -> str:
    if extract.parts:
        return extract.scan()
    nothing = ", ".join(f"NULL::{kind} AS {quoted(name)}" for name, kind in source.columns.items())
    return f"(SELECT {nothing} WHERE false)"


def _prefixed(alias: str, source: Source) -> str:
    return ", ".join(f"{alias}.{quoted(name)}" for name in source.columns)
