"""Before-images: taken only where asked for, at little cost, kept as long as set, erased by key; and legs that cannot."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import pytest

from commerce_sync import before_images, undo, upkeep
from commerce_sync.errors import ConfigurationError
from commerce_sync.ledger import Run
from flows.walking import HOUSEHOLDS, Org, Shop, Walk, mapping_of
from undo.taking_back import Back

IMPOSSIBLE = ("refill_carts", "campaigns_to_places", "approved_media_to_shop", "condition_offers_to_groups",
              "media_decisions_to_history", "assets_to_package_contents", "product_facts_to_assets",
              "parcels_to_trackers", "merged_accounts_to_links")  # fmt: skip


def keys(walk: Walk, run: Run) -> set[str]:
    batch = before_images.of(walk.site, run.leg, run.run)
    if batch is None:
        return set()
    with duckdb.connect() as con:
        return {key for (key,) in con.execute(f"SELECT _key FROM {batch.scan()}").fetchall()}


def test_nothing_is_asked_unless_somebody_wants_it(walk: Walk, shop: Shop, org: Org, back: Back) -> None:
    walk.gated = False
    shop.customers(*range(1, 4))
    assert keys(walk, walk.leg(HOUSEHOLDS)) == set()
    back.undo_switch(on=True)
    shop.change(1, name="Grace Hopper")
    assert keys(walk, walk.leg(HOUSEHOLDS)) == {"C0001"}, "the site's word"
    walk.alter(HOUSEHOLDS, undo=False)
    shop.change(1, name="Jean Bartik")
    assert keys(walk, walk.leg(HOUSEHOLDS)) == set(), "the leg's word is the last"


def test_three_hundred_records_are_asked_for_in_a_few_calls(walk: Walk, shop: Shop, org: Org, back: Back) -> None:
    walk.gated = False
    shop.customers(*range(1, 301))
    org.far.reset_calls()
    plain = walk.leg(HOUSEHOLDS).calls["salesforce"]
    back.keep(HOUSEHOLDS)
    for number in range(1, 301):
        shop.change(number, name=f"Grace Hopper{number}")
    run = walk.leg(HOUSEHOLDS, "complete")
    assert len(keys(walk, run)) == 300
    assert run.calls["salesforce"] <= plain + 4


@pytest.mark.parametrize("leg", IMPOSSIBLE)
def test_a_leg_that_cannot_be_undone_says_why(walk: Walk, leg: str) -> None:
    mapping = mapping_of(leg)
    with pytest.raises(ConfigurationError, match="its runs cannot be undone: "):
        undo.undone_run(walk.site, mapping, "any")
    assert before_images.objection(mapping)


def test_a_leg_that_cannot_and_wants_to_is_told_before_anything_is_sent(
    walk: Walk, shop: Shop, org: Org, back: Back
) -> None:
    back.keep(HOUSEHOLDS)
    mapping = walk.mapping(HOUSEHOLDS)
    walk.alter(HOUSEHOLDS, target={"options": {"style": "together"}})
    shop.customers(1)
    walk.attempt(HOUSEHOLDS)
    assert isinstance(walk.error, ConfigurationError)
    assert "`undo: true`, but its runs cannot be undone" in str(walk.error)
    assert org.accounts == {}
    assert mapping.undo


def test_images_stay_as_long_as_is_said_and_the_run_can_be_undone(walk: Walk, shop: Shop, org: Org, back: Back) -> None:
    back.keep(HOUSEHOLDS)
    shop.customers(1)
    walk.leg(HOUSEHOLDS)
    shop.change(1, name="Grace Hopper")
    run = walk.leg(HOUSEHOLDS)
    day, month = timedelta(days=1), timedelta(days=30)
    short = upkeep.Kept(day, day, month, month, image=timedelta(days=5))
    upkeep.sweep(walk.site, kept=short, now=datetime.now(UTC) + timedelta(days=4))
    back.undo(run)
    assert org.accounts["C0001"]["Name"] == "Ada Lovelace1 (household)"
    upkeep.sweep(walk.site, kept=short, now=datetime.now(UTC) + timedelta(days=6))
    with pytest.raises(ConfigurationError, match="COMMERCE_SYNC_KEEP_IMAGE_DAYS"):
        back.undo(run)


def test_the_images_of_a_person_can_be_erased(walk: Walk, shop: Shop, org: Org, back: Back) -> None:
    back.keep(HOUSEHOLDS)
    shop.customers(1, 2)
    walk.leg(HOUSEHOLDS)
    for number in (1, 2):
        shop.change(number, name="Grace Hopper", address={"town": "Bonn"})
    run = walk.leg(HOUSEHOLDS)
    assert before_images.forget(walk.site, HOUSEHOLDS, ["C0001", "nobody"]) == 2, "of both runs"
    assert keys(walk, run) == {"C0002"}
    undone = back.undo(run)
    assert (undone.delivered, undone.filtered) == (1, 1)
    assert (org.accounts["C0001"]["BillingCity"], org.accounts["C0002"]["BillingCity"]) == ("Bonn", "Berlin")


def test_a_run_of_another_target_is_not_undone_there(walk: Walk, shop: Shop, org: Org, back: Back) -> None:
    back.keep(HOUSEHOLDS)
    shop.customers(1)
    run = walk.leg(HOUSEHOLDS)
    mapping: Any = walk.mapping(HOUSEHOLDS)
    moved = replace(mapping, target=replace(mapping.target, object="Lead"))
    with pytest.raises(ConfigurationError, match="wrote Account of salesforce"):
        undo.run(walk.site, moved, run.run, targets=walk.target, run_id="u", by="Ada")
