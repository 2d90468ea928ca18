"""The file as resources: one per thing the shop should hold, each with what has to be there before it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from commerce_sync.systems.sap_commerce.setup import kinds
from commerce_sync.systems.sap_commerce.setup.kinds import Kind
from commerce_sync.systems.sap_commerce.setup.references import Connections, Reference, resolved
from commerce_sync.systems.sap_commerce.setup.setup_file import HOOKS_TARGET, SetupFile

Key = tuple[str, ...]
Id = tuple[str, Key]
"""Name of the kind, and the key."""


@dataclass(frozen=True, slots=True)
class Resource:
    """One thing the shop should hold.

    values: compared and sent.   once: sent when it is made, and never compared.   secrets: where they stand.
    needs: what it cannot be without.   generated_by: what makes it by itself when that is new.
    """

    kind: Kind
    key: Key
    values: dict[str, Any] = field(default_factory=dict)
    once: dict[str, Any] = field(default_factory=dict)
    secrets: dict[str, Reference] = field(default_factory=dict)
    needs: tuple[Id, ...] = ()
    generated_by: Id | None = None

    @property
    def id(self) -> Id:
        return self.kind.name, self.key


def resources(file: SetupFile, sections: Collection[str], *, connections: Connections) -> list[Resource]:
    """What the chosen sections of the file want, in the order of making. Raises ConfigurationError."""
    found: list[Resource] = []
    for name, make in _MAKERS.items():
        if name in sections:
            found += make(file, connections)
    order = {kind: number for number, kind in enumerate(kinds.KINDS)}
    return sorted(found, key=lambda item: order[item.kind])


def _objects(file: SetupFile, _connections: Connections) -> Iterator[Resource]:
    for code, content in file.section("integration_objects").items():
        own = (kinds.OBJECT.name, (code,))
        yield Resource(kinds.OBJECT, (code,), {"type": content.get("type", "INBOUND")})
        parts = [part for name, item in content["items"].items() for part in _item(code, name, item)]
        yield from parts
        if "authentication" in content:
            # Only a whole object is opened to callers: half of one would look like a shop without the other half.
            needs = (own, *(part.id for part in parts))
            yield Resource(kinds.INBOUND, (code,), {"authentication": content["authentication"]}, needs=needs)


def _item(code: str, name: str, content: dict[str, Any]) -> Iterator[Resource]:
    kind, at = content.get("type", name), (kinds.ITEM.name, (code, name))
    match = {"match": content["match"]} if "match" in content else {}
    values = {"type": kind, "root": content.get("root", False), **match}
    yield Resource(kinds.ITEM, (code, name), values, needs=((kinds.OBJECT.name, (code,)),))
    for attribute, spec in content["attributes"].items():
        plain = {"type": kind, "of": spec.get("of", attribute), "returns": spec.get("returns"),
                 "key": spec.get("key", False), "auto_create": spec.get("auto_create", False)}  # fmt: skip
        yield Resource(kinds.ATTRIBUTE, (code, name, attribute), plain, needs=_returned(at, code, spec))
    for attribute, spec in content.get("classification", {}).items():
        feature = {key: spec[key] for key in ("system", "version", "class", "attribute")}
        more = {"attribute_system": spec["system"], "attribute_version": spec["version"],
                "returns": spec.get("returns"), "auto_create": spec.get("auto_create", False)}  # fmt: skip
        needs = _returned(at, code, spec)
        yield Resource(kinds.CLASSIFICATION, (code, name, attribute), feature | more, needs=needs)
    for attribute, spec in content.get("virtual", {}).items():
        computed = {"descriptor": f"{code}_{name}_{attribute}", "script": f"model://{spec['script']}",
                    "type": spec.get("type", "java.lang.String")}  # fmt: skip
        script = (kinds.SCRIPT.name, (spec["script"],))
        yield Resource(kinds.VIRTUAL, (code, name, attribute), computed, needs=(at, script))


def _returned(at: Id, code: str, spec: Mapping[str, Any]) -> tuple[Id, ...]:
    return (at, (kinds.ITEM.name, (code, spec["returns"]))) if "returns" in spec else (at,)


def _scripts(file: SetupFile, _connections: Connections) -> Iterator[Resource]:
    for code, content in file.section("scripts").items():
        description = {"description": content["description"]} if "description" in content else {}
        values = {"type": content.get("type", "GROOVY"), "content": content["content"], **description}
        yield Resource(kinds.SCRIPT, (code,), values)


def _credentials(file: SetupFile, connections: Connections) -> Iterator[Resource]:
    for name, content in file.section("credentials").items():
        kind = _credential_kind(content)
        plain = {key: resolved(content[key], connections) for key in kind.values}
        yield Resource(kind, (name,), plain, secrets={key: Reference(**content[key]) for key in kind.secrets})


def _credential_kind(content: Mapping[str, Any]) -> Kind:
    return kinds.OAUTH if "client_id" in content else kinds.BASIC


def _destinations(file: SetupFile, connections: Connections) -> Iterator[Resource]:
    targets = dict.fromkeys(item["target"] for item in file.section("destinations").values())
    for target in targets:
        channel = "WEBHOOKSERVICES" if target == HOOKS_TARGET else "DEFAULT"
        yield Resource(kinds.TARGET, (target,), {"channel": channel})
    for name, content in file.section("destinations").items():
        yield from _destination(file, name, content, connections)


def _destination(file: SetupFile, name: str, content: dict[str, Any], connections: Connections) -> Iterator[Resource]:
    url, spec = resolved(content["url"], connections), content.get("endpoint", {})
    endpoint = (spec.get("id", name), spec.get("version", "1"))
    yield Resource(kinds.ENDPOINT, endpoint, {"name": spec.get("name", name), "spec_url": spec.get("spec_url", url)})
    kind, id_ = _credential_kind(file.section("credentials")[content["credential"]]), content["credential"]
    values = {
        "url": url, "active": content.get("active", True), "endpoint": endpoint[0], "endpoint_version": endpoint[1],
        "basic": id_ if kind is kinds.BASIC else None, "oauth": id_ if kind is kinds.OAUTH else None,
        "properties": {"csrfURL": content["csrf_url"]} if "csrf_url" in content else {},
    }  # fmt: skip
    needs = ((kind.name, (id_,)), (kinds.TARGET.name, (content["target"],)), (kinds.ENDPOINT.name, endpoint))
    yield Resource(kinds.DESTINATION, (name, content["target"]), values, needs=needs)


def _channels(file: SetupFile, _connections: Connections) -> Iterator[Resource]:
    for code, content in file.section("outbound_channels").items():
        where = _sent_to(file, content["destination"])
        own, generates = (kinds.CHANNEL.name, (code,)), content.get("auto_generate", True)
        values = {"integration_object": content["integration_object"], **where, "batch": content.get("batch", False),
                  "synchronize_delete": content.get("synchronize_delete", False)}  # fmt: skip
        needs = (_object_id(content), (kinds.DESTINATION.name, (where["destination"], where["target"])))
        yield Resource(kinds.CHANNEL, (code,), values, {"auto_generate": generates}, needs=needs)
        yield from _job(code, content, own if generates else None)
        for type_, spec in content.get("streams", {}).items():
            yield _stream(code, type_, spec)


def _job(code: str, content: dict[str, Any], generator: Id | None) -> Iterator[Resource]:
    """Container, job and cron job under the names that ``autoGenerate`` gives them, and the trigger.

    Source: SAP Commerce 2211, outbound channel configuration, autoGenerate.
    """
    own, container, job, cron = (code,), (f"{code}Container",), (f"{code}Job",), (f"{code}CronJob",)
    needs = ((kinds.CHANNEL.name, own),)
    yield Resource(kinds.CONTAINER, container, needs=needs, generated_by=generator)
    within = ((kinds.CONTAINER.name, container),)
    yield Resource(kinds.JOB, job, {"container": container[0]}, needs=within, generated_by=generator)
    language = {"session_language": content["session_language"]} if "session_language" in content else {}
    yield Resource(
        kinds.CRON_JOB, cron, {"job": job[0], **language}, needs=((kinds.JOB.name, job),),
        generated_by=None if language else generator,
    )  # fmt: skip
    if "cron" in content:
        values = {"cron": content["cron"], "active": True}
        yield Resource(kinds.TRIGGER, cron, values, needs=((kinds.CRON_JOB.name, cron),))


def _stream(code: str, type_: str, spec: dict[str, Any]) -> Resource:
    values = {"container": f"{code}Container", "type": type_, "channel": code, "where": spec.get("where"),
              "info": spec.get("info"), "excluded_types": tuple(sorted(spec.get("excluded_types", ())))}  # fmt: skip
    needs = ((kinds.CHANNEL.name, (code,)), (kinds.CONTAINER.name, (f"{code}Container",)))
    return Resource(kinds.STREAM, (f"{code}_{type_}_Stream",), values, needs=needs)


def _webhooks(file: SetupFile, _connections: Connections) -> Iterator[Resource]:
    for content in file.section("webhooks"):
        where = _sent_to(file, content["destination"])
        key = (content["integration_object"], *where.values(), kinds.EVENT.format(content["event"]))
        needs = [_object_id(content), (kinds.DESTINATION.name, tuple(where.values()))]
        if "filter" in content:
            needs.append((kinds.SCRIPT.name, (content["filter"],)))
        location = f"model://{content['filter']}" if "filter" in content else None
        yield Resource(kinds.HOOK, key, {"filter": location}, needs=tuple(needs))


def _sent_to(file: SetupFile, name: str) -> dict[str, str]:
    return {"destination": name, "target": file.section("destinations")[name]["target"]}


def _object_id(content: Mapping[str, Any]) -> Id:
    return kinds.OBJECT.name, (content["integration_object"],)


_MAKERS = {
    "scripts": _scripts,
    "integration_objects": _objects,
    "credentials": _credentials,
    "destinations": _destinations,
    "outbound_channels": _channels,
    "webhooks": _webhooks,
}
