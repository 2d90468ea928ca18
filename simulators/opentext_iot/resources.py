"""The calls every classic resource shares: list, count, create, read, update, delete, tags, activation.

Which resource has which call stands in profiles/covisint_classic.yaml. Source: fact sheet 1.2-1.6, 3.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from simulators.opentext_iot import lists, references, shapes
from simulators.opentext_iot.call import Answer, Call, Handler, Route
from simulators.opentext_iot.documents import Body, Document
from simulators.opentext_iot.errors import ApiError, invalid, missing
from simulators.opentext_iot.expansion import expanded
from simulators.opentext_iot.profile import media, profile

DEFAULT_PAGE_SIZE = int(profile("covisint_classic")["paging"]["default_size"])
# nested resource -> the kind above it, and the field of the document that names it
PARENTS = {
    "thresholdPolicy": ("eventTemplate", "eventTemplateId"),
    "groupEntitlement": ("group", "groupId"),
    "groupMembership": ("group", "groupId"),
    "documentInfo": ("stream", "streamId"),
}
Finish = Callable[[Call, Body], None]


@dataclass(frozen=True, slots=True)
class Resource:
    """One classic resource; ``finish`` completes a new body, ``verify`` judges new and changed ones."""

    kind: str
    path: str
    media: str
    calls: tuple[str, ...]
    finish: Finish | None = None
    verify: Finish | None = None
    before: Callable[[Call], None] | None = None  # runs ahead of lists and counts

    def routes(self) -> list[Route]:
        """Its routes; /count comes before the id it would be taken for."""
        own: tuple[str, ...] = (media(self.media),)
        if self.kind == "documentInfo":
            own = (*own, media("stream.document-info.v1"))
        table: list[tuple[str, str, str, Handler, tuple[str, ...]]] = [
            ("count", "GET", "/count", self.count, ("text/plain", "application/json")),
            ("list", "GET", "", self.listing, own),
            ("create", "POST", "", self.create, own),
            ("read", "GET", "/{id}", self.read, own),
            ("update", "PUT", "/{id}", self.update, own),
            ("delete", "DELETE", "/{id}", self.delete, own),
            ("tags", "PUT", "/{id}/tags/{tag}", self.tag, own),
            ("tags", "DELETE", "/{id}/tags/{tag}", self.untag, own),
            ("activate", "POST", "/{id}/tasks/activate", self.activate, own),
            ("activate", "POST", "/{id}/tasks/deactivate", self.deactivate, own),
        ]
        return [
            Route(method, self.path + tail, handler, accepts=accepts, sends=own)
            for name, method, tail, handler, accepts in table
            if name in self.calls
        ]

    def _selection(self, call: Call) -> tuple[str, list[Any]]:
        if self.before is not None:
            self.before(call)
        strict = call.platform.settings["unknown_filters"] == "reject"
        sql, values = lists.selection(self.kind, call.query, shown_ms=call.platform.shown_ms(), strict=strict)
        if self.kind in PARENTS:
            parent, field = PARENTS[self.kind]
            call.platform.documents.get(parent, call.given["parent"])
            sql, values = f"{sql} AND json_extract(body, '$.{field}') = ?", [*values, call.given["parent"]]
        return sql, values

    def count(self, call: Call) -> Answer:
        sql, values = self._selection(call)
        number = call.platform.documents.count(self.kind, where=sql, values=values)
        return Answer(body=str(number))

    def listing(self, call: Call) -> Answer:
        max_size = int(call.platform.settings["max_page_size"])
        found = lists.listed(
            call.platform.documents,
            self.kind,
            call.query,
            where=self._selection(call),
            max_size=max_size,
            default_size=DEFAULT_PAGE_SIZE,
        )
        return Answer(body=expanded(call, found))

    def create(self, call: Call) -> Answer:
        assert call.grant is not None
        body = call.document()
        if "version" in body:
            raise invalid("version must be absent from a new resource")
        body = shapes.given(body)
        shapes.check(self.kind, body, types=call.platform.settings["data_types"])
        if self.verify is not None:
            self.verify(call, body)
        body["isActive"] = False  # activation is a task of its own
        body.setdefault("tags", [])
        if self.kind in PARENTS:
            parent, field = PARENTS[self.kind]
            body[field] = call.platform.documents.get(parent, call.given["parent"]).id
        references.check(call.platform, self.kind, body)
        if self.finish is not None:
            self.finish(call, body)
        made = call.platform.documents.create(self.kind, shapes.signed(body, call.grant))
        return Answer(int(call.platform.settings["create_status"]), expanded(call, [made])[0])

    def _wanted(self, call: Call) -> Document:
        found = call.platform.documents.get(self.kind, call.given["id"])
        if self.kind in PARENTS and found.body.get(PARENTS[self.kind][1]) != call.given["parent"]:
            raise missing(found.id)
        return found

    def read(self, call: Call) -> Answer:
        return Answer(body=expanded(call, [self._wanted(call)])[0])

    def update(self, call: Call) -> Answer:
        """Replace the whole document; a stale version is a conflict."""
        found, body = self._wanted(call), call.document()
        checked_version(call, found, body)
        if body.get("id", found.id) != found.id:
            raise invalid(f"id is {body['id']!r} in the body and {found.id!r} in the path")
        changed = shapes.given(body)
        shapes.check(self.kind, changed, types=call.platform.settings["data_types"])
        if self.verify is not None:
            self.verify(call, changed)
        kept = {name: found.body[name] for name in _kept(call, self.kind) if name in found.body}
        changed |= kept
        references.check(call.platform, self.kind, changed, before=found.body)
        found.body = changed
        return Answer(body=expanded(call, [call.platform.documents.write(found)])[0])

    def delete(self, call: Call) -> Answer:
        found = self._wanted(call)
        call.platform.documents.delete(self.kind, found.id)
        if self.kind == "stream":
            call.platform.database.db.execute("DELETE FROM attached WHERE stream = ?", (found.id,))
        return Answer(204)

    def tag(self, call: Call) -> Answer:
        found, tag = self._wanted(call), _tag(call)
        if tag not in found.body.setdefault("tags", []):
            found.body["tags"].append(tag)
            call.platform.documents.write(found)
        return Answer(body=expanded(call, [found])[0])

    def untag(self, call: Call) -> Answer:
        found, tag = self._wanted(call), _tag(call)
        if tag in found.body.get("tags", []):
            found.body["tags"].remove(tag)
            call.platform.documents.write(found)
        return Answer(body=expanded(call, [found])[0])

    def activate(self, call: Call) -> Answer:
        return self._switched(call, is_active=True)

    def deactivate(self, call: Call) -> Answer:
        return self._switched(call, is_active=False)

    def _switched(self, call: Call, *, is_active: bool) -> Answer:
        """Idempotent: a resource that is already so keeps its version."""
        found = self._wanted(call)
        if found.body.get("isActive") is not is_active:
            found.body["isActive"] = is_active
            if self.kind == "device":
                found.body["state"] = device_state(is_active=is_active)
            call.platform.documents.write(found)
        return Answer(body=expanded(call, [found])[0])


def device_state(*, is_active: bool) -> Body:
    """Names of the fields are verified, their values are not."""
    if is_active:
        return {"lifecycleState": "ACTIVE", "operationalState": "ONLINE"}
    return {"lifecycleState": "INACTIVE", "operationalState": "OFFLINE"}


def checked_version(call: Call, found: Document, body: Body) -> None:
    """Raise the conflict of a stale version; the fault version_conflict writes in between."""
    for rule in call.platform.faults.active("version_conflict"):
        if rule.spend():
            call.platform.documents.write(found)
            break
    version = body.get("version")
    if version is None:
        raise invalid("version is required")
    if str(version) != found.version_text:
        status = int(call.platform.settings["conflict_status"])
        raise ApiError(status, f"The version {str(version)[:80]} of {found.id} is stale; it is {found.version_text}")


def _kept(call: Call, kind: str) -> list[str]:
    """Fields a PUT does not change."""
    kept = ["creator", "creatorAppId", "realm", "isActive"]
    if call.platform.settings["put_tags"] == "ignore":
        kept.append("tags")
    if kind == "device":
        kept += ["parentDeviceTemplateId", "state"]
    if kind in PARENTS:
        kept.append(PARENTS[kind][1])
    return kept


def _tag(call: Call) -> str:
    tag = call.given["tag"].strip()
    if not shapes.is_text(tag):
        raise invalid("a tag must be a text of at most 1000 characters")
    return tag
