"""A smaller share of histories over HTTP: a real mapping, real clients, real gate, both simulators, nothing made cheap.

Households of the shop become accounts of the CRM. The oracle is the mapping's rule once more, in Python: after a delta
run the target has every customer stamped at or after the newest stamp read before, less the overlap; after a complete
scan it has all, and those that went are inactive.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

from proofs.oracle import Violation

ROOT = Path(__file__).parents[1]
CUSTOMERS = tuple(range(1, 9))
NAMES = ("Ada Lovelace", "Grace Hopper", "René Descartes", "  padded ", "", "null", "#N/A", 'say "hi", twice')
TOWNS = ("Berlin", "Rome", "Zürich", None)
LATE_S = (30, 290, 600, 900)


@contextmanager
def simulators() -> Iterator[dict[str, Any]]:
    """The ready line of a process that serves both sides."""
    command = [sys.executable, "-m", "simulators", "--port-base", "0", "--seed", "empty", "--control"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())
        finally:
            process.terminate()
            process.wait(timeout=20)


class HttpStory:
    """One history over HTTP. Uses the same helpers as the flow stories."""

    def __init__(self, seed: int, ready: dict[str, Any], folder: Path) -> None:
        far_side, self.walking = _of_tests()
        walking, self.draw = self.walking, random.Random(f"http {seed}")
        sides = {name: far_side(credentials=ready[name], ca_file=None) for name in ("sap_commerce", "salesforce")}
        for side in sides.values():
            side.reset()
            side.clear_faults()
        sides["salesforce"].options(job_min_polls=1, job_latency_ms=0)
        self.connections = {
            f"AIRFLOW_CONN_{name.upper()}_DEFAULT": walking.connection(side) for name, side in sides.items()
        }
        self.shop, self.org, self.walk = walking.Shop(sides["sap_commerce"]), walking.Org(sides["salesforce"]), None
        self.folder, self.runs, self.refused = folder, 0, set[str]()
        self.source: dict[int, dict[str, Any]] = {}
        self.target: dict[str, dict[str, Any]] = {}
        self.high_water: datetime | None = None

    def play(self) -> None:
        """Raises Violation."""
        from commerce_sync.systems import rest

        settings = self.connections | {"COMMERCE_SYNC_HOME": str(self.folder)}
        with mock.patch.dict(os.environ, settings), mock.patch.object(rest, "_pause", return_value=0.0):
            self.walk = self.walking.Walk(self.folder)
            self._edit(self.draw.sample(CUSTOMERS, 4))
            for mode in ("auto", *(self.draw.choice(("changes", "changes", "complete")) for _ in range(3))):
                self._run(mode)
                for _ in range(self.draw.randint(1, 4)):
                    self._act()
            self._run("complete")
            self._run("complete", rests=True)

    def _act(self) -> None:
        kind = self.draw.choice(("edit", "edit", "late", "delete", "wait", "fault", "refuse"))
        if kind in ("edit", "late"):
            self._edit([self.draw.choice(CUSTOMERS)], late_s=self.draw.choice(LATE_S) if kind == "late" else 0)
        elif kind == "wait":
            self.shop.tick(self.draw.choice((1, 60, 400)))
        elif kind == "delete" and len(self.source) > 2:
            self._delete(self.draw.choice(sorted(self.source)))
        elif kind == "fault":
            side = self.draw.choice((self.shop.far, self.org.far))
            side.fault(action=self.draw.choice(("drop_before", "drop_after")), match={"path": "data|Customers"})
        elif kind == "refuse":
            key = f"C{self.draw.choice(CUSTOMERS):04d}"
            self.refused.add(key)
            when = {"field": "Commerce_Id__c", "regex": key}
            self.org.far.fault(action="row_error", object="Account", when=when, times=1)

    def _edit(self, numbers: list[int], *, late_s: int = 0) -> None:
        for number in numbers:
            stamp = datetime.fromisoformat(self.shop.tick()) - timedelta(seconds=late_s)
            values = {"name": self.draw.choice(NAMES), "modifiedtime": stamp.isoformat()}
            town = self.draw.choice(TOWNS)
            if number in self.source:
                self.shop.change(number, address={"town": town}, **values)
            else:
                place = {**self.walking.address(f"C{number}"), "town": town}
                self.shop.customers(number, addresses=[place], **values)
            self.source[number] = {"name": values["name"], "town": town, "stamp": stamp}

    def _delete(self, number: int) -> None:
        self.shop.remove(number)
        del self.source[number]

    def _run(self, mode: str, *, rests: bool = False) -> None:
        assert self.walk is not None
        self.runs += 1
        if mode == "complete" or rests:
            self.refused.clear()
            self.shop.far.clear_faults()
            self.org.far.clear_faults()
        self.org.far.reset_calls()
        leg, now = self.walking.HOUSEHOLDS, datetime.now().astimezone() + timedelta(hours=3 * self.runs)
        run = self.walk.attempt(leg, mode, now=now)
        if self.walk.error is not None:
            self._failed(run)
        elif not (run.balanced and run.status == "green"):
            raise Violation(f"{run.run} is {run.status}: {run}")
        else:
            self._look(run)
        if rests and self.org.writes():
            raise Violation(f"{run.run} had nothing to do and wrote {self.org.writes()} times")

    def _failed(self, run: Any) -> None:
        from commerce_sync.errors import GuardError, RetryableError

        assert self.walk is not None
        if not isinstance(self.walk.error, RetryableError | GuardError):
            raise Violation(f"{run.run}: {self.walk.error!r}")

    def _look(self, run: Any) -> None:
        """What was read has arrived or is named; nothing else changed."""
        assert self.walk is not None
        mapping, rejects = self.walk.mapping(run.leg), self.walk.rejects(run.leg)
        low = self.high_water - mapping.source.overlap if self.high_water and run.kind == "changes" else None
        read = {number: row for number, row in self.source.items() if low is None or row["stamp"] >= low}
        for number, row in read.items():
            self.target[f"C{number:04d}"] = expected(f"C{number:04d}", row)
        if run.kind == "complete":
            for key in set(self.target) - {f"C{number:04d}" for number in self.source}:
                self.target[key]["Commerce_Active__c"] = False
        found = self.org.accounts
        for key, values in self.target.items():
            held = {name: found.get(key, {}).get(name) for name in values}
            if held != values and key not in rejects:
                raise Violation(f"{run.run}: {key} is {held}, the shop had {values}")
        if extra := set(found) - set(self.target):
            raise Violation(f"{run.run}: {extra} were never in the shop")
        stamps = [row["stamp"] for row in read.values()]
        self.high_water = max([*([self.high_water] if self.high_water else []), *stamps], default=None)


@cache
def _of_tests() -> tuple[Any, Any]:
    """The view of a far side, and the walking of legs, that the flow stories use; in a home of their own."""
    sys.path[:0] = [path for path in (str(ROOT / "tests"), str(ROOT)) if path not in sys.path]
    _executed("home_of_tests", ROOT / "conftest.py")
    return _executed("far_sides_of_tests", ROOT / "tests" / "conftest.py").FarSide, importlib.import_module(
        "flows.walking"
    )


def _executed(name: str, path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def expected(key: str, row: dict[str, Any]) -> dict[str, Any]:
    """The mapping file's rule for a household."""
    name = row["name"].strip(" ") or key
    return {"Name": f"{name} (household)", "BillingCity": row["town"], "Commerce_Active__c": True}


def histories(first: int, count: int) -> tuple[int, int, dict[int, str], float]:
    """Histories, runs, what failed by seed, seconds."""
    began, runs, failed = time.monotonic(), 0, {}
    _of_tests()
    with simulators() as ready:
        for seed in range(first, first + count):
            with tempfile.TemporaryDirectory(prefix="proof-http-", ignore_cleanup_errors=True) as folder:
                story = HttpStory(seed, ready, Path(folder))
                try:
                    story.play()
                except Exception as error:
                    failed[seed] = f"{type(error).__name__}: {error}"
                runs += story.runs
    return count, runs, failed, time.monotonic() - began
