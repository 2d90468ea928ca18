"""Plain HTTP clients of the simulated IoT platform: one for the classic wire format, one per profile."""

from __future__ import annotations

import base64
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests
import yaml

PROFILES = Path(__file__).resolve().parents[3] / "simulators" / "opentext_iot" / "profiles"
MEDIA = "application/vnd.com.covisint.platform."
PATHS = {
    "attributeType": "/attributetype/v1/attributeTypes",
    "eventTemplate": "/eventtemplate/v1/eventTemplates",
    "commandTemplate": "/commandtemplate/v1/commandTemplates",
    "deviceTemplate": "/devicetemplate/v1/deviceTemplates",
    "device": "/device/v3/devices",
    "stream": "/stream/v1/streams",
    "eventSource": "/eventsource/v1/eventSources",
    "route": "/route/v1/routes",
}


def media(name: str) -> str:
    return f"{MEDIA}{name}.{'v2' if name == 'device' else 'v1'}+json"


def localized(text: str) -> list[dict[str, str]]:
    return [{"lang": "en_US", "text": text}]


def packed(values: dict[str, Any]) -> str:
    return base64.b64encode(json.dumps(values).encode()).decode()


class Classic:
    """The wire format of the classic API; answers are ``requests`` responses unless a name says otherwise."""

    def __init__(self, far) -> None:
        self.far = far
        self.session = requests.Session()
        self.session.trust_env = False
        self.sign_in()

    def sign_in(self, *, user: str | None = None, secret: str | None = None) -> None:
        answer = requests.post(
            f"{self.far.url}/oauth/v3/token",
            auth=(user or self.far.client_id, secret or self.far.client_secret),
            data={"grant_type": "client_credentials", "scope": "all"},
            headers={"Accept": "application/json"},
            timeout=10,
        )
        assert answer.ok, answer.text
        self.session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def ask(self, method: str, path: str, kind: str, *, body: Any = None, query: Any = None, accept: str | None = None):
        headers = {"Accept": accept or (media(kind) if "/" not in kind else kind)}
        raw = None
        if body is not None:
            raw, headers["Content-Type"] = json.dumps(body), media(kind) if "/" not in kind else kind
        return self.session.request(method, self.far.url + path, data=raw, params=query, headers=headers, timeout=30)

    def settle(self) -> None:
        """Let the index catch up."""
        self.far.clock(advance_s=1)

    def create(self, kind: str, body: dict[str, Any], *, activate: bool = True) -> dict[str, Any]:
        made = self.ask("POST", PATHS[kind], kind, body=body)
        assert made.status_code == 201, made.text
        document = made.json()
        if activate:
            document = self.ask("POST", f"{PATHS[kind]}/{document['id']}/tasks/activate", kind).json()
        self.settle()
        return document

    def listed(self, kind: str, **query: Any) -> list[dict[str, Any]]:
        answer = self.ask("GET", PATHS[kind], kind, query=query)
        assert answer.ok, answer.text
        return answer.json()

    def count(self, kind: str, **query: Any) -> int:
        return int(self.ask("GET", f"{PATHS[kind]}/count", "text/plain", query=query).text)

    def new_device(self, template: str, *, tags: tuple[str, ...] = (), stream: str | None = None) -> dict[str, Any]:
        path = f"/device/v3/tasks/createDeviceFromTemplate?deviceTemplateId={template}"
        made = self.ask("POST", path, "device")
        assert made.status_code == 201, made.text
        key = made.json()["id"]
        self.settle()
        found = self.ask("POST", f"/device/v3/devices/{key}/tasks/activate", "device").json()
        for tag in tags:
            found = self.ask("PUT", f"/device/v3/devices/{key}/tags/{quote(tag, safe='')}", "device").json()
        if stream:
            assert self.ask("POST", f"/stream/v1/streams/{stream}/devices/{key}", "stream").ok
        return found

    def now_ms(self) -> int:
        return int(datetime.fromisoformat(self.far.clock()["now"]).timestamp() * 1000)

    def search(self, start: int, end: int) -> list[dict[str, Any]]:
        query = {"startTime": start, "endTime": end}
        answer = self.ask("GET", "/eventsearch/v1/events/search", "application/json", query=query)
        assert answer.ok, answer.text
        return answer.json()

    def search_count(self, start: int, end: int) -> int:
        query = {"startTime": start, "endTime": end}
        return int(self.ask("GET", "/eventsearch/v1/events/count", "application/json", query=query).text)


class Tenant:
    """A small set-up made through the classic API: types, templates, a stream, a device."""

    def __init__(self, api: Classic) -> None:
        self.api = api
        text, number = (
            api.create("attributeType", {"name": name, "type": kind})
            for name, kind in (("productCode", "string"), ("runtimeHours", "decimal"))
        )
        self.product_code, self.runtime_hours = text["id"], number["id"]
        fields = [{"name": "faultCode", "type": "string"}, {"name": "runtimeHours", "type": "decimal"}]
        fields[1]["boundAttributeTypeId"] = self.runtime_hours
        self.fault = api.create("eventTemplate", {"name": "device.fault", "eventFields": fields})["id"]
        arguments = [{"name": "productCode", "type": "string", "index": 0}]
        self.command = api.create("commandTemplate", {"name": "setCommerceContext", "args": arguments})["id"]
        template = {"name": localized("Compressor C-200"), "attributeTypes": [self.product_code, self.runtime_hours]}
        template |= {"eventTemplates": [self.fault], "commandTemplates": [self.command]}
        self.template = api.create("deviceTemplate", template)["id"]
        body = {"name": localized("commerce-events"), "streamType": "DEVICE", "protocolType": "MQTT"}
        self.stream = api.create("stream", body)["id"]
        self.device = api.new_device(self.template, tags=("serial:A17-000231",), stream=self.stream)["id"]

    def event(self, *, message_id: str = "m-1", **values: Any) -> dict[str, Any]:
        envelope = {"messageId": message_id, "deviceId": self.device, "eventTemplateId": self.fault}
        return envelope | {"message": packed(values), "encodingType": "BASE64"}

    def send(self, **given: Any):
        path = f"/sendevent/v1/message/event/{self.stream}"
        return self.api.ask("POST", path, "messaging.sendevent", body=self.event(**given))

    def command_body(self, *, message_id: str = "c-1") -> dict[str, Any]:
        body = {"messageId": message_id, "deviceId": self.device, "commandId": self.command}
        return body | {"message": packed({"productCode": "300938"}), "encodingType": "BASE64"}

    def send_command(self, **given: Any):
        path = f"/sendcommand/v1/message/command/{self.stream}"
        return self.api.ask("POST", path, "messaging.sendcommand", body=self.command_body(**given))


@pytest.fixture
def classic(opentext_iot) -> Classic:
    return Classic(opentext_iot)


@pytest.fixture
def tenant(classic) -> Tenant:
    return Tenant(classic)


class ProfileClient:
    """A small client that knows an API only through its profile file."""

    def __init__(self, far, name: str) -> None:
        self.far, self.name = far, name
        self.profile = yaml.safe_load((PROFILES / f"{name}.yaml").read_text())
        self.paths, self.fields = self.profile["paths"], self.profile["fields"]["device"]
        self.session = requests.Session()
        self.session.trust_env = False
        self.sign_in()

    def sign_in(self) -> None:
        auth = self.profile["auth"]
        path = auth["token_path"].format(tenant=self.far.tenant)
        form = {"grant_type": auth["kind"], "scope": auth["scope"]}
        pair = (self.far.client_id, self.far.client_secret)
        if auth["style"] == "body":
            form |= {"client_id": pair[0], "client_secret": pair[1]}
        answer = requests.post(
            self.far.url + path,
            data=form,
            auth=pair if auth["style"] == "basic" else None,
            headers={"Accept": "application/json"},
            timeout=10,
        )
        self.session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def ask(self, method: str, path: str, *, media: str = "device", body: Any = None, query: Any = None, headers=None):
        kind = self.profile["media"].get(media, "application/json")
        sent = {"Accept": kind} | ({"Content-Type": kind} if body is not None else {}) | (headers or {})
        raw = json.dumps(body) if body is not None else None
        return self.session.request(method, self.far.url + path, data=raw, params=query, headers=sent, timeout=30)

    def devices(self, *, size: int, **filters: str) -> list[dict[str, Any]]:
        """All pages."""
        paging = self.profile["paging"]
        query: dict[str, Any] = {paging["size"]: size, **filters}
        if paging["style"] == "page":
            found: list[dict[str, Any]] = []
            for page in range(paging["first"], 10_000):
                part = self.ask("GET", self.paths["devices"], query=query | {paging["page"]: page}).json()
                found += part
                if len(part) < size:
                    return found
        found, cursor = [], None
        while True:
            answer = self.ask("GET", self.paths["devices"], query=query | ({"cursor": cursor} if cursor else {})).json()
            found += answer["items"]
            cursor = answer["nextCursor"]
            if cursor is None:
                return found

    def device(self, key: str):
        return self.ask("GET", self.paths["device"].format(id=key))

    def rename(self, read, text: str):
        """Write a name on the version that was read."""
        document = read.json()
        path = self.paths["device"].format(id=document["id"])
        if self.profile["concurrency"]["style"] == "version_in_body":
            return self.ask("PUT", path, body=document | {"name": localized(text)})
        tag = {"If-Match": read.headers["ETag"]}
        return self.ask("PATCH", path, media="device_patch", body={"name": text}, headers=tag)

    def name_of(self, key: str) -> str:
        name = self.device(key).json()["name"]
        return name if isinstance(name, str) else name[0]["text"]

    def send(self, tenant: Tenant, message_id: str, **values: Any):
        if self.name == "covisint_classic":
            path = self.paths["send_event"].format(stream_id=tenant.stream)
            return self.ask("POST", path, media="send_event", body=tenant.event(message_id=message_id, **values))
        event = {"eventId": message_id, "deviceId": tenant.device, "eventType": "device.fault", "data": values}
        return self.ask("POST", self.paths["send_event"], body=event)

    def command(self, tenant: Tenant) -> str:
        if self.name == "covisint_classic":
            path = self.paths["send_command"].format(stream_id=tenant.stream)
            return self.ask("POST", path, media="send_command", body=tenant.command_body()).json()["messageId"]
        path = self.paths["send_command"].format(id=tenant.device)
        body = {"command": "setCommerceContext", "args": {"productCode": "300938"}}
        answer = self.ask("POST", path, body=body)
        assert answer.status_code == 202, answer.text
        return answer.json()["commandId"]

    def command_status(self, message_id: str) -> str:
        path = self.paths["command_status"].format(message_id=message_id)
        answer = self.ask("GET", path, media="command_audit").json()
        return (answer[0] if isinstance(answer, list) else answer)["status"]

    def search(self, start_ms: int, end_ms: int, *, size: int = 1000) -> list[dict[str, Any]]:
        """Events of [start, end) as ``{"id", "device", "values"}``."""
        spec = self.profile["event_search"]
        window = [_moment(ms, spec["time_unit"]) for ms in (start_ms, end_ms)]
        query = {spec["start_param"]: window[0], spec["end_param"]: window[1]}
        names, found, cursor = spec["fields"], [], None
        while True:
            more = {"limit": size} if spec["paging"] == "cursor" else {}
            more |= {"cursor": cursor} if cursor else {}
            answer = self.ask("GET", spec["path"], media="event_search", query=query | more)
            assert answer.ok, answer.text
            body = answer.json()
            found += body["items"] if isinstance(body, dict) else body
            cursor = body["nextCursor"] if isinstance(body, dict) else None
            if not cursor:
                return [self._event(one, names) for one in found]

    @staticmethod
    def _event(one: dict[str, Any], names: dict[str, Any]) -> dict[str, Any]:
        payload = one[names["payload"]]
        values = payload if isinstance(payload, dict) else json.loads(base64.b64decode(payload))
        return {"id": one[names["message_id"]], "device": one[names["device_id"]], "values": values}


def _moment(ms: int, unit: str) -> Any:
    return ms if unit == "epoch_ms" else datetime.fromtimestamp(ms / 1000, UTC).isoformat()


@pytest.fixture(params=["covisint_classic", "generic_rest"])
def profile_client(request, opentext_iot) -> ProfileClient:
    return ProfileClient(opentext_iot, request.param)


@pytest.fixture
def wait():
    """Poll until true, for what a background task does."""

    def until(condition, *, seconds: float = 10) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "it never happened"
            time.sleep(0.05)

    return until
