from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="airflow-"))

from flows.house import fleet, media, org, shop, walk
from security.listening import Authority, Listener

__all__ = ["fleet", "media", "org", "shop", "walk"]


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The authority our connections are told to trust."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Another one, which nobody knows."""
    return Authority(tmp_path_factory.mktemp("stranger"))


@pytest.fixture
def listen() -> Iterator[Any]:
    """``listen(context)`` starts a server that keeps every byte of a request it gets."""
    started: list[Listener] = []

    def start(*given: Any, **options: Any) -> Listener:
        started.append(Listener(*given, **options))
        return started[-1]

    yield start
    for one in started:
        one.close()


@pytest.fixture
def pem(tmp_path: Path) -> Path:
    """A folder for files a connection names."""
    return tmp_path
