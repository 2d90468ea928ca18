"""Change rows as a load sees them, and the outcome of each; which device a row means."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from commerce_sync.batches import Batch
from commerce_sync.errors import ConfigurationError, RejectedError
from commerce_sync.mapping import Field, Target
from commerce_sync.systems.opentext_iot.client import IotClient

LOAD_SCHEMA = pa.schema(
    [
        ("_key", pa.string()), ("outcome", pa.string()), ("target_id", pa.string()), ("created", pa.bool_()),
        ("code", pa.string()), ("reason_class", pa.string()), ("reason", pa.string()), ("fields", pa.string()),
    ]
)  # fmt: skip
PREFIXES = ("sku:", "customer:", "b2bunit:", "site:", "warehouse:", "order:", "grp:", "managed:")
"""Tags that are ours to write; those of others are never touched."""
Outcome = dict[str, Any]


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """``options`` of a target.

    concurrency: devices written at once, 1 to 16.   prefixes: of the tags a leg owns.   commands: names of the
    commands a leg may send, none by default.   stream: through which commands go, by id or name, where the gateway
    needs one.   done_s: how long to wait for a device to carry out a command; 0: accepted is enough.
    """

    concurrency: int = 4
    prefixes: tuple[str, ...] = PREFIXES
    commands: tuple[str, ...] = ()
    stream: str | None = None
    done_s: float = 0

    @classmethod
    def of(cls, target: Target) -> LoadOptions:
        """Validate a target's options. Raises ConfigurationError naming the legal ones."""
        legal = [item.name for item in fields(cls)]
        if unknown := sorted(set(target.options) - set(legal)):
            raise ConfigurationError(
                f"options of target {target.object!r}: unknown {unknown}; legal: {', '.join(legal)}"
            )
        given: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in target.options.items()
        }
        found = cls(**given)
        if not isinstance(found.concurrency, int) or not 1 <= found.concurrency <= 16:
            raise ConfigurationError(f"target option concurrency is {found.concurrency!r}; legal: 1 to 16")
        return found


@dataclass(frozen=True, slots=True)
class Row:
    """One change. ``values``: what is to be written, None clears; fields to leave alone are not in it."""

    key: str
    kind: str
    target_id: str | None
    values: dict[str, Any]

    @property
    def is_deletion(self) -> bool:
        return self.kind == "DELETED"

    def text(self, name: str) -> str | None:
        """A value as text, None when it is empty or missing."""
        value = self.values.get(name)
        return None if value is None or value == "" else str(value)


def chunks(changes: Batch, mapped: Sequence[Field], *, size: int) -> Iterator[list[Row]]:
    """The rows of a batch, some at a time."""
    for path in changes.paths():
        with fsspec.open(path, "rb") as source:
            for piece in pq.ParquetFile(source).iter_batches(batch_size=size):
                yield [row_of(values, mapped) for values in piece.to_pylist()]


def row_of(values: dict[str, Any], mapped: Sequence[Field]) -> Row:
    """A row of a change batch. ``_leave`` names fields that this row must not touch."""
    left = set(values.get("_leave") or ())
    kept = {
        item.name: values.get(item.name)
        for item in mapped
        if item.name not in left and not (values.get(item.name) is None and item.on_null == "leave")
    }
    return Row(values["_key"], values["_kind"], values.get("_target_id"), kept)


def delivered(row: Row, target_id: str | None, *, created: bool | None = False, code: str | None = None) -> Outcome:
    """The row is there."""
    return {"_key": row.key, "outcome": "delivered", "target_id": target_id, "created": created, "code": code}


def refused(row: Row, error: RejectedError) -> Outcome:
    """The row is not there, and why."""
    return {
        "_key": row.key, "outcome": "rejected", "target_id": row.target_id, "created": None, "code": error.code,
        "reason_class": error.reason_class, "reason": str(error),
    }  # fmt: skip


def unprocessed(row: Row, error: Exception) -> Outcome:
    """Nobody knows, or nothing was tried: the next run offers the row again."""
    return {
        "_key": row.key, "outcome": "unprocessed", "target_id": row.target_id, "created": None, "code": "no_answer",
        "reason_class": "transient", "reason": str(error),
    }  # fmt: skip


async def device_ids(client: IotClient, rows: Sequence[Row], *, external_id: str) -> dict[str, str | RejectedError]:
    """Row key -> the id of the device it means, or why there is none. Deletions go by what was delivered."""
    serials = {row.text(external_id) for row in rows if not row.is_deletion} if external_id == "serial" else set()
    known = await client.by_serial(sorted(serial for serial in serials if serial))
    found: dict[str, str | RejectedError] = {}
    for row in rows:
        value = row.text(external_id)
        if row.is_deletion:
            found[row.key] = row.target_id.partition(" ")[0] if row.target_id else _nothing(row, external_id)
        elif value is None:
            found[row.key] = _nothing(row, external_id)
        elif external_id == "serial":
            found[row.key] = _one_of(value, [device.id for device in known[value]])
        else:
            found[row.key] = value
    return found


def _nothing(row: Row, external_id: str) -> RejectedError:
    what = "was never delivered" if row.is_deletion else f"has no {external_id}"
    return RejectedError(f"{row.key} {what}, so no device is known", code="no_device", reason_class="reference")


def _one_of(serial: str, ids: list[str]) -> str | RejectedError:
    if len(ids) == 1:
        return ids[0]
    if ids:
        text = f"{len(ids)} devices have the serial number {serial}: {', '.join(sorted(ids)[:5])}"
        return RejectedError(text, code="ambiguous_device", reason_class="duplicate")
    return RejectedError(f"no device has the serial number {serial}", code="no_device", reason_class="reference")
