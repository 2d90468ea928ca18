"""A simulator process of a test module's own, and its far sides by system."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import requests

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def own_simulators(*options, end=signal.SIGTERM):
    """The ready line; the process ends with the block, by this signal."""
    command = [sys.executable, "-m", "simulators", "--port-base", "0", *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.send_signal(end)
            assert process.wait(timeout=20) == (0 if end == signal.SIGTERM else -end)


class Side:
    """Raw records of one system through its control API."""

    def __init__(self, credentials):
        self.url, self.session = credentials["url"], requests.Session()
        self.session.trust_env = False

    def control(self, method, path, **more):
        answer = self.session.request(method, f"{self.url}/_sim/{path}", timeout=60, **more)
        assert answer.ok, answer.text
        return answer.json()

    def records(self, kind, **where):
        return self.control("GET", f"records/{kind}", params=where)["records"]

    def put(self, kind, rows):
        self.control("POST", f"records/{kind}", json=rows)

    def patch(self, kind, key, **values):
        self.control("PATCH", f"records/{kind}/{key}", json=values)


def sides(ready):
    return {name: Side(ready[name]) for name in ready if name != "ca_file"}
