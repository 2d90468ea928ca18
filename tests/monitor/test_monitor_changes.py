"""What people change on the monitor: who may, from where, who it was; and what the next run then does at the far side."""

from __future__ import annotations

import html
import re
from typing import Any
from urllib.parse import urlencode

import pytest
from monitor_person import Person

from commerce_sync.mapping import Guards
from flows.walking import HOUSEHOLDS, Org, Shop, Walk

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Airflow's own while it starts

CHANGES = (
    "/errors/retry",
    "/errors/dismiss",
    "/errors/customers_to_contacts/edit",
    "/conflicts/resolve",
    "/holds/answer",
)


def row(leg: str, key: str) -> str:
    return urlencode({"leg": leg, "key": key})


@pytest.fixture
def desk(walk: Walk, web: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The monitor over the ledger of the walk."""
    from commerce_sync import places
    from commerce_sync.monitor import book

    walk.gated = False
    monkeypatch.setattr(places, "open_ledger", lambda: walk.site.ledger)
    monkeypatch.setattr(places, "batches", lambda: walk.site.batches)
    monkeypatch.setattr(places, "pages", lambda: walk.site.pages)
    if walk.site.history is not None:
        monkeypatch.setattr(places, "history", lambda: walk.site.history)
    book.forget()
    yield walk
    book.forget()


def refused(walk: Walk, shop: Shop, org: Org, *numbers: int) -> None:
    """Households that Salesforce refuses for their phone; each is offered again in five minutes, not before."""
    shop.customers(*numbers)
    walk.alter(HOUSEHOLDS, guards=Guards(max_rejected=None))
    org.far.fault(
        action="row_error", object="Account", when={"field": "Commerce_Id__c", "regex": "."}, times=None,
        code="FIELD_CUSTOM_VALIDATION_EXCEPTION", message="phone is needed", fields=["Phone"],
    )  # fmt: skip
    walk.leg(HOUSEHOLDS)
    org.far.clear_faults()
    assert len(walk.rejects(HOUSEHOLDS)) == len(numbers)


def test_a_chosen_row_is_sent_by_the_next_run_and_the_others_wait(desk, shop, org, ada) -> None:
    refused(desk, shop, org, 1, 2, 3)
    assert desk.leg(HOUSEHOLDS).sent == 0, "nothing is due yet"
    found = ada.post("/errors/retry", row=[row(HOUSEHOLDS, "C0002")])
    assert (found.status_code, found.headers["location"]) == (303, "/commerce-sync/errors?done=retried&rows=1")
    desk.leg(HOUSEHOLDS)
    assert set(org.accounts) == {"C0002"}
    assert "1 row offered again" in ada.text("/errors", done="retried", rows="1")


def test_a_selection_is_retried_as_one(desk, shop, org, ada) -> None:
    refused(desk, shop, org, 1, 2, 3)
    ada.post("/errors/retry", row=[row(HOUSEHOLDS, f"C000{number}") for number in (1, 3)])
    desk.leg(HOUSEHOLDS)
    assert set(org.accounts) == {"C0001", "C0003"}


def test_a_dismissed_row_is_not_offered_again_and_says_who_and_why(desk, shop, org, ada) -> None:
    refused(desk, shop, org, 1, 2)
    ada.post("/errors/dismiss", row=[row(HOUSEHOLDS, "C0001")], reason="moved away <b>")
    ada.post("/errors/retry", row=[row(HOUSEHOLDS, "C0002")])
    desk.leg(HOUSEHOLDS, "complete")
    assert set(org.accounts) == {"C0002"}
    page = ada.text(f"/errors/{HOUSEHOLDS}", key="C0001")
    assert "<strong>Dismissed</strong> by ada" in page
    assert "moved away &lt;b&gt;" in page
    assert "moved away" in ada.text("/explain", key="C0001")


def test_an_edited_value_is_what_the_far_side_then_holds(desk, shop, org, ada) -> None:
    refused(desk, shop, org, 1, 2)
    found = ada.post(
        f"/errors/{HOUSEHOLDS}/edit", key="C0001", **{"value-Phone": "+49 30 777", "value-BillingCity": "Potsdam"}
    )
    assert found.status_code == 303, found.text.partition("<main")[2]
    page = ada.text(f"/errors/{HOUSEHOLDS}", key="C0001")
    assert "not sent yet" in page
    assert "+49 30 777" not in page, "the phone is personal"
    assert "Potsdam" in page
    desk.leg(HOUSEHOLDS)
    assert set(org.accounts) == {"C0001"}
    account = org.accounts["C0001"]
    assert (account["Phone"], account["BillingCity"]) == ("+49 30 777", "Potsdam")
    assert desk.leg(HOUSEHOLDS).sent == 0, "and nothing more is sent"


def test_a_field_is_emptied_by_a_tick(desk, shop, org, ada) -> None:
    refused(desk, shop, org, 1)
    ada.post(f"/errors/{HOUSEHOLDS}/edit", key="C0001", empty=["BillingCity"])
    desk.leg(HOUSEHOLDS)
    assert org.accounts["C0001"]["BillingCity"] is None


def test_an_edit_without_a_value_changes_nothing(desk, shop, org, ada) -> None:
    refused(desk, shop, org, 1)
    assert ada.post(f"/errors/{HOUSEHOLDS}/edit", key="C0001", **{"value-Phone": ""}).status_code == 400
    assert desk.leg(HOUSEHOLDS).sent == 0


def test_a_row_that_arrived_meanwhile_cannot_be_edited(desk, shop, org, ada) -> None:
    refused(desk, shop, org, 1)
    token = ada.form_token()
    ada.post("/errors/retry", row=[row(HOUSEHOLDS, "C0001")])
    desk.leg(HOUSEHOLDS)
    found = ada.post(f"/errors/{HOUSEHOLDS}/edit", token=token, key="C0001", **{"value-Phone": "1"})
    assert found.status_code == 409
    assert "not among its rejects" in html.unescape(found.text)


def test_dismissing_needs_a_reason_and_a_row(desk, shop, org, ada) -> None:
    refused(desk, shop, org, 1)
    assert ada.post("/errors/dismiss", row=[row(HOUSEHOLDS, "C0001")], reason="  ").status_code == 400
    assert ada.post("/errors/dismiss", reason="why").status_code == 400
    assert {item.status for item in desk.rejects(HOUSEHOLDS).values()} == {"rejected"}


@pytest.mark.parametrize("change", CHANGES)
def test_a_viewer_changes_nothing(scene, vera, ada, change) -> None:
    form = {"row": [row("customers_to_contacts", "CD0000001")], "reason": "x", "as": "resolved", "key": "CD0000001"}
    if change == "/conflicts/resolve":
        form["row"] = ["1"]
    if change == "/holds/answer":
        form["as"] = "approved"
    vera.get("/errors")
    token = own_token(vera)
    before = everything()
    found = vera.post(change, token=token, **form, **{"value-Phone": "1"})
    assert found.status_code == 403
    assert "right to trigger runs" in found.text
    assert everything() == before


def own_token(person: Any) -> str:
    """What a viewer's form would carry if there were one."""
    from commerce_sync.monitor.access import COOKIE, Visit

    class User:
        def get_id(self) -> str:
            return "vera"

    return Visit(None, User(), person.cookies[COOKIE], fresh=False).token


def everything() -> Any:
    from commerce_sync import places

    ledger = places.open_ledger()
    rejects = [(item.key, item.status, item.attempts) for item in ledger.rejects("customers_to_contacts")]
    return rejects, ledger.conflict_counts(), [hold.status for hold in ledger.holds()], ledger.said()


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(
    ("token", "origin"),
    [
        (None, "https://evil.example"),
        (None, None),
        (None, "null"),
        ("", "http://testserver"),
        ("0" * 64, "http://testserver"),
    ],
)
def test_a_form_that_is_not_of_these_pages_changes_nothing(scene, ada, change, token, origin) -> None:
    before = everything()
    form = {
        "row": [row("customers_to_contacts", "CD0000001"), "1"],
        "reason": "x",
        "as": "resolved",
        "key": "CD0000001",
    }
    found = ada.post(change, token=token, origin=origin, **form, **{"value-Phone": "1"})
    assert found.status_code == 403, found.text
    assert everything() == before


def test_the_token_of_another_session_is_refused(scene, ada, web) -> None:
    other = Person(web, "ada", "user").form_token()
    ada.get("/errors")
    assert ada.post("/errors/retry", token=other, row=[row("customers_to_contacts", "CD0000001")]).status_code == 403


def test_what_the_browser_says_about_the_site_counts_most(scene, ada) -> None:
    token = ada.form_token()
    headers = ada._login | {"Sec-Fetch-Site": "cross-site", "Origin": "http://testserver"}
    ada._web.cookies.clear()
    data = {"token": token, "row": row("customers_to_contacts", "CD0000001")}
    found = ada._web.post("/commerce-sync/errors/retry", data=data, headers=headers, cookies=ada.cookies)
    assert found.status_code == 403


def test_the_session_cookie_is_out_of_reach_of_scripts_and_other_sites(scene, ada) -> None:
    sent = ada.get("/errors").headers["set-cookie"]
    assert re.search(r"commerce_sync_session=[\w-]{30,}", sent)
    assert "HttpOnly" in sent
    assert "SameSite=strict" in sent
    assert "Path=/commerce-sync" in sent


def test_a_form_that_is_far_too_large_is_refused(scene, ada) -> None:
    found = ada.post("/errors/retry", row=["x" * 5_000_000])
    assert found.status_code == 413


def test_conflicts_are_resolved_by_their_numbers(scene, ada) -> None:
    from commerce_sync import places

    ledger = places.open_ledger()
    chosen = [str(item.id) for item in ledger.conflicts(status="open", limit=3)]
    found = ada.post("/conflicts/resolve", row=chosen, **{"as": "resolved"})
    assert found.headers["location"].endswith("done=resolved&rows=3")
    assert {str(item.id) for item in ledger.conflicts(status="resolved")} >= set(chosen)
    more = [str(item.id) for item in ledger.conflicts(status="open", limit=2)]
    ada.post("/conflicts/resolve", row=more, **{"as": "ignored"})
    assert {str(item.id) for item in ledger.conflicts(status="dismissed")} == set(more)


def test_an_answer_to_a_hold_names_who_gave_it(scene, ada) -> None:
    from commerce_sync import places

    ledger = places.open_ledger()
    page = ada.text("/holds")
    seen = html.unescape(re.search(r'name="seen" value="([^"]+)"', page)[1])
    chosen = [row("agreements_to_price_rows", "PA-2001")]
    ada.post("/holds/answer", row=chosen, seen=seen, reason="agreed", **{"as": "approved"})
    hold = next(item for item in ledger.holds("agreements_to_price_rows") if item.key == "PA-2001")
    assert (hold.status, hold.answered_by, hold.reason) == ("approved", "ada", "agreed")


def test_a_question_asked_after_the_page_was_made_stays_open(scene, ada) -> None:
    from commerce_sync import places

    chosen = [row("agreements_to_price_rows", "PA-2002")]
    ada.post("/holds/answer", row=chosen, seen="2026-01-01T00:00:00+00:00", **{"as": "approved"})
    held = {item.key: item.status for item in places.open_ledger().holds("agreements_to_price_rows")}
    assert held["PA-2002"] == "waiting"


def test_filters_are_kept_after_a_change(scene, ada) -> None:
    form = {
        "row": [row("placements_to_assets", "P50000001")],
        "query-leg": "placements_to_assets",
        "query-class": "transient",
    }
    found = ada.post("/errors/retry", **form)
    assert (
        found.headers["location"]
        == "/commerce-sync/errors?leg=placements_to_assets&class=transient&done=retried&rows=1"
    )
