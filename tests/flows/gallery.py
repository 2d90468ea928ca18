"""What the stories of the iconik media flows share: products of a shop, pictures of a domain, what customers see."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from commerce_sync.systems import rest
from flows.walking import Walk, connection

Row = dict[str, Any]
APPROVED_MEDIA, GOVERNANCE, CHANNELS = "iconik_approved_media", "iconik_governance", "iconik_channels"
READY = {"commerce_status": "ready_for_commerce", "usage_rights": "all_channels", "language": "en"}


class Gallery:
    """A shop and an iconik domain side by side, and the legs between them."""

    def __init__(self, shop: Any, domain: Any, walk: Walk) -> None:
        self.shop, self.domain, self.walk = shop, domain, walk
        domain.options(index_lag_s=0)
        walk.gated = False  # the gate costs seconds; stories about it switch it on

    def __call__(self, dag_id: str = APPROVED_MEDIA, mode: str = "auto", **more: Any) -> dict[str, Any]:
        """Walk a flow; every leg must do well."""
        self.domain.clock(advance_s=60)
        found = self.walk(dag_id, mode, now=more.pop("now", self.now()), **more)
        assert self.walk.errors == {}, self.walk.errors
        return found

    def now(self) -> datetime:
        return datetime.fromisoformat(self.domain.clock()["now"])

    def day(self, days: int) -> str:
        return (self.now() + timedelta(days=days)).date().isoformat()

    # The shop

    def products(self, *codes: str, version: str = "Staged", category: str = "cameras", **values: Any) -> None:
        home = {"catalogVersion": f"{version}|Default"}
        self.shop.put("Category", [{"code": category, "name": category.title()} | home])
        at = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
        rows = [{"code": code, "name": f"Camera {code}", "modifiedtime": at} | home | values for code in codes]
        self.shop.put("Product", rows)

    def media(self) -> dict[str, Row]:
        """Media of ours by code and catalog version."""
        rows = [row for row in self.shop.records("Media") if row["code"].startswith("iconik-")]
        return {row["code"]: row for row in rows}

    def bytes_of(self, code: str) -> bytes:
        """What a customer gets."""
        answer = self.shop._session.get(self.shop.url + self.media()[code]["url"], timeout=30)
        assert answer.status_code == 200
        return answer.content

    def md5(self, code: str) -> str:
        return hashlib.md5(self.bytes_of(code), usedforsecurity=False).hexdigest()

    def category(self, code: str) -> Row:
        return next(row for row in self.shop.records("Category") if row["code"] == code)

    def product(self, code: str) -> Row:
        return next(row for row in self.shop.records("Product") if row["code"] == code)

    def pictures(self, code: str) -> Row:
        """What a product shows: names only."""
        row = self.product(code)
        return {
            name: row.get(name) for name in ("picture", "thumbnail", "galleryImages", "data_sheet") if row.get(name)
        }

    def uploads(self) -> int:
        """Zips put into the hot folder since the last ``reset_calls``."""
        return sum(count for route, count in self.shop.calls()["by_route"].items() if route.startswith("PUT /hybris"))

    def writes(self) -> dict[str, int]:
        """Calls on either side that could change something since the last ``reset_calls``."""
        found = {}
        for far in (self.shop, self.domain):
            for route, count in far.calls()["by_route"].items():
                if not route.startswith(("GET", "HEAD")) and "/search/" not in route and "/oauth/" not in route:
                    found[route] = count
        return found

    def reset_calls(self) -> None:
        self.shop.reset_calls()
        self.domain.reset_calls()

    # iconik

    def picture(
        self, title: str, *skus: str, role: str = "hero", approval: str | None = "APPROVED", **values: Any
    ) -> str:
        """An asset that fulfils everything unless told otherwise; gives its id."""
        metadata = READY | {"sku": list(skus), "media_role": role, "alt_text": f"{title} as seen from the front"}
        metadata |= {"rights_start": self.day(-30), "rights_end": self.day(300)} | values.pop("metadata", {})
        size = {"width": 1000, "height": 750}
        row = {"title": title, "media": "image", "approval": approval, "metadata": metadata} | size | values
        self.domain.put("complete_assets", [row])
        return next(row["id"] for row in reversed(self.domain.records("assets")) if row["title"] == title)

    def version(self, asset: str) -> str:
        return self.domain.records("assets", id=asset)[0]["versions"][-1]["id"]

    def review(self, asset: str, status: str) -> None:
        self.domain.patch("approvals", self.version(asset), status=status)

    def api(self, method: str, path: str, **options: Any) -> Any:
        headers = {"App-ID": self.domain.app_id, "Auth-Token": self.domain.auth_token}
        answer = self.domain._session.request(
            method, f"{self.domain.url}/API/{path}", headers=headers, timeout=30, **options
        )
        assert answer.status_code < 300, answer.text
        return answer.json() if answer.text else None

    def describe(self, asset: str, **fields: Any) -> None:
        """Set metadata as a user does."""
        entries = {name: {"field_values": [{"value": one} for one in (value if isinstance(value, list) else [value])]}
                   for name, value in fields.items()}  # fmt: skip
        view = self.domain.credentials["metadata_view_id"]
        self.api("PUT", f"metadata/v1/assets/{asset}/views/{view}/", json={"metadata_values": entries})

    def described(self, asset: str) -> Row:
        version = self.version(asset)
        values = next(row for row in self.domain.records("metadata") if row["id"] == version)["metadata_values"]
        return {name: [one["value"] for one in entry["field_values"]] for name, entry in values.items()}

    def original(self, asset: str) -> Row:
        version = self.version(asset)
        return next(
            row for row in self.domain.records("files") if row["asset_id"] == asset and row["version_id"] == version
        )

    def history(self, asset: str) -> list[str]:
        rows = self.api("GET", f"assets/v1/assets/{asset}/history/?per_page=100")["objects"]
        return [row["operation_description"] for row in rows if row["operation_type"] == "CUSTOM"]


def connect(shop: Any, domain: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow connections of both, and of the shop's hot folder."""
    folder = {
        "conn_type": "http",
        "host": shop.credentials["hot_folder"],
        "password": shop.credentials["hot_folder_signature"],
    }
    monkeypatch.setenv("AIRFLOW_CONN_SAP_COMMERCE_DEFAULT", connection(shop))
    monkeypatch.setenv("AIRFLOW_CONN_ICONIK_DEFAULT", connection(domain))
    monkeypatch.setenv("AIRFLOW_CONN_SAP_COMMERCE_HOT_FOLDER", json.dumps(folder))


@pytest.fixture
def gallery(sap_commerce: Any, iconik: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Gallery:
    """An empty shop, an empty domain."""
    connect(sap_commerce, iconik, monkeypatch)
    for far in (sap_commerce, iconik):
        far.clear_faults()
    monkeypatch.setattr(rest, "_pause", lambda _state: 0.0)
    monkeypatch.setenv("COMMERCE_SYNC_HOME", str(tmp_path))
    return Gallery(sap_commerce, iconik, Walk(tmp_path))
