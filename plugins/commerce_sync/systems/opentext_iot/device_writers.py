"""Attributes and tags of devices that are there already: rows of one device become one plan."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from commerce_sync.errors import ConfigurationError, RejectedError
from commerce_sync.mapping import Field, Target
from commerce_sync.systems.opentext_iot.changing import Change, change
from commerce_sync.systems.opentext_iot.client import IotClient
from commerce_sync.systems.opentext_iot.documents import AttributeType, Device, checked
from commerce_sync.systems.opentext_iot.rows import (
    LoadOptions,
    Outcome,
    Row,
    delivered,
    device_ids,
    refused,
)

EXTERNAL_IDS = ("id", "serial")


class _Writer:
    """What both share: which device, one change per device, an outcome per row."""

    def __init__(self, client: IotClient, target: Target, fields: Sequence[Field]) -> None:
        self.client = client
        self.target = target
        self.options = LoadOptions.of(target)
        self.fields = [item.name for item in fields if item.name != target.external_id]

    async def groups(self, rows: list[Row]) -> tuple[dict[str, list[Row]], list[Outcome]]:
        """Rows by device, and the outcomes of rows that mean none."""
        found = await device_ids(self.client, rows, external_id=self.target.external_id)
        groups: dict[str, list[Row]] = {}
        outcomes = []
        for row in rows:
            device = found[row.key]
            if row.is_deletion and self.target.on_delete == "ignore":
                outcomes.append(delivered(row, row.target_id, code="ignored"))
            elif isinstance(device, str):
                groups.setdefault(device, []).append(row)
            else:
                outcomes.append(refused(row, device))
        return groups, outcomes

    async def write(self, device_id: str, rows: list[Row]) -> list[Outcome]:
        """Write the rows of one device; several that are refused together are tried one by one."""
        try:
            return await self._write(device_id, rows)
        except RejectedError as error:
            if len(rows) == 1:
                return [self._refusal(rows[0], error)]
            return [outcome for row in rows for outcome in await self.write(device_id, [row])]

    def _refusal(self, row: Row, error: RejectedError) -> Outcome:
        if row.is_deletion and error.reason_class == "reference":
            return delivered(row, row.target_id, code="gone")
        return refused(row, error)

    async def _write(self, device_id: str, rows: list[Row]) -> list[Outcome]:
        raise NotImplementedError


class AttributeWriter(_Writer):
    """Target ``device_attributes``: every field but the external id is an attribute of that name.

    on_delete: ``delete`` clears the leg's attributes, a dict sets them; the device itself stays.
    """

    async def prepare(self) -> None:
        """Look at the attribute types. Raises ConfigurationError when a field has none that is active."""
        known = await self.client.attribute_types()
        if wrong := attribute_problems(self.client, known, self.fields):
            raise ConfigurationError(f"target device_attributes: {'; '.join(wrong)}")
        self._types = {name: known.get(name) or AttributeType(name) for name in self.fields}
        self._gone = _deletion_values(self.target, self.fields)

    async def _write(self, device_id: str, rows: list[Row]) -> list[Outcome]:
        values: dict[str, Any] = {}
        for row in rows:
            given = self._gone if row.is_deletion else row.values
            values |= {name: checked(given[name], self._types[name]) for name in self.fields if name in given}
        await change(self.client, device_id, lambda _device: Change(values))
        return [delivered(row, device_id) for row in rows]


def attribute_problems(client: IotClient, types: dict[str, AttributeType], names: Sequence[str]) -> list[str]:
    """One sentence per attribute that cannot be written; a gateway without a list of types judges row by row."""
    found: list[str] = []
    if not client.tells_types:
        return found
    for name in names:
        if name not in types:
            found.append(f"there is no attribute type {name!r}; there are: {', '.join(sorted(types))}")
        elif not types[name].is_active:
            found.append(f"attribute type {name!r} is not active; activate it on the platform")
    return found


def _deletion_values(target: Target, names: Sequence[str]) -> dict[str, Any]:
    if not isinstance(target.on_delete, dict):
        return dict.fromkeys(names)
    import duckdb

    return {name: duckdb.execute(f"SELECT {text}").fetchall()[0][0] for name, text in target.on_delete.items()}


class TagWriter(_Writer):
    """Target ``device_tags``, in one of two shapes.

    Field ``tag``: each row is one tag of one device; another tag under the same key is a swap, a deletion takes it
    away.   Field ``tags`` (a list): each row is all tags a device should have of the leg's prefixes.
    """

    async def prepare(self) -> None:
        """Raises ConfigurationError unless exactly one of the two shapes is mapped."""
        if wrong := tag_problems(self.fields):
            raise ConfigurationError(f"target device_tags: {'; '.join(wrong)}")

    async def _write(self, device_id: str, rows: list[Row]) -> list[Outcome]:
        add: set[str] = set()
        remove: set[str] = set()
        outcomes = []
        for row in rows:
            wanted = self._wanted(row)
            old_device, _, old_tag = (row.target_id or "").partition(" ")
            if old_tag and old_device != device_id:
                await self._take_away(old_device, old_tag)
            elif old_tag:
                remove.add(old_tag)
            add |= wanted
            outcomes.append(delivered(row, self._target_id(device_id, wanted)))
        whole = "tags" in self.fields and any("tags" in row.values or row.is_deletion for row in rows)
        prefixes = self.options.prefixes

        def plan(device: Device) -> Change:
            others = {tag for tag in device.tags if whole and tag.startswith(prefixes)}
            return Change(add=frozenset(add), remove=frozenset(remove | others - add))

        await change(self.client, device_id, plan)
        return outcomes

    def _wanted(self, row: Row) -> set[str]:
        if row.is_deletion:
            return set()
        given = row.values.get("tags") if "tags" in self.fields else [row.text("tag")]
        found = {str(tag).strip() for tag in given or () if tag}
        if strange := sorted(tag for tag in found if not tag.startswith(self.options.prefixes)):
            raise RejectedError(
                f"tag {strange[0]!r} is not ours to write; legal prefixes: {', '.join(self.options.prefixes)}",
                code="foreign_tag", reason_class="validation",
            )  # fmt: skip
        return found

    def _target_id(self, device_id: str, wanted: set[str]) -> str:
        return f"{device_id} {next(iter(wanted))}" if "tag" in self.fields and wanted else device_id

    async def _take_away(self, device_id: str, tag: str) -> None:
        try:
            await change(self.client, device_id, lambda _device: Change(remove=frozenset({tag})))
        except RejectedError as error:
            if error.reason_class != "reference":
                raise


def tag_problems(names: Sequence[str]) -> list[str]:
    """What is wrong with the fields of a tag target."""
    return (
        []
        if list(names) in (["tag"], ["tags"])
        else [f"map exactly one of tag, tags beside the device, not {', '.join(names)}"]
    )
