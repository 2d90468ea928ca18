"""S1: whatever both sides edit in whatever order between whichever runs, it comes to rest and both agree.

``HYPOTHESIS_EXAMPLES`` asks for more examples than the usual few; each is some forty runs over both simulators. The
contracts have the same over sides in memory, with hundreds of them (``test_both_ways_any_order``).
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from commerce_sync.systems import rest
from flows.both_sides import SHARING, Both
from flows.walking import HOUSEHOLDS, Org, Shop, Walk

EXAMPLES = int(os.environ.get("HYPOTHESIS_EXAMPLES", "4"))
SHOP, CRM = "sap_commerce", "salesforce"
NAMES = ("Ada King", "Grace Brewster Hopper", "X", "Ørsted 企业", "Zoë")
TOWNS = ("Bonn", "Köln", None)
STREETS = ("Oak Road 7b", "Elm Street", None)
PHONES = ("1", "040 77", None)
# value -> key, kind and field in the shop, values to choose from, owner
VALUES: dict[str, tuple[str, str, str, tuple[Any, ...], str]] = {
    "unit name": ("acme", "B2BUnit", "name", NAMES, CRM),
    "unit town": ("acme", "Address", "town", TOWNS, CRM),
    "unit street": ("acme", "Address", "street", STREETS, CRM),
    "buyer name": ("B0001", "B2BCustomer", "name", NAMES, SHOP),
    "buyer phone": ("B0001", "Address", "phone1", PHONES, SHOP),
    "customer name": ("C0001", "Customer", "name", NAMES, SHOP),
    "customer town": ("C0001", "Address", "town", TOWNS, SHOP),
}
IN_SHOP = {
    "acme": ("B2BUnit", "acme", "A-acme"), "B0001": ("B2BCustomer", "b1@people.example", "A-B1"),
    "C0001": ("Customer", "c1@people.example", "A-C1"),
}  # fmt: skip
edits = st.sampled_from(sorted(VALUES)).flatmap(
    lambda name: st.tuples(st.just(name), st.sampled_from((SHOP, CRM)), st.sampled_from(VALUES[name][3]))
)
acts = st.lists(st.one_of(edits, edits, st.sampled_from(SHARING)), min_size=3, max_size=8)


def halves(text: str | None, *, at_end: str) -> tuple[str | None, str | None]:
    """A name or street in the two fields it is kept in."""
    head, _, tail = (text or "").rpartition(" ")
    if at_end == "number" and not tail[:1].isdigit():
        head, tail = text or "", ""
    return head or None, tail or None


def edit(both: Both, name: str, side: str, value: Any) -> None:
    key, kind, field, _, _ = VALUES[name]
    owner_kind, uid, address = IN_SHOP[key]
    if side == SHOP and kind == "Address":
        parts = halves(value, at_end="number")
        given = {"streetname": parts[0], "streetnumber": parts[1]} if field == "street" else {field: value}
        both.shop.far.patch("Address", address, **given)
        both.edit_shop(owner_kind, uid)
    elif side == SHOP:
        both.edit_shop(owner_kind, uid, **{field: value})
    elif key == "acme":
        both.edit_account(key, **{{"name": "Name", "town": "BillingCity", "street": "BillingStreet"}[field]: value})
    elif field == "name":
        first, last = halves(value, at_end="name")
        both.edit_contact(key, FirstName=first, LastName=last)
    else:
        both.edit_contact(key, **{{"phone1": "Phone", "town": "MailingCity"}[field]: value})


def look(both: Both, name: str) -> tuple[str | None, str | None]:
    """What the shop and the CRM have."""
    key, kind, field, _, _ = VALUES[name]
    row = both.in_shop(kind, IN_SHOP[key][2 if kind == "Address" else 1])
    crm = both.org.accounts[key] if key == "acme" else both.org.contacts[key]
    fields = {"name": ("Name",) if key == "acme" else ("FirstName", "LastName"), "phone1": ("Phone",),
              "town": ("BillingCity",) if key == "acme" else ("MailingCity",), "street": ("BillingStreet",)}  # fmt: skip
    mine = ("streetname", "streetnumber") if field == "street" else (field,)
    assert row is not None
    return joined(row, mine), joined(crm, fields[field])


def joined(row: dict[str, Any], names: tuple[str, ...]) -> str | None:
    return " ".join(row[name] for name in names if row[name]) or None


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "_pause", lambda _state: 0.0)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(acts)
def test_after_edits_in_any_order_writes_stop_and_both_sides_agree(shop: Shop, org: Org, done: list[Any]) -> None:
    shop.far.reset()
    org.far.reset()
    org.far.options(job_min_polls=1, job_latency_ms=0)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        both = Both(Walk(Path(folder)), Shop(shop.far), org)
        both.walk.gated = False
        both.shop.units("acme")
        both.shop.buyers(1, unit="acme")
        both.shop.customers(1)
        for leg in (HOUSEHOLDS, *SHARING):
            both.walk.leg(leg)
        before = {name: look(both, name)[0] for name in VALUES}
        for act in done:
            if isinstance(act, str):
                both.walk.leg(act)
            else:
                edit(both, *act)
        cycle(both)
        cycle(both)
        assert cycle(both) == 0, "after the edits stop, writes stop within two cycles"
        judge(both, before, [act for act in done if not isinstance(act, str)])


def cycle(both: Both) -> int:
    return sum(both.walk.leg(leg).sent for leg in SHARING)


def judge(both: Both, before: dict[str, str | None], edited: list[tuple[str, str, Any]]) -> None:
    owners = {(key, field): owner for key, _, field, _, owner in VALUES.values()}
    for name, (key, *_rest) in VALUES.items():
        shop, crm = look(both, name)
        assert shop == crm, f"{name}: {shop!r} in the shop, {crm!r} in the CRM"
        last = {where: value for given, where, value in edited if given == name}
        if not last:
            assert shop == before[name], f"{name} of {key} was edited by nobody"
        else:
            assert shop in last.values(), f"{name}: {shop!r} is nobody's last word: {last}"
    for item in (item for pair in ("units", "people") for item in both.walk.site.ledger.conflicts(pair=pair)):
        owner = owners[item.key, {"phone": "phone1"}.get(item.field, item.field)]
        assert (item.owner, item.losing != owner) == (owner, True), f"{item.field} of {item.key}"
