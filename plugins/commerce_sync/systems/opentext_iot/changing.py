"""Changing one device: read it, work out what differs, write only that, and again when somebody else was faster.

Every write here may be repeated: a PUT or PATCH carries the version it was made for, tags are a set. So an answer that
never came is settled by the next read, which finds either the old values or the new ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from commerce_sync.errors import RejectedError
from commerce_sync.systems.opentext_iot.client import ConflictError, IotClient
from commerce_sync.systems.opentext_iot.documents import (
    AttributeType,
    Device,
    Document,
    with_attributes,
    written_text,
)


@dataclass(frozen=True, slots=True)
class Change:
    """What a device should become: values by attribute name (None clears), tags to have and not to have, texts."""

    attributes: dict[str, Any] = field(default_factory=dict)
    add: frozenset[str] = frozenset()
    remove: frozenset[str] = frozenset()
    texts: dict[str, str | None] = field(default_factory=dict)

    def reduced(self, device: Device) -> Change:
        """Without what is so already."""
        held = set(device.tags)
        values = {name: value for name, value in self.attributes.items() if device.attributes.get(name) != value}
        texts = {name: text for name, text in self.texts.items() if (getattr(device, name) or "") != (text or "")}
        return Change(values, self.add - held, (self.remove & held) - self.add, texts)

    def __bool__(self) -> bool:
        return bool(self.attributes or self.add or self.remove or self.texts)


Wanted = Callable[[Device], Change]


async def change(client: IotClient, device_id: str, wanted: Wanted) -> Device:
    """Make a device what ``wanted`` says of the device as it is now; nothing is written when nothing differs.

    Raises RejectedError: reference when there is no such device, lock when others keep writing it.
    """
    types = await client.attribute_types()
    for _ in range(client.profile.device.write.attempts):
        device = await client.device(device_id)
        if device is None:
            raise RejectedError(f"there is no device {device_id}", code="no_device", reason_class="reference")
        left = wanted(device).reduced(device)
        if not left:
            return device
        try:
            await _write(client, device, left, types)
            return device
        except ConflictError as error:
            conflict = error
    raise conflict


async def _write(client: IotClient, device: Device, left: Change, types: Mapping[str, AttributeType]) -> None:
    spec, tags = client.profile.device.write, client.profile.device.tags
    if tags.style == "calls":
        # Removed first: a device must not belong to two customers at any moment.
        for method, names in (("DELETE", left.remove), ("PUT", left.add)):
            for tag in sorted(names):
                await put_tag(client, method, device.id, tag)
        left = Change(left.attributes, texts=left.texts)
        if not left:
            return
        if left.attributes or left.texts:
            device = await _again(client, device)
    path = f"{client.profile.resource('device').path}/{quote(device.id, safe='')}"
    media = spec.media or client.profile.resource("device").media
    headers = {"If-Match": device.version or "*"} if spec.style == "if_match" else {}
    body = _merge_patch(client, device, left) if spec.style == "if_match" else _document(client, device, left, types)
    await client.write(
        spec.method, path, media=media, accept=client.profile.resource("device").media, body=body, headers=headers,
        repeatable=True, route=client.profile.resource("device").path,
    )  # fmt: skip


async def _again(client: IotClient, device: Device) -> Device:
    """The device with the version it has after its tags were written."""
    found = await client.device(device.id)
    if found is None:
        raise ConflictError(f"device {device.id} went away", code="no_device", reason_class="reference")
    return found


async def put_tag(client: IotClient, method: str, device_id: str, tag: str) -> None:
    """Add (PUT) or take away (DELETE) one tag."""
    path = client.profile.device.tags.path.format(id=quote(device_id, safe=""), tag=quote(tag, safe=""))
    media = client.profile.resource("device").media
    await client.write(method, path, media=media, repeatable=True, route=client.profile.device.tags.path)


def _merge_patch(client: IotClient, device: Device, left: Change) -> Document:
    """RFC 7396: null clears, what is not named stays."""
    body: Document = {name: written_text(text or "", client.profile.text) for name, text in left.texts.items()}
    if left.attributes:
        body[client.profile.device.attributes.lists[0]] = left.attributes
    if left.add or left.remove:
        body["tags"] = [tag for tag in device.tags if tag not in left.remove] + sorted(left.add)
    return body


def _document(client: IotClient, device: Device, left: Change, types: Mapping[str, AttributeType]) -> Document:
    """The whole document as it was read, with its version and other values."""
    body = with_attributes(device.document, left.attributes, client.profile, types)
    return body | {name: written_text(text or "", client.profile.text) for name, text in left.texts.items()}
