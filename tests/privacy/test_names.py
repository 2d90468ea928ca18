"""By which names a record is known, and the command that forgets it by any of them."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from commerce_sync import __main__ as command_line
from commerce_sync import forget_names, steps
from commerce_sync.ledger import event_schema
from commerce_sync.leg import Site
from ledger.conftest import rows_sql

SHARED, OWN = "buying@acme.example", "carla@people.example"
CONTACTS = [
    {"Id": "003A0001", "Commerce_Id__c": "B0000001", "Email": SHARED},
    {"Id": "003A0002", "Commerce_Id__c": "B0000002", "Email": SHARED},
    {"Id": "003A0003", "Commerce_Id__c": "C0000003", "Email": OWN},
]
LEG = "memberships"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Three contacts, two with the mailbox of their company; two of them are members of a group."""
    monkeypatch.setenv("COMMERCE_SYNC_HOME", str(tmp_path))
    found = steps.site()
    with found.stores.write("contacts", "run-1", "contacts") as into:
        into.add(pa.Table.from_pylist(CONTACTS))
    members = {"B0000001": (1, "GROUP-77"), "B0000002": (2, "GROUP-77"), "C0000003": (3, "U-12345")}
    begun = found.ledger.begin(LEG, "run-1", kind="changes")
    with closing(found.batches.connect()) as con:
        delta = found.ledger.stage_delta(LEG, con, rows_sql(members))
    found.ledger.settle(begun, state_version=found.ledger.state(LEG).version, status="green", delta=delta)
    return found


def test_the_mailbox_and_the_group_of_many_are_no_name_of_one(site: Site) -> None:
    assert set(forget_names.names(site, "B0000001")) == {"B0000001", "003A0001"}
    assert set(forget_names.names(site, "003A0002")) == {"B0000002", "003A0002"}
    assert set(forget_names.names(site, OWN)) == {OWN}, "an address alone may be that of anybody"
    assert set(forget_names.names(site, "C0000003")) == {"C0000003", "003A0003", OWN, "U-12345"}


def test_who_registered_with_the_mailbox_of_many_is_one_of_them_only(site: Site) -> None:
    told = [
        {"uid": "anna.berg", "email": SHARED},
        {"uid": "bert.berg", "email": SHARED},
        {"uid": "carla", "email": OWN},
    ]
    rows = [{"event_id": f"e{number}", "type": "customer.registered", "source": "shop", "subject": None,
             "occurred_at": datetime.now(UTC), "data": json.dumps(data)} for number, data in enumerate(told)]  # fmt: skip
    site.ledger.add_events("shop", pa.Table.from_pylist(rows, event_schema()))
    assert set(forget_names.names(site, "anna.berg")) == {"anna.berg"}
    assert set(forget_names.names(site, SHARED)) == {SHARED}, "not everybody who has it"
    assert "carla" in forget_names.names(site, "C0000003")


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = command_line.main(["forget", *arguments])
    return code, capsys.readouterr().out


def test_the_command_forgets_and_says_what_went(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = told(capsys, "C0000003", "--dry-run")
    assert (code, site.ledger.tombstones()) == (0, [])
    assert "known by 4 names: C0000003" in text
    code, text = told(capsys, "C0000003", "--by", "Ada", "--json")
    found: dict[str, Any] = json.loads(text)
    assert (code, found["names"], found["done"], found["gone"]) == (0, 4, True, {"stores": 1, "markers": 1})
    assert OWN not in text, "what machines are given has no names"
    assert [item.by for item in site.ledger.tombstones()] == ["Ada"]
    assert told(capsys, "C0000003")[1].startswith("known by 1 names\nnothing is held about it")


def test_a_run_at_work_makes_the_command_end_with_1_until_it_has_ended(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    begun = site.ledger.begin(LEG, "run-2", kind="changes")
    with site.batches.write(LEG, "run-2", "extract") as into:
        into.add(pa.table({"_key": ["C0000003"]}))
    code, text = told(capsys, "C0000003")
    assert (code, f"at work: {LEG}/run-2" in text) == (1, True)
    site.ledger.update(begun, status="stopped", message="given up")
    assert told(capsys, "--pending") == (0, "1 records are erased now; 0 wait for a run to end\n")
    assert site.batches.find(LEG, "run-2", "extract") is None, "given up half way: it starts from extract"


def test_what_was_forgotten_is_readmitted_by_any_name(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    told(capsys, "C0000003")
    assert told(capsys, "nobody", "--undo")[0] == 1
    assert told(capsys, OWN.upper(), "--undo")[0] == 0
    assert site.ledger.tombstones() == []


def test_a_forgotten_key_that_somebody_asks_a_run_for_is_not_kept_with_it(site: Site) -> None:
    from commerce_sync import leg as legs
    from commerce_sync.window import Request
    from flows.walking import CONTACTS as OF_CUSTOMERS
    from flows.walking import mapping_of

    site.ledger.bury(["C0000003"], by="Ada")
    run = legs.begin(
        site, mapping_of(OF_CUSTOMERS), "run-1", request=Request(mode="changes", keys=("C0000003", "C0000004"))
    )
    assert run.keys == ["***", "C0000004"], "left out, nothing would limit the run"
