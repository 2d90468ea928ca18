"""``undo``, ``undo --plan`` and ``redo`` on the command line, and the task of the flow."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from commerce_sync.__main__ import main
from commerce_sync.errors import ConfigurationError
from flows.walking import HOUSEHOLDS, Org, Shop, Walk
from undo.taking_back import Back


@pytest.fixture
def here(walk: Walk, back: Back, monkeypatch: pytest.MonkeyPatch) -> Back:
    """The commands work on the walk's ledger and mappings."""
    from commerce_sync import error_desk, steps

    monkeypatch.setattr(steps, "site", lambda: walk.site)
    monkeypatch.setattr(error_desk, "mapping_of", walk.mapping)
    return back


def changed(walk: Walk, shop: Shop, back: Back) -> str:
    back.keep(HOUSEHOLDS)
    shop.customers(1, 2)
    walk.leg(HOUSEHOLDS)
    shop.change(1, name="Grace Hopper", address={"town": "Bonn"})
    return walk.leg(HOUSEHOLDS).run


def test_a_run_is_planned_undone_and_done_again(
    walk: Walk, shop: Shop, org: Org, here: Back, capsys: pytest.CaptureFixture[str]
) -> None:
    run = changed(walk, shop, here)
    org.far.patch("Account", org.accounts["C0001"]["Id"], BillingCity="Paris")
    assert main(["undo", HOUSEHOLDS, run, "--plan"]) == 0
    said = capsys.readouterr().out
    assert [line.split() for line in said.splitlines() if line.startswith("C0001")] == [
        ["C0001", "BillingCity", "conflict", "Berlin", "Bonn", "Paris"],
        ["C0001", "Name", "restore", "***", "***", "***"],
    ]
    assert org.accounts["C0001"]["Name"] == "Grace Hopper (household)"
    assert main(["undo", HOUSEHOLDS, run, "--by", "Ada", "--reason", "wrong file"]) == 0
    assert "1 fields and records went back, 1 left alone" in capsys.readouterr().out
    assert org.accounts["C0001"]["Name"] == "Ada Lovelace1 (household)"
    assert walk.rejects(HOUSEHOLDS)["C0001"].reason.startswith(f"run {run} was undone by Ada: wrong file")
    assert main(["redo", HOUSEHOLDS, "C0002"]) == 1
    assert main(["redo", HOUSEHOLDS, "--by", "Ada"]) == 0
    walk.leg(HOUSEHOLDS, "complete")
    assert org.accounts["C0001"]["Name"] == "Grace Hopper (household)"


def test_a_run_that_cannot_be_undone_is_refused_with_the_reason(
    walk: Walk, shop: Shop, org: Org, here: Back, capsys: pytest.CaptureFixture[str]
) -> None:
    here.keep(HOUSEHOLDS)
    assert main(["undo", HOUSEHOLDS, "never"]) == 1
    assert "has no run 'never'" in capsys.readouterr().err


def context(conf: dict[str, Any], run_id: str = "manual__1") -> Any:
    params = {"leg": "", "run": "", "plan": False, "by": "", "reason": None} | conf
    return {"dag_run": SimpleNamespace(conf=conf, run_id=run_id), "params": params}


def test_the_task_undoes_what_the_form_names_once(walk: Walk, shop: Shop, org: Org, here: Back) -> None:
    from airflow.sdk.exceptions import AirflowSkipException

    from commerce_sync.undo_step import UndoRun

    run = changed(walk, shop, here)
    task = UndoRun(task_id="undo")
    with pytest.raises(AirflowSkipException):
        task.execute(context({"leg": HOUSEHOLDS, "run": run, "plan": True}))
    assert org.accounts["C0001"]["Name"] == "Grace Hopper (household)"
    asked = context({"leg": HOUSEHOLDS, "run": run, "by": "Ada"})
    assert task.execute(asked)["delivered"] == 1
    stamps = org.stamps()
    assert task.execute(asked)["delivered"] == 1, "cleared and run again, it is the same undo"
    assert org.stamps() == stamps
    with pytest.raises(ConfigurationError, match="needs a leg and the name of one of its runs"):
        task.execute(context({"leg": HOUSEHOLDS}))


def test_an_undo_waits_while_the_leg_is_at_work(walk: Walk, shop: Shop, org: Org, here: Back) -> None:
    from commerce_sync.company import LegBusy

    run = changed(walk, shop, here)
    walk.begin(HOUSEHOLDS)
    with pytest.raises(LegBusy, match="is still at work"):
        here.undo(walk.site.ledger.find_run(HOUSEHOLDS, run))
    assert org.accounts["C0001"]["Name"] == "Grace Hopper (household)"
