"""What an event is: CloudEvents 1.0 in JSON, and for each known type what its ``data`` holds.

These classes are the one definition; ``events.schema.json`` beside this file is written from them:
``python -m commerce_sync.systems.inbox.schema > events.schema.json``. Fields marked ``x-pii`` are personal.
Source of the envelope: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md and
https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md (read 2026-11).
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

PERSONAL = {"x-pii": True}
Name = Annotated[str, Meta(min_length=1, max_length=512)]
Code = Annotated[str, Meta(min_length=1, max_length=255)]
Amount = Annotated[float, Meta(ge=0)]
Currency = Annotated[str, Meta(pattern="^[A-Z]{3}$", description="ISO 4217")]
Address = Annotated[str, Meta(min_length=1, max_length=4000)]
Moment = Annotated[datetime, Meta(tz=True)]
Uid = Annotated[str, Meta(min_length=1, max_length=255, extra_json_schema=PERSONAL)]
Visitor = Annotated[str, Meta(min_length=1, max_length=255, extra_json_schema=PERSONAL)]
Email = Annotated[str, Meta(pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$", max_length=254, extra_json_schema=PERSONAL)]
Person = Annotated[str, Meta(max_length=255, extra_json_schema=PERSONAL)]


class Signal(Struct, kw_only=True):
    """Who did it, and what every storefront event may say besides.

    uid: the shop's login of a known customer.   visitor: pseudonymous id of anybody else; one of the two is needed.
    consent: whether this person may be contacted; missing means no.
    """

    uid: Uid | None = None
    visitor: Visitor | None = None
    consent: bool = False
    url: Address | None = None
    value: Amount | None = None
    currency: Currency | None = None


class Viewed(Signal, kw_only=True):
    """A product's page was looked at; ``value`` is its price."""

    product: Code


class Compared(Signal, kw_only=True):
    """Products were put side by side."""

    products: Annotated[list[Code], Meta(min_length=2, max_length=100)]


class Downloaded(Signal, kw_only=True):
    """A document was fetched; ``gated``: it was given against contact data."""

    content: Code
    product: Code | None = None
    gated: bool = False


class Registered(Signal, kw_only=True):
    """Somebody made an account in the shop."""

    uid: Uid
    email: Email
    name: Person | None = None
    company: Person | None = None


class Searched(Signal, kw_only=True):
    """Somebody searched; ``results``: how many hits were shown."""

    query: Annotated[str, Meta(min_length=1, max_length=1000, extra_json_schema=PERSONAL)]
    results: Annotated[int, Meta(ge=0)] | None = None


TYPES: dict[str, type[Struct]] = {
    "product.viewed": Viewed,
    "product.compared": Compared,
    "content.downloaded": Downloaded,
    "customer.registered": Registered,
    "search.performed": Searched,
}
"""Types whose ``data`` is checked; a feed may list others, whose ``data`` then is any JSON object."""


class Envelope(Struct, kw_only=True):
    """CloudEvents 1.0 in structured JSON mode. ``id`` is unique within the feed and the same in a repetition."""

    specversion: Literal["1.0"]
    id: Name
    source: Name
    type: Name
    time: Moment
    data: msgspec.Raw
    subject: Name | None = None


def document() -> dict[str, Any]:
    """The JSON Schema of an event of a known type."""
    schemas, parts = msgspec.json.schema_components(TYPES.values(), ref_template="#/$defs/{name}")
    names = dict(zip(TYPES, schemas, strict=True))
    envelope = msgspec.json.schema(Envelope)["$defs"]["Envelope"]
    envelope["properties"]["data"] = {"type": "object"}
    envelope["properties"]["type"] = {"enum": list(TYPES)}
    envelope["properties"]["time"] = {"type": "string", "format": "date-time"}
    for part in parts.values():
        part.setdefault("anyOf", []).extend({"required": [name], "properties": {name: {"type": "string"}}}
                                            for name in ("uid", "visitor"))  # fmt: skip
    rules = [{"if": {"properties": {"type": {"const": name}}}, "then": {"properties": {"data": names[name]}}}
             for name in TYPES]  # fmt: skip
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Storefront event"}
    found: dict[str, Any] = head | envelope | {"title": "Storefront event", "allOf": rules, "$defs": parts}
    return found


def personal() -> frozenset[str]:
    """Names of the data fields that hold personal data, in any type."""
    parts = document()["$defs"].values()
    fields = ((name, str(value)) for part in parts for name, value in part["properties"].items())
    return frozenset(name for name, text in fields if "x-pii" in text)


if __name__ == "__main__":
    print(json.dumps(document(), indent=2))
