"""Undo where ``on_delete: delete`` clears the leg's fields and the record stays: devices, and metadata of assets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from commerce_sync import mapping_file
from commerce_sync import walk as walks
from commerce_sync.window import Request
from flows.appliances import PROFILES, Appliances
from flows.archive import Archive, Catalog
from flows.walking import Shop, Walk, connection
from undo.taking_back import Back

SHOWN = "media_to_assets"
BY_SERIAL = """
leg: products_to_serials
from:
  system: sap_commerce
  service: ProductSync
  entity_set: Products
  key: code
  columns: {code: VARCHAR, name: VARCHAR}
key: code
undo: true
to: {system: opentext_iot, object: device_attributes, external_id: serial, on_delete: delete}
fields: {serial: "'SN-' || code", productName: name, productCode: {value: code, on_null: leave}}
guards: {max_deletes: 100%}
"""


@pytest.mark.parametrize("profile", PROFILES)
def test_attributes_by_serial_number_that_were_cleared_go_back(
    opentext_iot: Any, shop: Shop, walk: Walk, back: Back, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, profile: str
) -> None:
    opentext_iot.clear_faults()
    fleet = Appliances(opentext_iot, shop, monkeypatch, profile=profile)
    file = tmp_path / "products_to_serials.yaml"
    file.write_text(BY_SERIAL)
    mapping = walk._altered["products_to_serials"] = mapping_file.load(file)
    request = Request(mode="complete")
    devices = [fleet.device(number, firmware="1.0") for number in (1, 2, 3)]
    for code in ("1", "2", "3"):
        shop.product(code)
        shop.far.patch("Product", code, name={"en": f"Product {code}"})

    def run() -> Any:
        return walks.leg(walk.site, mapping, walk.next_id(), request=request, sources=walk.source, targets=walk.target)

    run()
    before = [fleet.attributes(device) for device in devices]
    assert (before[1]["productName"], before[1]["productCode"]) == ("Product 2", "2")
    for code in ("2", "3"):
        shop.far.delete("Product", code)
    gone = run()
    after = [fleet.attributes(device) for device in devices]
    assert gone.deleted == 2
    assert after[1:] == [{"runtimeHours": 1.5, "firmware": "1.0"}] * 2
    fleet.relabel(devices[2], productName="By hand")
    undone = back.undo(gone)
    assert [fleet.attributes(device) for device in devices] == [*before[:2], before[2] | {"productName": "By hand"}]
    assert ("3", "productName", "conflict") in back.rows(undone)
    assert (undone.status, undone.delivered, run().sent) == ("green", 2, 0)
    back.undo(undone)
    assert [fleet.attributes(device) for device in devices] == [*after[:2], after[2] | {"productName": "By hand"}]


def test_metadata_of_an_asset_that_was_cleared_goes_back(
    walk: Walk, shop: Shop, media: Any, back: Back, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_ICONIK_DEFAULT", connection(media, max_per_second=100_000))
    archive, catalog = Archive(media), Catalog(shop.far)
    back.keep(SHOWN, target={"on_delete": "delete"})
    asset, other = (archive.asset(name, metadata={"commerce_status": ["ready_for_commerce"]}) for name in "ab")
    catalog.media(f"iconik-{asset}-web", f"iconik-{other}-web", size=100)
    walk.leg(SHOWN)
    before = archive.metadata(asset)
    catalog.far.delete("Media", f"iconik-{asset}-web|Staged|Default".replace("|", "%7C"))
    run = walk.leg(SHOWN, "complete")
    assert run.deleted == 1
    assert not archive.metadata(asset).get("commerce_status")
    undone = back.undo(run)
    assert (archive.metadata(asset), undone.delivered, undone.filtered) == (before, 1, 0)
    assert walk.leg(SHOWN, "complete").sent == 0
