"""Proves what the shop shows of the library: media, bytes, pictures, words, features, packages, usage."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from demo import library, web
from demo.library import DECIDING, Asset
from demo.world import World

Record = dict[str, Any]
STAGED = "|Staged|Default"


Decided = tuple[dict[str, Asset], dict[str, Asset]]
"""All assets of the library, and those that may be shown."""


@dataclass(frozen=True, slots=True)
class Gallery:
    """The library as it was before a cycle, and what the shop had to show after it."""

    assets: dict[str, Asset]
    shown: dict[str, Asset]
    media: dict[str, Record]
    """Media in the shop by code."""


def decide(world: World) -> Decided:
    """All assets of the library, and those that may be shown, as of now; look before the flows run."""
    assets = library.read({kind: world.library.records(kind) for kind in DECIDING})
    products = {row["code"] for row in world.shop.first_seen("Product")}
    return assets, library.shown(assets, products=products, today=datetime.now(UTC).date())


def prove(world: World, decided: Decided, *, name: str) -> Gallery:
    """Compare what the shop shows with what it may show."""
    assets, shown = decided
    with world.screen.stage(name) as stage:
        stage.live("looking at every picture")
        media = {row["code"]: row for row in world.shop.records("Media") if row["code"].startswith("iconik-")}
        products = world.shop.records("Product", catalogVersion="Staged|Default")
        found = Gallery(assets, shown, media)
        for sentence, wrong in (
            *_of_media(world, found).items(),
            *_of_products(world, found, products).items(),
            *_of_library(world, found, products).items(),
        ):
            detail = f"{len(wrong)} wrong{': ' if wrong else ''}{', '.join(sorted(map(str, wrong))[:3])}"
            world.report.check(f"{name}: {sentence}", passed=not wrong and bool(shown), detail=detail)
        world.report.arrived["media"] = len(media)
        stage.done(f"{len(shown):,} of {len(assets):,} assets may be shown; {len(media):,} media, all looked at")
    return found


def _of_media(world: World, found: Gallery) -> dict[str, set[Any]]:
    codes = {one.code for one in found.shown.values()}
    main = {code for code in found.media if code.endswith(("-master", "-web"))}
    texts = {(code, row["altText"], row["description"]) for code, row in found.media.items()}
    said = {(code, found.assets[code[7:43]].alt_text, found.assets[code[7:43]].title) for code in found.media}
    strangers = {code for code in found.media if code[7:43] not in found.shown}
    return {
        "the shop shows exactly the assets that may be shown": codes ^ main,
        "no other asset has a rendition in any channel": strangers,
        "every original has the bytes of its master": _other_bytes(world, found),
        "media carry title and alternative text of their asset": texts ^ said,
    }


def _other_bytes(world: World, found: Gallery) -> set[str]:
    """Media whose bytes, as a customer gets them, have another MD5 than the master in the library."""
    wrong = set()
    for one in found.shown.values():
        row = found.media.get(one.code)
        if row is None or one.part is None or not one.code.endswith("-master"):
            continue
        digest = hashlib.md5(web.content(world.shop.url + row["url"]), usedforsecurity=False).hexdigest()
        if digest != one.part["checksum"]:
            wrong.add(one.code)
    return wrong


def _of_products(world: World, found: Gallery, products: list[Record]) -> dict[str, set[Any]]:
    shown = {row["code"]: row["picture"] for row in products if (row["picture"] or "").startswith("iconik-")}
    wanted = {code: f"{media}{STAGED}" for code, media in library.pictures(found.shown.values()).items()}
    names = ("usage_rights", "media_language", "campaign_tags")
    rows = [row for row in world.shop.records("ProductFeature") if row["qualifier"] in names]
    told = {(row["product"].partition("|")[0], row["qualifier"], row["value"]) for row in rows}
    return {
        "every product shows its own hero": set(shown.items()) ^ set(wanted.items()),
        "products say rights, languages and campaigns of their media": told ^ library.features(found.shown.values()),
    }


def _of_library(world: World, found: Gallery, products: list[Record]) -> dict[str, set[Any]]:
    packages = Counter(row["external_id"] for row in world.library.records("collections"))
    codes = {row["code"] for row in products}
    inside = {(row["collection_id"], row["object_id"]) for row in world.library.records("contents")}
    ids = {row["external_id"]: row["id"] for row in world.library.records("collections")}
    after = library.read({kind: world.library.records(kind) for kind in DECIDING})
    missing = {
        (code, one.id)
        for one in after.values()
        for code in one.products
        if one.is_active and (ids.get(f"sapcc:Default:{code}"), one.id) not in inside
    }
    decisions = {row["asset_id"] for row in _decisions(world) if ": publish " in row["operation_description"]}
    return {
        "every draft has one package": {code for code in codes if packages[f"sapcc:Default:{code}"] != 1},
        "every asset lies in the packages of its products": missing,
        "every publication is in the history of its asset": found.shown.keys() - decisions,
        "assets know where they are shown": _misplaced(world, after, products),
        "what is shown says so in the library": {
            key for key in found.shown if after[key].one("commerce_status") != "published"
        },
    }


def _decisions(world: World) -> list[Record]:
    return [row for row in world.library.records("history") if row["operation_type"] == "CUSTOM"]


def _misplaced(world: World, assets: Mapping[str, Asset], products: list[Record]) -> set[str]:
    containers = {row["qualifier"]: row["qualifier"][7:43] for row in world.shop.records("MediaContainer")}
    places = library.places(products, containers=containers)
    said = {key: int(one.one("commerce_usage_count") or 0) for key, one in assets.items()}
    return {key for key, number in said.items() if number != len(places.get(key, ()))}
