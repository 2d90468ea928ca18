"""Known bugs put back one by one: does a proof notice?

Each bug is edited into a copy of the package. First the histories run against the copy, until one fails; what speaks
another protocol, or happens between processes, is left to the contract tests its bug names. A bug that only makes the
engine refuse to go on counts as caught: nothing was lost, and somebody is told.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from proofs import results
from proofs.bugs import BUGS, Bug

ROOT = Path(__file__).parents[1]
PLUGINS = ROOT / "plugins"
TIMEOUT_S = 900
SABOTEUR = "SABOTEUR"


def run(*, histories: int, seed: int, only: str | None = None) -> int:
    """All bugs; prints the table, keeps it, gives 1 when more than two of them (or any, of a few) went unnoticed."""
    rows: list[dict[str, Any]] = []
    for bug in (item for item in BUGS if only is None or only in item.name):
        began = time.monotonic()
        check, said = caught(bug, histories=histories, seed=seed)
        rows.append({"bug": bug.name, "caught_by": check, "said": said, "seconds": round(time.monotonic() - began)})
        print(f"{bug.name}: {check or 'NOT CAUGHT'}", file=sys.stderr, flush=True)
        if only is None:
            results.keep(
                "mutations",
                {
                    "listed": len(BUGS),
                    "bugs": len(rows),
                    "caught": sum(bool(row["caught_by"]) for row in rows),
                    "rows": rows,
                },
            )
    shown = [(row["bug"], row["caught_by"] or "NOT CAUGHT", row["said"][:70]) for row in rows]
    print(results.table([("bug", "caught by", "which said"), *shown]))
    missed = sum(not row["caught_by"] for row in rows)
    print(f"\n{len(rows)} bugs, {len(rows) - missed} caught")
    return int(missed > (2 if only is None else 0))


def caught(bug: Bug, *, histories: int, seed: int) -> tuple[str, str]:
    """What noticed the bug, and what it said; two empty texts when nothing did."""
    with copied(bug) as plugins:
        if not bug.tests:
            number, said = _histories(plugins, histories, seed)
            return (f"history {number}" if said else "", said)
        if bug.tests == SABOTEUR:
            said = _saboteur(plugins, seed)
            return ("saboteur" if said else "", said)
        said = _tests(plugins, bug.tests)
        return (bug.tests.partition(" ")[0] if said else "", said)


@contextmanager
def copied(bug: Bug) -> Iterator[Path]:
    """A copy of the package with the bug in it."""
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        plugins = Path(folder) / "plugins"
        shutil.copytree(PLUGINS, plugins, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        for name, text in edited(bug).items():
            (plugins / "commerce_sync" / name).write_text(text, encoding="utf-8")
        yield plugins


def edited(bug: Bug) -> dict[str, str]:
    """File -> its source with the bug in it. Raises LookupError when the code to change is not there."""
    texts: dict[str, str] = {}
    for name, old, new in bug.edits:
        text = texts.get(name) or (PLUGINS / "commerce_sync" / name).read_text(encoding="utf-8")
        if text.count(old) != 1:
            raise LookupError(f"bug {bug.name!r}: {name} has {old!r} {text.count(old)} times; correct proofs/bugs.py")
        texts[name] = text.replace(old, new)
    return texts


def _histories(plugins: Path, count: int, seed: int) -> tuple[str, str]:
    answer = _python(plugins, "-m", "proofs", "completeness", "--histories", str(count), "--seed", str(seed), "--stop")
    if answer.returncode == 0:
        return "", ""
    line = next((text for text in answer.stdout.splitlines() if text.startswith("history ")), answer.stderr[-300:])
    return line.partition(",")[0].removeprefix("history "), line.partition(": ")[2] or line


def _saboteur(plugins: Path, seed: int) -> str:
    rounds = ("saboteur", "--histories", "60", "--seed", str(seed), "--stop")
    answer = _python(plugins, "-m", "proofs", *rounds)
    return "" if answer.returncode == 0 else (answer.stdout.splitlines() or [answer.stderr[-300:]])[-1]


def _tests(plugins: Path, arguments: str) -> str:
    path = f"pythonpath={plugins} tests ."
    answer = _python(plugins, "-m", "pytest", "-x", "--show-capture=no", "-o", path, *shlex.split(arguments))
    failed = [line for line in answer.stdout.splitlines() if line.startswith("FAILED ")]
    return failed[0].removeprefix("FAILED ") if failed and answer.returncode == 1 else ""


def _python(plugins: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": f"{plugins}{os.pathsep}{ROOT}", "PYTHONDONTWRITEBYTECODE": ""}
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S,
        check=False,
    )  # fmt: skip
