"""Reads plans back: field by field, masked, filtered by effect and by predicted refusal; and writes them to files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from commerce_sync import planned
from commerce_sync.applying import PLAN
from commerce_sync.batches import Batch, Batches
from commerce_sync.changes import literal, quoted
from commerce_sync.errors import ConfigurationError
from commerce_sync.history import MASK, PERSONAL
from commerce_sync.leg import Site
from commerce_sync.planning import EFFECTS, Plan

if TYPE_CHECKING:
    import duckdb

ACTIONS = ("set", "clear", "left", "same")
FORMATS = {".csv": "(FORMAT csv, HEADER)", ".parquet": "(FORMAT parquet, COMPRESSION zstd)"}
REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Change:
    """One record of a plan; ``lines`` has (field, action, before, after) as texts, personal values masked."""

    key: str
    effect: str
    kind: str
    target_key: str | None
    code: str | None
    reason_class: str | None
    reason: str | None
    lines: tuple[tuple[str, str, str | None, str | None], ...]


def load(batches: Batches, leg: str, run: str) -> Plan | None:
    """A plan's figures; None when it is no longer kept or was never finished."""
    batch = batches.find(leg, run, PLAN)
    if batch is None:
        return None
    facts = batch.facts
    return Plan(
        leg=leg, run=run, effects=facts["effects"], sets=facts["sets"], clears=facts["clears"], lefts=facts["lefts"],
        refusals=facts["refusals"], held=facts["held"], stops=tuple(facts["stops"]), warnings=tuple(facts["warnings"]),
        is_known=facts["is_known"],
    )  # fmt: skip


def rows(
    batches: Batches, leg: str, run: str, *, effect: str = "", code: str = "", limit: int = 50, offset: int = 0,
    masked: bool = True,
) -> list[Change]:  # fmt: skip
    """Changes of a plan by key. effect: one of ``EFFECTS``.   code: a predicted one, or ``refused`` for any."""
    batch = _demanded(batches, leg, run)
    with batches.connect(memory_limit="256MB") as con:
        chosen = (
            f"SELECT * FROM {batch.scan()} WHERE {_where(effect, code)} ORDER BY _key LIMIT {limit} OFFSET {offset}"
        )
        con.execute(f"CREATE TEMP TABLE chosen AS {chosen}")
        lines = _lines_by_key(con, batch, masked=masked)
        found = con.execute("""SELECT _key, effect, _kind, target_key, code, reason_class, reason FROM chosen
            ORDER BY _key""").fetchall()
    hides = masked and batch.facts["external_id"] in batch.facts[PERSONAL]
    return [
        Change(key, what, kind, MASK if hides and at else at, code, reason_class, reason, tuple(lines.get(key, ())))
        for key, what, kind, at, code, reason_class, reason in found
    ]


def _lines_by_key(con: duckdb.DuckDBPyConnection, batch: Batch, *, masked: bool) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for key, *line in con.execute(f"""SELECT _key, field, action, before, after
            FROM ({lines(batch, 'chosen', masked=masked)}) ORDER BY _key, place""").fetchall():  # fmt: skip
        found.setdefault(key, []).append(tuple(line))
    return found


def lines(batch: Batch, rows: str, *, masked: bool = True) -> str:
    """SQL: one row per change and field: _key, effect, place, field, action, before, after, code, reason.

    Fields of which nothing is said (equal on both sides, or null on both) have the action ``same``.
    """
    hidden = set(batch.facts[PERSONAL]) if masked else set()
    structs = ", ".join(
        f"{{place: {place}, field: {literal(name)}, action: {_action(name)}, before: {_shown('before', name, hidden)}, "
        f"after: {_shown('after', name, hidden)}}}"
        for place, name in enumerate(batch.facts["fields"])
    )
    return f"""SELECT _key, effect, code, reason, unnest([{structs}], recursive := true) FROM {rows}
        WHERE effect <> 'delete' OR is_there"""


def _action(name: str) -> str:
    cases = " ".join(f"WHEN list_contains({action}s, {literal(name)}) THEN '{action}'" for action in ACTIONS[:3])
    return f"CASE {cases} ELSE 'same' END"


def _shown(side: str, name: str, hidden: set[str]) -> str:
    text = f"CAST({side}.{quoted(name)} AS VARCHAR)"
    return f"CASE WHEN {text} IS NULL THEN NULL ELSE '{MASK}' END" if name in hidden else text


def _where(effect: str, code: str) -> str:
    if effect and effect not in EFFECTS:
        raise ConfigurationError(f"effect {effect!r} is not known; legal: {', '.join(EFFECTS)}")
    tests = [f"effect = {literal(effect)}"] if effect else []
    if code:
        tests.append("code IS NOT NULL" if code == REFUSED else f"code = {literal(code)}")
    return " AND ".join(tests) or "true"


def count(batches: Batches, leg: str, run: str, *, effect: str = "", code: str = "") -> int:
    """How many changes there are of an effect, with a predicted refusal."""
    batch = _demanded(batches, leg, run)
    with batches.connect(memory_limit="256MB") as con:
        query = f"SELECT count(*) FROM {batch.scan()} WHERE {_where(effect, code)}"
        return int(con.execute(query).fetchall()[0][0])


def write_file(batches: Batches, plans: Sequence[tuple[str, str]], path: Path) -> int:
    """Write all lines of plans (leg, run) into a CSV or Parquet file, personal values masked; gives their number."""
    if path.suffix not in FORMATS:
        raise ConfigurationError(f"{path}: a plan is written as {' or '.join(FORMATS)}, by the ending of the file")
    queries = []
    for leg, run in plans:
        batch = _demanded(batches, leg, run)
        found = lines(batch, f"(SELECT * FROM {batch.scan()})")
        queries.append(f"""SELECT {literal(leg)} AS leg, _key AS key, effect, field, action, before, after, code, reason
            FROM ({found})""")
    with batches.connect(memory_limit="256MB") as con:
        every = " UNION ALL ".join(queries) or "SELECT NULL AS leg WHERE false"
        copied = con.execute(f"COPY ({every}) TO {literal(str(path))} {FORMATS[path.suffix]}").fetchall()
    return int(copied[0][0])


def refuse_unknown(site: Site, leg: str, run: str) -> None:
    """Raises ConfigurationError for a run that is no plan of the leg."""
    planned.find(site.ledger, leg, run)
    _demanded(site.batches, leg, run)


def _demanded(batches: Batches, leg: str, run: str) -> Batch:
    batch = batches.find(leg, run, PLAN)
    if batch is None:
        raise ConfigurationError(f"leg {leg}: plan {run!r} is no longer kept, or was never finished; make a new one")
    return batch
