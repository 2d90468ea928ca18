"""Whatever happens to the demo, nothing it started survives it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from demo.children import Child, Children
from demo.errors import DemoError

PROJECT = Path(__file__).parents[2]
ENV = os.environ | {"PYTHONPATH": str(PROJECT)}

# A program with a child of its own, and a grandchild that left for a session of its own and ignores polite signals.
PARENT = """
import subprocess, sys, time
deaf = "import signal,time; [signal.signal(n, signal.SIG_IGN) for n in (2, 15)]; print('up', flush=True); time.sleep(60)"
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
leaver = subprocess.Popen([sys.executable, "-c", deaf], start_new_session=True, stdout=subprocess.PIPE)
leaver.stdout.readline()
print(child.pid, leaver.pid, flush=True)
time.sleep(60)
"""
DEMO = """
import os, sys, time
from pathlib import Path
from demo.children import Child, Children, Interrupted, raise_on_signals
raise_on_signals()
folder = Path(sys.argv[1])
children = Children()
children.add(Child("parent", [sys.executable, "-c", sys.argv[2]], env=dict(os.environ), cwd=folder,
                   log=folder / "log", grace_s=0.5))
if sys.argv[3] == "crash":
    while not (folder / "log").read_text().strip():
        time.sleep(0.05)
    raise ValueError("a mistake in the demo")
time.sleep(60)
"""


def family(log: Path) -> list[psutil.Process]:
    """The processes the program announced, once it has."""
    line = eventually(lambda: log.exists() and log.read_text()).splitlines()[0]
    return [process for pid in line.split() if (process := alive(int(pid))) is not None]


def alive(pid: int) -> psutil.Process | None:
    try:
        return psutil.Process(pid)
    except psutil.NoSuchProcess:
        return None


def eventually(probe, *, seconds=20.0):
    until = time.monotonic() + seconds
    while not (value := probe()):
        assert time.monotonic() < until, "it never happened"
        time.sleep(0.05)
    return value


def is_gone(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def start_demo(folder: Path, how: str = "wait") -> subprocess.Popen:
    command = [sys.executable, "-c", DEMO, str(folder), PARENT, how]
    return subprocess.Popen(command, env=ENV, cwd=PROJECT, stderr=subprocess.PIPE)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_to_the_demo_leaves_no_process_behind(tmp_path, number):
    with start_demo(tmp_path) as demo:
        members = family(tmp_path / "log")
        assert len(members) == 2
        assert not any(map(is_gone, members))
        demo.send_signal(number)
        eventually(lambda: all(map(is_gone, members)))


def test_a_crash_of_the_demo_leaves_no_process_behind(tmp_path):
    with start_demo(tmp_path, "crash") as demo:
        _, errors = demo.communicate(timeout=30)
    assert b"a mistake in the demo" in errors
    assert all(map(is_gone, family(tmp_path / "log")))


def test_stop_ends_everything_and_may_be_called_twice(tmp_path):
    children = Children()
    log = tmp_path / "log"
    command = [sys.executable, "-c", PARENT]
    children.add(Child("parent", command, env=dict(ENV), cwd=PROJECT, log=log, grace_s=0.5))
    members = family(log)
    children.stop()
    children.stop()
    assert all(map(is_gone, members))


def test_a_program_that_ended_is_reported_with_the_end_of_its_log(tmp_path):
    children = Children()
    command = [sys.executable, "-c", "print('port 8080 is taken'); raise SystemExit(3)"]
    child = children.add(Child("Airflow", command, env=dict(ENV), cwd=PROJECT, log=tmp_path / "log"))
    eventually(lambda: not child.is_running())
    with pytest.raises(DemoError, match=r"(?s)Airflow ended with code 3.*port 8080 is taken"):
        children.must_run()
    children.stop()
