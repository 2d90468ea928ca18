"""The programs a demo starts, each behind a warden, and the promise that they end with the demo."""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType

from demo.errors import DemoError


class Child:
    """A program behind a warden. Its output goes to ``log``; ``stdout`` may go to a file of its own."""

    def __init__(
        self,
        name: str,
        command: list[str],
        *,
        env: dict[str, str],
        cwd: Path,
        log: Path,
        stdout: Path | None = None,
        grace_s: float = 5.0,
        keep_open: tuple[int, ...] = (),
    ) -> None:
        """keep_open: file descriptors the warden inherits (the folder's lock lives as long as the warden)."""
        self.name, self.log, self._grace_s = name, log, grace_s
        warden = [sys.executable, "-m", "demo.warden", "--grace", str(grace_s), "--", *command]
        with log.open("ab") as errors, (stdout or log).open("ab") as output:
            self._process = subprocess.Popen(
                warden,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=errors,
                env=env,
                cwd=cwd,
                start_new_session=True,
                pass_fds=keep_open,
            )

    @property
    def pid(self) -> int:
        """Process id of the warden; also the id of the process group and of the session."""
        return self._process.pid

    def is_running(self) -> bool:
        """Whether the program is still there."""
        return self._process.poll() is None

    def must_run(self) -> None:
        """Raise DemoError with the end of the log when the program is gone."""
        if self.is_running():
            return
        raise DemoError(
            f"{self.name} ended with code {self._process.returncode}; the end of {self.log}:\n{tail(self.log)}"
        )

    def ask_to_end(self) -> None:
        """Close the warden's standard input, which is the same as what happens when the demo is killed."""
        if self._process.stdin and not self._process.stdin.closed:
            self._process.stdin.close()

    def wait(self) -> None:
        """Wait until everything is gone; after the warden's own time limits the whole group is killed."""
        try:
            self._process.wait(timeout=self._grace_s + 12)
        except subprocess.TimeoutExpired:
            os.killpg(self.pid, signal.SIGKILL)
            self._process.wait(timeout=5)


class Children:
    """Every program of one demo. ``stop`` runs at exit too, whatever the reason."""

    def __init__(self) -> None:
        self._children: list[Child] = []
        atexit.register(self.stop)

    def add(self, child: Child) -> Child:
        """Take care of ``child`` from now on."""
        self._children.append(child)
        return child

    def any(self) -> bool:
        """Whether there is anything to end."""
        return bool(self._children)

    def must_run(self) -> None:
        """Raise DemoError when one of the programs is gone."""
        for child in self._children:
            child.must_run()

    def stop(self) -> None:
        """End everything, the last started first; further signals are ignored meanwhile."""
        if not self._children:
            return
        with_handlers = {number: signal.signal(number, signal.SIG_IGN) for number in END_SIGNALS}
        for child in reversed(self._children):
            child.ask_to_end()
        for child in reversed(self._children):
            child.wait()
        self._children.clear()
        for number, handler in with_handlers.items():
            signal.signal(number, handler)


END_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(KeyboardInterrupt):
    """A signal asked the demo to end."""


def raise_on_signals() -> None:
    """Turn the signals that end a program into an exception, so that every ``finally`` runs."""
    for number in END_SIGNALS:
        signal.signal(number, _raise)


def _raise(number: int, _frame: FrameType | None) -> None:
    raise Interrupted(signal.Signals(number).name)


def tail(path: Path, *, lines: int = 15, width: int = 160) -> str:
    """The last lines of a log, indented, long ones cut."""
    if not path.exists():
        return "  (no output)"
    text = path.read_text(errors="replace").splitlines()[-lines:]
    return "\n".join("  " + line[:width] for line in text) or "  (no output)"
