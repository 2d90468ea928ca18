"""The command line as a person uses it: approving what is held, and finding what is wrong before it runs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from commerce_sync import __main__ as command_line
from commerce_sync import flow, places
from flows.house import org, shop
from flows.walking import HOUSEHOLDS, Org, Shop

__all__ = ["org", "shop"]
ROOT = Path(__file__).resolve().parents[1]
DAG = """from commerce_sync.flow import sync_dag  # an Airflow DAG
sync_dag("{name}", legs=["salesforce/households_to_accounts"], schedule="0 * * * *", doc="x", after={after})
"""


@pytest.fixture
def dags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for DAG files, beside mappings of which the households need approval."""
    mappings, folder = tmp_path / "mappings", tmp_path / "dags"
    shutil.copytree(ROOT / "include" / "mappings", mappings)
    with (mappings / "salesforce" / f"{HOUSEHOLDS}.yaml").open("a") as file:
        file.write("approval: {rows: \"Commerce_Id__c >= 'C0003'\"}\n")
    folder.mkdir()
    monkeypatch.setenv("COMMERCE_SYNC_MAPPINGS", str(mappings))
    monkeypatch.setenv("COMMERCE_SYNC_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(flow, "BUILT", {})
    monkeypatch.setattr(flow, "FOLLOWS", {})
    return folder


def call(dags: Path, *words: str) -> int:
    return command_line.main(["--dags", str(dags), *words])


def test_a_person_approves_by_command_and_the_next_run_sends(
    dags: Path, shop: Shop, org: Org, capsys: pytest.CaptureFixture[str]
) -> None:
    (dags / "f.py").write_text(DAG.format(name="flow_a", after=()))
    shop.customers(1, 3, 4)
    assert call(dags, "run", "flow_a") == 0
    assert set(org.accounts) == {"C0001"}
    assert call(dags, "approvals", HOUSEHOLDS) == 0
    listed = capsys.readouterr().out
    assert listed.count("waiting") == 2
    assert "Lovelace" not in listed
    assert call(dags, "approve", HOUSEHOLDS, "C0003", "--by", "ann", "--reason", "called them") == 0
    assert call(dags, "refuse", HOUSEHOLDS, "C0004", "--by", "ann") == 0
    assert call(dags, "approve", HOUSEHOLDS, "C9999", "--by", "ann") == 1
    assert call(dags, "run", "flow_a", "--mode", "changes") == 0
    assert set(org.accounts) == {"C0001", "C0003"}
    found = {item.key: (item.status, item.answered_by) for item in places.open_ledger().holds(HOUSEHOLDS)}
    assert found == {"C0003": ("approved", "ann"), "C0004": ("refused", "ann")}


def test_keys_and_limit_by_command(dags: Path, shop: Shop, org: Org) -> None:
    (dags / "f.py").write_text(DAG.format(name="flow_a", after=()))
    shop.customers(0, 1, 2)
    assert call(dags, "run", "flow_a", "--keys", "C0002") == 0
    assert set(org.accounts) == {"C0002"}
    assert call(dags, "run", "flow_a", "--limit", "1") == 0
    assert set(org.accounts) == {"C0000", "C0002"}


def test_check_asks_the_systems_what_they_have(
    dags: Path, shop: Shop, org: Org, capsys: pytest.CaptureFixture[str]
) -> None:
    (dags / "f.py").write_text(DAG.format(name="flow_a", after=()))
    assert call(dags, "check") == 0
    mapping = dags.parent / "mappings" / "salesforce" / f"{HOUSEHOLDS}.yaml"
    mapping.write_text(mapping.read_text().replace("  BillingCity:", "  BillingTown__c:"))
    assert call(dags, "check") == 1
    assert "BillingTown__c" in capsys.readouterr().err
    assert call(dags, "check", "--offline") == 0


def test_check_without_connections_says_who_was_not_asked(
    dags: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("AIRFLOW_CONN_SALESFORCE_DEFAULT", "AIRFLOW_CONN_SAP_COMMERCE_DEFAULT"):
        monkeypatch.delenv(name, raising=False)
    (dags / "f.py").write_text(DAG.format(name="flow_a", after=()))
    assert call(dags, "check") == 0
    assert "salesforce_default was not asked: there is no such connection" in capsys.readouterr().err


def test_check_finds_flows_that_follow_in_a_circle_or_nobody(dags: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, after in (("flow_a", ["flow_b"]), ("flow_b", ["flow_a"]), ("flow_c", ["flow_z"])):
        (dags / f"{name}.py").write_text(DAG.format(name=name, after=after))
    assert call(dags, "check", "--offline") == 1
    told = capsys.readouterr().err
    assert "flow flow_a: follows itself by way of flow_b" in told
    assert "flow flow_c: follows 'flow_z', which is no flow" in told
