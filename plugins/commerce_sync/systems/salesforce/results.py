"""What came back for which row: result files and Collections answers become rows of the load batch.

Rows are matched by external id (or record id), never by position: Bulk API 2.0 does not keep the order. What a first
round delivers is written at once, job by job; what may be sent again waits in table ``results`` of the stage.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from commerce_sync.batches import Batch, BatchWriter
from commerce_sync.errors import ConfigurationError, RetryableError
from commerce_sync.systems.jobs import Loaded
from commerce_sync.systems.salesforce.cells import literal, quoted
from commerce_sync.systems.salesforce.pieces import Piece
from commerce_sync.systems.salesforce.reasons import CLASSES, FOREIGN_KEY, GONE, REDRIVEN
from commerce_sync.systems.salesforce.stage import Operation, Round, Stage

MAX_LINE_BYTES = 8_000_000
SUCCESS, FAILED, UNPROCESSED = KINDS = ("successfulResults", "failedResults", "unprocessedrecords")
ANSWER = {
    "match": pa.string(),
    "ok": pa.bool_(),
    "id": pa.string(),
    "created": pa.bool_(),
    "code": pa.string(),
    "reason": pa.string(),
    "fields": pa.string(),
    "processed": pa.bool_(),
}
"""Columns of an answer to a row; see ``RowResult``."""
NO_ANSWER = ", ".join(
    f"NULL::{'BOOLEAN' if type_ == pa.bool_() else 'VARCHAR'} AS {name}" for name, type_ in ANSWER.items()
)
THROUGH = "(r.ok AND r.code IS NULL)"
"""SQL: an answer from a job's successful results; a delete of what is gone is fine too, but has a code."""


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
    """Add Collections answers to rows that were set aside (``Stage.hold``)."""
    table = pa.table({name: pa.array([getattr(row, name) for row in rows], kind) for name, kind in ANSWER.items()})
    cursor = stage.con.cursor()
    cursor.register("answers", table)
    cursor.execute(
        f"INSERT INTO results SELECT {round_}, '{operation}', n, {_ok(operation, 'ok')}, id, created, code, "
        "reason, fields, processed FROM answers JOIN held USING (match)"
    )


def deliver(stage: Stage, round_: Round, piece: Piece, path: Path, into: BatchWriter) -> int:
    """Take the rows a job was through with from its successful results; returns how many of the piece they are.

    In a first round nothing can come after them, so they go straight into the load batch.
    """
    cursor = stage.con.cursor()
    if not _answers(cursor, stage, round_.operation, {SUCCESS: path}, unprocessed=""):
        return 0
    joined = f"FROM ({_rows(stage, round_, piece)}) s JOIN answers r USING (match)"
    if round_.number:
        return _insert(cursor, round_, f"SELECT s.n, r.* EXCLUDE (match) {joined}")
    return into.copy(cursor, f"SELECT {OUTCOME} {joined}")


def refuse(stage: Stage, round_: Round, piece: Piece, files: Mapping[str, Path], *, code: str, reason: str) -> None:
    """Take all other rows of a job: refused, not processed, or in none of its files, which get ``code``, ``reason``.

    files: all result files of the job, by kind.
    """
    cursor = stage.con.cursor()
    _answers(cursor, stage, round_.operation, files, unprocessed=code)
    missing = f"CASE WHEN r.match IS NULL THEN {literal(reason)} ELSE reason END AS reason"
    _insert(
        cursor,
        round_,
        f"SELECT s.n, coalesce(ok, false) AS ok, id, coalesce(created, false) AS created, "
        f"coalesce(code, {literal(code)}) AS code, {missing}, fields, coalesce(processed, false) AS processed "
        f"FROM ({_rows(stage, round_, piece)}) s LEFT JOIN answers r USING (match) "
        f"WHERE NOT coalesce({THROUGH}, false)",
    )


def _rows(stage: Stage, round_: Round, piece: Piece) -> str:
    """SQL of what is needed of a piece's rows to account for them."""
    return (
        f"SELECT n, _key, _target_id, match FROM ({stage.staged(first=piece.first, end=piece.end)}) "
        f"WHERE op = '{round_.operation}' AND {round_.where}"
    )


def _insert(cursor: duckdb.DuckDBPyConnection, round_: Round, answers: str) -> int:
    added = cursor.execute(f"INSERT INTO results SELECT {round_.number}, '{round_.operation}', * FROM ({answers})")
    return int(added.fetchall()[0][0])


def _answers(
    cursor: duckdb.DuckDBPyConnection,
    stage: Stage,
    operation: Operation,
    files: Mapping[str, Path],
    *,
    unprocessed: str,
) -> int:
    """Fill temporary table ``answers``, one row per match: a success counts over a failure; returns their number."""
    selects = [_file(stage, operation, kind, path, unprocessed) for kind, path in files.items()]
    none = ", ".join(
        f"NULL::{'BOOLEAN' if kind == pa.bool_() else 'VARCHAR'} AS {name}" for name, kind in ANSWER.items()
    )
    every = " UNION ALL ".join(select for select in selects if select) or f"SELECT {none} WHERE false"
    cursor.execute(f"CREATE OR REPLACE TEMP TABLE answers AS {every}")
    rows, different = cursor.execute("SELECT count(*), count(DISTINCT match) FROM answers").fetchall()[0]
    if different < rows:
        struct = ", ".join(f"{name}: {name}" for name in ANSWER)
        cursor.execute(
            f"CREATE OR REPLACE TEMP TABLE answers AS SELECT unnest(max_by({{{struct}}}, "
            "ok::INT + (code IS NULL)::INT)) FROM answers WHERE match IS NOT NULL GROUP BY match"
        )
    return int(different)


def _file(stage: Stage, operation: Operation, kind: str, path: Path, unprocessed: str) -> str:
    """SQL of the answers in a Bulk result file; empty for one without a byte.

    unprocessed: the code rows get that the job never came to.

    Source of the columns and of sf__Error's form ``CODE:message:FIELD,FIELD --``: Bulk API 2.0 Developer Guide,
    Get Job Successful / Failed / Unprocessed Record Results.
    """
    header = _header(path)
    if not header:
        return ""
    match = _column(header, stage.target.external_id if operation == "upsert" else "Id", path)
    columns = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in header)
    return (
        f"SELECT match, {_ok(operation, 'ok')} AS ok, * EXCLUDE (ok, match) FROM (SELECT {match} AS match, "
        f"{_values(kind, header, path, unprocessed)} FROM read_csv({literal(str(path))}, auto_detect = false, "
        f"header = false, skip = 1, columns = {{{columns}}}, delim = ',', quote = '\"', escape = '\"', "
        f"new_line = '\\n', parallel = false, max_line_size = {MAX_LINE_BYTES}, buffer_size = {2 * MAX_LINE_BYTES}))"
    )


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


def select_redrives(stage: Stage, operation: Operation) -> int:
    """Fill table ``redrive`` with the ordinals worth sending again (locks, transient, unprocessed); their number.

    So are rows of which the target says that they are there already, or no more, where some fields are only for new
    records (``Stage.create_only``): once.
    """
    classes = ", ".join(f"'{name}'" for name in REDRIVEN)
    stage.con.execute(
        f"CREATE OR REPLACE TABLE redrive AS SELECT n FROM ({LATEST}) WHERE op = '{operation}' "
        f"AND NOT ok AND {_class_sql()} IN ({classes})"
    )
    if operation == "upsert" and stage.create_only:
        found = (
            f"SELECT n FROM ({LATEST}) JOIN staged USING (op, n) WHERE NOT ok AND op = 'upsert' AND code = CASE WHEN "
            "_target_id IS NULL THEN 'INVALID_FIELD_FOR_INSERT_UPDATE' ELSE 'REQUIRED_FIELD_MISSING' END "
            "AND n NOT IN (SELECT n FROM turned)"
        )
        stage.con.execute(f"CREATE OR REPLACE TEMP TABLE turning AS {found}")
        stage.con.execute("INSERT INTO turned SELECT n FROM turning")
        stage.con.execute("INSERT INTO redrive SELECT n FROM turning")
    return int(stage.one("SELECT count(*) FROM redrive"))


def no_such_column(stage: Stage) -> str | None:
    """The message of a row that says a field of the mapping does not exist, None when none says so."""
    found = stage.con.execute(
        "SELECT reason FROM results WHERE code = 'INVALID_FIELD' AND reason LIKE '%No such column%' LIMIT 1"
    ).fetchall()
    return str(found[0][0]) if found else None


def publish(stage: Stage, changes: Batch, into: BatchWriter) -> Loaded:
    """Write the outcomes that are not in ``into`` yet, so that it has one row per change, and count them all.

    Raises RetryableError when rows went in that did not come out; the batch is not published then.
    """
    if stage.one("SELECT count(*) FROM results"):
        into.copy(stage.con, f"SELECT {OUTCOME} FROM staged s JOIN ({LATEST}) r USING (op, n)")
    if stage.all_rows != changes.rows:
        into.copy(stage.con, _unsent(stage))
    written = sum(part.rows for part in into.parts)
    if written != changes.rows:
        raise RetryableError(f"{changes.rows} changes went in and {written} outcomes came out; run it again")
    parts = ", ".join(literal(f"{into.uri}/{part.name}") for part in into.parts)
    counts = stage.con.execute(
        "SELECT count(*) FILTER (outcome = 'delivered'), count(*) FILTER (outcome = 'rejected'), "
        "count(*) FILTER (outcome = 'unprocessed'), count(*) FILTER (outcome = 'delivered' AND created) "
        f"FROM read_parquet([{parts}])"
    ).fetchall()[0]
    return Loaded(*counts)


def _unsent(stage: Stage) -> str:
    """SQL of the outcomes of what was not sent: ignored deletes, and rows without anything to match them by."""
    ignored = "_kind = 'DELETED' AND " + ("true" if stage.target.on_delete == "ignore" else "false")
    by_case = f"CASE WHEN {ignored} THEN {{}} WHEN _kind = 'DELETED' THEN {{}} ELSE {{}} END"
    no_target = "'no id at the target is known for it: delete it there by hand or dismiss it'"
    return (
        f"SELECT _key, CASE WHEN {ignored} THEN 'delivered' ELSE 'rejected' END AS outcome, _target_id AS target_id, "
        "false AS created, "
        f"{by_case.format('NULL', literal('NO_TARGET_ID'), literal('NO_EXTERNAL_ID'))} AS code, "
        f"{by_case.format('NULL', literal('reference'), literal('validation'))} AS reason_class, "
        f"{by_case.format('NULL', no_target, literal(_no_key(stage)))} AS reason, NULL::VARCHAR AS fields "
        f"FROM ({stage.unsent()})"
    )


def _no_key(stage: Stage) -> str:
    return f"its {stage.target.external_id} is empty: without an external id it cannot be matched again"


LATEST = (
    "SELECT * FROM results JOIN (SELECT op, n, max(round) AS round FROM results GROUP BY op, n) USING (op, n, round)"
)
"""SQL of the last result of each row."""


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


OUTCOME = (
    "s._key AS _key, CASE WHEN r.ok THEN 'delivered' WHEN r.processed IS NOT FALSE THEN 'rejected' "
    "ELSE 'unprocessed' END AS outcome, coalesce(r.id, s._target_id) AS target_id, "
    "coalesce(r.created, false) AS created, CASE WHEN NOT r.ok THEN r.code END AS code, "
    f"CASE WHEN NOT r.ok THEN {_class_sql('r.')} END AS reason_class, "
    "CASE WHEN NOT r.ok THEN r.reason END AS reason, CASE WHEN NOT r.ok THEN r.fields END AS fields"
)
"""SQL of a row of the load batch from a staged row ``s`` and its answer ``r``."""
