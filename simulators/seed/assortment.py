"""What the shop's editors are working on: drafts in the catalog version Staged, each with a media package in iconik.

Choices of ours: the drafts are the best-selling products of the year; a dozen novelties nobody could order yet have no
package and no picture.
"""

from __future__ import annotations

from typing import NamedTuple

from simulators.seed.journey import Journey

CATALOG = "Default"
DRAFTS = {"slice": 80, "full": 400}
"""Scale -> number of products that are being worked on."""
NOVELTIES = (
    ("N0001", "Cold Brew Starter Set"),
    ("N0002", "Oat Drink Barista 1 L"),
    ("N0003", "Harvest Soup Kit"),
    ("N0004", "Herb Garden Tray"),
    ("N0005", "Sourdough Mix 2 LB"),
    ("N0006", "Smoked Sea Salt"),
    ("N0007", "Ginger Shot 6 Pack"),
    ("N0008", "Party Pretzel Box"),
    ("N0009", "Lemon Curd Jar"),
    ("N0010", "Winter Tea Sampler"),
    ("N0011", "Chili Honey Bottle"),
    ("N0012", "Plum Jam Duo"),
)
_TOP = (
    "SELECT b.product_id, any_value(b.name), any_value(c.code) FROM lines l JOIN bought b USING (product_id)"
    " JOIN categories c ON c.category = b.category GROUP BY b.product_id ORDER BY count(*) DESC, b.product_id"
)


class Draft(NamedTuple):
    """A product: code, name as editors write it, code of its category."""

    code: str
    name: str
    category: str


def best_sellers(journey: Journey, *, scale: str) -> list[Draft]:
    """The products that are being worked on, most bought first."""
    rows = [row for chunk in journey.rows(f"{_TOP} LIMIT {DRAFTS[scale]}") for row in chunk]
    return [Draft(str(code), " ".join(name.split()).title(), category) for code, name, category in rows]
