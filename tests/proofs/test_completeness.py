"""A sample of the proofs: histories, the saboteur, and some known bugs; ``make prove-completeness`` runs them all.

``PROOF_HISTORIES`` asks for more than the usual sample.
"""

from __future__ import annotations

import os

import pytest

from proofs import acts, completeness, mutations
from proofs.bugs import BUGS
from proofs.cheap import cheaply

SAMPLE = int(os.environ.get("PROOF_HISTORIES", "40"))
QUICK = ("results matched by position", "marker for rejected rows", "deletes from an incremental run")


@pytest.mark.parametrize("first", range(0, SAMPLE, 20))
def test_in_random_histories_nothing_is_lost_invented_or_doubled(first: int) -> None:
    found = completeness.histories(first, min(20, SAMPLE - first))
    assert found.failed == {}, "tell it with: python -m proofs completeness --verbose --seed N"
    assert found.counts["writes: delivered"] > found.histories


def test_a_saboteur_between_the_steps_is_caught() -> None:
    found = completeness.rounds(10_000, 25)
    assert found.failed == {}
    assert len({what.rpartition(" of ")[2] for what, _said in found.rounds}) > 5, "at many places"


def test_a_history_is_the_same_whenever_it_is_drawn() -> None:
    assert acts.history(7) == acts.history(7)
    assert acts.history(7) != acts.history(8)


@pytest.mark.parametrize("bug", [bug for bug in BUGS if bug.name in QUICK], ids=lambda bug: bug.name)
def test_a_known_bug_put_back_is_noticed(bug) -> None:
    check, said = mutations.caught(bug, histories=20, seed=0)
    assert check, f"nobody noticed {bug.name}: {said}"


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_every_known_bug_can_still_be_put_back(bug) -> None:
    for name, text in mutations.edited(bug).items():
        compile(text, name, "exec")


def test_a_failing_history_is_shrunk_to_what_matters(monkeypatch: pytest.MonkeyPatch) -> None:
    """An oracle that takes a certain edit for a fault: everything but that edit goes."""
    plan = acts.history(3)
    guilty = next(act for act in plan.acts if act[0] == "edit")

    def played(shorter: acts.History, _ground: object) -> tuple[str, None]:
        return ("fault" if guilty in shorter.acts else "", None)

    monkeypatch.setattr(completeness, "played", played)
    with cheaply() as ground:
        assert completeness.shrunk(plan, ground).acts == [guilty]
