"""One flow in one scene, played as often as wanted from the same moment: undisturbed, then with one step disturbed.

Everything is made once: both sides filled, a first run, and what happens on them before the next one. From there on
each play is a copy: of the simulators (see ``rewind``), of the folder with ledger and batches, and of this process.
What comes before a step is made once as well: the kept moment can go on by one undisturbed task (``advance``).
"""

from __future__ import annotations

import gc
import json
import os
import pickle
import re
import shutil
import signal
import sqlite3
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import pyarrow.parquet as pq

from commerce_sync.leg import Site
from commerce_sync.mapping import Mapping
from commerce_sync.window import Request
from proofs.crash_steps import Watch, plain, watch
from proofs.crash_tasks import DagRun, tasks_of
from proofs.rewind import Rewindable

Found = TypeVar("Found")
ROUND = "round-{}"
MOST_RUNS = 3
"""Scheduled runs that may follow one that failed."""
LONGEST_S = 900
DRAWN = re.compile(r"\d{4}-\d\d-\d\d[T ][\d:.+]+|[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{8,}|\d{8}T\d{6}")
"""Moments and ids in facts and in names of files: others in every play."""
ACCOUNTS = ("ledger_budget", "ledger_calls")
"""Tables that tell of calls: tried again, a task makes more of them."""


@dataclass
class End:
    """How a play ended. look: what the story looks at.   census: rows at the far sides.   ledger: what it knows.

    jobs: remote jobs by state.   writes: calls that could change something.   runs: scheduled runs it took.
    failed: why runs failed.   said: tries that came to nothing.   met: the disturbed step was reached.
    calls: system, method and path of what was called.   later: how it stood after the runs that followed.
    hits: how often a fault was met.   stores: rows of the ledger's tables, and what stands in files.   after: the leg
    or the task the play ended with; none when the run, or those that followed it, had nothing more to do.
    """

    look: Any
    census: dict[str, int]
    jobs: dict[str, int]
    ledger: dict[str, Any]
    writes: int
    runs: int
    failed: list[str]
    said: list[str]
    met: bool
    steps: list[tuple[str, str]] = field(default_factory=list)
    calls: list[tuple[str, str, str]] = field(default_factory=list)
    later: End | None = None
    hits: int = 0
    stores: dict[str, Any] = field(default_factory=dict)
    after: str = ""


@dataclass(frozen=True)
class Unseen:
    """The story could not look: a record it expects is not there (yet)."""

    why: str


@dataclass(frozen=True)
class Stop:
    """A leg or a task after which a play may end: if ``enough`` says so of how it stands there."""

    after: str
    enough: Callable[[End], bool] = lambda _end: True


class Scene:
    """open_site: the stores in a folder.   sides: views of the far sides by name."""

    def __init__(
        self, mappings: list[Mapping], folder: Path, *, look: Callable[[], Any], open_site: Callable[[Path], Site],
        rewindable: Rewindable, is_write: Callable[[str], bool],
    ) -> None:  # fmt: skip
        self.mappings, self.folder, self.look, self.open_site = mappings, folder, look, open_site
        self.rewindable, self.is_write = rewindable, is_write
        self.sides, self.place = _sides(), 0
        self.pause_s: float | None = 0
        self.played, self.tells_calls = mappings, False

    def of(self, system: str) -> Any:
        """The view of one system."""
        return next(side for side in self.sides.values() if side.system == system)

    @property
    def home(self) -> Path:
        """Where ledger and batches of the flow are."""
        return self.folder / "installation"

    def begin(self, reset: Callable[[], None], edit: Callable[[int], None]) -> None:
        """The first run and what happens after it; from here on everything is a copy."""
        reset()
        self.home.mkdir()
        edit(0)
        run = DagRun(self.open_site(self.home), self.mappings, ROUND.format(0))
        while not run.over:
            run.step()
        if run.failed:
            raise RuntimeError(f"the first run failed: {run.failed}")
        edit(1)
        for side in self.sides.values():
            side.reset_calls()
        self.kept = self.folder.with_name(f"{self.folder.name}-kept")
        self._keep()

    @property
    def task(self) -> str:
        """The task of the run that comes next; empty when all are done."""
        names = [str(item) for item in tasks_of(self.mappings)]
        return names[self.place] if self.place < len(names) else ""

    def advance(self) -> None:
        """Do the next task undisturbed; plays begin after it from now on. Raises RuntimeError when it fails."""
        self._again_as_kept()
        self.place = _in_a_copy(self._advanced)
        self._keep()

    def _advanced(self) -> int:
        run = self._run("")
        run.step()
        if run.said:
            raise RuntimeError(f"an undisturbed task failed: {run.said}")
        return run.place

    def _keep(self) -> None:
        shutil.rmtree(self.kept, ignore_errors=True)
        shutil.copytree(self.folder, self.kept)

    def _again_as_kept(self) -> None:
        shutil.rmtree(self.folder)
        shutil.copytree(self.kept, self.folder)

    def play(
        self, on: Watch | None = None, *, before: Callable[[], None] | None = None,
        after: Callable[[], int] | None = None, rest: Callable[[End], list[str]] | None = None,
        pause_s: float | None = 0, mappings: Sequence[Mapping] | None = None, stops: Sequence[Stop] = (),
        calls: bool = False,
    ) -> End:  # fmt: skip
        """One play from the kept moment. on: what watches, or disturbs, the steps of the first try.

        before: what is done to the far sides first.   after: what is done to them when the run is over, failed or not;
        gives ``hits``.   rest: gives the modes of the runs that follow. Without it the schedule goes on until a run
        succeeds.   pause_s: before each leg begins; None: all begin at the same moment.   mappings: other legs.
        stops: where the play may end, in the order of the run.   calls: whether its end tells what was called.
        """
        self.pause_s, self.played, self.tells_calls = pause_s, list(mappings or self.mappings), calls
        self._again_as_kept()
        self.rewindable.branch()
        try:
            return _in_a_copy(lambda: self._played(on, before, after, rest, stops))
        finally:
            self.rewindable.back()

    def _played(
        self, on: Watch | None, before: Callable[[], None] | None, after: Callable[[], int] | None,
        rest: Callable[[End], list[str]] | None, stops: Sequence[Stop],
    ) -> End:  # fmt: skip
        if before is not None:
            before()
        first = self._run("")
        first.stop_after(stops[0].after if stops else "")
        met, steps = (False, []) if on is None else self._watched(first, on)
        for stop in stops:
            first.stop_after(stop.after)
            _to_its_end(first)
            here = self._end([first], met=met, steps=steps, after=stop.after)
            if not first.failed and stop.enough(here):
                return here
        first.stop_after("")
        _to_its_end(first)
        hits = after() if after is not None else 0
        if rest is not None:
            return self._rested(self._end([first], met=met, steps=steps, hits=hits), rest)
        runs = [first]
        while runs[-1].failed and len(runs) <= MOST_RUNS:
            runs.append(self._run(f"-next-{len(runs)}"))
            _to_its_end(runs[-1])
        return self._end(runs, met=met, steps=steps)

    def _rested(self, now: End, rest: Callable[[End], list[str]]) -> End:
        """The end of the run, with the end of those that follow in ``later``."""
        later: list[DagRun] = []
        for mode in rest(now):
            later.append(self._run(f"-{mode}-{len(later)}", mode))
            _to_its_end(later[-1])
        now.later = self._end(later, met=now.met, steps=[]) if later else None
        return now

    def _run(self, suffix: str, mode: Any = "auto") -> DagRun:
        asked = Request(mode=mode)
        site, name = self.open_site(self.home), ROUND.format(1) + suffix
        run = DagRun(site, self.played, name, asked=asked, pause_s=self.pause_s)
        run.place = 0 if suffix else self.place
        return run

    def _watched(self, run: DagRun, on: Watch) -> tuple[bool, list[tuple[str, str]]]:
        """The first process of a run: until it dies, something fails, or all is done. Moves ``run`` to where it got."""
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            _live(run, on, writing)
        os.close(writing)
        with os.fdopen(reading, encoding="utf-8") as lines:
            told = [json.loads(line) for line in lines]
        _, status = os.waitpid(child, 0)
        met, steps = any("hit" in item for item in told), []
        for item in told:
            if "idle" in item:
                run.went_well(item["idle"])
            if "broke" in item:
                run.broke(item["broke"], retry=item["retry"])
            steps = item.get("steps", steps)
        if os.WIFSIGNALED(status):
            run.broke("killed", retry=True)
        return met, [tuple(step) for step in steps]

    def _end(
        self, runs: list[DagRun], *, met: bool, steps: list[tuple[str, str]], hits: int = 0, after: str = ""
    ) -> End:
        calls = [(side.system, item["method"], item["path"].partition("?")[0])
                 for side in self.sides.values() if self.tells_calls
                 for item in side.calls(log=True)["log"]]  # fmt: skip
        routes = [item for side in self.sides.values() for item in side.calls()["by_route"].items()]
        held = self.rewindable.holdings()
        return End(
            look=self._looked(), census=held["census"], jobs=held["jobs"], ledger=self._ledger(runs),
            writes=sum(count for route, count in routes if self.is_write(route)), runs=len(runs),
            failed=[run.failed for run in runs if run.failed], said=[why for run in runs for why in run.said],
            met=met, steps=steps, calls=list(dict.fromkeys(calls)), hits=hits, after=after,
            stores=self._stores(after),
        )  # fmt: skip

    def _stores(self, after: str) -> dict[str, Any]:
        """What the ledger keeps besides the accounts of calls, and what files keep.

        After a task: with all that the run's next task may read, row by row.
        """
        with closing(sqlite3.connect(self.home / "ledger.db")) as db:
            tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()]
            found: dict[str, Any] = {name: db.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]
                                     for name in tables if not name.startswith(ACCOUNTS)}  # fmt: skip
        files = self.home / "batches"
        for file in (files / "history").rglob("*.parquet"):
            name = plain(str(file.relative_to(files)))
            found[name] = found.get(name, 0) + pq.read_metadata(file).num_rows
        leg, _, task = after.partition(".")
        for folder in ["stores", *([f"runs/{leg}"] if task else [])]:
            for manifest in sorted((files / folder).rglob("manifest.json")):
                found.setdefault(_undrawn(str(manifest.relative_to(files))), []).append(_contents(manifest))
        return found

    def _looked(self) -> Any:
        try:
            return self.look()
        except (AssertionError, AttributeError, LookupError, TypeError, StopIteration) as error:
            return Unseen(f"{type(error).__name__}: {error}")

    def _ledger(self, runs: list[DagRun]) -> dict[str, Any]:
        """Leg -> markers, rejects, high water, and how its last run ended; nothing the far side draws."""
        ledger, found = self.open_site(self.home).ledger, {}
        written = {item.target.system for item in self.mappings}
        for item in self.mappings:
            leg, state = item.leg, ledger.state(item.leg)
            with duckdb.connect(config={"threads": 1}) as con:
                ledger.attach(con)
                rows = con.execute(
                    f"SELECT key, fingerprint, target_id IS NULL FROM ({ledger.markers_sql(state)}) AS m"
                )
                markers = sorted(rows.fetchall())
            (last,) = ledger.runs(leg)[:1]
            counts = {name: count for name, count in last.counts.items() if name != "created"}
            found[leg] = {
                "markers": markers, "high water": state.high_water, "balanced": last.balanced, "status": last.status,
                "rejects": sorted((one.key, one.status, one.code) for one in ledger.rejects(leg)),
                "counts": counts if len(runs) == 1 else None,
                "reads back": any(source.system in written for source in item.sources),
            }  # fmt: skip
        return found


def _contents(manifest: Path) -> list[str]:
    """The rows of a batch, in any order, and its facts; nothing that is drawn."""
    said = json.loads(manifest.read_text(encoding="utf-8"))
    parts = [pq.read_table(manifest.parent / part["name"]) for part in said["parts"]]
    return [_undrawn(json.dumps(said["facts"])), *sorted(str(row) for part in parts for row in part.to_pylist())]


def _undrawn(text: str) -> str:
    return DRAWN.sub("*", text)


def _to_its_end(run: DagRun) -> None:
    while not run.over:
        run.step()


def _live(run: DagRun, on: Watch, writing: int) -> None:
    """What the first process does; never returns."""
    signal.alarm(LONGEST_S)
    with os.fdopen(writing, "w", encoding="utf-8") as told:

        def tell(**said: Any) -> None:
            told.write(json.dumps(said) + "\n")
            told.flush()

        def name(task: Any) -> None:
            on.task = str(task)

        on.hit = lambda: tell(hit=True)
        watch(on)
        while not run.over:
            failures, place = len(run.said), run.place
            run.step(before=name)
            if len(run.said) > failures:
                tell(broke=run.said[-1].partition(": ")[2], retry=not run.failed)
                break
            tell(idle=run.place > place + 1)
        tell(steps=on.seen)
    os._exit(0)


def _in_a_copy(work: Callable[[], Found]) -> Found:
    """What ``work`` gives, done by a copy of this process. Raises RuntimeError with what it raised."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _answer(work, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        found = answer.read()
    os.waitpid(child, 0)
    done, said = pickle.loads(found) if found else (False, "the process of the play died")  # noqa: S301
    if not done:
        raise RuntimeError(said)
    return said


def _answer(work: Callable[[], Any], writing: int) -> None:
    signal.alarm(LONGEST_S)
    try:
        said = True, work()
    except BaseException:
        said = False, traceback.format_exc()
    with os.fdopen(writing, "wb") as answer:
        pickle.dump(said, answer)
    os._exit(0)


def _sides() -> dict[str, Any]:
    """Every view of a far side in this process, with connections that are not kept: they would end in the original."""
    found = {}
    for item in gc.get_objects():
        if type(item).__name__ == "FarSide":
            item._session.headers["Connection"] = "close"
            item._session.close()
            item.system = _system(item.credentials)
            found[item.url] = item
    return found


def _system(credentials: dict[str, Any]) -> str:
    """Each system has another kind of credentials."""
    if "auth_token" in credentials:
        return "iconik"
    if "username" not in credentials:
        return "opentext_iot"
    return "salesforce" if "security_token" in credentials else "sap_commerce"


def seconds() -> float:
    """CPU time of this process and of those it has waited for."""
    now = os.times()
    return time.process_time() + now.children_user + now.children_system
