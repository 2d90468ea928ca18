"""The replica: a keyed local copy of the sources of a leg that aggregates, and the figures computed from it.

Whole records are replaced. Touched owners are those of the new *and* of the replaced versions; only their figures are
computed again, from all of their records, so late, changed, cancelled and moved records are exact by construction.
A record that moved may leave others behind that still name its former owner (the returns of an order): until the next
complete scan reads those again, owners between whom records moved are always computed together.

A record whose owner is ``'*'`` belongs to everybody (exchange rates, list prices): every owner sees it, and when one
changes or goes, all figures are computed again. Owners that were merged are given as aliases: their records count as
those of the owner that is left, nothing is given under the lost name, and an alias that goes restores both.

What the aggregate's SQL finds in ``before`` are the figures of the last settled run (``Mapping.memory``). An owner
whose records are all gone stands only there; what the SQL gives for such an owner is kept until it is computed again.
A merged owner's memory ends with the merge.

Time: owners whom no record touched are not computed again, so a figure must not depend on the run's time. Keep
moments in the figures (the last visit) and leave the rule (idle for 24 hours) to the mapping: ``where`` and fields are
evaluated for all figures in every run, with ``as_of`` (the run's date) and ``getvariable('now')::TIMESTAMPTZ`` at
hand. An aggregate that does mention ``getvariable('now')`` is exact as well, but computes everything in every run.

A store is a list of batch addresses, oldest first: the first is the base, the others are deltas over it. Nothing here
is in force until the leg's commit moves the pointer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping as Lookup
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import md5
from typing import TYPE_CHECKING, Any

from commerce_sync.batches import Batch, Batches, refuse_altered
from commerce_sync.binding import AS_OF, BEFORE, OWNER
from commerce_sync.changes import quoted
from commerce_sync.errors import ConfigurationError
from commerce_sync.mapping import Mapping, Source

if TYPE_CHECKING:
    import duckdb

FIGURES = "figures"
MOVED = "moved"
SEEN = "seen"
"""In the pointer: source name -> newest modification it has shown (ISO 8601); written at commit."""
DEFINITION = "definition"
SHAPE = "shape"
ALIASES = "aliases"
EVERYBODY = "*"
TIMED = re.compile(r"getvariable\s*\(\s*'now'\s*\)", re.IGNORECASE)
COMPACT_SHARE = 0.10
COMPACT_FILES = 20

Pointer = dict[str, Any]
"""source name -> addresses; ``figures`` -> addresses; ``definition`` -> what the replica was built by; ``moved`` ->
pairs of owners between whom records moved since the last complete scan, "" standing for nobody; ``aliases`` -> owner
lost -> owner now, as the figures have them."""


@dataclass(frozen=True, slots=True)
class Aggregated:
    """What an aggregation staged: the pointer to put in force at commit, and counts."""

    pointer: Pointer
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Replica:
    """The replica of one leg as it stands, with the session and stores to work in.

    aliases: owner lost -> owner now, chains allowed.
    """

    con: duckdb.DuckDBPyConnection
    stores: Batches
    mapping: Mapping
    pointer: Pointer
    aliases: Lookup[str, str] = field(default_factory=dict)

    def aggregate(self, extracts: dict[str, Batch], *, run: str, complete: bool) -> Aggregated:
        """Merge the extracts, recompute the figures of the touched owners, stage both under ``run``."""
        if self.mapping.aggregate is None:
            raise ConfigurationError(f"leg {self.mapping.leg} has no aggregate")
        pointer: Pointer = {DEFINITION: definition(self.mapping), SHAPE: _shape(self.mapping)}
        pointer[ALIASES] = followed(self.aliases)
        self._prepare(pointer[ALIASES])
        facts: dict[str, Any] = {}
        for source in self.mapping.sources:
            pointer[source.name], facts[source.name] = self._merge(source, extracts[source.name], run, complete)
        pointer[MOVED] = [] if complete else self._follow_moves()
        everything = self._asks_for_everything(pointer)
        pointer[FIGURES], facts["touched"] = self._figures(pointer, run, everything=everything)
        facts["figures"] = self._rows(pointer[FIGURES])
        return Aggregated(pointer=pointer, facts=facts | {"everything": everything})

    def _prepare(self, aliases: dict[str, str]) -> None:
        """Tables of the aliases, of the owners to compute again and of the moves; a changed alias touches both."""
        for table in ("owner_aliases (lost VARCHAR, now VARCHAR)", "touched_owners (owner VARCHAR)",
                      "moved (was VARCHAR, now VARCHAR)"):  # fmt: skip
            self.con.execute(f"CREATE OR REPLACE TEMP TABLE {table}")
        self._insert("owner_aliases", list(aliases.items()))
        known: dict[str, str] = self.pointer.get(ALIASES, {})
        changed = {name for name in {*aliases, *known} if aliases.get(name) != known.get(name)}
        touched = changed | {side[name] for name in changed for side in (aliases, known) if name in side}
        self._insert("touched_owners", [(name,) for name in sorted(touched)])

    def _insert(self, table: str, rows: Sequence[tuple[str, ...]]) -> None:
        if rows:
            self.con.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' for _ in rows[0])})", rows)

    def _asks_for_everything(self, pointer: Pointer) -> bool:
        """Whether all figures have to be computed again; everybody is no owner to compute."""
        shared = self._count(f"SELECT count(*) FROM touched_owners WHERE owner = '{EVERYBODY}'")
        # A record that was everybody's may leave others behind that only make sense beside it.
        shared += self._count(f"SELECT count(*) FROM moved WHERE '{EVERYBODY}' IN (was, now)")
        self.con.execute(f"DELETE FROM touched_owners WHERE owner = '{EVERYBODY}'")
        is_new = self.pointer.get(DEFINITION) != pointer[DEFINITION]
        return is_new or shared > 0 or TIMED.search(_without_comments(str(self.mapping.aggregate))) is not None

    def _merge(self, source: Source, extract: Batch, run: str, complete: bool) -> tuple[list[str], dict[str, int]]:
        """Stage the delta of one source and note the owners it touches."""
        before = list(self.pointer.get(source.name, []))
        if before and not complete and not extract.rows:
            return before, {"read": 0, "changed": 0, "unowned": 0}
        previous = self.current(before, _stored(source))
        if not complete:
            self._recall(previous, f"SELECT CAST({quoted(source.key)} AS VARCHAR) FROM {_scan(source, extract)}")
        delta = self._stage(source, extract, previous if complete else "FROM earlier", run, complete)
        if complete:
            self._recall(previous, f"SELECT _key FROM {delta.scan()}")
        after = [*before, delta.uri] if delta.rows or not before else before
        touched = f"""SELECT _owner FROM {delta.scan()} UNION
            SELECT _owner FROM earlier WHERE _key IN (SELECT _key FROM {delta.scan()})"""
        self.con.execute(f"INSERT INTO touched_owners SELECT DISTINCT _owner FROM ({self._renamed(touched)})")
        self.con.execute(f"""INSERT INTO moved SELECT DISTINCT coalesce(p._owner, ''), coalesce(n._owner, '')
            FROM {delta.scan()} AS n JOIN earlier AS p ON p._key = n._key
            WHERE n._owner IS DISTINCT FROM p._owner AND NOT n._gone""")
        unowned = self._count(f"SELECT count(*) FROM {delta.scan()} WHERE _owner IS NULL AND NOT _gone")
        facts = {"read": extract.rows, "changed": delta.rows, "unowned": unowned}
        return self._compact(source, after, run), facts

    def _recall(self, previous: str, keys: str) -> None:
        """The replaced versions of some records as table ``earlier``: the store is read for them once."""
        self.con.execute(f"""CREATE OR REPLACE TEMP TABLE earlier AS
            SELECT _key, _owner, _hash FROM ({previous}) WHERE _key IN ({keys})""")

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
        self._insert("moved", [(was, now) for was, now in self.pointer.get(MOVED, [])])
        self.con.execute("""INSERT INTO touched_owners
            WITH RECURSIVE
            tied AS (SELECT coalesce(a.now, m.was) AS was, coalesce(b.now, m.now) AS now FROM moved AS m
                LEFT JOIN owner_aliases AS a ON a.lost = m.was LEFT JOIN owner_aliases AS b ON b.lost = m.now),
            reached(owner) AS (
                SELECT owner FROM touched_owners WHERE owner IS NOT NULL
                UNION SELECT CASE WHEN t.was = r.owner THEN t.now ELSE t.was END
                FROM reached AS r JOIN tied AS t ON r.owner IN (t.was, t.now))
            SELECT owner FROM reached WHERE owner NOT IN (SELECT owner FROM touched_owners WHERE owner IS NOT NULL)""")
        return [list(pair) for pair in self.con.execute("SELECT DISTINCT was, now FROM moved ORDER BY ALL").fetchall()]

    def _figures(self, pointer: Pointer, run: str, *, everything: bool) -> tuple[list[str], int]:
        """Stage the figures: those of touched owners computed again, the others as they were."""
        before = list(self.pointer.get(FIGURES, []))
        touched = self._count("SELECT count(DISTINCT owner) FROM touched_owners")
        if before and not everything and not touched:
            return before, 0
        for source in self.mapping.sources:
            self._open_view(source, pointer[source.name], everything=everything)
        self._open_before(everything=everything)
        # Materialized, or DuckDB pushes the conditions down into the aggregate, which makes it three times as dear.
        query = f"""WITH _aggregated AS MATERIALIZED ({self.mapping.aggregate}\n)
            SELECT * FROM _aggregated WHERE {OWNER} IS NOT NULL AND {OWNER} <> '{EVERYBODY}'
            AND {OWNER} NOT IN (SELECT lost FROM owner_aliases)"""
        if before and not everything:
            # Everybody's records may name owners whose own records were not opened: those keep what they have.
            owners = "(SELECT owner FROM touched_owners WHERE owner IS NOT NULL)"
            query = f"""{query} AND {OWNER} IN {owners} UNION ALL BY NAME
                SELECT * FROM {self._opened(before[0]).scan()} WHERE {OWNER} NOT IN {owners}"""
        with self.stores.write(self.mapping.leg, run, FIGURES) as into:
            into.copy(self.con, query)
        return [self.stores.address(self.mapping.leg, run, FIGURES)], touched

    def _open_view(self, source: Source, addresses: list[str], *, everything: bool) -> None:
        """What the aggregate's SQL reads under the source's name: all records of the owners in question."""
        columns = ", ".join(quoted(name) for name in source.columns)
        current = f"SELECT {columns}, _owner FROM ({self.current(addresses, _stored(source))})"
        rows = current if everything else self._visible(current, addresses)
        self.con.execute(f"CREATE OR REPLACE TEMP VIEW {quoted(source.name)} AS {self._renamed(rows)}")

    def _visible(self, current: str, addresses: list[str]) -> str:
        """SQL of the records of touched owners, of nobody's if those were touched, and of everybody's."""
        # Apart, not by OR: only a plain IN lets DuckDB skip the row groups of other owners.
        rows = f"""{current} WHERE _owner IN (SELECT owner FROM touched_owners
            UNION SELECT lost FROM owner_aliases WHERE now IN (SELECT owner FROM touched_owners))"""
        if self._count("SELECT count(*) FROM touched_owners WHERE owner = ''"):
            rows += f" UNION ALL {current} WHERE _owner IS NULL"
        return f"{rows} UNION ALL {current} WHERE _owner = '{EVERYBODY}'" if self._holds_shared(addresses) else rows

    def _holds_shared(self, addresses: list[str]) -> bool:
        """Whether any file of a store holds records of everybody; statistics of the row groups answer most of it."""
        files = [batch.scan() for batch in (self._opened(item) for item in addresses) if batch.parts]
        query = f"SELECT 1 FROM {{}} WHERE _owner = '{EVERYBODY}' LIMIT 1"
        return any(self.con.execute(query.format(file)).fetchall() for file in files)

    def _renamed(self, rows: str) -> str:
        """SQL of rows with ``_owner``, merged owners under the name that is left."""
        if not self._count("SELECT count(*) FROM owner_aliases"):
            return rows
        return f"""SELECT r.* REPLACE (coalesce(a.now, r._owner) AS _owner) FROM ({rows}) AS r
            LEFT JOIN owner_aliases AS a ON a.lost = r._owner"""

    def _open_before(self, *, everything: bool) -> None:
        """What the aggregate's SQL reads as ``before``: remembered figures of the owners in question."""
        columns = {OWNER: "VARCHAR", **self.mapping.memory}
        values = ", ".join(f"TRY_CAST({quoted(name)} AS {kind}) AS {quoted(name)}" for name, kind in columns.items())
        known = self.pointer.get(FIGURES, [])
        stored = self._opened(known[0]).scan() if known else None
        if stored is None or not columns.keys() <= self._columns(stored):
            nothing = ", ".join(f"NULL::{kind} AS {quoted(name)}" for name, kind in columns.items())
            rows = f"SELECT {nothing} WHERE false"
        else:
            rows = f"SELECT {values} FROM {stored} WHERE {OWNER} NOT IN (SELECT lost FROM owner_aliases)"
            rows += "" if everything else f" AND {OWNER} IN (SELECT owner FROM touched_owners)"
        self.con.execute(f"CREATE OR REPLACE TEMP VIEW {BEFORE} AS {rows}")

    def _columns(self, relation: str) -> set[str]:
        return {row[0] for row in self.con.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()}

    def records(self, pointer: Pointer, *, as_of: str) -> str:
        """SQL of the records to map: all figures, with the run's date beside them. Raises BalanceError when altered."""
        figures = self._opened(pointer[FIGURES][0])
        refuse_altered(self.con, figures, cure="run the leg once with mode 'complete'")
        return f"SELECT *, DATE '{as_of}' AS {AS_OF} FROM {figures.scan()}"

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


def usable(mapping: Mapping, pointer: Pointer) -> Pointer:
    """What of a stored replica the mapping can go on with; figures stay readable whatever the sources' columns are."""
    return pointer if readable(mapping, pointer) else {key: pointer[key] for key in (FIGURES,) if key in pointer}


def followed(aliases: Lookup[str, str]) -> dict[str, str]:
    """Each lost owner with the one that is left at the end of its chain; those on a circle stay who they are."""
    return {lost: end for lost in aliases if (end := _end(lost, aliases)) is not None}


def _end(lost: str, aliases: Lookup[str, str]) -> str | None:
    seen, at = {lost}, aliases[lost]
    while at in aliases and at not in seen:
        seen.add(at)
        at = aliases[at]
    return None if at in seen or EVERYBODY in (lost, at) else at


def _without_comments(sql: str) -> str:
    return re.sub(r"--[^\n]*", "", sql)


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
