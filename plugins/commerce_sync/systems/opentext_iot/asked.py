"""What a source asks for, checked before anything is read: entity set, columns, options; and what a read gives back."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

from commerce_sync.errors import ConfigurationError
from commerce_sync.mapping import Source
from commerce_sync.systems.opentext_iot import columns
from commerce_sync.systems.opentext_iot.profile import Profile

EVENT_COLUMNS = (
    "id", "source", "subject", "type", "type_id", "time", "received", "time_basis", "message_id", "stream", "problem",
    "data",
)  # fmt: skip
DEVICE_COLUMNS = (
    "id", "version", "name", "description", "template_id", "template", "active", "lifecycle", "status", "serial",
    "tags", "created", "updated",
)  # fmt: skip
TEMPLATE_COLUMNS = (
    "id", "version", "name", "description", "active", "attribute_names", "event_types", "commands", "tags", "created",
)  # fmt: skip
PART_ROWS = 32_768


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """``options`` of a source.

    For events: types: only these event types, by name.   streams: only these streams, by id or name.
    event_sources: only what these event sources (by id or name) stand for.   lag_s: events younger than this are
    left to the next read, because the index may not have them yet.   retention_days: how far back a complete scan
    goes.   concurrency: windows at once.   For devices: tag, template: only those.   part_rows: rows per part.
    """

    types: list[str] = field(default_factory=list)
    streams: list[str] = field(default_factory=list)
    event_sources: list[str] = field(default_factory=list)
    lag_s: float = 120
    retention_days: float = 30
    concurrency: int = 4
    tag: str | None = None
    template: str | None = None
    part_rows: int = PART_ROWS

    @classmethod
    def of(cls, source: Source) -> ReadOptions:
        """Validate a source's options. Raises ConfigurationError naming the legal ones."""
        legal = [item.name for item in fields(cls)]
        if unknown := sorted(set(source.options) - set(legal)):
            raise ConfigurationError(f"source {source.name!r} has unknown options {unknown}; legal: {', '.join(legal)}")
        found = cls(**source.options)
        if not 1 <= found.concurrency <= 16:
            raise ConfigurationError(
                f"source {source.name!r}: option concurrency is {found.concurrency!r}; legal: 1 to 16"
            )
        return found


@dataclass(frozen=True, slots=True)
class Extracted:
    """What an extract did.

    rows: distinct keys in the batch.   complete: whether what is not in it does not exist (never of events).
    high_water: time up to which everything was read.   calls: requests made.   facts: counts of the read.
    """

    rows: int
    complete: bool
    high_water: datetime | None
    calls: int
    facts: dict[str, Any] = field(default_factory=dict)


def check_source(profile: Profile, source: Source) -> None:
    """Raise ConfigurationError for an entity set, column or modified column this client does not have."""
    sets: dict[str, tuple[str, ...]] = {
        "events": EVENT_COLUMNS,
        "devices": DEVICE_COLUMNS,
        "templates": TEMPLATE_COLUMNS,
    }
    if source.entity_set not in sets:
        raise ConfigurationError(
            f"source {source.name!r}: entity_set {source.entity_set!r} is not known; there are: {', '.join(sets)}"
        )
    select_list(source)
    # A gateway that cannot be asked for changed devices gives them all: what changed, and more.
    clocks: dict[str, list[str]] = {"events": [profile.events.window], "devices": ["updated"], "templates": []}
    legal = clocks[source.entity_set]
    if source.modified is not None and source.modified not in legal:
        raise ConfigurationError(
            f"source {source.name!r}: modified {source.modified!r} cannot be asked for with profile "
            f"{profile.profile}; {source.entity_set} go by {' or '.join(legal) or 'complete scans only (leave it out)'}"
        )


def select_list(source: Source) -> str:
    """SQL of the declared columns over what a read gives. Raises ConfigurationError naming the legal ones."""
    if source.entity_set == "events":
        given = {name: name for name in EVENT_COLUMNS}
        return columns.projection(source.columns, given=given, nested={"payload": "data"}, what="events")
    is_device = source.entity_set == "devices"
    names = DEVICE_COLUMNS if is_device else TEMPLATE_COLUMNS
    nested = {"attributes": "attributes"} if is_device else {}
    given = {name: name for name in names} | ({"problem": "NULL"} if nested else {})
    return columns.projection(source.columns, given=given, nested=nested, what=source.entity_set)


def id_of(name: str, known: dict[str, str], *, what: str) -> str:
    found = [key for key, text in known.items() if name in (key, text)]
    if len(found) != 1:
        raise ConfigurationError(f"{what} {name!r} is there {len(found)} times; there are: {', '.join(known.values())}")
    return found[0]
