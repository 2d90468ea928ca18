"""Applying a plan: only its changes are sent, and of these only where the target still is as the plan saw it.

A record whose source changed since has another fingerprint: it waits for the next run like one that was not planned.
One whose target changed since (a field the plan sets or clears, or whether it is there at all) is answered
``unprocessed`` with code TARGET_CHANGED, and offered again by the next run. A plan is applied once at a time; what
arrived is unchanged for a second apply.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from commerce_sync import changes, folding
from commerce_sync.batches import Batch, BatchWriter
from commerce_sync.changes import literal, quoted
from commerce_sync.errors import ConfigurationError
from commerce_sync.leg import LegRun, intact
from commerce_sync.systems.jobs import Loaded

if TYPE_CHECKING:
    import duckdb

PLAN = "plan"
"""Step of the batch that a plan leaves; see ``planning``."""
AIMED, STALE = "aimed", "stale"
"""Batches: what is sent of a plan, and the keys of what is not, because the target changed."""
TARGET_CHANGED = "TARGET_CHANGED"
KEYS_AT_ONCE = 20_000
_ORIGIN = "origin"


class Loads(Protocol):
    """A target that can be written to; see ``delivery.TargetSystem``."""

    def load(self, target: Any, fields: Any, changes: Batch, *, jobs: Any, into: BatchWriter, wait_s: float) -> Any: ...


def batch_of(leg: LegRun, run: str) -> Batch:
    """A plan's batch. Raises ConfigurationError when it is no longer kept."""
    found = leg.site.batches.find(leg.leg, run, PLAN)
    if found is None:
        raise ConfigurationError(
            f"leg {leg.leg}: plan {run!r} is no longer kept (see COMMERCE_SYNC_KEEP_PAYLOAD_DAYS), or was never "
            "finished; make a new one"
        )
    return found


def unplanned(leg: LegRun, con: duckdb.DuckDBPyConnection, rows: str) -> str:
    """SQL: keys of the changes that are not in the plan just as they are."""
    plan = intact(con, batch_of(leg, str(leg.asked["plan"])))
    if plan.facts["mapping_version"] != leg.mapping.version:
        raise ConfigurationError(
            f"leg {leg.leg}: plan {leg.asked['plan']!r} was made with version {plan.facts['mapping_version']} of the "
            f"mapping, now it is {leg.mapping.version}; make a new plan"
        )
    return f"""SELECT _key FROM ({rows}) AS c WHERE (_key, _kind, _fingerprint) NOT IN
        (SELECT (_key, _kind, _fingerprint) FROM {plan.scan()})"""


def send(
    leg: LegRun, con: duckdb.DuckDBPyConnection, target: Loads, sending: Batch, *, aim: Any, jobs: Any,
    into: BatchWriter, wait_s: float,
) -> Any:  # fmt: skip
    """Load what is to be sent; of a plan, only where the target is as it was. aim: the mapping's target."""
    options: dict[str, Any] = {"jobs": jobs, "into": into, "wait_s": wait_s}
    if "plan" not in leg.asked:
        return _load(leg, con, target, sending, aim=aim, **options)
    aimed, stale = _aimed(leg, con, target, sending, aim=aim)
    done: Any = Loaded()
    if aimed.rows:
        done = _load(leg, con, target, aimed, aim=aim, **options)
    if getattr(done, "trigger", None) is None and stale.rows:
        into.copy(con, _refused(stale))
    return done


def _load(leg: LegRun, con: duckdb.DuckDBPyConnection, target: Loads, batch: Batch, *, aim: Any, **options: Any) -> Any:
    """Load a batch, with the leg's marks if it leaves any."""
    batch, fields = folding.marked(leg, con, batch)
    return target.load(folding.aim(aim), fields, batch, **options)


def _aimed(
    leg: LegRun, con: duckdb.DuckDBPyConnection, target: Any, sending: Batch, *, aim: Any
) -> tuple[Batch, Batch]:
    """What is sent and what is not; the same again when a killed load is repeated: by then our own values are there."""
    origin = [part.name for part in sending.parts]
    aimed, stale = leg.find(AIMED), leg.find(STALE)
    if aimed and stale and aimed.facts[_ORIGIN] == stale.facts[_ORIGIN] == origin:
        return intact(con, aimed), intact(con, stale)
    con.execute(f"CREATE OR REPLACE TEMP TABLE stale AS {_stale(leg, con, target, sending, aim=aim)}")
    for step, rows in ((STALE, "SELECT * FROM stale"), (AIMED, _others(sending))):
        with leg.write(step) as into:
            into.facts[_ORIGIN] = origin
            into.copy(con, rows)
    return leg.read(AIMED), leg.read(STALE)


def _others(sending: Batch) -> str:
    return f"SELECT * FROM {sending.scan()} WHERE _key NOT IN (SELECT _key FROM stale)"


def _stale(leg: LegRun, con: duckdb.DuckDBPyConnection, target: Any, sending: Batch, *, aim: Any) -> str:
    """SQL: _key and the fields that differ from what the plan saw."""
    plan = batch_of(leg, str(leg.asked["plan"]))
    if not plan.facts["is_known"]:
        return "SELECT NULL::VARCHAR AS _key, NULL::VARCHAR AS fields WHERE false"
    con.execute(f"""CREATE OR REPLACE TEMP TABLE foreseen AS SELECT p.* FROM {plan.scan()} AS p
        WHERE p._key IN (SELECT _key FROM {sending.scan()})""")
    present(
        leg, con, target, keys="SELECT DISTINCT target_key AS k FROM foreseen WHERE target_key IS NOT NULL", aim=aim
    )
    differing = ", ".join(_differs(item.name, leg.types[item.name]) for item in leg.mapping.fields)
    return f"""SELECT _key, array_to_string(CASE WHEN is_there <> (p._target_key IS NOT NULL)
                THEN [{literal(aim.external_id)}] ELSE differing END, ',') AS fields FROM (
            SELECT f._key, f.is_there, p._target_key,
                list_filter([{differing}], lambda x: x IS NOT NULL) AS differing
            FROM foreseen AS f LEFT JOIN present AS p ON p._target_key = f.target_key WHERE f.target_key IS NOT NULL
        ) AS p WHERE is_there <> (p._target_key IS NOT NULL) OR (is_there AND len(differing) > 0)"""


def _differs(name: str, type_text: str) -> str:
    """SQL: the field's name when the plan sends it and the target's value is another one than the plan saw."""
    now, then = (comparable(f"{at}.{quoted(name)}", type_text) for at in ("p", "f.before"))
    planned = f"(f.effect = 'delete' OR list_contains(f.sets || f.clears, {literal(name)}))"
    return f"CASE WHEN {planned} AND {now} IS DISTINCT FROM {then} THEN {literal(name)} END"


def comparable(column: str, type_text: str) -> str:
    """SQL: a value as the two sides are compared: canonical, line ends alike, an empty text is null."""
    text = changes.canonical(column, type_text, lengths=False)
    return f"nullif(replace(replace({text}, chr(13) || chr(10), chr(10)), chr(13), chr(10)), '')"


def present(leg: LegRun, con: duckdb.DuckDBPyConnection, target: Any, *, keys: str, aim: Any) -> None:
    """Table ``present``: ``_target_key`` and every field of the leg as the target has it, for SQL that gives ``k``."""
    columns = ", ".join(f"{quoted(name)} {kind}" for name, kind in leg.types.items())
    con.execute(f"CREATE OR REPLACE TEMP TABLE present (_target_key VARCHAR, {columns})")
    wanted = con.sql(keys).to_arrow_table()["k"]
    for start in range(0, len(wanted), KEYS_AT_ONCE):
        asked = wanted.slice(start, KEYS_AT_ONCE).to_pylist()
        con.register("found", target.current(aim, leg.mapping.fields, asked, types=dict(leg.types)))
        con.execute("INSERT INTO present BY NAME SELECT * FROM found")
        con.unregister("found")


def _refused(stale: Batch) -> str:
    """SQL: result rows of what is not sent."""
    reason = "since the plan was made the target has changed: '"
    return f"""SELECT _key, 'unprocessed' AS outcome, NULL::VARCHAR AS target_id, false AS created,
            '{TARGET_CHANGED}' AS code, 'transient' AS reason_class,
            '{reason} || fields || '; the next run offers the record again' AS reason, fields
        FROM {stale.scan()}"""
