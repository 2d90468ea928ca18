"""The comparison as people meet it: in a mapping file, at set-up, on the command line, at night."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import pytest

from commerce_sync import comparing_step, flow, mapping_file, places, sending
from commerce_sync.__main__ import main
from commerce_sync.errors import ConfigurationError, GuardError
from commerce_sync.mapping import Compare, Guards, Limit
from compare.marking import FIELDS, PERSON, Town
from flows.walking import HOUSEHOLDS, KEY, ROOT, Org, Shop

FILE = f"salesforce/{HOUSEHOLDS}.yaml"
DAG = """from commerce_sync.flow import sync_dag  # an Airflow DAG
sync_dag("town", legs=["salesforce/households_to_accounts"], schedule="0 * * * *", doc="x")
"""
LOG = logging.getLogger(__name__)


def marked(folder: Path, compare: str = "compare: {}") -> Path:
    """The mappings of the house, of which the households leave marks."""
    shutil.copytree(ROOT / "include" / "mappings", folder)
    path = folder / FILE
    path.write_text(path.read_text().replace(f"external_id: {KEY}\n", f"external_id: {KEY}\n  {compare}\n"))
    return path


@pytest.fixture
def dags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one flow, whose leg leaves marks."""
    marked(tmp_path / "mappings")
    folder = tmp_path / "dags"
    folder.mkdir()
    (folder / "town.py").write_text(DAG)
    monkeypatch.setenv("COMMERCE_SYNC_MAPPINGS", str(tmp_path / "mappings"))
    monkeypatch.setenv("COMMERCE_SYNC_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(flow, "BUILT", {})
    monkeypatch.setattr(flow, "FOLLOWS", {})
    return folder


def test_a_mapping_names_its_marks_and_its_policy(tmp_path: Path) -> None:
    path = marked(tmp_path / "m", "compare: {mark: Our_Mark__c, edits: all, on_double: delete}")
    assert mapping_file.load(path).target.compare == Compare(mark="Our_Mark__c", edits="all", on_double="delete")
    assert mapping_file.load(ROOT / "include" / "mappings" / FILE).target.compare is None


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("compare: {mark: Name}", "name three fields that nothing else fills"),
        ("compare: {bucket: X__c, cell: X__c}", "name three fields that nothing else fills"),
        ("compare: {on_double: merge}", "legal values: delete, report"),
        ("compare: {marks: X__c}", "unknown key 'marks'"),
    ],
)
def test_a_mapping_with_marks_that_cannot_work_is_refused(tmp_path: Path, given: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        mapping_file.load(marked(tmp_path / "m", given))


def test_only_salesforce_can_add_marks_up(tmp_path: Path) -> None:
    path = tmp_path / "leg.yaml"
    text = (ROOT / "include/mappings/salesforce/accounts_to_units.yaml").read_text()
    path.write_text(text.replace("  external_id:", "  compare: {}\n  external_id:"))
    with pytest.raises(ConfigurationError, match="sap_commerce cannot add marks up; only salesforce can"):
        mapping_file.load(path)


def test_the_fields_for_marks_are_written_with_the_set_up(dags: Path, tmp_path: Path) -> None:
    fields = str(ROOT / "include/salesforce/fields.yaml")
    assert main(["--dags", str(dags), "sf-setup", "write", str(tmp_path / "org"), "--fields", fields]) == 0
    folder = tmp_path / "org/force-app/main/default"
    bucket = (folder / "objects/Account/fields/Sync_Bucket__c.field-meta.xml").read_text()
    assert all(part in bucket for part in ("<externalId>true<", "<length>3<", "<type>Text<"))
    mark = (folder / "objects/Account/fields/Sync_Mark__c.field-meta.xml").read_text()
    assert all(part in mark for part in ("<precision>10<", "<scale>0<", "<type>Number<"))
    rights = (folder / "permissionsets/Commerce_Sync.permissionset-meta.xml").read_text()
    assert rights.count("<field>Account.Sync_") == 3


def test_a_person_looks_and_repairs_by_command(
    dags: Path, shop: Shop, org: Org, capsys: pytest.CaptureFixture[str]
) -> None:
    org.far.put("FieldDefinition", [{"object": "Account", **field} for field in FIELDS])
    shop.customers(1, 2, 3)
    call = ["--dags", str(dags)]
    assert main([*call, "run", "town"]) == 0
    assert main([*call, "compare", "town"]) == 0
    org.far.patch("Account", org.accounts["C0002"]["Id"], Phone="112", LastModifiedById=PERSON)
    capsys.readouterr()
    assert main([*call, "compare", "town"]) == 2
    said = capsys.readouterr().out
    assert [line.split()[:2] for line in said.splitlines() if line.startswith("edited")] == [["edited", "C0002"]]
    assert "With --repair" in said
    assert main([*call, "compare", HOUSEHOLDS, "--repair", "--json"]) == 2
    found = json.loads(capsys.readouterr().out)
    assert (found[0]["kinds"], found[0]["actions"]) == ({"edited": 1}, {"send": 1})
    assert main([*call, "run", "town", "--mode", "complete"]) == 0
    assert org.accounts["C0002"]["Phone"] != "112"
    assert main([*call, "compare", "town"]) == 0
    assert places.open_ledger().runs(HOUSEHOLDS)[0].kind == "compare"


def test_a_flow_without_marks_says_so(dags: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(ROOT / "include" / "mappings" / FILE, tmp_path / "mappings" / FILE)
    assert main(["--dags", str(dags), "compare", "town"]) == 1
    assert "no leg of flow town has `compare`" in capsys.readouterr().err


def test_at_night_every_leg_with_marks_is_compared_and_people_are_told_once(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[dict[str, str]] = []
    monkeypatch.setattr(sending, "send", lambda message, log: bool(told.append(message)) or True)
    flows = {"customers": [[town.walk.mapping(HOUSEHOLDS)], [town.walk.mapping("units_to_accounts")]]}
    given = {"repair": True, "log": LOG, "targets": town.walk.target}
    town.delete(3)
    site = town.walk.site
    assert comparing_step.compare_all(site, flows, run_id="night", **given) == {HOUSEHOLDS: {"missing": 1}}
    assert comparing_step.compare_all(site, flows, run_id="night", **given) == {}, "a task that is tried again"
    assert town.scan().new == 1
    assert comparing_step.compare_all(site, flows, run_id="next", **given) == {HOUSEHOLDS: {}}
    assert len(told) == 1
    assert "1 of 12 records differ (1 missing): 1 to send" in told[0]["text"]


def test_at_night_a_leg_at_work_is_left_and_a_fault_is_red(town: Town) -> None:
    given = {"repair": True, "log": LOG, "targets": town.walk.target}
    flows = {"customers": [[town.walk.mapping(HOUSEHOLDS)]]}
    busy = town.walk.begin(HOUSEHOLDS)
    assert comparing_step.compare_all(town.walk.site, flows, run_id="night", **given) == {}
    busy.note(status="stopped")
    town.walk.alter(HOUSEHOLDS, guards=Guards(max_changes=Limit(absolute=0)))
    town.delete(3)
    flows = {"customers": [[town.walk.mapping(HOUSEHOLDS)]]}
    with pytest.raises(GuardError, match="1 of 12 records differ"):
        comparing_step.compare_all(town.walk.site, flows, run_id="night", **given)
    assert town.walk.runs(HOUSEHOLDS)[0].status == "stopped"
