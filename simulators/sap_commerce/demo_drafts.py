"""The draft version (Staged) of the demo shop's catalog: the products its editors are working on, with categories.

What is sold stands in Online; here are the best sellers, whose pictures are being renewed, and novelties that nobody
has released yet. The rest of the catalog has no draft.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simulators.seed.assortment import CATALOG, NOVELTIES, best_sellers

if TYPE_CHECKING:
    from simulators.sap_commerce.demo_orders import Loader

_NEWS = "NOVELTIES"


def load_drafts(loader: Loader) -> None:
    """Products in Staged: code and category as Online has them; novelties wait for their release."""
    version = f"Staged|{CATALOG}"
    products = best_sellers(loader.journey, scale=loader.journey.scale)
    known = {code: name for rows in loader.journey.rows("SELECT code, category FROM categories") for code, name in rows}
    names = {product.category: known[product.category] for product in products} | {_NEWS: "Novelties"}
    for code in sorted(names):
        loader.records.load("Category", {"code": code, "catalogVersion": version, "name": {"en": names[code]}})
    for code, name, category in products:
        loader.records.load("Product", _draft(code, name, category, version=version, status="approved"))
    for code, name in NOVELTIES:
        loader.records.load("Product", _draft(code, name, _NEWS, version=version, status="check"))


def _draft(code: str, name: str, category: str, *, version: str, status: str) -> dict[str, Any]:
    return {
        "code": code,
        "catalogVersion": version,
        "name": {"en": name},
        "unit": "pieces",
        "approvalStatus": status,
        "supercategories": [f"{category}|{version}"],
    }
