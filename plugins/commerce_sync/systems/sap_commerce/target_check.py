"""What of a mapping the shop would refuse, found in ``$metadata`` before anything is sent.

``$metadata`` of the Integration API gives no lengths and no precision, so those are only found by sending.
"""

from __future__ import annotations

from collections.abc import Sequence

from commerce_sync.errors import ConfigurationError
from commerce_sync.mapping import Field, Target
from commerce_sync.systems.sap_commerce.client import SapCommerceClient
from commerce_sync.systems.sap_commerce.deletion import deletion_body
from commerce_sync.systems.sap_commerce.loader import LoadOptions, update_only
from commerce_sync.systems.sap_commerce.owned import Owned
from commerce_sync.systems.sap_commerce.payload import Branch, Payload
from commerce_sync.systems.sap_commerce.schema import EntityType, Navigation, Property, Schema


async def problems(client: SapCommerceClient, target: Target, fields: Sequence[Field]) -> list[str]:
    """One sentence per fault: unknown names, missing keys and required values, what cannot be written or cleared."""
    try:
        options = LoadOptions.of(target)
        schema = await client.metadata()
        entity = schema.entity(options.entity_set)
        found = _field_problems(schema, options.entity_set, fields)
        if found:
            return found
        payload = Payload(schema, options.entity_set, fields)
        owned = Owned(schema, options.entity_set, fields, patterns=options.owned, deletion=target.on_delete)
        update_only(schema, target, fields, owned=owned)
        required = _required(payload.root) if options.creates else []
        found = _missing(schema, payload.root, where="") + required
        return found + _deletion_problems(target, entity, deletion_body(target, payload, owned=owned))
    except ConfigurationError as error:
        return [str(error)]


async def gone(client: SapCommerceClient, target: Target, fields: Sequence[Field]) -> list[str]:
    """One sentence per set, property or reference of a mapping that ``$metadata`` does not have (any more)."""
    options = LoadOptions.of(target)
    schema = await client.metadata()
    if options.entity_set not in schema.sets:
        return [f"service {schema.service} has no entity set {options.entity_set!r}"]
    return _field_problems(schema, options.entity_set, fields)


def _field_problems(schema: Schema, entity_set: str, fields: Sequence[Field]) -> list[str]:
    found = []
    for item in fields:
        if item.name == "integrationKey":
            found.append(f"{schema.service}/{entity_set}: integrationKey is computed by the shop and cannot be written")
            continue
        try:
            Payload(schema, entity_set, [item])
        except ConfigurationError as error:
            found.append(str(error))
    return found


def _missing(schema: Schema, branch: Branch, *, where: str) -> list[str]:
    """Key parts that no field gives, here and in every reference: a record cannot be found or made without them."""
    entity = branch.entity
    parts = [item.name for item in entity.properties.values() if item.unique]
    parts += [item.name for item in entity.navigations.values() if item.unique and not item.many]
    given = {*branch.leaves, *branch.branches}
    found = [
        f"{where or entity.name}: key part {name!r} is mapped by no field; the key is {entity.alias or name}"
        for name in parts
        if name not in given
    ]
    for name, nested in branch.branches.items():
        found += _missing(schema, nested, where=f"{where}.{name}".lstrip("."))
    return found


def _required(root: Branch) -> list[str]:
    entity, given = root.entity, {*root.leaves, *root.branches}
    parts: list[Property | Navigation] = [*entity.properties.values(), *entity.navigations.values()]
    open_ = [item.name for item in parts if not (item.nullable or item.unique) and item.name not in given]
    needed = [name for name in open_ if name != "integrationKey"]
    return [f"{entity.name}.{name} is required and mapped by no field: new records would be refused" for name in needed]


def _deletion_problems(target: Target, entity: EntityType, body: dict[str, object] | None) -> list[str]:
    cleared = [name for name, value in (body or {}).items() if value is None and name in entity.navigations]
    return [
        f"on_delete of {target.object} clears the reference {name!r}, which a PATCH cannot do; set another value"
        for name in cleared
    ]
