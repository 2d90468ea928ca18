"""K3 with K1: what may no longer be shown is gone from everywhere within one run, and nothing else is."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any

from commerce_sync.errors import ConfigurationError, GuardError, RetryableError
from flows.gallery import APPROVED_MEDIA, GOVERNANCE, Gallery, gallery
from simulators.iconik.media import made

__all__ = ["gallery"]
MEDIA = "approved_media_to_shop"
STAGED = "|Staged|Default"


WAYS: dict[str, Any] = {
    "its approval is withdrawn": lambda gallery, key: gallery.review(key, "NOT_APPROVED"),
    "a second reviewer refuses": lambda gallery, key: gallery.review(key, "MIXED"),
    "a person takes it back": lambda gallery, key: gallery.describe(key, commerce_status="draft"),
    "it is deleted": lambda gallery, key: gallery.api("DELETE", f"assets/v1/assets/{key}/"),
    "its version is deleted": lambda gallery, key: gallery.domain.patch(
        "approvals", gallery.version(key), version_id="0"
    ),
}


def test_media_are_gone_from_everywhere_within_one_run_whatever_the_reason(gallery: Gallery) -> None:
    places = [str(number) for number in range(len(WAYS))]
    gallery.products(*places, "by-hand", "side")
    keys = {way: gallery.picture(way, code) for way, code in zip(WAYS, places, strict=True)}
    stays = gallery.picture("Side", "0", "side", role="gallery")
    gallery()
    first = next(iter(keys.values()))
    code = f"iconik-{first}-master{STAGED}"
    gallery.shop.patch("Product", f"by-hand{STAGED}", picture=code)
    gallery.shop.put("BannerComponent", [{"uid": "top", "catalogVersion": "Staged|Content", "media": code}])
    for way, key in keys.items():
        WAYS[way](gallery, key)
    gallery()
    assert set(gallery.media()) == {f"iconik-{stays}-master", f"iconik-{stays}-thumb"}
    assert gallery.pictures("0") == gallery.pictures("side") == {"galleryImages": [f"iconik-{stays}{STAGED}"]}
    assert all(gallery.pictures(place) == {} for place in (*places[1:], "by-hand"))
    assert gallery.shop.records("BannerComponent", uid="top")[0]["media"] is None
    for way, key in keys.items():
        told = gallery.described(key)
        assert (told["commerce_status"], bool(told.get("commerce_media_code"))) == (["withdrawn"], False), way
    gallery.reset_calls()
    gallery()
    assert gallery.writes() == {}


def test_time_alone_ends_what_rights_have_ended_for_and_the_history_tells(gallery: Gallery) -> None:
    gallery.products("1", "2")
    key = gallery.picture("Front", "1", metadata={"rights_end": gallery.day(10)})
    stays = gallery.picture("Other", "2")
    gallery(GOVERNANCE)
    gallery()
    gallery(now=gallery.now() + timedelta(days=10))
    assert f"iconik-{key}-master" in gallery.media()
    later = gallery.now() + timedelta(days=11)
    gallery(GOVERNANCE, now=later)
    gallery(now=later)
    assert {code[7:43] for code in gallery.media()} == {stays}
    assert any("withdraw" in text and "failed: rights_window" in text for text in gallery.history(key))
    # A person offers it again with new rights: it comes back, and that is on record too.
    gallery.describe(key, rights_end=gallery.day(400), commerce_status="ready_for_commerce")
    gallery(GOVERNANCE, now=later)
    gallery(now=later)
    assert gallery.pictures("1")["picture"] == f"iconik-{key}-master{STAGED}"
    assert sum("Commerce decision: publish" in text and "-master" in text for text in gallery.history(key)) == 2


def new_version(gallery: Gallery, key: str) -> None:
    """A new latest version with other bytes and no review."""
    gallery.api("POST", f"assets/v1/assets/{key}/versions/", json={"copy_metadata": True, "copy_segments": True})
    version = gallery.version(key)
    for kind in ("formats", "files", "keyframes", "proxies"):
        rows = [row for row in gallery.domain.records(kind) if row["asset_id"] == key]
        fresh = [
            row | {"id": f"{row['id'][:-1]}{'0' if row['id'][-1] != '0' else '1'}", "version_id": version}
            for row in rows
        ]
        for row in fresh:
            if kind == "files":
                recipe = row["_recipe"] | {"mark": "\nnew bytes\n"}
                data = made(recipe)
                digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
                row |= {"_recipe": recipe, "size": len(data), "checksum": digest}
        gallery.domain.put(kind, fresh)


def test_a_new_version_waits_for_its_review_while_the_approved_one_stays(gallery: Gallery) -> None:
    gallery.products("1")
    key = gallery.picture("Front", "1")
    gallery()
    before = gallery.md5(f"iconik-{key}-master")
    new_version(gallery, key)
    gallery(GOVERNANCE)
    gallery.reset_calls()
    assert gallery()[MEDIA].sent == 0
    assert gallery.writes() == {}
    assert gallery.md5(f"iconik-{key}-master") == before
    gallery.api("POST", f"assets/v1/assets/{key}/approvals/request/", json={"users": [], "min_number": 1})
    gallery.api("PUT", f"assets/v1/assets/{key}/approvals/", json={"status": "APPROVED"})
    gallery()
    after = gallery.md5(f"iconik-{key}-master")
    assert after == gallery.original(key)["checksum"] != before
    assert gallery.pictures("1")["picture"] == f"iconik-{key}-master{STAGED}"


def test_a_storm_of_withdrawals_stops_before_anything_is_withdrawn(gallery: Gallery) -> None:
    gallery.products("1")
    keys = [gallery.picture(f"P{n}", "1", role="gallery") for n in range(11)]
    gallery()
    gallery.reset_calls()
    for key in keys:
        gallery.review(key, "NOT_APPROVED")
    gallery.walk(APPROVED_MEDIA, leg=MEDIA, now=gallery.now())
    assert isinstance(gallery.walk.error, GuardError)
    assert "max_deletes" in str(gallery.walk.error)
    assert gallery.writes() == {}
    assert len(gallery.media()) == 22


def test_an_iconik_that_is_down_or_shows_nothing_changes_nothing(gallery: Gallery) -> None:
    gallery.products("1")
    key = gallery.picture("Front", "1")
    gallery()
    gallery.domain.fault(action="status", status=503, match={"path": "/API/"}, times=200)
    gallery.walk(APPROVED_MEDIA, leg=MEDIA, now=gallery.now())
    assert isinstance(gallery.walk.error, RetryableError)
    gallery.domain.clear_faults()
    assert len(gallery.media()) == 2
    gallery.domain.patch("assets", key, status="DELETED")
    gallery.domain.clock(advance_s=60)
    gallery.walk(APPROVED_MEDIA, leg=MEDIA, now=gallery.now())
    assert isinstance(gallery.walk.error, GuardError)
    assert len(gallery.media()) == 2


def test_a_renamed_field_of_the_view_keeps_the_gate_as_it_is(gallery: Gallery) -> None:
    gallery.products("1")
    gallery.picture("Front", "1")
    gallery()
    view = gallery.domain.credentials["metadata_view_id"]
    fields = [one for one in gallery.domain.records("views", id=view)[0]["view_fields"] if one["name"] != "rights_end"]
    gallery.domain.patch("views", view, view_fields=fields)
    gallery.walk(APPROVED_MEDIA, leg=MEDIA, now=gallery.now())
    assert isinstance(gallery.walk.error, ConfigurationError)
    assert "rights_end" in str(gallery.walk.error)
    assert len(gallery.media()) == 2


def test_a_withdrawal_is_seen_although_the_search_index_lags(gallery: Gallery) -> None:
    gallery.products("1", "2")
    key, stays = gallery.picture("Front", "1"), gallery.picture("Other", "2")
    gallery()
    gallery.domain.options(index_lag_s=3600)
    gallery.describe(key, commerce_status="withdrawn")
    gallery()
    assert {code[7:43] for code in gallery.media()} == {stays}


def test_four_eyes_and_a_larger_number_of_reviewers_are_a_matter_of_policy(gallery: Gallery) -> None:
    gallery.products("1")
    gallery.picture("Front", "1")
    mapping = gallery.walk.mapping(MEDIA)
    for rule in ("true AS four_eyes", "2 AS min_approvers"):
        name = rule.partition(" AS ")[2]
        text = mapping.aggregate.replace(f"{'false' if 'true' in rule else '1'} AS {name}", rule)
        assert text != mapping.aggregate
        gallery.walk.alter(MEDIA, aggregate=text)
        assert gallery()[MEDIA].sent == 0
    gallery.walk.alter(MEDIA, aggregate=mapping.aggregate)
    assert gallery()[MEDIA].delivered == 2
