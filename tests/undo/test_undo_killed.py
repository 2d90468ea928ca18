"""Killed anywhere and started again, an undo ends as if nothing had happened; so do the images of a killed run."""

from __future__ import annotations

import os

import pytest

from commerce_sync import flow, undo
from commerce_sync import walk as walks
from commerce_sync.errors import ConfigurationError
from commerce_sync.window import Request
from flows.walking import HOUSEHOLDS, Org, Shop, Walk
from undo.dying_undo import RUN_POINTS, UNDO_POINTS, dies, running, undoing
from undo.taking_back import Back

FIELDS = ("Name", "Phone", "BillingCity", "Commerce_Active__c")


def shown(org: Org) -> dict[str, tuple[object, ...]]:
    return {key: tuple(row[name] for name in FIELDS) for key, row in org.accounts.items()}


def changed_town(walk: Walk, shop: Shop, back: Back) -> None:
    back.keep(HOUSEHOLDS)
    shop.customers(1, 2, 3)
    walk.leg(HOUSEHOLDS)
    shop.change(1, name="Grace Hopper", address={"phone1": None})
    shop.change(2, name="Jean Bartik")
    shop.remove(3)
    shop.customers(9)


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith(("AIRFLOW_CONN", "COMMERCE_SYNC"))}


@pytest.mark.parametrize("point", UNDO_POINTS)
def test_a_killed_undo_ends_the_same(walk: Walk, shop: Shop, org: Org, back: Back, point: str) -> None:
    changed_town(walk, shop, back)
    before = shown(org)
    run = walk.leg(HOUSEHOLDS, "complete")
    org.far.patch("Account", org.accounts["C0002"]["Id"], Name="By hand")
    assert dies(undoing, str(walk.folder), environment(), walk.mapping(HOUSEHOLDS), run.run, "undo-x", point)
    undone = back.undo(run, run_id="undo-x")
    wanted = before | {"C0002": ("By hand", *before["C0002"][1:])}
    assert {key: row for key, row in shown(org).items() if key != "C0009"} == wanted
    assert shown(org)["C0009"][3] is False
    assert (undone.status, undone.delivered, undone.filtered) == ("green", 3, 1)
    assert back.held(HOUSEHOLDS) == {"C0001", "C0003", "C0009"}
    assert walk.leg(HOUSEHOLDS, "complete").sent == 0
    back.undo(undone)
    assert (shown(org)["C0001"][0], shown(org)["C0009"][3]) == ("Grace Hopper (household)", True), "its own images held"


@pytest.mark.parametrize("point", RUN_POINTS)
def test_the_images_of_a_killed_run_show_what_was_there_before_it(
    walk: Walk, shop: Shop, org: Org, back: Back, point: str
) -> None:
    changed_town(walk, shop, back)
    before = shown(org)
    mapping = walk.mapping(HOUSEHOLDS)
    assert dies(running, str(walk.folder), environment(), mapping, "run-x", point)
    walk.site.ledger.update(walk.site.ledger.find_run(HOUSEHOLDS, "run-x"), status="stopped")
    run = walks.leg(walk.site, mapping, "run-x", request=Request(mode="complete"), sources=flow.source_system,
                    targets=flow.target_system)  # fmt: skip
    assert shown(org)["C0001"][0] == "Grace Hopper (household)"
    if run.run != "run-x":
        with pytest.raises(ConfigurationError, match=f"began again as '{run.run}'. Undo that one"):
            undo.undone_run(walk.site, mapping, "run-x")
    undone = back.undo(run)
    assert {key: row for key, row in shown(org).items() if key != "C0009"} == before
    assert (undone.delivered, undone.filtered) == (4, 0)
