"""K6: one approved master in every channel that asks for it, each channel's trouble its own."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from commerce_sync.systems.iconik.retranscode import IconikRetryTranscodesOperator
from flows.gallery import CHANNELS, GOVERNANCE, Gallery, gallery

__all__ = ["gallery"]
LEG = "approved_media_to_channels"
ALL = {"channels": ["web", "mobile", "marketplace"], "territories": ["US", "DE"]}


def parts(gallery: Gallery, key: str) -> dict[str, str]:
    """Rendition -> where it is."""
    prefix = f"iconik-{key}-"
    return {
        code.removeprefix(prefix): row["catalogVersion"]
        for code, row in gallery.media().items()
        if code.startswith(prefix)
    }


def marketplace(gallery: Gallery) -> None:
    gallery.shop.put("Catalog", [{"id": "Marketplace"}])
    gallery.shop.put("CatalogVersion", [{"catalog": "Marketplace", "version": "Staged"}])


def test_each_channel_gets_its_renditions_of_the_same_master_and_a_second_run_writes_nothing(gallery: Gallery) -> None:
    gallery.products("1")
    marketplace(gallery)
    key = gallery.picture("Front", "1", metadata=ALL)
    abroad = gallery.picture("Abroad", "1", role="gallery", metadata=ALL | {"territories": ["DE"]})
    silent = gallery.picture("Silent", "1", role="gallery", metadata={"channels": []})
    film = gallery.picture("Film", "1", role="video", media="video", metadata={"channels": ["web", "mobile"]})
    gallery(CHANNELS)
    home = "Staged|Default"
    assert parts(gallery, key) == {"desktop": home, "thumbnail": home, "mobile": home, "market": "Staged|Marketplace"}
    assert set(parts(gallery, abroad)) == {"desktop", "thumbnail", "mobile"}
    assert parts(gallery, silent) == {}
    assert set(parts(gallery, film)) == {"film", "clip"}
    for rendition in ("desktop", "market"):
        assert gallery.md5(f"iconik-{key}-{rendition}") == gallery.original(key)["checksum"]
    row = gallery.media()[f"iconik-{key}-mobile"]
    assert (row["mediaFormat"], row["mediaContainer"]) == ("mobile", f"iconik-{key}-mobile|{home}")
    gallery.reset_calls()
    assert gallery(CHANNELS)[LEG].sent == 0
    assert gallery.writes() == {}
    gallery.review(key, "NOT_APPROVED")
    gallery(CHANNELS)
    assert parts(gallery, key) == {}
    assert set(parts(gallery, film)) == {"film", "clip"}


def test_one_bad_channel_blocks_no_other_and_is_never_called_done(gallery: Gallery) -> None:
    gallery.products("1")
    key = gallery.picture("Front", "1", metadata=ALL)
    run = gallery(CHANNELS)[LEG]
    assert (run.delivered, run.rejected) == (3, 1)
    assert set(parts(gallery, key)) == {"desktop", "thumbnail", "mobile"}
    assert set(gallery.walk.rejects(LEG)) == {f"marketplace:iconik-{key}-market"}
    marketplace(gallery)
    assert gallery(CHANNELS, mode="replay")[LEG].delivered == 1
    assert set(parts(gallery, key)) == {"desktop", "thumbnail", "mobile", "market"}


def fail_proxy(gallery: Gallery, key: str, status: str = "FAILED") -> None:
    proxy = next(row for row in gallery.domain.records("proxies") if row["asset_id"] == key)
    gallery.domain.patch("proxies", proxy["id"], status=status)


def test_a_failed_rendition_is_replaced_by_a_smaller_one_only_where_that_is_allowed(gallery: Gallery) -> None:
    gallery.products("1")
    picture = gallery.picture("Front", "1", metadata={"channels": ["mobile"]})
    film = gallery.picture("Film", "1", role="video", media="video", metadata={"channels": ["web", "mobile"]})
    for key in (picture, film):
        fail_proxy(gallery, key)
    gallery(GOVERNANCE)
    gallery(CHANNELS)
    assert set(parts(gallery, picture)) == {"mobile"}  # the poster, which the profile allows
    assert parts(gallery, film) == {}
    assert any("wait" in text and " in web " in text for text in gallery.history(film))
    later = gallery.now() + timedelta(days=2)
    gallery(GOVERNANCE, now=later)
    assert any(
        "block" in text and " in web " in text and "rendition_is_ready" in text for text in gallery.history(film)
    )
    fail_proxy(gallery, film, "CLOSED")
    gallery(CHANNELS)
    assert set(parts(gallery, film)) == {"film", "clip"}


def test_a_rendition_over_the_channels_budget_of_bytes_stays_out(gallery: Gallery, monkeypatch: Any) -> None:
    gallery.products("1")
    key = gallery.picture("Front", "1", metadata={"channels": ["web", "mobile"]})
    mapping = gallery.walk.mapping(LEG)
    gallery.walk.alter(LEG, aggregate=mapping.aggregate.replace("600, false, 8000000)", "600, false, 1000)"))
    gallery(CHANNELS)
    assert set(parts(gallery, key)) == {"thumbnail", "mobile"} or set(parts(gallery, key)) == {"mobile"}
    gallery.walk.alter(LEG, aggregate=mapping.aggregate)
    gallery(CHANNELS)
    assert set(parts(gallery, key)) == {"desktop", "thumbnail", "mobile"}


def test_a_failed_transcode_is_tried_twice_more_and_then_given_up(gallery: Gallery) -> None:
    gallery.products("1")
    gallery.domain.options(job_duration_s=1)
    key = gallery.picture("Film", "1", role="video", media="video", metadata={"channels": ["web"]})
    for row in gallery.domain.records("proxies"):
        gallery.domain.delete("proxies", row["id"])
    gallery.domain.fault(action="transcode_fails", object_id=key, times=3)
    gallery.api("POST", f"files/v1/assets/{key}/versions/{gallery.version(key)}/transcode/", json={})
    again = IconikRetryTranscodesOperator(task_id="again", terms={"metadata.commerce_status": ["ready_for_commerce"]})
    told = []
    for _ in range(4):
        gallery.domain.clock(advance_s=60)
        told.append(again.execute({}))
    assert [sorted(name for name, keys in found.items() if keys == [key]) for found in told] == [
        ["started"], ["started"], ["given_up"], ["given_up"],
    ]  # fmt: skip
    assert len([row for row in gallery.domain.records("jobs") if row["type"] == "TRANSCODE"]) == 3
