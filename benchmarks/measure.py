"""Races contenders: each in a fresh process, in turn, several rounds, outputs compared before a time counts.

Wall and CPU seconds and the peak of resident memory of a whole process come from ``os.wait4``; ``work`` is the part
after imports and preparation, timed by the process itself. Ratios are taken within a round, between neighbours in
time, because the machine may be shared; what is reported is their median and their range.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import peers

ROOT = Path(__file__).resolve().parents[1]
TIME_LIMIT_S = 1800.0
Found = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to do the work: ``entry`` is ``module:function`` below ``benchmarks``.

    The function prepares, then returns the work as a callable; that one is timed and returns what it found.
    peer: runs in the peers' environment.   most_rows: larger inputs are left out.
    """

    name: str
    entry: str
    arguments: dict[str, Any] = field(default_factory=dict)
    peer: bool = False


@dataclass(frozen=True, slots=True)
class Sample:
    """One process: seconds and MB. ``work_*`` without imports and preparation."""

    work_s: float
    work_cpu_s: float
    wall_s: float
    cpu_s: float
    peak_mb: float
    found: Found


@dataclass(slots=True)
class Track:
    """All samples of one contender, in round order; ``fault`` says why it has none."""

    name: str
    samples: list[Sample] = field(default_factory=list)
    fault: str | None = None

    def median(self, figure: str) -> float:
        """Median of one figure over the rounds."""
        return statistics.median(getattr(sample, figure) for sample in self.samples)

    def ratios(self, other: Track, figure: str) -> list[float]:
        """This contender's figure divided by the other's, round by round."""
        pairs = zip(self.samples, other.samples, strict=False)
        return [getattr(mine, figure) / max(getattr(its, figure), 1e-9) for mine, its in pairs]

    def ratio(self, other: Track, figure: str) -> float | None:
        """Median of the ratios, None when one of the two has no samples."""
        found = self.ratios(other, figure)
        return statistics.median(found) if found else None


def run(contender: Contender) -> Sample:
    """One contender in one fresh process. Raises RuntimeError with the end of its words when it fails."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        answer, words = Path(folder) / "answer.json", Path(folder) / "words"
        command = [str(peers.python() if contender.peer else sys.executable), "-m", "benchmarks.child",
                   contender.entry, json.dumps(contender.arguments), str(answer)]  # fmt: skip
        began = time.monotonic()
        with words.open("wb") as sink:
            process = subprocess.Popen(command, cwd=ROOT, env=environment(), stdout=sink, stderr=sink)
            usage = _wait(process)
        if process.returncode:
            last = words.read_text(errors="replace").strip().splitlines()[-6:]
            raise RuntimeError(f"{contender.name} ended with {process.returncode}: {' | '.join(last)}"[:800])
        told = json.loads(answer.read_text())
        return Sample(
            wall_s=time.monotonic() - began, cpu_s=usage.ru_utime + usage.ru_stime, peak_mb=usage.ru_maxrss / 1024,
            **told,
        )  # fmt: skip


def _wait(process: subprocess.Popen[bytes]) -> Any:
    """Reap the process with its own resource usage; one that takes too long is killed."""
    until = time.monotonic() + TIME_LIMIT_S
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            return usage
        if time.monotonic() > until:
            process.kill()
        time.sleep(0.005)


def environment() -> dict[str, str]:
    """What every contender sees: our packages, no proxies, no telemetry, a fixed time zone and hash seed."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "plugins")])
    quiet = {"RUNTIME__DLTHUB_TELEMETRY": "false", "GX_ANALYTICS_ENABLED": "false", "NO_PROXY": "*"}
    fixed = {"PYTHONPATH": path, "TZ": "UTC", "PYTHONHASHSEED": "0", "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    homes = {"AIRFLOW_HOME": str(ROOT / "benchmarks" / ".data" / "airflow")}
    return {**os.environ, **quiet, **fixed, **homes}


def race(
    contenders: Sequence[Contender], *, rounds: int, accept: Callable[[str, Found], None], warm_up: bool = True
) -> dict[str, Track]:
    """Run all contenders in turn, ``rounds`` times after a warm-up round that is thrown away.

    accept: raises ValueError when what a contender found is wrong; it is disqualified with that sentence.
    """
    tracks = {item.name: Track(item.name) for item in contenders}
    for number in range(-1 if warm_up else 0, rounds):
        for contender in contenders:
            track = tracks[contender.name]
            if track.fault is None:
                _one(contender, track, accept, counts=number >= 0)
    return tracks


def _one(contender: Contender, track: Track, accept: Callable[[str, Found], None], *, counts: bool) -> None:
    try:
        sample = run(contender)
        accept(contender.name, sample.found)
    except (RuntimeError, ValueError) as error:
        track.fault, track.samples = str(error), []
        say(f"  {contender.name}: {error}")
        return
    if counts:
        track.samples.append(sample)
        say(f"  {contender.name:32} {sample.work_s:8.2f} s {sample.work_cpu_s:8.2f} s cpu {sample.peak_mb:7.0f} MB")


def prepare(entry: str, *, peer: bool = False, **arguments: Any) -> Found:
    """Do a preparation in a process of its own, so that the racing process stays small (children inherit its peak)."""
    return run(Contender(name=f"preparing {entry}", entry=entry, arguments=arguments, peer=peer)).found


def say(text: str) -> None:
    """One line of progress on standard error."""
    print(text, file=sys.stderr, flush=True)


def mention(values: Iterable[float]) -> str:
    """``min-max`` of ratios."""
    found = list(values)
    return f"{min(found):.2f}-{max(found):.2f}" if found else "-"
