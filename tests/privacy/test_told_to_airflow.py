"""What Airflow keeps of a run (task logs, XCom, templates, triggers, errors) names nobody."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from commerce_sync import duty, places
from commerce_sync.errors import SyncError
from commerce_sync.steps import LegStep
from flows.house import org, shop
from flows.walking import CONTACTS, CUSTOMERS, HOUSEHOLDS, Org, Shop
from privacy.life import FORENAME, KEY, PHONE, STREET, SURNAME, UID
from proofs import bytescan
from test_steps import Task

__all__ = ["org", "shop"]
PERSONAL = (UID, FORENAME, SURNAME, PHONE, STREET)
STEPS = ("extract", "map_changes", "check", "load", "commit")
PAGE_SIZE = 60_000
"""Characters of what was logged that a failure shows."""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COMMERCE_SYNC_HOME", str(tmp_path))
    return tmp_path


def registered(shop: Shop) -> None:
    """She, and somebody else."""
    shop.customers(1)
    address = {"publicKey": "A-ZQ", "streetname": STREET, "streetnumber": "7", "postalcode": "10115", "town": "Berlin",
               "phone1": PHONE, "country": "DE"}  # fmt: skip
    shop.far.put("Customer", [{"uid": UID, "customerID": KEY, "name": f"{FORENAME} {SURNAME}", "loginDisabled": False,
                               "sessionLanguage": "en", "modifiedtime": shop.tick(), "addresses": [address]}])  # fmt: skip


def refusing(org: Org) -> None:
    """The CRM refuses her, and quotes her in its sentence."""
    for kind in ("Account", "Contact"):
        org.far.fault(action="row_error", object=kind, when={"field": "Commerce_Id__c", "regex": KEY}, times=None,
                      code="FIELD_CUSTOM_VALIDATION_EXCEPTION", message=f"{UID} of {FORENAME}, see {PHONE}")  # fmt: skip


def walked(task: Task, leg: str) -> list[Any]:
    """What the steps of a leg return, push, and raise."""
    told: list[Any] = []
    for step in STEPS:
        try:
            told.append(task.run(f"{leg}.{step}"))
        except SyncError as error:
            told.append(str(error))
    return [*told, dict(task.pushed)]


def found(text: str) -> list[str]:
    """Personal values in a text, however they are spelled."""
    low = text.encode().lower()
    return [name for name in PERSONAL if any(form.lower() in low for form in bytescan.spellings(name))]


def test_logs_and_results_of_the_tasks_name_nobody(
    shop: Shop, org: Org, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    registered(shop)
    refusing(org)
    task = Task(CUSTOMERS, "run-1")
    with caplog.at_level(logging.INFO), caplog.at_level(logging.DEBUG, logger="commerce_sync"):
        told = [walked(task, leg) for leg in (HOUSEHOLDS, CONTACTS)]
    assert places.open_ledger().rejects(HOUSEHOLDS)[0].key == KEY, "she was refused, and quoted"
    logged = caplog.text + "".join(capfd.readouterr())
    assert "rejected" in logged, "the steps log what they did"
    assert found(logged) == [], logged[:PAGE_SIZE]
    assert found(json.dumps(told, default=str)) == []


def test_nothing_of_a_step_is_a_template() -> None:
    """Airflow keeps what it renders: there is nothing to render but the question to a person, which is masked."""
    task = Task(CUSTOMERS, "run-1")
    rendered = {type(item).__name__: set(item.template_fields) for item in task.dag.tasks if isinstance(item, LegStep)}
    assert {name: fields for name, fields in rendered.items() if fields and name != "Approve"} == {}


def test_reasons_alerts_and_messages_of_runs_name_nobody(shop: Shop, org: Org) -> None:
    registered(shop)
    refusing(org)
    task = Task(CUSTOMERS, "run-1")
    walked(task, HOUSEHOLDS)
    ledger = places.open_ledger()
    (reject,) = ledger.rejects(HOUSEHOLDS)
    assert reject.reason
    assert reject.reason.count("***") >= 3
    assert found(f"{reject.reason} {reject.payload}") == []
    duty.look(ledger, folder=Path(__file__).parents[2] / "dags", log=logging.getLogger("watch"))
    said = [item.message for item in ledger.alerts()] + [str(run.message) for run in ledger.runs()]
    assert found(" ".join(said)) == []
