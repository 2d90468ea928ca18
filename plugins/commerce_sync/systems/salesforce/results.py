"""What came back for which row: result files and Collections answers become rows of the stage's results.

Rows are matched by external id (or record id), never by position: Bulk API 2.0 does not keep the order.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from commerce_sync.batches import Batch, BatchWriter
from commerce_sync.errors import ConfigurationError, RetryableError
from commerce_sync.systems.jobs import Loaded
from commerce_sync.systems.salesforce.cells import literal, quoted
from commerce_sync.systems.salesforce.reasons import CLASSES, FOREIGN_KEY, GONE, REDRIVEN
from commerce_sync.systems.salesforce.stage import Operation, Stage

MAX_LINE_BYTES = 8_000_000
SUCCESS, FAILED, UNPROCESSED = "successfulResults", "failedResults", "unprocessedrecords"


@dataclass(frozen=True, slots=True)
class RowResult:
    """One row's answer from Collections."""

    match: str
    ok: bool
    id: str | None = None
    created: bool = False
    code: str | None = None
    reason: str | None = None
    fields: str | None = None
    processed: bool = True


def add_rows(stage: Stage, operation: Operation, round_: int, rows: Sequence[RowResult]) -> None:
    """Add Collections answers."""
    names = ("match", "ok", "id", "created", "code", "reason", "fields", "processed")
    types = (
        pa.string(),
        pa.bool_(),
        pa.string(),
        pa.bool_(),
        pa.string(),
        pa.string(),
        pa.string(),
        pa.bool_(),
    )
    table = pa.table(
        {name: pa.array([getattr(row, name) for row in rows], type_) for name, type_ in zip(names, types, strict=True)}
    )
    cursor = stage.con.cursor()
    cursor.register("answers", table)
    cursor.execute(
        f"INSERT INTO results SELECT {round_}, '{operation}', match, {_ok(operation, 'ok')}, id, created, code, "
        "reason, fields, processed FROM answers"
    )


def add_file(stage: Stage, operation: Operation, round_: int, *, kind: str, path: Path, unprocessed: str) -> int:
    """Add a Bulk result file and return its rows; a file without rows or without a byte is fine.

    unprocessed: the code rows get that the job never came to.

    Source of the columns and of sf__Error's form ``CODE:message:FIELD,FIELD --``: Bulk API 2.0 Developer Guide,
    Get Job Successful / Failed / Unprocessed Record Results.
    """
    header = _header(path)
    if not header:
        return 0
    key = stage.target.external_id if operation == "upsert" else "Id"
    match = _column(header, key, path)
    columns = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in header)
    values = _values(kind, header, path, unprocessed)
    added = stage.con.cursor().execute(
        f"INSERT INTO results SELECT {round_}, '{operation}', match, {_ok(operation, 'ok')}, * EXCLUDE (ok, "
        f"match) FROM (SELECT {match} AS match, {values} FROM read_csv({literal(str(path))}, auto_detect = false, "
        f"header = false, skip = 1, columns = {{{columns}}}, delim = ',', quote = '\"', escape = '\"', "
        f"new_line = '\\n', parallel = false, max_line_size = {MAX_LINE_BYTES}))"
    )
    return int(added.fetchall()[0][0])


def _values(kind: str, header: list[str], path: Path, unprocessed: str) -> str:
    if kind == SUCCESS:
        return (
            f"true AS ok, {_column(header, 'sf__Id', path)} AS id, "
            f"lower({_column(header, 'sf__Created', path)}) = 'true' AS created, NULL::VARCHAR AS code, "
            "NULL::VARCHAR AS reason, NULL::VARCHAR AS fields, true AS processed"
        )
    if kind == UNPROCESSED:
        return (
            f"false AS ok, NULL::VARCHAR AS id, false AS created, '{unprocessed}' AS code, "
            "'its bulk job ended before this row' AS reason, NULL::VARCHAR AS fields, false AS processed"
        )
    error = _column(header, "sf__Error", path)
    ending = r":([A-Za-z0-9_., ]*?) ?--\s*$"
    return (
        f"false AS ok, nullif({_column(header, 'sf__Id', path)}, '') AS id, false AS created, "
        f"regexp_extract({error}, '^([A-Za-z0-9_]+):', 1) AS code, "
        f"regexp_replace(regexp_replace({error}, '^[A-Za-z0-9_]+:', ''), '{ending}', '') AS reason, "
        f"nullif(trim(regexp_extract({error}, '{ending}', 1)), '') AS fields, true AS processed"
    )


def add_missing(stage: Stage, operation: Operation, round_: int, *, where: str, code: str, reason: str) -> None:
    """Give every row that meets ``where`` and has no result of this round one that says so."""
    stage.con.cursor().execute(
        f"INSERT INTO results SELECT {round_}, '{operation}', match, false, NULL, false, ?, ?, NULL, false "
        f"FROM staged WHERE op = '{operation}' AND {where} AND match NOT IN "
        f"(SELECT match FROM results WHERE round = {round_} AND op = '{operation}' AND match IS NOT NULL)",
        [code, reason],
    )


def select_redrives(stage: Stage, operation: Operation) -> int:
    """Fill table ``redrive`` with the ordinals worth sending again (locks, transient, unprocessed); their number."""
    classes = ", ".join(f"'{name}'" for name in REDRIVEN)
    stage.con.execute(
        f"CREATE OR REPLACE TABLE redrive AS SELECT n FROM staged JOIN ({_latest(stage)}) USING (op, match) "
        f"WHERE op = '{operation}' AND NOT ok AND {_class_sql()} IN ({classes})"
    )
    return int(stage.one("SELECT count(*) FROM redrive"))


def no_such_column(stage: Stage) -> str | None:
    """The message of a row that says a field of the mapping does not exist, None when none says so."""
    found = stage.con.execute(
        "SELECT reason FROM results WHERE code = 'INVALID_FIELD' AND reason LIKE '%No such column%' LIMIT 1"
    ).fetchall()
    return str(found[0][0]) if found else None


def publish(stage: Stage, changes: Batch, into: BatchWriter) -> Loaded:
    """Write one row per change to ``into`` and count the outcomes.

    Raises RetryableError when rows went in that did not come out; the batch is not published then.
    """
    into.copy(stage.con, _outcomes(stage, changes, _latest(stage)))
    if into.parts[-1].rows != changes.rows:
        # A row with two results in one round: rare enough to look for only when the counts differ.
        into.parts.pop()
        into.copy(stage.con, _outcomes(stage, changes, LATEST))
    written = into.parts[-1]
    if written.rows != changes.rows:
        raise RetryableError(f"{changes.rows} changes went in and {written.rows} outcomes came out; run it again")
    counts = stage.con.execute(
        "SELECT count(*) FILTER (outcome = 'delivered'), count(*) FILTER (outcome = 'rejected'), "
        "count(*) FILTER (outcome = 'unprocessed'), count(*) FILTER (outcome = 'delivered' AND created) "
        f"FROM read_parquet({literal(f'{into.uri}/{written.name}')})"
    ).fetchall()[0]
    return Loaded(*counts)


def _outcomes(stage: Stage, changes: Batch, latest: str) -> str:
    """SQL of the load batch: what was sent with its results, and what was not sent, if anything."""
    sent = (
        "SELECT s._key, CASE WHEN r.ok THEN 'delivered' WHEN r.processed IS NOT FALSE THEN 'rejected' "
        "ELSE 'unprocessed' END AS outcome, coalesce(r.id, s._target_id) AS target_id, "
        "coalesce(r.created, false) AS created, CASE WHEN NOT r.ok THEN r.code END AS code, "
        f"CASE WHEN NOT r.ok THEN {_class_sql('r.')} END AS reason_class, "
        "CASE WHEN NOT r.ok THEN r.reason END AS reason, CASE WHEN NOT r.ok THEN r.fields END AS fields "
        f"FROM staged s JOIN ({latest}) r ON r.op = s.op AND r.match = s.match"
    )
    if stage.one("SELECT count(*) FROM staged") == changes.rows:
        return sent
    ignored = "_kind = 'DELETED' AND " + ("true" if stage.target.on_delete == "ignore" else "false")
    by_case = f"CASE WHEN {ignored} THEN {{}} WHEN _kind = 'DELETED' THEN {{}} ELSE {{}} END"
    no_target = "'no id at the target is known for it: delete it there by hand or dismiss it'"
    return (
        f"{sent} UNION ALL SELECT _key, CASE WHEN {ignored} THEN 'delivered' ELSE 'rejected' END, _target_id, false, "
        f"{by_case.format('NULL', literal('NO_TARGET_ID'), literal('NO_EXTERNAL_ID'))}, "
        f"{by_case.format('NULL', literal('reference'), literal('validation'))}, "
        f"{by_case.format('NULL', no_target, literal(_no_key(stage)))}, NULL "
        f"FROM {changes.scan()} WHERE _key NOT IN (SELECT _key FROM staged)"
    )


def _no_key(stage: Stage) -> str:
    return f"its {stage.target.external_id} is empty: without an external id it cannot be matched again"


LATEST = (
    "SELECT op, match, unnest(max_by({ok: ok, id: id, created: created, code: code, reason: reason, "
    "fields: fields, processed: processed}, round * 2 + ok::INT)) FROM results GROUP BY op, match"
)
"""SQL of the last result of each row; within a round a success counts over a failure."""


def _latest(stage: Stage) -> str:
    """The last results; without a second round, which is the usual case, no row has two."""
    return LATEST if stage.one("SELECT max(round) FROM results") else "SELECT * FROM results"


def _class_sql(prefix: str = "") -> str:
    cases = " ".join(f"WHEN '{code}' THEN '{name}'" for code, name in CLASSES.items() if code != "INVALID_FIELD")
    return (
        f"CASE WHEN {prefix}code = 'INVALID_FIELD' THEN CASE WHEN {prefix}reason LIKE '%{FOREIGN_KEY}%' "
        f"THEN 'reference' ELSE 'permission' END WHEN {prefix}code LIKE 'INSUFFICIENT_ACCESS%' THEN 'permission' "
        f"ELSE CASE {prefix}code {cases} ELSE 'unknown' END END"
    )


def _ok(operation: Operation, ok: str) -> str:
    """A record that is gone needs no delete and no farewell."""
    if operation == "upsert":
        return ok
    return f"({ok} OR coalesce(code IN {GONE!r}, false))"


def _header(path: Path) -> list[str]:
    if not path.exists():
        return []
    with path.open(encoding="utf-8-sig", newline="") as source:
        return next(csv.reader(source), [])


def _column(header: list[str], name: str, path: Path) -> str:
    for column in header:
        if column.lower() == name.lower():
            return quoted(column)
    raise ConfigurationError(f"result file {path.name} has no column {name!r}; it has: {', '.join(header)}")


def empty() -> pa.Table:
    """The load batch without a row."""
    text = ("_key", "outcome", "target_id", "code", "reason_class", "reason", "fields")
    fields = [pa.field(name, pa.string()) for name in text]
    fields.insert(3, pa.field("created", pa.bool_()))
    return pa.schema(fields).empty_table()
