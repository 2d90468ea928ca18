"""Entities as Atom: the JSON answer, written once more as an entry or a feed.

Source: fact sheet sections 2.1 and 2.5 (Atom XML is accepted and answered); the form of entries and feeds is that
of OData V2. Every value is taken from the JSON answer, so both forms always agree.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from simulators.sap_commerce.calls import Reply
from simulators.sap_commerce.schema import EDM_TYPES, IntegrationObject, Item

ATOM = "http://www.w3.org/2005/Atom"
METADATA = "http://schemas.microsoft.com/ado/2007/08/dataservices/metadata"
DATA = "http://schemas.microsoft.com/ado/2007/08/dataservices"
RELATED = f"{DATA}/related/"
_SCOPE = f'xmlns="{ATOM}" xmlns:m="{METADATA}" xmlns:d="{DATA}"'
_DATE = re.compile(r"/Date\((-?\d+)\)/$")
# characters XML 1.0 cannot carry, not even escaped
_UNWRITABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


def as_atom(reply: Reply, *, service: IntegrationObject, base: str) -> Reply:
    """A JSON answer in Atom form."""
    content = json.loads(reply.body).get("d", {})
    scope = f"{_SCOPE} xml:base={quoteattr(base)}"
    if "results" in content:
        text, kind = _feed(content, service=service, base=base, scope=scope), "atom+xml;type=feed"
    elif "__metadata" in content:
        text, kind = _entry(content, service=service, base=base, scope=scope), "atom+xml;type=entry"
    else:
        text, kind = _property(content), "xml"
    body = f"<?xml version='1.0' encoding='utf-8'?>{text}".encode()
    return Reply(reply.status, body, f"application/{kind};charset=utf-8", reply.headers)


def _feed(content: dict[str, Any], *, service: IntegrationObject, base: str, scope: str = "") -> str:
    count = f"<m:count>{content['__count']}</m:count>" if "__count" in content else ""
    entries = "".join(_entry(one, service=service, base=base) for one in content["results"])
    more = f'<link rel="next" href={quoteattr(content["__next"])}/>' if "__next" in content else ""
    return f"<feed {scope}><id>{escape(base)}</id>{count}{entries}{more}</feed>"


def _entry(content: dict[str, Any], *, service: IntegrationObject, base: str, scope: str = "") -> str:
    about = content.get("__metadata", {})
    uri, name = about.get("uri", base), about.get("type", "")
    item = service.items.get(name.rpartition(".")[2])
    href = uri.removeprefix(base)
    links, properties = "", ""
    for member, value in content.items():
        if member == "__metadata":
            continue
        if isinstance(value, dict) or (item is not None and _is_navigation(item, member)):
            links += _link(member, value, href=href, service=service, base=base, item=item)
        else:
            properties += _value(member, value, item=item)
    term = f'<category term={quoteattr(name)} scheme="{DATA}/scheme"/>' if name else ""
    edit = f'<link href={quoteattr(href)} rel="edit" title={quoteattr(name.rpartition(".")[2])}/>'
    return (
        f'<entry {scope}><id>{escape(uri)}</id><title type="text"/><updated>{_now()}</updated>{term}{edit}{links}'
        f'<content type="application/xml"><m:properties>{properties}</m:properties></content></entry>'
    )


def _is_navigation(item: Item, member: str) -> bool:
    return member in item.attributes and not item.attributes[member].is_property


def _link(member: str, value: Any, *, href: str, service: IntegrationObject, base: str, item: Item | None) -> str:
    attribute = item.attributes.get(member) if item is not None else None
    many = member == "localizedAttributes" or (attribute is not None and attribute.many)
    head = f'<link href={quoteattr(f"{href}/{member}")} rel="{RELATED}{member}" title={quoteattr(member)}'
    head += f' type="application/atom+xml;type={"feed" if many else "entry"}"'
    if isinstance(value, dict) and "__deferred" in value:
        return f"{head}/>"
    inline = ""
    if value is not None:
        inline = (_feed if "results" in value else _entry)(value, service=service, base=base)
    return f"{head}><m:inline>{inline}</m:inline></link>"


def _value(member: str, value: Any, *, item: Item | None) -> str:
    attribute = item.attributes.get(member) if item is not None else None
    edm = EDM_TYPES.get(attribute.attribute.kind, "Edm.String") if attribute else "Edm.String"
    kind = "" if edm == "Edm.String" else f' m:type="{edm}"'
    if value is None:
        return f'<d:{member}{kind} m:null="true"/>'
    return f"<d:{member}{kind}>{escape(_text(value))}</d:{member}>"


def _property(content: dict[str, Any]) -> str:
    ((member, value),) = content.items() or (("property", None),)
    null = ' m:null="true"' if value is None else ""
    text = "" if value is None else escape(_text(value))
    return f'<{member} xmlns="{DATA}" xmlns:m="{METADATA}"{null}>{text}</{member}>'


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value)
    if found := _DATE.match(text):
        return _iso(int(found[1]))
    return _UNWRITABLE.sub("\ufffd", text)


def _iso(ms: int) -> str:
    try:
        moment = datetime.fromtimestamp(ms / 1000, UTC)
    except (OverflowError, ValueError, OSError):  # beyond the years a calendar knows
        return str(ms)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "").removesuffix(".000")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
