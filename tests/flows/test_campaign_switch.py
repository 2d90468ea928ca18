"""K8: a campaign takes all of its places at once and gives all of them back; somebody looks after every single call."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from commerce_sync import flow
from commerce_sync.errors import GuardError
from commerce_sync.systems.sap_commerce import together
from flows.gallery import APPROVED_MEDIA, gallery
from flows.seasons import (
    AFTER,
    BEFORE,
    CONTENT,
    DURING,
    HERO_EN,
    OLD,
    PLACES,
    STAGED,
    STATES,
    SWITCH,
    TEASER,
    Row,
    Season,
    season,
)

__all__ = ["gallery", "season"]
BATCH = "/odata2webservices/CampaignSync/.batch"


def test_a_campaign_comes_and_goes_at_its_minute_and_nobody_ever_sees_half_of_it(season: Season) -> None:
    season.gallery.walk.gated = True
    key, new = season.whole("xmas")
    season(BEFORE, leg=None)
    assert season.told(key) == (
        "Planned: revision 1, 2026-11-30 23:00 to 2026-12-26 23:00 UTC (Europe/Berlin)"
    )  # midnight in Berlin
    season(datetime(2026, 11, 30, 22, 59, 59, tzinfo=UTC))
    assert season.shown() == OLD
    run = season(datetime(2026, 11, 30, 23, 0, tzinfo=UTC), leg=None)[PLACES]
    assert (run.delivered, season.shown()) == (5, new)
    assert (season.told(key)[:5], season.told(key, "commerce_status")) == ("Shown", "published")
    season.gallery.reset_calls()
    assert {leg: run.sent for leg, run in season(DURING, leg=None).items()} == {PLACES: 0, STATES: 0}
    assert season.gallery.writes() == {}
    # Extended: what counts is what the collection says now.
    season.describe("collections", key, campaign_end="2027-01-06T00:00:00+01:00")
    assert season(AFTER)[PLACES].sent == 0
    assert season(datetime(2027, 1, 5, 23, 0, tzinfo=UTC), leg=None)[PLACES].delivered == 5
    assert (season.shown(), season.told(key, "commerce_status")) == (OLD, "expired")
    assert season.watch() == [OLD, new, OLD]
    season.gallery.reset_calls()
    assert {leg: run.sent for leg, run in season(datetime(2027, 1, 6, tzinfo=UTC), leg=None).items()} == {
        PLACES: 0,
        STATES: 0,
    }
    assert season.gallery.writes() == {}
    assert season.errors == {}


def test_whoever_looks_would_see_a_campaign_that_came_in_parts(season: Season, monkeypatch: pytest.MonkeyPatch) -> None:
    _, new = season.whole("xmas")
    season(BEFORE)
    monkeypatch.setattr(together, "linked", lambda changes: [[change] for change in changes])
    monkeypatch.setattr(together, "unfit", lambda group, options: None)
    season(DURING)
    seen = season.watch()
    assert (seen[0], seen[-1], len(seen)) == (OLD, new, 6)


FAULTS: dict[str, tuple[Row, Row, str]] = {
    "reversed": ({"campaign_start": "2026-12-27T00:00"}, {}, "does not start before it ends"),
    "timeless": ({"campaign_start": "soon"}, {}, "its start or end is missing or no time"),
    "zoneless": ({"campaign_zone": None}, {}, "its time zone is missing or unknown"),
    "nowhere": ({"campaign_zone": "Europe/Nowhere"}, {}, "its time zone is missing or unknown"),
    "unrevised": ({"campaign_revision": None}, {}, "it has no revision"),
    "short of rights": ({}, {"rights_end": "2026-12-25"}, "rights do not cover the whole window: iconik-"),
    "late rights": ({}, {"rights_start": "2026-12-01"}, "rights do not cover the whole window: iconik-"),
    "without rights": ({}, {"rights_start": None}, "rights do not cover the whole window: iconik-"),
    "abroad": ({"territories": ["DE", "CH"]}, {}, "not cleared for every territory: iconik-"),
    "half in German": ({"campaign_locales": ["en", "de"]}, {}, "not filled by exactly one approved asset: {slot}/de"),
    "in French": ({"campaign_locales": ["en", "fr"]}, {}, "no place in the shop for {slot}/fr"),
    "speechless": ({"campaign_locales": []}, {}, "it names no locales"),
    "unapproved": ({}, {"approved": False}, "not filled by exactly one approved asset: {slot}/en"),
    "of another code": ({}, {"code": "someone else"}, "not filled by exactly one approved asset: {slot}/en"),
    "of an unknown slot": ({"campaign_slots": ["{slot}", "moon"]}, {}, "unknown slots: moon"),
    "for nothing": ({"campaign_slots": []}, {}, "it has no places"),
    "for a lost product": ({"campaign_slots": ["{slot}", "product-picture"], "sku": ["404"]}, {}, "not every product or category"),
    "without a component": ({}, {}, "a component of its slots is not in the shop"),
    "not ready": ({"commerce_status": "in_review"}, {}, "Not ready for commerce"),
    "cancelled": ({"commerce_status": "withdrawn"}, {}, "Not ready for commerce"),
    "good": ({}, {}, "Shown"),
    "حملة 😀; 'x'": ({"campaign_start": "2026-11-30T23:00:00Z", "campaign_end": "2026-12-27T00:00:00+01:00"}, {}, "Shown"),
}  # fmt: skip
"""Campaign -> what is odd about its collection, about its asset, and what its report says."""


def with_slots(season: Season, count: int) -> None:
    """As many more slots s0, s1, ... each with an English and a German component."""
    lines = [f"('s{n}', '{loc}', 'BannerComponents', 's{n}-{loc}', 'media', 'Content', 'Staged', 'media', 'master', NULL),\n"
             for n in range(count) for loc in ("en", "de")]  # fmt: skip
    for leg in (PLACES, STATES):
        text = season.gallery.walk.mapping(leg).aggregate
        first = "    ('home-hero', 'en'"
        season.gallery.walk.alter(leg, aggregate=text.replace(first, "".join(lines) + first, 1))
    rows = [
        {"uid": f"s{n}-{loc}", "catalogVersion": CONTENT, "media": f"old-en|{CONTENT}"}
        for n in range(count)
        for loc in ("en", "de")
    ]
    season.shop.put("BannerComponent", rows)


def test_each_check_holds_its_campaign_back_and_says_why_and_no_other(season: Season) -> None:
    with_slots(season, len(FAULTS) + 2)
    keys = {}
    for number, (code, (about, asset, _)) in enumerate(FAULTS.items()):
        slot = f"s{number}"
        fields = {"campaign_slots": [slot], "campaign_locales": ["en"]} | about
        fields["campaign_slots"] = [name.format(slot=slot) for name in fields["campaign_slots"]]
        keys[code] = season.campaign(code, **fields)
        season.material(keys[code], slot, **{"code": code} | asset)
    season.shop.delete(
        "BannerComponent", f"s{list(FAULTS).index('without a component')}-en|{CONTENT}".replace("|", "%7C")
    )
    alone = {"campaign_locales": ["en"]}
    rivals = [season.campaign(code, campaign_slots=[f"s{len(FAULTS)}"], **alone) for code in ("rival 1", "rival 2")]
    twins = [season.campaign("twin", campaign_slots=[f"s{len(FAULTS) + 1}"], **alone) for _ in range(2)]
    for number, key in enumerate(rivals):
        season.material(key, f"s{len(FAULTS)}", code=f"rival {number + 1}")
    season(BEFORE, leg=None)
    assert season(DURING, leg=None)[PLACES].delivered == 2
    assert season.errors == {}
    for number, (code, (_, _, told)) in enumerate(FAULTS.items()):
        assert told.format(slot=f"s{number}") in season.told(keys[code]), (code, season.told(keys[code]))
        is_on = (season.shown().get(f"s{number}-en") or "").startswith("iconik-")
        assert is_on == (told == "Shown"), code
    assert [season.told(key).partition(". ")[2] for key in rivals] == ["overlaps with rival 2", "overlaps with rival 1"]
    assert all("its code is that of 2 collections" in season.told(key) for key in twins)


def test_a_late_yes_shows_it_and_a_lost_one_takes_all_of_it_back(season: Season) -> None:
    key = season.campaign("xmas", campaign_slots=["home-teaser", "product-picture"], campaign_locales=["en"])
    teaser = season.material(key, "home-teaser", code="xmas")
    late = season.material(key, "product-picture", code="xmas", approved=False)
    season(DURING)
    season(DURING, leg=None)
    assert (season.shown(), season.told(key)[:9]) == (OLD, "Held back")
    season.approve(late)
    season(DURING)
    new = OLD | {TEASER: f"iconik-{teaser}-master", "1": f"iconik-{late}-master"}
    assert season.shown() == new
    # K1 takes the media of a lost approval out at once, everywhere: the campaign follows, and what was there comes back.
    season.shop.patch("BannerComponent", f"{TEASER}|{CONTENT}", media=None)
    season.shop.delete("Media", f"iconik-{teaser}-master|{STAGED}")
    season(DURING)
    assert season.shown() == OLD
    season.approve(teaser)
    season(DURING)
    assert season.shown() == new
    # Taken out and put back before anybody looked: the hole is closed, with the rest of its campaign.
    season(DURING)
    season.shop.patch("BannerComponent", f"{TEASER}|{CONTENT}", media=None)
    assert (season(DURING)[PLACES].delivered, season.shown()) == (2, new)
    assert season(DURING)[PLACES].sent == 0
    season.gallery.api("DELETE", f"assets/v1/collections/{key}/")
    season(DURING)
    assert season.shown() == OLD
    assert season.errors == {}


def test_a_new_revision_replaces_all_of_it_and_what_people_put_there_stays(season: Season) -> None:
    key, new = season.started()
    other = season.material(key, "home-teaser", "de", code="xmas")
    assert season(DURING)[PLACES].sent == 0  # who is there stays, also beside a newcomer
    old_asset = new[TEASER][7:43]
    season.describe("assets", old_asset, campaign_slots=[])
    season.describe(
        "collections", key, campaign_revision=2, campaign_slots=["home-hero", "home-teaser", "product-picture"]
    )
    season(DURING)
    second = new | {TEASER: f"iconik-{other}-master", "winter": OLD["winter"]}
    assert season.shown() == second
    assert season.watch() == [new, second]
    season.shop.patch("BannerComponent", f"{HERO_EN}|{CONTENT}", media=f"season-default|{CONTENT}")
    season.describe("collections", key, commerce_status="withdrawn")
    season(DURING)
    assert season.shown() == OLD | {HERO_EN: "season-default"}
    assert season.gallery.walk.runs(PLACES)[0].delivered == 4
    # Taken again: what people chose is what was there before.
    season.shop.patch("Product", f"1|{STAGED}", picture=f"old-winter|{STAGED}")
    season.describe("collections", key, commerce_status="ready_for_commerce")
    season(DURING)
    season(DURING)
    assert season.shown() == second
    season(AFTER)
    assert season.shown() == OLD | {HERO_EN: "season-default", "1": "old-winter"}


def test_one_campaign_hands_over_to_the_next_in_one_stroke(season: Season) -> None:
    first, new = season.whole("xmas", campaign_slots=["home-teaser", "product-picture"], campaign_locales=["en"])
    more = {"campaign_start": "2026-12-27T00:00", "campaign_end": "2027-01-06T00:00", "campaign_locales": ["en"]}
    second, newer = season.whole("sales", campaign_slots=["home-teaser", "category-picture"], **more)
    for now in (BEFORE, DURING, AFTER):
        season(now, leg=None)
    xmas, sales = OLD | new, OLD | newer
    assert season.watch() == [OLD, xmas, sales]
    assert (season.told(first, "commerce_status"), season.told(second, "commerce_status")) == ("expired", "published")
    season(datetime(2027, 1, 7, tzinfo=UTC))
    assert season.watch() == [sales, OLD]
    assert season.errors == {}


def test_a_shop_that_refuses_one_row_keeps_all_and_takes_all_once_it_is_mended(season: Season) -> None:
    _, new = season.whole("xmas")
    season(BEFORE)
    code = new["1"]

    read: list[Any] = []

    def reading(source: Any, on_call: Any) -> Any:
        read.append(source)
        return flow.source_system(source, on_call)

    def meanwhile(mapping: Any, on_call: Any) -> Any:
        if read and season.shop.records("Media", code=code):  # between the reading and the writing
            season.shop.delete("Media", f"{code}|{STAGED}")
        return flow.target_system(mapping, season._watched(on_call))

    season.gallery.walk.source = reading
    season.gallery.walk.target = meanwhile
    season.gallery.walk(SWITCH, leg=PLACES, now=DURING)
    assert isinstance(season.errors[PLACES], GuardError)
    assert season.watch() == [OLD]
    told = {key.split(":")[3]: item for key, item in season.gallery.walk.rejects(PLACES).items()}
    assert set(told) == set(OLD)
    assert f"{code} is not in the shop" in told["1"].reason
    assert all(item.code == "group_refused" for place, item in told.items() if place != "1")
    season(DURING)  # not complete any longer: not even tried
    assert season.shown() == OLD
    season.media(code)
    season(DURING)
    assert season.watch() == [OLD, new]
    # What stood there is gone by the end: the slot's default, and where it has none, nothing.
    for gone, home in (("old-en", CONTENT), ("old-teaser", CONTENT), ("old-1", STAGED)):
        season.shop.delete("Media", f"{gone}|{home}")
    season(AFTER)
    assert season.shown() == OLD | {HERO_EN: "season-default", TEASER: None, "1": None}
    assert season.errors == {}


def test_a_run_that_dies_after_the_switch_still_knows_what_was_there_before(season: Season) -> None:
    _, new = season.whole("xmas")
    season(BEFORE)
    for now, expected in ((DURING, new), (AFTER, OLD)):
        season.gallery.walk.target = _dying
        season.gallery.walk(SWITCH, leg=PLACES, now=now)
        assert str(season.errors[PLACES]) == "died"
        assert season.shown() == expected
        season(now)
        assert (season.errors, season.shown()) == ({}, expected)
    assert season(AFTER)[PLACES].sent == 0


class _Dying:
    def __init__(self, real: Any) -> None:
        self._real = real

    def load(self, *given: Any, **named: Any) -> Any:
        self._real.load(*given, **named)
        raise RuntimeError("died")


def _dying(mapping: Any, on_call: Any) -> Any:
    return _Dying(flow.target_system(mapping, on_call))


def test_an_answer_that_gets_lost_leaves_all_old_or_all_new(season: Season) -> None:
    _, new = season.whole("xmas")
    season(BEFORE)
    for action in ("drop_before", "status"):
        more = {"status": 503} if action == "status" else {}
        season.shop.fault(action=action, match={"path": BATCH}, times=9, **more)
        season(DURING)
        assert set(season.errors) == {PLACES}
        assert season.shown() == OLD
        season.shop.clear_faults()
    season.shop.fault(action="drop_after", match={"path": BATCH}, times=9)
    run = season(DURING)[PLACES]
    assert (run.delivered, season.errors) == (5, {})
    assert season.watch() == [OLD, new]


def test_publication_uploads_what_a_campaign_needs_and_leaves_its_places_alone(season: Season) -> None:
    gallery = season.gallery
    hero = gallery.picture("Everyday", "1")
    key = season.campaign("xmas", campaign_slots=["home-teaser", "product-picture"], campaign_locales=["en"])
    mine = {"campaign_code": "xmas", "territories": ["DE"], "rights_end": "2027-02-01"}
    teaser = gallery.picture("Teaser", metadata=mine | {"catalog": "Content", "campaign_slots": ["home-teaser"]})
    pack = gallery.picture("Pack", "1", metadata=mine | {"campaign_slots": ["product-picture"]})
    for asset in (teaser, pack):
        body = {"object_id": asset, "object_type": "assets"}
        gallery.api("POST", f"assets/v1/collections/{key}/contents/", json=body)
    season.describe("collections", key, commerce_status="draft", sku=["2"])
    gallery()
    assert {f"iconik-{asset}-master" for asset in (hero, teaser, pack)} <= set(gallery.media())
    everyday = OLD | {"1": f"iconik-{hero}-master"}
    assert season.shown() == everyday
    season.describe("collections", key, commerce_status="ready_for_commerce", sku=["1"])
    for _ in range(2):
        season(DURING)
    new = everyday | {TEASER: f"iconik-{teaser}-master", "1": f"iconik-{pack}-master"}
    assert season.shown() == new
    # A new everyday picture while the campaign is on: its gallery changes, the picture waits.
    gallery.review(hero, "NOT_APPROVED")
    fresh = gallery.picture("Fresh", "1")
    for leg in ("approved_media_to_shop", "approved_media_to_shop", "media_to_products", "media_to_pictures"):
        gallery(APPROVED_MEDIA, leg=leg)
    assert season.shown() == new
    assert gallery.pictures("1")["galleryImages"] == [f"iconik-{fresh}|{STAGED}"]
    season(AFTER, leg=None)
    assert season.shown() == OLD | {"1": None}  # what was there before was withdrawn
    gallery(APPROVED_MEDIA, leg="media_to_pictures")
    assert season.shown() == OLD | {"1": f"iconik-{fresh}-master"}
