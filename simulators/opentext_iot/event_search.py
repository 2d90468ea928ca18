"""Search and count of events. Source: fact sheet 6: that the calls exist is verified, nearly all else is a switch.

The window is half open over the creation time. More events than ``search_max_items`` are left out without an
error, so that only clients who compare with the count notice.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import Any

from simulators.opentext_iot import lists
from simulators.opentext_iot.call import Answer, Call, Route
from simulators.opentext_iot.documents import Body
from simulators.opentext_iot.errors import invalid
from simulators.opentext_iot.events import MAX_MS, StoredEvent, Window
from simulators.opentext_iot.platform import Platform
from simulators.opentext_iot.profile import profile

SEARCH = profile("covisint_classic")["event_search"]
DEFAULT_SIZE = int(profile("covisint_classic")["paging"]["default_size"])


def routes() -> list[Route]:
    plain = ("application/json",)
    return [
        Route("GET", SEARCH["path"], search, accepts=plain, reads_events=True),
        Route("GET", SEARCH["count_path"], count, accepts=(*plain, "text/plain"), reads_events=True),
    ]


def search(call: Call) -> Answer:
    platform = call.platform
    limit, offset = _page(call)
    found = platform.events.search(window_of(call), limit=limit, offset=offset)
    shown = disturbed(platform, [envelope(one) for one in found])
    wrapper = platform.settings["search_envelope"]
    return Answer(body={wrapper: shown} if wrapper else shown)


def count(call: Call) -> Answer:
    """A bare integer; the fault count_mismatch adds its difference."""
    number = call.platform.events.count(window_of(call))
    for rule in call.platform.faults.active("count_mismatch"):
        if rule.spend():
            number = max(number + int(rule.spec.get("difference", 1)), 0)
    return Answer(body=str(number))


def window_of(call: Call) -> Window:
    """The half-open window a request asks for."""
    unit = call.platform.settings["search_time_unit"]
    start = milliseconds(call.needed(SEARCH["start_param"]), unit=unit)
    end = milliseconds(call.needed(SEARCH["end_param"]), unit=unit)
    if end < start:
        raise invalid(f"{SEARCH['end_param']} lies before {SEARCH['start_param']}")
    return Window(start, end, call.platform.shown_ms())


def milliseconds(text: str, *, unit: str) -> int:
    """A moment in epoch milliseconds; ApiError 400 when it is none in this unit."""
    if unit == "iso8601":
        return iso_milliseconds(text)
    if not (text.isascii() and text.isdigit() and len(text) <= 16):
        raise invalid(f"{text[:40]!r} is not a moment; this tenant counts {unit}")
    return min(int(text) * (1000 if unit == "epoch_s" else 1), MAX_MS)


def iso_milliseconds(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return int(aware.timestamp() * 1000)
    except (ValueError, OverflowError) as error:
        raise invalid(f"{text[:40]!r} is not an ISO 8601 moment") from error


def envelope(event: StoredEvent) -> Body:
    """The event as the search shows it."""
    shown: Body = {
        "messageId": event.message_id,
        "deviceId": event.device_id,
        "eventTemplateId": event.template_id,
        "message": event.message_text,
        "encodingType": event.encoding,
        "creation": event.created_ms,
        "streamId": event.stream_id,
    }
    if event.encoding is None:
        del shown["encodingType"]
    return shown


def disturbed(platform: Platform, shown: list[Any]) -> list[Any]:
    """The same list as standing faults leave it: truncated, repeated, shuffled."""
    for rule in platform.faults.active("truncate_search"):
        if rule.spend():
            shown = shown[: int(rule.spec.get("max_items", 1))]
    for rule in platform.faults.active("duplicate_results"):
        if rule.spend():
            draw = random.Random(int(rule.spec.get("seed", 1)))
            share = float(rule.spec.get("share", 0.1))
            shown = [one for event in shown for one in [event] * (2 if draw.random() < share else 1)]
    for rule in platform.faults.active("reorder_events"):
        if rule.spend():
            random.Random(int(rule.spec.get("seed", 1))).shuffle(shown)
    return shown


def _page(call: Call) -> tuple[int, int]:
    largest = int(call.platform.settings["search_max_items"])
    if call.platform.settings["search_paging"] == "page":
        return lists.page_of(call.query, default_size=DEFAULT_SIZE, max_size=largest)
    return largest or -1, 0
