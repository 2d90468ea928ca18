"""include/budgets.yaml: what it may say, and what it is told when it says something else."""

from __future__ import annotations

from pathlib import Path

import pytest

from commerce_sync import budget
from commerce_sync.errors import ConfigurationError

ROOT = Path(__file__).resolve().parents[2]


def test_the_file_that_comes_along_is_in_order() -> None:
    found = budget.load(ROOT / "include" / "budgets.yaml")
    calls = found["salesforce_default"].per_day["calls"]
    assert (calls.limit, calls.reserved(100_000), calls.cushioned(100_000)) == (None, 20_000, 20_000)
    assert found["iconik_default"].per_second == 40
    assert found["opentext_iot_default"].per_second == 10


def test_without_a_file_nothing_is_limited(tmp_path: Path) -> None:
    assert budget.load(tmp_path / "none.yaml") == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: {calls_a_day: 5}", "calls_a_day is not known; legal keys: calls_per_day"),
        ("a: {calls_per_day: {limit: many}}", "limit is 'many'"),
        ("a: {calls_per_day: {limit: 100, spare: 5}}", "spare is not known; legal keys: limit, reserve, cushion"),
        ("a: {calls_per_day: {limit: 100, reserve: 100}}", "leaves nothing of limit 100"),
        ("a: {calls_per_day: {limit: 100, reserve: 110 %}}", "reserve is '110 %'"),
        ("a: {calls_per_second: 0}", "calls_per_second is 0; give a number above 0"),
        ("a: {}", "legal keys"),
        ("[a, b]", "give connections"),
        ("a: {calls_per_day: {", "not readable as YAML"),
    ],
)
def test_a_broken_file_says_where_and_what_is_legal(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "budgets.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        budget.load(path)
    assert str(path) in str(caught.value)
    assert said in str(caught.value)
