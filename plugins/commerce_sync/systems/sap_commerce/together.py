"""References of several entity sets changed together: all of a group, or none of it.

Target: ``options: {style: together, service: ..., entity_sets: {BannerComponents: [media]}}``. A row sets one reference
of one entity that is there; the rows of a group go in one ChangeSet, which the shop takes or rolls back as a whole. An
answer that does not come is settled by reading back. A group that is too large, or of which rows are missing, is
refused and never cut. A value that is gone is replaced by the row's ``fallback``, again for the whole group.
Source: SAP Commerce 2211 documentation, batch chapter: a failing operation rolls back its own ChangeSet only.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa

from commerce_sync.batches import Batch, BatchWriter
from commerce_sync.errors import ConfigurationError, RejectedError, RetryableError
from commerce_sync.mapping import Field, Target
from commerce_sync.systems.jobs import Loaded
from commerce_sync.systems.sap_commerce.batch import Operation
from commerce_sync.systems.sap_commerce.client import SapCommerceClient
from commerce_sync.systems.sap_commerce.outcomes import LOAD_SCHEMA, delivered, refusal
from commerce_sync.systems.sap_commerce.protocol import Failure, literal, write_headers
from commerce_sync.systems.sap_commerce.schema import Schema
from commerce_sync.systems.sap_commerce.together_rows import (
    Change,
    Name,
    TogetherOptions,
    check_fields,
    is_together,
    linked,
    read,
    unfit,
)

__all__ = ["is_together", "load", "problems"]
log = logging.getLogger(__name__)
KEYS_PER_REQUEST = 20
AGAIN = ("lock", "transient")
HOME = "catalogVersion/catalog"


async def load(
    client: SapCommerceClient, target: Target, fields: Sequence[Field], changes: Batch, *, into: BatchWriter
) -> Loaded:
    """Write the groups and one outcome per row into ``into``.

    Raises ConfigurationError for wrong options or fields, RetryableError when nothing got through because the shop was
    down.
    """
    check_fields(fields)
    work = Together(client, TogetherOptions.of(target), await client.metadata())
    work.options.check(work.schema)
    await work.run(read(changes))
    outcomes = [{"_key": key, **outcome} for key, outcome in work.outcomes.items()]
    counts = {
        name: sum(row["outcome"] == name for row in outcomes) for name in ("delivered", "rejected", "unprocessed")
    }
    if work.stopped and not counts["delivered"] and not counts["rejected"]:
        raise work.stopped
    into.add(pa.Table.from_pylist(outcomes, schema=LOAD_SCHEMA))
    log.info("load ended: %s", counts)
    return Loaded(counts["delivered"], counts["rejected"], counts["unprocessed"])


class Together:
    """One load: what became of each row is in ``outcomes``."""

    def __init__(self, client: SapCommerceClient, options: TogetherOptions, schema: Schema) -> None:
        self._client = client
        self.options = options
        self.schema = schema
        self.outcomes: dict[str, dict[str, Any]] = {}
        self.stopped: RetryableError | None = None

    async def run(self, changes: Sequence[Change]) -> None:
        """Switch group after group."""
        for change in changes:
            if change.is_deleted:
                self.outcomes[change.key] = delivered(None) | {"code": "ignored"}
        for group in linked([change for change in changes if not change.is_deleted]):
            if found := unfit(group, self.options):
                self._note(group, refusal("rejected", found.code, "validation", found.message, ""))
            elif self.stopped:
                self._note(group, refusal("unprocessed", "unprocessed", "transient", str(self.stopped), ""))
            else:
                await self._switch(group)

    async def _switch(self, group: Sequence[Change]) -> None:
        try:
            failure, absent = await self._sent(group), frozenset[Name]()
            if failure and failure.code == "missing_nav_property":
                absent = await self._absent(group)
                helped = [_helped(change, absent) for change in group]
                if helped != list(group):
                    failure, group = await self._sent(helped), helped
            elif failure and failure.reason_class in AGAIN:
                failure = await self._sent(group)
        except RetryableError as error:
            self.stopped = error
            self._note(group, refusal("unprocessed", "unprocessed", "transient", str(error), ""))
            return
        for change in group:
            self.outcomes[change.key] = _refused(change, failure, absent) if failure else _delivered(change)

    def _note(self, group: Sequence[Change], outcome: dict[str, Any]) -> None:
        self.outcomes |= {change.key: outcome for change in group}

    async def _sent(self, group: Sequence[Change]) -> Failure | None:
        """None when the shop now has all of the group, else why it has none. Raises RetryableError: nobody knows."""
        operations = [self._operation(change) for change in group]
        try:
            answers = await self._client.batch(operations, per_changeset=len(operations))
        except RejectedError as error:
            return Failure(400, error.code or "rejected", str(error))
        except RetryableError:
            if await self._holds(group):
                return None
            raise
        refused = [answer for answer in answers.values() if answer.status and not answer.is_success]
        if refused:
            return refused[0].failure()
        if len(answers) == len(operations) and all(answer.is_success for answer in answers.values()):
            return None
        if await self._holds(group):
            return None
        raise RetryableError(f"the batch of group {group[0].group} was answered in part and is not in the shop")

    def _operation(self, change: Change) -> Operation:
        entity = self.schema.entity(change.entity_set)
        target = self.schema.types[entity.navigations[change.attribute].target]
        value = None if change.value is None else change.value.body(target.key_properties[0])
        body = change.at.body(entity.key_properties[0]) | {change.attribute: value}
        identity = uuid.uuid4().hex
        return Operation(identity, "POST", change.entity_set, body, write_headers(message_id=identity))

    async def _holds(self, group: Sequence[Change]) -> bool:
        """Whether the shop has every value of the group; False also when it cannot be asked."""
        try:
            for entity_set, attribute in sorted({(change.entity_set, change.attribute) for change in group}):
                rows = [change for change in group if (change.entity_set, change.attribute) == (entity_set, attribute)]
                shown = await self._shown(entity_set, attribute, {change.at for change in rows})
                if any(change.at not in shown or shown[change.at] != change.value for change in rows):
                    return False
        except (RetryableError, ConfigurationError) as error:
            log.warning("the group could not be read back: %s", error)
            return False
        return True

    async def _shown(self, entity_set: str, attribute: str, names: Collection[Name]) -> dict[Name, Name | None]:
        """What these entities refer to now; those that are not there are absent."""
        navigation = self.schema.entity(entity_set).navigations[attribute]
        key = self.schema.types[navigation.target].key_properties[0]
        rows = await self._found(entity_set, names, expand=f"{HOME},{attribute}/{HOME}")
        return {name: Name.of(row[attribute], key) for name, row in rows.items()}

    async def _found(self, entity_set: str, names: Collection[Name], *, expand: str) -> dict[Name, dict[str, Any]]:
        key = self.schema.entity(entity_set).key_properties[0]
        codes = sorted({name.code for name in names})
        found: dict[Name, dict[str, Any]] = {}
        for start in range(0, len(codes), KEYS_PER_REQUEST):
            where = " or ".join(f"{key} eq {literal(code)}" for code in codes[start : start + KEYS_PER_REQUEST])
            async for page in self._client.pages(entity_set, {"$filter": where, "$expand": expand}):
                named = [(Name.of(row, key), row) for row in page]
                found |= {name: row for name, row in named if name is not None and name in names}
        return found

    async def _absent(self, group: Sequence[Change]) -> frozenset[Name]:
        """Values and fallbacks of the group that are not in the shop."""
        sets = {kind: entity_set for entity_set, kind in self.schema.sets.items()}
        wanted: dict[str, set[Name]] = {}
        for change in group:
            kind = self.schema.entity(change.entity_set).navigations[change.attribute].target
            names = {name for name in (change.value, change.fallback) if name is not None}
            wanted.setdefault(sets[kind], set()).update(names)
        held = [await self._found(name, values, expand=HOME) for name, values in wanted.items()]
        return frozenset(set().union(*wanted.values()) - set().union(*held))


def _helped(change: Change, absent: Collection[Name]) -> Change:
    """The row with what is set instead where its value is gone."""
    if change.value not in absent:
        return change
    if change.fallback is not None and change.fallback not in absent:
        return replace(change, value=change.fallback, helped=True)
    return replace(change, value=None, helped=True) if change.may_clear else change


def _delivered(change: Change) -> dict[str, Any]:
    found = delivered(change.at.text)
    return (
        found | {"code": "fallback", "reason": f"the value was gone, {change.value} was set"}
        if change.helped
        else found
    )


def _refused(change: Change, failure: Failure, absent: Collection[Name]) -> dict[str, Any]:
    """The reason of one row: what is wrong with it, or that it fell with its group."""
    text = f"{failure.status} {failure.code}: {failure.message}" + (f" (item {failure.item})" if failure.item else "")
    kept = f"group {change.group} was rolled back as a whole, all keep what they had"
    if change.value in absent:
        reason = f"{change.value} is not in the shop, and no fallback is; {kept}: {text}"
        return refusal("rejected", failure.code, failure.reason_class, reason, "value")
    if absent:
        return refusal("rejected", "group_refused", failure.reason_class, f"{kept}: {text}", "")
    return refusal("rejected", failure.code, failure.reason_class, f"{kept}: {text}", failure.fields)


async def problems(client: SapCommerceClient, target: Target, fields: Sequence[Field]) -> list[str]:
    """What of such a target the shop would refuse, one sentence each; empty when all is well."""
    try:
        check_fields(fields)
        TogetherOptions.of(target).check(await client.metadata())
    except ConfigurationError as error:
        return [str(error)]
    return []
