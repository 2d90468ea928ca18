"""The simulators' control API as the demo uses it: what is stored, what was called, changing orders."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from demo import web

READING_POSTS = re.compile(r"/oauth2?/|/jobs/query|/composite/sobjects/\{\w+\}$|/search/v\d/search/?$")
"""POST routes that change nothing: signing in, searching, and reading by a long list of ids or as a job."""
WRITING = ("POST", "PUT", "PATCH", "DELETE")


@dataclass(frozen=True, slots=True)
class Calls:
    """API calls since the last reset, by ``METHOD /route``."""

    total: int
    by_route: dict[str, int]

    @property
    def writes(self) -> int:
        """Calls that create, change or delete something, or could."""
        return sum(number for route, number in self.by_route.items() if is_write(route))


def is_write(route: str) -> bool:
    """Whether a route such as ``PATCH /services/data/vXX.0/sobjects/{object}/{id}`` changes records.

    $batch of OData counts as one write: the flows read by GET, and send changes in batches.
    """
    method, path = route.split(" ", 1)
    if method not in WRITING:
        return False
    return not (method == "POST" and READING_POSTS.search(path))


class Simulated:
    """One simulated system's control API."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._kept: dict[str, list[dict[str, Any]]] = {}

    def reset_calls(self) -> None:
        """Start counting calls from 0."""
        web.call("DELETE", f"{self.url}/_sim/calls")

    def calls(self) -> Calls:
        """Calls since the last reset; reading them is not one of them."""
        answer = web.call("GET", f"{self.url}/_sim/calls")
        return Calls(total=answer["total"], by_route=answer["by_route"])

    def count(self, kind: str) -> int:
        """Number of stored records of a type."""
        return int(web.call("GET", web.with_query(f"{self.url}/_sim/records/{kind}", limit=1))["total"])

    def records(self, kind: str, *, limit: int | None = None, **where: str) -> list[dict[str, Any]]:
        """Stored records of a type, the oldest first; all of them unless there is a limit or a condition."""
        asked = where | ({"limit": str(limit)} if limit else {})
        url = f"{self.url}/_sim/records/{kind}"
        url = web.with_query(url, **asked) if asked else url
        return list(web.call("GET", url, timeout_s=120)["records"])

    def first_seen(self, kind: str) -> list[dict[str, Any]]:
        """All records of a type as they were when this was first asked; for what nobody changes in the demo."""
        if kind not in self._kept:
            self._kept[kind] = self.records(kind)
        return self._kept[kind]

    def category_names(self) -> dict[str, str]:
        """Names of the shop's categories by code, in the shop's first language."""
        found = web.call("GET", f"{self.url}/_sim/records/Category")["records"]
        return {item["code"]: _text(item["name"]) for item in found}

    def mutate(self, *, share: float, seed: int) -> dict[str, Any]:
        """Change a share of the orders: late, edited, cancelled, returned.

        Gives what it says it did: ``orders`` (codes), ``accounts``, ``by_kind`` (numbers).
        """
        body = {"share": share, "seed": seed}
        return dict(web.call("POST", f"{self.url}/_sim/mutate", json_body=body, timeout_s=300))

    def put(self, kind: str, rows: list[dict[str, Any]]) -> None:
        """Store records past the API, as if they had always been there."""
        web.call("POST", f"{self.url}/_sim/records/{kind}", json_body=rows, timeout_s=120)

    def patch(self, kind: str, key: str, values: dict[str, Any]) -> None:
        """Somebody else's edit."""
        web.call("PATCH", f"{self.url}/_sim/records/{kind}/{quote(key, safe='')}", json_body=values)

    def delete(self, kind: str, key: str) -> None:
        """Somebody else removes a record."""
        web.call("DELETE", f"{self.url}/_sim/records/{kind}/{quote(key, safe='')}")

    def orders(self) -> Iterator[dict[str, Any]]:
        """Every order of the shop with its lines and returns."""
        return web.lines(f"{self.url}/_sim/dump/orders")


def _text(value: Any) -> str:
    """A localized value, stored as a text or as texts by language."""
    return str(next(iter(value.values()), "")) if isinstance(value, dict) else str(value or "")
