"""Every fault the simulators offer, and what is documented to come of it.

What can come of a fault, in the words of the table:
    none       nobody notices: the run is as without it
    retried    a call or a task was tried again; the run is green and both sides are equal
    named      rows did not arrive, and the ledger names each of them; later runs bring them home
    stopped    the run failed and moved no marker it may not move; later runs bring everything home
    late       the far side gave less than it has, which no reader can see; the next complete scan finds it
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from commerce_sync.mapping import Mapping, Source

Spec = dict[str, Any]
PASSES = frozenset({"none", "retried"})
"""Seconds of trouble."""
LASTS = frozenset({"stopped", "named"})
"""Trouble for as long as the run takes."""
REFUSED = frozenset({"named"})
ANY_BUT_LATE = PASSES | LASTS


@dataclass(frozen=True)
class Fault:
    """One kind of rule. spec: its JSON.   may: what may come of it.   once: at each route of the flow.

    midway: posted in the middle of the run, for what acts at once.   objects: for each target object of the flow.
    legs: how the flow's legs have to be to meet it (see ``shaped``).   touches: it modifies a record of the source.
    """

    system: str
    name: str
    spec: Spec
    may: frozenset[str]
    once: bool = False
    midway: bool = False
    objects: bool = False
    methods: Sequence[str] = ()
    legs: str = ""
    touches: bool = False

    @property
    def digest(self) -> str:
        """Names the rule as it is now: another one when anything about it changes."""
        told = json.dumps(asdict(self), sort_keys=True, default=sorted)
        return hashlib.sha256(told.encode()).hexdigest()[:12]


def shaped(mappings: Sequence[Mapping], legs: str) -> list[Mapping]:
    """The legs as a fault needs them.

    ``paging``: the shop is read by its own links, row by row.   ``bulk``: Salesforce is sent jobs, whatever the number.
    """
    return [SHAPES[legs](item) for item in mappings]


def _paging(mapping: Mapping) -> Mapping:
    return replace(mapping, sources=tuple(_row_by_row(item) for item in mapping.sources))


def _row_by_row(source: Source) -> Source:
    if source.system != "sap_commerce":
        return source
    return replace(source, options={**source.options, "page_rows": 1, "paging": "next"})


def _bulk(mapping: Mapping) -> Mapping:
    return replace(mapping, target=replace(mapping.target, bulk_from=1))


SHAPES: dict[str, Callable[[Mapping], Mapping]] = {"": lambda mapping: mapping, "paging": _paging, "bulk": _bulk}


def _everywhere(name: str, may: frozenset[str], **spec: Any) -> list[Fault]:
    systems = SYSTEMS[1:] if spec["action"] == "truncate" else SYSTEMS  # the shop's truncate is one of its own
    return [Fault(system, name, spec, may, once=True) for system in systems]


SYSTEMS = ("sap_commerce", "salesforce", "iconik", "opentext_iot")
ALWAYS: Spec = {"times": None}
KERNEL = [
    *_everywhere("429 with Retry-After, once", PASSES, action="status", status=429, headers={"Retry-After": "0"}),
    *_everywhere("429, and no end", LASTS, action="status", status=429, headers={"Retry-After": "0"}, **ALWAYS),
    *_everywhere("503, once", PASSES | {"named"}, action="status", status=503),
    *_everywhere("503, and no end", LASTS, action="status", status=503, **ALWAYS),
    *_everywhere("500, once", ANY_BUT_LATE, action="status", status=500, body={}),
    *_everywhere("401, once", PASSES | {"stopped"}, action="status", status=401, body={}),
    *_everywhere("403, once", LASTS, action="status", status=403, body={}),
    *_everywhere("slow", PASSES, action="delay", delay_ms=100),
    *_everywhere("connection lost before, once", PASSES, action="drop_before"),
    *_everywhere("connection lost before, and no end", LASTS, action="drop_before", **ALWAYS),
    *_everywhere("connection lost after, once", PASSES, action="drop_after"),
    *_everywhere("connection lost after, and no end", LASTS, action="drop_after", **ALWAYS),
    *_everywhere("half an answer, once", PASSES, action="truncate", bytes=5),
    *_everywhere("half an answer, and no end", LASTS, action="truncate", bytes=5, **ALWAYS),
]
OWN = [
    *[Fault(system, "all tokens end", {"action": "expire_tokens"}, PASSES, midway=True)
      for system in SYSTEMS if system != "iconik"],
    Fault("sap_commerce", "deadlock, once", {"action": "deadlock"}, ANY_BUT_LATE, once=True,
          methods=("POST", "PUT", "PATCH", "DELETE")),
    Fault("sap_commerce", "deadlock, and no end", {"action": "deadlock", **ALWAYS}, LASTS, once=True,
          methods=("POST", "PUT", "PATCH", "DELETE")),
    Fault("sap_commerce", "a page chain ends early", {"action": "truncate", "path": ".", "after_rows": 1},
          ANY_BUT_LATE | {"late"}),
    Fault("sap_commerce", "rows move between pages", {"action": "page_shift", "path": "."}, ANY_BUT_LATE | {"late"},
          legs="paging", touches=True),
    Fault("salesforce", "a row refused, once", {"action": "row_error", "times": 1}, REFUSED, objects=True),
    Fault("salesforce", "rows refused, and no end", {"action": "row_error", **ALWAYS}, LASTS, objects=True),
    Fault("salesforce", "a row locked, once", {"action": "lock", "times": 1}, PASSES | REFUSED, objects=True),
    Fault("salesforce", "rows locked, and no end", {"action": "lock", **ALWAYS}, LASTS, objects=True),
    Fault("salesforce", "a bulk job fails", {"action": "job_failed", "after_rows": 0}, ANY_BUT_LATE, legs="bulk"),
    Fault("salesforce", "a bulk job fails half-way", {"action": "job_failed", "after_rows": 1}, ANY_BUT_LATE,
          legs="bulk"),
    Fault("salesforce", "the day's calls are used up, once", {"action": "quota"}, ANY_BUT_LATE, once=True),
    Fault("iconik", "429 of a burst, once", {"action": "rate_limit", "retry_after": 0}, PASSES, once=True),
    Fault("iconik", "429, and no end", {"action": "rate_limit", "retry_after": 0, **ALWAYS}, LASTS, once=True),
    Fault("iconik", "signed addresses end", {"action": "expire_urls"}, PASSES, midway=True),
    Fault("iconik", "a download breaks off", {"action": "truncate_download"}, PASSES | REFUSED),
    Fault("iconik", "a download has other bytes", {"action": "corrupt_download"}, PASSES | REFUSED),
    Fault("iconik", "a transcode fails", {"action": "transcode_fails", "message": "no"}, ANY_BUT_LATE),
    Fault("opentext_iot", "somebody writes in between", {"action": "version_conflict", "times": 1}, PASSES | REFUSED),
    Fault("opentext_iot", "somebody writes in between, again and again", {"action": "version_conflict", **ALWAYS},
          ANY_BUT_LATE),
    Fault("opentext_iot", "lists lag behind", {"action": "index_lag", "seconds": 600, **ALWAYS},
          ANY_BUT_LATE | {"late"}),
    Fault("opentext_iot", "messages are lost", {"action": "lose_events", "times": 1}, ANY_BUT_LATE | {"late"}),
    Fault("opentext_iot", "429 in its own words, once", {"action": "quota", "retry_after_s": 0}, PASSES, once=True),
    Fault("opentext_iot", "429 in its own words, and no end", {"action": "quota", "retry_after_s": 0, **ALWAYS}, LASTS,
          once=True),
]  # fmt: skip
FAULTS: list[Fault] = [*KERNEL, *OWN]

ELSEWHERE: dict[str, str] = {
    "webhook_loss, webhook_double, webhook_reorder, webhook_delay": "webhooks: tests/receiver",
    "lose_pushes, duplicate_pushes, reorder_pushes": "subscriptions: tests/receiver",
    "duplicate_events, erase_events, delay_events, corrupt_events, truncate_search, count_mismatch, "
    "duplicate_results, reorder_events": "the event search, which the feeds of the inbox poll: tests/systems",
    "expire_tokens": "iconik's: no call renews them, a person has to: tests/systems",
    "hold_jobs": "a run that waits for ever: the deadline of the DAG tells somebody",
}
"""Rules that no leg of a flow can meet, and where they are met."""


@dataclass(frozen=True)
class Case:
    """A fault at one place of one flow."""

    fault: Fault
    spec: Spec
    where: str = ""
    at: str = field(default="")

    @property
    def name(self) -> str:
        place = f" | {self.where}" if self.where else ""
        return f"{self.fault.system} | {self.fault.name}{place}"

    @property
    def may(self) -> frozenset[str]:
        """What may come of it here.

        A write whose answers never come was done all the same: who looks before trying again finds it done. iconik
        refuses single objects (403), so the task is tried again. The fields of an object are asked for where that is
        possible; what nobody could say beforehand the load finds out.
        """
        match = self.spec.get("match", {})
        if "/describe(" in match.get("path", ""):
            return self.fault.may | PASSES
        writes = match.get("method", "GET") != "GET"
        if writes and self.fault.spec["action"] in ("drop_after", "truncate"):
            return self.fault.may | PASSES
        refused = self.fault.system == "iconik" and self.fault.spec.get("status") == 403
        return self.fault.may | {"retried"} if refused else self.fault.may


def cases(routes: Sequence[tuple[str, str, str]], objects: Sequence[str], *, called: Callable[[str], list[str]],
          systems: Sequence[str]) -> list[Case]:  # fmt: skip
    """The faults a flow can meet. routes: (system, method, path as a regular expression) of its calls.

    objects: of Salesforce that it writes.   called: the names of its HTTP steps at a system.   systems: it talks to.
    """
    found: list[Case] = []
    for fault in FAULTS:
        if fault.system not in systems:
            continue
        if fault.once:
            found += _at_routes(fault, routes)
        elif fault.midway:
            steps = called(fault.system)
            found += [Case(fault, fault.spec, "midway", steps[len(steps) // 2])] if steps else []
        elif fault.objects:
            found += [Case(fault, fault.spec | {"object": name}, name) for name in objects]
        else:
            found.append(Case(fault, fault.spec))
    return found


def _at_routes(fault: Fault, routes: Sequence[tuple[str, str, str]]) -> list[Case]:
    chosen = [(method, path) for system, method, path in routes if system == fault.system]
    return [Case(fault, fault.spec | {"match": {"method": method, "path": path}}, f"{method} {path}")
            for method, path in chosen if not fault.methods or method in fault.methods]  # fmt: skip
