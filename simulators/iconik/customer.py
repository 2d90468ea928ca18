"""What the customer has set up in iconik: the view "SAP Commerce", relation types, storages.

Source: fact sheet section 16; the names are a convention of the flows, not of iconik.
"""

from __future__ import annotations

from simulators.iconik.metadata_views import SEPARATOR, new_field
from simulators.iconik.people import seed_people
from simulators.iconik.storages import new_storage
from simulators.iconik.store import Row, Store

COMMERCE_VIEW = "6be501e6-890b-11ea-958b-0a580a3c10cd"
TECHNICAL_VIEW = "6be501e6-890b-11ea-958b-0a580a3c10ce"
STATES = ("draft", "in_review", "ready_for_commerce", "published", "withdrawn", "expired")
ROLES = ("hero", "gallery", "thumbnail", "video", "datasheet", "banner")
RIGHTS = ("all_channels", "web_only", "internal_only", "editorial")
LANGUAGES = ("en", "de", "fr", "es", "en-US")
_COMMERCE: tuple[tuple[str, str, bool, tuple[str, ...]], ...] = (
    ("sku", "string_exact", True, ()),
    ("variant_skus", "string_exact", True, ()),
    ("category_codes", "string_exact", True, ()),
    ("catalog", "string_exact", False, ()),
    ("commerce_status", "drop_down", False, STATES),
    ("usage_rights", "drop_down", False, RIGHTS),
    ("rights_start", "date", False, ()),
    ("rights_end", "date", False, ()),
    ("territories", "string_exact", True, ()),
    ("language", "drop_down", False, LANGUAGES),
    ("campaign_tags", "tag_cloud", True, ()),
    ("campaign_code", "string_exact", False, ()),
    ("media_role", "drop_down", False, ROLES),
    ("channels", "string_exact", True, ()),
    ("alt_text", "text", False, ()),
    ("commerce_media_code", "string_exact", False, ()),
    ("commerce_placements", "string_exact", True, ()),
    ("commerce_usage_count", "integer", False, ()),
    ("commerce_last_used", "datetime", False, ()),
    ("sync_hash", "string_exact", False, ()),
)
_TECHNICAL = ("Format", "Duration", "Height", "Width", "FileSize")
STORAGES = {
    "FILES": "eafedefa-bffa-11e8-ac61-0a580a3c0e75",
    "PROXIES": "eafedefa-bffa-11e8-ac61-0a580a3c0e76",
    "KEYFRAMES": "eafedefa-bffa-11e8-ac61-0a580a3c0e77",
    "EXPORTS": "eafedefa-bffa-11e8-ac61-0a580a3c0e78",
}
EXPORT_LOCATION = "9f444dd0-efcb-11eb-96ca-0a580a3d936e"
_RELATIONS = (("replaces", "Replaces", "Replaced by"), ("derived_from", "Derived from", "Source of"))


def seed_customer(store: Store) -> None:
    """What both seeds start with."""
    seed_people(store)
    now = store.now()
    for name, kind, multi, options in _COMMERCE:
        store.put("fields", name, new_field(now, _field(name, kind, multi=multi, options=options)))
    for name in _TECHNICAL:
        store.put("fields", name, new_field(now, _field(name, "string", multi=False, options=()) | {"auto_set": True}))
    names = [one[0] for one in _COMMERCE]
    _view(store, now, key=COMMERCE_VIEW, name="SAP Commerce", fields=[*names[:5], SEPARATOR, *names[5:]])
    _view(store, now, key=TECHNICAL_VIEW, name="Asset Metadata", fields=list(_TECHNICAL))
    for kind in ("assets", "collections"):
        row: Row = {"name": "commerce", "label": "Commerce", "object_type": kind, "view_ids": [COMMERCE_VIEW]}
        store.put("categories", f"{kind}:commerce", row | {"date_created": now, "date_modified": now}, owner=kind)
    for name, source, destination in _RELATIONS:
        row = {"name": name, "source_label": source, "destination_label": destination, "description": None}
        row |= {"is_directional": True, "is_system": False, "date_created": now, "date_modified": now}
        store.put("relation_types", name, row)
    for purpose, key in STORAGES.items():
        values: Row = {"name": purpose.lower(), "method": "GCS", "purpose": purpose, "default": True}
        store.put("storages", key, new_storage(key, values))
    location: Row = {"id": EXPORT_LOCATION, "name": "Masters", "path": "/masters", "storage_id": STORAGES["EXPORTS"]}
    store.put("export_locations", EXPORT_LOCATION, location)


def _field(name: str, kind: str, *, multi: bool, options: tuple[str, ...]) -> Row:
    label = name.replace("_", " ").capitalize()
    listed = [{"label": one.replace("_", " ").capitalize(), "value": one} for one in options]
    return {"name": name, "label": label, "field_type": kind, "multi": multi, "options": listed, "use_as_facet": True}


def _view(store: Store, now: str, *, key: str, name: str, fields: list[str]) -> None:
    row: Row = {"id": key, "name": name, "description": None, "view_fields": [{"name": one} for one in fields]}
    store.put("views", key, row | {"date_created": now, "date_modified": now})
