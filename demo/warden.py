"""A small process between the demo and one program it starts, so that nothing of it outlives the demo.

``python -m demo.warden [--grace SECONDS] -- COMMAND ...`` runs the command until the command ends, a signal
asks for the end, or standard input is closed. The demo holds the other end of standard input, so that even
``kill -9`` of the demo closes it. The end is: interrupt the command, wait for ``grace`` seconds, terminate
what is left, then kill.

On Linux the warden is a "child subreaper": a grandchild whose parent died becomes the warden's own child
and is found. Elsewhere it remembers every descendant it has seen.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import psutil

# Numbers of <linux/prctl.h>: PR_SET_PDEATHSIG(2const) and PR_SET_CHILD_SUBREAPER(2const) in the man pages.
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
LOOK_EVERY_S = 0.5
TERMINATE_S = 3.0


def prctl(option: int, value: int) -> None:
    """Set an attribute of this process; does nothing outside Linux."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


class Family:
    """All descendants of this process, the ones seen earlier included."""

    def __init__(self) -> None:
        self._seen: dict[tuple[int, float], psutil.Process] = {}

    def look(self) -> list[psutil.Process]:
        """Reap the dead, note newcomers, give the living."""
        for process in psutil.Process().children(recursive=True):
            self._seen[(process.pid, process.create_time())] = process
        self._seen = {key: process for key, process in self._seen.items() if _is_alive(process)}
        return list(self._seen.values())

    def send(self, number: int) -> None:
        """Send a signal to everyone alive."""
        for process in self.look():
            try:
                process.send_signal(number)
            except psutil.Error:
                continue


def _is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _look(family: Family) -> list[psutil.Process]:
    while True:  # a process may vanish while the tree is read
        try:
            return family.look()
        except psutil.Error:
            continue


def reap(main: subprocess.Popen[bytes]) -> None:
    """Collect every child that ended, orphans that were handed to us included."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        if pid == main.pid:
            main.returncode = os.waitstatus_to_exitcode(status)


def watch(main: subprocess.Popen[bytes], family: Family, is_asked_to_end: Callable[[], bool]) -> None:
    """Return when the command ended, a signal came, or standard input was closed."""
    while main.returncode is None and not is_asked_to_end():
        readable, _, _ = select.select([sys.stdin], [], [], LOOK_EVERY_S)
        if readable and not os.read(sys.stdin.fileno(), 1024):
            return
        reap(main)
        _look(family)


def end(main: subprocess.Popen[bytes], family: Family, *, grace_s: float) -> None:
    """Interrupt the command, then terminate, then kill whatever is left of its family."""
    if main.returncode is None:
        main.send_signal(signal.SIGINT)
        _wait(main, family, seconds=grace_s)
    for number, seconds in ((signal.SIGTERM, min(grace_s, TERMINATE_S)), (signal.SIGKILL, TERMINATE_S)):
        if not _look(family):
            return
        family.send(number)
        _wait(main, family, seconds=seconds)


def _wait(main: subprocess.Popen[bytes], family: Family, *, seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        reap(main)
        if not _look(family):
            return
        time.sleep(0.1)


def _start(command: list[str]) -> subprocess.Popen[bytes]:
    # If the warden itself is killed, the command is interrupted and can stop its own children.
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        preexec_fn=lambda: prctl(PR_SET_PDEATHSIG, signal.SIGINT),
    )


def main() -> int:
    """Run the command; the exit code is the command's, or 143 when it was asked to end."""
    parser = argparse.ArgumentParser(prog="python -m demo.warden")
    parser.add_argument("--grace", type=float, default=5.0)
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    asked: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: asked.append(number))
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    child, family = _start(options.command), Family()
    watch(child, family, lambda: bool(asked))
    ended_by_itself = child.returncode
    end(child, family, grace_s=options.grace)
    return 143 if ended_by_itself is None else abs(ended_by_itself)


if __name__ == "__main__":
    sys.exit(main())
