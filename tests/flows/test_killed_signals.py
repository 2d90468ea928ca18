"""S2: killed at every step boundary of every leg it ends as if nothing had happened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from commerce_sync import places
from flows.killing import ROUNDS, assert_survives
from flows.signalling import SIGNALS, Signals
from flows.walking import Org, Shop, Walk


def test_a_killed_flow_ends_as_an_undisturbed_one(
    shop: Shop, org: Org, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plays: list[Signals] = []

    def reset() -> None:
        shop.far.reset()
        org.far.reset()
        org.far.options(job_min_polls=1, job_latency_ms=0)
        home = tmp_path / f"play-{len(plays)}"  # an inbox of its own
        home.mkdir()
        monkeypatch.setenv("COMMERCE_SYNC_HOME", str(home))
        play = Signals(Walk(tmp_path / f"unused-{len(plays)}"), shop, org)
        play.inbox = places.open_ledger()
        play.acme(1)
        play.product("DRILL")
        plays.append(play)

    def edit(number: int) -> None:
        play = plays[-1]
        play.quote(f"Q{number}", 1, "BUYER_SUBMITTED")
        if number:
            play.quote(f"Q{number - 1}", 2, "CANCELLED")
        play.product(f"P{number}")
        play.happen(
            *play.views("b1@people.example", f"P{number}"),
            play.registration(f"p{number}@x.example"),
            *play.views("p0@x.example", "DRILL"),
        )

    def look() -> Any:
        play = plays[-1]
        opportunities = {
            key: (row["StageName"], row["Amount"], row["Signal_Count__c"]) for key, row in play.opportunities.items()
        }
        leads = {key: (row["Signal_Count__c"], row["Commerce_Id__c"]) for key, row in play.leads.items()}
        return opportunities, leads, set(org.live("OpportunityContactRole"))

    assert_survives(SIGNALS, tmp_path, reset=reset, edit=edit, look=look)
    opportunities, leads, roles = look()
    assert (len(opportunities), len(leads), len(roles)) == (2 * ROUNDS, ROUNDS, ROUNDS)
    assert [row[0] for row in opportunities.values()].count("Closed Lost") == ROUNDS - 1
