"""Counts what clients called, so that tests can say "unchanged rows sent: 0"."""

from __future__ import annotations

from collections import Counter, deque
from typing import Any

from aiohttp import web

LOG_LENGTH = 1000


class Calls:
    """Calls of one system begun since the last reset; control calls never appear here.

    period: number of resets so far. A request that began in an earlier one is not counted when it ends: one
    that a fault holds back for a minute may end long after whoever counts has begun anew.
    """

    def __init__(self) -> None:
        self.period = 0
        self.by_route: Counter[str] = Counter()
        self.log: deque[dict[str, Any]] = deque(maxlen=LOG_LENGTH)

    def reset(self) -> None:
        self.period += 1
        self.by_route.clear()
        self.log.clear()

    def note(self, request: web.Request, *, status: int | None, period: int) -> None:
        """Count one call that began in ``period``; a status of None means that the connection ended unanswered."""
        if period != self.period:
            return
        self.by_route[f"{request.method} {route_of(request)}"] += 1
        self.log.append({"method": request.method, "path": request.path_qs, "status": status})

    def report(self, *, log: bool) -> dict[str, Any]:
        answer: dict[str, Any] = {
            "total": self.by_route.total(),
            "by_route": dict(sorted(self.by_route.items())),
        }
        return answer | {"log": list(self.log)} if log else answer


def route_of(request: web.Request) -> str:
    """The registered path with its placeholders; any API version reads ``vXX.0``."""
    resource = request.match_info.route.resource
    path = resource.canonical if resource is not None else request.path
    return path.replace("v{version}", "vXX.0").rstrip("/") or "/"
