"""What of a mapping the org would refuse, found before anything is sent."""

from __future__ import annotations

import difflib
from typing import Any

from commerce_sync.mapping import Field, Target
from commerce_sync.systems.salesforce.cells import Column
from commerce_sync.systems.salesforce.client import SalesforceClient


async def problems(client: SalesforceClient, target: Target, fields: tuple[Field, ...]) -> list[str]:
    """One sentence per field the connection's user may not write as mapped; empty when all is well.

    A field without edit access is absent from describe, so "no field" may also mean "no permission".
    Source: REST API Developer Guide, sObject Describe.
    """
    held = _by_name(await client.describe(target.object))
    found = _key_problems(target, held)
    for field in fields:
        name = field.name if not field.lookup else Column(field).id_name
        found += _field_problems(target, field.name, held.get(name), held)
        if field.lookup:
            parent = _by_name(await client.describe(field.lookup.object))
            if not parent.get(field.lookup.external_id, {}).get("idLookup"):
                found.append(
                    f"{field.name}: {field.lookup.object}.{field.lookup.external_id} is no external id; it has: "
                    f"{', '.join(name for name, spec in parent.items() if spec['idLookup'])}"
                )
    return found


async def gone(client: SalesforceClient, target: Target, fields: tuple[Field, ...]) -> list[str]:
    """One sentence per field the mapping names and the user cannot see (any more); each object is described once."""
    lookups = {field.lookup.object for field in fields if field.lookup}
    known = {name: _by_name(await client.describe(name)) for name in sorted({target.object, *lookups})}
    named = [(target.object, target.external_id)]
    named += [(target.object, Column(field).id_name if field.lookup else field.name) for field in fields]
    named += [(field.lookup.object, field.lookup.external_id) for field in fields if field.lookup]
    return [
        f"{kind} has no field {name!r} this user may see{_nearest(name, known[kind])}"
        for kind, name in dict.fromkeys(named)
        if name not in known[kind]
    ]


def _nearest(name: str, held: dict[str, dict[str, Any]]) -> str:
    near = difflib.get_close_matches(name, held, n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def _key_problems(target: Target, held: dict[str, dict[str, Any]]) -> list[str]:
    key = held.get(target.external_id)
    if key is None or not key["idLookup"]:
        legal = ", ".join(name for name, spec in held.items() if spec["idLookup"])
        return [f"{target.object}.{target.external_id} is no external id; it has: {legal}"]
    if key["externalId"] and not key["unique"]:
        return [f"{target.object}.{target.external_id} is not unique: two records could hold one value"]
    return []


def _field_problems(
    target: Target, name: str, spec: dict[str, Any] | None, held: dict[str, dict[str, Any]]
) -> list[str]:
    if spec is None:
        return [f"{target.object} has no field {name!r} this user may see; it has: {', '.join(held)}"]
    if not (spec["createable"] or spec["updateable"]):
        return [f"{target.object}.{name} is read-only for this user"]
    return []


def _by_name(described: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {field["name"]: field for field in described["fields"]}
