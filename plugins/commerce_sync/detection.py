"""Detection: which records of a run are new, modified, deleted, or as the target knows them; guarded."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

from commerce_sync import agreement, changes, doubt, editing, tombstones
from commerce_sync.errors import BalanceError, GuardError
from commerce_sync.history import PERSONAL
from commerce_sync.leg import CHANGES, CHECK, EXTRACT, LOAD, STATE_VERSION, VERDICTS, LegRun, records
from commerce_sync.mapping import Limit

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True, slots=True)
class Verdicts:
    """How many of the run's records came out how. ``send`` rows are in the change batch."""

    extracted: int
    unchanged: int
    filtered: int
    waiting: int
    new: int
    modified: int
    deleted: int

    @property
    def send(self) -> int:
        return self.new + self.modified + self.deleted


def map_changes(leg: LegRun) -> Verdicts:
    """Map the records, compare them with the markers, write the change batch. Raises GuardError, BalanceError."""
    with leg.timed(CHANGES):
        con = leg.connect()
        said = leg.site.ledger.last_said(leg.leg)
        comparison = _comparison(leg, con)
        con.execute(f"CREATE TEMP TABLE keyed AS {changes.keyed(comparison)}")
        keyless = _refuse_doubles(leg, con)
        edited = editing.meet(leg, con) if said else ""
        markers = _one(con, f"SELECT count(*) FROM ({comparison.markers})")
        comparison = _narrowed(con, replace(comparison, edited=edited))
        con.execute(f"""CREATE TEMP TABLE changed AS
            SELECT * FROM ({changes.verdicts(comparison, keyed_table="keyed")}) WHERE verdict <> 'unchanged'""")
        found = _count(leg, con, comparison, keyless=keyless)
        if not leg.planned:  # a plan tells what it would stop at
            guard(leg, found, markers=markers, gone=_gone(con, "DELETED"))
        found = _with_forgotten(leg, found)
        _forget_later_steps(leg)
        _write_changes(leg, con, comparison, found, said=said)
        return found


def _forget_later_steps(leg: LegRun) -> None:
    """A run that was killed after its load and reads again may find less: what the steps left is of other changes."""
    for batch in filter(None, map(leg.find, (CHECK, LOAD))):
        leg.site.batches.remove(batch.uri)


def _comparison(leg: LegRun, con: duckdb.DuckDBPyConnection) -> changes.Comparison:
    con.register("rejects_table", leg.site.ledger.rejects_table(leg.leg))
    merged = _merged(leg, con)
    due = "'1970-01-01'::TIMESTAMPTZ AS next_attempt" if leg.run.kind == "replay" else "next_attempt"
    return changes.Comparison(
        mapping=leg.mapping,
        types=leg.types,
        records=records(leg, con),
        markers=doubt.trusted(leg, _living(leg, merged)),
        rejects=f"SELECT key, status, fingerprint, {due} FROM rejects_table",
        complete=leg.complete,
        agreed=agreement.agreed(leg) if changes.shared(leg.mapping) else "",
        merged=merged,
    )


def _narrowed(con: duckdb.DuckDBPyConnection, comparison: changes.Comparison) -> changes.Comparison:
    """With the markers of the run's own keys, read once, where nothing else is asked of them: that a key is missing."""
    if comparison.deletes:
        return comparison
    own = "key IN (SELECT _key FROM keyed)"
    con.execute(f"CREATE TEMP TABLE known AS SELECT * FROM ({comparison.markers}) WHERE {own}")
    return replace(comparison, markers="SELECT * FROM known")


def _merged(leg: LegRun, con: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """Tables of the records that were merged away at the target, of its own object and of those it looks up."""
    target, fields = leg.mapping.target, leg.mapping.fields
    objects = {target.object, *(item.lookup.object for item in fields if item.lookup)}
    found = {}
    for number, name in enumerate(sorted(objects)):
        aliases = leg.site.ledger.aliases_table(target.system, name)
        if aliases.num_rows:
            found[name] = f"merged_{number}"
            con.register(found[name], aliases)
    return found


def _living(leg: LegRun, merged: dict[str, str]) -> str:
    """SQL of the markers, without those of records that were merged away: there is nothing to change or delete."""
    markers = f"SELECT key, fingerprint, target_id FROM ({leg.site.ledger.markers_sql(leg.state)})"
    lost = merged.get(leg.mapping.target.object)
    if lost is None:
        return markers
    return f"{markers} WHERE coalesce(target_id NOT IN (SELECT lost_id FROM {lost} WHERE lost_id IS NOT NULL), true)"


def _refuse_doubles(leg: LegRun, con: duckdb.DuckDBPyConnection) -> int:
    """Set records aside that are filtered and have no key; gives their number. Raises BalanceError for the others."""
    keyless = _one(con, "DELETE FROM keyed WHERE _key IS NULL AND NOT _wanted")
    total, distinct = con.execute("SELECT count(*), count(DISTINCT _key) FROM keyed").fetchall()[0]
    if total != distinct:
        some = con.execute("SELECT _key FROM keyed GROUP BY _key HAVING count(*) > 1 ORDER BY 1 LIMIT 3").fetchall()
        raise BalanceError(
            f"leg {leg.leg}: {total} records have {distinct} different keys ({leg.mapping.key}); for example "
            f"{', '.join(str(key) for (key,) in some if key) or 'records without a key'}; give a key that is unique"
        )
    return keyless


def _count(leg: LegRun, con: duckdb.DuckDBPyConnection, comparison: changes.Comparison, *, keyless: int) -> Verdicts:
    counts = dict(con.execute("SELECT verdict, count(*) FROM changed GROUP BY verdict").fetchall())
    unchanged = _one(
        con,
        f"""SELECT count(*) FROM keyed LEFT JOIN ({comparison.markers}) AS m ON m.key = _key
        WHERE _wanted AND {changes.settled(comparison)}""",
    )
    waiting = counts.get("waiting", 0)
    found = Verdicts(
        extracted=_one(con, "SELECT count(*) FROM keyed") + keyless + _gone(con, "DELETED") + _gone(con, "waiting"),
        unchanged=unchanged,
        filtered=counts.get("filtered", 0) + keyless + waiting,
        waiting=waiting,
        new=counts.get("NEW", 0),
        modified=counts.get("MODIFIED", 0),
        deleted=counts.get("DELETED", 0),
    )
    if found.extracted != found.unchanged + found.filtered + found.send:
        raise BalanceError(f"leg {leg.leg}: {found} does not add up; the markers of this leg hold a key twice")
    return found


def _with_forgotten(leg: LegRun, found: Verdicts) -> Verdicts:
    """Records left out because they were forgotten were filtered; figures are counted without their records."""
    batch = leg.find(f"{EXTRACT}-{leg.mapping.source.name}") if leg.mapping.aggregate is None else None
    rows = batch.facts.get(tombstones.FORGOTTEN, 0) if batch else 0
    return replace(found, extracted=found.extracted + rows, filtered=found.filtered + rows)


def _gone(con: duckdb.DuckDBPyConnection, verdict: str) -> int:
    """How many of a verdict were not among the records."""
    return _one(con, f"SELECT count(*) FROM changed WHERE verdict = '{verdict}' AND _fingerprint IS NULL")


def guard(leg: LegRun, found: Verdicts, *, markers: int, gone: int) -> None:
    """Stop before anything is sent when a run would delete or change more than the leg allows.

    gone: records to delete that the source no longer has; the other deletes are still there, but filtered.
    """
    guards = leg.mapping.guards
    if leg.scans and markers > 0 and found.extracted == gone:
        raise GuardError(
            f"leg {leg.leg}: the complete scan found nothing although {markers} records are known; nothing is deleted. "
            "Look at the source: an empty source is not a wish to delete all"
        )
    _within(leg, "max_deletes", guards.max_deletes, found.deleted, markers)
    if leg.mapping.approval is None or leg.mapping.approval.changes is None:  # else a person is asked, after the gate
        now = min(found.send, leg.asked.get("limit") or found.send)
        _within(leg, "max_changes", guards.max_changes, now, max(markers, found.extracted))


def _within(leg: LegRun, name: str, limit: Limit | None, count: int, rows: int) -> None:
    if limit is None or count <= limit.allowed(rows):
        return
    raise GuardError(
        f"leg {leg.leg}: {count} of {rows} records is more than guard {name} allows ({limit.allowed(rows)}); nothing "
        f"was sent. If this is meant, raise {name} in {leg.mapping.path}"
    )


def _write_changes(
    leg: LegRun, con: duckdb.DuckDBPyConnection, comparison: changes.Comparison, found: Verdicts, *, said: int
) -> None:
    key = f"CAST({leg.mapping.key} AS VARCHAR)"
    con.execute("CREATE TEMP TABLE sendable AS SELECT * FROM changed WHERE verdict IN ('NEW', 'MODIFIED', 'DELETED')")
    narrowed = changes.narrowed(comparison, f"{key} IN (SELECT _key FROM sendable)")
    with leg.write(VERDICTS) as into:
        into.copy(
            con,
            """SELECT _key, verdict FROM changed UNION ALL
            SELECT key, 'unchanged' FROM rejects_table WHERE key IN (SELECT _key FROM keyed)
            AND key NOT IN (SELECT _key FROM changed)""",
        )
    payload = changes.payload(narrowed, changed_table="sendable")
    if said:
        payload = editing.applied(leg, con, payload)
        editing.keep(leg, con, payload)
    with leg.write(CHANGES) as into:
        rows = into.copy(con, payload)
        into.facts = {**_counts(found), STATE_VERSION: leg.state.version, editing.ANSWERS: said,
                      PERSONAL: sorted(leg.mapping.personal)}  # fmt: skip
    if rows != found.send:
        raise BalanceError(f"leg {leg.leg}: {found.send} changes were found, {rows} were written")
    digest = con.execute(f"SELECT {changes.digest()} FROM keyed").fetchall()[0][0]
    leg.note(**_counts(found), carried=_carried(leg, con, comparison), digest=digest)


def _carried(leg: LegRun, con: duckdb.DuckDBPyConnection, comparison: changes.Comparison) -> int:
    """Records of earlier runs that this run looked at although its source was not asked for them."""
    if leg.mapping.aggregate is not None:
        return 0
    return (
        _one(con, f"SELECT count(*) FROM ({comparison.records})")
        - leg.read(f"{EXTRACT}-{leg.mapping.source.name}").rows
    )


def _counts(found: Verdicts) -> dict[str, int]:
    return {item.name: getattr(found, item.name) for item in fields(found)}


def _one(con: duckdb.DuckDBPyConnection, query: str) -> int:
    return int(con.execute(query).fetchall()[0][0])
