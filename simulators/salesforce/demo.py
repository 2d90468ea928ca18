"""The demo org: what sales and marketing have decided about the shop's customers before anything is synchronised.

The campaigns, their audiences and who answered are real (completejourney). Accounts and contacts carry the shop's own
ids, so that a delivery from the shop finds them; only units and members of a campaign are there. Choices of ours:
kinds and priorities of campaigns, tiers, terms, and agreements, which are a tenth below what was paid on average.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from simulators.salesforce.store import Store
from simulators.seed.journey import Journey
from simulators.seed.people import MANAGERS, Company, Person, companies, consent, manager, mixed, person
from simulators.system import Row

KINDS = {"Type A": "Direct Mail", "Type B": "Email", "Type C": "Advertisement"}
TIERS = ("Bronze", "Silver", "Silver", "Gold", "Platinum")
TERMS = ("Net 30", "Net 30", "Net 14", "Net 60", "Prepaid")
AGREED_PRODUCTS = 12
_YEAR = timedelta(days=365)
_AGREEMENTS = f"""
WITH paid AS (SELECT product_id, round(sum(cents) / sum(quantity)) AS cents FROM lines GROUP BY product_id),
     wanted AS (
       SELECT u.number AS place, l.product_id,
              row_number() OVER (PARTITION BY u.number ORDER BY count(*) DESC, l.product_id) AS rank
       FROM lines l JOIN baskets k ON k.number = l.basket_number JOIN buyers u ON u.id = k.household_id
       GROUP BY u.number, l.product_id)
SELECT w.place, w.product_id::VARCHAR, b.name, paid.cents FROM wanted w JOIN bought b USING (product_id)
JOIN paid USING (product_id) WHERE w.rank <= {AGREED_PRODUCTS} AND paid.cents >= 50 ORDER BY 1, 2
"""
_ANSWERS = """
SELECT r.campaign_id, r.household_id, r.coupon_upc::VARCHAR FROM raw_coupon_redemptions r
JOIN households USING (household_id) GROUP BY ALL ORDER BY ALL
"""


def load_demo(store: Store, *, scale: str) -> None:
    """Fill an org as it is delivered; LookupError when the data package is not installed."""
    today = store.clock.now().date()
    journey = Journey(scale=scale, yesterday=today - timedelta(days=1))
    try:
        _Demo(store, journey, today=today).load()
    finally:
        journey.close()


class _Demo:
    """``ids`` finds what was loaded by (object, external id)."""

    def __init__(self, store: Store, journey: Journey, *, today: date) -> None:
        self.store, self.journey, self.today = store, journey, today
        self.ids: dict[tuple[str, str], str] = {}
        households = journey.households()
        self.units = companies(households)
        self.unit_of = {household: unit for unit in self.units for household in unit.households}

    def load(self) -> None:
        answers = self._rows(_ANSWERS)
        members = self._rows(
            "SELECT campaign_id, household_id FROM raw_campaigns JOIN households USING (household_id) ORDER BY ALL"
        )
        invited = sorted({household for _, household in members})
        self._users()
        self._accounts([household for household in invited if household not in self.unit_of])
        self._put("Contact", [self._contact(person(household)) for household in invited])
        campaigns = self._campaigns(answers)
        self._members(members, answered={(campaign, household) for campaign, household, _ in answers})
        self._agreements()
        self._offers(campaigns, members)

    def _rows(self, sql: str) -> list[tuple[Any, ...]]:
        return [row for chunk in self.journey.rows(sql) for row in chunk]

    def _put(self, kind: str, rows: list[Row], *, key: str = "Commerce_Id__c") -> None:
        """Store rows and note their ids by external id."""
        item = self.store.schema.objects[kind]
        for row, record in zip(rows, self.store.next_ids(item, len(rows)), strict=True):
            row["Id"] = record
            self.ids[kind, row[key]] = record
        self.store.load(kind, rows)

    def _users(self) -> None:
        rows: list[Row] = []
        for login, name in MANAGERS:
            first, last = name.split()
            row = {"Username": login, "Email": login, "FirstName": first, "LastName": last, "Alias": last[:8].lower()}
            rows.append(row | {"IsActive": True})
        self._put("User", rows, key="Username")

    def _accounts(self, households: list[int]) -> None:
        rows = [_account(unit) | self._terms(unit) for unit in self.units]
        self._put("Account", rows + [_household(person(household)) for household in households])

    def _terms(self, unit: Company) -> Row:
        number = int(unit.uid[1:])
        return {
            "Tier__c": TIERS[mixed(number, 17) % len(TIERS)],
            "Payment_Terms__c": TERMS[mixed(number, 18) % len(TERMS)],
            "Commerce_Price_Group__c": f"prices-{unit.uid}",
            "OwnerId": self.ids["User", manager(unit.uid)[0]],
            "Type": "Customer - Direct",
        }

    def _contact(self, one: Person) -> Row:
        unit = self.unit_of.get(one.household)
        return {
            "Commerce_Id__c": one.customer_id,
            "Commerce_Uid__c": one.uid,
            "FirstName": one.first,
            "LastName": one.last,
            "Email": one.uid,
            "Phone": one.phone,
            "AccountId": self.ids["Account", unit.uid if unit else one.customer_id],
            "Consent_Email__c": consent(one.household) == "given",
        }

    def _campaigns(self, answers: list[tuple[Any, ...]]) -> list[Row]:
        """All campaigns of the year; the coupon is the one that was redeemed most."""
        coupons: dict[int, list[str]] = {}
        for campaign, _, coupon in answers:
            coupons.setdefault(campaign, []).append(coupon)
        rows = [
            self._campaign(number, kind, start, end, coupons=coupons.get(number, []))
            for number, kind, start, end in self._rows(
                "SELECT campaign_id, campaign_type, start_date::DATE + (SELECT days FROM shift),"
                " end_date::DATE + (SELECT days FROM shift) FROM raw_campaign_descriptions ORDER BY 1"
            )
        ]
        self._put("Campaign", rows)
        return rows

    def _campaign(self, number: int, kind: str, start: date, end: date, *, coupons: list[str]) -> Row:
        code = f"campaign-{number:02d}"
        is_open = start <= self.today <= end
        return {
            "Commerce_Id__c": code,
            "Commerce_Group__c": code,
            "Name": f"Campaign {number}",
            "Type": KINDS[kind],
            "Status": "In Progress" if is_open else "Planned" if self.today < start else "Completed",
            "IsActive": is_open,
            "StartDate": start.isoformat(),
            "EndDate": end.isoformat(),
            "Priority__c": number,
            "Coupon_Code__c": max(sorted(set(coupons)), key=coupons.count) if coupons else None,
            "Description": f"{kind} of the shopping year",
        }

    def _members(self, members: list[tuple[Any, ...]], *, answered: set[tuple[int, int]]) -> None:
        rows: list[Row] = []
        for number, household in members:
            code, customer = f"campaign-{number:02d}", person(household).customer_id
            row = {"Commerce_Id__c": f"{code}|{customer}", "CampaignId": self.ids["Campaign", code]}
            row |= {"ContactId": self.ids["Contact", customer]}
            rows.append(row | {"Status": "Responded" if (number, household) in answered else "Sent"})
        self._put("CampaignMember", rows)

    def _agreements(self) -> None:
        """Two units in three have a contract with agreed prices; a few ended, a few are still to begin."""
        chosen = {place: unit for place, unit in enumerate(self.units) if mixed(place, 19) % 3}
        self._put("Contract", [self._contract(unit) for unit in chosen.values()])
        self.journey.register("buyers", [(h, place) for place, unit in chosen.items() for h in unit.households])
        found = self._rows(_AGREEMENTS)
        products = {code: " ".join(name.split()).title() for _, code, name, _ in found}
        rows = [{"Commerce_Id__c": code, "ProductCode": code, "Name": name} for code, name in products.items()]
        self._put("Product2", [row | {"IsActive": True} for row in rows])
        self._put("Price_Agreement__c", [self._agreement(chosen[place], code, paid) for place, code, _, paid in found])

    def _contract(self, unit: Company) -> Row:
        return {
            "Commerce_Id__c": f"contract-{unit.uid}",
            "AccountId": self.ids["Account", unit.uid],
            "Status": "Activated",
            "StartDate": (self.today - _YEAR / 2).isoformat(),
            "ContractTerm": 24,
            "Payment_Terms__c": self._terms(unit)["Payment_Terms__c"],
        }

    def _agreement(self, unit: Company, product: str, paid: float) -> Row:
        place = mixed(int(unit.uid[1:]) * 100_003 + int(product), 20)
        start, end = ((-330, -20), (30, 395))[place % 2] if place % 10 < 2 else (-60, 305)
        return {
            "Commerce_Id__c": f"{unit.uid}-{product}",
            "Account__c": self.ids["Account", unit.uid],
            "Contract__c": self.ids["Contract", f"contract-{unit.uid}"],
            "Product__c": self.ids["Product2", product],
            "Product_Code__c": product,
            "Unit__c": "pieces",
            "Minimum_Quantity__c": 10 if place % 5 == 3 else 1,
            "Currency__c": "USD",
            "Price__c": round(paid * 0.9) / 100,
            "Valid_From__c": (self.today + timedelta(days=start)).isoformat(),
            "Valid_To__c": (self.today + timedelta(days=end)).isoformat(),
            "Active__c": True,
        }

    def _offers(self, campaigns: list[Row], members: list[tuple[Any, ...]]) -> None:
        """Units whose people are in a campaign that runs now are offered its coupon, or its segment."""
        open_now = {row["Commerce_Id__c"]: row for row in campaigns if row["IsActive"]}
        rows: dict[str, Row] = {}
        for number, household in members:
            campaign, unit = open_now.get(f"campaign-{number:02d}"), self.unit_of.get(household)
            if campaign and unit:
                offer = _offer(campaign, unit) | {"Account__c": self.ids["Account", unit.uid]}
                rows[offer["Commerce_Id__c"]] = offer | {
                    "Campaign__c": self.ids["Campaign", campaign["Commerce_Id__c"]]
                }
        self._put("Account_Offer__c", list(rows.values()))


def _account(unit: Company) -> Row:
    return {"Commerce_Id__c": unit.uid, "Name": unit.name, "Phone": unit.phone, **_address(unit)}


def _household(one: Person) -> Row:
    return {"Commerce_Id__c": one.customer_id, "Name": f"{one.name} (household)", "Phone": one.phone, **_address(one)}


def _address(of: Person | Company) -> Row:
    street = f"{of.street} {of.street_number}"
    return {
        "BillingStreet": street,
        "BillingCity": of.town,
        "BillingPostalCode": of.postal_code,
        "BillingCountry": "US",
    }


def _offer(campaign: Row, unit: Company) -> Row:
    code, coupon = campaign["Commerce_Id__c"], campaign["Coupon_Code__c"]
    return {
        "Commerce_Id__c": f"{code}-{unit.uid}",
        "Offer_Code__c": coupon or campaign["Commerce_Group__c"],
        "Kind__c": "Coupon" if coupon else "Segment",
        "Starts_On__c": campaign["StartDate"],
        "Ends_On__c": campaign["EndDate"],
        "Active__c": True,
    }
