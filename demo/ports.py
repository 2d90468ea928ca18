"""Ports of one demo: a block of neighbouring loopback ports, free or as asked for."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from demo.errors import DemoError

BLOCK = 10
FIRST, LAST = 8080, 9080
AIRFLOW_OFFSET = 8


@dataclass(frozen=True, slots=True)
class Ports:
    """The simulators take ``simulators`` and the numbers after it, Airflow takes ``airflow``."""

    simulators: int
    airflow: int


def is_free(port: int) -> bool:
    """Whether a server could listen on the port, on loopback and on all interfaces."""
    for host in ("127.0.0.1", "0.0.0.0"):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                return False
    return True


def choose(base: int) -> Ports:
    """The block that begins at ``base``; 0 looks for the first free block from 8080 on.

    Not the system's "any free port": those come from the range that outgoing connections use, and the
    server that should have it may start seconds later. Raises DemoError when a port is taken.
    """
    if base == 0:
        base = next((start for start in range(FIRST, LAST, BLOCK) if not _taken(start)), 0)
        if base == 0:
            raise DemoError(f"no free block of {BLOCK} ports from {FIRST} to {LAST}; name one with --port-base N")
    taken = _taken(base)
    if taken:
        raise DemoError(f"ports already in use: {', '.join(map(str, taken))}; leave out --port-base or name another")
    return Ports(simulators=base, airflow=base + AIRFLOW_OFFSET)


def _taken(base: int) -> list[int]:
    return [port for port in range(base, base + AIRFLOW_OFFSET + 1) if not is_free(port)]
