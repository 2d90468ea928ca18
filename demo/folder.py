"""``.demo/``: everything a demo writes, inside the project folder, made anew at each start."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from pathlib import Path

from demo.errors import DemoError

PROJECT = Path(__file__).resolve().parent.parent
LOCK = "lock"
WAIT_FOR_LEFTOVERS_S = 45.0


class Folder:
    """The demo's folder while this process holds its lock.

    The lock belongs to an open file, not to the pid written in it: it is free as soon as the demo and the
    wardens that inherited it are gone, also after ``kill -9``.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.airflow = root / "airflow"
        self.sync = root / "sync"
        self.simulators = root / "simulators"
        self.logs = root / "logs"
        self.tmp = root / "tmp"
        self.home = root / "home"
        self.bin = root / "bin"
        self.lock_fd = -1

    def take(self, *, wait_s: float = WAIT_FOR_LEFTOVERS_S) -> Folder:
        """Lock the folder and empty it. Raises DemoError when another demo is running here.

        wait_s: how long to wait for the programs of a demo that was killed to be gone.
        """
        self.root.mkdir(exist_ok=True)
        self.lock_fd = os.open(self.root / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        self._lock(until=time.monotonic() + wait_s)
        os.ftruncate(self.lock_fd, 0)
        os.write(self.lock_fd, f"{os.getpid()}\n".encode())
        self._renew()
        return self

    def _lock(self, *, until: float) -> None:
        while True:
            try:
                return fcntl.flock(self.lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = self._holder()
            if _is_alive(holder) or time.monotonic() > until:
                os.close(self.lock_fd)
                raise DemoError(
                    f"another demo is running in {self.root} (process {holder});\n"
                    f"  end it with Ctrl-C there or with 'kill {holder}', then start again"
                )
            time.sleep(0.2)

    def _holder(self) -> int:
        text = (self.root / LOCK).read_text().strip()
        return int(text) if text.isdigit() else 0

    def _renew(self) -> None:
        for path in self.root.iterdir():
            if path.name == LOCK:
                continue
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        for path in (self.airflow, self.sync, self.simulators, self.logs, self.tmp, self.home, self.bin):
            path.mkdir()


def _is_alive(pid: int) -> bool:
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
