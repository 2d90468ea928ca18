"""One demo per project folder, each beginning with an empty one."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from demo.errors import DemoError
from demo.folder import Folder

PROJECT = Path(__file__).parents[2]
HOLDER = """
import os, sys, time
from pathlib import Path
from demo.folder import Folder
Folder(Path(sys.argv[1])).take()
print("held", flush=True)
time.sleep(60)
"""


def test_a_start_finds_none_of_the_last_demos_files(tmp_path):
    root = tmp_path / ".demo"
    first = Folder(root).take()
    (first.sync / "ledger.db").write_text("old")
    (root / "stray").symlink_to(tmp_path)
    os.close(first.lock_fd)
    second = Folder(root).take()
    assert sorted(path.name for path in root.iterdir()) == sorted(
        ["airflow", "bin", "home", "lock", "logs", "simulators", "sync", "tmp"]
    )
    assert list(second.sync.iterdir()) == []
    assert tmp_path.exists()
    os.close(second.lock_fd)


def test_a_second_demo_is_refused_with_the_first_ones_process_id_and_harms_nothing(tmp_path):
    root = tmp_path / ".demo"
    command = [sys.executable, "-c", textwrap.dedent(HOLDER), str(root)]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout.readline() == b"held\n"
            (root / "sync" / "ledger.db").write_text("precious")
            with pytest.raises(DemoError, match=f"another demo is running .*process {holder.pid}"):
                Folder(root).take()
            assert (root / "sync" / "ledger.db").read_text() == "precious"
        finally:
            holder.kill()


def test_a_demo_that_was_killed_does_not_block_the_next(tmp_path):
    root = tmp_path / ".demo"
    root.mkdir()
    (root / "lock").write_text("999999\n")
    os.close(Folder(root).take().lock_fd)


def test_programs_that_outlive_a_killed_demo_are_waited_for(tmp_path):
    """The wardens inherit the lock, so it is free only when they are gone too."""
    root = tmp_path / ".demo"
    first = Folder(root).take()
    (root / "lock").write_text("999999\n")
    with pytest.raises(DemoError, match="another demo is running"):
        Folder(root).take(wait_s=0.3)
    os.close(first.lock_fd)
