"""Outbound Sync: a run collects changes, groups them by root item, sends current state, consumes on success.

Source: fact sheet section 3.2. Success is 201 alone. A failed group stays unconsumed and is sent again by the
next run, five times at most; then it is dropped until the item changes again.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from simulators.sap_commerce.outbound.channels import Channel, read_channel
from simulators.sap_commerce.outbound.multipart import Operation, multipart_body, new_operation, statuses_by_content_id
from simulators.sap_commerce.outbound.payload import PayloadWriter, integration_key
from simulators.sap_commerce.outbound.retries import Retries
from simulators.sap_commerce.outbound.roots import item_of_type, roots_of
from simulators.sap_commerce.outbound.streams import Change, changes_of, consume, marker_info, read_stream
from simulators.sap_commerce.outbound.transport import Message, Sender
from simulators.sap_commerce.schema import Item, Schemas
from simulators.sap_commerce.store import Store


@dataclass(slots=True)
class Group:
    """The changes that are sent together: those of one root item, or one item alone.

    ``shared`` counts in how many groups of the run each change still waits; it is consumed when all have gone.
    """

    channel: Channel
    pk: int
    item: Item | None
    changes: list[Change]
    shared: Counter[tuple[str, int]]
    deleted: bool = False
    key: str = ""

    @property
    def version(self) -> int:
        return max(change.version for change in self.changes)


@dataclass(slots=True)
class Outcome:
    """What a run did, in groups; ``ignored`` counts changes that concern nobody."""

    sent: int = 0
    failed: int = 0
    dropped: int = 0
    ignored: int = 0
    error: str = ""
    language: str = "en"
    shared: Counter[tuple[str, int]] = field(default_factory=Counter)

    @property
    def result(self) -> str:
        if self.error:
            return "FAILURE"
        return "ERROR" if self.failed else "SUCCESS"


@dataclass(slots=True)
class OutboundSync:
    """Runs outbound sync cron jobs."""

    store: Store
    schemas: Schemas
    sender: Sender
    settings: dict[str, Any]
    _running: dict[int, asyncio.Lock] = field(default_factory=dict)

    async def run(self, cron_job: int) -> dict[str, Any]:
        """One run of a cron job; a second call waits until the first has ended."""
        async with self._running.setdefault(cron_job, asyncio.Lock()):
            self._mark(cron_job, status="RUNNING", result="UNKNOWN", startTime=self.store.now_ms(), endTime=None)
            outcome = await self._outcome(cron_job)
            self._mark(cron_job, status="FINISHED", result=outcome.result, endTime=self.store.now_ms())
        counts = {name: getattr(outcome, name) for name in ("sent", "failed", "dropped", "ignored")}
        return {"status": "FINISHED", "result": outcome.result, **counts, "error": outcome.error or None}

    def _mark(self, cron_job: int, *, status: str, result: str, **values: Any) -> None:
        if not self.store.exists(cron_job):
            return
        (state,) = self.store.find(["CronJobStatus"], {"code": status})
        (end,) = self.store.find(["CronJobResult"], {"code": result})
        self.store.update(cron_job, {"status": state, "result": end, **values})

    async def _outcome(self, cron_job: int) -> Outcome:
        spoken = self.store.value(self.store.value(cron_job, "sessionLanguage"), "isocode")
        outcome = Outcome(language=str(spoken or self.settings["platform_language"]))
        try:
            groups = self._collected(cron_job, outcome)
            for channel in {group.channel.pk: group.channel for group in groups}.values():
                mine = [group for group in groups if group.channel.pk == channel.pk]
                await (self._send_batches if channel.batch else self._send_each)(channel, mine, outcome)
        except Exception as error:  # a job never raises: whatever is wrong with its configuration is its result
            outcome.error = f"{type(error).__name__}: {error}"
        return outcome

    def _collected(self, cron_job: int, outcome: Outcome) -> list[Group]:
        container = self.store.value(self.store.value(cron_job, "job"), "streamConfigurationContainer")
        streams = self.store.find(["OutboundSyncStreamConfiguration"], {"container": container})
        gathered: dict[tuple[Any, ...], list[Group]] = {}
        with self.store.transaction():
            for pk in streams:
                stream = read_stream(self.store, pk)
                channel = read_channel(self.store, self.schemas, stream.channel)
                for change in changes_of(self.store, stream):
                    self._sort(change, channel, gathered, outcome)
        found = [group for groups in gathered.values() for group in groups]
        # an item may be deleted and made anew under the same key between two runs: its end comes first
        return sorted(found, key=lambda group: not group.deleted)

    def _sort(
        self, change: Change, channel: Channel, gathered: dict[tuple[Any, ...], list[Group]], outcome: Outcome
    ) -> None:
        """Put a change into the groups it belongs to; consume it when it belongs to none."""
        if change.kind == "DELETED":
            self._sort_deleted(change, channel, gathered, outcome)
            return
        service = channel.service
        item = item_of_type(service, change.itemtype, store=self.store)
        if item is None:
            self._ignore(change, outcome)
            return
        roots = roots_of(service, change.pk, change.itemtype, store=self.store)
        if roots is None:
            roots = [change.pk]
        if not roots:
            self._ignore(change, outcome)
        for root in roots:
            whole = item if root == change.pk else service.root
            self._put(Group(channel, root, whole, [change], outcome.shared), gathered)

    def _sort_deleted(
        self, change: Change, channel: Channel, gathered: dict[tuple[Any, ...], list[Group]], outcome: Outcome
    ) -> None:
        if not channel.deletes or not change.info or self._was_told_anew(change):
            self._ignore(change, outcome)
            return
        key = json.loads(change.info)["key"]
        item = item_of_type(channel.service, change.itemtype, store=self.store)
        self._put(Group(channel, change.pk, item, [change], outcome.shared, deleted=True, key=key), gathered)

    def _was_told_anew(self, change: Change) -> bool:
        """An end that failed to arrive before the item's successor of the same key did would take that one away."""
        sql = "SELECT itemPK FROM ItemVersionMarker WHERE streamId = ? AND info = ? AND pk <> ?"
        others = self.store.db.execute(sql, (change.stream, change.info, change.marker)).fetchall()
        return any(self.store.exists(pk) for (pk,) in others)

    def _ignore(self, change: Change, outcome: Outcome) -> None:
        consume(self.store, change, info=None)
        outcome.ignored += 1

    def _put(self, group: Group, gathered: dict[tuple[Any, ...], list[Group]]) -> None:
        """Add to the open group of the same root; a group closes when it is full."""
        group.shared[_identity(group.changes[0])] += 1
        groups = gathered.setdefault((group.channel.pk, group.pk, group.deleted), [])
        if groups and len(groups[-1].changes) < int(self.settings["group_size_max"]):
            groups[-1].changes += group.changes
        else:
            groups.append(group)

    async def _send_each(self, channel: Channel, groups: list[Group], outcome: Outcome) -> None:
        if not self._may_send(channel):
            return
        destination = self.sender.destination(channel.destination)
        for group in groups:
            request = self._request(group, outcome.language)
            if request is None:
                continue
            method, body = request
            url = f"{destination.url}('{quote(group.key, safe='')}')" if group.deleted else None
            message = Message(channel.service.code, group.key, body, "OUTBOUNDSYNC", method, url)
            answer = await self.sender.send(message, destination)
            self._settle(group, succeeded=self._is_success(group, answer.status), outcome=outcome)

    def _may_send(self, channel: Channel) -> bool:
        switched = self.settings["outbound_respects_inactive"]
        return not switched or bool(self.store.value(channel.destination, "active"))

    def _is_success(self, group: Group, status: int) -> bool:
        if group.deleted:
            return 200 <= status < 300
        return status in self.settings["outbound_success_statuses"]

    def _request(self, group: Group, language: str) -> tuple[str, bytes] | None:
        """Method and body of a group, from the state the item has now; None when it has gone meanwhile."""
        if group.deleted:
            return "DELETE", b""
        if group.item is None or not self.store.exists(group.pk):
            return None
        null_key = str(self.settings["null_key_part"])
        group.key = integration_key(self.store, group.channel.service, group.item, group.pk, null=null_key)
        writer = PayloadWriter(
            self.store,
            group.channel.service,
            language,
            long_as_text=self.settings["outbound_long"] == "string",
            null_key=null_key,
        )
        return "POST", json.dumps(writer.write(group.item, group.pk), ensure_ascii=False).encode()

    async def _send_batches(self, channel: Channel, groups: list[Group], outcome: Outcome) -> None:
        if not self._may_send(channel):
            return
        size = int(self.settings["outbound_batch_limit"])
        for start in range(0, len(groups), size):
            await self._send_batch(channel, groups[start : start + size], outcome)

    async def _send_batch(self, channel: Channel, groups: list[Group], outcome: Outcome) -> None:
        operations: list[tuple[Group, Operation]] = []
        for group in groups:
            if (request := self._request(group, outcome.language)) is not None:
                operations.append((group, new_operation(request[0], _path(group), request[1])))
        if not operations:
            return
        content_type, body = multipart_body([operation for _, operation in operations])
        message = Message(channel.service.code, "", body, "OUTBOUNDSYNC", headers={"Content-Type": content_type})
        answer = await self.sender.send(message, self.sender.destination(channel.destination))
        statuses: dict[str, int] = {}
        if 200 <= answer.status < 300:
            statuses = statuses_by_content_id(answer.headers.get("Content-Type", ""), answer.body)
        for group, operation in operations:
            status = statuses.get(operation.content_id, 0)
            self._settle(group, succeeded=self._is_success(group, status), outcome=outcome)

    def _settle(self, group: Group, *, succeeded: bool, outcome: Outcome) -> None:
        retries = Retries(self.store, group.channel.pk, limit=int(self.settings["outbound_max_retries"]))
        with self.store.transaction():
            if succeeded:
                outcome.sent += 1
                retries.forget(group.pk)
                self._consume(group)
                return
            outcome.failed += 1
            if retries.failed(group.pk, version=group.version):
                outcome.dropped += 1
                self._consume(group)

    def _consume(self, group: Group) -> None:
        null_key = str(self.settings["null_key_part"])
        for change in group.changes:
            group.shared[_identity(change)] -= 1
            if group.shared[_identity(change)] > 0:
                continue
            info = None
            if group.channel.deletes:
                info = marker_info(self.store, group.channel.service, change, null_key=null_key)
            consume(self.store, change, info=info)


def _identity(change: Change) -> tuple[str, int]:
    return change.stream, change.pk


def _path(group: Group) -> str:
    entity_set = group.item.entity_set if group.item else ""
    return f"{entity_set}('{quote(group.key, safe='')}')" if group.deleted else entity_set
