"""I6: a lasting fault that anybody may mend has one saved cart with the right part, for as long as it lasts."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from commerce_sync.ledger import Run
from flows.appliances import Appliances, Repairs, ago, fault, noted
from flows.walking import Shop, Walk, line

LEG = "repair_carts"


@pytest.fixture
def repairs(opentext_iot: Any, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Repairs:
    opentext_iot.clear_faults()
    found = Repairs(Appliances(opentext_iot, shop, monkeypatch), monkeypatch)
    found.stocked()
    return found


def walked(walk: Walk, *, mode: str = "auto", ahead: timedelta = timedelta(0)) -> Run:
    return walk.leg(LEG, mode, now=datetime.now(UTC) + ahead)


def parts(repairs: Repairs) -> dict[int, list[list[tuple[str, int]]]]:
    """Customer number -> what is in each saved cart."""
    return {number: sorted(entries for _, entries in carts) for number, carts in repairs.carts().items()}


def test_the_story_of_a_cart(repairs: Repairs, shop: Shop, walk: Walk) -> None:
    ledger, device, second = walk.site.ledger, repairs.owner(1, consent=False), repairs.owner(2)
    repairs.fits("c200", "filter", "CONSUMABLE", quantity=2)
    shop.far.put("Cart", [{"code": "own", "user": "c1@people.example", "currency": "USD", "date": ago(days=1).isoformat(),
                           "name": "my list", "entries": []}])  # fmt: skip
    noted(
        ledger,
        *(fault(device, "E17", ago(minutes=9), n=n) for n in range(5)),
        fault(second, "E33", ago(minutes=9), instance="f-9"),
    )
    walked(walk)
    found = repairs.carts()
    assert [entries for name, entries in found[1] if name != "my list"] == [[("filter", 2)]]
    assert found[2][0][0].startswith("repair-f-9-")
    row = next(row for row in shop.far.records("Cart") if row["name"] == found[2][0][0])
    assert json.loads(row["description"]) == {"fault": "E33", "device": "c200", "part": "belt", "quantity": 1,
                                              "guide": "repair-e33", "tree": 3}  # fmt: skip
    assert row["saveTime"]
    stamps = {row["code"]: row["modifiedtime"] for row in shop.far.records("Cart")}
    again = walked(walk)
    assert (again.kind, again.sent, walked(walk, mode="complete").sent) == ("changes", 0, 0)
    assert {row["code"]: row["modifiedtime"] for row in shop.far.records("Cart")} == stamps

    repairs.parts("filter-2")
    repairs.fits("filter", "filter-2", "FOLLOWUP")
    repairs.parts("filter", status="unapproved")
    walked(walk)
    assert [("filter-2", 2)] in parts(repairs)[1], "the part was superseded"
    assert len(repairs.carts()[1]) == 2
    noted(ledger, fault(device, "E17", ago(), state="cleared"))
    walked(walk)
    assert [name for name, _ in repairs.carts()[1]] == ["my list"], "the fault is cleared"


def test_a_cart_the_customer_has_changed_is_the_customers(repairs: Repairs, shop: Shop, walk: Walk) -> None:
    devices = [repairs.owner(1), repairs.owner(2)]
    noted(walk.site.ledger, *(fault(device, "E17", ago(minutes=9)) for device in devices))
    walked(walk)
    code = {str(row["user"]): row["code"] for row in shop.far.records("Cart")}
    entries = [
        {"entryNumber": 0, "product": "filter", "quantity": 1},
        {"entryNumber": 1, "product": "belt", "quantity": 3},
    ]
    shop.far.patch("Cart", next(found for user, found in code.items() if "c1@" in user), entries=entries)
    shop.far.delete("Cart", next(found for user, found in code.items() if "c2@" in user))
    noted(walk.site.ledger, *(fault(device, "E17", ago(), state="cleared") for device in devices))
    run = walked(walk)
    assert (run.deleted, run.rejected) == (2, 0)
    assert parts(repairs) == {1: [[("belt", 3), ("filter", 1)]]}


def test_only_what_anybody_may_mend_is_prepared(repairs: Repairs, shop: Shop, walk: Walk) -> None:
    """Technician's parts, low severity, no part in stock, unknown codes, a fault that is back after the replacement."""
    repairs.parts("bare", "gone")
    repairs.parts("gone", available=0)
    repairs.fits("bare", "gone", "CONSUMABLE")
    devices = {n: repairs.owner(n, product="bare" if n == 3 else "c200") for n in range(1, 8)}
    codes = {1: "E04", 2: "E17", 3: "E17", 4: "E99", 5: "E17", 6: "E17", 7: "E21"}
    noted(walk.site.ledger, *(fault(devices[n], code, ago(hours=2), severity={2: "low", 6: "medium"}.get(n, "critical"))
                              for n, code in codes.items()))  # fmt: skip
    noted(walk.site.ledger, fault(devices[5], "E17", ago(days=9), instance="f-0"),
          fault(devices[5], "E17", ago(days=8), instance="f-0", state="cleared"))  # fmt: skip
    shop.order("O1", customer=5, day=f"{ago(days=8):%Y-%m-%d}", lines=[line(0, "filter", 1, 5)])
    run = walked(walk)
    assert (parts(repairs), run.status) == ({6: [[("filter", 1)]]}, "green")


def test_a_lost_answer_makes_no_second_cart(repairs: Repairs, shop: Shop, walk: Walk) -> None:
    noted(walk.site.ledger, *(fault(repairs.owner(n), "E17", ago(minutes=9)) for n in (1, 2, 3)))
    shop.far.fault(action="status", status=503, match={"method": "PATCH", "path": "/save"}, skip=1, times=5)
    walk.attempt(LEG)
    shop.far.clear_faults()
    walked(walk)
    assert parts(repairs) == {number: [[("filter", 1)]] for number in (1, 2, 3)}
    assert walked(walk).sent == 0


def test_any_order_and_repetition_of_messages_ends_alike(
    repairs: Repairs, shop: Shop, walk: Walk, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    devices = [repairs.owner(number) for number in (1, 2, 3)]
    draw, messages = random.Random(3), []
    for number, device in enumerate(devices * 4):
        at = ago(days=3) + timedelta(minutes=draw.randrange(0, 3000))
        messages += [
            fault(device, "E17", at + timedelta(seconds=20 * n), instance=f"f-{number}", n=n) for n in range(3)
        ]
        if number % 2:
            messages.append(fault(device, "E17", at + timedelta(hours=9), instance=f"f-{number}", state="cleared"))
    ends = []
    for seed in range(3):
        monkeypatch.setenv("COMMERCE_SYNC_HOME", str(tmp_path / str(seed)))
        again = Walk(tmp_path / str(seed))
        for row in shop.far.records("Cart"):
            shop.far.delete("Cart", row["code"])
        late = [*messages, *messages[:5]]
        random.Random(seed).shuffle(late)
        for share in (late[: 12 * seed], late[6 * seed :]) if seed else (late,):
            noted(again.site.ledger, *{row["id"]: row for row in share}.values())
            walked(again)
        ends.append(repairs.carts())
    assert ends[0] == ends[1] == ends[2]
    assert sum(len(carts) for carts in ends[0].values()) == 6


def test_a_customer_who_is_gone_is_refused_and_the_others_are_served(
    repairs: Repairs, shop: Shop, walk: Walk
) -> None:  # fmt: skip
    devices = [repairs.owner(n) for n in (1, 2)]
    noted(walk.site.ledger, *(fault(device, "E17", ago(minutes=1)) for device in devices))
    assert walked(walk).sent == 0
    for row in shop.far.records("Consent"):
        shop.far.delete("Consent", row["code"])
    shop.far.delete("Customer", "c1@people.example")
    run = walked(walk, ahead=timedelta(minutes=6))
    assert (run.delivered, run.rejected, parts(repairs)) == (1, 1, {2: [[("filter", 1)]]})
    assert "Unknown" in str(walk.rejects(LEG)[f"cart|{devices[0]}|f-1"].reason)
