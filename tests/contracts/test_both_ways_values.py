"""Contract 4.7: what counts as one shared value, and when two of them are the same."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from commerce_sync import changes, mapping_file
from commerce_sync.errors import ConfigurationError
from contracts.two_sides import OUT, SHOP, Two, mappings

LEG = """
leg: halves
pair: people
from: {system: sap_commerce, service: S, entity_set: P, key: code, columns: {code: VARCHAR, a: VARCHAR, b: VARCHAR}}
key: code
to: {system: salesforce, object: P, external_id: Code__c}
fields:
  Code__c: code
  FirstName: {value: a, shared: {name: name, owner: sap_commerce}}
  LastName: {value: b, shared: {name: name, owner: OWNER}}
"""


def halves(folder: Path, owner: str = SHOP) -> mapping_file.Mapping:
    path = folder / "halves.yaml"
    path.write_text(LEG.replace("OWNER", owner))
    return mapping_file.load(path)


SAME = [("Ada", "King"), ("Ada King", None), (" Ada ", "  King"), (None, "Ada\r\n King"), ("", "Ada King")]


def test_two_fields_are_one_value_and_white_space_makes_no_difference(tmp_path: Path) -> None:
    (fields,) = changes.values(halves(tmp_path)).values()
    types = {"FirstName": "VARCHAR", "LastName": "VARCHAR"}
    with duckdb.connect() as con:

        def mark(first: str | None, last: str | None) -> str | None:
            rows = "(SELECT ?::VARCHAR AS FirstName, ?::VARCHAR AS LastName)"
            return con.execute(f"SELECT {changes.mark(fields, types)} FROM {rows}", [first, last]).fetchall()[0][0]

        assert len({mark(*pair) for pair in SAME}) == 1
        assert {mark(None, None), mark("", " ")} == {None}
        assert len({mark("Ada", "King"), mark("AdaKing", None), mark("ada", "king"), mark("King", "Ada")}) == 4


def test_two_owners_of_one_value_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="shared value 'name' has two owners"):
        halves(tmp_path, owner="salesforce")


def test_a_leg_that_makes_no_records_leaves_out_what_the_target_does_not_have(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    two = Two(tmp_path, mappings(tmp_path_factory.mktemp("mappings")))
    two.alter(OUT, options={"creates": False})
    two.crm.edit("here", phone="1")
    two.shop.edit("here", phone="2")
    two.shop.edit("gone", phone="3")
    run = two.run(OUT)
    assert (run.sent, run.delivered, run.created) == (2, 2, 0)
    assert set(two.crm.people) == {"here"}
    assert two.crm.value("here", "phone") == "2"
    two.alter(OUT, options={"creates": "no"})
    two.shop.edit("here", phone="4")
    with pytest.raises(ConfigurationError, match="creates is 'no'; legal: true, false"):
        two.run(OUT)
