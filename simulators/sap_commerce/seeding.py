"""What a store starts with: the essential items, the integration objects, the demo data."""

from __future__ import annotations

import hashlib
from pathlib import Path

from simulators.clock import Clock
from simulators.sap_commerce.impex import load_impex
from simulators.sap_commerce.records import Records
from simulators.sap_commerce.set_up import SETUP, load_objects
from simulators.sap_commerce.store import Store
from simulators.sap_commerce.types import DECLARATIONS, commerce_types

ESSENTIAL = Path(__file__).with_name("essential.impex")
READY_MADE = Path(__file__).with_name("ready_made.impex")


def new_store(path: str, *, clock: Clock) -> Store:
    return Store(path, types=commerce_types(), clock=clock)


def essential_store(*, clock: Clock, bare: bool = False) -> Store:
    """A store in memory with what the seed "empty" holds; ``bare`` leaves out what a project sets up."""
    store = new_store(":memory:", clock=clock)
    store.create_tables()
    store.create_indexes()
    with store.transaction():
        _load_types(store)
        records = Records(store)
        load_impex(ESSENTIAL, records=records)
        if not bare:
            load_impex(READY_MADE, records=records)
            load_objects(SETUP, records=records)
    return store


def _load_types(store: Store) -> None:
    """Enumeration values, and the types and attributes that integration objects are defined with."""
    for item_type in store.types:
        for value in item_type.values:
            store.insert(item_type.code, {"code": value})
        owner = store.insert("ComposedType", {"code": item_type.code})
        for attribute in item_type.attributes.values():
            row = {"qualifier": attribute.name, "enclosingType": owner, "attributeType": attribute.kind}
            store.insert("AttributeDescriptor", row)


def definitions_mark() -> str:
    """A short mark of everything a seed is built from; databases kept under another mark are stale."""
    digest = hashlib.sha256()
    for path in (ESSENTIAL, READY_MADE, SETUP, DECLARATIONS):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
