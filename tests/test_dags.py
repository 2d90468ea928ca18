"""Every DAG of the house: loads, keeps the house's manners, serialises, and falls alone when its mapping is broken."""

import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOWS = sorted(path.stem for path in (ROOT / "dags").glob("*.py"))


@pytest.fixture(scope="module")
def bag():
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(str(ROOT / "dags"))


def test_every_dag_file_gives_the_dag_of_its_name(bag):
    assert bag.import_errors == {}
    assert sorted(bag.dags) == FLOWS


@pytest.mark.parametrize("flow", FLOWS)
def test_manners(bag, flow):
    dag = bag.dags[flow]
    assert dag.doc_md, "the docstring is the runbook"
    assert dag.max_active_runs == 1
    assert not dag.catchup
    assert dag.has_on_failure_callback or dag.on_failure_callback
    assert "commerce-sync" in dag.tags
    assert not any(task.trigger_rule == "all_done" for task in dag.tasks), "an all_done leaf hides failures"
    for task in dag.tasks:
        assert task.retries >= 2
        assert task.retry_policy is not None
        assert task.execution_timeout <= timedelta(hours=6)


@pytest.mark.parametrize("flow", sorted(set(FLOWS) - {"commerce_sync_undo"}))  # only ever started by hand
def test_a_run_has_a_real_data_interval(bag, flow):
    timetable = bag.dags[flow].timetable
    assert type(getattr(timetable, "timetable", timetable)).__name__ == "CronDataIntervalTimetable"


@pytest.mark.parametrize(
    "flow", sorted(set(FLOWS) - {"commerce_sync_compare", "commerce_sync_drift", "commerce_sync_watch"})
)  # nobody follows them
def test_its_last_task_tells_the_flows_that_follow(bag, flow):
    leaves = [task for task in bag.dags[flow].tasks if not task.downstream_task_ids]
    assert [task.task_id for task in leaves] == ["done"]
    assert [asset.uri for asset in leaves[0].outlets] == [f"commerce-sync://flow/{flow}"]
    assert leaves[0].trigger_rule == "none_failed"


@pytest.mark.parametrize("flow", FLOWS)
def test_two_parses_serialise_to_the_same_dag(bag, flow):
    from airflow.dag_processing.dagbag import DagBag
    from airflow.serialization.serialized_objects import DagSerialization

    again = DagBag(str(ROOT / "dags"))
    assert DagSerialization.to_dict(bag.dags[flow]) == DagSerialization.to_dict(again.dags[flow])


def test_a_broken_mapping_costs_only_its_own_dag_and_says_where_it_is_broken(tmp_path):
    include, dags = tmp_path / "include" / "mappings", tmp_path / "dags"
    shutil.copytree(ROOT / "include" / "mappings", include)
    shutil.copytree(ROOT / "dags", dags, ignore=shutil.ignore_patterns("__pycache__"))
    broken = include / "salesforce" / "customers_to_contacts.yaml"
    broken.write_text(broken.read_text().replace("external_id:", "externalid:"))
    script = f"""
import os; os.environ["COMMERCE_SYNC_MAPPINGS"] = {str(include)!r}
from airflow.dag_processing.dagbag import DagBag
bag = DagBag({str(dags)!r})
print(sorted(bag.dags)); print(bag.import_errors)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True)
    assert "salesforce_purchase_history" in done.stdout
    assert f"{broken}:" in done.stdout
    assert "unknown key 'externalid' in to (did you mean 'external_id'?)" in done.stdout
    assert "legal keys: bulk_from, compare, connection, external_id, object, on_delete" in done.stdout


def test_parsing_imports_neither_great_expectations_nor_pandas():
    script = f"""
import sys, runpy
for path in {[str(path) for path in (ROOT / "dags").glob("*.py")]!r}: runpy.run_path(path)
print([name for name in ("great_expectations", "pandas") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"
