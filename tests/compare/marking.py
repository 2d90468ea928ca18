"""What the comparison stories share: an org with fields for marks, a leg that leaves them, hands that meddle."""

from __future__ import annotations

from typing import Any

from commerce_sync import comparing
from commerce_sync.mapping import Compare, Guards
from flows.walking import HOUSEHOLDS, KEY, Org, Shop, Walk

PERSON = "005000000000042AAA"
FIELDS = [
    {"field": "Sync_Mark__c", "type": "Number", "precision": 10, "scale": 0},
    {"field": "Sync_Bucket__c", "type": "Text", "length": 3, "external_id": True},
    {"field": "Sync_Cell__c", "type": "Text", "length": 2},
]
NOT_COPIED = {"Id", "CreatedDate", "LastModifiedDate", "SystemModstamp", "CreatedById", "LastModifiedById",
              "BillingAddress", "ShippingAddress"}  # fmt: skip
Row = dict[str, Any]


class Town:
    """Twelve customers of the shop, their household accounts at Salesforce, and people who work there."""

    def __init__(self, walk: Walk, shop: Shop, org: Org) -> None:
        self.walk, self.shop, self.org, self.far = walk, shop, org, org.far
        walk.gated = False
        org.far.put("FieldDefinition", [{"object": "Account", **field} for field in FIELDS])
        self.marks()
        shop.customers(*range(1, 13))
        walk.leg(HOUSEHOLDS)

    def marks(self, *, on_delete: Any = "delete", **policy: Any) -> None:
        """The leg leaves marks, and deletes at Salesforce what the shop deleted."""
        self.walk.alter(
            HOUSEHOLDS,
            target={"compare": Compare(**policy), "on_delete": on_delete},
            guards=Guards(max_deletes=None),
        )

    def compare(self, *, repair: bool = False) -> comparing.Found:
        mapping = self.walk.mapping(HOUSEHOLDS)
        return comparing.run(
            self.walk.site, mapping, targets=self.walk.target, run_id=self.walk.next_id(), repair=repair
        )

    def kinds(self, **options: Any) -> list[tuple[str, str, str]]:
        """Kind, key and action of every difference."""
        found = self.compare(**options)
        return [(row["kind"], row["key"], row["action"]) for row in found.rows]

    def scan(self) -> Any:
        """The leg's complete scan."""
        return self.walk.leg(HOUSEHOLDS, "complete")

    def account(self, number: int) -> Row:
        return self.org.accounts[f"C{number:04d}"]

    def living(self) -> list[Row]:
        return [row for row in self.far.records("Account") if not row["IsDeleted"]]

    def values(self) -> dict[str, Row]:
        """What the org holds, without times, ids and who wrote it."""
        return {row[KEY]: {name: value for name, value in row.items() if name not in NOT_COPIED}
                for row in self.living()}  # fmt: skip

    # People at work in the org

    def edit(self, number: int, **values: Any) -> None:
        self.far.patch("Account", self.account(number)["Id"], **({"LastModifiedById": PERSON} | values))

    def delete(self, number: int) -> None:
        self.far.delete("Account", self.account(number)["Id"])

    def copy(self, number: int, **values: Any) -> str:
        """A second record with all values of the first; gives its id."""
        row = {name: value for name, value in self.account(number).items() if name not in NOT_COPIED}
        before = {item["Id"] for item in self.living()}
        self.far.put("Account", [row | values])
        return next(item["Id"] for item in self.living() if item["Id"] not in before)

    def undelete(self, number: int) -> str:
        """Bring back what lies in the bin; gives its id."""
        gone = next(row for row in self.far.records("Account") if row[KEY] == f"C{number:04d}" and row["IsDeleted"])
        self.far.patch("Account", gone["Id"], IsDeleted=False, LastModifiedById=PERSON)
        return gone["Id"]
