"""Which media the shop may show and what it says of them, worked out in plain Python from what the library holds.

Nothing here is shared with the product. The rules of the demo's library:

- An asset may be shown when it is active, the review of its newest version is APPROVED, its rights cover today, its
  usage rights are known, it has role, language and (but for documents) an alternative text, and all its products exist.
- A hero that an approved asset replaces may not; of several heroes for one product and language, none.
- Pictures show their one original file, films their proxy.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

Row = Mapping[str, Any]
DECIDING = ("assets", "metadata", "approvals", "files", "formats", "proxies", "relations")
"""Types of records that decide whether an asset may be shown."""
USAGES = ("all_channels", "web_only")
STATES = ("ready_for_commerce", "published")
LEAST = {"hero": (600, 450), "gallery": (400, 300), "video": (160, 90)}
"""Role -> least width and height."""
RENDITION = {"hero": "master", "gallery": "master", "video": "web"}


@dataclass(frozen=True, slots=True)
class Asset:
    """One asset of the library with all that decides about it. ``said``: metadata, lists by name."""

    id: str
    title: str
    is_active: bool
    review: str | None
    said: Mapping[str, tuple[Any, ...]]
    part: Row | None
    replaces: tuple[str, ...] = ()

    def one(self, name: str) -> Any:
        """The first value of a metadata field."""
        return next(iter(self.said.get(name, ())), None)

    @property
    def products(self) -> tuple[str, ...]:
        """Codes of the products it fits."""
        return tuple(str(code) for code in self.said.get("sku", ()))

    @property
    def code(self) -> str:
        """What its main rendition is called in the shop."""
        return f"iconik-{self.id}-{RENDITION.get(str(self.one('media_role')), 'none')}"

    @property
    def alt_text(self) -> str:
        """Its alternative text with single spaces."""
        return " ".join(str(self.one("alt_text") or "").split())


def read(records: Mapping[str, Iterable[Row]]) -> dict[str, Asset]:
    """Assets by id. records: rows of the simulator by type."""
    said = {row["id"]: _said(row) for row in records["metadata"]}
    reviews = {row["id"]: row["status"] for row in records["approvals"]}
    links = defaultdict(list)
    for row in records["relations"]:
        if row["relation_type"] == "replaces":
            links[row["asset_id"]].append(row["related_to_asset_id"])
    parts = _parts(records)
    return {row["id"]: _asset(row, said, reviews, parts, tuple(links[row["id"]])) for row in records["assets"]}


def _said(row: Row) -> dict[str, tuple[Any, ...]]:
    entries = row["metadata_values"].items()
    return {name: tuple(one["value"] for one in entry["field_values"]) for name, entry in entries}


def _asset(row: Row, said: Row, reviews: Row, parts: Row, replaces: tuple[str, ...]) -> Asset:
    version = row["versions"][-1]["id"]
    values = said.get(version, {})
    role = next(iter(values.get("media_role", ())), None)
    return Asset(
        id=row["id"],
        title=" ".join(row["title"].split()),
        is_active=row["status"] == "ACTIVE" and not row["is_blocked"],
        review=reviews.get(version),
        said=values,
        part=parts.get((version, "web" if role == "video" else "master")),
        replaces=replaces,
    )


def _parts(records: Mapping[str, Iterable[Row]]) -> dict[tuple[str, str], Row]:
    """(version, rendition) -> its file, when there is exactly one and it is finished; with width and height."""
    sizes = {
        row["version_id"]: row["components"][0]["metadata"] for row in records["formats"] if row["name"] == "ORIGINAL"
    }
    files = list(records["files"])
    many = Counter(row["version_id"] for row in files)
    found: dict[tuple[str, str], Row] = {}
    for row in files:
        size = sizes.get(row["version_id"], {})
        if row["status"] == "CLOSED" and many[row["version_id"]] == 1:
            found[row["version_id"], "master"] = {**row, "width": size.get("width"), "height": size.get("height")}
    for row in records["proxies"]:
        if row["status"] == "CLOSED" and row["filename"].endswith(".mp4"):
            found[row["version_id"], "web"] = {**row, **row["resolution"]}
    return found


def shown(assets: Mapping[str, Asset], *, products: set[str], today: date) -> dict[str, Asset]:
    """Assets the shop may show, by id."""
    sound = {key: one for key, one in assets.items() if _is_sound(one, products=products, today=today)}
    replaced = {other for one in sound.values() for other in one.replaces if other != one.id}
    heroes = Counter(
        (product, one.one("language"))
        for one in sound.values()
        if one.one("media_role") == "hero" and not one.one("campaign_code") and one.id not in replaced
        for product in one.products
    )
    return {
        key: one for key, one in sound.items() if key not in replaced and not _is_contested(one, heroes) and _fits(one)
    }


def _is_sound(one: Asset, *, products: set[str], today: date) -> bool:
    start, end = (str(one.one(name) or "") for name in ("rights_start", "rights_end"))
    return (
        one.is_active
        and one.review == "APPROVED"
        and one.one("commerce_status") in STATES
        and one.one("usage_rights") in USAGES
        and start <= today.isoformat() <= end
        and one.one("media_role") in LEAST
        and bool(one.one("language"))
        and bool(one.alt_text)
        and bool(one.products)
        and set(one.products) <= products
    )


def _is_contested(one: Asset, heroes: Mapping[tuple[str, Any], int]) -> bool:
    is_hero = one.one("media_role") == "hero" and not one.one("campaign_code")
    return is_hero and any(heroes[product, one.one("language")] > 1 for product in one.products)


def _fits(one: Asset) -> bool:
    width, height = LEAST[str(one.one("media_role"))]
    part = one.part
    return part is not None and int(part["width"] or 0) >= width and int(part["height"] or 0) >= height


def features(shown: Iterable[Asset]) -> set[tuple[str, str, str]]:
    """(product, feature, value) the shop has to say about products because of these assets."""
    names = {"usage_rights": "usage_rights", "language": "media_language", "campaign_tags": "campaign_tags"}
    return {
        (product, names[name], str(value))
        for one in shown
        for product in one.products
        for name in names
        for value in one.said.get(name, ())
    }


def pictures(shown: Iterable[Asset]) -> dict[str, str]:
    """Product -> code of the picture it has to show; what belongs to a campaign is placed by the campaign."""
    heroes = [one for one in shown if one.one("media_role") == "hero" and not one.one("campaign_code")]
    return {product: one.code for one in heroes for product in one.products}


def places(products: Iterable[Row], *, containers: Mapping[str, str]) -> dict[str, set[str]]:
    """Asset -> codes of the products that show it. containers: name of a container -> its asset."""
    found: dict[str, set[str]] = defaultdict(set)
    for row in products:
        listed = [row["picture"], row["thumbnail"], *row["detail"], *row["others"], *row["data_sheet"]]
        keys = [key.partition("|")[0] for key in [*listed, *row["galleryImages"]] if key]
        for key in keys:
            if key.startswith("iconik-"):
                found[containers.get(key, key[7:43])].add(row["code"])
    return found
