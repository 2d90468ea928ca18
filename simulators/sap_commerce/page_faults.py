"""Faults of page chains: one that ends early, one whose rows move while it is read.

``{"action": "truncate", "path": regex, "after_rows": n}`` ends a chain after n rows without ``__next``.
``{"action": "page_shift", "path": regex}`` takes the first row out of the filtered set after the first page
was served: all later pages move up by one, so one unread row falls between two pages. The row that left was
really touched: its modifiedtime is now.
"""

from __future__ import annotations

import re
from array import array
from typing import Any

from simulators.faults import Faults, Rule
from simulators.sap_commerce.store import Store

ACTIONS = {"truncate", "page_shift"}


class PageFaults:
    """Applies the standing page rules to one system's collections."""

    def __init__(self, faults: Faults, *, store: Store) -> None:
        self._faults, self._store = faults, store
        self._vanished: dict[str, int] = {}

    def clear(self) -> None:
        self._vanished.clear()

    def truncated(self, page: list[int], more: bool, *, path: str, offset: int) -> tuple[list[int], bool]:
        """Cut a page (and its chain) at the row a rule names."""
        for rule in self._matching("truncate", path):
            left = int(rule.spec.get("after_rows", 0)) - offset
            if left <= len(page) and (more or left < len(page)) and rule.spend():
                return page[: max(left, 0)], False
        return page, more

    def shifted(self, pks: array[int], *, path: str, offset: int) -> array[int]:
        """The selection without the row that left it since the first page."""
        chain = re.sub(r"&?\$skip(token)?=\d+", "", path)
        if offset == 0:
            self._vanished.pop(chain, None)
            return pks
        if chain not in self._vanished:
            for rule in self._matching("page_shift", path):
                if len(pks) and rule.spend():
                    self._vanished[chain] = pks[0]
                    self._store.update(pks[0], {})
        gone: Any = self._vanished.get(chain)
        return pks if gone is None else array("q", (pk for pk in pks if pk != gone))

    def _matching(self, action: str, path: str) -> list[Rule]:
        rules = []
        for rule in self._faults.active(action):
            pattern = rule.spec.get("path") or (rule.spec.get("match") or {}).get("path")
            if pattern is None or re.search(pattern, path):
                rules.append(rule)
        return rules
