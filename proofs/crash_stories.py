"""A plugin of pytest: the stories of tests/flows about killed flows, played by a proof instead of by themselves.

Each of these stories knows how to fill both sides, what happens on them, and what has to be the same in the end
(``assert_survives``); here that becomes a ``Scene``. What to do with it stands in the file ``PROOF_STORY`` names.
"""

from __future__ import annotations

import importlib
import json
import os
import pickle
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import duckdb
import pytest

from commerce_sync import binding, gates
from commerce_sync.systems.salesforce import stage
from proofs import crash_bugs, rewind
from proofs.cheap import Session

STORY = "PROOF_STORY"
STORIES = {
    "iconik_approved_media": "flows/test_killed_media_publishing.py",
    "iconik_associations": "flows/test_killed_associations.py",
    "iconik_campaign_switch": "flows/test_killed_campaign_switch.py",
    "iconik_channels": "flows/test_killed_channels.py",
    "iconik_governance": "flows/test_killed_governance.py",
    "iconik_metadata": "flows/test_killed_metadata.py",
    "iconik_packages": "flows/test_killed_packages.py",
    "iconik_usage": "flows/test_killed_usage.py",
    "iot_condition_offers": "flows/test_killed_iot_offers.py",
    "iot_incidents": "flows/test_killed_iot_incidents.py",
    "iot_insights": "flows/test_killed_iot_insights.py",
    "iot_recommendations": "flows/test_killed_iot_recommendations.py",
    "iot_replenishment": "flows/test_killed_iot_replenishment.py",
    "iot_self_service": "flows/test_killed_iot_offers.py",
    "iot_stock": "flows/test_killed_iot_stock.py",
    "iot_warranty": "flows/test_killed_iot_warranty.py",
    "salesforce_buying_intent": "flows/test_killed_buying_intent.py",
    "salesforce_campaigns": "flows/test_killed_campaigns.py",
    "salesforce_cases": "flows/test_killed_cases.py",
    "salesforce_contract_prices": "flows/test_killed_contract_prices.py",
    "salesforce_customers": "flows/test_killed_customers.py",
    "salesforce_orders": "flows/test_killed_orders.py",
    "salesforce_purchase_history": "proofs/test_crashes_purchases.py",
    "salesforce_signals": "flows/test_killed_signals.py",
}
"""Flow -> the file of its story, below tests/."""
NOTHING: Mapping[str, Any] = {}


def pytest_configure(config: Any) -> None:
    """Put the proof where the stories call, and simulators that can be set back where they are started."""
    from flows import killing

    killing.assert_survives = _played  # type: ignore[assignment]
    homes = [item for item in config.pluginmanager.get_plugins() if hasattr(item, "running_simulators")]
    assert homes, "tests/conftest.py starts the simulators under another name now"
    homes[0].running_simulators = _rewindable


_HANDLES: list[rewind.Rewindable] = []


@contextmanager
def _rewindable(*options: str) -> Iterator[dict[str, Any]]:
    with (
        tempfile.TemporaryDirectory(prefix="proof-rewind-") as folder,
        rewind.simulators(Path(folder) / "answer.json", *options) as (ready, handle),
    ):
        _HANDLES.append(handle)
        yield ready


def _played(
    dag_id: str, folder: Path, *, reset: Callable[[], None], edit: Callable[[int], None], look: Callable[[], Any]
) -> None:
    """Instead of ``assert_survives``: what the proof wants to do with the scene."""
    asked = json.loads(Path(os.environ[STORY]).read_text(encoding="utf-8"))
    if dag_id != asked["flow"]:
        pytest.skip(f"the story of {dag_id}")
    scene = _scene(dag_id, folder, look, gated=asked["gated"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("commerce_sync.systems.rest._pause", lambda _state: 0.0)
        _cheaply(patch)
        _known_verdicts(patch, folder.with_name(f"{folder.name}-verdicts"))
        crash_bugs.put_in(asked["bug"], patch)
        scene.begin(reset, edit)
        importlib.import_module(asked["module"]).play(scene, asked)
    pytest.skip("played")


def _cheaply(patch: pytest.MonkeyPatch) -> None:
    """Sessions of DuckDB as cursors of one instance with one thread, the types of a mapping's fields bound once.

    Nothing the engine decides differs. Every process has an instance of its own: none survives a fork. So has every
    load to Salesforce, which makes tables that are not temporary.
    """
    connect, field_types = duckdb.connect, binding.field_types
    known: dict[str, Any] = {}
    instances: dict[int, Any] = {}

    def session(*_: Any, config: Mapping[str, Any] = NOTHING) -> Any:
        if config.get("memory_limit") == stage.MEMORY_LIMIT:
            return connect(config=config)
        if os.getpid() not in instances:
            instances[os.getpid()] = connect(config={"threads": 1, "preserve_insertion_order": False})
        return Session(instances[os.getpid()].cursor())

    def bound(mapping: Any) -> Any:
        if mapping.leg not in known:
            with pytest.MonkeyPatch.context() as plain:
                plain.setattr(duckdb, "connect", connect)
                known[mapping.leg] = field_types(mapping)
        return known[mapping.leg]

    patch.setattr(duckdb, "connect", session)
    patch.setattr(binding, "field_types", bound)


def _known_verdicts(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """What Great Expectations said of the same rows and the same expectations is not asked again.

    Every play is a copy of this process, so it stands in files. Raises nothing: what is not known is asked.
    """
    folder.mkdir()
    begin, ask = gates._Judge.__init__, gates._Judge._outcomes

    def prepared(self: Any, failures: Any, size: int) -> None:
        self._failures, self._size = failures, size

    def outcomes(self: Any, frame: Any, expectations: list[Any]) -> Any:
        asked = pickle.dumps((frame, [item.configuration.to_json_dict() for item in expectations]))
        known = folder / sha256(asked).hexdigest()
        if known.exists():
            return pickle.loads(known.read_bytes())  # noqa: S301
        begin(self, self._failures, self._size)
        said = ask(self, frame, expectations)
        draft = known.with_suffix(f".{os.getpid()}")
        draft.write_bytes(pickle.dumps(said))
        os.rename(draft, known)  # os.replace is watched: this file is the proof's, no step of the flow
        return said

    patch.setattr(gates._Judge, "__init__", prepared)
    patch.setattr(gates._Judge, "_outcomes", outcomes)


def _scene(dag_id: str, folder: Path, look: Callable[[], Any], *, gated: bool) -> Any:
    if gated:
        with warnings.catch_warnings(action="ignore"):
            importlib.import_module("great_expectations")  # takes seconds, and every copy of this process needs it

    from demo.simulated import is_write
    from flows.walking import Walk, legs_of, open_site
    from proofs.crash_scene import Scene

    own = folder / "scene"
    own.mkdir()
    walk = Walk(own)
    walk.gated = gated
    mappings = [walk.mapping(item.leg) for item in legs_of(dag_id)]
    return Scene(mappings, folder, look=look, open_site=open_site, rewindable=_HANDLES[-1], is_write=is_write)
