"""Which values a property refuses, by its Edm type: rules over the values of ``travelling`` (see ``predict``).

Source: fact sheet, 2.4 (JSON value encoding), 2.5 (``odata_error``); how values are spelled: ``payload.primitive``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from commerce_sync.mapping import Field
from commerce_sync.systems.foreseen import Rule, literal, quoted
from commerce_sync.systems.sap_commerce.protocol import REASON_CLASSES
from commerce_sync.systems.sap_commerce.schema import EntityType

INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT")
FRACTIONS = ("DOUBLE", "FLOAT", "DECIMAL")
NUMBERS = (*INTEGERS, *FRACTIONS)
SMALL = {"Edm.Int32": 2**31, "Edm.Int16": 2**15, "Edm.Byte": 2**8, "Edm.SByte": 2**7}
LONG = 2**63
MOMENT = r"^(/Date\(-?\d+([+-]\d+)?\)/|\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?)?(Z|[+-]\d\d:?\d\d)?)$"


@dataclass(frozen=True, slots=True)
class Sent:
    """A mapped field on its way. number: its place, which names its columns.   type_text: DuckDB type of its values."""

    field: Field
    number: int
    type_text: str

    @property
    def value(self) -> str:
        return f"c{self.number}"

    @property
    def columns(self) -> str:
        """SQL of its columns of ``travelling``: the value, and whether the body has no such member."""
        name, left = quoted(self.field.name), f"list_contains(_leave, {literal(self.field.name)})"
        absent = f"({left} OR {name} IS NULL)" if self.field.on_null == "leave" else left
        return f"CASE WHEN NOT {left} THEN {name} END AS {self.value}, coalesce({absent}, false) AS a{self.number}"

    @property
    def present(self) -> str:
        """SQL: whether it has a value."""
        return f"({self.value} IS NOT NULL)"

    @property
    def nulled(self) -> str:
        """SQL: whether it is sent as null."""
        return f"({self.value} IS NULL AND NOT a{self.number})"


def refusal(when: str, code: str, text: str, name: str) -> Rule:
    """A rule with the shop's code, classified as its answers are."""
    return Rule(when, code, REASON_CLASSES[code], text, name)


def typed(entity: EntityType, name: str, sent: Sent, *, where: str) -> Iterator[Rule]:
    """A value that the property's type does not take."""
    known = entity.properties.get(name)
    fits = "true" if known is None else _fits(known.type, sent)
    if fits != "true":
        text = (
            f"{literal(f'Invalid value for property [{name}] of [{entity.name}]: ')} || CAST({sent.value} AS VARCHAR)"
        )
        yield refusal(f"({where} AND {sent.present} AND NOT ({fits}))", "odata_error", text, sent.field.name)


def _fits(edm: str, sent: Sent) -> str:
    """SQL: whether a value is one of an Edm type."""
    kind = sent.type_text.upper().partition("(")[0]
    if sent.type_text.endswith("]") or kind in ("STRUCT", "MAP", "UNION", "JSON"):
        return "true"
    if edm == "Edm.String":
        return "false" if kind == "BOOLEAN" else "true"
    if edm == "Edm.Boolean":
        return "true" if kind == "BOOLEAN" else "false"
    if edm in SMALL or edm == "Edm.Int64":
        return _whole(edm, kind, sent.value)
    if edm in ("Edm.Double", "Edm.Single", "Edm.Decimal"):
        return _number(kind, sent.value)
    if edm == "Edm.DateTime":
        return _moment(kind, sent.value)
    return "true"


def _whole(edm: str, kind: str, value: str) -> str:
    """Small ones are JSON numbers, long ones texts."""
    if edm == "Edm.Int64":
        parsed = f"TRY_CAST({value} AS HUGEINT)"
        shape = "true" if kind in INTEGERS else f"regexp_matches(CAST({value} AS VARCHAR), '^[+-]?\\d+$')"
        return (
            "false"
            if kind == "BOOLEAN"
            else f"({shape} AND coalesce({parsed} >= -{LONG} AND {parsed} < {LONG}, false))"
        )
    if kind not in NUMBERS:
        return "false"
    limit = SMALL[edm]
    return f"({value} = trunc({value}) AND {value} >= -{limit} AND {value} < {limit})"


def _number(kind: str, value: str) -> str:
    if kind in NUMBERS:
        return "true"
    return f"coalesce(isfinite(TRY_CAST({value} AS DOUBLE)), false)" if kind == "VARCHAR" else "false"


def _moment(kind: str, value: str) -> str:
    if kind.startswith(("TIMESTAMP", "DATE")):
        return "true"
    return f"regexp_matches({value}, '{MOMENT}')" if kind == "VARCHAR" else "false"
