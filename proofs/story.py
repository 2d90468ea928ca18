"""Plays one history through the real engine and asks the oracle after every run."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

from commerce_sync import mapping_file, walk
from commerce_sync.company import LegBusy
from commerce_sync.errors import GuardError, SyncError
from commerce_sync.ledger import Run
from commerce_sync.mapping import Approval, Mapping, Retries
from commerce_sync.window import Request
from proofs.acts import LATEST_COMMIT_S, Act, History
from proofs.cheap import Ground
from proofs.clock import START, clock
from proofs.crm import Crm, Cut
from proofs.oracle import Oracle, Violation
from proofs.shop import Down, Reading, Shop

LEG = "people_to_crm"
HELD = "City = 'Rome'"
YAML = r"""
leg: people_to_crm
from:
  system: sap_commerce
  service: People
  entity_set: People
  key: code
  modified: modifiedtime
  columns:
    {code: VARCHAR, name: VARCHAR, note: VARCHAR, city: VARCHAR, amount: DOUBLE, number: BIGINT, since: TIMESTAMP,
     hidden: BOOLEAN, modifiedtime: TIMESTAMP}
key: code
where: NOT hidden
to: {system: salesforce, object: Person, external_id: Code}
fields:
  Code: code
  Active: "true"
  Name: name
  Note: {value: note, on_null: leave}
  City: "nullif(trim(city), '')"
  Amount: amount
  Ratio: "CASE WHEN number = 13 THEN 'nan'::DOUBLE WHEN number = 0 THEN -amount ELSE amount / number END"
  Number: number
  Since: since
guards: {max_deletes: null, max_rejected: null, max_quarantined: null}
complete_scan: null
"""


@cache
def declared() -> Mapping:
    """The leg, read from a file as usual."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{LEG}.yaml"
        path.write_text(YAML)
        return mapping_file.load(path)


def mapping_of(setting: dict[str, Any]) -> Mapping:
    """The leg in a history's setting."""
    plain = declared()
    options = {name: setting[name] for name in ("page_rows", "paging", "precision", "concurrency")}
    options |= {"tiebreak": ["code"], "check_columns": False}
    source = replace(plain.source, overlap=timedelta(seconds=setting["overlap_s"]), options=options)
    on_delete = {"clear": {"Active": "false"}}.get(setting["on_delete"], setting["on_delete"])
    target = replace(plain.target, on_delete=on_delete, on_leave=setting["on_leave"])
    if on_delete == "ignore":
        target = replace(target, on_leave="ignore")
    held = Approval(rows=HELD) if setting["held"] else None
    retries = Retries(attempts=99, first_pause=timedelta(minutes=1))
    return replace(plain, sources=(source,), target=target, approval=held, retries=retries)


class Story:
    """One history on its way. ``say`` is told what happens; ``sabotage`` is called before each step of ``doomed``."""

    def __init__(self, history: History, ground: Ground, say: Callable[[str], None] = lambda _text: None) -> None:
        clock.time = START
        self.history, self.say = history, say
        self.site, self.ledger = ground.site(), ground.ledger
        self.shop = Shop(clock, grain_ms=history.setting["grain_ms"])
        self.shop.skew = timedelta(seconds=history.setting["skew_s"])
        self.crm = Crm(random.Random(history.seed))
        self.mapping = mapping_of(history.setting)
        self.oracle = Oracle(self.shop, self.crm, self.site, history.setting)
        self.reading = Reading(self.shop, self._before_call)
        self.runs = 0
        self._queue: dict[str, list[Any]] = {}
        self._fault: list[Any] | None = None
        self._name = ""
        self._left = False

    def play(self) -> None:
        """All acts, then quiet. Raises Violation."""
        for act in self.history.acts:
            self._act(act)
        self.quiet()

    def _act(self, act: Act) -> None:
        if act[0] != "run":
            self.say(f"{clock.time:%d %H:%M:%S.%f}  {act}")
        name, *rest = act
        getattr(self, f"_do_{name}")(*rest)

    def _do_edit(self, key: str, values: dict[str, Any], delay_s: float) -> None:
        self.shop.edit(key, values, delay_s=delay_s)

    def _do_delete(self, key: str) -> None:
        self.shop.delete(key)

    def _do_wait(self, seconds: float) -> None:
        self.shop.wait(seconds)

    def _do_skew(self, seconds: float) -> None:
        self.shop.skew = timedelta(seconds=seconds)

    def _do_restart(self) -> None:
        self.shop.restart()

    def _do_refuse(self, key: str, times: int, outcome: str) -> None:
        self.crm.refuses[key] = [times, outcome]

    def _do_allow(self) -> None:
        self.crm.refuses.clear()

    def _do_map(self) -> None:
        self.mapping = replace(self.mapping, version=self.mapping.version + 1)

    def _do_nudge(self) -> None:
        """A webhook that came twice: the second run has to give way."""
        try:
            self._walk("nudged", Request(mode="changes"))
        except LegBusy:
            return
        raise Violation("a second run of the leg went on beside the first")

    def _do_run(self, run: dict[str, Any]) -> None:
        self.runs += 1
        self._name = f"run-{self.runs}"
        self._queue = {name: sorted(run.get(name, []), key=lambda item: item[0]) for name in ("read", "load")}
        self._fault = run.get("fault")
        failed = self._once(run)
        self._queue, self._fault, self.ledger.fault = {}, None, None
        if failed and run.get("again"):
            self._once(run)

    def _once(self, run: dict[str, Any]) -> bool:
        """One try of a run, looked at; gives whether it failed of what the history did to it."""
        look = self.oracle.before(self._name, run["mode"], self.mapping, self._window(run))
        self.crm.run, self.reading.done = self._name, False
        if self._fault and self._fault[0].startswith("settle"):
            self.ledger.fault = self._fault[0]
        try:
            row = self._walk(self._name, self._request(run))
        except (Down, Cut, GuardError) as error:
            self.say(f"{clock.time:%d %H:%M:%S}  {self._name} {run['mode']}: {type(error).__name__} {error}")
            self.oracle.after_failure(look, error, self.reading)
            return True
        except SyncError as error:
            if self.oracle.excuses(look, error):
                return True
            raise Violation(f"{self._name}: {type(error).__name__}: {error}") from error
        self._tell(row)
        self.oracle.after(look, row, self.reading)
        return False

    def _tell(self, row: Run) -> None:
        counts = {name: number for name, number in row.counts.items() if number}
        self.say(f"{clock.time:%d %H:%M:%S}  {row.run} {row.kind} {row.status} since {row.since} {counts}")

    def _window(self, run: dict[str, Any]) -> tuple[Any, Any] | None:
        if "window" not in run:
            return None
        start, end = (clock.time - timedelta(seconds=item) for item in run["window"])
        return start, end

    def _request(self, run: dict[str, Any]) -> Request:
        window = self._window(run)
        if window is None:
            return Request(mode=run["mode"])
        return Request(since=window[0], until=window[1], backfill=True)

    def _walk(self, name: str, request: Request) -> Run:
        return walk.leg(
            self.site, self.mapping, name, request=request, now=clock.time,
            sources=lambda _source, _on_call: self.reading, targets=lambda _mapping, _on_call: self._target(),
        )  # fmt: skip

    def _target(self) -> Crm:
        self.crm.before_row = self._before_row
        return self.crm

    def _before_call(self, number: int) -> None:
        self._happen("read", number)
        if self._fault and self._fault[0] == "read" and number >= self._fault[1]:
            self._fault = None
            raise Down("the shop restarts")

    def _before_row(self, number: int) -> None:
        self._happen("load", number)
        if self._fault and self._fault[0] == "load" and number >= self._fault[1]:
            self._fault = None
            raise Cut("the connection was cut")

    def _happen(self, where: str, number: int) -> None:
        queue = self._queue.get(where, [])
        while queue and queue[0][0] <= number:
            self._act(queue.pop(0)[1])

    def quiet(self) -> None:
        """No more edits, nothing refused: a delta run, a complete scan, and then there is nothing left to do."""
        self.crm.refuses.clear()
        held = self.history.setting["held"]
        for mode, wait_s in (
            ("changes", LATEST_COMMIT_S + 1),
            ("complete", 86_400),
            *([("complete", 1)] if held else []),
        ):
            self.shop.wait(wait_s)
            self._do_run({"mode": mode})
            self._approve()
        written = len(self.crm.writes)
        self._do_run({"mode": "complete" if self.history.seed % 2 else "changes"})
        if len(self.crm.writes) != written:
            raise Violation(f"the last run had nothing to do and wrote {self.crm.writes[written:]}")
        self.oracle.at_rest()

    def _approve(self) -> None:
        if self.history.setting["held"]:
            self.ledger.answer_holds(LEG, keys=None, status="approved", by="proof")
