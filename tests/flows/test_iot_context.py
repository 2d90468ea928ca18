"""I8, shop to devices: product and purchase context as attributes and tags, by both gateway profiles."""

from __future__ import annotations

from commerce_sync.ledger import Run
from flows.appliances import Appliances, fleet_by_profile, one_fleet
from flows.walking import Shop, Walk, line, uid

__all__ = ["fleet_by_profile", "one_fleet"]

FLOW = "iot_insights"
ATTRIBUTES, TAGS = "context_to_device_attributes", "context_to_device_tags"


def context(walk: Walk, mode: str = "auto") -> dict[str, Run]:
    """Both legs, without an error."""
    runs = {leg: walk(FLOW, mode, leg)[leg] for leg in (ATTRIBUTES, TAGS)}
    assert walk.errors == {}
    return runs


def stocked(shop: Shop) -> None:
    """Two products in a small tree of categories, two customers with an order each."""
    shop.categories("Machines", "Pumps", "Air")
    shop.far.patch("Category", "pumps", supercategories=["machines"])
    shop.product("c200", "pumps", "air")
    shop.product("x9", "air")
    shop.far.patch("Product", "c200", name={"en": "Compressor C-200"})
    shop.far.patch("Product", "x9", name={"en": "Chest X"})
    shop.customers(1, 2)
    shop.units("acme")
    shop.order("O1", customer=1, day="2026-10-01", lines=[line(0, "c200", 1, 10)])
    shop.order("O2", customer=2, unit="acme", day="2026-10-02", lines=[line(0, "x9", 1, 10)])


def test_context_comes_to_the_devices_and_the_second_walk_writes_nothing(
    fleet: Appliances, shop: Shop, walk: Walk
) -> None:
    stocked(shop)
    first = fleet.device(1, tags=("customer:old", "grp:offer-open"), productCode="c200", purchaseOrderCode="O1")
    second = fleet.device(2, customerRef="C0002")
    third = fleet.device(3, tags=("customer:other",))
    fleet.reading(second, "device.activated", productCode="x9", hours_ago=5)
    fleet.polled(walk.site.ledger)
    context(walk)
    found = fleet.attributes(first)
    assert (found["productName"], found["categoryCodes"], found["productFamily"]) == (
        "Compressor C-200",
        "air,pumps",
        "air",
    )
    assert (found["customerRef"], found["purchaseDate"]) == ("C0001", "2026-10-01")
    assert fleet.tags(first) == {
        "serial:SN-1",
        "grp:offer-open",
        "sku:c200",
        "customer:C0001",
        "grp:family-air",
        "managed:sapcc",
    }
    found = fleet.attributes(second)
    assert (found["productCode"], found["purchaseOrderCode"], found["b2bUnit"]) == ("x9", "O2", "acme")
    assert {"sku:x9", "customer:C0002", "b2bunit:acme"} < fleet.tags(second)
    assert fleet.tags(third) == {"serial:SN-3", "customer:other"}, "a device nobody knows is left alone"

    before = fleet.versions()
    fleet.far.reset_calls()
    assert {run.sent for run in [*context(walk).values(), *context(walk, "complete").values()]} == {0}
    assert (fleet.writes(), fleet.versions()) == (0, before)

    shop.far.patch("Product", "c200", name={"en": "Compressor C-210"}, modifiedtime=shop.tick())
    fleet.relabel(first, purchaseOrderCode="O2")  # sold on
    context(walk)
    assert fleet.attributes(first)["productName"] == "Compressor C-210"
    assert {"customer:C0002", "b2bunit:acme"} < fleet.tags(first)
    assert "customer:C0001" not in fleet.tags(first)
    shop.touch("O2", status="CANCELLED")
    context(walk)
    assert {tag for tag in fleet.tags(first) | fleet.tags(second) if tag.startswith(("customer:", "b2bunit:"))} == set()
    assert "customerRef" not in fleet.attributes(second)
    assert "sku:x9" in fleet.tags(second)


def test_a_deleted_product_leaves_its_devices_after_two_full_snapshots(
    one: Appliances, shop: Shop, walk: Walk
) -> None:  # fmt: skip
    stocked(shop)
    device = one.device(1, productCode="c200", purchaseOrderCode="O1")
    other = one.device(2, productCode="x9")
    context(walk)
    shop.far.delete("Order", "O1")
    shop.far.delete("Product", "c200")
    before = one.tags(device)
    context(walk, "complete")
    assert "sku:c200" in one.tags(device)
    assert one.attributes(device)["productName"] == "Compressor C-200"
    context(walk, "complete")
    assert one.tags(device) == before - {"sku:c200", "grp:family-air"}
    assert "productName" not in one.attributes(device)
    assert one.attributes(device)["productCode"] == "c200", "what links the device stays"
    assert "sku:x9" in one.tags(other)
    shop.product("c200", "pumps")
    shop.far.patch("Category", "machines", modifiedtime=shop.tick())
    context(walk)
    assert {"sku:c200", "grp:family-machines"} < one.tags(device), "the family is the root of the categories"


def test_an_empty_shop_is_no_snapshot(one: Appliances, shop: Shop, walk: Walk) -> None:
    stocked(shop)
    device = one.device(1, productCode="c200")
    context(walk)
    for code in ("O1", "O2"):
        shop.far.delete("Order", code)
    for code in ("c200", "x9"):
        shop.far.delete("Product", code)
    for _ in range(3):
        context(walk, "complete")
    assert "sku:c200" in one.tags(device)


def test_hostile_texts_arrive_and_a_login_never_does(one: Appliances, shop: Shop, walk: Walk) -> None:
    shop.categories("Air")
    for number, name in enumerate(("N" * 300, "Кофе ☕️ العربية", "  ")):
        shop.product(f"p{number}", "air")
        shop.far.patch("Product", f"p{number}", name={"en": name})
    shop.customers(1, customerID="ada@people.example")
    shop.customers(2)
    shop.order("O1", customer=1, day="2026-10-01", lines=[line(0, "p0", 1, 1)])
    shop.order("O9", customer=2, day="2099-01-01", lines=[line(0, "p1", 1, 1)])
    devices = [one.device(n, productCode=f"p{n}", purchaseOrderCode="O1") for n in range(3)]
    absurd = one.device(8, productCode="p1", purchaseOrderCode="O9")
    strange = one.device(9, productCode="p1", customerRef=uid(7))
    unknown = one.device(10, productCode="nothing")
    run = context(walk)[ATTRIBUTES]
    assert (run.delivered, run.quarantined, run.rejected) == (4, 1, 0)
    assert "purchase_is_not_in_the_future" in str(walk.rejects(ATTRIBUTES)[absurd].reason)
    assert len(one.attributes(devices[0])["productName"]) == 255
    assert one.attributes(devices[1])["productName"] == "Кофе ☕️ العربية"
    everything = str([one.stored(device) for device in (*devices, absurd, unknown)])
    assert "@people" not in everything
    assert any(tag.startswith("customer:h-") for tag in one.tags(strange))
    assert one.tags(unknown) == {"serial:SN-10"}


def test_a_write_that_somebody_overtook_is_made_again(one: Appliances, shop: Shop, walk: Walk) -> None:
    stocked(shop)
    device = one.device(1, productCode="c200", purchaseOrderCode="O1")
    one.far.fault(action="version_conflict", times=2)
    one.far.fault(action="status", status=429, retry_after_s=0, times=1)
    context(walk)
    assert one.attributes(device)["customerRef"] == "C0001"
    assert walk.rejects(ATTRIBUTES) == {}


def test_devices_that_vanish_at_once_stop_the_leg(one: Appliances, shop: Shop, walk: Walk) -> None:
    stocked(shop)
    for number in range(30):
        one.device(number, productCode="c200", purchaseOrderCode="O1")
    context(walk)
    shop.touch("O1", status="CANCELLED")
    for number in range(25):
        one.relabel(one.device(number), productCode=None)
    walk(FLOW, "complete")
    assert "max_deletes" in str(walk.errors[TAGS])
