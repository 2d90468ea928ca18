"""Aliases: a merged record is found where it lives on, however often it was merged, until the merge is undone."""

from __future__ import annotations

import pytest

SF, ACCOUNT = "salesforce", "Account"

CIRCLE = """
import sys
from commerce_sync.ledger import Ledger
ledger = Ledger.open(sys.argv[1], files=sys.argv[2])
number = int(sys.argv[3])
step = {"lost": "AB"[number], "now": "BA"[number]}
print(ledger.put_aliases("salesforce", "Account", [step]).written)
"""


@pytest.fixture
def put(ledger):
    def _put(*steps, gone=()):
        rows = [{"lost": lost, "now": now, "lost_id": f"id-{lost}", "now_id": f"id-{now}"} for lost, now in steps]
        return ledger.put_aliases(SF, ACCOUNT, rows, gone=gone)

    return _put


@pytest.fixture
def found(ledger):
    return lambda: ledger.aliases(SF, ACCOUNT)


def test_a_chain_is_followed_to_its_end(put, found, ledger):
    assert put(("A", "B"), ("B", "C"), ("D", "B")).written == 3
    assert found() == {"A": "C", "B": "C", "D": "C"}
    row = ledger.aliases_table(SF, ACCOUNT).to_pylist()[0]
    assert (row["lost"], row["now"], row["lost_id"], row["now_id"]) == ("A", "C", "id-A", "id-C")


def test_an_undone_merge_takes_back_its_own_step_only(put, found):
    put(("A", "B"), ("B", "C"))
    assert put(gone=["B", "unknown"]).removed == 1
    assert found() == {"A": "B"}


def test_a_merge_that_is_corrected_replaces_the_first_one(put, found):
    put(("A", "B"))
    put(("A", "C"))
    assert found() == {"A": "C"}


@pytest.mark.parametrize("step", [("A", "A"), ("C", "A"), ("B", "A")])
def test_a_circle_is_refused_and_the_others_are_written(put, found, step):
    put(("A", "B"), ("B", "C"))
    linked = put(step, ("X", "A"))
    assert linked.written == 1
    assert "cannot live on in itself" in linked.refused[step[0]]
    assert found() == {"A": "C", "B": "C", "X": "C"}


def test_a_circle_within_one_delivery_is_refused(put, found):
    assert set(put(("A", "B"), ("B", "A")).refused) == {"B"}
    assert found() == {"A": "B"}


def test_a_merge_may_turn_round_when_the_old_step_goes_with_it(put, found):
    put(("A", "B"))
    assert put(("B", "A"), gone=["A"]).refused == {}
    assert found() == {"B": "A"}


def test_processes_that_each_add_half_of_a_circle_do_not_close_it(url, tmp_path, processes, found):
    printed = processes(CIRCLE, url, str(tmp_path / "files"), number=2)
    assert sorted(printed) == ["0", "1"]
    assert len(found()) == 1


@pytest.mark.parametrize("step", [(None, "B"), ("A", None), ("A", "")])
def test_a_step_without_both_ids_is_refused(put, found, step):
    assert "is empty" in next(iter(put(step).refused.values()))
    assert found() == {}


def test_objects_and_systems_are_apart(put, ledger):
    put(("A", "B"))
    assert ledger.aliases(SF, "Contact") == ledger.aliases("iconik", ACCOUNT) == {}


def test_the_same_steps_again_change_nothing(put, found):
    steps = [(f"A{number}", f"A{number + 1}") for number in range(3000)]
    put(*steps)
    assert put(*steps).refused == {}
    assert set(found().values()) == {"A3000"}


def test_duckdb_joins_the_aliases_of_an_object_that_has_none(ledger, con, put):
    con.register("aliases", ledger.aliases_table(SF, ACCOUNT))
    assert con.execute("SELECT lost, now FROM aliases").fetchall() == []
    put(("A", "B"))
    con.register("aliases", ledger.aliases_table(SF, ACCOUNT))
    query = "SELECT coalesce(a.now, o.owner) FROM (VALUES ('A'), ('Z')) AS o(owner) LEFT JOIN aliases a ON lost = owner"
    assert sorted(con.execute(query).fetchall()) == [("B",), ("Z",)]
