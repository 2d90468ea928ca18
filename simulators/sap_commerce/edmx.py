"""``$metadata`` and the service document.

Source: fact sheet sections 2.1 and 2.2; the numbers in comments are its generation rules.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from xml.sax.saxutils import quoteattr

from simulators.sap_commerce.errors import bad_request
from simulators.sap_commerce.render import NAMESPACE
from simulators.sap_commerce.schema import EDM_TYPES, IntegrationObject, Item, ItemAttribute, pluralised

_HEAD = (
    '<?xml version="1.0" encoding="utf-8"?>'
    '<edmx:Edmx xmlns:edmx="http://schemas.microsoft.com/ado/2007/06/edmx" Version="1.0">'
    '<edmx:DataServices xmlns:m="http://schemas.microsoft.com/ado/2007/08/dataservices/metadata"'
    ' m:DataServiceVersion="2.0"><Schema xmlns="http://schemas.microsoft.com/ado/2008/09/edm"'
    f' xmlns:s="http://schemas.sap.com/commerce" Namespace="{NAMESPACE}" s:schema-version="1">'
)
_TAIL = "</Schema></edmx:DataServices></edmx:Edmx>"
_KEY = "<Key><PropertyRef Name={}/></Key>"
_PRIMITIVES = {"String": "Edm.String", "Integer": "Edm.Int32", "Double": "Edm.Double"}
_JAVA = "java.lang."


def metadata(service: IntegrationObject, *, items: Iterable[Item]) -> str:
    """The EDMX of some items of a service; raises ODataError when the definition is broken."""
    chosen = list(items)
    entities = [_entity(service, item) for item in chosen]
    sets = [_entity_set(item.code) for item in chosen]
    associations: list[str] = []
    association_sets: list[str] = []
    for code, extra in _further_entities(chosen).items():
        entities.append(extra)
        sets.append(_entity_set(code))
    for item in chosen:
        used: set[str] = set()
        for navigation in item.navigations:
            associations.append(_association(item, navigation))
            association_sets.append(_association_set(item, navigation, used))
        if item.localized:
            associations.append(_localized_association(item))
            association_sets.append(_localized_set(item))
    container = "".join(sets) + "".join(association_sets)
    return (
        f"{_HEAD}{''.join(entities)}{''.join(associations)}"
        f'<EntityContainer Name="Container" m:IsDefaultEntityContainer="true">{container}</EntityContainer>{_TAIL}'
    )


def _entity(service: IntegrationObject, item: Item) -> str:
    alias = "|".join(part.alias for part in service.key_of(item))
    if not alias:
        message = f"The EDMX schema could not be generated. [{item.code}] has no unique attribute."
        raise bad_request("invalid_key_definition", message)
    text = f"<EntityType Name={quoteattr(item.code)}>{_KEY.format(quoteattr('integrationKey'))}"
    text += "".join(_property(p) for p in item.properties)
    text += "".join(f'<Property Name="{v.name}" Nullable="true" Type="{v.edm}"/>' for v in item.virtual.values())
    text += f'<Property Name="integrationKey" Nullable="false" Type="Edm.String" s:Alias={quoteattr(alias)}/>'
    text += "".join(_navigation(item, n) for n in item.navigations)
    if item.localized:
        target = f"Localized___{item.code}"
        text += (
            f'<NavigationProperty FromRole="{item.code}" Name="localizedAttributes" Nullable="true"'
            f' Relationship="{NAMESPACE}.FK_{item.code}_localizedAttributes" ToRole="{target}"/>'
        )
    return text + "</EntityType>"


def _property(prop: ItemAttribute) -> str:
    nullable = str(prop.nullable).lower()
    text = f'<Property Name={quoteattr(prop.name)} Nullable="{nullable}" Type="{EDM_TYPES[prop.attribute.kind]}"'
    return text + _annotations(prop) + "/>"


def _annotations(attribute: ItemAttribute) -> str:
    """Only those that are true (6)."""
    flags = {
        "IsUnique": attribute.unique,
        "IsLanguageDependent": attribute.attribute.localized,
        "IsAutoCreate": attribute.auto_create,
        "IsPartOf": attribute.part_of,
    }
    return "".join(f' s:{name}="true"' for name, is_set in flags.items() if is_set)


def _navigation(item: Item, navigation: ItemAttribute) -> str:
    role = f"{_JAVA}{navigation.target}" if navigation.attribute.kind == "values" else navigation.target  # (5)
    return (
        f"<NavigationProperty FromRole={quoteattr(item.code)} Name={quoteattr(navigation.name)}"
        f' Nullable="{str(navigation.nullable).lower()}"'
        f' Relationship="{NAMESPACE}.FK_{item.code}_{navigation.name}" ToRole={quoteattr(role)}'
        f"{_annotations(navigation)}/>"
    )


def _further_entities(items: list[Item]) -> dict[str, str]:
    """Localized___X (8), the element types of primitive collections and maps (9)."""
    found: dict[str, str] = {}
    for item in items:
        if item.localized:
            found[f"Localized___{item.code}"] = _localized_entity(item)
        for navigation in item.navigations:
            if navigation.attribute.kind == "values":
                found[navigation.target] = _value_entity(navigation.target)
            elif navigation.attribute.kind == "map":
                found[navigation.target] = _map_entity(navigation.target)
    return found


def _localized_entity(item: Item) -> str:
    properties = "".join(
        f'<Property Name="{p.name}" Nullable="true" Type="Edm.String" s:IsLanguageDependent="true"/>'
        for p in item.localized
    )
    return (
        f'<EntityType Name="Localized___{item.code}">{_KEY.format(quoteattr("language"))}{properties}'
        '<Property Name="language" Nullable="false" Type="Edm.String"/></EntityType>'
    )


def _value_entity(name: str) -> str:
    return (
        f'<EntityType Name="{name}">{_KEY.format(quoteattr("value"))}'
        f'<Property Name="value" Nullable="false" Type="{_PRIMITIVES[name]}"/></EntityType>'
    )


def _map_entity(name: str) -> str:
    return (
        f'<EntityType Name="{name}">{_KEY.format(quoteattr("key"))}'
        '<Property Name="key" Nullable="false" Type="Edm.String" s:IsUnique="true"/>'
        '<Property Name="value" Nullable="true" Type="Edm.String"/></EntityType>'
    )


def _association(item: Item, navigation: ItemAttribute) -> str:
    role = f"{_JAVA}{navigation.target}" if navigation.attribute.kind == "values" else navigation.target
    return _ends(
        f"FK_{item.code}_{navigation.name}",
        source=("0..1", item.code, item.code),
        target=("*" if navigation.many else "0..1", role, navigation.target),
    )


def _localized_association(item: Item) -> str:
    target = f"Localized___{item.code}"
    name = f"FK_{item.code}_localizedAttributes"
    return _ends(name, source=("1", item.code, item.code), target=("*", target, target))


def _ends(name: str, *, source: tuple[str, str, str], target: tuple[str, str, str]) -> str:
    ends = "".join(
        f'<End Multiplicity="{multiplicity}" Role={quoteattr(role)} Type="{NAMESPACE}.{entity}"/>'
        for multiplicity, role, entity in (source, target)
    )
    return f"<Association Name={quoteattr(name)}>{ends}</Association>"


def _entity_set(code: str) -> str:
    return f'<EntitySet EntityType="{NAMESPACE}.{code}" Name="{pluralised(code)}"/>'


def _association_set(item: Item, navigation: ItemAttribute, used: set[str]) -> str:
    """Named after the source type and the target set (4); a second one of that name gets its attribute."""
    target_set = pluralised(navigation.target)
    name = f"{item.code}_{target_set}"
    if name in used:
        name += f"_{navigation.name}"
    used.add(name)
    role = f"{_JAVA}{navigation.target}" if navigation.attribute.kind == "values" else navigation.target
    return _set_ends(name, f"FK_{item.code}_{navigation.name}", item.entity_set, item.code, target_set, role)


def _localized_set(item: Item) -> str:
    target = f"Localized___{item.code}"
    return _set_ends(
        f"{item.code}_{pluralised(target)}",
        f"FK_{item.code}_localizedAttributes",
        item.entity_set,
        item.code,
        pluralised(target),
        target,
    )


def _set_ends(name: str, association: str, set_a: str, role_a: str, set_b: str, role_b: str) -> str:
    return (
        f'<AssociationSet Association="{NAMESPACE}.{association}" Name="{name}">'
        f'<End EntitySet="{set_a}" Role="{role_a}"/><End EntitySet="{set_b}" Role="{role_b}"/></AssociationSet>'
    )


def service_document_json(service: IntegrationObject) -> str:
    return json.dumps({"d": {"EntitySets": _all_sets(service)}})


def service_document_xml(service: IntegrationObject, *, base: str) -> str:
    collections = "".join(
        f"<collection href={quoteattr(name)}><atom:title>{name}</atom:title></collection>"
        for name in _all_sets(service)
    )
    return (
        f"<?xml version='1.0' encoding='utf-8'?><service xml:base={quoteattr(base)}"
        ' xmlns="http://www.w3.org/2007/app" xmlns:atom="http://www.w3.org/2005/Atom"><workspace>'
        f"<atom:title>Default</atom:title>{collections}</workspace></service>"
    )


def _all_sets(service: IntegrationObject) -> list[str]:
    items = list(service.items.values())
    return [item.entity_set for item in items] + [pluralised(code) for code in _further_entities(items)]
