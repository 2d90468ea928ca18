"""The iconik and OpenText IoT halves of the case ``simulators``: searching 50,000 assets, taking and finding events."""

from __future__ import annotations

import json
import time
from base64 import b64encode
from typing import Any

from benchmarks.caller import Caller

SEARCH_ROWS = 100
EVENTS = 2_000
STORED = 200_000
SEND = "application/vnd.com.covisint.platform.messaging.sendevent.v1+json"
WINDOW_MS = 60_000


def searched(system: dict[str, Any], *, most: int) -> float:
    """Assets per second by following ``search_after``, 100 a page, oldest change first."""
    caller = Caller(system["url"])
    caller.headers |= {"App-ID": system["app_id"], "Auth-Token": system["auth_token"]}
    body: dict[str, Any] = {"doc_types": ["assets"], "sort": [{"name": "date_modified", "order": "asc"}]}
    body["sort"].append({"name": "id", "order": "asc"})
    found: set[str] = set()
    began = time.perf_counter()
    while len(found) < most:
        path = f"/API/search/v1/search/?per_page={SEARCH_ROWS}&generate_signed_url=false"
        objects = json.loads(caller.call("POST", path, body))["objects"]
        found.update(one["id"] for one in objects)
        if len(objects) < SEARCH_ROWS:
            break
        body["search_after"] = objects[-1]["_sort"]
    seconds = time.perf_counter() - began
    if len(found) < most:
        raise RuntimeError(f"{len(found)} of {most} assets were found by search_after")
    return len(found) / seconds


def sent(system: dict[str, Any]) -> float:
    """Events per second that one client sends one by one, each answered."""
    caller = _platform(system)
    stream, device, template = _parts(caller)
    path = f"/sendevent/v1/message/event/{stream}"
    before = _count(caller)
    began = time.perf_counter()
    for number in range(EVENTS):
        text = b64encode(f'{{"number":{number}}}'.encode()).decode()
        body = {"deviceId": device, "eventTemplateId": template, "message": text, "encodingType": "BASE64"}
        caller.call("POST", path, json.dumps(body).encode(), Content_Type=SEND, Accept=SEND)
    seconds = time.perf_counter() - began
    caller.call("POST", "/_sim/clock", {"advance_s": 60})
    if (arrived := _count(caller) - before) < EVENTS:
        raise RuntimeError(f"{arrived} of {EVENTS} events arrived")
    return EVENTS / seconds


def found_events(system: dict[str, Any]) -> float:
    """Events per second of searches over windows that hold a few thousand each."""
    caller = _platform(system)
    now = time.time_ns() // 1_000_000
    rows = [{"deviceId": f"d{n % 50}", "creation": now - n * 6, "payload": {"n": n}} for n in range(STORED)]
    caller.call("POST", "/_sim/records/event", json.dumps(rows).encode(), Content_Type="application/json")
    total, end = 0, now + 1
    began = time.perf_counter()
    while total < STORED and end > now - STORED * 6:
        query = f"startTime={end - WINDOW_MS // 2}&endTime={end}"
        content = caller.call("GET", f"/eventsearch/v1/events/search?{query}", Accept="application/json")
        total, end = total + content.count(b'"messageId"'), end - WINDOW_MS // 2
    seconds = time.perf_counter() - began
    if total < STORED:
        raise RuntimeError(f"{total} of {STORED} events were found")
    return total / seconds


def _platform(system: dict[str, Any]) -> Caller:
    caller = Caller(system["url"])
    basic = b64encode(f"{system['client_id']}:{system['client_secret']}".encode()).decode()
    kinds = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
    form = b"grant_type=client_credentials&scope=all"
    answer = caller.call("POST", "/oauth/v3/token", form, Authorization=f"Basic {basic}", **kinds)
    caller.headers["Authorization"] = f"Bearer {json.loads(answer)['access_token']}"
    return caller


def _parts(caller: Caller) -> tuple[str, str, str]:
    """A stream, one of its devices and an event template of the demo fleet."""
    kinds = ("stream", "device", "eventTemplate")
    rows = (json.loads(caller.call("GET", f"/_sim/records/{kind}?limit=1"))["records"][0] for kind in kinds)
    stream, device, template = (row["id"] for row in rows)
    return stream, device, template


def _count(caller: Caller) -> int:
    query = f"startTime=0&endTime={time.time_ns() // 1_000_000 + 3_600_000}"
    return int(caller.call("GET", f"/eventsearch/v1/events/count?{query}", Accept="text/plain"))
