"""What the shop and its connected devices have in common: warehouses, and which products are devices.

Choices of ours: the products that stand for devices, and the codes of the warehouses whose shelves are weighed.
"""

from __future__ import annotations

WAREHOUSES = {"WH-EU-1": "Warehouse Europe 1", "WH-US-1": "Warehouse US 1", "WH-US-2": "Warehouse US 2"}
# family -> the categories of the shop its product and its consumables come from
PRODUCT_CATEGORIES = {
    "coffee_machine": ("COFFEE SHOP", "COFFEE"),
    "photo_printer": ("FILM AND CAMERA PRODUCTS", "FILM AND CAMERA PRODUCTS"),
    "compressor": ("HARDWARE SUPPLIES", "ELECTRICAL SUPPPLIES"),
    "cold_chest": ("FROZEN PIZZA", "FRZN ICE"),
    "shelf_scale": ("COFFEE", "COFFEE"),
    "tracker": ("BATTERIES", "BATTERIES"),
}


def consignment_code(order: str) -> str:
    """The code of the one shipment of an order."""
    return f"S{order}"
