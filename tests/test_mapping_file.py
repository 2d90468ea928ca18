"""Mapping files: what a person gets told when one is wrong."""

from datetime import timedelta
from pathlib import Path

import pytest

from commerce_sync import mapping_file
from commerce_sync.errors import ConfigurationError
from commerce_sync.mapping import Limit

MAPPINGS = Path(__file__).parent.parent / "include" / "mappings"
GOOD = """\
leg: customers
from:
  system: sap_commerce
  service: CustomerSync
  entity_set: Customers
  key: uid
  modified: modifiedtime
  overlap: 10 min
  columns:
    uid: VARCHAR
    name: VARCHAR
    modifiedtime: TIMESTAMP
key: uid
to:
  system: salesforce
  object: Contact
  external_id: Commerce_Id__c
fields:
  Commerce_Id__c: uid
  LastName: {value: "coalesce(name, uid)", pii: true}
  AccountId: {value: uid, lookup: Account.Commerce_Id__c, on_null: leave}
guards: {max_deletes: 5%, max_rejected: 3, max_changes: {share: 50%, absolute: 10}}
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "customers.yaml"
    path.write_text(text)
    return path


def complaint(tmp_path: Path, text: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        mapping_file.load(written(tmp_path, text))
    return str(caught.value)


def test_a_good_file_says_what_one_leg_moves(tmp_path):
    mapping = mapping_file.load(written(tmp_path, GOOD))
    assert mapping.source.overlap == timedelta(minutes=10)
    assert mapping.source.conn_id == "sap_commerce_default"
    assert mapping.fields[2].lookup.object == "Account"
    assert mapping.fields[2].on_null == "leave"
    assert mapping.personal == {"LastName"}
    assert mapping.guards.max_deletes == Limit(share=0.05)
    assert mapping.guards.max_rejected.allowed(1000) == 3
    assert mapping.guards.max_changes.allowed(10) == 10


@pytest.mark.parametrize("path", sorted(MAPPINGS.rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_mapping_loads_and_is_named_like_its_leg(path):
    assert mapping_file.load(path).leg == path.stem


def test_an_unknown_key_is_named_with_its_line_and_the_legal_ones(tmp_path):
    text = complaint(tmp_path, GOOD.replace("  modified: modifiedtime", "  modfied: modifiedtime"))
    assert "customers.yaml:7:" in text
    assert "unknown key 'modfied'" in text
    assert "did you mean 'modified'?" in text
    assert "entity_set, filter" in text


def test_an_unknown_column_in_sql_is_named_with_its_line_and_candidates(tmp_path):
    text = complaint(tmp_path, GOOD.replace("coalesce(name, uid)", "coalesce(nane, uid)"))
    assert "customers.yaml:20:" in text
    assert "fields.LastName" in text
    assert '"nane"' in text
    assert '"name"' in text


def test_an_unknown_function_is_named(tmp_path):
    text = complaint(tmp_path, GOOD.replace("coalesce(name, uid)", "uper(name)"))
    assert "customers.yaml:20:" in text
    assert "upper" in text


def test_an_unknown_type_is_named(tmp_path):
    text = complaint(tmp_path, GOOD.replace("name: VARCHAR", "name: TEXTY"))
    assert "customers.yaml:11:" in text
    assert "TEXTY" in text


def test_an_unknown_system_lists_the_systems(tmp_path):
    text = complaint(tmp_path, GOOD.replace("system: salesforce", "system: salesfarce"))
    assert "'salesfarce'; legal values: sap_commerce, salesforce, iconik, opentext_iot" in text


def test_a_missing_key_is_named(tmp_path):
    assert "'service' is a required property" in complaint(tmp_path, GOOD.replace("  service: CustomerSync\n", ""))


def test_a_key_that_stands_twice_is_refused(tmp_path):
    text = complaint(tmp_path, GOOD + "key: name\n")
    assert "'key' stands twice" in text


def test_a_key_column_that_is_not_read_is_refused(tmp_path):
    text = complaint(tmp_path, GOOD.replace("  key: uid\n", "  key: customerID\n"))
    assert "'customerID' of source 'source' is not among its columns: uid, name, modifiedtime" in text


def test_broken_yaml_names_the_line(tmp_path):
    assert "customers.yaml:" in complaint(tmp_path, GOOD.replace("to:\n", "to: [\n"))


def test_a_type_parquet_cannot_keep_is_refused(tmp_path):
    text = complaint(tmp_path, GOOD.replace("Commerce_Id__c: uid\n", "Commerce_Id__c: length(uid)::HUGEINT\n"))
    assert "HUGEINT" in text
    assert "BIGINT" in text


def test_a_missing_file_lists_its_neighbours(tmp_path):
    written(tmp_path, GOOD)
    with pytest.raises(ConfigurationError, match="that folder has: .*customers"):
        mapping_file.load(tmp_path / "customer.yaml")
