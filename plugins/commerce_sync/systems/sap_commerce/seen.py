"""``$metadata`` as fields of ``systems.metadata``: one document per service, an object per entity set.

``$metadata`` has no lengths, no precision and no values of enumerations, so of those nothing can drift unseen or seen.
"""

from __future__ import annotations

from commerce_sync.mapping import Source, Target
from commerce_sync.systems.metadata import Objects, Seen
from commerce_sync.systems.sap_commerce.loader import LoadOptions
from commerce_sync.systems.sap_commerce.schema import EntityType, Schema


def objects_of(part: Source | Target) -> dict[str, str]:
    """The entity set a source or target names -> its service."""
    if isinstance(part, Source):
        return {f"{part.service}/{part.entity_set}": part.service}
    options = LoadOptions.of(part)
    return {f"{options.service}/{options.entity_set}": options.service}


def seen(schema: Schema) -> Objects:
    """Entity set -> its properties and references."""
    return {f"{schema.service}/{name}": _fields(schema.types[kind]) for name, kind in schema.sets.items()}


def _fields(entity: EntityType) -> dict[str, Seen]:
    found = {item.name: Seen(type=item.type, required=not item.nullable and item.name != "integrationKey",
                             unique=item.unique) for item in entity.properties.values()}  # fmt: skip
    for reference in entity.navigations.values():
        kind = f"collection of {reference.target}" if reference.many else f"reference to {reference.target}"
        found[reference.name] = Seen(kind, required=not reference.nullable, unique=reference.unique,
                                     refers=(reference.target,))  # fmt: skip
    return found
