"""Fixtures every test may use: the simulators as a separate process, and a view of each far side."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

pytest.register_assert_rewrite("flows.killing", "flows.ordering")

ROOT = Path(__file__).resolve().parents[1]
START_TIMEOUT_S = 60
CALL_TIMEOUT_S = 60


class FarSide:
    """What a test sees and does on the other end, past the API under test."""

    def __init__(self, *, credentials: dict[str, Any], ca_file: str | None) -> None:
        self.credentials = credentials
        self.url: str = credentials["url"]
        self.ca_file = ca_file
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = ca_file or True

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self.credentials:
            raise AttributeError(f"no credential {name!r}; there are: {', '.join(self.credentials)}")
        return self.credentials[name]

    def control(self, method: str, path: str, *, body: Any = None, params: dict[str, Any] | None = None) -> Any:
        """One call of the control API; a refusal fails the test with its sentence."""
        address = f"{self.url}/_sim/{path}"
        answer = self._session.request(method, address, json=body, params=params, timeout=CALL_TIMEOUT_S)
        assert answer.ok, f"{method} /_sim/{path}: {answer.status_code} {answer.text}"
        return answer.json()

    def reset(self, *, seed: str = "empty") -> None:
        self.control("POST", "reset", body={"seed": seed})

    def records(self, kind: str, **where: Any) -> list[dict[str, Any]]:
        """Raw stored records of a type, optionally those with ``field=value``."""
        return self.control("GET", f"records/{kind}", params=where)["records"]

    def put(self, kind: str, rows: list[dict[str, Any]]) -> int:
        """Store rows without API semantics."""
        return self.control("POST", f"records/{kind}", body=rows)["loaded"]

    def patch(self, kind: str, key: str, **values: Any) -> None:
        self.control("PATCH", f"records/{kind}/{key}", body=values)

    def delete(self, kind: str, key: str) -> None:
        self.control("DELETE", f"records/{kind}/{key}")

    def fault(self, **rule: Any) -> dict[str, Any]:
        """Post one fault rule; its keys are in simulators/README.md."""
        return self.control("POST", "faults", body=rule)

    def clear_faults(self) -> None:
        self.control("DELETE", "faults")

    def options(self, **values: Any) -> dict[str, Any]:
        return self.control("POST", "options", body=values)

    def calls(self, *, log: bool = False) -> dict[str, Any]:
        """``{"total", "by_route"}`` since the last reset, with ``log`` the last calls too."""
        return self.control("GET", "calls", params={"log": "1"} if log else None)

    def reset_calls(self) -> None:
        self.control("DELETE", "calls")

    def clock(self, **move: Any) -> dict[str, Any]:
        """Read the clock, or move it with ``now="2026-..."`` or ``advance_s=60``."""
        return self.control("POST", "clock", body=move) if move else self.control("GET", "clock")


@contextmanager
def running_simulators(*options: str) -> Iterator[dict[str, Any]]:
    """The ready line of a simulator process of one's own, which ends with the block."""
    command = [
        sys.executable,
        "-m",
        "simulators",
        "--port-base",
        "0",
        "--seed",
        "empty",
        "--control",
        *options,
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield json.loads(_first_line(process))
        finally:
            process.terminate()
            process.wait(timeout=20)


@pytest.fixture
def start_simulators() -> Any:
    """``with start_simulators("--state", folder) as ready:`` a process of the test's own."""
    return running_simulators


def _first_line(process: subprocess.Popen[str]) -> str:
    lines: queue.Queue[str] = queue.Queue()
    assert process.stdout is not None
    threading.Thread(target=lambda: lines.put(process.stdout.readline()), daemon=True).start()
    try:
        line = lines.get(timeout=START_TIMEOUT_S)
    except queue.Empty:
        process.kill()
        pytest.fail(f"the simulators were not ready after {START_TIMEOUT_S} s")
    if not line:
        pytest.fail("the simulators ended before they were ready; their words are on standard error")
    return line


def far_side(simulators: dict[str, Any], name: str) -> FarSide:
    """The freshly reset far side of one system."""
    if name not in simulators:
        pytest.fail(f"no simulator for {name}; running: {', '.join(key for key in simulators if key != 'ca_file')}")
    side = FarSide(credentials=simulators[name], ca_file=simulators["ca_file"])
    side.reset()
    return side


@pytest.fixture(scope="session")
def simulators() -> Iterator[dict[str, Any]]:
    with running_simulators() as ready:
        yield ready


@pytest.fixture(scope="session")
def simulators_tls() -> Iterator[dict[str, Any]]:
    with running_simulators("--tls") as ready:
        yield ready


@pytest.fixture
def sap_commerce(simulators: dict[str, Any]) -> FarSide:
    return far_side(simulators, "sap_commerce")


@pytest.fixture
def salesforce(simulators: dict[str, Any]) -> FarSide:
    return far_side(simulators, "salesforce")


@pytest.fixture
def iconik(simulators: dict[str, Any]) -> FarSide:
    return far_side(simulators, "iconik")


@pytest.fixture
def salesforce_tls(simulators_tls: dict[str, Any]) -> FarSide:
    return far_side(simulators_tls, "salesforce")


@pytest.fixture
def opentext_iot(simulators: dict[str, Any]) -> FarSide:
    return far_side(simulators, "opentext_iot")
