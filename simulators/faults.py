"""Faults by rule: what goes wrong, for which requests, how often.

A rule is JSON: ``{"match": {"method", "path", "body"}, "action": ..., "skip": 0, "times": 1, ...}``.
Actions of the kernel: status, delay, drop_before, drop_after, truncate. Systems declare their own three ways:
``at_once`` (happens when the rule is posted), ``on_request`` (answers instead of the handler),
``standing`` (the system asks for it with ``active`` and ``spend`` while it works).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

KERNEL_ACTIONS = ("status", "delay", "drop_before", "drop_after", "truncate")
MATCH_KEYS = {"method", "path", "body"}


@dataclass(slots=True)
class Rule:
    """One fault; ``spec`` is the JSON as posted, where systems find keys of their own."""

    number: int
    spec: dict[str, Any]
    action: str
    skip: int
    times: int | None
    method: str | None = None
    path: re.Pattern[str] | None = None
    body: re.Pattern[str] | None = None
    hits: int = 0

    @property
    def spent(self) -> bool:
        return self.times is not None and self.hits >= self.times

    def spend(self) -> bool:
        """Use the rule once; False while it still skips or when nothing is left of it."""
        if self.skip > 0:
            self.skip -= 1
            return False
        if self.spent:
            return False
        self.hits += 1
        return True

    def report(self) -> dict[str, Any]:
        return self.spec | {"id": self.number, "hits": self.hits, "left": _left(self)}


@dataclass(slots=True)
class Faults:
    """The rules of one system, in the order they were posted."""

    rules: list[Rule] = field(default_factory=list)
    at_once: dict[str, Callable[[dict[str, Any]], Any]] = field(default_factory=dict)
    on_request: dict[str, Callable[[Rule, web.Request], web.StreamResponse]] = field(default_factory=dict)
    standing: set[str] = field(default_factory=set)
    posted: int = 0
    restarts: int = 0

    def add(self, spec: dict[str, Any]) -> dict[str, Any]:
        """Take one rule; raises ValueError naming the legal values when it is malformed."""
        action = spec.get("action")
        if action in self.at_once:
            return {"action": action, "done": self.at_once[action](spec)}
        rule = self._parse(spec)
        self.rules.append(rule)
        return rule.report()

    def clear(self) -> None:
        self.rules.clear()

    def restart(self) -> None:
        """The system begins anew: no rules, and what a rule holds back does not reach it any more."""
        self.clear()
        self.restarts += 1

    def active(self, action: str) -> list[Rule]:
        """The unspent rules of one standing action; the caller decides on ``spend``."""
        return [rule for rule in self.rules if rule.action == action and not rule.spent]

    async def for_request(self, request: web.Request) -> Rule | None:
        """The first rule that hits this request, already spent once."""
        for rule in self.rules:
            if rule.spent or rule.action in self.standing:
                continue
            if await _matches(rule, request) and rule.spend():
                return rule
        return None

    def _parse(self, spec: dict[str, Any]) -> Rule:
        action = spec.get("action")
        legal = [*KERNEL_ACTIONS, *sorted({*self.at_once, *self.on_request, *self.standing})]
        if action not in legal:
            raise ValueError(f"fault action {action!r} is unknown; legal: {', '.join(legal)}")
        match = spec.get("match") or {}
        if unknown := set(match) - MATCH_KEYS:
            raise ValueError(f"fault match has unknown keys {sorted(unknown)}; legal: {sorted(MATCH_KEYS)}")
        self.posted += 1
        return Rule(
            number=self.posted,
            spec=spec,
            action=action,
            skip=int(spec.get("skip", 0)),
            times=spec.get("times", 1),
            method=match.get("method"),
            path=_pattern(match.get("path")),
            body=_pattern(match.get("body")),
        )


def _left(rule: Rule) -> int | None:
    return None if rule.times is None else max(rule.times - rule.hits, 0)


def _pattern(text: str | None) -> re.Pattern[str] | None:
    try:
        return re.compile(text) if text else None
    except re.error as error:
        raise ValueError(f"fault match {text!r} is not a regular expression: {error}") from error


async def _matches(rule: Rule, request: web.Request) -> bool:
    if rule.method and rule.method.upper() != request.method:
        return False
    if rule.path and not rule.path.search(request.path_qs):
        return False
    if rule.body is None:
        return True
    return rule.body.search((await request.read()).decode("utf-8", "replace")) is not None
