"""Search and count agree with each other and with a model; hostile requests never break the server."""

from __future__ import annotations

import json
import string

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

SHARED = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    "derandomize": True,
}
BASE = 1_700_000_000_000
moments = st.integers(0, 60)
stored = st.lists(st.tuples(moments, st.sampled_from("ab"), st.integers(0, 120)), max_size=40)


@settings(max_examples=40, **SHARED)
@given(rows=stored, windows=st.lists(st.tuples(moments, moments), min_size=1, max_size=5), lag=st.integers(0, 120))
def test_search_and_count_agree_with_a_model(opentext_iot, classic, rows, windows, lag):
    """Rows are (created, device, visible) in seconds; the clock stands ``lag`` seconds into the story."""
    opentext_iot.reset()
    classic.sign_in()
    opentext_iot.clock(now="2023-11-14T22:13:20+00:00")
    opentext_iot.clock(advance_s=lag + 0.5)
    opentext_iot.put(
        "event",
        [
            {
                "messageId": f"m-{number}",
                "deviceId": device,
                "eventTemplateId": "t",
                "creation": BASE + created * 1000,
                "visibleMs": BASE + (created + late) * 1000,
                "payload": {"n": number},
            }
            for number, (created, device, late) in enumerate(rows)
        ],
    )
    for first, second in windows:
        start, end = sorted((first, second))
        hits = [
            (created, number)
            for number, (created, _, late) in enumerate(rows)
            if start <= created < end and created + late <= lag
        ]
        expected = [f"m-{number}" for _, number in sorted(hits)]
        window = (BASE + start * 1000, BASE + end * 1000)
        assert [one["messageId"] for one in classic.search(*window)] == expected
        assert classic.search_count(*window) == len(expected)


@settings(max_examples=25, **SHARED)
@given(
    bodies=st.lists(
        st.tuples(st.sampled_from(["x", "y"]), st.sampled_from(["string", "decimal"]), st.sets(st.sampled_from("pqr"))),
        max_size=25,
    ),
    size=st.integers(1, 9),
    tags=st.lists(st.sampled_from("pqr"), max_size=2, unique=True),
    order=st.sampled_from(["+creation", "-creation"]),
)
def test_lists_and_counts_agree_with_a_model(opentext_iot, classic, bodies, size, tags, order):
    opentext_iot.reset()
    classic.sign_in()
    rows = [
        {"id": f"i-{n}", "name": name, "type": kind, "tags": sorted(own), "creation": BASE + n // 3}
        for n, (name, kind, own) in enumerate(bodies)
    ]
    opentext_iot.put("attributeType", rows)
    filters = {"name": "x", **({"tag": tags} if tags else {})}
    kept = [row["id"] for row in rows if row["name"] == "x" and (not tags or set(tags) & set(row["tags"]))]
    expected = kept if order == "+creation" else kept[::-1]
    found: list[str] = []
    for page in range(1, len(rows) + 2):
        part = classic.listed("attributeType", pageSize=size, page=page, sortBy=order, **filters)
        found += [one["id"] for one in part]
        if len(part) < size:
            break
    assert found == expected
    assert classic.count("attributeType", **filters) == len(expected)


SEGMENTS = [
    *[
        "device",
        "v3",
        "devices",
        "tasks",
        "createDeviceFromTemplate",
        "activate",
        "tags",
        "attributetype",
        "v1",
        "attributeTypes",
        "count",
    ],
    *[
        "eventsearch",
        "events",
        "search",
        "eventtemplate",
        "eventTemplates",
        "commandtemplate",
        "devicetemplate",
        "deviceTemplates",
    ],
    *[
        "stream",
        "streams",
        "controlState",
        "lockState",
        "eventuid",
        "lock",
        "strDocInfo",
        "documentInfo",
        "eventsource",
        "eventSources",
    ],
    *[
        "sendevent",
        "sendcommand",
        "message",
        "event",
        "command",
        "composer",
        "route",
        "routes",
        "ruledefinition",
        "triggerDefinitions",
    ],
    *[
        "ruleDefinitions",
        "ruleDefinitionId",
        "eventthresholdpolicy",
        "thresholdPolicies",
        "validateEvent",
        "group",
        "v2",
        "groups",
    ],
    *[
        "api",
        "attributes",
        "state",
        "telemetry",
        "aggregates",
        "device-groups",
        "members",
        "commands",
        "subscriptions",
        "health",
        "device-types",
    ],
    *[
        "oauth",
        "token",
        "introspect",
        "revoke",
        "tenants",
        "acme",
        "oauth2",
        "orchestrate",
        "gateway",
        "provisionGateway",
        "%00",
        "%ff",
        "..",
        "a%2Fb",
        "ä",
    ],
]
ROUTES = [
    ("POST", "/attributetype/v1/attributeTypes", "attributeType"),
    ("POST", "/eventtemplate/v1/eventTemplates", "eventTemplate"),
    ("POST", "/eventtemplate/v1/eventTemplates/{fault}/tasks/bindEventField", "eventTemplate"),
    ("POST", "/commandtemplate/v1/commandTemplates", "commandTemplate"),
    ("POST", "/devicetemplate/v1/deviceTemplates", "deviceTemplate"),
    ("PUT", "/device/v3/devices/{device}", "device"),
    ("POST", "/device/v3/tasks/createDeviceFromTemplate?deviceTemplateId={template}", "device"),
    ("POST", "/stream/v1/streams", "stream"),
    ("POST", "/stream/v1/streams/{stream}/devices", "stream"),
    ("PUT", "/stream/v1/streams/{stream}/controlState/tasks/eventuid", "stream.control.state"),
    ("POST", "/eventsource/v1/eventSources", "eventSource"),
    ("POST", "/route/v1/routes", "messaging.route"),
    ("POST", "/eventthresholdpolicy/v1/eventTemplates/{fault}/thresholdPolicies", "eventThresholdPolicy"),
    ("POST", "/ruledefinition/v1/triggerDefinitions", "messaging.triggerDefinition"),
    ("POST", "/ruledefinition/v1/ruleDefinitions", "messaging.ruleDefinition"),
    ("POST", "/sendevent/v1/message/event/{stream}", "messaging.sendevent"),
    ("POST", "/sendcommand/v1/message/command/{stream}", "messaging.sendcommand"),
    ("POST", "/composer/v1/composer/command", "messaging.sendcommand"),
    ("POST", "/group/v2/groups", "group"),
    ("POST", "/orchestrate", "application/json"),
    ("POST", "/api/v1/devices", "application/json"),
    ("PATCH", "/api/v1/devices/{device}", "application/json"),
    ("PATCH", "/api/v1/devices/{device}/attributes", "application/json"),
    ("POST", "/api/v1/events", "application/json"),
    ("POST", "/api/v1/devices/{device}/commands", "application/json"),
    ("POST", "/api/v1/device-groups", "application/json"),
    ("POST", "/api/v1/subscriptions", "application/json"),
]
KEYS = [
    "name",
    "description",
    "type",
    "tags",
    "isActive",
    "id",
    "version",
    "eventFields",
    "args",
    "attributeTypes",
    "eventTemplates",
    "commandTemplates",
    "lang",
    "text",
    "value",
    "attributes",
    "standard",
    "extended",
    "attributeTypeId",
    "observableEvents",
    "supportedCommands",
    "streamType",
    "protocolType",
    "sourceDevices",
    "sourceDeviceTemplates",
    "deviceId",
    "eventTemplateId",
    "commandId",
    "routeType",
    "routeSourceId",
    "streamId",
    "condition",
    "all",
    "any",
    "expr",
    "messageId",
    "message",
    "encodingType",
    "boundAttributeTypeId",
    "index",
    "deviceTypeId",
    "serialNumber",
    "eventType",
    "data",
    "occurredAt",
    "command",
    "url",
    "eventTypes",
    "secret",
    "payloadSecurityType",
]
KNOWN = (
    "{device}",
    "{template}",
    "{fault}",
    "{command}",
    "{stream}",
    "{runtime_hours}",
    "e30=",
    "device.fault",
    "x > 1",
)
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=12), st.sampled_from(KNOWN), st.sampled_from(["string", "decimal", "\ud800", "\x00", "http://[", "decimal\x00"]),
)  # fmt: skip
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(KEYS), inner, max_size=6)),
    max_leaves=12,
)
bodies = st.one_of(
    st.dictionaries(st.sampled_from(KEYS), values, max_size=10).map(json.dumps).map(str.encode),
    values.map(json.dumps).map(str.encode),
    st.binary(max_size=40),
    st.just(b"[" * 5000),
)
queries = st.dictionaries(
    st.sampled_from(["page", "pageSize", "sortBy", "tag", "id", "name", "active", "state", "startTime", "endTime", "from", "to", "limit", "cursor", "window", "fn", "metric", "reason", "updatedSince", "deviceId", "eventType"]),
    st.one_of(st.text(max_size=10), st.integers(-(2**80), 2**80).map(str), st.sampled_from(["1h", "avg", "true", "b64:MS4x", "2026-01-01T00:00:00Z", "9999-12-31T23:59:59-14:00"])),
    max_size=4,
)  # fmt: skip
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
clean_headers = st.text(string.ascii_letters + string.digits + ' /;=,.*+-:"', max_size=40).map(str.strip)


def checked(answer) -> None:
    assert answer.status_code < 500, (
        f"{answer.request.method} {answer.request.url} {answer.request.body}: {answer.text}"
    )
    assert "Traceback" not in answer.text


@pytest.fixture
def attacker(classic, opentext_iot, tenant):
    """Sends as an authorised client, to the tenant's own resources; media types do not matter."""
    opentext_iot.options(media="lenient", token_ttl_s=10**6, index_delay_ms=0)
    classic.sign_in()

    def send(method, path, *, raw=b"", query=None, headers=None):
        names = {name: value for name, value in vars(tenant).items() if isinstance(value, str)}
        for name, value in names.items():
            path, raw = path.replace(f"{{{name}}}", value), raw.replace(f"{{{name}}}".encode(), value.encode())
        return classic.session.request(
            method, opentext_iot.url + path, data=raw, params=query, headers=headers, timeout=30, allow_redirects=False
        )

    return send


@settings(max_examples=150, **SHARED)
@given(
    method=st.sampled_from(METHODS),
    parts=st.lists(st.one_of(st.sampled_from(SEGMENTS), st.text("ab{}%:$", max_size=4)), max_size=6),
    query=queries,
    raw=bodies,
    accept=clean_headers,
)
def test_random_requests_never_break_the_server(attacker, method, parts, query, raw, accept):
    checked(attacker(method, "/" + "/".join(parts), raw=raw, query=query, headers={"Accept": accept}))


@settings(max_examples=250, **SHARED)
@given(route=st.sampled_from(ROUTES), raw=bodies, match=st.sampled_from(["", "*", '"x"']))
def test_random_bodies_on_real_routes_never_break_the_server(attacker, route, raw, match):
    method, path, kind = route
    content = kind if "/" in kind else f"application/vnd.com.covisint.platform.{kind}.v1+json"
    headers = {"Content-Type": content, **({"If-Match": match} if match else {})}
    checked(attacker(method, path, raw=raw, headers=headers))


@settings(max_examples=120, **SHARED)
@given(
    path=st.sampled_from(
        [
            "/device/v3/devices",
            "/device/v3/devices/count",
            "/eventsearch/v1/events/search",
            "/eventsearch/v1/events/count",
            "/api/v1/devices",
            "/api/v1/events",
            "/api/v1/telemetry/aggregates",
            "/api/v1/device-groups",
            "/api/v1/device-types",
            "/commandaudit/v1/commandAudits",
            "/tracking/v1/trackings",
        ]
    ),
    query=queries,
)
def test_random_queries_never_break_the_server(attacker, path, query):
    checked(attacker("GET", path, query=query))


def test_the_devices_of_the_fuzz_are_still_readable(attacker, opentext_iot):
    checked(attacker("GET", "/device/v3/devices/{device}"))
    assert requests.get(f"{opentext_iot.url}/healthz", timeout=10).ok


ODD_PAYLOADS = (
    '{"a":"\\ud800"}',
    '{"a":1e400}',
    '{"a":' + "[" * 3000 + "]" * 3000 + "}",
    '{"a":12345678901234567890123}',
    '{"a":"\\u0000"}',
    "[1]",
    '"x"',
)


@pytest.mark.parametrize("payload", ODD_PAYLOADS)
def test_odd_payloads_are_stored_and_shown_by_both_profiles(attacker, classic, tenant, payload):
    import base64

    message = base64.b64encode(payload.encode()).decode()
    body = json.dumps(tenant.event() | {"message": message}).encode()
    headers = {"Content-Type": "application/json"}
    assert attacker("POST", "/sendevent/v1/message/event/{stream}", raw=body, headers=headers).ok
    assert [one["message"] for one in classic.search(0, 2**42)] == [message]
    for path in ("/api/v1/events", "/api/v1/devices/{device}/state", "/api/v1/telemetry/aggregates?metric=a"):
        answer = attacker("GET", path)
        checked(answer)
        assert answer.ok, answer.text
