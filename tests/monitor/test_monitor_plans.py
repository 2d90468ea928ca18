"""Plans in the monitor: made on the command line, looked at field by field, masked, filtered, applied."""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from commerce_sync.__main__ import main
from flows.walking import CONTACTS, CUSTOMERS, HOUSEHOLDS, ROOT, Org, Shop

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Airflow's own while it starts


def command(*words: str) -> int:
    return main(["--dags", str(ROOT / "dags"), *words])


@pytest.fixture
def planned(bare: Path, shop: Shop, org: Org, capsys: pytest.CaptureFixture[str]) -> str:
    """Two new customers, one of whom the org would refuse; the id of the plan of their legs."""
    shop.customers(1)
    shop.customers(2, uid="no address", name="Grace Hopper")
    assert command("plan", CUSTOMERS, "--leg", HOUSEHOLDS) == 0
    assert command("plan", CONTACTS) == 0
    said = capsys.readouterr().out
    return said.rpartition("apply '")[2].partition("'")[0]


def test_plans_are_listed_with_what_they_would_do(planned: str, vera: Any) -> None:
    text = vera.text("/plans")
    assert text.count("/commerce-sync/plans/") >= 2
    assert CONTACTS in text
    assert HOUSEHOLDS in text
    assert "/plans/" in vera.text(f"/runs/{CONTACTS}/{planned}")


def test_a_plan_is_shown_field_by_field_and_masked(planned: str, vera: Any) -> None:
    text = html.unescape(vera.text(f"/plans/{CONTACTS}/{planned}"))
    assert "MailingCity" in text
    assert "Berlin" in text
    assert "***" in text
    for personal in ("c1@people.example", "Lovelace", "no address", "Hopper"):
        assert personal not in text
    assert f"apply '{planned}' --leg {CONTACTS}" in text


def test_a_plan_is_filtered_by_effect_and_by_refusal(planned: str, vera: Any) -> None:
    path = f"/plans/{CONTACTS}/{planned}"
    assert "No such change" in vera.text(path, effect="delete")
    refused = vera.text(path, code="INVALID_EMAIL_ADDRESS")
    assert "INVALID_EMAIL_ADDRESS" in refused
    assert refused.count('class="key"') == 1
    assert vera.text(path, code="nonsense").count('class="key"') == 2


def asked(dag_id: str) -> list[dict[str, Any]]:
    """What the runs of a flow were asked for, as Airflow has them."""
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session

    with create_session() as session:
        runs = session.query(DagRun).filter(DagRun.dag_id == dag_id).order_by(DagRun.id).all()
        return [dict(run.conf) for run in runs]


def token(page: str) -> str:
    return page.partition('name="token" value="')[2].partition('"')[0]


def test_the_button_has_the_flow_apply_the_plan(planned: str, ada: Any) -> None:
    path = f"/plans/{CONTACTS}/{planned}"
    page, before = ada.text(path), asked(CUSTOMERS)
    assert "Apply this plan" in page
    found = ada.post(f"{path}/apply", token=token(page))
    assert (found.status_code, unquote(found.headers["location"])) == (303, f"/commerce-sync{path}?done=applying")
    assert asked(CUSTOMERS)[len(before) :] == [{"plan": planned}]
    assert "Applying the plan was asked for" in ada.text(path, done="applying")


def test_a_viewer_sees_no_button_and_applies_nothing(planned: str, vera: Any) -> None:
    path, before = f"/plans/{CONTACTS}/{planned}", asked(CUSTOMERS)
    page = vera.text(path)
    assert "Apply this plan" not in page
    assert "right to trigger runs" in page
    assert vera.post(f"{path}/apply", token="x").status_code == 403
    assert asked(CUSTOMERS) == before


def test_a_plan_that_is_not_there_is_not_applied(planned: str, ada: Any) -> None:
    page, before = ada.text(f"/plans/{CONTACTS}/{planned}"), asked(CUSTOMERS)
    assert ada.post(f"/plans/{CONTACTS}/nowhere/apply", token=token(page)).status_code == 404
    assert asked(CUSTOMERS) == before


def test_a_plan_that_is_not_kept_is_not_found(planned: str, vera: Any) -> None:
    found = vera.get(f"/plans/{CONTACTS}/nowhere")
    assert found.status_code == 404
    assert "There is no plan nowhere" in found.text


def test_the_command_line_plans_and_applies(
    bare: Path, shop: Shop, org: Org, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    shop.customers(1, 2)
    assert command("plan", HOUSEHOLDS, "--json", "--out", str(tmp_path / "plan.parquet")) == 0
    (plan,) = json.loads(capsys.readouterr().out)
    assert plan["effects"] == {"create": 2, "change": 0, "delete": 0, "none": 0}
    assert plan["rows"][0]["lines"][0] == {
        "field": "Commerce_Id__c", "action": "set", "before": None, "after": "C0001"}  # fmt: skip
    assert (tmp_path / "plan.parquet").stat().st_size > 0
    assert org.accounts == {}
    assert command("apply", plan["run"]) == 0
    assert "green" in capsys.readouterr().out
    assert set(org.accounts) == {"C0001", "C0002"}
    assert command("apply", "never") == 1
    assert "no leg has a plan 'never'" in capsys.readouterr().err


def test_only_a_plan_of_a_complete_scan_shows_deletes(
    bare: Path, shop: Shop, org: Org, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.customers(1, 2, 3)
    assert command("run", CUSTOMERS, "--leg", HOUSEHOLDS) == 0
    shop.remove(2)
    capsys.readouterr()
    assert command("plan", HOUSEHOLDS, "--json") == 0
    assert json.loads(capsys.readouterr().out)[0]["effects"]["delete"] == 0
    assert command("plan", HOUSEHOLDS, "--mode", "complete", "--json") == 0
    (plan,) = json.loads(capsys.readouterr().out)
    assert plan["effects"] == {"create": 0, "change": 0, "delete": 1, "none": 0}
    assert set(org.accounts) == {"C0001", "C0002", "C0003"}


def test_the_command_line_shows_drift(
    bare: Path, shop: Shop, org: Org, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from commerce_sync.flow import BUILT

    for flow in [name for name in BUILT if name != CUSTOMERS]:
        monkeypatch.delitem(BUILT, flow)
    org.far.delete("FieldDefinition", "Account.BillingCity")
    assert command("drift", "--json") == 1
    found = json.loads(capsys.readouterr().out)
    assert any("has no field 'BillingCity'" in one["text"] for one in found["faults"])
    assert found["seen_first"] == found["objects"] > 0
