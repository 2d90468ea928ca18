"""What the far sides hold, as one digest per record: shows which records a cycle has touched."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from demo.world import World

WATCHED = {
    "sap_commerce": ("Media", "MediaContainer", "ProductFeature", "UserGroup", "Cart", "StockLevel", "Consignment"),
    "iconik": ("assets", "metadata", "collections", "contents", "history"),
    "opentext_iot": ("device",),
}
NAMES = {"sap_commerce": "pk", "iconik": "id", "opentext_iot": "id"}
Marks = dict[tuple[str, str], dict[str, str]]
"""(system, type) -> key of a record -> digest of all that is in it."""


def take(world: World) -> Marks:
    """The state of every watched record now."""
    return {
        (system, kind): {str(row[NAMES[system]]): _digest(row) for row in world.simulated[system].records(kind)}
        for system, kinds in WATCHED.items()
        for kind in kinds
        if system in world.simulated
    }


def _digest(row: Mapping[str, object]) -> str:
    text = json.dumps(row, sort_keys=True, default=str).encode()
    return hashlib.blake2b(text, digest_size=16).hexdigest()


def touched(before: Marks, after: Marks) -> dict[str, set[str]]:
    """Keys of records that came, went or changed, by type; types without any are left out."""
    found = {}
    for (_, kind), then in before.items():
        now = after[_, kind]
        if keys := {key for key in then.keys() | now.keys() if then.get(key) != now.get(key)}:
            found[kind] = keys
    return found
