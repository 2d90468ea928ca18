"""Whole legs: the shop's products become packages in iconik, approved assets become media of the shop."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from commerce_sync import flow, mapping_file, walk
from commerce_sync.batches import Batches
from commerce_sync.ledger import Ledger, Run
from commerce_sync.leg import Site
from commerce_sync.window import Request

PACKAGES = """
leg: products_to_packages
from:
  system: sap_commerce
  connection: sap_walk
  service: ProductSync
  entity_set: Products
  key: code
  modified: modifiedtime
  columns:
    code: VARCHAR
    name: VARCHAR
    modifiedtime: TIMESTAMP
    supercategories: STRUCT(code VARCHAR)[]
key: code
to:
  system: iconik
  connection: iconik_test
  object: collections
  external_id: external_id
  on_delete: {metadata.commerce_status: "'withdrawn'"}
  options: {settle_s: 0}
fields:
  external_id: "'sapcc:electronics:' || code"
  title: {value: "coalesce(name, code)", on_null: leave}
  metadata.sku: "[code]"
  metadata.category_codes: "list_sort(list_transform(supercategories, lambda c: c.code))"
  metadata.commerce_status: "'draft'"
"""
MEDIA = """
leg: assets_to_media
from:
  system: iconik
  connection: iconik_test
  entity_set: assets
  key: id
  modified: date_modified
  columns:
    id: VARCHAR
    title: VARCHAR
    status: VARCHAR
    date_modified: TIMESTAMPTZ
    latest_version: STRUCT(id VARCHAR)
    approval: STRUCT(status VARCHAR, version_id VARCHAR)
    metadata: STRUCT(alt_text VARCHAR, commerce_status VARCHAR, commerce_media_code VARCHAR)
    files: STRUCT(name VARCHAR, size BIGINT, status VARCHAR)[]
  options:
    statuses: [ACTIVE, DELETED]
    recheck: {metadata.commerce_status: [ready_for_commerce, published]}
key: id
where: >-
  status = 'ACTIVE' AND approval.status = 'APPROVED' AND approval.version_id = latest_version.id
  AND metadata.commerce_status IN ('ready_for_commerce', 'published') AND len(files) = 1 AND files[1].status = 'CLOSED'
to:
  system: sap_commerce
  connection: sap_walk
  object: Medias
  external_id: code
  on_delete: delete
  on_leave: delete
  options: {service: AssetMediaSync}
fields:
  code: "'iconik-' || id || '-master'"
  catalogVersion.version: "'Staged'"
  catalogVersion.catalog.id: "'completejourney'"
  altText: metadata.alt_text
  realfilename: "files[1].name"
  size: "files[1].size"
guards: {max_deletes: 100%}
"""
USED = """
leg: usage_to_assets
from:
  system: iconik
  connection: iconik_test
  entity_set: assets
  key: id
  columns: {id: VARCHAR, metadata: "STRUCT(sku VARCHAR[])"}
key: id
where: metadata.sku IS NOT NULL
to: {system: iconik, connection: iconik_test, object: metadata, external_id: id}
fields:
  id: id
  commerce_placements: "list_sort(list_transform(metadata.sku, lambda s: 'pdp/' || s))"
  commerce_usage_count: len(metadata.sku)
"""


class Legs:
    """Walks mappings kept in a folder, with a ledger of their own."""

    def __init__(self, folder: Path, domain: Any) -> None:
        self.folder = folder
        self.domain = domain
        ledger = Ledger.open(f"sqlite:///{folder}/ledger.db", files=f"{folder}/markers")
        self.site = Site(ledger, Batches(f"{folder}/runs"), Batches(f"{folder}/stores"), folder / "pages")
        self.count = 0

    def __call__(self, text: str, mode: Any = "auto") -> Run:
        path = self.folder / f"{text.split()[1]}.yaml"
        path.write_text(text, encoding="utf-8")
        self.count += 1
        self.domain.catch_up()
        return walk.leg(
            self.site, mapping_file.load(path), f"run-{self.count}", request=Request(mode=mode),
            sources=flow.source_system, targets=flow.target_system, now=datetime.fromisoformat(self.domain.far.clock()["now"]),
        )  # fmt: skip


@pytest.fixture
def legs(domain: Any, sap_commerce: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Legs:
    extra = {"auth": "oauth", "client_id": sap_commerce.client_id, "client_secret": sap_commerce.client_secret}
    connection = {"conn_type": "commerce_sync_sap_commerce", "host": sap_commerce.url, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_SAP_WALK", json.dumps(connection))
    domain.far.options(index_lag_s=0)
    found = Legs(tmp_path, domain)
    found.shop = sap_commerce
    return found


def products(shop: Any, *codes: str, **values: Any) -> None:
    at = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    shop.put("Category", [{"code": "cameras"}])
    shop.put("Product", [{"code": code, "name": f"Camera {code}", "supercategories": ["cameras"], "modifiedtime": at} | values
                         for code in codes])  # fmt: skip


def test_products_become_packages_and_stay_in_step(legs: Any, domain: Any) -> None:
    products(legs.shop, "1", "2", "3")
    run = legs(PACKAGES)
    assert (run.status, run.delivered, run.created) == ("green", 3, 3)
    packages = {row["external_id"]: row for row in domain.far.records("collections")}
    assert set(packages) == {f"sapcc:electronics:{code}" for code in "123"}
    key = packages["sapcc:electronics:2"]["id"]
    assert domain.metadata(key) == {"sku": ["2"], "category_codes": ["cameras"], "commerce_status": ["draft"]}
    domain.far.reset_calls()
    again = legs(PACKAGES, "complete")
    assert (again.status, again.sent) == ("green", 0)
    assert domain.writes() == {}
    legs.shop.patch("Product", "2", name="Camera II", modifiedtime=datetime.now(UTC).isoformat())
    legs.shop.delete("Product", "3")
    third = legs(PACKAGES, "complete")
    assert (third.modified, third.deleted, third.delivered) == (1, 1, 2)
    assert {row["title"] for row in domain.far.records("collections")} == {"Camera 1", "Camera II", "Camera 3"}
    assert domain.metadata(packages["sapcc:electronics:3"]["id"])["commerce_status"] == ["withdrawn"]
    assert legs(PACKAGES, "complete").sent == 0


def test_only_approved_assets_are_media_of_the_shop_and_a_revoked_one_is_not(legs: Any, domain: Any) -> None:
    legs.shop.put("Catalog", [{"id": "completejourney"}])
    legs.shop.put("CatalogVersion", [{"catalog": "completejourney", "version": "Staged"}])
    ready = {"commerce_status": "ready_for_commerce", "alt_text": "A camera"}
    good = domain.asset("Good", media="image", approval="APPROVED", metadata=ready)
    domain.asset("Refused", media="image", approval="NOT_APPROVED", metadata=ready)
    domain.asset("Not named ready", media="image", approval="APPROVED", metadata={"commerce_status": "draft"})
    domain.asset("Never asked", media="image", metadata=ready)
    run = legs(MEDIA)
    assert (run.status, run.delivered, run.filtered) == ("green", 1, 3)
    assert [(row["code"], row["altText"]) for row in legs.shop.records("Media")] == [
        (f"iconik-{good}-master", "A camera")
    ]
    assert legs(MEDIA).sent == 0
    domain.far.patch("approvals", domain.far.records("assets", id=good)[0]["versions"][0]["id"], status="NOT_APPROVED")
    run = legs(MEDIA)
    assert (run.status, run.deleted, run.delivered) == ("green", 1, 1)
    assert legs.shop.records("Media") == []
    assert legs(MEDIA).sent == 0


def test_metadata_written_back_does_not_echo(legs: Any, domain: Any) -> None:
    keys = [domain.asset(f"A{n}", metadata={"sku": [f"{n}", f"{n + 1}"]}) for n in range(4)]
    run = legs(USED)
    assert (run.status, run.delivered) == ("green", 4)
    assert domain.metadata(keys[1])["commerce_placements"] == ["pdp/1", "pdp/2"]
    domain.far.reset_calls()
    assert legs(USED).sent == 0
    assert domain.writes() == {}
