"""How long each view of the monitor takes, over HTTP and through Airflow's login, beside a history of many rows.

A fresh process makes up weeks of runs and the history (``rows`` messages, put together as the maintenance does),
serves Airflow's web application and asks for each view ``REQUESTS`` times, filters and searches included. CPU is that
of the server and of the client that asks; on a busy machine it says more than the seconds do.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import measure
from benchmarks.results import Goal, Report, table

REQUESTS = 30
LIMIT_MS = 200.0
TIME_LIMIT_S = 3600
VIEWS = {
    "streams": "/", "streams, 30 days": "/?over=30d", "runs": "/runs", "runs of a leg, 30 days":
    "/runs?leg=orders_to_orders&over=30d", "one run": "@/runs?leg=orders_to_orders", "messages": "/messages",
    "messages, all that is kept": "/messages?over=all", "messages, refused": "/messages?outcome=rejected",
    "messages of a key": "/messages?key=C0000007", "messages by beginning": "/messages?key=C00000*&over=all",
    "one message": "@/messages?outcome=rejected", "errors": "/errors", "errors of a class": "/errors?class=duplicate",
    "one error": "@/errors?class=duplicate", "conflicts": "/conflicts", "holds": "/holds", "gates": "/gates",
    "receipts": "/receipts", "plans": "/plans", "limits": "/limits", "explain": "/explain?key=C0000007",
}  # fmt: skip
"""View -> its address; with ``@``: the first row that this list links to."""


def run(*, rows: int, rounds: int) -> Report:
    """The report; ``rounds`` does not matter, every view is asked for ``REQUESTS`` times."""
    del rounds
    with tempfile.TemporaryDirectory(prefix="monitor-") as home:
        command = [sys.executable, "-m", "benchmarks.monitor", str(rows), home]
        done = subprocess.run(
            command, cwd=measure.ROOT, env=_environment(home), capture_output=True, text=True, timeout=TIME_LIMIT_S,
            check=False,
        )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"the views could not be timed: {done.stderr[-2000:]}")
    return _report(rows, json.loads(done.stdout.strip().splitlines()[-1]))


def _environment(home: str) -> dict[str, str]:
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("AIRFLOW_", "COMMERCE_SYNC_"))}
    return kept | {
        "AIRFLOW_HOME": f"{home}/airflow", "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(measure.ROOT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(measure.ROOT / "plugins"),
        "AIRFLOW__API_AUTH__JWT_SECRET": "only-good-for-this-process-and-long-enough-for-the-signature-algorithm",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_POOL_SIZE": "64", "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
        "COMMERCE_SYNC_HOME": f"{home}/sync", "COMMERCE_SYNC_MAPPINGS": str(measure.ROOT / "include" / "mappings"),
        "PYTHONPATH": f"{measure.ROOT}:{measure.ROOT / 'plugins'}",
    }  # fmt: skip


def _report(rows: int, found: dict[str, Any]) -> Report:
    report = Report("monitor", f"Views of the monitor, {rows:,} history rows", {"rows": rows, "requests": REQUESTS})
    lines = [("view", "p50 ms", "p95 ms", "fastest ms", "cpu ms", "KB")]
    for name, view in found["views"].items():
        p50, p95 = statistics.median(view["ms"]), percentile(view["ms"], 95)
        cells = (p50, p95, min(view["ms"]), view["cpu_ms"], view["kb"])
        lines.append((name, *(f"{cell:.0f}" for cell in cells)))
        report.goals.append(Goal(f"p95 of {name}", round(p95, 1), LIMIT_MS, "at most", "ms"))
    made = f"{found['runs']:,} runs, {found['rejects']:,} errors; made in {found['made_s']:.0f} s"
    report.table = f"{table(lines)}\n{made}"
    report.figures = found
    return report


def percentile(values: list[float], share: float) -> float:
    """The value that ``share`` percent of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share / 100))]


def main(rows: int) -> None:
    """In a process of its own: make it up, serve it, ask."""
    from benchmarks import monitor_web
    from benchmarks.monitor_ledger import Scene
    from commerce_sync import places

    app = monitor_web.application()
    monitor_web.know_flows()
    monitor_web.unpause()
    began = time.monotonic()
    monitor_web.fill_all(Scene(datetime.now(UTC), history_rows=rows))
    made_s = time.monotonic() - began
    ledger = places.open_ledger()
    with monitor_web.serving(app) as address, _person(address) as ask:
        views = {name: _timed(ask, path) for name, path in VIEWS.items()}
    rejects = sum(group.rows for group in ledger.reject_groups())
    told = {"views": views, "runs": len(ledger.runs(limit=1_000_000)), "rejects": rejects, "made_s": made_s}
    print(json.dumps(told))


@contextmanager
def _person(address: str) -> Iterator[Any]:
    """A browser that is logged in and may only look."""
    import requests

    from benchmarks import monitor_web

    with requests.Session() as session:
        session.trust_env = False
        session.headers["Authorization"] = f"Bearer {monitor_web.token('vera', 'viewer')}"

        def ask(path: str) -> Any:
            found = session.get(address + path, timeout=60)
            if found.status_code != 200:
                raise RuntimeError(f"{path}: {found.status_code} {found.text.partition('<main')[2][:400]}")
            return found

        yield ask


def _timed(ask: Any, path: str) -> dict[str, Any]:
    path = _first_row(ask(f"/commerce-sync{path[1:]}").text) if path.startswith("@") else f"/commerce-sync{path}"
    size = len(ask(path).content)
    times, cpu_began = [], time.process_time()
    for _ in range(REQUESTS):
        began = time.perf_counter()
        ask(path)
        times.append(1000 * (time.perf_counter() - began))
    cpu_ms = 1000 * (time.process_time() - cpu_began) / REQUESTS
    return {"path": path, "ms": times, "cpu_ms": cpu_ms, "kb": size / 1000}


def _first_row(text: str) -> str:
    """Address of the first row of the page's last table."""
    import html
    import re

    rows = re.findall(r'<th scope="row"[^>]*><a href="(/commerce-sync/[^"]+)"', text)
    if not rows:
        raise RuntimeError("the list has no row that could be opened")
    return html.unescape(rows[-1])


if __name__ == "__main__":
    Path(sys.argv[2]).mkdir(exist_ok=True)
    main(int(sys.argv[1]))
