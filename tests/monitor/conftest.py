from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from monitor_person import Person

from benchmarks.monitor_web import application, fill_all, know_flows, unpause
from flows.house import org, shop, walk

__all__ = ["org", "shop", "walk"]


@pytest.fixture(scope="session")
def application_with_flows() -> Any:
    app = application()
    know_flows()
    unpause(but="iot_self_service")
    return app


@pytest.fixture(scope="session")
def web(application_with_flows: Any) -> Iterator[Any]:
    from fastapi.testclient import TestClient

    with TestClient(application_with_flows, raise_server_exceptions=False, follow_redirects=False) as found:
        yield found


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A place of its own for ledger, history and pages."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        move_to(folder, patch)
        yield folder
    forget()


@pytest.fixture(scope="module")
def scene(home: Path) -> Any:
    """Weeks of work, made up."""
    return fill_all()


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A place where nothing has happened yet."""
    move_to(tmp_path / "bare", monkeypatch)
    yield tmp_path / "bare"
    forget()


def move_to(folder: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("COMMERCE_SYNC_HOME", str(folder))
    forget()


def forget() -> None:
    from commerce_sync.monitor import book, catalogue

    book.forget()
    catalogue.forget()


@pytest.fixture
def ada(web: Any) -> Person:
    """May change things."""
    return Person(web, "ada", "user")


@pytest.fixture
def vera(web: Any) -> Person:
    """May only look."""
    return Person(web, "vera", "viewer")
