"""API usage of the last 24 hours, the header that reports it, and /limits."""

from __future__ import annotations

from collections import Counter
from typing import Any

from simulators.clock import Clock
from simulators.salesforce.call import Answer, Call, Route

HOURS = 24


class Usage:
    """Calls and bulk batches by simulated hour."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._calls: Counter[int] = Counter()
        self._batches: Counter[int] = Counter()

    def clear(self) -> None:
        self._calls.clear()
        self._batches.clear()

    def add_call(self, count: int = 1) -> None:
        self._calls[self._hour()] += count

    def add_batches(self, count: int) -> None:
        self._batches[self._hour()] += count

    @property
    def calls(self) -> int:
        return self._recent(self._calls)

    @property
    def batches(self) -> int:
        return self._recent(self._batches)

    def _hour(self) -> int:
        return int(self.clock.timestamp() // 3600)

    def _recent(self, counts: Counter[int]) -> int:
        now = self._hour()
        return sum(count for hour, count in counts.items() if now - HOURS < hour <= now)


def usage_header(call: Call) -> str:
    """``Sforce-Limit-Info`` in its bare form, which is all that strict clients can parse."""
    return f"api-usage={call.org.usage.calls}/{call.org.settings['daily_api_requests']}"


def _limit(most: int, used: int = 0) -> dict[str, int]:
    return {"Max": most, "Remaining": max(most - used, 0)}


async def limits(call: Call) -> Answer:
    """GET /limits."""
    usage, most = call.org.usage, int(call.org.settings["daily_api_requests"])
    body: dict[str, Any] = {
        "ConcurrentAsyncGetReportInstances": _limit(200),
        "DailyApiRequests": _limit(most, usage.calls),
        "DailyAsyncApexExecutions": _limit(250_000),
        "DailyBulkApiBatches": _limit(15_000, usage.batches),
        "DailyBulkV2QueryFileStorageMB": _limit(976_562),
        "DailyBulkV2QueryJobs": _limit(10_000),
        "DailyDeliveredPlatformEvents": _limit(50_000),
        "DataStorageMB": _limit(10_240),
        "FileStorageMB": _limit(10_240),
        "HourlyPublishedPlatformEvents": _limit(250_000),
        "SingleEmail": _limit(5_000),
    }
    return Answer(body=body)


async def record_count(call: Call) -> Answer:
    """GET /limits/recordCount?sObjects=A,B; unknown objects are left out."""
    wanted = [name for name in call.query.get("sObjects", "").split(",") if name]
    schema, db = call.org.schema, call.org.store.db
    items = [schema.find(name) for name in wanted] if wanted else list(schema.objects.values())
    counts = [
        {"count": db.execute(f'SELECT count(*) FROM "{item.name}"').fetchone()[0], "name": item.name}
        for item in items
        if item is not None
    ]
    return Answer(body={"sObjects": counts})


def routes(data: str) -> list[Route]:
    return [Route("GET", f"{data}/limits", limits), Route("GET", f"{data}/limits/recordCount", record_count)]
