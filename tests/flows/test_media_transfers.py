"""The way of the bytes: addresses end, connections are cut, the shop's import stands still or refuses."""

from __future__ import annotations

from commerce_sync.errors import GuardError, RetryableError
from flows.gallery import APPROVED_MEDIA, Gallery, gallery

__all__ = ["gallery"]
MEDIA = "approved_media_to_shop"


def test_an_import_that_stands_still_is_not_called_done_and_the_next_run_finishes_it(gallery: Gallery) -> None:
    gallery.products("1")
    key = gallery.picture("Front", "1")
    gallery.shop.options(hot_folder="hold")
    gallery.walk.alter(MEDIA, target={"options": {"patience_s": 0.02, "poll_s": 0.01}})
    gallery.domain.clock(advance_s=60)
    gallery.walk(APPROVED_MEDIA, leg=MEDIA, now=gallery.now())
    assert isinstance(gallery.walk.error, RetryableError)
    assert "has not imported" in str(gallery.walk.error)
    assert gallery.media() == {}
    gallery.shop.options(hot_folder="import")
    assert gallery()[MEDIA].delivered == 2
    assert gallery.md5(f"iconik-{key}-master") == gallery.original(key)["checksum"]


def test_a_refused_import_names_its_reason_and_what_was_published_stays(gallery: Gallery) -> None:
    gallery.products("1", "2")
    first = gallery.picture("Front", "1")
    gallery()
    second = gallery.picture("Other", "2")
    gallery.shop.options(hot_folder="fail")
    gallery.domain.clock(advance_s=60)
    gallery.walk(APPROVED_MEDIA, leg=MEDIA, now=gallery.now())
    assert isinstance(gallery.walk.error, GuardError)  # nothing at all arrived: red
    reject = gallery.walk.rejects(MEDIA)[f"iconik-{second}-master"]
    assert reject.code == "import_refused"
    assert "the import was told to fail" in reject.reason
    assert {code[7:43] for code in gallery.media()} == {first}
    gallery.shop.options(hot_folder="import")
    gallery(mode="replay")
    assert {code[7:43] for code in gallery.media()} == {first, second}


def test_withdrawals_go_through_while_nothing_can_be_uploaded(gallery: Gallery) -> None:
    gallery.products("1", "2")
    first = gallery.picture("Front", "1")
    gallery()
    gallery.review(first, "NOT_APPROVED")
    gallery.picture("Other", "2")
    gallery.shop.fault(action="status", status=503, match={"path": "/hybris/"}, times=50)
    gallery.walk(APPROVED_MEDIA, leg=MEDIA, now=gallery.now())
    assert gallery.media() == {}
    assert gallery.pictures("1") == {}
    assert {item.code for item in gallery.walk.rejects(MEDIA).values()} == {"unprocessed"}
    gallery.shop.clear_faults()
    gallery(mode="replay")
    assert len(gallery.media()) == 2


def test_a_signed_address_that_ended_is_asked_for_again(gallery: Gallery) -> None:
    gallery.products("1")
    key = gallery.picture("Front", "1")
    gallery.domain.fault(action="status", status=403, match={"path": "/storage/"}, times=2)
    assert gallery()[MEDIA].delivered == 2
    assert gallery.md5(f"iconik-{key}-master") == gallery.original(key)["checksum"]


def test_one_file_that_cannot_be_fetched_stops_no_other(gallery: Gallery) -> None:
    gallery.products("1", "2")
    bad, good = gallery.picture("Front", "1"), gallery.picture("Other", "2")
    gallery.domain.fault(
        action="status", status=404, match={"path": f"/storage/files/{gallery.original(bad)['id']}"}, times=9
    )
    run = gallery()[MEDIA]
    assert (run.delivered, run.rejected) == (3, 1)
    assert gallery.walk.rejects(MEDIA)[f"iconik-{bad}-master"].reason_class == "reference"
    assert f"iconik-{good}-master" in gallery.media()
