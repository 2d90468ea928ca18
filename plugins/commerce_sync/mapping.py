"""What one leg moves: the contents of a mapping file as frozen dataclasses.

``mapping_file.load`` reads and validates the YAML; this module only holds the shapes every other floor speaks about.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

from commerce_sync.budget import Priority

OnNull = Literal["clear", "leave"]
"""What a null value does at the target: empty the field there, or leave it as it is."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where records come from.

    service: the integration object of SAP Commerce, the feed of the inbox; other systems need none.
    columns: column name -> DuckDB type text, nested as ``STRUCT(uid VARCHAR)`` or ``STRUCT(...)[]``; a struct or list
    of structs is read through the navigation property of that name.   key: the column that identifies a record.
    modified: the column delta reads go by, or None when only complete scans are possible.
    overlap: how far below the high water a delta read begins.   owner: SQL naming whom a record belongs to, for legs
    that aggregate (see ``Mapping.aggregate``), else None; ``'*'`` makes the record visible to every owner.
    options: passed to the system as they are.
    """

    name: str
    system: str
    conn_id: str
    entity_set: str
    columns: dict[str, str]
    key: str
    service: str = ""
    modified: str | None = None
    filter: str | None = None
    overlap: timedelta = timedelta(minutes=5)
    owner: str | None = None
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Lookup:
    """A reference to a parent by its external id: ``Account.Commerce_Id__c``."""

    object: str
    external_id: str


@dataclass(frozen=True, slots=True)
class Shared:
    """A value that may be edited on both sides of a pair of legs.

    name: what both legs of the pair call it; several fields of a leg under one name are one value, their texts joined
    by a blank, and are sent or left alone together.   owner: the system whose value wins when both sides changed it.
    """

    name: str
    owner: str


@dataclass(frozen=True, slots=True)
class Field:
    """One field of the target: its name there, the SQL that computes it, what null means, whether it is personal.

    shared: set when the other side may edit the value too (see ``Mapping.pair``).
    """

    name: str
    value: str
    on_null: OnNull = "clear"
    pii: bool = False
    lookup: Lookup | None = None
    shared: Shared | None = None


@dataclass(frozen=True, slots=True)
class Compare:
    """Marks that a leg leaves in its target's records, so that both sides can be compared by sums (see ``comparing``).

    mark, bucket, cell: fields of the target that hold them.   edits: whose edits are looked for: of all but our own
    user, of everybody, or of nobody.   on_missing, on_edited: whether the record is sent again.   on_double,
    on_resurrected: whether the leg's ``on_delete`` is done to it.
    """

    mark: str = "Sync_Mark__c"
    bucket: str = "Sync_Bucket__c"
    cell: str = "Sync_Cell__c"
    edits: Literal["others", "all", "none"] = "others"
    on_missing: Literal["restore", "report"] = "restore"
    on_edited: Literal["restore", "report"] = "restore"
    on_double: Literal["delete", "report"] = "report"
    on_resurrected: Literal["delete", "report"] = "delete"

    @property
    def names(self) -> tuple[str, str, str]:
        """The fields, in the order mark, bucket, cell."""
        return self.mark, self.bucket, self.cell


@dataclass(frozen=True, slots=True)
class Target:
    """Where records go.

    on_delete: ``ignore``, ``delete``, or a dict of target field -> SQL literal to set.   on_leave: what happens to a
    delivered record that is still there but no longer meets the mapping's ``where``: ``ignore`` leaves the target as it
    is, ``delete`` does what ``on_delete`` says.   bulk_from: number of changes
    from which the system's bulk interface is used.   options: passed to the system as they are.
    compare: set when the records carry marks.
    """

    system: str
    conn_id: str
    object: str
    external_id: str
    on_delete: str | dict[str, str] = "ignore"
    on_leave: Literal["ignore", "delete"] = "ignore"
    bulk_from: int = 2000
    options: dict[str, Any] = field(default_factory=dict)
    compare: Compare | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """One Great Expectations expectation: its class name and arguments, and what a failure does.

    on_fail: ``quarantine`` sets the failing rows aside, ``stop`` stops the leg.
    """

    expect: str
    arguments: dict[str, Any]
    on_fail: Literal["quarantine", "stop"]


@dataclass(frozen=True, slots=True)
class RowRule:
    """A named SQL condition every change has to meet; rows where it is not true are quarantined (or stop the leg)."""

    name: str
    sql: str
    on_fail: Literal["quarantine", "stop"] = "quarantine"


@dataclass(frozen=True, slots=True)
class Checks:
    """The gate of a leg: expectations on the source batch and on the changes, and SQL rules on the changes."""

    source: tuple[Check, ...] = ()
    changes: tuple[Check, ...] = ()
    rows: tuple[RowRule, ...] = ()


@dataclass(frozen=True, slots=True)
class Limit:
    """A guard's limit: a share of the rows (0.05 is 5 %), an absolute number, or both (the larger one holds)."""

    share: float | None = None
    absolute: int | None = None

    def allowed(self, rows: int) -> int:
        """How many of ``rows`` may be affected."""
        by_share = int(rows * self.share) if self.share is not None else 0
        return max(by_share, self.absolute or 0)


@dataclass(frozen=True, slots=True)
class Guards:
    """Limits of a leg; ``None`` means no limit.

    Each allows a few rows whatever the share: one bad row that is offered again would stop every small run.
    """

    max_deletes: Limit | None = Limit(share=0.05, absolute=20)
    max_changes: Limit | None = None
    max_rejected: Limit | None = Limit(share=0.10, absolute=20)
    max_quarantined: Limit | None = Limit(share=0.10, absolute=20)


@dataclass(frozen=True, slots=True)
class Approval:
    """What of a run needs a person's yes before it is sent.

    rows: SQL condition over the changes; rows that meet it are held.   changes: with more changes than this the whole
    run is held; without an answer nothing is sent.   timeout: how long to wait for the answer.
    """

    rows: str | None = None
    changes: Limit | None = None
    timeout: timedelta = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Retries:
    """How often a rejected row is offered again, and how long the first pause is (it doubles each time)."""

    attempts: int = 5
    first_pause: timedelta = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Shards:
    """How a large load is split (see ``sharding``).

    count: into how many at most.   rows: changes below which a shard is not worth a task of its own.
    by: target field whose equal values stay in one shard (children of one parent), None for the record's key.
    """

    count: int
    rows: int = 10_000
    by: str | None = None


@dataclass(frozen=True, slots=True)
class Mapping:
    """One leg: from where, which key, to where, which fields, which checks, which guards.

    key: SQL over the source columns (or the aggregate's columns) that gives the record's key in the ledger.
    where: SQL condition, rows that do not meet it are filtered.   aggregate: SQL text of the file beside the YAML, run
    over the replica of the sources; its result rows are what gets mapped.   transform: ``package.module:function``
    applied to the mapped changes as a pandas frame.   complete_scan: cron expression of the periodic complete scan.
    memory: columns of the aggregate (name -> DuckDB type) that its SQL finds, as the last settled run had them, in a
    relation named ``before``.   pair: name shared with the leg of the other direction; both have the same keys.
    priority: which calls come first when a system's allowance is short, None for the flow's.   within: how long the leg
    may wait for others then; the flow's.
    undo: whether runs keep before-images, so that they can be undone; None: as the site says.
    shards: how a large load is split over tasks, None for one task whatever its size.
    """

    leg: str
    path: str
    version: int
    sources: tuple[Source, ...]
    key: str
    target: Target
    fields: tuple[Field, ...]
    where: str | None = None
    aggregate: str | None = None
    transform: str | None = None
    complete_scan: str | None = None
    checks: Checks = field(default_factory=Checks)
    guards: Guards = field(default_factory=Guards)
    retries: Retries = field(default_factory=Retries)
    memory: dict[str, str] = field(default_factory=dict)
    pair: str | None = None
    approval: Approval | None = None
    priority: Priority | None = None
    within: timedelta | None = None
    undo: bool | None = None
    shards: Shards | None = None

    @property
    def source(self) -> Source:
        """The first (for most legs the only) source."""
        return self.sources[0]

    @property
    def personal(self) -> frozenset[str]:
        """Names of the target fields that hold personal data."""
        return frozenset(item.name for item in self.fields if item.pii)
