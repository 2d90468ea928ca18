"""Documents of the far side in our words: dotted paths, localized texts, times, devices and their attributes.

Nothing here calls anybody; what is spelled how stands in the profile.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec

from commerce_sync.errors import RejectedError
from commerce_sync.systems.opentext_iot.profile import Attributes, Fields, Profile, Text, Times

Document = dict[str, Any]
SERIAL = "serial:"
DECIMAL = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")


@dataclass(frozen=True, slots=True)
class AttributeType:
    """A type of attribute; ``kind`` (decimal, bool, string) and ``id`` are None where the gateway does not tell."""

    name: str
    id: str | None = None
    kind: str | None = None
    is_active: bool = True


@dataclass(frozen=True, slots=True)
class Device:
    """One device. ``attributes`` by name, as the far side's type says; ``document`` as it came; version for writes."""

    id: str
    version: str | None
    name: str | None
    description: str | None
    template_id: str | None
    is_active: bool
    lifecycle: str
    status: str
    serial: str | None
    tags: tuple[str, ...]
    attributes: dict[str, Any]
    created: datetime | None
    updated: datetime | None
    document: Document = field(repr=False)


def dig(document: Any, path: str) -> Any:
    """What stands at a dotted path, None when there is nothing; "" is the document itself."""
    for step in path.split(".") if path else ():
        if not isinstance(document, Mapping):
            return None
        document = document.get(step)
    return document


def first(document: Any, paths: Iterable[str]) -> Any:
    """What stands at the first path that holds something."""
    return next((value for path in paths if (value := dig(document, path)) is not None), None)


def picked(document: Document, fields: Fields, name: str) -> Any:
    """The value of a field by our name; None for one this kind of gateway does not have."""
    return first(document, fields.get(name, ()))


def text_of(value: Any, text: Text) -> str | None:
    """A plain or localized text; of several languages the profile's, else the first."""
    if not isinstance(value, list):
        return value if isinstance(value, str) else None
    entries = [item for item in value if isinstance(item, dict)]
    chosen = next((item for item in entries if item.get("lang") == text.lang), entries[0] if entries else {})
    found = first(chosen, text.key)
    return found if isinstance(found, str) else None


def written_text(value: str, text: Text) -> Any:
    """A text as the far side takes it."""
    return [{"lang": text.lang, text.key[0]: value}] if text.style == "localized" else value


def moment_of(value: Any, times: Times) -> datetime | None:
    """A time as the far side writes it, in UTC; None for nothing or nonsense."""
    try:
        if times == "iso8601":
            found = datetime.fromisoformat(value)
            return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
        return datetime.fromtimestamp(float(value) / (1000 if times == "epoch_ms" else 1), UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return None


def written_moment(epoch_ms: int, times: Times) -> str | int:
    """A time for the far side; whole seconds are cut, so that a window cannot begin too late."""
    if times == "epoch_ms":
        return epoch_ms
    if times == "epoch_s":
        return epoch_ms // 1000
    moment = datetime.fromtimestamp(epoch_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def device_of(
    document: Document, profile: Profile, types: Mapping[str, AttributeType], *, version: str | None = None
) -> Device:
    """A device in our words. types: attribute types by id.   version: where it does not stand in the document."""
    fields, states = profile.device.fields, profile.device.states
    tags = tuple(tag for tag in picked(document, fields, "tags") or () if isinstance(tag, str))
    serial = picked(document, fields, "serial")
    return Device(
        id=str(picked(document, fields, "id")),
        version=version or picked(document, fields, "version"),
        name=text_of(picked(document, fields, "name"), profile.text),
        description=text_of(picked(document, fields, "description"), profile.text),
        template_id=picked(document, fields, "template_id"),
        is_active=picked(document, fields, "active") is True,
        lifecycle=states.get(str(picked(document, fields, "lifecycle")), "unknown"),
        status=states.get(str(picked(document, fields, "status")), "unknown"),
        serial=serial or next((tag.removeprefix(SERIAL) for tag in tags if tag.startswith(SERIAL)), None),
        tags=tags,
        attributes=_attributes(document, profile.device.attributes, types),
        created=moment_of(picked(document, fields, "created"), profile.times),
        updated=moment_of(picked(document, fields, "updated"), profile.times),
        document=document,
    )


def _attributes(document: Document, spec: Attributes, types: Mapping[str, AttributeType]) -> dict[str, Any]:
    if spec.style == "by_name":
        return dict(first(document, spec.lists) or {})
    found: dict[str, Any] = {}
    for path in spec.lists:
        for entry in dig(document, path) or ():
            key = first(entry, spec.type_id)
            known = types.get(key)
            found[known.name if known else str(key)] = native(entry.get(spec.value), known)
    return found


def native(value: Any, type_: AttributeType | None) -> Any:
    """A value as its type says, whether it came as text or not; what does not fit stays as it came."""
    if not isinstance(value, str) or type_ is None:
        return value
    if type_.kind == "decimal" and DECIMAL.fullmatch(value):
        return _number(Decimal(value))
    if type_.kind == "bool" and value.lower() in ("true", "false"):
        return value.lower() == "true"
    return value


def _number(value: Decimal) -> int | float:
    """A JSON number that reads back the same."""
    return int(value) if value == value.to_integral_value() and abs(value) < 2**53 else float(value)


def checked(value: Any, type_: AttributeType) -> Any:
    """A value of ours for an attribute of that type. Raises RejectedError when it cannot be one."""
    if value is None:
        return None
    if type_.kind == "decimal":
        return _decimal(value, type_)
    if type_.kind == "bool":
        if isinstance(value, bool) or str(value).lower() in ("true", "false"):
            return str(value).lower() == "true"
        raise _unfit(value, type_, legal="true or false")
    if type_.kind is None and isinstance(value, bool | int | float | Decimal):
        return _number(value) if isinstance(value, Decimal) else value
    return as_text(value)


def _decimal(value: Any, type_: AttributeType) -> int | float:
    text = str(value).strip()
    if isinstance(value, bool) or not DECIMAL.fullmatch(text):
        raise _unfit(value, type_, legal="a number")
    found = native(text, type_)
    assert isinstance(found, int | float)
    return found


def _unfit(value: Any, type_: AttributeType, *, legal: str) -> RejectedError:
    return RejectedError(
        f"attribute {type_.name} is {type_.kind} and takes {legal}, not {str(value)[:80]!r}",
        code="wrong_type", reason_class="validation",
    )  # fmt: skip


def as_text(value: Any) -> str:
    """A value as text: times in ISO 8601 UTC, truths in small letters, nested values as JSON."""
    if isinstance(value, datetime):
        aware = value if value.tzinfo else value.replace(tzinfo=UTC)
        return aware.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | dict | tuple):
        return msgspec.json.encode(value, order="sorted").decode()
    return str(value)


def with_attributes(
    document: Document, changes: Mapping[str, Any], profile: Profile, types: Mapping[str, AttributeType]
) -> Document:
    """The document of a device with other values; None clears. types: by name.

    Own attributes (the last list) come and go; those of the template only lose their value.
    """
    spec = profile.device.attributes
    copy: Document = msgspec.json.decode(msgspec.json.encode(document))
    by_id = {types[name].id: (name, _on_the_wire(value, spec)) for name, value in changes.items()}
    for number, path in enumerate(spec.lists):
        kept = []
        for entry in dig(copy, path) or ():
            key = first(entry, spec.type_id)
            _name, value = by_id.pop(key, ("", entry.get(spec.value)))
            # An expanded document names the type by an object; a PUT takes the unexpanded form.
            if value is not None or number == 0:
                kept.append({spec.type_id[0]: key, spec.value: value})
        fresh = [{spec.type_id[0]: key, spec.value: value} for key, (_, value) in by_id.items() if value is not None]
        _put(copy, path, kept + (fresh if number == len(spec.lists) - 1 else []))
    return copy


def _on_the_wire(value: Any, spec: Attributes) -> Any:
    return as_text(value) if value is not None and spec.values == "text" else value


def _put(document: Document, path: str, value: Any) -> None:
    *steps, last = path.split(".")
    for step in steps:
        document = document.setdefault(step, {})
    document[last] = value
