"""Commands, each sent once under an id of ours."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import msgspec

from commerce_sync.errors import ConfigurationError, RejectedError
from commerce_sync.mapping import Field, Target
from commerce_sync.systems.answers import UnknownOutcomeError
from commerce_sync.systems.jobs import Jobs
from commerce_sync.systems.opentext_iot.client import IotClient
from commerce_sync.systems.opentext_iot.documents import as_text, dig
from commerce_sync.systems.opentext_iot.envelopes import packed
from commerce_sync.systems.opentext_iot.rows import LoadOptions, Outcome, Row, delivered, refused

NAMESPACE = uuid.UUID("7b1d7a6e-52f5-5d0a-9d0e-6c2a6f9b1c53")
COMMAND_FIELDS = ("device", "command", "args")
POLL_S = 0.5


async def send_event(
    client: IotClient, *, device_id: str, event_type: str, values: dict[str, Any], message_id: str,
    stream_id: str | None = None,
) -> None:  # fmt: skip
    """Send one event on behalf of a device. event_type: the name of its template.

    Raises UnknownOutcomeError when no answer came and the gateway offers nothing to make a second try harmless.
    """
    spec, search = client.profile.send.event, client.profile.events
    path = spec.path.format(stream_id=quote(stream_id or "", safe=""), device_id=quote(device_id, safe=""))
    if spec.style == "named":
        body: dict[str, Any] = {"eventId": message_id, "deviceId": device_id, "eventType": event_type, "data": values}
    else:
        types = {name: key for key, name in (await client.names(search.types or "event_template")).items()}
        if event_type not in types:
            raise ConfigurationError(f"there is no event type {event_type!r}; there are: {', '.join(sorted(types))}")
        body = {"messageId": message_id, "deviceId": device_id, "eventTemplateId": types[event_type]}
        body |= {"message": packed(values), "encodingType": "BASE64"}
    header = {spec.idempotency_header: message_id} if spec.idempotency_header else {}
    await client.write("POST", path, media=spec.media, body=body, headers=header, repeatable=bool(header) or None,
                       route=spec.path)  # fmt: skip


class CommandWriter:
    """Target ``commands``: fields ``device`` (id), ``command`` (its name), ``args``, and the external id.

    The external id's value is the message id; without one it is made of the row's key. A command that was accepted
    under that id is not sent again, where the gateway can be asked; where it cannot, a command whose answer was lost is
    rejected for a person to decide. Accepted is not done: see ``done_s``.
    """

    def __init__(self, client: IotClient, target: Target, fields: Sequence[Field], jobs: Jobs) -> None:
        self.client = client
        self.target = target
        self.options = LoadOptions.of(target)
        self.fields = [item.name for item in fields if item.name != target.external_id]
        self.jobs = jobs

    async def prepare(self) -> None:
        """Find the stream and the templates. Raises ConfigurationError when commands could not be sent."""
        if wrong := command_problems(self.client, self.options, self.fields):
            raise ConfigurationError(f"target commands: {'; '.join(wrong)}")
        self._templates: dict[str, str] = {}
        self._stream = ""
        if self.client.profile.send.command.style == "envelope":
            self._templates = {name: key for key, name in (await self.client.names("command_template")).items()}
            streams = await self.client.streams()
            self._stream = next((key for key, name in streams.items() if self.options.stream in (key, name)), "")
            if not self._stream:
                known = ", ".join(streams.values())
                raise ConfigurationError(f"target commands: no stream {self.options.stream!r}; there are: {known}")
        self._known = {job.name: job for job in self.jobs.all()}

    async def groups(self, rows: list[Row]) -> tuple[dict[str, list[Row]], list[Outcome]]:
        """Rows by device: the commands of one device keep their order."""
        groups: dict[str, list[Row]] = {}
        outcomes = []
        for row in rows:
            if row.is_deletion:
                outcomes.append(delivered(row, row.target_id, code="ignored"))
            else:
                groups.setdefault(row.text("device") or "", []).append(row)
        return groups, outcomes

    async def write(self, device_id: str, rows: list[Row]) -> list[Outcome]:
        """Send the commands of one device, one after the other."""
        outcomes = []
        for row in rows:
            try:
                outcomes.append(await self._send(device_id, row))
            except RejectedError as error:
                outcomes.append(refused(row, error))
        return outcomes

    async def _send(self, device_id: str, row: Row) -> Outcome:
        ours = row.text(self.target.external_id) or str(uuid.uuid5(NAMESPACE, f"{self.target.object}/{row.key}"))
        self._refuse(device_id, row)
        known = self._known.get(ours)
        sent = known.remote_id if known else None
        if sent is None and self.client.profile.send.status.by_our_id:
            sent = ours if await self.status(ours) != "UNKNOWN" else None
        elif sent is None and known is not None:
            raise _lost(row)
        created = sent is None
        if sent is None:
            sent = await self._deliver(device_id, row, ours)
        await self._await_done(sent)
        return delivered(row, sent, created=created)

    def _refuse(self, device_id: str, row: Row) -> None:
        name = row.text("command") or ""
        if name not in self.options.commands:
            legal = ", ".join(self.options.commands)
            text = f"command {name!r} is not among those this leg may send ({legal})"
            raise RejectedError(text, code="command_not_allowed", reason_class="permission")
        if not device_id:
            raise RejectedError(f"{row.key} names no device", code="no_device", reason_class="reference")
        if self.client.profile.send.command.style == "envelope" and name not in self._templates:
            text = f"there is no command template {name!r}; there are: {', '.join(sorted(self._templates))}"
            raise RejectedError(text, code="no_command", reason_class="reference")

    async def _deliver(self, device_id: str, row: Row, ours: str) -> str:
        """Send it; gives the id under which its state can be asked for."""
        spec = self.client.profile.send.command
        path = spec.path.format(stream_id=quote(self._stream, safe=""), device_id=quote(device_id, safe=""))
        job = self.jobs.plan(ours, key=row.key)
        try:
            answer = await self.client.write(
                "POST", path, media=spec.media, body=self._body(device_id, row, ours), repeatable=False, route=spec.path
            )  # fmt: skip
        except UnknownOutcomeError:
            if self.client.profile.send.status.by_our_id and await self._appears(ours):
                return ours
            if not self.client.profile.send.status.by_our_id:
                raise _lost(row) from None
            raise
        sent = str(dig(answer.json(), spec.answer_id) or ours) if spec.answer_id else ours
        self.jobs.update(job, remote_id=sent, state="ACCEPTED")
        return sent

    def _body(self, device_id: str, row: Row, ours: str) -> dict[str, Any]:
        name, args = row.text("command") or "", _arguments(row.values.get("args"))
        if self.client.profile.send.command.style == "named":
            return {"command": name, "args": args}
        body = {"messageId": ours, "deviceId": device_id, "commandId": self._templates[name]}
        return body | {"message": packed(args), "encodingType": "BASE64"}

    async def _appears(self, message_id: str) -> bool:
        """Whether a command without an answer was taken after all; its audit lags behind."""
        wait = self.client.profile.index_wait
        for _ in range(min(wait.attempts, 20)):
            if await self.status(message_id) != "UNKNOWN":
                return True
            await self.client.sleep(wait.interval_ms / 1000)
        return False

    async def status(self, message_id: str) -> str:
        """ACCEPTED, DONE, FAILED, or UNKNOWN."""
        return await command_status(self.client, message_id)

    async def _await_done(self, message_id: str) -> None:
        until = time.monotonic() + self.options.done_s
        while self.options.done_s:
            found = await self.status(message_id)
            if found == "FAILED":
                text = f"the device reported that command {message_id} failed"
                raise RejectedError(text, code="command_failed", reason_class="unknown")
            if found == "DONE" or time.monotonic() > until:
                return
            await self.client.sleep(POLL_S)


async def command_status(client: IotClient, message_id: str) -> str:
    """The state of a command by the id it was accepted under: ACCEPTED, DONE, FAILED, or UNKNOWN."""
    spec = client.profile.send.status
    try:
        answer = await client.read(spec.path.format(message_id=quote(message_id, safe="")), media=spec.media)
    except RejectedError:
        return "UNKNOWN"
    found = answer.json()
    found = (found[0] if found else {}) if isinstance(found, list) else found
    return client.profile.send.states.get(str(dig(found, spec.field)), "UNKNOWN")


def _lost(row: Row) -> RejectedError:
    return RejectedError(
        f"no answer came for the command of {row.key}, and this gateway cannot be asked whether it took it: look at "
        "the device, then retry the row or dismiss it",
        code="unknown_outcome",
    )


def _arguments(given: Any) -> dict[str, Any]:
    if isinstance(given, str):
        try:
            given = msgspec.json.decode(given)
        except msgspec.DecodeError as error:
            raise RejectedError(f"args is no JSON: {error}", code="bad_args", reason_class="validation") from error
    if isinstance(given, list):
        given = dict(given)  # a DuckDB MAP comes as pairs
    if not isinstance(given, dict | None):
        raise RejectedError("args must be an object", code="bad_args", reason_class="validation")
    return {name: as_text(value) for name, value in (given or {}).items() if value is not None}


def command_problems(client: IotClient, options: LoadOptions, names: Sequence[str]) -> list[str]:
    """What is wrong with the fields and options of a command target."""
    found = []
    if strange := [name for name in names if name not in COMMAND_FIELDS]:
        found.append(f"unknown fields {', '.join(strange)}; legal: {', '.join(COMMAND_FIELDS)} and the external id")
    found += [f"field {name!r} is missing" for name in ("device", "command") if name not in names]
    if not options.commands:
        found.append("option commands is empty: list the commands this leg may send")
    if client.profile.send.command.style == "envelope" and not options.stream:
        found.append("option stream is missing: commands travel through a stream here")
    return found
