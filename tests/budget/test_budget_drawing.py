"""Drawing from one budget: priorities, reserve, outsiders, leases; by one process and by several, on both databases."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import commerce_sync
from commerce_sync.budget import Allowance, Budget, Part
from commerce_sync.budget_meter import Meter
from commerce_sync.errors import QuotaError
from commerce_sync.ledger import Ask, Grant, Ledger, Refusal, Reported

ORG = "salesforce_default"
NOW = datetime(2026, 11, 20, 12, 10, tzinfo=UTC)
LIMITED = Budget(ORG, {"calls": Allowance(limit=1000, reserve=Part(number=200), cushion=Part())})
TOLD = Budget(ORG, {"calls": Allowance(reserve=Part(share=0.2), cushion=Part())})
CUSHIONED = Budget(ORG, {"calls": Allowance(reserve=Part(share=0.2))})


def ask(priority: Any = "normal", amount: int = 50, *, leg: str = "orders", **more: Any) -> Ask:
    return Ask(ORG, "calls", leg, priority, amount, **more)


def granted(found: Grant | Refusal) -> Grant:
    assert isinstance(found, Grant), found
    return found


def refused(found: Grant | Refusal) -> Refusal:
    assert isinstance(found, Refusal), found
    return found


def use_all(ledger: Ledger, budget: Budget, priority: Any, *, now: datetime = NOW) -> int:
    """Draw and use until there is no room; gives the calls."""
    used, done = 0, None
    while isinstance(found := ledger.draw(ask(priority), budget, done=done, now=now), Grant):
        used += found.amount
        done = (found.lease, found.amount)
    return used


def use_up(meter: Meter) -> None:
    """Call until there is no room."""
    try:
        while True:
            if meter.take() is None:
                meter.refill()
    except QuotaError:
        meter.close()


def test_our_flows_never_touch_the_reserve(ledger: Ledger) -> None:
    assert use_all(ledger, LIMITED, "high") == 800
    said = refused(ledger.draw(ask("high"), LIMITED, now=NOW))
    assert "0 calls of 1,000 are left to us above the reserve of 200" in said.reason


def test_what_was_not_used_can_be_used_by_others(ledger: Ledger) -> None:
    found = granted(ledger.draw(ask("high", 100), LIMITED, now=NOW))
    ledger.give_back(ask(), found.lease, used=10, of_step=10, now=NOW)
    assert use_all(ledger, LIMITED, "high") == 790


def test_after_24_hours_the_calls_are_back(ledger: Ledger) -> None:
    assert use_all(ledger, LIMITED, "high") == 800
    assert use_all(ledger, LIMITED, "high", now=NOW + timedelta(hours=23)) == 0
    assert use_all(ledger, LIMITED, "high", now=NOW + timedelta(hours=25)) == 800


@pytest.mark.parametrize(("used", "who"), [(500, "low normal high"), (650, "normal high"), (750, "high"), (796, "")])
def test_low_waits_before_normal_and_normal_before_high(ledger: Ledger, used: int, who: str) -> None:
    """Of 1,000 are 200 the reserve and 200 the cushion, which low leaves, and normal half of it."""
    ledger.report(ORG, "calls", Reported(1000, used, NOW))
    may = [name for name in ("low", "normal", "high") if isinstance(
        ledger.draw(ask(name, 1, leg=f"{name}-leg"), CUSHIONED, now=NOW), Grant)]  # fmt: skip
    assert " ".join(may) == who


def test_while_others_use_more_than_ever_only_high_goes_on(ledger: Ledger) -> None:
    """150 calls in an hour are expected to go on for a while; what is left now would not last."""
    ledger.report(ORG, "calls", Reported(1000, 300, NOW - timedelta(days=1)))
    ledger.report(ORG, "calls", Reported(1000, 300, NOW - timedelta(hours=1)))
    ledger.report(ORG, "calls", Reported(1000, 450, NOW))
    may = [name for name in ("low", "normal", "high") if isinstance(
        ledger.draw(ask(name, 1, leg=f"{name}-leg"), TOLD, now=NOW), Grant)]  # fmt: skip
    assert may == ["high"]


def test_who_has_waited_longer_comes_first(ledger: Ledger) -> None:
    ledger.report(ORG, "calls", Reported(1000, 700, NOW))
    for minute, name in enumerate(("first", "second")):
        ledger.count_calls(ask("low", leg=name), used=60, now=NOW - timedelta(hours=30))
        refused(ledger.draw(ask("low", leg=name, first=True), CUSHIONED, now=NOW + timedelta(minutes=minute)))
    later = NOW + timedelta(minutes=10)
    ledger.report(ORG, "calls", Reported(1000, 500, later))
    refused(ledger.draw(ask("low", leg="second", first=True), CUSHIONED, now=later))
    granted(ledger.draw(ask("low", leg="first", first=True), CUSHIONED, now=later))


def test_a_refused_leg_is_listed_as_waiting_until_it_may_go_on(ledger: Ledger) -> None:
    ledger.report(ORG, "calls", Reported(1000, 900, NOW))
    said = refused(ledger.draw(ask("low", first=True), TOLD, now=NOW))
    assert NOW < said.until <= NOW + timedelta(minutes=15)
    later = NOW + timedelta(minutes=10)
    refused(ledger.draw(ask("low", first=True), TOLD, now=later))
    legs = next(item for item in ledger.standings([TOLD], now=later)).legs
    assert [(leg.leg, leg.priority, leg.since) for leg in legs] == [("orders", "low", NOW)]
    assert "looking again at" in (legs[0].reason or "")
    free = NOW + timedelta(minutes=20)
    granted(ledger.draw(ask("low", first=True), TOLD, said=Reported(1000, 100, free), now=free))
    assert all(leg.since is None for item in ledger.standings([TOLD], now=free) for leg in item.legs)


def test_a_low_run_that_waited_too_long_gets_what_is_left_over(ledger: Ledger) -> None:
    figures = ask("low", 20, leg="figures", within=timedelta(hours=2), first=True)
    waits = []
    for minutes in range(0, 150, 15):
        now = NOW + timedelta(minutes=minutes)
        ledger.report(ORG, "calls", Reported(1000, 650, now))
        waits.append(isinstance(ledger.draw(figures, CUSHIONED, now=now), Refusal))
    assert waits == [True] * 8 + [False, True], "after two hours once; then it waits anew"


def test_what_others_use_counts_as_soon_as_the_far_side_says_it(ledger: Ledger) -> None:
    first = granted(ledger.draw(ask("high", 100), TOLD, now=NOW))
    ledger.give_back(ask("high"), first.lease, used=100, of_step=100, said=Reported(1000, 500, NOW), now=NOW)
    found = next(iter(ledger.standings([TOLD], now=NOW)))
    assert (found.ours, found.others) == (100, 400)
    assert use_all(ledger, TOLD, "high") == 1000 - 200 - 5 - 500, (
        "the reserve, and half a percent for what is under way"
    )


def test_an_older_report_does_not_replace_a_newer_one(ledger: Ledger) -> None:
    ledger.report(ORG, "calls", Reported(1000, 790, NOW))
    ledger.report(ORG, "calls", Reported(1000, 10, NOW - timedelta(seconds=40)))
    assert next(iter(ledger.standings([TOLD], now=NOW))).level.used == 790


def test_the_lease_of_a_killed_process_goes_back_where_the_far_side_counts(ledger: Ledger) -> None:
    ledger.report(ORG, "calls", Reported(1000, 0, NOW))
    granted(ledger.draw(ask("high", 160), TOLD, now=NOW))
    soon, late = NOW + timedelta(minutes=9), NOW + timedelta(minutes=11)
    assert next(iter(ledger.standings([TOLD], now=soon))).level.leased == 160
    granted(ledger.draw(ask("high", 1), TOLD, said=Reported(1000, 40, late), now=late))
    assert use_all(ledger, TOLD, "high", now=late) == 1000 - 200 - 5 - 40 - 1


def test_the_lease_of_a_killed_process_stays_used_where_nobody_else_counts(ledger: Ledger) -> None:
    granted(ledger.draw(ask("high", 160), LIMITED, now=NOW))
    late = NOW + timedelta(minutes=11)
    assert use_all(ledger, LIMITED, "high", now=late) == 640
    assert next(iter(ledger.standings([LIMITED], now=late))).level.leased == 0


def test_a_lease_ends_when_an_answer_says_that_others_are_at_the_reserve(ledger: Ledger) -> None:
    clock = [NOW.timestamp()]
    ledger.report(ORG, "calls", Reported(1000, 100, NOW))
    meter = Meter(ledger, TOLD, connection=ORG, leg="orders", priority="high", clock=lambda: clock[0])
    meter.refill()
    assert meter.take() == 0.0
    clock[0] += 1
    meter.heard({"Sforce-Limit-Info": "api-usage=801/1000"})
    assert meter.take() is None
    with pytest.raises(QuotaError) as caught:
        meter.refill()
    assert caught.value.retry_after == 60
    meter.close()
    assert meter.used == 1


def test_calls_of_a_connection_without_a_budget_are_counted_and_never_wait(ledger: Ledger) -> None:
    meter = Meter(ledger, None, connection="rates", leg="feed/rates", priority="normal")
    assert [meter.take() for _ in range(5)] == [0.0] * 5
    meter.close()
    found = next(iter(ledger.standings([])))
    assert (found.connection, found.ours, found.legs[0].leg) == ("rates", 5, "feed/rates")


def test_all_processes_together_keep_to_the_calls_of_a_second(ledger: Ledger) -> None:
    """Two meters take turns on one clock: no second has more calls than the limit."""
    budget, clock = Budget("iot", {}, per_second=10.0), [1_000_000.0]
    meters = [
        Meter(ledger, budget, connection="iot", leg=name, priority="normal", clock=lambda: clock[0]) for name in "ab"
    ]
    began: list[float] = []
    for _round in range(40):
        for meter in meters:
            while (pause := meter.take()) is None:
                meter.refill()
            began.append(clock[0] + pause)
        clock[0] = max(clock[0], min(began[-2:]))
    began.sort()
    assert all(later - earlier >= 0.999 for earlier, later in zip(began, began[10:], strict=False))
    assert began[-1] - began[0] < 12, "and nearly all of them are used"


DRAW = """
import sys
from commerce_sync.budget import Allowance, Budget, Part
from commerce_sync.budget_meter import Meter
from commerce_sync.errors import QuotaError
from commerce_sync.ledger import Ledger
ledger = Ledger.open(sys.argv[1], files=sys.argv[2])
budget = Budget("org", {"calls": Allowance(limit=1000, reserve=Part(number=100), cushion=Part())})
made = 0
for step in range(200):
    meter = Meter(ledger, budget, connection="org", leg=f"leg-{sys.argv[3]}", priority="high")
    try:
        for call in range(17):
            while meter.take() is None:
                meter.refill()
            made += 1
    except QuotaError:
        break
    finally:
        meter.close()
print(made)
"""


def test_several_processes_use_all_of_a_budget_and_never_more(
    url: str, tmp_path: Path, processes: Callable[..., list[str]]
) -> None:
    made = [int(text) for text in processes(DRAW, url, str(tmp_path / "files"), number=3)]
    ledger = Ledger.open(url, files=str(tmp_path / "files"))
    rest = Meter(ledger, Budget("org", {"calls": Allowance(limit=1000, reserve=Part(number=100), cushion=Part())}),
                 connection="org", leg="rest", priority="high")  # fmt: skip
    use_up(rest)
    assert sum(made) + rest.used == 900
    assert ledger.standings([])[0].ours == 900


HANG = DRAW.replace("made += 1", "made += 1; print(made, flush=True)").replace("range(17)", "range(10_000)").replace(
    "print(made, flush=True)", "print(made, flush=True); time.sleep(0.01)"
).replace("import sys", "import sys, time", 1)  # fmt: skip


def test_processes_killed_in_the_middle_hold_nothing_back_for_ever_and_nothing_is_used_twice(
    url: str, tmp_path: Path
) -> None:
    package = Path(commerce_sync.__file__).parents[1]
    arguments = [sys.executable, "-c", HANG, url, str(tmp_path / "files")]
    Ledger.open(url, files=str(tmp_path / "files"))
    running = [
        subprocess.Popen([*arguments, str(number)], env={"PYTHONPATH": str(package)}, stdout=subprocess.PIPE, text=True)
        for number in range(2)
    ]
    for process in running:
        assert process.stdout is not None
        assert process.stdout.readline() == "1\n"
    time.sleep(0.2)
    for process in running:
        process.kill()
    made = sum(len(process.communicate(timeout=30)[0].split()) + 1 for process in running)
    ledger = Ledger.open(url, files=str(tmp_path / "files"))
    budget = Budget("org", {"calls": Allowance(limit=1000, reserve=Part(number=100), cushion=Part())})
    late = time.time() + 11 * 60
    meter = Meter(ledger, budget, connection="org", leg="after", priority="high", clock=lambda: late)
    use_up(meter)
    assert 900 - made - 2 * 160 <= meter.used <= 900 - made
