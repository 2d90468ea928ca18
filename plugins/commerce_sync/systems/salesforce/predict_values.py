"""Which values a field refuses, by its describe: rules over the cells of ``travelling`` (see ``predict``).

A cell is text, empty (clears the field) or NULL (not sent). Source: Object Reference, Field Types; REST API Developer
Guide, sObject Describe (length, precision, scale, restrictedPicklist).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from commerce_sync.systems.foreseen import Rule, literal
from commerce_sync.systems.salesforce.cells import Column

Spec = dict[str, Any]
"""One field of a describe."""
TEXTS = ("string", "textarea", "phone", "url", "email", "picklist", "multipicklist", "combobox", "encryptedstring")
NUMBERS = ("double", "currency", "percent")
LARGEST_INT = 2**31 - 1
EMAIL = r"^[^@\s\p{Z},;<>()\"]+@[^@\s\p{Z}.]+(\.[^@\s\p{Z}.]+)+$"
DATE = r"^\d{4}-\d\d-\d\d(T.*)?$"
MOMENT = r"^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d(:?\d\d)?)?)?$"
ID = r"^[A-Za-z0-9]{15}([A-Za-z0-9]{3})?$"
WRONG = "INVALID_TYPE_ON_FIELD_IN_RECORD"


@dataclass(frozen=True, slots=True)
class Traveller:
    """A mapped field on its way. spec: of the field that is written (for a lookup the one that holds the id).

    cell: its column of ``travelling``.   type_text: DuckDB type of its values.
    """

    column: Column
    spec: Spec
    cell: str
    type_text: str

    @property
    def name(self) -> str:
        """As the mapping has it."""
        return self.column.field.name

    @property
    def label(self) -> str:
        return str(self.spec["label"])


def value_rules(travellers: Sequence[Traveller], keys: Mapping[str, Spec]) -> list[Rule]:
    """Rules of all fields. keys: lookup -> spec of the parent's external id, whose value travels in its place."""
    lookups = [item for item in travellers if item.name in keys]
    rules = [rule for item in lookups for rule in _of(keys[item.name], item)]
    return rules + [rule for item in travellers if not item.column.field.lookup for rule in _of(item.spec, item)]


def _of(spec: Spec, item: Traveller) -> list[Rule]:
    kind = spec["type"]
    if kind in TEXTS:
        return _texts(spec, item)
    if kind in NUMBERS:
        return _numbers(spec, item)
    if kind == "int":
        return _whole(spec, item)
    if kind in TESTS:
        return [_wrong(spec, item, unless=TESTS[kind](item.cell))]
    if kind in ("reference", "id"):
        text = f"{literal(str(spec['label']) + ': id value of incorrect type: ')} || {item.cell}"
        return [_rule(spec, f"NOT regexp_matches({item.cell}, '{ID}')", item, "MALFORMED_ID", text)]
    return []


def _rule(spec: Spec, when: str, item: Traveller, code: str, text: str, *, code_sql: str = "") -> Rule:
    return Rule(f"({item.cell} <> '' AND {when})", code, "validation", text, str(spec["name"]), code_sql=code_sql)


def _texts(spec: Spec, item: Traveller) -> list[Rule]:
    cell, label = item.cell, str(spec["label"])
    rules: list[Rule] = []
    if item.type_text == "BOOLEAN":
        rules.append(_wrong(spec, item, unless="_bulk"))
    if length := spec["length"]:
        text = f"{literal(label + ': data value too large: ')} || left({cell}, 255) || ' (max length={length})'"
        rules.append(_rule(spec, f"length({cell}) > {length}", item, "STRING_TOO_LONG", text))
    if spec["restrictedPicklist"]:
        text = f"{literal(label + ': bad value for restricted picklist field: ')} || {cell}"
        rules.append(_rule(spec, _not_listed(spec, cell), item, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", text))
    if spec["type"] == "email":
        text = f"{literal(label + ': invalid email address: ')} || {cell}"
        rules.append(_rule(spec, f"NOT regexp_matches({cell}, {literal(EMAIL)})", item, "INVALID_EMAIL_ADDRESS", text))
    return rules


def _not_listed(spec: Spec, cell: str) -> str:
    active = ", ".join(literal(str(one["value"])) for one in spec["picklistValues"] if one["active"])
    if spec["type"] == "multipicklist":
        return f"NOT list_has_all([{active}]::VARCHAR[], string_split({cell}, ';'))"
    return f"NOT list_contains([{active}]::VARCHAR[], {cell})"


def _numbers(spec: Spec, item: Traveller) -> list[Rule]:
    number = f"TRY_CAST({item.cell} AS DOUBLE)"
    most = f"1e{int(spec['precision']) - int(spec['scale'])}"
    return [
        _wrong(spec, item, unless=f"{number} IS NOT NULL"),
        _out_of_range(spec, item, f"abs({number}) >= {most}"),
    ]


def _whole(spec: Spec, item: Traveller) -> list[Rule]:
    number = f"TRY_CAST({item.cell} AS DOUBLE)"
    return [
        _wrong(spec, item, unless=f"coalesce({number} = trunc({number}), false)"),
        _out_of_range(spec, item, f"abs({number}) > {LARGEST_INT}"),
    ]


def _out_of_range(spec: Spec, item: Traveller, when: str) -> Rule:
    text = f"{literal(str(spec['label']) + ': value outside of valid range on numeric field: ')} || {item.cell}"
    return _rule(spec, when, item, "NUMBER_OUTSIDE_VALID_RANGE", text)


def _wrong(spec: Spec, item: Traveller, *, unless: str) -> Rule:
    """A value of another type: JSON's own types are refused by the parser, texts by the field."""
    text = f"{literal(str(spec['label']) + ': value not of required type: ')} || {item.cell}"
    code = f"CASE WHEN _bulk THEN '{WRONG}' ELSE 'JSON_PARSER_ERROR' END" if item.column.kind == "raw" else ""
    return _rule(spec, f"NOT ({unless})", item, WRONG, text, code_sql=code)


def _boolean(cell: str) -> str:
    return f"lower({cell}) IN ('true', 'false', '1', '0')"


def _date(cell: str) -> str:
    return f"regexp_matches({cell}, '{DATE}') AND TRY_CAST(left({cell}, 10) AS DATE) IS NOT NULL"


def _moment(cell: str) -> str:
    return f"regexp_matches({cell}, '{MOMENT}') AND TRY_CAST({cell} AS TIMESTAMPTZ) IS NOT NULL"


TESTS: dict[str, Callable[[str], str]] = {"boolean": _boolean, "date": _date, "datetime": _moment}
"""Field type -> SQL: whether a cell can be read as one."""
