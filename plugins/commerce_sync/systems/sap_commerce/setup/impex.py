"""The integration objects of the file as one ImpEx file, for shops whose Meta APIs are closed.

Source: SAP Commerce 2211 documentation, ImpEx of integration objects. Credentials, destinations, channels and webhooks
have no ImpEx there: they are made by ``apply``, or by hand in Backoffice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from commerce_sync.systems.sap_commerce.setup import kinds
from commerce_sync.systems.sap_commerce.setup.kinds import Kind
from commerce_sync.systems.sap_commerce.setup.resources import Resource, resources
from commerce_sync.systems.sap_commerce.setup.setup_file import SetupFile

HEAD = """# Integration objects and inbound channels, written by `python -m commerce_sync sap-setup impex`.
# Import in hAC (ImpEx Import) or Backoffice; importing again changes nothing."""
MACROS = """$item=integrationObjectItem(integrationObject(code),code)
$desc=attributeDescriptor(enclosingType(code),qualifier)
$ret=returnIntegrationObjectItem(integrationObject(code),code)"""
OBJECTS = "IntegrationObject; code[unique=true]; integrationType(code)"
ITEMS = (
    "IntegrationObjectItem; integrationObject(code)[unique=true]; code[unique=true]; type(code); root[default=false]; "
    "itemTypeMatch(code)"
)
ATTRIBUTES = (
    "IntegrationObjectItemAttribute; $item[unique=true]; attributeName[unique=true]; $desc; $ret; "
    "unique[default=false]; autoCreate[default=false]"
)
DESCRIPTORS = "IntegrationObjectVirtualAttributeDescriptor; code[unique=true]; logicLocation; type(code)"
VIRTUAL = (
    "IntegrationObjectItemVirtualAttribute; $item[unique=true]; attributeName[unique=true]; retrievalDescriptor(code)"
)
CHANNELS = "InboundChannelConfiguration; integrationObject(code)[unique=true]; authenticationType(code)"


def impex(file: SetupFile) -> str:
    """The text of the file."""
    found = resources(file, ("integration_objects",), connections=_none)
    parts = [HEAD, *_rows(OBJECTS, found, kinds.OBJECT), *_rows(ITEMS, found, kinds.ITEM), "", MACROS]
    parts += _rows(ATTRIBUTES, found, kinds.ATTRIBUTE, apart=False)
    parts += [*_descriptors(found), *_rows(VIRTUAL, found, kinds.VIRTUAL)]
    parts += _rows(CHANNELS, found, kinds.INBOUND)
    parts += [f"# not in ImpEx: classification attribute {'/'.join(item.key)}"
              for item in found if item.kind == kinds.CLASSIFICATION]  # fmt: skip
    return "\n".join(parts) + "\n"


def _none(name: str) -> None:
    raise LookupError(name)


def _rows(head: str, found: Iterable[Resource], kind: Kind, *, apart: bool = True) -> Iterator[str]:
    rows = [_row(_cells(item)) for item in found if item.kind == kind]
    if rows:
        yield from ([""] if apart else [])
        yield f"INSERT_UPDATE {head}"
        yield from rows


def _row(cells: Iterable[str]) -> str:
    return "; " + " ; ".join(cells).rstrip("; ")


def _cells(item: Resource) -> list[str]:
    values = item.values
    if item.kind == kinds.OBJECT:
        return [*item.key, values["type"]]
    if item.kind == kinds.INBOUND:
        return [*item.key, values["authentication"]]
    if item.kind == kinds.ITEM:
        return [*item.key, values["type"], _mark(values["root"]), values.get("match", "")]
    code, name, attribute = item.key
    if item.kind == kinds.VIRTUAL:
        return [f"{code}:{name}", attribute, values["descriptor"]]
    returned = f"{code}:{values['returns']}" if values["returns"] else ""
    return [f"{code}:{name}", attribute, f"{values['type']}:{values['of']}", returned, _mark(values["key"]),
            _mark(values["auto_create"])]  # fmt: skip


def _descriptors(found: Iterable[Resource]) -> Iterator[str]:
    rows = [_row((item.values["descriptor"], item.values["script"], item.values["type"]))
            for item in found if item.kind == kinds.VIRTUAL]  # fmt: skip
    yield from (["", f"INSERT_UPDATE {DESCRIPTORS}", *rows] if rows else [])


def _mark(value: bool) -> str:
    return "true" if value else ""
