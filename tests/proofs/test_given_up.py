"""A run that ended between its load and its commit, and was not tried again, leaves nothing behind and hides nothing."""

from __future__ import annotations

from typing import Any

import pytest

from proofs import completeness
from proofs.acts import History
from proofs.cheap import cheaply

SETTING = {
    "overlap_s": 300, "page_rows": 1000, "paging": "keyset", "grain_ms": 1000, "precision": "seconds",
    "concurrency": 1, "on_delete": "delete", "on_leave": "ignore", "skew_s": 0, "held": False,
}  # fmt: skip
BEGUN: list[Any] = [["edit", "a", {"name": "Ada"}, 0], ["edit", "b", {"name": "Bob"}, 0], ["wait", 60],
                    ["run", {"mode": "auto"}], ["wait", 60]]  # fmt: skip
GIVEN_UP = ["run", {"mode": "changes", "fault": ["settle-before", 1]}]
CUT = ["run", {"mode": "changes", "fault": ["load", 2]}]
AGAIN = [["wait", 60], ["run", {"mode": "changes"}], ["wait", 60], ["run", {"mode": "complete"}]]


def told(*acts: Any) -> str:
    with cheaply() as ground:
        return completeness.played(History(0, SETTING, [*BEGUN, *acts, *AGAIN]), ground)[0]


@pytest.mark.parametrize("ending", [GIVEN_UP, CUT], ids=["before its commit", "in its load"])
def test_a_value_that_went_back_is_sent_although_its_marker_looks_the_same(ending: Any) -> None:
    edited = [["edit", "a", {"name": "Eve"}, 0], ["wait", 60], ending, ["edit", "a", {"name": "Ada"}, 0]]
    assert told(*edited) == ""


def test_a_record_that_was_created_and_is_gone_by_the_next_run_is_taken_back() -> None:
    assert told(["edit", "c", {"name": "Cy"}, 0], ["wait", 60], GIVEN_UP, ["delete", "c"]) == ""


def test_a_record_that_was_deleted_and_is_there_again_is_created_again() -> None:
    deleted = ["run", {"mode": "complete", "fault": ["settle-before", 1]}]
    assert told(["delete", "a"], ["wait", 60], deleted, ["edit", "a", {"name": "Ada"}, 0]) == ""


def test_what_a_later_run_has_handled_is_no_longer_in_doubt() -> None:
    edited = [["edit", "c", {"name": "Cy"}, 0], ["wait", 60], GIVEN_UP, ["wait", 60], ["run", {"mode": "changes"}]]
    assert told(*edited, ["run", {"mode": "changes"}]) == ""
