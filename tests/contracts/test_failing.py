"""Contract 4.11: an error says what happens next: what passes by itself is retried, what does not fails at once."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk.definitions.retry_policy import RetryAction

from commerce_sync import errors
from commerce_sync.errors import ConfigurationError, RetryableError
from commerce_sync.flow import SyncRetryPolicy
from commerce_sync.mapping import Field
from flows.walking import HOUSEHOLDS, Org, Shop, Walk, connection

FINAL = ("ConfigurationError", "QuotaError", "GateError", "GuardError", "BalanceError")


@pytest.mark.parametrize("name", FINAL)
def test_what_cannot_pass_by_itself_fails_at_once(name: str) -> None:
    decision = SyncRetryPolicy().evaluate(getattr(errors, name)("no"), 1, 3)
    assert decision.action is RetryAction.FAIL


def test_what_passes_by_itself_is_retried_after_the_pause_that_was_asked_for() -> None:
    asked = SyncRetryPolicy().evaluate(RetryableError("busy", retry_after=90), 1, 3)
    assert (asked.action, asked.retry_delay) == (RetryAction.RETRY, timedelta(seconds=90))
    usual = SyncRetryPolicy().evaluate(RetryableError("busy"), 1, 3)
    assert usual.action is not RetryAction.FAIL
    unforeseen = SyncRetryPolicy().evaluate(ConnectionResetError("gone"), 1, 3)
    assert unforeseen.action is not RetryAction.FAIL


def assert_fails_and_recovers(walk: Walk, org: Org, kind: type[Exception], *texts: str) -> Exception:
    """The leg stops with an error that names ``texts``; nothing of it arrived."""
    run = walk.attempt(HOUSEHOLDS)
    assert isinstance(walk.error, kind), repr(walk.error)
    assert [text for text in texts if text not in str(walk.error)] == [], str(walk.error)
    assert (run.status, run.settled, org.accounts, walk.markers(HOUSEHOLDS)) == ("stopped", False, {}, {})
    assert "nothing" not in (run.message or "nothing"), "the run says why it stopped"
    return walk.error


@pytest.mark.parametrize("wrong", ["salesforce", "sap_commerce"])
def test_wrong_credentials_are_a_persons_business(
    walk: Walk, shop: Shop, org: Org, wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.customers(1)
    far = {"salesforce": org.far, "sap_commerce": shop.far}[wrong]
    shop.far.fault(action="expire_tokens")
    name = f"AIRFLOW_CONN_{wrong.upper()}_DEFAULT"
    monkeypatch.setenv(name, connection(far).replace(f'"{far.client_secret}"', '"not-the-secret"'))
    error = assert_fails_and_recovers(walk, org, ConfigurationError, far.url, "check client id")
    assert "not-the-secret" not in str(error)
    monkeypatch.setenv(name, connection(far))
    assert walk.leg(HOUSEHOLDS).delivered == 1


@pytest.mark.parametrize("bulk_from", [1, 2000], ids=["bulk", "collections"])
def test_a_field_salesforce_does_not_have_is_named(walk: Walk, shop: Shop, org: Org, bulk_from: int) -> None:
    shop.customers(1, 2)
    leg = walk.mapping(HOUSEHOLDS)
    walk.alter(HOUSEHOLDS, target={"bulk_from": bulk_from}, fields=(*leg.fields, Field("Shoe_Size__c", "'42'")))
    assert_fails_and_recovers(walk, org, ConfigurationError, "Shoe_Size__c", "Account")
    walk.alter(HOUSEHOLDS, fields=leg.fields)
    assert walk.leg(HOUSEHOLDS).delivered == 2


@pytest.mark.parametrize(
    "wrong", [{"entity_set": "Clients"}, {"service": "ClientSync"}], ids=lambda item: str(list(item))
)
def test_an_entity_set_the_shop_does_not_have_is_named(walk: Walk, shop: Shop, org: Org, wrong: dict[str, str]) -> None:
    source = replace(walk.mapping(HOUSEHOLDS).source, **wrong)  # type: ignore[arg-type]
    walk.alter(HOUSEHOLDS, sources=(source,))
    assert_fails_and_recovers(walk, org, ConfigurationError, *wrong.values())


def test_a_column_the_shop_does_not_have_is_named(walk: Walk, shop: Shop, org: Org) -> None:
    shop.customers(1)
    source = walk.mapping(HOUSEHOLDS).source
    walk.alter(HOUSEHOLDS, sources=(replace(source, columns=source.columns | {"shoeSize": "INTEGER"}),))
    assert_fails_and_recovers(walk, org, ConfigurationError, "shoeSize")


STORMS: dict[str, dict[str, Any]] = {
    "503": {"action": "status", "status": 503},
    "429": {"action": "status", "status": 429},
    "lost connections": {"action": "drop_before"},
}


@pytest.mark.parametrize("storm", STORMS.values(), ids=STORMS)
@pytest.mark.parametrize("side", ["shop", "org"])
def test_a_storm_is_retried_later_and_leaves_nothing_behind(
    walk: Walk, shop: Shop, org: Org, side: str, storm: dict[str, Any]
) -> None:
    shop.customers(1, 2)
    far, path = (shop.far, "/Customers") if side == "shop" else (org.far, "/composite/sobjects")
    far.fault(match={"path": path}, times=None, **storm)
    assert_fails_and_recovers(walk, org, RetryableError)
    far.clear_faults()
    assert walk.leg(HOUSEHOLDS).delivered == len(org.accounts) == 2


def test_a_pause_the_far_side_asks_for_reaches_airflow(walk: Walk, shop: Shop, org: Org) -> None:
    shop.customers(1)
    org.far.fault(
        action="status", status=503, headers={"Retry-After": "240"}, match={"path": "/composite/"}, times=None
    )
    error = assert_fails_and_recovers(walk, org, RetryableError)
    assert SyncRetryPolicy().evaluate(error, 1, 3).retry_delay == timedelta(seconds=240)


def test_a_short_storm_costs_only_seconds(walk: Walk, shop: Shop, org: Org) -> None:
    shop.customers(1, 2)
    for far in (shop.far, org.far):
        far.fault(action="status", status=503, skip=1, times=2)
        far.fault(action="expire_tokens")
    assert walk.leg(HOUSEHOLDS).delivered == len(org.accounts) == 2


def test_an_answer_that_got_lost_after_the_effect_doubles_nothing(walk: Walk, shop: Shop, org: Org) -> None:
    shop.customers(*range(5))
    org.far.fault(action="drop_after", match={"path": "/composite/sobjects"}, times=1)
    run = walk.leg(HOUSEHOLDS)
    assert (run.delivered, len(org.accounts)) == (5, 5)


def test_failed_calls_count_against_the_budget(walk: Walk, shop: Shop, org: Org) -> None:
    shop.customers(1)
    org.far.reset_calls()
    shop.far.reset_calls()
    org.far.fault(action="status", status=503, match={"path": "/composite/"}, times=None)
    run = walk.attempt(HOUSEHOLDS)
    for system, far in (("salesforce", org.far), ("sap_commerce", shop.far)):
        counted = sum(count for route, count in far.calls()["by_route"].items() if "oauth" not in route)
        assert run.calls[system] == walk.site.ledger.spent(system) == counted
