"""The page of a run: whether it can be undone, what an undo found, and the button that has the flow do it."""

from __future__ import annotations

import html
from collections.abc import Iterator
from typing import Any

import pytest

from flows.walking import HOUSEHOLDS, Org, Shop, Walk
from undo.taking_back import Back

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Airflow's own while it starts


@pytest.fixture
def back(walk: Walk, web: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Back]:
    """The monitor over the ledger of the walk."""
    from commerce_sync import places
    from commerce_sync.monitor import book

    monkeypatch.setattr(places, "open_ledger", lambda: walk.site.ledger)
    monkeypatch.setattr(places, "batches", lambda: walk.site.batches)
    monkeypatch.setattr(places, "pages", lambda: walk.site.pages)
    monkeypatch.setattr(places, "history", lambda: walk.site.history)
    book.forget()
    yield Back(walk)
    book.forget()


def changed(walk: Walk, shop: Shop, back: Back) -> Any:
    back.keep(HOUSEHOLDS)
    shop.customers(1, 2)
    walk.leg(HOUSEHOLDS)
    shop.change(1, name="Grace Hopper", address={"town": "Bonn"})
    return walk.leg(HOUSEHOLDS)


def asked() -> list[dict[str, Any]]:
    """What the runs of the undo flow were asked for, as Airflow has them."""
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session

    with create_session() as session:
        runs = session.query(DagRun).filter(DagRun.dag_id == "commerce_sync_undo").order_by(DagRun.id).all()
        return [dict(run.conf) for run in runs]


def test_the_button_has_the_flow_undo_the_run(walk: Walk, shop: Shop, org: Org, back: Back, ada: Any) -> None:
    run = changed(walk, shop, back)
    page = ada.text(f"/runs/{HOUSEHOLDS}/{run.run}")
    assert "Undo this run" in page
    before = asked()
    found = ada.post(f"/runs/{HOUSEHOLDS}/{run.run}/undo", token=token(page), reason="wrong <b>file</b>")
    assert (found.status_code, found.headers["location"]) == (
        303, f"/commerce-sync/runs/{HOUSEHOLDS}/{run.run}?done=undoing")  # fmt: skip
    assert asked()[len(before) :] == [
        {"leg": HOUSEHOLDS, "run": run.run, "by": "ada", "reason": "wrong <b>file</b>"}]  # fmt: skip
    assert "The undo was asked for" in ada.text(f"/runs/{HOUSEHOLDS}/{run.run}", done="undoing")


def token(page: str) -> str:
    return page.partition('name="token" value="')[2].partition('"')[0]


def test_a_viewer_sees_no_button_and_starts_nothing(walk: Walk, shop: Shop, org: Org, back: Back, vera: Any) -> None:
    run = changed(walk, shop, back)
    page = vera.text(f"/runs/{HOUSEHOLDS}/{run.run}")
    assert "Undo this run" not in page
    assert "right to trigger runs" in page
    before = asked()
    assert vera.post(f"/runs/{HOUSEHOLDS}/{run.run}/undo", token="x").status_code == 403
    assert asked() == before


def test_a_run_without_images_is_not_offered(walk: Walk, shop: Shop, org: Org, back: Back, ada: Any) -> None:
    walk.gated = False
    shop.customers(1)
    run = walk.leg(HOUSEHOLDS)
    assert "Undo this run" not in ada.text(f"/runs/{HOUSEHOLDS}/{run.run}")
    before = asked()
    back.keep(HOUSEHOLDS)
    shop.change(1, name="Grace Hopper")
    other = ada.text(f"/runs/{HOUSEHOLDS}/{walk.leg(HOUSEHOLDS).run}")
    found = ada.post(f"/runs/{HOUSEHOLDS}/{run.run}/undo", token=token(other))
    assert found.status_code == 409
    assert "no before-images of it are kept" in html.unescape(found.text)
    assert asked() == before


def test_the_page_of_an_undo_names_what_it_left(walk: Walk, shop: Shop, org: Org, back: Back, ada: Any) -> None:
    run = changed(walk, shop, back)
    org.far.patch("Account", org.accounts["C0001"]["Id"], BillingCity="<i>Paris</i>")
    undone = back.undo(run)
    page = ada.text(f"/runs/{HOUSEHOLDS}/{undone.run}")
    assert "left: changed since" in page
    assert "&lt;i&gt;Paris&lt;/i&gt;" in page
    assert "Grace Hopper" not in page, "a name is personal"
    assert run.run in page
    assert undone.run in ada.text(f"/runs/{HOUSEHOLDS}/{run.run}")
    errors = ada.text("/errors", status="undone")
    assert "C0001" in errors
    ada.post("/errors/retry", token=token(errors), row=[f"leg={HOUSEHOLDS}&key=C0001"])
    walk.leg(HOUSEHOLDS, "complete")
    assert org.accounts["C0001"]["Name"] == "Grace Hopper (household)"
