"""What the stories of seasonal campaigns share: places of the shop, campaigns with their material, and who looks on."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from commerce_sync import flow
from flows.gallery import Gallery

Row = dict[str, Any]
SWITCH = "iconik_campaign_switch"
PLACES, STATES = "campaigns_to_places", "campaign_states_to_collections"
STAGED, CONTENT = "Staged|Default", "Staged|Content"
VIEW = "SAP Commerce Campaign"
FIELDS = {
    "campaign_revision": ("integer", False), "campaign_start": ("string_exact", False),
    "campaign_end": ("string_exact", False), "campaign_zone": ("string_exact", False),
    "campaign_slots": ("string_exact", True), "campaign_locales": ("string_exact", True),
    "campaign_report": ("text", False),
}  # fmt: skip
"""Fields of the view that the view "SAP Commerce" does not have: type, whether they take several values."""
KNOWN = ("campaign_code", "commerce_status", "territories", "sku", "category_codes", "language", "rights_start",
         "rights_end")  # fmt: skip
BEFORE, DURING, AFTER = (
    datetime(2026, month, day, 12, tzinfo=UTC) for month, day in ((11, 25), (12, 5), (12, 28))
)  # fmt: skip
HERO_EN, HERO_DE, TEASER = "HomepageHeroBanner-en", "HomepageHeroBanner-de", "HomepageTeaserBanner"
OLD = {HERO_EN: "old-en", HERO_DE: "old-de", TEASER: "old-teaser", "1": "old-1", "winter": "old-winter"}
"""Place -> what stands there before any campaign."""
SLOTS = ["home-hero", "home-teaser", "product-picture", "category-picture"]


class Season:
    """A shop with places to take, an iconik domain with campaigns, and the flow between them."""

    def __init__(self, gallery: Gallery) -> None:
        self.gallery, self.shop, self.domain = gallery, gallery.shop, gallery.domain
        self.seen: list[Row] = []
        self.furnish()

    def furnish(self) -> None:
        """What is there before the first story: catalogs, components, a product, a category, the metadata view."""
        self.domain.options(index_lag_s=0)
        self.shop.put("Catalog", [{"id": "Default"}, {"id": "Content"}])
        versions = [{"catalog": catalog, "version": "Staged"} for catalog in ("Default", "Content")]
        self.shop.put("CatalogVersion", versions)
        self.media(*OLD.values(), "season-default", home=CONTENT)
        self.media("old-1", "old-winter", "season-default", home=STAGED)
        rows = [
            {"uid": uid, "catalogVersion": CONTENT, "media": f"{OLD[uid]}|{CONTENT}"}
            for uid in (HERO_EN, HERO_DE, TEASER)
        ]
        self.shop.put("BannerComponent", rows)
        self.shop.put("Category", [{"code": "winter", "catalogVersion": STAGED, "picture": f"old-winter|{STAGED}"}])
        self.shop.put("Product", [{"code": "1", "catalogVersion": STAGED, "picture": f"old-1|{STAGED}"}])
        for name, (kind, multi) in FIELDS.items():
            body = {"name": name, "label": name, "field_type": kind, "multi": multi}
            self.gallery.api("POST", "metadata/v1/fields/", json=body)
        names = [{"name": name} for name in (*KNOWN, *FIELDS)]
        self.view = self.gallery.api("POST", "metadata/v1/views/", json={"name": VIEW, "view_fields": names})["id"]

    def media(self, *codes: str, home: str = STAGED, size: int = 100) -> None:
        self.shop.put(
            "Media", [{"code": code, "catalogVersion": home, "mime": "image/jpeg", "size": size} for code in codes]
        )

    # iconik

    def campaign(self, code: str, **fields: Any) -> str:
        """A campaign's collection, in December in Berlin unless told otherwise; gives its id."""
        values = {
            "campaign_code": code, "campaign_revision": 1, "campaign_start": "2026-12-01T00:00",
            "campaign_end": "2026-12-27T00:00", "campaign_zone": "Europe/Berlin", "campaign_slots": SLOTS,
            "campaign_locales": ["en", "de"], "territories": ["DE"], "commerce_status": "ready_for_commerce",
            "sku": ["1"], "category_codes": ["winter"],
        }  # fmt: skip
        key = self.gallery.api("POST", "assets/v1/collections/", json={"title": code})["id"]
        self.describe("collections", key, **values | fields)
        return key

    def describe(self, kind: str, key: str, **fields: Any) -> None:
        """Set metadata as an editor does; None empties."""
        entries = {}
        for name, value in fields.items():
            listed = value if isinstance(value, list) else [] if value is None else [value]
            entries[name] = {"field_values": [{"value": one} for one in listed]}
        self.gallery.api("PUT", f"metadata/v1/{kind}/{key}/views/{self.view}/", json={"metadata_values": entries})

    def told(self, key: str, field: str = "campaign_report") -> Any:
        """What a campaign's collection says."""
        found = self.gallery.api("GET", f"metadata/v1/collections/{key}/views/{self.view}/")["metadata_values"]
        listed = [one["value"] for one in found[field]["field_values"]]
        return listed[0] if listed else None

    def material(
        self, campaign: str, slot: str, language: str = "en", *, code: str, approved: bool = True, **fields: Any
    ) -> str:
        """An asset of a campaign; approved ones are in the shop already, as K1 leaves them. Gives its id."""
        values = {"campaign_code": code, "campaign_slots": [slot], "language": language, "territories": ["DE", "AT"]}
        values |= {"rights_start": "2026-11-01", "rights_end": "2027-01-31"}
        about = {"product-picture": {"sku": ["1"]}, "category-picture": {"category_codes": ["winter"]}}.get(slot, {})
        key = self.gallery.api("POST", "assets/v1/assets/", json={"title": f"{code} {slot} {language}"})["id"]
        self.describe("assets", key, **values | about | fields)
        self.gallery.api(
            "POST", f"assets/v1/collections/{campaign}/contents/", json={"object_id": key, "object_type": "assets"}
        )
        if approved:
            self.approve(key)
        return key

    def approve(self, key: str) -> None:
        self.media(f"iconik-{key}-master")

    def whole(self, code: str, **fields: Any) -> tuple[str, Row]:
        """A campaign with material for each of its places: its id, and place -> code once it is shown."""
        key = self.campaign(code, **fields)
        filled = {HERO_EN: ("home-hero", "en"), HERO_DE: ("home-hero", "de"), TEASER: ("home-teaser", "en"),
                  "1": ("product-picture", "en"), "winter": ("category-picture", "en")}  # fmt: skip
        slots = fields.get("campaign_slots", SLOTS)
        assets = {
            place: self.material(key, slot, language, code=code)
            for place, (slot, language) in filled.items()
            if slot in slots
        }
        return key, {place: f"iconik-{asset}-master" for place, asset in assets.items()}

    # The flow, and who looks on

    def __call__(self, now: datetime, *, leg: str | None = PLACES) -> Row:
        """One run (None: of both legs), looked at after every single call; what it raised is in ``errors``."""
        walk = self.gallery.walk
        walk.source = lambda source, on_call: flow.source_system(source, self._watched(on_call))
        walk.target = lambda mapping, on_call: flow.target_system(mapping, self._watched(on_call))
        self.domain.clock(advance_s=1)
        return walk(SWITCH, leg=leg, now=now)

    def _watched(self, on_call: Callable[[Any], None]) -> Callable[[Any], None]:
        def look(call: Any) -> None:
            on_call(call)
            state = self.shown()
            if not self.seen or self.seen[-1] != state:
                self.seen.append(state)

        return look

    @property
    def errors(self) -> Row:
        return self.gallery.walk.errors

    def shown(self) -> Row:
        """Place -> code of what it shows, or None."""
        found = {row["uid"]: row["media"] for row in self.shop.records("BannerComponent")}
        found |= {row["code"]: row["picture"] for kind in ("Product", "Category") for row in self.shop.records(kind)}
        return {place: value and value.split("|")[0] for place, value in found.items()}

    def watch(self) -> list[Row]:
        """What was shown since the last ``watch``, each state once, in order."""
        found, self.seen = self.seen, []
        return found

    def started(self) -> tuple[str, Row]:
        """A whole campaign that is on: its id, and what is shown."""
        key, new = self.whole("xmas")
        for _ in range(2):
            self(DURING)
        assert self.errors == {}
        assert self.shown() == new
        self.watch()
        return key, new


def described(season: Season, leg: str) -> str:
    """Why rows of a leg were refused, for looking into."""
    return json.dumps({key: item.reason for key, item in season.gallery.walk.rejects(leg).items()})


@pytest.fixture
def season(gallery: Gallery) -> Season:
    """An empty shop with places, an empty domain with the campaign's view."""
    return Season(gallery)
