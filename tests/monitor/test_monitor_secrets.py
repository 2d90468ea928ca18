"""No secret is in what Airflow keeps of a flow, nor on any page: the flow runs task by task over a wire that knows them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from commerce_sync import places
from flows.walking import CONTACTS, CUSTOMERS, HOUSEHOLDS, ROOT, Org, Shop, connection
from security.tapping import Tap, assert_no_secret
from test_steps import Task

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Airflow's own while it starts
SHOP_SECRET = "shop-client-s3cret-of-the-pages"
LEDGER_SECRET = "receiver-pa55word-of-the-pages"
STEPS = ("extract", "map_changes", "check", "load", "commit")


@pytest.fixture
def taps(bare: Path, shop: Shop, org: Org, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Tap]]:
    """The connections of both systems lead over a wire that remembers their secrets."""
    shop.far.patch("IntegrationClientCredentialsDetails", shop.far.client_id, clientSecret=SHOP_SECRET)
    found = {"sap_commerce": Tap(shop.far), "salesforce": Tap(org.far)}
    for name, far in (("sap_commerce", shop.far), ("salesforce", org.far)):
        fields = json.loads(connection(far)) | {"host": found[name].url}
        if name == "sap_commerce":
            fields["extra"]["client_secret"] = SHOP_SECRET
        monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}_DEFAULT", json.dumps(fields))
    receiver = {"conn_type": "generic", "login": "sap", "password": LEDGER_SECRET}
    monkeypatch.setenv("AIRFLOW_CONN_COMMERCE_SYNC_RECEIVER_SAP_COMMERCE", json.dumps(receiver))
    yield found
    for tap in found.values():
        tap.close()


def secrets_of(taps: dict[str, Tap]) -> set[str]:
    found = set().union(*(tap.secrets for tap in taps.values())) | {SHOP_SECRET, LEDGER_SECRET}
    assert len(found) >= 5, "the wire saw secrets and the tokens they were changed for"
    return found


def told_by_tasks(task: Task, legs: tuple[str, ...]) -> list[Any]:
    """Everything Airflow would keep: what tasks return, push and raise."""
    told: list[Any] = []
    for leg in legs:
        for step in STEPS:
            try:
                told.append(task.run(f"{leg}.{step}"))
            except Exception as error:  # noqa: BLE001  # Airflow writes any of them into the task's log
                told.append(f"{type(error).__name__}: {error} {getattr(error, '__notes__', '')}")
    return [*told, dict(task.pushed)]


def test_no_secret_is_in_xcom_templates_dags_alerts_or_on_any_page(
    taps: dict[str, Tap], shop: Shop, org: Org, ada: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.customers(1, 2)
    shop.customers(3, uid="no address")
    told = told_by_tasks(Task(CUSTOMERS, "run-1"), (HOUSEHOLDS, CONTACTS))
    assert sum(row.get("delivered", 0) for row in told if isinstance(row, dict)) >= 4
    for tap in taps.values():
        tap.echo("*", r"/services/data/|/odata2webservices/", 403)
    shop.change(1, name="Grace Hopper")
    told += told_by_tasks(Task(CUSTOMERS, "run-2", mode="complete"), (HOUSEHOLDS,))
    assert any(isinstance(item, str) and "***" in item for item in told), "what was repeated is masked"
    secrets = secrets_of(taps)
    assert_no_secret(json.dumps(told, default=str), secrets, where="XCom or a task's error")
    assert_no_secret(kept_of_dags(), secrets, where="a DAG as Airflow keeps it, or a rendered template")
    assert_no_secret(repr(places.open_ledger().alerts()), secrets, where="an alert")
    look_at_every_page(ada, secrets)
    check_on_the_command_line(secrets, capsys)


def kept_of_dags() -> str:
    """Every DAG as it is written to Airflow's database, and each task's fields that Airflow renders."""
    import runpy

    from airflow.sdk import DAG
    from airflow.serialization.serialized_objects import DagSerialization

    kept = []
    files = [runpy.run_path(str(path)) for path in sorted((ROOT / "dags").glob("*.py"))]
    for dag in [value for names in files for value in names.values() if isinstance(value, DAG)]:
        kept.append(json.dumps(DagSerialization.to_dict(dag), default=str))
        kept += [repr([getattr(task, name, None) for name in task.template_fields]) for task in dag.tasks]
    assert len(kept) > 100
    return "\n".join(kept)


def look_at_every_page(person: Any, secrets: set[str]) -> None:
    """Every route that is read, with a leg and a run there is."""
    from commerce_sync.monitor.app import READ

    run = places.open_ledger().runs(HOUSEHOLDS)[0].run
    seen = 0
    for path, _view in READ:
        found = person.get(path.format(leg=HOUSEHOLDS, run=run), key="C0001", leg=HOUSEHOLDS)
        assert found.status_code in (200, 404), (path, found.status_code)
        seen += found.status_code == 200
        assert_no_secret(found.text + repr(dict(found.headers)), secrets, where=f"the page {path}")
    assert seen >= 12


def check_on_the_command_line(secrets: set[str], capsys: pytest.CaptureFixture[str]) -> None:
    """``check`` asks systems that refuse and repeat what they were sent."""
    from commerce_sync.__main__ import main

    capsys.readouterr()
    assert main(["--dags", str(ROOT / "dags"), "check"]) == 1
    printed = capsys.readouterr()
    assert "***" in printed.out + printed.err
    assert_no_secret(printed.out + printed.err, secrets, where="what check prints")


def test_the_search_would_find_one(ada: Any, taps: dict[str, Tap]) -> None:
    with pytest.raises(AssertionError, match="the page"):
        assert_no_secret(f"... {SHOP_SECRET} ...", {SHOP_SECRET}, where="the page /runs")
    assert SHOP_SECRET in os.environ["AIRFLOW_CONN_SAP_COMMERCE_DEFAULT"]
