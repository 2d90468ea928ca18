"""K1: killed at every step boundary of every leg it ends as if nothing had happened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flows.gallery import APPROVED_MEDIA, Gallery, gallery
from flows.killing import assert_survives

__all__ = ["gallery"]


def test_killed_publishing_ends_as_an_undisturbed_one(gallery: Gallery, tmp_path: Path) -> None:
    keys: dict[int, str] = {}

    def reset() -> None:
        gallery.shop.reset()
        gallery.domain.reset()
        gallery.domain.options(index_lag_s=0)

    def edit(number: int) -> None:
        gallery.products(f"{number}", category=f"category{number}")
        keys[number] = gallery.picture(f"Front {number}", f"{number}")
        gallery.picture(f"Banner {number}", role="banner", metadata={"category_codes": [f"category{number}"]})
        if number:
            gallery.review(keys[number - 1], "NOT_APPROVED")
        gallery.domain.clock(advance_s=1)

    def look() -> Any:
        title = {row["id"]: row["title"] for row in gallery.domain.records("assets")}
        named = {code: f"{title[code[7:43]]} {code[44:]}" for code in gallery.media()}
        media = {named[code]: (gallery.md5(code), row["altText"]) for code, row in gallery.media().items()}
        products = {row["code"]: (row["picture"] or "")[44:] for row in gallery.shop.records("Product")}
        categories = {row["code"]: (row["picture"] or "")[44:] for row in gallery.shop.records("Category")}
        states = {title[key]: gallery.described(key)["commerce_status"] for key in title}
        sizes = {name: len(digest) for name, (digest, _) in media.items()}
        return sizes, {name: text for name, (_, text) in media.items()}, products, categories, states

    assert_survives(APPROVED_MEDIA, tmp_path, reset=reset, edit=edit, look=look)
