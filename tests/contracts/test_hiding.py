"""Contract 4.12: no secret and no personal value in a log, an alert, a reason, a page, a counter or the ledger's file."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from commerce_sync.mapping import Guards
from flows.walking import BUYERS, CONTACTS, CUSTOMERS, HISTORY, HOUSEHOLDS, Org, Shop, Walk, line

PERSONAL = ("lovelace", "people.example", "1234567", "mill lane", "not-an-address")


def secrets(shop: Shop, org: Org) -> tuple[str, ...]:
    return (org.far.client_secret, org.far.password, org.far.security_token, shop.far.password)


def everything_goes_wrong(walk: Walk, shop: Shop, org: Org) -> None:
    """Rows that are refused with their values quoted, quarantined rows, locks, expired tokens, a storm."""
    shop.units("acme")
    shop.buyers(1, 2, unit="acme")
    shop.customers(*range(1, 12))
    shop.customers(12, uid="Ada-not-an-address")
    shop.product("p1")
    shop.order("O1", customer=1, day="2026-05-01", lines=[line(0, "p1", 1, 10.0)])
    org.far.fault(
        action="row_error", object="Contact", when={"field": "LastName", "regex": "Lovelace3"}, times=None,
        code="INVALID_EMAIL_ADDRESS", message="Email: invalid email address: c3@people.example of Lovelace3",
    )  # fmt: skip
    org.far.fault(action="row_error", object="Account", when={"field": "Name", "regex": "Lovelace4"}, times=None,
                  code="DUPLICATE_VALUE", message="Ada Lovelace4 (household), phone 030 1234567, is there")  # fmt: skip
    org.far.fault(action="expire_tokens")
    org.far.fault(action="status", status=503, match={"path": "/composite/"}, times=2)
    for leg in (HOUSEHOLDS, CONTACTS, BUYERS):
        walk.alter(leg, guards=Guards(max_rejected=None))


def assert_silent(text: str, words: tuple[str, ...], where: str) -> None:
    found = [word for word in words if word.lower() in text.lower()]
    assert not found, f"{where} shows {found}"


def test_nothing_personal_and_no_secret_comes_to_light(
    gated_walk: Walk, shop: Shop, org: Org, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    walk = gated_walk
    everything_goes_wrong(walk, shop, org)
    words = PERSONAL + secrets(shop, org)
    capfd.readouterr()
    with caplog.at_level(logging.DEBUG):
        caplog.clear()
        runs = walk(CUSTOMERS) | walk(HISTORY)
        told = [record.getMessage() + str(record.exc_text or "") for record in caplog.records]
    assert [run.leg for run in runs.values() if not run.settled] == []
    assert sum(run.rejected for run in runs.values()) >= 3
    assert sum(run.quarantined for run in runs.values()) == 1
    for line_ in told:
        assert_silent(line_, words, "a log record")
    printed = capfd.readouterr()
    assert_silent(printed.out + printed.err, words, "the console")
    assert_silent(repr(runs), words, "a run's row")
    for leg in (HOUSEHOLDS, CONTACTS, BUYERS):
        assert_silent(repr(walk.rejects(leg)), words, f"the rejects of {leg}")
        assert_silent(repr(walk.site.ledger.explain(leg, "C0003")), words, "explain")
    pages = list((walk.folder / "pages").rglob("*.html"))
    assert pages
    for page in pages:
        assert_silent(page.read_text(), words, page.name)
    for path in walk.folder.glob("ledger.db*"):
        assert_silent(path.read_bytes().decode("latin-1"), words, path.name)
    assert_silent(every_file(walk.folder), secrets(shop, org), "a batch")


def every_file(folder: Path) -> str:
    return "".join(path.read_bytes().decode("latin-1") for path in folder.rglob("*") if path.is_file())
