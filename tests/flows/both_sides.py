"""S1 seen from both sides: who edits what where, and what the shop and the org hold of a record."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from flows.walking import BUYERS, CONTACTS, CUSTOMERS, UNITS, Org, Shop, Walk

TO_UNITS, TO_UNIT_ADDRESSES = "accounts_to_units", "accounts_to_addresses"
TO_CUSTOMERS, TO_BUYERS, TO_ADDRESSES = "contacts_to_customers", "contacts_to_b2b_customers", "contacts_to_addresses"
ACCOUNT_LINKS, CONTACT_LINKS = "merged_accounts_to_links", "merged_contacts_to_links"
BACK = (TO_UNITS, TO_UNIT_ADDRESSES, TO_CUSTOMERS, TO_BUYERS, TO_ADDRESSES)
"""Legs from Salesforce to the shop."""
SHARING = (UNITS, BUYERS, TO_UNITS, CONTACTS, *BACK[1:])
"""Legs of both pairs, in the order of the flow."""


class Both:
    """The shop and the org, and the flow between them."""

    def __init__(self, walk: Walk, shop: Shop, org: Org) -> None:
        self.walk, self.shop, self.org = walk, shop, org

    def run(self, **options: Any) -> dict[str, Any]:
        """The whole flow once, without an error."""
        runs = self.walk(CUSTOMERS, **options)
        assert self.walk.errors == {}
        return runs

    def sent(self, **options: Any) -> dict[str, int]:
        """The whole flow once; what was sent, by leg."""
        return {leg: run.sent for leg, run in self.run(**options).items() if run.sent}

    def edit_account(self, key: str, **values: Any) -> None:
        self.org.far.patch("Account", self.org.accounts[key]["Id"], **values)

    def edit_contact(self, key: str, **values: Any) -> None:
        self.org.far.patch("Contact", self.org.contacts[key]["Id"], **values)

    def edit_shop(self, kind: str, uid: str, **values: Any) -> None:
        """What somebody does in the shop just now; it is asked in whole seconds, and reads overlap by minutes."""
        before = datetime.now(UTC) - timedelta(seconds=30)
        self.shop.far.patch(kind, uid, **values, modifiedtime=before.isoformat())

    def in_shop(self, kind: str, uid: str) -> dict[str, Any] | None:
        found = [row for row in self.shop.far.records(kind) if row.get("uid", row.get("publicKey")) == uid]
        return found[0] if found else None

    def conflicts(self) -> list[tuple[str, str, str | None, str | None]]:
        """Of both pairs: key, value, what was kept, what was lost."""
        found = [item for pair in ("units", "people") for item in self.walk.site.ledger.conflicts(pair=pair)]
        return [(item.key, item.field, item.kept, item.lost) for item in found]

    def assert_at_rest(self) -> None:
        """One more run writes nothing on either side."""
        stamps, shop = self.org.stamps(), self.shop_state()
        self.org.far.reset_calls()
        self.shop.far.reset_calls()
        assert self.sent() == {}
        assert self.org.writes() == 0
        assert not [route for route in self.shop.far.calls()["by_route"] if "$batch" in route]
        assert (self.org.stamps(), self.shop_state()) == (stamps, shop)

    def shop_state(self) -> dict[str, list[Any]]:
        kinds = ("B2BUnit", "Customer", "B2BCustomer", "Address")
        return {kind: self.shop.far.records(kind) for kind in kinds}
