"""Target ``devices``: devices created under their serial number, renamed, deleted.

The platform has no key for a create: a device is found again by its serial tag, which classic gateways can only write
after the device exists. A create that was cut in between is recognised by the serial number in its description and
taken up instead of made twice.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from commerce_sync.errors import ConfigurationError, RejectedError
from commerce_sync.mapping import Field, Target
from commerce_sync.systems.answers import UnknownOutcomeError
from commerce_sync.systems.jobs import Jobs
from commerce_sync.systems.opentext_iot.changing import Change, change, put_tag
from commerce_sync.systems.opentext_iot.client import IotClient
from commerce_sync.systems.opentext_iot.documents import SERIAL, Device, Document, first, written_text
from commerce_sync.systems.opentext_iot.rows import LoadOptions, Outcome, Row, delivered, refused

DEVICE_FIELDS = ("name", "description", "template")
UNFINISHED_FOR = timedelta(hours=48)
"""How far back a create that never got its tag is looked for."""
MARK = re.compile(r"\s*\[serial:([^\]]+)\]$")


class DeviceWriter:
    """Creates and changes devices by serial number."""

    def __init__(self, client: IotClient, target: Target, fields: Sequence[Field], jobs: Jobs) -> None:
        self.client = client
        self.target = target
        self.options = LoadOptions.of(target)
        self.fields = [item.name for item in fields if item.name != target.external_id]
        self.jobs = jobs
        self._spec = client.profile.device.create

    async def prepare(self) -> None:
        """Look at the templates. Raises ConfigurationError for fields a device does not have."""
        if wrong := device_problems(self.target, self.fields):
            raise ConfigurationError(f"target devices: {'; '.join(wrong)}")
        self._templates = await self.client.names("device_template")
        self._unfinished: dict[str, str] | None = None
        self._begun = {job.name: job.remote_id for job in self.jobs.all() if job.remote_id}
        self._known: dict[str, list[Device]] = {}

    async def groups(self, rows: list[Row]) -> tuple[dict[str, list[Row]], list[Outcome]]:
        """Rows by serial number."""
        groups: dict[str, list[Row]] = {}
        outcomes = []
        for row in rows:
            serial = row.text(self.target.external_id)
            if row.is_deletion and self.target.on_delete != "delete":
                outcomes.append(delivered(row, row.target_id, code="ignored"))
            elif row.is_deletion or serial:
                groups.setdefault(serial or f"gone {row.key}", []).append(row)
            else:
                error = RejectedError(f"{row.key} has no serial number", code="no_serial", reason_class="validation")
                outcomes.append(refused(row, error))
        serials = [serial for serial, own in groups.items() if not own[0].is_deletion]
        self._known = await self.client.by_serial(serials)
        if self._unfinished is None and any(not found for found in self._known.values()):
            self._unfinished = await self._without_tag()
        return groups, outcomes

    async def write(self, serial: str, rows: list[Row]) -> list[Outcome]:
        """Write the rows of one serial number (one, unless a mapping's keys are finer than its serial numbers)."""
        outcomes = []
        for row in rows:
            try:
                outcomes.append(await self._delete(row) if row.is_deletion else await self._put(serial, row))
            except RejectedError as error:
                outcomes.append(refused(row, error))
        return outcomes

    async def _put(self, serial: str, row: Row) -> Outcome:
        found = self._known.get(serial, [])
        if len(found) > 1:
            raise RejectedError(f"{len(found)} devices have the serial number {serial}", code="ambiguous_device",
                                reason_class="duplicate")  # fmt: skip
        template = self._template(row)
        if not found:
            device_id = await self._create(serial, row, template)
            device = await self.client.device(device_id)
            self._known[serial] = [device] if device else []
            return delivered(row, device_id, created=True)
        if template and found[0].template_id != template:
            text = f"device {serial} has another template; a device is moved to another one on the platform"
            raise RejectedError(text, code="other_template", reason_class="validation")
        texts: dict[str, str | None] = {}
        for name in ("name", "description"):
            if name in row.values:
                texts[name] = self._text(serial, row, name)
        device = await change(self.client, found[0].id, lambda _device: Change(texts=texts))
        return delivered(row, device.id)

    def _text(self, serial: str, row: Row, name: str) -> str | None:
        text = row.text(name)
        if name == "description" and self._spec.serial is None:
            return f"{text or ''} [{SERIAL}{serial}]".strip()
        return text

    def _template(self, row: Row) -> str | None:
        wanted = row.text("template")
        if wanted is None:
            return None
        ids = [key for key, name in self._templates.items() if wanted in (key, name)]
        if len(ids) == 1:
            return ids[0]
        text = f"device template {wanted!r} is there {len(ids)} times; there are: {', '.join(self._templates.values())}"
        raise RejectedError(text, code="no_template", reason_class="reference")

    async def _create(self, serial: str, row: Row, template: str | None) -> str:
        if template is None:
            text = f"device {serial} is new and names no template"
            raise RejectedError(text, code="no_template", reason_class="validation")
        known = self._begun.get(f"create {serial}") or (self._unfinished or {}).get(serial)
        device_id = known or await self._made(serial, row, template)
        if self._spec.activate:
            media = self.client.profile.resource("device").media
            path = self._spec.activate.format(id=quote(device_id, safe=""))
            await self.client.write("POST", path, media=media, repeatable=True, route=self._spec.activate)
        if self._spec.serial is None:
            await put_tag(self.client, "PUT", device_id, f"{SERIAL}{serial}")
        await self.client.listed("device", device_id)
        return device_id

    async def _made(self, serial: str, row: Row, template: str) -> str:
        job = self.jobs.plan(f"create {serial}", key=row.key)
        path = self._spec.path.format(template_id=quote(template, safe=""))
        for _ in range(2):
            try:
                answer = await self.client.write(
                    self._spec.method, path, media=self.client.profile.resource("device").media,
                    body=self._body(serial, row, template), repeatable=False, route=self._spec.path.partition("?")[0],
                )  # fmt: skip
                device_id = str(first(answer.json(), self.client.profile.device.fields["id"]))
            except UnknownOutcomeError as error:
                lost, found = error, await self._found_again(serial)
                if found is None:
                    continue
                device_id = found
            self.jobs.update(job, remote_id=device_id)
            return device_id
        raise lost

    def _body(self, serial: str, row: Row, template: str) -> Document:
        texts = {name: self._text(serial, row, name) for name in ("name", "description")}
        ours: dict[str, Any] = {
            name: written_text(text, self.client.profile.text) for name, text in texts.items() if text is not None
        } | {"template_id": template}
        body = {theirs: ours[name] for theirs, name in self._spec.body.items() if name in ours}
        return body | ({self._spec.serial: serial} if self._spec.serial else {})

    async def _found_again(self, serial: str) -> str | None:
        """The device of a create without an answer, once the lists show it; None when they do not."""
        wait = self.client.profile.index_wait
        for _ in range(min(wait.attempts, 20)):
            if self._spec.serial:
                known = (await self.client.by_serial([serial]))[serial]
                found = known[0].id if known else None
            else:
                found = (await self._without_tag()).get(serial)
            if found:
                return found
            await self.client.sleep(wait.interval_ms / 1000)
        return None

    async def _without_tag(self) -> dict[str, str]:
        """Serial number -> id of devices we made lately that never got their tag."""
        found: dict[str, str] = {}
        if self._spec.serial:
            return found
        oldest = datetime.now(UTC) - UNFINISHED_FOR
        async for page in self.client.devices(is_newest_first=True):
            for device in page:
                mark = MARK.search(device.description or "")
                if mark and device.serial is None:
                    found[mark[1]] = device.id
            if any(device.created and device.created < oldest for device in page):
                break
        return found

    async def _delete(self, row: Row) -> Outcome:
        if not row.target_id:
            raise RejectedError(f"{row.key} was never delivered", code="no_device", reason_class="reference")
        spec = self.client.profile.device.delete
        path = spec.path.format(id=quote(row.target_id, safe=""))
        media = self.client.profile.resource("device").media
        try:
            await self.client.write(spec.method, path, media=media, repeatable=True, route=spec.path)
        except RejectedError as error:
            if error.reason_class != "reference":
                raise
        return delivered(row, row.target_id)


def device_problems(target: Target, names: Sequence[str]) -> list[str]:
    """What is wrong with the fields of a device target."""
    found = []
    if target.external_id != "serial":
        found.append(f"the external id of devices is serial, not {target.external_id!r}")
    if strange := [name for name in names if name not in DEVICE_FIELDS]:
        found.append(f"unknown fields {', '.join(strange)}; legal: serial, {', '.join(DEVICE_FIELDS)}")
    return found
