"""Ports are free ones, or the ones asked for, or a clear refusal."""

from __future__ import annotations

import socket

import pytest

from demo import ports
from demo.errors import DemoError


def test_a_block_with_a_taken_port_is_passed_over(monkeypatch):
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        taken = server.getsockname()[1]
        monkeypatch.setattr(ports, "FIRST", taken - 3)
        monkeypatch.setattr(ports, "LAST", taken + 1000)
        chosen = ports.choose(0)
        assert chosen.simulators > taken or chosen.airflow < taken
        with pytest.raises(DemoError, match=f"ports already in use: .*{taken}"):
            ports.choose(taken - 3)


def test_a_port_base_is_taken_as_it_is():
    free = ports.choose(0)
    assert ports.choose(free.simulators) == free
    assert free.airflow == free.simulators + 8
