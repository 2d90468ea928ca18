"""What can be set up, kind by kind: where it is read and written, its key, its values, and how both stand in payloads.

The order of ``KINDS`` is the order of making: whatever refers to something comes after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Path = tuple[str, ...]
Form = Literal["text", "flag", "codes", "map"]
Row = dict[str, Any]
INTEGRATION, OUTBOUND, WEBHOOK, SCRIPT_SERVICE = (
    "IntegrationService", "OutboundChannelConfig", "WebhookService", "ScriptService",
)  # fmt: skip
GROUPS = {
    INTEGRATION: "integrationservicegroup",
    OUTBOUND: "outboundsyncgroup",
    WEBHOOK: "webhookservicegroup",
    SCRIPT_SERVICE: "scriptservicegroup",
}
"""Service -> the group its caller needs besides integrationadmingroup."""


@dataclass(frozen=True, slots=True)
class Value:
    """One value: where it stands in a row, and as what.

    form: ``text``; ``flag`` (absent counts as ``default``); ``codes`` (the items of a collection, by the last name of
    the path); ``map`` (of texts).
    """

    path: Path
    form: Form = "text"
    default: bool = False

    def of(self, row: Row) -> Any:
        """The value in a row with its references expanded; nothing and an empty text are the same."""
        at: Any = row
        for name in self.path[:-1] if self.form == "codes" else self.path:
            at = at.get(name) if isinstance(at, Mapping) else None
        if self.form == "flag":
            return self.default if at is None else bool(at)
        if self.form == "codes":
            return tuple(sorted(str(item.get(self.path[-1])) for item in _results(at)))
        if self.form == "map":
            return {str(item["key"]): item.get("value") for item in _results(at)}
        return str(at) if at not in (None, "") and not isinstance(at, Mapping) else None

    def sent(self, value: Any) -> Any:
        """The value as payloads hold it."""
        if self.form == "codes":
            return [{self.path[-1]: code} for code in value]
        if self.form == "map":
            return [{"key": key, "value": text} for key, text in value.items()]
        return value

    @property
    def place(self) -> Path:
        """Where it stands in a payload."""
        return self.path[:-1] if self.form == "codes" else self.path


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """One kind, equal by name. ``service`` may be another one (see ``DESTINATIONS``).

    keys, values, secrets: by our names.   follows: what else stands in a payload because a reference does: place ->
    key.
    """

    name: str
    service: str
    entity_set: str
    keys: dict[str, Value]
    values: dict[str, Value] = field(default_factory=dict)
    secrets: dict[str, Value] = field(default_factory=dict)
    follows: dict[Path, str] = field(default_factory=dict)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Kind) and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)

    def key_of(self, row: Row) -> tuple[str, ...]:
        """The key of a row, in the order of ``keys``."""
        return tuple(str(value.of(row) or "") for value in self.keys.values())

    def body(self, key: tuple[str, ...], values: Mapping[str, Any]) -> Row:
        """The payload: key and values nested by their paths; a reference without a value is null."""
        found: Row = {}
        named = dict(zip(self.keys, key, strict=True))
        for name, text in named.items():
            _put(found, self.keys[name].path, text)
        specs = {**self.values, **self.secrets}
        for name, value in values.items():
            spec = specs[name]
            _put(found, spec.place if value is not None else spec.place[:1], spec.sent(value))
        for place, name in self.follows.items():
            if found.get(place[0]):
                _put(found, place, named[name])
        return found


def _results(at: Any) -> list[Row]:
    if isinstance(at, Mapping):
        at = at.get("results")
    return list(at) if isinstance(at, list) else []


def _put(into: Row, path: Path, value: Any) -> None:
    for name in path[:-1]:
        into = into.setdefault(name, {})
    into[path[-1]] = value


def _text(*path: str) -> Value:
    return Value(path)


def _flag(*path: str, default: bool = False) -> Value:
    return Value(path, "flag", default)


_OF_ITEM = {
    "object": _text("integrationObjectItem", "integrationObject", "code"),
    "item": _text("integrationObjectItem", "code"),
    "name": _text("attributeName"),
}
_CLASS = ("classAttributeAssignment", "classificationClass")
_FEATURE = ("classAttributeAssignment", "classificationAttribute")
_DESTINATION = {"destination": _text("destination", "id"), "target": _text("destination", "destinationTarget", "id")}

SCRIPT = Kind(
    "script", SCRIPT_SERVICE, "Scripts", {"code": _text("code")},
    {"type": _text("scriptType", "code"), "description": _text("description"), "content": _text("content")},
)  # fmt: skip
OBJECT = Kind(
    "integration object", INTEGRATION, "IntegrationObjects", {"code": _text("code")},
    {"type": _text("integrationType", "code")},
)  # fmt: skip
ITEM = Kind(
    "item", INTEGRATION, "IntegrationObjectItems",
    {"object": _text("integrationObject", "code"), "code": _text("code")},
    {"type": _text("type", "code"), "root": _flag("root"), "match": _text("itemTypeMatch", "code")},
)  # fmt: skip
ATTRIBUTE = Kind(
    "attribute", INTEGRATION, "IntegrationObjectItemAttributes", _OF_ITEM,
    {"type": _text("attributeDescriptor", "enclosingType", "code"), "of": _text("attributeDescriptor", "qualifier"),
     "returns": _text("returnIntegrationObjectItem", "code"), "key": _flag("unique"),
     "auto_create": _flag("autoCreate")},
    follows={("returnIntegrationObjectItem", "integrationObject", "code"): "object"},
)  # fmt: skip
CLASSIFICATION = Kind(
    "classification attribute", INTEGRATION, "IntegrationObjectItemClassificationAttributes", _OF_ITEM,
    {"system": _text(*_CLASS, "catalogVersion", "catalog", "id"), 
     "version": _text(*_CLASS, "catalogVersion", "version"),
     "class": _text(*_CLASS, "code"), "attribute": _text(*_FEATURE, "code"),
     "attribute_system": _text(*_FEATURE, "systemVersion", "catalog", "id"),
     "attribute_version": _text(*_FEATURE, "systemVersion", "version"),
     "returns": _text("returnIntegrationObjectItem", "code"), "auto_create": _flag("autoCreate")},
    follows={("returnIntegrationObjectItem", "integrationObject", "code"): "object"},
)  # fmt: skip
VIRTUAL = Kind(
    "virtual attribute", INTEGRATION, "IntegrationObjectItemVirtualAttributes",
    _OF_ITEM,
    {"descriptor": _text("retrievalDescriptor", "code"), "script": _text("retrievalDescriptor", "logicLocation"),
     "type": _text("retrievalDescriptor", "type", "code")},
)  # fmt: skip
INBOUND = Kind(
    "inbound channel", INTEGRATION, "InboundChannelConfigurations",
    {"object": _text("integrationObject", "code")}, {"authentication": _text("authenticationType", "code")},
)  # fmt: skip
BASIC = Kind(
    "basic credential", OUTBOUND, "BasicCredentials", {"id": _text("id")},
    {"username": _text("username")}, {"password": _text("password")},
)  # fmt: skip
OAUTH = Kind(
    "OAuth credential", OUTBOUND, "ConsumedOAuthCredentials", {"id": _text("id")},
    {"client_id": _text("clientId"), "oauth_url": _text("oAuthUrl")}, {"client_secret": _text("clientSecret")},
)  # fmt: skip
TARGET = Kind(
    "destination target", OUTBOUND, "DestinationTargets", {"id": _text("id")},
    {"channel": _text("destinationChannel", "code")},
)  # fmt: skip
ENDPOINT = Kind(
    "endpoint", OUTBOUND, "Endpoints", {"id": _text("id"), "version": _text("version")},
    {"name": _text("name"), "spec_url": _text("specUrl")},
)  # fmt: skip
DESTINATION = Kind(
    "destination", OUTBOUND, "ConsumedDestinations",
    {"id": _text("id"), "target": _text("destinationTarget", "id")},
    {"url": _text("url"), "active": _flag("active", default=True), "endpoint": _text("endpoint", "id"),
     "endpoint_version": _text("endpoint", "version"), "basic": _text("credentialBasic", "id"),
     "oauth": _text("credentialConsumedOAuth", "id"), "properties": Value(("additionalProperties",), "map")},
)  # fmt: skip
CHANNEL = Kind(
    "outbound channel", OUTBOUND, "OutboundChannelConfigurations",
    {"code": _text("code")},
    {"integration_object": _text("integrationObject", "code"), **_DESTINATION, "batch": _flag("batch"),
     "synchronize_delete": _flag("synchronizeDelete"), "auto_generate": _flag("autoGenerate")},
)  # fmt: skip
CONTAINER = Kind(
    "stream container", OUTBOUND, "OutboundSyncStreamConfigurationContainers", {"id": _text("id")},
)  # fmt: skip
STREAM = Kind(
    "stream", OUTBOUND, "OutboundSyncStreamConfigurations",
    {"id": _text("streamId")},
    {"container": _text("container", "id"), "type": _text("itemTypeForStream", "code"),
     "channel": _text("outboundChannelConfiguration", "code"), "where": _text("whereClause"),
     "info": _text("infoExpression"), "excluded_types": Value(("excludedTypes", "code"), "codes")},
)  # fmt: skip
JOB = Kind(
    "job", OUTBOUND, "OutboundSyncJobs", {"code": _text("code")},
    {"container": _text("streamConfigurationContainer", "id")},
)  # fmt: skip
CRON_JOB = Kind(
    "cron job", OUTBOUND, "OutboundSyncCronJobs", {"code": _text("code")},
    {"job": _text("job", "code"), "session_language": _text("sessionLanguage", "isocode")},
)  # fmt: skip
TRIGGER = Kind(
    "trigger", OUTBOUND, "Triggers", {"cron_job": _text("cronJob", "code")},
    {"cron": _text("cronExpression"), "active": _flag("active", default=True)},
)  # fmt: skip
HOOK = Kind(
    "webhook", WEBHOOK, "WebhookConfigurations",
    {"object": _text("integrationObject", "code"), **_DESTINATION, "event": _text("eventType")},
    {"filter": _text("filterLocation")},
)  # fmt: skip
KINDS = (
    SCRIPT, OBJECT, ITEM, ATTRIBUTE, CLASSIFICATION, VIRTUAL, INBOUND, BASIC, OAUTH, TARGET, ENDPOINT, DESTINATION,
    CHANNEL, CONTAINER, STREAM, JOB, CRON_JOB, TRIGGER, HOOK,
)  # fmt: skip
MODEL = (OBJECT, ITEM, ATTRIBUTE, CLASSIFICATION, VIRTUAL, INBOUND)
"""What an integration object is made of."""
DESTINATIONS = (BASIC, OAUTH, TARGET, ENDPOINT, DESTINATION)
"""Both OutboundChannelConfig and WebhookService have these: without outbound channels the latter is used."""
CHANNELS = (CHANNEL, CONTAINER, STREAM, JOB, CRON_JOB, TRIGGER)
EVENT = "de.hybris.platform.webhookservices.event.Item{}Event"
"""Event type of a webhook, by what happened to an item."""
