"""Compares what a leg's markers say the target holds with what it holds, by sums, and lets the leg repair the rest.

    found = comparing.run(site, mapping, targets=flow.target_system, run_id="compare__...", repair=True)

Sums of marks by bucket, then by cell, lead to the few records that are missing, doubled, resurrected or stale; a
question for what others modified since the last repair leads to those that were edited (see ``folding``). Nothing is
written to the target here: a repair changes markers, so that the leg's next complete scan sends, or deletes, what
differs, with its gate, its guards and its balance. A run of kind ``compare`` says what was found.

    missing      no record of that id: the marker goes, so that the record is new again
    replaced     another record holds its external id: the marker gets that one's id
    stale        an older mark, or none: sent again
    edited       a value is another one than the leg sent: sent again
    doubled      a second record of the same key; the one whose id the marker holds stays
    resurrected  a record with marks of this leg that no marker knows: the leg had deleted it
"""

from __future__ import annotations

from collections.abc import Mapping as Lookups
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from commerce_sync import agreement, changes, company, differing, folding
from commerce_sync import leg as legs
from commerce_sync.changes import literal
from commerce_sync.delivery import Targets
from commerce_sync.errors import ConfigurationError, GuardError
from commerce_sync.ledger import Run
from commerce_sync.ledger import Window as Span
from commerce_sync.leg import STATE_VERSION, LegRun, Site
from commerce_sync.mapping import Limit, Mapping, Target

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

COMPARED = "compared"
"""Batch of a comparison: kind, key, target_id, action of every difference."""
OVERLAP = timedelta(minutes=10)
"""How far below the last repair edits are looked for: transactions commit late, and clocks differ."""
MOST = Limit(share=0.10, absolute=100)
"""More than this is no drift but an accident, which a person should look at first."""
UNMARKED_MOST = 2_000
"""Records without marks that are looked at one by one: a page."""
LOOK_BACK_RUNS = 2_000
SHOWN = 200


class Foldable(Protocol):
    """A target that can add up marks; see ``systems.salesforce.fold`` for the columns."""

    def folds(self, target: Target, *, buckets: Any = ()) -> pa.Table: ...
    def members(self, target: Target, cells: Any) -> pa.Table: ...
    def unmarked(self, target: Target) -> pa.Table: ...
    def standing(self, target: Target, ids: Any) -> pa.Table: ...
    def edited(self, target: Target, fields: Any, *, since: datetime | None, types: Lookups[str, str]) -> pa.Table: ...


@dataclass(frozen=True, slots=True)
class Found:
    """What a comparison found. kinds: differences by kind.   actions: what becomes of them (send, delete, report).

    compared: records the leg's markers know.   waiting: those that are to be sent anyway.   unmarked: records at the
    target that hold the external id and no mark.   rows: the differences, at most ``SHOWN``.
    """

    leg: str
    run: str
    compared: int
    kinds: dict[str, int]
    actions: dict[str, int]
    waiting: int
    unmarked: int
    calls: int
    rows: tuple[dict[str, Any], ...] = ()

    @property
    def differences(self) -> int:
        """How many records differ."""
        return sum(self.kinds.values())


def run(
    site: Site, mapping: Mapping, *, targets: Targets, run_id: str, repair: bool = False, now: datetime | None = None
) -> Found:
    """Compare one leg; with ``repair`` its markers are told what was found.

    Raises ConfigurationError for a leg without marks, LegBusy while it is at work, GuardError when more differs than a
    repair may touch.
    """
    refuse_unmarked(mapping)
    work = _begin(site, mapping, run_id, repair=repair, now=now or datetime.now(UTC))
    version = work.state.version
    try:
        with work.timed("compare"):
            con = work.connect()
            with work.counting(mapping.target.system) as on_call:
                target: Any = targets(mapping, on_call)
                _look(work, con, target)
            found = _told(work, con)
            if repair:
                _guard(mapping, found)
            with work.write(COMPARED) as into:
                into.facts[STATE_VERSION] = version
                into.copy(con, "SELECT * FROM differences ORDER BY kind, key, target_id")
            settled = _settle(work, con, found, version=version, repair=repair)
    except BaseException as error:
        legs.release(site, mapping.leg, run_id, message=f"{type(error).__name__}: {error}")
        raise
    return replace(found, calls=sum(settled.calls.values()))


def refuse_unmarked(mapping: Mapping) -> None:
    """Raises ConfigurationError for a leg that cannot be compared."""
    if mapping.target.compare is None:
        raise ConfigurationError(
            f"{mapping.path}: leg {mapping.leg} leaves no marks at its target, so it cannot be compared; add `compare` "
            "below `to` and raise `version` (docs/compare.md)"
        )
    if changes.only_keyed(mapping):
        raise ConfigurationError(f"{mapping.path}: all fields of leg {mapping.leg} are shared: its pair compares them")


def _begin(site: Site, mapping: Mapping, run_id: str, *, repair: bool, now: datetime) -> LegRun:
    """The comparison's run; its window is that of the edits, and only a repair moves it on."""
    company.refuse_company(site.ledger, mapping.leg, run_id)
    last = _last_repair(site, mapping.leg)
    span = Span(since=last - OVERLAP if last else None, until=now if repair else None)
    opened = site.ledger.begin(mapping.leg, run_id, kind="compare", window=span, mapping_version=mapping.version)
    company.give_way(site.ledger, opened)
    if opened.settled:
        raise ConfigurationError(f"leg {mapping.leg}: run {run_id!r} compared already; name another one")
    return LegRun(site=site, mapping=mapping, run=opened, now=now)


def _last_repair(site: Site, leg: str) -> datetime | None:
    runs = site.ledger.runs(leg, limit=LOOK_BACK_RUNS)
    return next((item.until for item in runs if item.kind == "compare" and item.settled and item.until), None)


def _look(work: LegRun, con: duckdb.DuckDBPyConnection, target: Foldable) -> None:
    """Tables ``expected``, ``found`` and ``present``, then ``differences`` (see ``differing``)."""
    markers = f"SELECT key, fingerprint, target_id FROM ({work.site.ledger.markers_sql(work.state)})"
    con.execute(f"CREATE TEMP TABLE expected AS {folding.expected(markers)}")
    con.execute(f"""CREATE TEMP TABLE aside AS SELECT target_id FROM ({markers})
        WHERE contains(key, {literal(folding.ASIDE)})""")
    con.register("rejects_table", work.site.ledger.rejects_table(work.leg))
    aim = agreement.plain(work.mapping.target)
    _list(con, target, aim)
    _stand(con, target, aim)
    _present(work, con, target, aim)
    differing.find(con, work.mapping, work.types)


def _list(con: duckdb.DuckDBPyConnection, target: Foldable, aim: Target) -> None:
    """Table ``found``: the records of all cells whose sums differ; table ``looked``: these cells."""
    there = target.folds(aim)
    buckets = [row[0] for row in _differing(con, there, folding.by_bucket("expected"), "bucket")]
    cells: list[Any] = []
    if buckets:
        named = ", ".join(literal(name) for name in buckets)
        mine = folding.by_cell(f"(SELECT * FROM expected WHERE bucket IN ({named}))")
        cells = _differing(con, target.folds(aim, buckets=buckets), mine, "bucket, cell")
    con.execute("CREATE TEMP TABLE looked (bucket VARCHAR, cell VARCHAR)")
    if cells:
        con.executemany("INSERT INTO looked VALUES (?, ?)", [list(row) for row in cells])
    con.register("listed", target.members(aim, cells))
    con.execute("CREATE TEMP TABLE found AS SELECT * FROM listed")
    con.register("sums", there)
    unmarked = con.execute("SELECT coalesce(sum(rows), 0)::BIGINT FROM sums WHERE bucket IS NULL").fetchall()[0][0]
    con.execute(f"CREATE TEMP TABLE unmarked AS SELECT {unmarked} AS rows")
    if 0 < unmarked <= UNMARKED_MOST:
        con.register("without", target.unmarked(aim))
        con.execute("INSERT INTO found SELECT * FROM without")


def _differing(con: duckdb.DuckDBPyConnection, there: pa.Table, mine: str, by: str) -> list[Any]:
    """Buckets (or cells) in which the two sides do not add up to the same."""
    con.register("there", there)
    return con.execute(f"""SELECT {by} FROM ({mine}) AS m FULL JOIN there AS t USING ({by})
        WHERE bucket IS NOT NULL AND (m.rows, coalesce(m.marks, 0)) IS DISTINCT FROM (t.rows, t.marks)
        ORDER BY ALL""").fetchall()  # fmt: skip


def _stand(con: duckdb.DuckDBPyConnection, target: Foldable, aim: Target) -> None:
    """Add to ``found`` what is there after all, although its marks say otherwise."""
    absent = con.execute("""SELECT target_id FROM expected JOIN looked USING (bucket, cell)
        WHERE target_id IS NOT NULL AND target_id NOT IN (SELECT target_id FROM found)""").fetchall()
    if absent:
        con.register("standing", target.standing(aim, [row[0] for row in absent]))
        con.execute("INSERT INTO found SELECT * FROM standing")


def _present(work: LegRun, con: duckdb.DuckDBPyConnection, target: Foldable, aim: Target) -> None:
    """Table ``present``: target_id and the leg's own fields of what was modified; empty where nobody's edits count."""
    own = changes.own(work.mapping, work.types)
    columns = ", ".join(f"{changes.quoted(name)} {kind}" for name, kind in own.items())
    con.execute(f"CREATE TEMP TABLE present (target_id VARCHAR, {columns})")
    compare = work.mapping.target.compare
    if compare is not None and compare.edits != "none":
        fields = tuple(item for item in work.mapping.fields if item.name in own)
        con.register("modified", target.edited(aim, fields, since=work.run.since, types=own))
        con.execute("INSERT INTO present BY NAME SELECT * FROM modified")


def _told(work: LegRun, con: duckdb.DuckDBPyConnection) -> Found:
    def counted(column: str) -> dict[str, int]:
        query = f"SELECT {column}, count(*) FROM differences GROUP BY 1 ORDER BY 1"
        return dict(con.execute(query).fetchall())

    def one(query: str) -> int:
        return int(con.execute(query).fetchall()[0][0])

    cursor = con.execute(f"SELECT kind, key, target_id, action FROM differences ORDER BY ALL LIMIT {SHOWN}")
    names = [item[0] for item in cursor.description]
    rows = tuple(dict(zip(names, row, strict=True)) for row in cursor.fetchall())
    return Found(
        leg=work.leg, run=work.id, compared=one("SELECT count(*) FROM expected"), kinds=counted("kind"),
        actions=counted("action"), waiting=one("SELECT count(*) FROM waiting"),
        unmarked=one("SELECT rows FROM unmarked"), calls=0, rows=rows,
    )  # fmt: skip


def _guard(mapping: Mapping, found: Found) -> None:
    limit, touched = mapping.guards.max_changes or MOST, sum(found.actions.values()) - found.actions.get("report", 0)
    if touched > limit.allowed(found.compared):
        raise GuardError(
            f"leg {mapping.leg}: {touched} of {found.compared} records differ at {mapping.target.system} ("
            + ", ".join(f"{count} {kind}" for kind, count in found.kinds.items())
            + f"), more than max_changes or a repair allows ({limit.allowed(found.compared)}); nothing was marked. If "
            "the marks are new, raise `version` in the mapping: its next complete scan sends every record with one"
        )


def _settle(work: LegRun, con: duckdb.DuckDBPyConnection, found: Found, *, version: int, repair: bool) -> Run:
    """Close the run; a repair's markers change in the same transaction."""
    touched = repair and set(found.actions) - {"report"}
    delta = work.site.ledger.stage_delta(work.leg, con, differing.markers()) if touched else None
    ours = con.execute("SELECT count(DISTINCT key) FROM differences WHERE key IN (SELECT key FROM expected)"
                       " AND kind <> 'doubled'").fetchall()[0][0]  # fmt: skip
    digest = con.execute(f"SELECT {changes.digest('key')} FROM expected").fetchall()[0][0]
    read = con.execute("SELECT (SELECT count(*) FROM found) + (SELECT count(*) FROM present)").fetchall()[0][0]
    return work.site.ledger.settle(
        work.run, state_version=version, delta=delta, status="green", read=read, extracted=found.compared,
        unchanged=found.compared - ours, filtered=ours, digest=digest, message=_message(found, repair=repair),
    )  # fmt: skip


def _message(found: Found, *, repair: bool) -> str:
    said = ", ".join(f"{count} {kind}" for kind, count in found.kinds.items()) or "no difference"
    done = ", ".join(f"{count} to {action}" for action, count in found.actions.items())
    then = f"; the next complete scan: {done}" if repair and done else ""
    return f"compared {found.compared} records: {said}{then}"
