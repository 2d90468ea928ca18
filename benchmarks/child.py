"""One contender's process: prepares, does the work once under the clock, writes what it found."""

from __future__ import annotations

import importlib
import json
import resource
import sys
import time
from pathlib import Path


def cpu_s() -> float:
    """CPU seconds of this process and of the children it has waited for."""
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def main(entry: str, arguments: str, answer: str) -> None:
    module, _, name = entry.partition(":")
    work = getattr(importlib.import_module(f"benchmarks.{module}"), name)(**json.loads(arguments))
    began, cpu_began = time.perf_counter(), cpu_s()
    found = work() if callable(work) else work
    told = {"work_s": time.perf_counter() - began, "work_cpu_s": cpu_s() - cpu_began}
    # What is only needed to check the outcome is found out after the clock has stopped.
    told["found"] = found() if callable(found) else found
    Path(answer).write_text(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
