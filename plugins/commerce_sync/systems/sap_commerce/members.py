"""Membership in customer groups, one record per group and member, by OCC.

Target: ``object: CustomerGroupMember, options: {style: customer_group, site: ...}``; fields ``group`` (uid of a user
group) and ``member`` (uid of a user). The target id is ``group|member``, so a delete knows both. Members are added
many at a time (PATCH adds and never takes out) and removed one by one (DELETE); both may be repeated without harm. The
connection needs an OAuth client with ROLE_TRUSTED_CLIENT or ROLE_CUSTOMERMANAGERGROUP.
Source: OCC "Commerce Webservices 2.2.9", customer groups; errors by ``errors[0].type, subject, subjectType``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import fsspec
import pyarrow.parquet as pq

from commerce_sync.batches import Batch, BatchWriter
from commerce_sync.errors import ConfigurationError, RetryableError
from commerce_sync.mapping import Field, Target
from commerce_sync.systems.jobs import Loaded
from commerce_sync.systems.rest import OK, Response
from commerce_sync.systems.sap_commerce.client import SapCommerceClient
from commerce_sync.systems.sap_commerce.outcomes import LOAD_SCHEMA, delivered, refusal

if TYPE_CHECKING:
    import pyarrow as pa

STYLE = "customer_group"
FIELDS = ("group", "member")
ANSWERED = frozenset({*OK, 400, 404, 409})
Outcome = dict[str, Any]


@dataclass(frozen=True, slots=True)
class MemberOptions:
    """``options`` of such a target.

    site: base site of the OCC address.   occ_path: what stands before it.   create_groups: make a group that is not
    there, named by its uid.   members_per_call: members added by one call.
    """

    style: str
    site: str
    occ_path: str = "/occ/v2"
    create_groups: bool = False
    members_per_call: int = 200

    @classmethod
    def of(cls, target: Target) -> MemberOptions:
        """Validate a target's options. Raises ConfigurationError naming the legal ones."""
        legal = [item.name for item in fields(cls)]
        unknown = sorted(set(target.options) - set(legal))
        if unknown or "site" not in target.options:
            wrong = f"unknown {unknown}" if unknown else "no 'site' (the base site of the OCC address)"
            raise ConfigurationError(f"options of target {target.object!r} have {wrong}; legal: {', '.join(legal)}")
        if isinstance(target.on_delete, dict):
            raise ConfigurationError(f"on_delete of target {target.object!r} sets fields; legal: ignore, delete")
        found = cls(**target.options)
        if not isinstance(found.members_per_call, int) or not 1 <= found.members_per_call <= 1000:
            raise ConfigurationError(f"target option members_per_call is {found.members_per_call!r}; legal: 1 to 1000")
        return found


@dataclass(frozen=True, slots=True)
class Change:
    """One row of the change batch; ``gone`` is the membership it had under its known target id."""

    key: str
    group: str | None
    member: str | None
    gone: tuple[str, str] | None
    removes: bool

    @property
    def target_id(self) -> str:
        return joined(str(self.group), str(self.member))


def is_membership(target: Target) -> bool:
    """Whether a target is written the way of this module."""
    return target.options.get("style") == STYLE


def joined(group: str, member: str) -> str:
    """``group|member``, with ``%`` and ``|`` inside either percent-encoded."""
    return "|".join(part.replace("%", "%25").replace("|", "%7C") for part in (group, member))


def parted(target_id: str) -> tuple[str, str] | None:
    """Group and member of a target id, None when it is none."""
    parts = [part.replace("%7C", "|").replace("%25", "%") for part in target_id.split("|")]
    return (parts[0], parts[1]) if len(parts) == 2 and all(parts) else None


async def load(
    client: SapCommerceClient, target: Target, fields: Sequence[Field], changes: Batch, *, into: BatchWriter
) -> Loaded:
    """Write the memberships and one outcome per row into ``into``.

    Raises ConfigurationError for wrong options or refused credentials, RetryableError when nothing got through.
    """
    import pyarrow as pa

    _check_fields(fields)
    work = Memberships(client, MemberOptions.of(target), ignores=target.on_delete == "ignore")
    await work.run(list(_changes(changes)))
    rows = [{"_key": key, **outcome} for key, outcome in work.outcomes.items()]
    counts: dict[str, int] = defaultdict(int)
    for row in rows:
        counts[row["outcome"]] += 1
    if work.stopped and not counts["delivered"]:
        raise work.stopped
    into.add(pa.Table.from_pylist(rows, schema=LOAD_SCHEMA))
    return Loaded(counts["delivered"], counts["rejected"], counts["unprocessed"])


def _check_fields(fields: Sequence[Field]) -> None:
    names = [item.name for item in fields]
    if sorted(names) != sorted(FIELDS):
        raise ConfigurationError(f"a target of style {STYLE} has the fields {', '.join(FIELDS)}; it has: {names}")


def _changes(changes: Batch) -> Iterator[Change]:
    columns = ["_key", "_kind", "_target_id", *FIELDS]
    for path in changes.paths():
        with fsspec.open(path, "rb") as source:
            for piece in pq.ParquetFile(source).iter_batches(columns=columns):
                yield from map(_change, piece.to_pylist())


def _change(row: Mapping[str, Any]) -> Change:
    known = parted(row["_target_id"]) if row["_target_id"] else None
    group, member = row["group"] or None, row["member"] or None
    gone = None if known == (group, member) else known
    return Change(row["_key"], group, member, gone, row["_kind"] == "DELETED")


@dataclass
class Memberships:
    """One load: groups one after the other, so that no two calls write one group at once."""

    client: SapCommerceClient
    options: MemberOptions
    ignores: bool
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    stopped: RetryableError | None = None
    _made: set[str] = field(default_factory=set)
    """Groups this load tried to make: one whose uid belongs to something else stays unknown."""

    async def run(self, changes: Sequence[Change]) -> None:
        """Settle every change. Additions first: who moves from one group to another is never in none."""
        groups: dict[str, list[Change]] = defaultdict(list)
        for change in changes:
            if change.removes:
                continue
            if change.group is None or change.member is None:
                reason = "a membership needs a group and a member; one of them is null"
                self.outcomes[change.key] = refusal("rejected", "missing_key", "validation", reason, "group,member")
            else:
                groups[change.group].append(change)
        for group in sorted(groups):
            for start in range(0, len(groups[group]), self.options.members_per_call):
                await self._add(group, groups[group][start : start + self.options.members_per_call])
        for change in changes:
            await self._take_out(change)

    async def _add(self, group: str, rows: Sequence[Change]) -> None:
        """Add members by one call; one the shop does not know is set aside and the others are sent again."""
        while rows:
            try:
                answer = await self._call("PATCH", self._members(group), [row.member for row in rows])
                error = _error(answer)
                if _unknown(error) == "group" and self.options.create_groups and group not in self._made:
                    error = await self._create(group)
                    if error is None:
                        continue
            except RetryableError as lost:
                self.stopped = lost
                await self._read_back(group, rows)
                return
            if error is None:
                self._note(rows, lambda row: delivered(row.target_id))
                return
            rows = await self._refused(group, rows, error)

    async def _refused(self, group: str, rows: Sequence[Change], error: Mapping[str, Any]) -> Sequence[Change]:
        """Note what an error is about; gives the rows that may be sent again without it."""
        about = [row for row in rows if _unknown(error) == "user" and row.member == error.get("subject")]
        if _unknown(error) == "group" or about or len(rows) == 1:
            faulty = about or rows
            self._note(faulty, lambda _: _rejected(error, "group" if _unknown(error) == "group" else "member"))
            return [row for row in rows if row not in faulty]
        # The error names no row: halves find the one at fault.
        middle = len(rows) // 2
        await self._add(group, rows[:middle])
        return rows[middle:]

    async def _create(self, group: str) -> Mapping[str, Any] | None:
        """Make a group. Gives the shop's error, None when the group is there now, by whomever."""
        self._made.add(group)
        body = {"uid": group, "name": group}
        answer = await self.client.call(
            "POST", self._address("customergroups"), json=body, ok=ANSWERED, repeatable=True, route="occ/customergroups"
        )
        error = _error(answer)
        return None if error is None or "Duplicate" in str(error.get("type")) else error

    async def _take_out(self, change: Change) -> None:
        earlier = self.outcomes.get(change.key, {})
        if change.removes and change.gone is None:
            self.outcomes[change.key] = self._unknown_membership(change)
        elif change.removes and self.ignores:
            self.outcomes[change.key] = delivered(joined(*change.gone or ("", ""))) | {"code": "ignored"}
        elif change.gone is not None and earlier.get("outcome", "delivered") == "delivered":
            group, member = change.gone
            found = await self._remove(group, member)
            if found["outcome"] != "delivered" or change.removes:
                self.outcomes[change.key] = found

    def _unknown_membership(self, change: Change) -> Outcome:
        if self.ignores:
            return delivered(None) | {"code": "ignored"}
        reason = f"{change.key} is to be deleted but its group and member in the shop are not known"
        return refusal("rejected", "missing_target_id", "reference", reason, "")

    async def _remove(self, group: str, member: str) -> Outcome:
        """Take one member out; a group or user that is not there has no such member."""
        try:
            answer = await self._call("DELETE", f"{self._members(group)}/{quote(member, safe='')}", None)
        except RetryableError as lost:
            self.stopped = lost
            held = await self._members_held(group)
            if held is not None and member not in held:
                return delivered(joined(group, member))
            return refusal("unprocessed", "unprocessed", "transient", str(lost), "")
        error = _error(answer)
        if error is None or _unknown(error) or answer.status == 404:
            return delivered(joined(group, member))
        return _rejected(error, "member")

    async def _read_back(self, group: str, rows: Sequence[Change]) -> None:
        """After a lost answer: who is in the group by now was added, the others are open."""
        held = await self._members_held(group) or set()
        lost = refusal("unprocessed", "unprocessed", "transient", str(self.stopped), "")
        self._note(rows, lambda row: delivered(row.target_id) if row.member in held else dict(lost))

    async def _members_held(self, group: str) -> set[str] | None:
        """Uids in a group; None when that cannot be found out now. Nobody is in a group that is not there."""
        try:
            return await held_by(self.client, self.options, group)
        except RetryableError:
            return None

    def _note(self, rows: Sequence[Change], outcome: Any) -> None:
        self.outcomes |= {row.key: outcome(row) for row in rows}

    async def _call(self, method: str, path: str, members: Sequence[str | None] | None) -> Response:
        body = None if members is None else {"members": [{"uid": member} for member in dict.fromkeys(members)]}
        route = "occ/customergroups/members"
        return await self.client.call(method, path, json=body, ok=ANSWERED, repeatable=True, route=route)

    def _members(self, group: str) -> str:
        return self._address(f"customergroups/{quote(group, safe='')}/members")

    def _address(self, path: str) -> str:
        return address(self.options, path)


def address(options: MemberOptions, path: str) -> str:
    """A path of the OCC API of the target's site."""
    return f"{options.occ_path.strip('/')}/{quote(options.site, safe='')}/{path}"


async def held_by(client: SapCommerceClient, options: MemberOptions, group: str) -> set[str]:
    """Uids of a group's members; none when there is no such group."""
    path = address(options, f"customergroups/{quote(group, safe='')}")
    answer = await client.call(
        "GET", path, query={"fields": "members(uid)"}, ok=ANSWERED, route="occ/customergroups/group"
    )
    if _error(answer) is not None:
        return set()
    return {str(item.get("uid")) for item in answer.json().get("members") or []}


async def current(client: SapCommerceClient, target: Target, fields: Sequence[Field], keys: Sequence[str]) -> pa.Table:
    """``_target_key`` and the asked fields (``group``, ``member``) of those memberships that are there.

    keys: ``group|member``.
    """
    import pyarrow as pa

    options = MemberOptions.of(target)
    asked = {key: pair for key in keys if (pair := parted(key))}
    held = {group: await held_by(client, options, group) for group in sorted({pair[0] for pair in asked.values()})}
    rows = [
        {"_target_key": key, "group": group, "member": member}
        for key, (group, member) in asked.items()
        if member in held[group]
    ]
    names = ["_target_key", *(item.name for item in fields)]
    schema = pa.schema([(name, pa.string()) for name in names])
    return pa.Table.from_pylist([{name: row[name] for name in names} for row in rows], schema=schema)


async def problems(client: SapCommerceClient, target: Target, fields: Sequence[Field]) -> list[str]:
    """What of such a target the shop would refuse, one sentence each; empty when all is well."""
    try:
        _check_fields(fields)
        options = MemberOptions.of(target)
        path = address(options, "customergroups")
        answer = await client.call("GET", path, query={"pageSize": 1}, ok=ANSWERED, route="occ/customergroups")
    except ConfigurationError as error:
        return [str(error)]
    refused = _error(answer)
    return [] if refused is None else [f"site {options.site!r}: {refused.get('type')}: {refused.get('message')}"]


def _error(answer: Response) -> Mapping[str, Any] | None:
    """The first error of an OCC answer, None when it is a success."""
    if answer.status in OK:
        return None
    plain = {"type": f"http_{answer.status}", "message": answer.body[:200].decode("utf-8", "replace")}
    try:
        errors = answer.json()["errors"]
    except (RetryableError, KeyError, TypeError):
        return plain
    return dict(errors[0]) if errors and isinstance(errors[0], dict) else plain


def _unknown(error: Mapping[str, Any] | None) -> str | None:
    """``user`` or ``group`` when the error says that there is none."""
    if error is None or "Unknown" not in str(error.get("type")):
        return None
    return "group" if "group" in str(error.get("subjectType", error.get("message", ""))).lower() else "user"


def _rejected(error: Mapping[str, Any], name: str) -> Outcome:
    code = str(error.get("type"))
    reason_class = "reference" if _unknown(error) else "validation"
    return refusal("rejected", code, reason_class, f"{code}: {error.get('message')}", name)
