"""``--seed FILE`` and ``--state DIR`` of the command: what the systems hold when they start, and start again."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from own_simulators import ROOT, own_simulators, sides

SEED = {
    "sap_commerce": {
        "Product": [{"code": "kettle", "name": {"en": "Kettle"}, "catalogVersion": "Online|Default"}],
        "StockLevel": [{"productCode": "kettle", "warehouse": "default", "available": 7}],
    },
    "salesforce": {"Account": [{"Name": "Acme", "Commerce_Id__c": "U1"}, {"Name": "Bolt", "Commerce_Id__c": "U2"}]},
    "iconik": {"assets": [{"id": "0b5e7c1e-1111-11ee-8000-000000000001", "title": "Kettle hero"}]},
    "opentext_iot": {"Fleet": [{"devices": 3, "history_days": 0.5}]},
}


@pytest.fixture
def seed_file(tmp_path):
    path = tmp_path / "seed.json"
    path.write_text(json.dumps(SEED))
    return path


def test_a_seed_file_fills_every_system(seed_file):
    with own_simulators("--control", "--seed", str(seed_file)) as ready:
        far = sides(ready)
        assert [row["name"] for row in far["sap_commerce"].records("Product")] == [{"en": "Kettle"}]
        assert [row["available"] for row in far["sap_commerce"].records("StockLevel")] == [7]
        assert {row["Name"] for row in far["salesforce"].records("Account")} == {"Acme", "Bolt"}
        assert [row["title"] for row in far["iconik"].records("assets")] == ["Kettle hero"]
        assert len(far["opentext_iot"].records("device")) == 3
        assert far["opentext_iot"].records("event")


def test_a_state_folder_is_not_filled_from_the_file_again(seed_file, tmp_path):
    options = ("--seed", str(seed_file), "--state", str(tmp_path / "state"))
    with own_simulators("--control", *options) as ready:
        far = sides(ready)
        far["salesforce"].patch("Account", far["salesforce"].records("Account", Name="Acme")[0]["Id"], Name="Changed")
        far["sap_commerce"].put("StockLevel", [{"productCode": "kettle", "warehouse": "default", "available": 3}])
        far["iconik"].patch("assets", SEED["iconik"]["assets"][0]["id"], title="Renamed")
    with own_simulators("--control", *options) as ready:
        far = sides(ready)
        assert {row["Name"] for row in far["salesforce"].records("Account")} == {"Changed", "Bolt"}
        assert [row["available"] for row in far["sap_commerce"].records("StockLevel")] == [3]
        assert [row["title"] for row in far["iconik"].records("assets")] == ["Renamed"]
        assert len(far["opentext_iot"].records("device")) == 3


def test_a_load_that_failed_half_way_begins_again(tmp_path):
    path, state = tmp_path / "seed.json", tmp_path / "state"
    path.write_text(json.dumps({"salesforce": {"Account": [{"Name": "Acme"}], "Nothing": [{}]}}))
    assert "'Nothing' is unknown" in refusal("--seed", str(path), "--state", str(state))
    path.write_text(json.dumps({"salesforce": {"Account": [{"Name": "Acme"}]}}))
    with own_simulators("--control", "--seed", str(path), "--state", str(state)) as ready:
        assert [row["Name"] for row in sides(ready)["salesforce"].records("Account")] == ["Acme"]


def refusal(*options):
    command = [sys.executable, "-m", "simulators", "--port-base", "0", *options]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert found.returncode == 1
    assert "Traceback" not in found.stderr
    assert found.stdout == ""
    return found.stderr


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "is not JSON"),
        ("[]", "holds a list; it must be an object of systems"),
        ('{"magento": {}}', "unknown systems ['magento']; legal: sap_commerce, salesforce, iconik, opentext_iot"),
        ('{"iconik": []}', "iconik is a list"),
        ('{"iconik": {"assets": {}}}', "iconik.assets is an object; it must be a list"),
        ('{"iconik": {"assets": [1]}}', "iconik.assets[0] is a number"),
        ('{"sap_commerce": {"Gadget": [{}]}}', "sap_commerce.Gadget: type 'Gadget' is unknown; known: "),
        ('{"sap_commerce": {"Product": [{"colour": 1}]}}', "type Product has no attribute 'colour'; it has: "),
        ('{"salesforce": {"Account": [{"Nmae": "x"}]}}', "Account has no field 'Nmae'; it has: "),
        ('{"iconik": {"films": [{}]}}', "iconik.films: records of 'films' are unknown; legal: assets"),
        ('{"opentext_iot": {"robot": [{}]}}', "opentext_iot.robot: type 'robot' is unknown; legal: event, Fleet"),
    ],
)
def test_a_wrong_seed_file_ends_with_a_sentence(tmp_path, text, sentence):
    path = tmp_path / "seed.json"
    path.write_text(text)
    system = next((name for name in SEED if f'"{name}"' in text), "salesforce")
    assert sentence in refusal("--only", system, "--seed", str(path))


def test_a_missing_seed_file_is_named_with_what_is_legal(tmp_path):
    said = refusal("--seed", str(tmp_path / "none.json"))
    assert "none.json cannot be read" in said
    assert "legal: demo, empty, or a JSON file" in said
