"""The replica: figures that remember, owners that vanished, and what depends on the run's time."""

import dataclasses
from datetime import date

import pytest

from commerce_sync.replica import usable
from test_replica_shared import Local

REMEMBERING = """
    SELECT coalesce(now.owner, before.owner) AS owner, coalesce(pieces, 0) AS pieces,
           greatest(coalesce(pieces, 0), coalesce(before.most, 0)) AS most
    FROM (SELECT _owner AS owner, sum(pieces)::BIGINT AS pieces FROM orders GROUP BY 1) AS now
    FULL JOIN before ON before.owner = now.owner
"""
MOST = {"most": "BIGINT"}


@pytest.fixture
def local(tmp_path) -> Local:
    found = Local(tmp_path, REMEMBERING, memory=MOST)
    found.order("o1", "a", 5)
    found.order("o2", "b", 3)
    found.run(complete=True)
    return found


def test_the_first_run_remembers_nothing(tmp_path):
    local = Local(tmp_path, "SELECT DISTINCT _owner AS owner, (SELECT count(*) FROM before) AS known FROM orders")
    local.order("o1", "a")
    assert local.run(complete=True) == {"a": {"known": 0, "as_of": date(2026, 11, 21)}}


def test_a_figure_remembers_what_it_was(local):
    local.order("o1", "a", 2)
    assert plain(local.run()) == {"a": (2, 5), "b": (3, 3)}
    local.order("o1", "a", 7)
    assert plain(local.run()) == {"a": (7, 7), "b": (3, 3)}


def test_only_touched_owners_stand_in_before(tmp_path):
    local = Local(tmp_path, """SELECT _owner AS owner, count(*) AS orders, (SELECT count(*) FROM before) AS known
        FROM orders GROUP BY 1""")  # fmt: skip
    for code, who in (("o1", "a"), ("o2", "b"), ("o3", "c")):
        local.order(code, who)
    local.run(complete=True)
    local.order("o4", "b")
    assert {owner: row["known"] for owner, row in local.run().items()} == {"a": 0, "b": 1, "c": 0}


def test_an_owner_whose_records_are_all_gone_lives_on_in_what_the_sql_gives(local):
    del local.rows["orders"]["o2"]
    assert plain(local.run(complete=True)) == {"a": (5, 5), "b": (0, 3)}
    local.order("o1", "a", 6)
    assert plain(local.run()) == {"a": (6, 6), "b": (0, 3)}, "a run that did not touch it"
    assert plain(local.run(complete=True)) == {"a": (6, 6), "b": (0, 3)}, "a complete scan"
    local.mapping = dataclasses.replace(local.mapping, aggregate=REMEMBERING + " -- again")
    assert plain(local.run()) == {"a": (6, 6), "b": (0, 3)}, "a recomputation of everything"
    local.order("o5", "b", 1)
    assert plain(local.run())["b"] == (1, 3)


def test_without_the_remembered_columns_the_memory_is_empty(local):
    local.mapping = dataclasses.replace(
        local.mapping, memory={**MOST, "least": "BIGINT"}, aggregate=REMEMBERING.replace("AS most", "AS most, 0 AS least")
    )  # fmt: skip
    local.order("o1", "a", 1)
    assert plain(local.run()) == {"a": (1, 1), "b": (3, 3)}


def test_memory_survives_a_change_of_the_sources_columns(local):
    local.order("o1", "a", 1)
    local.pointer = usable(local.mapping, {**local.pointer, "shape": "other columns"})
    assert plain(local.run(complete=True)) == {"a": (1, 5), "b": (3, 3)}


def test_a_run_that_never_settled_leaves_no_memory(local):
    settled = local.pointer
    local.order("o1", "a", 99)
    local.run()
    local.pointer = settled
    local.order("o1", "a", 4)
    assert plain(local.run())["a"] == (4, 5)


def test_a_merged_owner_does_not_haunt_the_figures(local):
    local.aliases = {"b": "a"}
    assert plain(local.run()) == {"a": (8, 8)}
    assert plain(local.run(complete=True)) == {"a": (8, 8)}
    local.aliases = {}
    assert plain(local.run()) == {"a": (5, 8), "b": (3, 3)}


def test_an_aggregate_that_reads_the_clock_is_computed_for_those_nobody_touched(tmp_path):
    local = Local(
        tmp_path, "SELECT _owner AS owner, epoch(getvariable('now')::TIMESTAMPTZ)::BIGINT AS at FROM orders GROUP BY 1"
    )
    local.order("o1", "a")
    first = local.run(complete=True)["a"]["at"]
    local.con.execute("SET VARIABLE now = TIMESTAMPTZ '2026-11-21 13:00:00+00'")
    assert local.run()["a"]["at"] == first + 3600


def plain(figures: dict) -> dict:
    return {owner: (row["pieces"], row["most"]) for owner, row in figures.items()}
