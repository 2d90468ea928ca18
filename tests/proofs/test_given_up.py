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
AGAIN_AT_ONCE = ["run", {"mode": "changes", "fault": ["settle-before", 1], "again": True}]
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


def within_the_load(run: list[Any], *acts: list[Any]) -> list[Any]:
    return ["run", run[1] | {"load": [[2, list(act)] for act in acts]}]


def test_a_run_that_starts_anew_does_not_trust_what_it_knew_before_it_sent() -> None:
    went_back = within_the_load(AGAIN_AT_ONCE, ["edit", "a", {"name": "Ada"}, 0])
    assert told(["edit", "a", {"name": "Eve"}, 0], ["wait", 60], went_back) == ""


def test_a_run_that_starts_anew_takes_back_what_it_created_and_is_gone() -> None:
    assert told(["edit", "c", {"name": "Cy"}, 0], ["wait", 60], within_the_load(AGAIN_AT_ONCE, ["delete", "c"])) == ""


def test_what_a_backfill_has_delivered_is_no_longer_in_doubt() -> None:
    backfill = ["run", {"mode": "backfill", "window": [600, 0]}]
    assert told(["edit", "c", {"name": "Cy"}, 0], ["wait", 60], CUT, backfill, ["run", {"mode": "complete"}]) == ""


def test_what_a_later_run_could_not_deliver_is_in_doubt_still() -> None:
    refused = [
        ["edit", "c", {"name": "Cyd"}, 0],
        ["refuse", "c", 1, "rejected"],
        ["run", {"mode": "backfill", "window": [600, 0]}],
    ]
    edited = [["edit", "c", {"name": "Cy"}, 0], ["wait", 60], GIVEN_UP, *refused, ["delete", "c"]]
    assert told(*edited) == ""


def test_a_record_that_is_left_out_after_it_was_sent_is_taken_back_when_it_goes() -> None:
    hidden = [["edit", "c", {"name": "Cy"}, 0], ["wait", 60], GIVEN_UP, ["edit", "c", {"hidden": True}, 0]]
    assert told(*hidden, ["run", {"mode": "complete"}], ["wait", 60], ["delete", "c"]) == ""


def test_a_record_that_is_left_out_after_it_was_sent_is_sent_again_when_it_returns() -> None:
    hidden = [["edit", "c", {"name": "Cy"}, 0], ["wait", 60], GIVEN_UP, ["edit", "c", {"hidden": True}, 0]]
    assert told(*hidden, ["run", {"mode": "complete"}], ["wait", 60], ["edit", "c", {"hidden": False}, 0]) == ""


CREATED_AND_GONE = [["edit", "c", {"name": "Cy"}, 0], ["wait", 60], ["run", {"mode": "changes", "fault": ["load", 2]}],
                    ["delete", "c"]]  # fmt: skip


def test_what_a_load_cut_half_way_may_have_left_is_named() -> None:
    """The oracle demands the name at rest; without it the record at the target is one nobody knows of."""
    assert told(*CREATED_AND_GONE) == ""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("commerce_sync.doubt.left_behind", lambda _leg: "")
        assert "c is at the target and not at the source" in told(*CREATED_AND_GONE)


def test_it_is_named_until_it_is_sent_again() -> None:
    complete = ["run", {"mode": "complete"}]
    assert told(*CREATED_AND_GONE, ["wait", 60], complete, complete, ["run", {"mode": "changes"}]) == ""
    assert told(*CREATED_AND_GONE, ["wait", 60], complete, ["edit", "c", {"name": "Cy"}, 0]) == ""
