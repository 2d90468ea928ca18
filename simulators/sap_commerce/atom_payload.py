"""Atom entries as payloads: the same objects a JSON body gives.

Source: fact sheet section 2.5 (application/xml and Atom are accepted); the form is that of OData V2.
"""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from simulators.sap_commerce.atom import ATOM, DATA, METADATA, RELATED
from simulators.sap_commerce.errors import ODataError, bad_request
from simulators.sap_commerce.schema import IntegrationObject, Item

_LOCALIZED = "localizedAttributes"


def parse_entry(body: bytes, *, item: Item, service: IntegrationObject) -> dict[str, Any]:
    """The payload of one entry; raises odata_error when it is not one."""
    if b"<!DOCTYPE" in body:
        raise _unreadable("document types are not accepted")
    try:
        root = ElementTree.fromstring(body)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise _unreadable(str(error)) from error
    if root.tag != f"{{{ATOM}}}entry":
        raise _unreadable(f"expected an Atom entry, found <{root.tag}>")
    return _entry(root, item=item, service=service)


def _unreadable(reason: str) -> ODataError:
    return bad_request("odata_error", f"The payload could not be parsed: {reason}.")


def _entry(entry: Element, *, item: Item | None, service: IntegrationObject) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for one in _properties(entry):
        name = one.tag.removeprefix(f"{{{DATA}}}")
        found[name] = _value(one, name, item=item)
    for link in entry.findall(f"{{{ATOM}}}link"):
        relation = link.get("rel", "")
        inline = link.find(f"{{{METADATA}}}inline")
        if relation.startswith(RELATED) and inline is not None:
            name = relation.removeprefix(RELATED)
            found[name] = _inline(inline, name, item=item, service=service)
    return found


def _properties(entry: Element) -> list[Element]:
    """The properties of this entry, not those of entries inside its links."""
    inside = entry.find(f"{{{ATOM}}}content/{{{METADATA}}}properties")
    beside = entry.find(f"{{{METADATA}}}properties")
    return list(inside if inside is not None else beside if beside is not None else ())


def _inline(inline: Element, name: str, *, item: Item | None, service: IntegrationObject) -> Any:
    attribute = item.attributes.get(name) if item is not None else None
    target = service.items.get(attribute.target) if attribute is not None else None
    feed = inline.find(f"{{{ATOM}}}feed")
    if feed is not None:
        return [_entry(one, item=target, service=service) for one in feed.findall(f"{{{ATOM}}}entry")]
    entry = inline.find(f"{{{ATOM}}}entry")
    if entry is None:
        return [] if name == _LOCALIZED or (attribute is not None and attribute.many) else None
    return _entry(entry, item=target, service=service)


def _value(one: Element, name: str, *, item: Item | None) -> Any:
    if one.get(f"{{{METADATA}}}null") == "true":
        return None
    text = one.text or ""
    attribute = item.attributes.get(name) if item is not None else None
    kind = attribute.attribute.kind if attribute is not None else "S"
    if kind == "B" and text in ("true", "false"):
        return text == "true"
    if kind == "I" and text.lstrip("-").isdigit():
        return int(text)
    return text
