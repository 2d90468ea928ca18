"""What may be shown, worked out in plain Python: each rule has a case that passes and one that does not."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from demo import library
from demo.library import Asset

TODAY = date(2026, 6, 30)
SAID = {
    "commerce_status": ("ready_for_commerce",),
    "usage_rights": ("all_channels",),
    "rights_start": ("2026-01-01",),
    "rights_end": ("2026-12-31",),
    "media_role": ("hero",),
    "language": ("en",),
    "alt_text": ("A jar",),
    "sku": ("p1",),
}
PART = {"width": "1200", "height": "900"}
HERO = Asset("a", "Jar", True, "APPROVED", SAID, PART)


def shown(*assets):
    found = library.shown({one.id: one for one in assets}, products={"p1", "p2"}, today=TODAY)
    return set(found)


def saying(one=HERO, **values):
    return replace(one, said={**one.said, **{name: (value,) for name, value in values.items()}})


def test_an_asset_that_fulfils_everything_may_be_shown():
    assert shown(HERO) == {"a"}


@pytest.mark.parametrize(
    "spoiled",
    [
        replace(HERO, review="REQUESTED"),
        replace(HERO, review=None),
        replace(HERO, is_active=False),
        replace(HERO, part=None),
        replace(HERO, part={"width": "599", "height": "900"}),
        saying(commerce_status="withdrawn"),
        saying(usage_rights="editorial"),
        saying(rights_end="2026-06-29"),
        saying(rights_start="2026-07-01"),
        saying(alt_text="  "),
        saying(sku="unknown"),
        saying(media_role="sticker"),
    ],
)
def test_one_that_lacks_one_thing_may_not(spoiled):
    assert shown(spoiled) == set()


def test_of_two_heroes_of_a_product_none_is_shown_unless_one_replaces_the_other():
    other = replace(HERO, id="b")
    assert shown(HERO, other) == set()
    assert shown(HERO, replace(other, replaces=("a",))) == {"b"}
    assert shown(HERO, saying(other, sku="p2")) == {"a", "b"}


def test_places_are_products_that_show_an_asset_by_itself_or_by_its_container():
    key = "12345678-1234-1234-1234-123456789012"
    row = {"picture": f"iconik-{key}-master|Staged|Default", "thumbnail": None, "detail": [], "others": []}
    row |= {"data_sheet": [], "galleryImages": [f"iconik-{key}|Staged|Default"]}
    rows = [row | {"code": "p1"}, row | {"code": "p2", "picture": "by-hand|Staged|Default"}]
    assert library.places(rows, containers={f"iconik-{key}": key}) == {key: {"p1", "p2"}}
