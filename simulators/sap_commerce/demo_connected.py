"""What the demo shop knows of connected devices and of its people's care: warehouses, parts, managers, consents.

Choices of ours: stock levels follow from the product's number; what fits a device are the best-selling products of
the category its consumables come from; nearly everybody agreed to marketing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulators.seed.connected import PRODUCT_CATEGORIES, WAREHOUSES
from simulators.seed.people import MANAGERS, consent, manager, person

if TYPE_CHECKING:
    from simulators.sap_commerce.demo_orders import Loader

_DEVICES, _CONSUMABLES, _SPARE_PARTS = 40, 4, 2
_TEMPLATE = ("MARKETING_NEWSLETTER", 1)


def load_connected(loader: Loader) -> None:
    """Warehouses with weighed shelves, and what belongs to the products that are devices."""
    _shelves(loader)
    _references(loader)


def _shelves(loader: Loader) -> None:
    pks = [loader.records.load("Warehouse", {"code": code, "name": {"en": name}}) for code, name in WAREHOUSES.items()]
    status = loader.records.reference("InStockStatus", "NOTSPECIFIED")
    houses = ", ".join(f"({pk})" for pk in pks)
    loader.store.forget_numbers()
    del loader.first["StockLevel"]
    place = loader.pk("StockLevel", "row_number() OVER (ORDER BY b.number, w.pk)")
    loader.insert(
        "StockLevel",
        "pk, itemtype, creationtime, modifiedtime, productCode, warehouse, available, reserved, overSelling, preOrder,"
        " inStockStatus",
        f"SELECT {place}, 'StockLevel', {loader.now()}, {loader.now()}, product_id::VARCHAR, w.pk,"
        f" (b.number * 7919 + w.pk) % 200, 0, 0, 0, {status} FROM bought b, (VALUES {houses}) w(pk)"
        f" WHERE b.category IN ({_quoted(_categories())}) ORDER BY b.number, w.pk",
    )


def _categories() -> list[str]:
    return sorted({category for pair in PRODUCT_CATEGORIES.values() for category in pair})


def _quoted(words: list[str]) -> str:
    return ", ".join("'" + word.replace("'", "''") + "'" for word in words)


def _best_sellers(loader: Loader) -> dict[str, list[int]]:
    """Category -> numbers of its products, most bought first."""
    sql = (
        "SELECT b.category, b.number FROM lines l JOIN bought b USING (product_id)"
        f" WHERE b.category IN ({_quoted(_categories())}) GROUP BY ALL ORDER BY 1, count(*) DESC, 2"
    )
    found: dict[str, list[int]] = {name: [] for name in _categories()}
    for chunk in loader.journey.rows(sql):
        for category, number in chunk:
            found[category].append(number)
    return found


def _references(loader: Loader) -> None:
    """Each of the first products of a family has consumables, spare parts and a successor."""
    best, seen = _best_sellers(loader), set[tuple[int, int, str]]()
    for own, consumables in dict.fromkeys(PRODUCT_CATEGORIES.values()):
        devices = best[own][:_DEVICES]
        for place, device in enumerate(devices):
            others = [number for number in best[consumables] if number != device]
            parts = [best[own][-1 - (place + n) % len(best[own])] for n in range(_SPARE_PARTS)]
            wanted = [(number, "CONSUMABLE") for number in others[:_CONSUMABLES]]
            wanted += [(number, "SPAREPART") for number in parts]
            wanted += [(devices[(place + 1) % len(devices)], "UPSELLING")]
            seen |= {(device, number, kind) for number, kind in wanted if number != device}
    product, store = loader.first["Product"], loader.store
    kinds = {kind: loader.records.reference("ProductReferenceTypeEnum", kind) for _, _, kind in seen}
    for source, target, kind in sorted(seen):
        row = {"source": source * 256 + product, "target": target * 256 + product, "referenceType": kinds[kind]}
        store.insert("ProductReference", {**row, "preselected": 0, "active": 1})


def load_care(loader: Loader) -> None:
    """Who cares for a unit, and who agreed to be written to."""
    for uid, name in MANAGERS:
        loader.records.load("Employee", {"uid": uid, "name": name, "groups": ["employeegroup"]})
    for (uid,) in loader.store.db.execute("SELECT uid FROM Principal WHERE itemtype = 'B2BUnit'").fetchall():
        if uid.startswith("U"):
            loader.records.load("B2BUnit", {"uid": uid, "accountManager": manager(uid)[0]})
    _consents(loader)


def _consents(loader: Loader) -> None:
    name, version = _TEMPLATE
    template = {"id": name, "version": version, "baseSite": "shop", "name": {"en": "Newsletter and offers"}}
    pk = loader.records.load("ConsentTemplate", template)
    sql = "SELECT c.id, c.number, min(b.ordered_ms) FROM customer_pks c JOIN baskets b ON b.household_id = c.id"
    for chunk in loader.journey.rows(f"{sql} GROUP BY ALL ORDER BY c.id"):
        for household, customer, first in chunk:
            if (state := consent(household)) == "none":
                continue
            withdrawn = first + 86_400_000 if state == "withdrawn" else None
            row = {"code": f"{person(household).customer_id}-{name}", "consentTemplate": pk, "customer": customer}
            times = {"creationtime": first, "modifiedtime": withdrawn or first, "consentGivenDate": first}
            loader.store.insert("Consent", {**row, **times, "consentWithdrawnDate": withdrawn})
