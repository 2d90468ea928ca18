"""What a target would refuse, told before it is asked: rules over the rows of a plan, as SQL.

A system that can tell has ``predict(target, fields, con, *, rows, types) -> Foreseen``. ``rows`` names a relation of
the DuckDB session ``con`` with the columns of a change batch, and ``_there``, whether the target has the record, and
``_leave``, the names of the fields that are not sent for a row. Relation ``coming`` (object, external_id, key) has the
records that are not there yet, but will be when the row is sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

COMING = "coming"
NONE = """SELECT NULL::VARCHAR AS _key, NULL::VARCHAR AS code, NULL::VARCHAR AS reason_class, NULL::VARCHAR AS reason,
    NULL::VARCHAR AS fields WHERE false"""
"""SQL of no refusals."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A reason to refuse a row. when: SQL condition.   code: the far side's, or SQL in ``code_sql`` where it depends.

    reason: SQL of the far side's sentence.   fields: names it complains about, or SQL in ``fields_sql``.
    """

    when: str
    code: str
    reason_class: str
    reason: str
    fields: str = ""
    code_sql: str = ""
    fields_sql: str = ""


@dataclass(frozen=True, slots=True)
class Foreseen:
    """refusals: SQL with ``_key``, ``code``, ``reason_class``, ``reason``, ``fields``, at most one row per key.

    stops: why the whole load would not begin.   warnings: what may go wrong, and what cannot be told.
    """

    refusals: str = NONE
    stops: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def first(rules: Sequence[Rule], rows: str) -> str:
    """SQL of the refusals: of the rules a row of ``rows`` meets, the first."""
    if not rules:
        return NONE
    met = " ".join(f"WHEN {rule.when} THEN {number}" for number, rule in enumerate(rules))
    columns = {
        "code": [rule.code_sql or literal(rule.code) for rule in rules],
        "reason_class": [literal(rule.reason_class) for rule in rules],
        "reason": [rule.reason for rule in rules],
        "fields": [rule.fields_sql or literal(rule.fields) for rule in rules],
    }
    given = ", ".join(f"{_chosen(values)} AS {name}" for name, values in columns.items())
    return f"SELECT _key, {given} FROM (SELECT *, CASE {met} END AS _rule FROM ({rows})) WHERE _rule IS NOT NULL"


def _chosen(values: Sequence[str]) -> str:
    return f"CASE _rule {' '.join(f'WHEN {number} THEN {value}' for number, value in enumerate(values))} END"


def literal(text: str) -> str:
    """A SQL string."""
    return "'" + text.replace("'", "''") + "'"


def quoted(name: str) -> str:
    """A SQL identifier."""
    return '"' + name.replace('"', '""') + '"'
