"""The flows' fixtures, and one customer with all that is held of her."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from commerce_sync.systems import rest
from flows.house import fleet, media, org, shop, walk
from flows.walking import Org, Shop, Walk, connection
from ledger.conftest import ledger, postgresql, url
from privacy.life import Life, world

__all__ = ["fleet", "ledger", "media", "org", "postgresql", "shop", "url", "walk"]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What takes many minutes runs when asked for with ``-m slow``."""
    if "slow" in str(config.getoption("markexpr") or ""):
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    if slow:
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if item not in slow]


@pytest.fixture(scope="module")
def lived(
    request: pytest.FixtureRequest, simulators: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Life]:
    """She is there, and the flows have moved all that there is of her; for all tests of a file."""
    plugins = request.config.pluginmanager.get_plugins()
    far_side = next(plugin.far_side for plugin in plugins if hasattr(plugin, "far_side"))
    sides = {name: far_side(simulators, name) for name in ("sap_commerce", "salesforce", "opentext_iot")}
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("sap_commerce", "salesforce"):
            patch.setenv(f"AIRFLOW_CONN_{name.upper()}_DEFAULT", connection(sides[name]))
        patch.setenv("COMMERCE_SYNC_HOME", str(folder))
        patch.setattr(rest, "_pause", lambda _state: 0.0)
        sides["salesforce"].options(job_min_polls=1, job_latency_ms=0)
        with world(Walk(folder), Shop(sides["sap_commerce"]), Org(sides["salesforce"]), sides["opentext_iot"],
                   patch) as found:  # fmt: skip
            found.begin()
            found.live()
            yield found


@dataclass
class Snapshot:
    """The home folder as it was."""

    life: Life
    kept: Path

    def restore(self) -> Life:
        """Every file as it was; nothing else may be there."""
        home = self.life.walk.folder
        for path in home.iterdir():
            if path.name != "logs":
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        shutil.copytree(self.kept, home, dirs_exist_ok=True)
        return self.life


@pytest.fixture(scope="module")
def snapshot(lived: Life, tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    lived.left()
    kept = tmp_path_factory.mktemp("kept") / "home"
    shutil.copytree(lived.walk.folder, kept, ignore=shutil.ignore_patterns("logs"))
    return Snapshot(lived, kept)


@pytest.fixture
def life(snapshot: Snapshot) -> Life:
    """All that is held of her, as it was after the flows."""
    return snapshot.restore()
