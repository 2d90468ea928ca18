"""What a shop would refuse of a plan's rows, from ``$metadata`` and from the items that are there.

Told: parts of a key and required values that are missing, values of another type or out of range, references to items
that are not there, references a PATCH cannot clear, records that ``creates: false`` does not make. Not told, because
``$metadata`` has neither lengths nor what a type demands beyond the integration object: validations and interceptors
(``invalid_attribute_value``), access rights, hooks. Of a key with several parts only the external id is looked for.
Source: fact sheet, 2.2 (annotations), 2.5 and 2.6 (POST, PATCH).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from commerce_sync.mapping import Field, Target
from commerce_sync.systems.foreseen import Foreseen, Rule, first, literal
from commerce_sync.systems.sap_commerce.client import SapCommerceClient
from commerce_sync.systems.sap_commerce.loader import LoadOptions
from commerce_sync.systems.sap_commerce.payload import Branch, Payload
from commerce_sync.systems.sap_commerce.predict_references import References
from commerce_sync.systems.sap_commerce.predict_values import Sent, refusal, typed
from commerce_sync.systems.sap_commerce.schema import EntityType, Navigation
from commerce_sync.systems.sap_commerce.update_only import NOT_IN_SHOP

if TYPE_CHECKING:
    import duckdb


async def predict(
    client: SapCommerceClient, target: Target, fields: Sequence[Field], con: duckdb.DuckDBPyConnection, *, rows: str,
    types: Mapping[str, str],
) -> Foreseen:  # fmt: skip
    """The refusals of ``rows``, in the order the shop looks at a payload; see ``foreseen`` for the relations."""
    schema, options = await client.metadata(), LoadOptions.of(target)
    root = Payload(schema, options.entity_set, fields).root
    sent = {item.name: Sent(item, number, types[item.name]) for number, item in enumerate(fields)}
    patched = "true" if not options.creates else "_target_id IS NOT NULL" if options.write == "patch" else "false"
    _stage(con, sent, rows, patched=patched)
    references = References(client, con, schema, sent)
    await references.look(root)
    rules = [*_unsendable(target, options), *_of_root(root, sent, references)]
    upserts = [rule if rule.when.startswith("_kind") else _alive(rule) for rule in rules]
    return Foreseen(first(upserts, "SELECT * FROM travelling"), warnings=tuple(references.warnings))


def _alive(rule: Rule) -> Rule:
    """Of the records that are not deleted."""
    return replace(rule, when=f"(_kind <> 'DELETED' AND {rule.when})")


def _stage(con: duckdb.DuckDBPyConnection, sent: Mapping[str, Sent], rows: str, *, patched: str) -> None:
    """Table ``travelling``: each row with its values, whether each is absent from the body, whether it is a PATCH."""
    columns = ", ".join(item.columns for item in sent.values())
    con.execute(f"""CREATE OR REPLACE TEMP TABLE travelling AS SELECT _key, _kind, _there, _target_id,
        coalesce({patched}, false) AS _patched, {columns} FROM {rows}""")


def _unsendable(target: Target, options: LoadOptions) -> list[Rule]:
    rules = []
    if target.on_delete != "ignore":
        text = "_key || ' is to be deleted but its integration key in the shop is not known'"
        rules.append(Rule("_kind = 'DELETED' AND _target_id IS NULL", "missing_target_id", "reference", text))
    if not options.creates:
        text = literal("the shop has no such record (any more), and this leg makes none (creates: false)")
        rules.append(Rule("_kind <> 'DELETED' AND NOT _there", NOT_IN_SHOP, "reference", text))
    return rules


def _of_root(root: Branch, sent: Mapping[str, Sent], references: References) -> Iterator[Rule]:
    yield from _key_rules(root, sent, references, where="true", at="")
    for name, leaf in root.leaves.items():
        if name not in root.entity.navigations:
            yield from _property_rules(root.entity, name, sent[leaf.name])
        elif not root.entity.navigations[name].many:
            yield from _reference_rules(root.entity.navigations[name], sent[leaf.name].present, sent[leaf.name].nulled,
                                        references, name)  # fmt: skip
    for name, nested in root.branches.items():
        yield from _branch_rules(root, name, nested, sent, references, outer="true")
    yield from _required_rules(root, sent)
    for name in (name for name in root.leaves if name in root.entity.navigations):
        if root.entity.navigations[name].many:
            yield from references.rules(name)


def _key_rules(
    branch: Branch, sent: Mapping[str, Sent], references: References, *, where: str, at: str
) -> Iterator[Rule]:
    """A key is looked up before anything else: its parts have to be there, and of the right type."""
    entity = branch.entity
    for name in (item.name for item in entity.properties.values() if item.unique and item.name in branch.leaves):
        value = sent[branch.leaves[name].name]
        if not entity.properties[name].nullable:
            text = f"'Key [{name}] is required for EntityType [{entity.name}].'"
            yield refusal(f"({where} AND {value.value} IS NULL)", "missing_key", text, value.field.name)
        yield from typed(entity, name, value, where=where)
    for name in (item.name for item in entity.navigations.values() if item.unique and not item.many):
        if name in branch.branches:
            nested = branch.branches[name]
            text = f"'Key NavigationProperty [{name}] is required for EntityType [{entity.name}].'"
            yield refusal(f"({where} AND NOT {given(nested, sent)})", "missing_key", text, name)
            yield from _key_rules(
                nested, sent, references, where=f"({where} AND {given(nested, sent)})", at=f"{at}{name}."
            )


def _property_rules(entity: EntityType, name: str, value: Sent) -> Iterator[Rule]:
    known = entity.properties.get(name)
    yield from typed(entity, name, value, where="true")
    if known is not None and not known.nullable:
        text = f"'Property [{name}] is required for EntityType [{entity.name}].'"
        yield refusal(value.nulled, "missing_property", text, value.field.name)


def _branch_rules(
    above: Branch, name: str, nested: Branch, sent: Mapping[str, Sent], references: References, *, outer: str,
    at: str = "",
) -> Iterator[Rule]:  # fmt: skip
    """A reference given by dotted fields: its key, its own fields, whether it is there."""
    navigation, here = above.entity.navigations[name], given(nested, sent)
    path = f"{at}{name}"
    nulled = f"({outer} AND NOT {here} AND {_nulled(nested, sent)})"
    yield from _key_rules(nested, sent, references, where=f"({outer} AND {here})", at=f"{path}.")
    yield from _reference_rules(navigation, f"({outer} AND {here})", nulled, references, path)
    for leaf_name, leaf in nested.leaves.items():
        known = nested.entity.properties.get(leaf_name)
        if known is not None and not known.unique:
            yield from typed(nested.entity, leaf_name, sent[leaf.name], where=f"({outer} AND {here})")
    for inner, deeper in nested.branches.items():
        yield from _branch_rules(nested, inner, deeper, sent, references, outer=f"({outer} AND {here})", at=f"{path}.")


def _reference_rules(
    navigation: Navigation, present: str, nulled: str, references: References, path: str
) -> Iterator[Rule]:
    """Null clears an optional reference on POST; a PATCH may replace but not clear it."""
    text = f"'NavigationProperty [{navigation.name}] is required.'"
    when = f"({nulled} AND {'_patched' if navigation.nullable else 'true'})"
    yield refusal(when, "missing_nav_property", text, navigation.name)
    yield from references.rules(path, where=present)


def _required_rules(root: Branch, sent: Mapping[str, Sent]) -> Iterator[Rule]:
    """What a new record needs."""
    entity = root.entity
    for known in entity.properties.values():
        if not known.nullable and known.name != "integrationKey" and not known.localized:
            leaf = root.leaves.get(known.name)
            absent = f"{sent[leaf.name].value} IS NULL" if leaf else "true"
            text = f"'Property [{known.name}] is required for EntityType [{entity.name}].'"
            yield refusal(f"(NOT _there AND {absent})", "missing_property", text, known.name)
    for item in entity.navigations.values():
        if not item.nullable:
            text = f"'NavigationProperty [{item.name}] is required for EntityType [{entity.name}].'"
            yield refusal(f"(NOT _there AND {_absent(root, item.name, sent)})", "missing_nav_property", text, item.name)


def _absent(root: Branch, name: str, sent: Mapping[str, Sent]) -> str:
    if name in root.branches:
        return f"NOT {given(root.branches[name], sent)}"
    leaf = root.leaves.get(name)
    return f"{sent[leaf.name].value} IS NULL" if leaf else "true"


def given(branch: Branch, sent: Mapping[str, Sent]) -> str:
    """SQL: whether any field of a reference has a value."""
    parts = [f"{sent[leaf.name].value} IS NOT NULL" for leaf in branch.leaves.values()]
    parts += [given(nested, sent) for nested in branch.branches.values()]
    return f"({' OR '.join(parts) or 'false'})"


def _nulled(branch: Branch, sent: Mapping[str, Sent]) -> str:
    """SQL: whether a reference without values is sent as null."""
    parts = [sent[leaf.name].nulled for leaf in branch.leaves.values()]
    parts += [_nulled(nested, sent) for nested in branch.branches.values()]
    return f"({' OR '.join(parts) or 'false'})"
