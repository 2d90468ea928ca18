"""The demo catalogue: product packages for the best-selling products of the shopping year, and a campaign.

Every hundredth or so of something goes wrong on purpose: rights that ended, reviews that were refused, a missing
alternative text, a file that is archived, two packages with one external id. ``full`` adds plain assets up to 50,000.
"""

from __future__ import annotations

from datetime import timedelta

from simulators.iconik.collections import new_collection
from simulators.iconik.index import Index
from simulators.iconik.metadata_views import new_field
from simulators.iconik.packages import Packer, stable_id
from simulators.iconik.site import EDITOR_USER
from simulators.iconik.store import Row, Store, stamp
from simulators.seed.assortment import CATALOG, Draft, best_sellers
from simulators.seed.journey import Journey

FULL_ASSETS = 50_000
CHUNK = 2_000
CAMPAIGN = "HARVEST"
CAMPAIGN_VIEW = "SAP Commerce Campaign"
CAMPAIGN_FIELDS = {
    "campaign_revision": ("integer", False),
    "campaign_start": ("string_exact", False),
    "campaign_end": ("string_exact", False),
    "campaign_zone": ("string_exact", False),
    "campaign_slots": ("string_exact", True),
    "campaign_locales": ("string_exact", True),
    "campaign_report": ("text", False),
}
"""Fields of that view which the view SAP Commerce does not have: type, whether they take several values."""
SHARED = ("campaign_code", "commerce_status", "territories", "sku", "category_codes", "language")
RIGHTS = ("rights_start", "rights_end")
REVIEWS = ("APPROVED", "APPROVED", "APPROVED", "REQUESTED", "APPROVED", "NOT_APPROVED", "APPROVED", "MIXED", "N/A")
STATES = {
    "APPROVED": "ready_for_commerce",
    "REQUESTED": "in_review",
    "NOT_APPROVED": "withdrawn",
    "MIXED": "in_review",
    "N/A": "draft",
}
KINDS = (("hero", "image", 1200, 900), ("gallery", "png", 800, 600), ("video", "video", 320, 180))


def load_demo(store: Store, index: Index, *, scale: str) -> None:
    """Products from the same slice of the year as the shop's."""
    yesterday = (store.clock.now() - timedelta(days=1)).date()
    journey = Journey(scale=scale, yesterday=yesterday)
    try:
        products = best_sellers(journey, scale=scale)
    finally:
        journey.close()
    _campaign_view(store)
    _Demo(store, index).fill(products, plain=FULL_ASSETS if scale == "full" else 0)


def _campaign_view(store: Store) -> None:
    """The view by which campaigns say what they want; the demo's campaign wants nothing yet."""
    now = store.now()
    for name, (kind, multi) in CAMPAIGN_FIELDS.items():
        label = name.replace("_", " ").capitalize()
        store.put("fields", name, new_field(now, {"name": name, "label": label, "field_type": kind, "multi": multi}))
    names = [{"name": name} for name in (*SHARED, *RIGHTS, *CAMPAIGN_FIELDS)]
    row: Row = {"id": stable_id(CAMPAIGN_VIEW), "name": CAMPAIGN_VIEW, "description": None, "view_fields": names}
    store.put("views", row["id"], row | {"date_created": now, "date_modified": now})


class _Demo:
    def __init__(self, store: Store, index: Index) -> None:
        self.store, self.index = store, index
        self.now = store.clock.now()
        self.packer: Packer | None = None
        self.collections: dict[str, str] = {}

    def fill(self, products: list[Draft], *, plain: int) -> None:
        root = self._collection("Product media", external_id=f"sapcc:{CATALOG}")
        campaign = self._collection("Harvest weeks", external_id=f"campaign:{CAMPAIGN}")
        for code, name, category in products:
            parent = self.collections.get(category) or self._collection(category.title(), parent=root)
            self.collections[category] = parent
            self.collections[code] = self._collection(
                f"{name} ({code})", parent=parent, external_id=f"sapcc:{CATALOG}:{code}"
            )
        with self.store.bulk():
            self._assets(products, campaign=campaign, plain=plain)
        self.index.flush(at_once=True)
        self._relations(products)

    def _assets(self, products: list[Draft], *, campaign: str, plain: int) -> None:
        self.packer = Packer(self.store, self.index)
        for number, product in enumerate(products):
            self._package(number, product, campaign=campaign)
        for number in range(plain - len(self.packer.rows.documents)):
            self._plain(number, products[number % len(products)])
            if number % CHUNK == 0:
                self.packer.rows.store(self.store, self.index)
        self.packer.rows.store(self.store, self.index)

    def _collection(self, title: str, *, parent: str | None = None, external_id: str | None = None) -> str:
        key = stable_id(f"collection {external_id or title}")
        values = {"title": title, "parent_id": parent, "external_id": external_id}
        row = new_collection(self._day(-90), key=key, user_id=EDITOR_USER, values=values)
        self.store.put("collections", key, row)
        if parent:
            link: Row = {"id": f"{parent}:{key}", "collection_id": parent, "object_id": key}
            link |= {"object_type": "collections", "date_created": row["date_created"]}
            self.store.put("contents", link["id"], link, owner=parent, part=key)
        self.index.touch(key)
        return key

    def _day(self, days: float) -> str:
        return stamp(self.now + timedelta(days=days))

    def _package(self, number: int, product: Draft, *, campaign: str) -> None:
        code, name, category = product
        for place, (role, media, width, height) in enumerate(KINDS):
            if role == "video" and number % 4:
                continue
            review = REVIEWS[(number + place) % len(REVIEWS)]
            in_campaign = role == "hero" and number % 10 == 0
            holders = [self.collections[code], *([campaign] if in_campaign else [])]
            package: Row = {"id": stable_id(f"demo {code} {role}"), "title": f"{name} {role}", "media": media}
            package |= {"width": width, "height": height, "seed": f"{role} {number % 8}", "approval": review}
            package |= {"external_id": f"sapcc:{CATALOG}:{code}:{role}:en", "collections": holders}
            package |= {"date_created": self._day(-60 + number % 50), "versions": 2 if number % 9 == 4 else 1}
            package |= {"date_modified": self._day(-5 + (number % 100) / 20.0), "archived": number % 40 == 17}
            package["metadata"] = self._metadata(number, product, role=role, review=review, campaign=in_campaign)
            self._add(package)
        if number % 30 == 11:  # a placeholder that waits for its film
            waiting = {"id": stable_id(f"demo {code} placeholder"), "title": f"{name} video", "type": "PLACEHOLDER"}
            waiting |= {"external_id": f"sapcc:{CATALOG}:{code}:video:en", "collections": [self.collections[code]]}
            self._add(waiting | {"metadata": {"sku": [code], "commerce_status": "draft", "media_role": "video"}})
        if number == 3:  # external ids are not unique
            twin = {"id": stable_id(f"demo {code} twin"), "title": f"{name} hero (copy)", "media": "image"}
            self._add(twin | {"external_id": f"sapcc:{CATALOG}:{code}:hero:en", "metadata": {"sku": [code]}})

    def _metadata(self, number: int, product: Draft, *, role: str, review: str, campaign: bool) -> Row:
        code, name, category = product
        values: Row = {"sku": [code], "category_codes": [category], "catalog": CATALOG, "media_role": role}
        values |= {"commerce_status": STATES[review], "language": "en", "channels": ["web"], "territories": ["US"]}
        values |= {"usage_rights": "all_channels" if number % 5 else "web_only", "alt_text": f"{name}, {role} picture"}
        start, end = ((-300, -10), (20, 200), (-30, 365))[0 if number % 12 == 5 else 1 if number % 12 == 7 else 2]
        values |= {"rights_start": self._day(start)[:10], "rights_end": self._day(end)[:10]}
        if number % 25 == 9:
            values["alt_text"] = None
        if campaign:
            values |= {"campaign_code": CAMPAIGN, "campaign_tags": ["harvest", "seasonal"]}
        return values

    def _plain(self, number: int, product: Draft) -> None:
        code, name, _category = product
        package: Row = {"id": stable_id(f"plain {number}"), "title": f"{name} shot {number}", "media": "image"}
        package |= {"width": 160, "height": 120, "seed": str(number % 16), "packed": True}
        package |= {"approval": REVIEWS[number // 10 % 9] if number % 10 == 0 else None}
        package |= {"date_created": self._day(-400 + number % 340), "date_modified": self._day(-300 + number % 290)}
        self._add(package | {"metadata": {"sku": [code], "media_role": "gallery", "commerce_status": "draft"}})

    def _add(self, package: Row) -> None:
        if self.packer is not None:
            self.packer.add(package)

    def _relations(self, products: list[Draft]) -> None:
        """Twelve pictures that replace their predecessors."""
        for (code, _, _), (other, _, _) in zip(products[:12], products[12:24], strict=False):
            left, right = stable_id(f"demo {code} hero"), stable_id(f"demo {other} hero")
            row: Row = {"id": f"{left}:replaces:{right}", "uuid": stable_id(f"relation {code}"), "asset_id": left}
            row |= {"related_to_asset_id": right, "relation_type": "replaces", "description": None}
            row |= {"date_created": self._day(-3), "date_modified": self._day(-3)}
            self.store.put("relations", row["id"], row, owner=left, part=right)
            self.index.touch(left)
        self.index.flush(at_once=True)
