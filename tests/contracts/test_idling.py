"""Contract 4.1: a leg that has nothing to do ends after two steps at most, and proves by its run that it looked."""

from __future__ import annotations

from flows.walking import HOUSEHOLDS, SPEND, Org, Shop, Walk

READING = {"extract-source", "changes", "verdicts"}


def test_a_leg_that_reads_nothing_ends_after_extract(walk: Walk, shop: Shop, org: Org) -> None:
    shop.customers(1)
    walk.leg(HOUSEHOLDS)
    shop.remove(1)
    shop.far.reset_calls()
    run = walk.leg(HOUSEHOLDS, "changes")
    assert (run.status, run.settled, run.read) == ("green", True, 0)
    assert walk.steps_of(HOUSEHOLDS, run.run) == {"extract-source"}
    assert set(run.seconds) == {"extract"}
    assert sum(run.calls.values()) <= 2, "a token and a count"


def test_a_leg_that_finds_nothing_new_ends_after_map_changes(walk: Walk, shop: Shop, org: Org) -> None:
    shop.customers(1, 2)
    walk.leg(HOUSEHOLDS)
    org.far.reset_calls()
    run = walk.leg(HOUSEHOLDS, "changes")
    assert (run.status, run.read, run.unchanged, run.sent) == ("green", 2, 2, 0)
    assert walk.steps_of(HOUSEHOLDS, run.run) == READING
    assert "salesforce" not in run.calls
    assert org.far.calls()["total"] == 0, "the target is not even asked for a token"


def test_a_leg_with_changes_leaves_a_batch_of_every_step(walk: Walk, shop: Shop) -> None:
    shop.customers(1)
    run = walk.leg(HOUSEHOLDS)
    assert walk.steps_of(HOUSEHOLDS, run.run) == READING | {"check", "load"}
    assert set(run.seconds) == {"extract", "changes", "check", "load", "commit"}


def test_an_aggregate_without_news_computes_and_sends_nothing(walk: Walk, shop: Shop, org: Org) -> None:
    walk.leg(SPEND)
    org.far.reset_calls()
    run = walk.leg(SPEND, "changes")
    assert (run.status, run.sent, org.writes()) == ("green", 0, 0)


def test_a_step_killed_halfway_leaves_no_batch_that_counts(walk: Walk, shop: Shop) -> None:
    shop.customers(1)
    work = walk.begin(HOUSEHOLDS)
    try:
        with work.write("extract-source") as into:
            into.facts["half"] = True
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        assert walk.steps_of(HOUSEHOLDS, work.id) == set()
