"""Reads the XML of clients; document types are refused, so that no entity can expand."""

from __future__ import annotations

from xml.etree import ElementTree

from simulators.salesforce.errors import ApiError


def parse(raw: bytes) -> ElementTree.Element:
    """The root element; raises ApiError InvalidXML."""
    if b"<!DOCTYPE" in raw or b"<!ENTITY" in raw:
        raise ApiError(400, "InvalidXML", "document types are not allowed")
    try:
        return ElementTree.fromstring(raw)
    except ElementTree.ParseError as error:
        raise ApiError(400, "InvalidXML", f"the body is no XML: {error}") from error


def local(element: ElementTree.Element) -> str:
    """The name without its namespace."""
    return element.tag.rpartition("}")[2]
