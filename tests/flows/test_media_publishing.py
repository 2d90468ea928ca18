"""K1: approved media reach products and categories with their bytes, once, and what fails a gate does not."""

from __future__ import annotations

import hashlib
from typing import Any

from flows.gallery import APPROVED_MEDIA, Gallery, gallery

__all__ = ["gallery"]
MEDIA, PRODUCTS = "approved_media_to_shop", "media_to_products"


def test_approved_media_reach_every_place_with_their_bytes_and_a_second_run_writes_nothing(gallery: Gallery) -> None:
    gallery.walk.gated = True
    gallery.products("1", "2")
    hero = gallery.picture("Front", "1")
    side = gallery.picture("Side", "1", role="gallery", media="png")
    sheet = gallery.picture("Sheet", "1", "2", role="datasheet", media="pdf")
    film = gallery.picture("Film", "2", role="video", media="video", width=640, height=360)
    banner = gallery.picture("Banner", role="banner", metadata={"category_codes": ["cameras"]})
    assert gallery()[MEDIA].delivered == 9
    expected = {f"iconik-{key}-{rendition}" for key, listed in (
        (hero, ("master", "thumb")), (side, ("master", "thumb")), (sheet, ("master",)), (film, ("web", "thumb")),
        (banner, ("master", "thumb"))) for rendition in listed}  # fmt: skip
    media = gallery.media()
    assert set(media) == expected
    for key in (hero, side, sheet, banner):
        assert gallery.md5(f"iconik-{key}-master") == gallery.original(key)["checksum"]
    row = media[f"iconik-{sheet}-master"]
    assert (row["mime"], row["catalogVersion"], row["size"]) == (
        "application/pdf",
        "Staged|Default",
        gallery.original(sheet)["size"],
    )
    assert media[f"iconik-{film}-web"]["mime"] == "video/mp4"
    assert media[f"iconik-{hero}-master"]["altText"] is None  # words are K4's
    home = "|Staged|Default"
    assert gallery.pictures("1") == {
        "picture": f"iconik-{hero}-master{home}", "thumbnail": f"iconik-{hero}-thumb{home}",
        "galleryImages": [f"iconik-{key}{home}" for key in sorted((hero, side))],
        "data_sheet": [f"iconik-{sheet}-master{home}"],
    }  # fmt: skip
    assert gallery.pictures("2") == {
        "galleryImages": [f"iconik-{film}{home}"],
        "data_sheet": [f"iconik-{sheet}-master{home}"],
    }
    assert gallery.category("cameras")["picture"] == f"iconik-{banner}-master{home}"
    told = gallery.described(hero)
    assert (told["commerce_status"], told["commerce_media_code"]) == (["published"], [f"iconik-{hero}-master"])
    gallery.reset_calls()
    assert {leg: run.sent for leg, run in gallery().items()} == {
        MEDIA: 0,
        PRODUCTS: 0,
        "media_to_pictures": 0,
        "media_to_categories": 0,
        "media_to_assets": 0,
    }
    assert gallery.writes() == {}


def test_every_gate_blocks_what_it_is_for_and_the_history_says_which(gallery: Gallery) -> None:
    gallery.products("1")
    about: dict[str, Any] = {
        "commerce_status": {"metadata": {"commerce_status": "withdrawn"}},
        "usage_rights": {"metadata": {"usage_rights": "internal_only"}},
        "rights_window": {"metadata": {"rights_start": gallery.day(2)}},
        "alt_text": {"metadata": {"alt_text": "  "}},
        "language": {"metadata": {"language": None}},
        "role_is_known": {"metadata": {"media_role": None}},
        "every_sku_in_shop": {"metadata": {"sku": ["1", "404"]}},
        "has_a_place": {"metadata": {"sku": []}},
        "pixels": {"width": 300, "height": 200},
        "type_is_allowed": {"media": "video"},
        "rendition_is_ready": {"archived": True},
        "asset_is_active": {"is_blocked": True},
    }
    reviews = ("NOT_APPROVED", "MIXED", "REQUESTED", None)
    keys = {check: gallery.picture(f"No {check}", "1", role="gallery", **values) for check, values in about.items()}
    refused = [gallery.picture(f"Review {review}", "1", role="gallery", approval=review) for review in reviews]
    good = gallery.picture("Good", "1", role="gallery")
    gallery("iconik_governance")
    gallery()
    assert set(gallery.media()) == {f"iconik-{good}-master", f"iconik-{good}-thumb"}
    for check, key in keys.items():
        told = gallery.history(key)
        assert check == "commerce_status" or any(f"failed: {check}" in text or f", {check}" in text.partition("; passed")[0]
                                                 for text in told), (check, told)  # fmt: skip
    for key in refused:
        assert all("Commerce decision: block" in text and "failed: approved" in text for text in gallery.history(key))
    assert any("publish" in text and gallery.original(good)["checksum"] in text and "Policy 2" in text
               for text in gallery.history(good))  # fmt: skip
    gallery.reset_calls()
    gallery("iconik_governance")
    assert gallery.writes() == {}


def test_an_asset_for_a_product_that_is_not_there_waits_for_it(gallery: Gallery) -> None:
    gallery.products("1")
    key = gallery.picture("Early", "2")
    gallery()
    assert gallery.media() == {}
    gallery.products("2")
    gallery()
    assert gallery.pictures("2")["picture"].startswith(f"iconik-{key}-master")


def test_of_two_heroes_none_is_taken_and_one_that_is_there_stays(gallery: Gallery) -> None:
    gallery.products("1")
    first, second = gallery.picture("First", "1"), gallery.picture("Second", "1")
    gallery()
    assert gallery.media() == {}
    gallery.review(second, "REQUESTED")
    gallery()
    assert gallery.pictures("1")["picture"].startswith(f"iconik-{first}-")
    gallery.review(second, "APPROVED")
    gallery()
    assert gallery.pictures("1")["picture"].startswith(f"iconik-{first}-")
    gallery.api("POST", f"assets/v1/assets/{second}/relations/",
                json={"related_to_asset_id": first, "relation_type": "replaces"})  # fmt: skip
    gallery()
    assert gallery.pictures("1")["picture"].startswith(f"iconik-{second}-")
    assert not any(first in code for code in gallery.media())


def test_strange_texts_and_names_arrive_and_files_that_lie_do_not(gallery: Gallery) -> None:
    gallery.products("1", "ا-1;\"x'")
    texts = ["صورة أمامية", "😀 " * 200, 'semi;colon "quoted"\nand a line']
    keys = [gallery.picture(f"T{n}", "1", role="gallery", metadata={"alt_text": text}) for n, text in enumerate(texts)]
    odd = gallery.picture("Odd product", "ا-1;\"x'", file_name='Ünï; "näme".JPG')
    liar = gallery.picture("Liar", "1", role="gallery", media="png", file_name="liar.jpg")
    run = gallery()[MEDIA]
    assert (run.delivered, run.rejected) == (9, 1)
    gallery("iconik_metadata")
    media = gallery.media()
    assert [media[f"iconik-{key}-master"]["altText"] for key in keys] == [" ".join(t.split())[:255] for t in texts]
    assert gallery.md5(f"iconik-{odd}-master") == gallery.original(odd)["checksum"]
    assert gallery.product("ا-1;\"x'")["picture"].startswith(f"iconik-{odd}-master")
    reject = gallery.walk.rejects(MEDIA)[f"iconik-{liar}-master"]
    assert (reject.code, reject.reason_class) == ("not_decodable", "validation")


def test_a_picture_people_chose_stays_until_a_hero_takes_its_place(gallery: Gallery) -> None:
    gallery.products("1", "2")
    gallery.shop.put("Media", [{"code": "by-hand", "catalogVersion": "Staged|Default", "mime": "image/png"}])
    for code in "12":
        gallery.shop.patch("Product", f"{code}|Staged|Default", picture="by-hand|Staged|Default")
    gallery.picture("Side", "1", role="gallery")
    gallery.picture("Front", "2")
    gallery()
    assert gallery.pictures("1")["picture"] == "by-hand|Staged|Default"
    assert gallery.pictures("2")["picture"].startswith("iconik-")


def test_media_that_arrived_but_could_not_be_linked_are_linked_by_the_next_run_without_another_upload(
    gallery: Gallery,
) -> None:
    gallery.products("1")
    gallery.picture("Front", "1")
    gallery.shop.fault(action="status", status=503, match={"path": "/odata2webservices/ProductSync/.batch"}, times=50)
    gallery.domain.clock(advance_s=60)
    gallery.walk(APPROVED_MEDIA, now=gallery.now())
    assert set(gallery.walk.errors) == {PRODUCTS, "media_to_pictures"}
    assert len(gallery.media()) == 2
    assert gallery.pictures("1") == {}
    gallery.shop.clear_faults()
    gallery.reset_calls()
    gallery()
    assert gallery.uploads() == 0
    assert gallery.pictures("1")["picture"].startswith("iconik-")


def test_bytes_are_what_iconik_has(gallery: Gallery) -> None:
    gallery.products("1")
    key = gallery.picture("Front", "1")
    code = f"iconik-{key}-master"
    gallery.domain.fault(action="truncate_download", times=1)
    gallery.domain.fault(action="corrupt_download", times=1)
    gallery()
    body = gallery.bytes_of(code)
    assert hashlib.md5(body, usedforsecurity=False).hexdigest() == gallery.original(key)["checksum"]
    assert len(body) == gallery.media()[code]["size"]
    assert not list((gallery.walk.folder / "spool").iterdir())
