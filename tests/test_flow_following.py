"""How a flow's DAG is put together: what it follows, what it polls, where a person is asked."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from airflow.sdk import BaseOperator

from commerce_sync import flow, mapping_file
from commerce_sync.errors import ConfigurationError

ROOT = Path(__file__).resolve().parents[1]
LEG = "salesforce/households_to_accounts"
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Airflow's own while it deserialises


@pytest.fixture(autouse=True)
def own_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMMERCE_SYNC_MAPPINGS", str(ROOT / "include" / "mappings"))
    monkeypatch.setattr(flow, "BUILT", {})
    monkeypatch.setattr(flow, "FOLLOWS", {})


def built(dag_id: str = "flow_b", **options: Any) -> Any:
    return flow.sync_dag(dag_id, **({"legs": [LEG], "schedule": "0 * * * *", "doc": "x"} | options))


def serialised(dag: Any) -> Any:
    from airflow.serialization.serialized_objects import DagSerialization

    return DagSerialization.from_dict(DagSerialization.to_dict(dag))


def test_a_flow_that_follows_another_has_the_others_asset_and_its_own_hours() -> None:
    timetable = serialised(built(after=["flow_a"])).timetable
    assert [uri for _, asset in timetable.asset_condition.iter_assets() for uri in [asset.uri]] == [
        "commerce-sync://flow/flow_a"
    ]
    assert (timetable.periodic, timetable.can_be_scheduled) == (True, True)


def test_a_flow_that_follows_can_be_backfilled_day_by_day() -> None:
    import pendulum
    from airflow.timetables.base import TimeRestriction

    timetable = serialised(built(after=["flow_a"], schedule="0 0 * * *")).timetable
    begin = pendulum.datetime(2026, 5, 1)
    restriction = TimeRestriction(earliest=begin, latest=begin.add(days=3), catchup=True)
    info = timetable.next_dagrun_info(last_automated_data_interval=None, restriction=restriction)
    assert (info.data_interval.start, info.data_interval.end) == (begin, begin.add(days=1))


def test_a_flow_without_hours_of_its_own_cannot_follow() -> None:
    with pytest.raises(ConfigurationError, match="flow_b follows flow_a but has no schedule"):
        built(after=["flow_a"], schedule=None)


def test_feeds_are_polled_before_the_first_leg(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("commerce_sync_feeds_for_a_test")

    class PollFeed(BaseOperator):
        def __init__(self, *, feed: str, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.feed = feed

    module.PollFeed = PollFeed
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(flow, "POLL", f"{module.__name__}:PollFeed")
    dag = built(feeds=["storefront", "surveys"])
    extract = dag.get_task("households_to_accounts.extract")
    assert extract.upstream_task_ids == {"poll_storefront", "poll_surveys"}
    assert dag.get_task("poll_storefront").feed == "storefront"


def test_only_a_leg_that_declares_approval_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "households_to_accounts.approve" not in built().task_ids
    folder = tmp_path / "salesforce"
    folder.mkdir()
    text = (ROOT / "include" / "mappings" / f"{LEG}.yaml").read_text()
    (folder / "households_to_accounts.yaml").write_text(text + "approval: {rows: BillingCity IS NULL, timeout: 2h}\n")
    monkeypatch.setenv("COMMERCE_SYNC_MAPPINGS", str(tmp_path))
    dag = built("flow_c")
    task = dag.get_task("households_to_accounts.approve")
    assert task.upstream_task_ids == {"households_to_accounts.check"}
    assert task.downstream_task_ids == {"households_to_accounts.load"}
    assert task.response_timeout.total_seconds() == 7200
    assert dag.get_task("households_to_accounts.load").trigger_rule == "none_failed"
    again = serialised(dag).get_task("households_to_accounts.approve")
    assert again.task_type == "Approve"
    assert mapping_file.load(Path(task.path)).approval is not None
