"""Holds what Salesforce shows against what the oracle computed: every figure of every account, exactly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from demo.oracle import FIELDS, Figures, Value

Records = Mapping[str, Mapping[str, Any]]
"""Records by their external id; values as the REST API gives them, fractions as Decimal."""


@dataclass(frozen=True, slots=True)
class Exactness:
    """Result of a comparison. ``differences``: one sentence per figure that is not equal."""

    accounts_compared: int
    figures_compared: int
    max_difference: Decimal
    differences: tuple[str, ...]


def compare(expected: Mapping[str, Figures], found: Records) -> Exactness:
    """Compare all accounts. One without any order may show no figure at all, or a count and a spend of 0."""
    sentences = [f"account {key} has orders but is not in Salesforce" for key in expected if key not in found]
    largest = Decimal(0)
    for key, record in found.items():
        wanted = expected.get(key)
        for name in FIELDS:
            shown, should = normal(name, record.get(name)), wanted[name] if wanted else None
            if shown == should or (wanted is None and shown == 0):
                continue
            sentences.append(f"account {key}: {name} is {shown}, recomputed {should}")
            largest = max(largest, _distance(shown, should))
    return Exactness(
        accounts_compared=len(found),
        figures_compared=len(found) * len(FIELDS),
        max_difference=largest,
        differences=tuple(sentences),
    )


def normal(name: str, value: object) -> Value:
    """A value read from Salesforce in the oracle's terms: Decimal, date or text; an empty text is null."""
    if value is None or value == "":
        return None
    if name.endswith("_Purchase__c"):
        return date.fromisoformat(str(value))
    if isinstance(value, int | Decimal):
        return Decimal(value)
    return str(value)


def _distance(shown: Value, should: Value) -> Decimal:
    """Between two numbers; a number that is missing on one side counts in full, other values count as 0."""
    numbers = [item for item in (shown, should) if isinstance(item, Decimal)]
    return abs(numbers[0] - numbers[1]) if len(numbers) == 2 else max(map(abs, numbers), default=Decimal(0))


def changed_keys(before: Records, after: Records) -> set[str]:
    """Records that came, went or differ in any field, the system's time stamps included."""
    return {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
