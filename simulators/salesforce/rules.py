"""What single objects ask beyond their fields' types; object reference, API 67 (unverified codes say so)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from simulators.salesforce.work import Work

# stage -> (probability, forecast category), as a new org has them
STAGES = {
    "Prospecting": (10, "Pipeline"),
    "Qualification": (10, "Pipeline"),
    "Needs Analysis": (20, "Pipeline"),
    "Value Proposition": (50, "Pipeline"),
    "Id. Decision Makers": (60, "Pipeline"),
    "Perception Analysis": (70, "Pipeline"),
    "Proposal/Price Quote": (75, "Best Case"),
    "Negotiation/Review": (90, "Commit"),
    "Closed Won": (100, "Closed"),
    "Closed Lost": (0, "Omitted"),
}
Rule = Callable[[Work], None]


def before(work: Work) -> None:
    """Object rules before the write: refuse rows, derive values."""
    if rule := BEFORE.get(work.item.name):
        rule(work)


def parents(work: Work) -> set[str]:
    """Ids of the records whose totals the rows count in; asked before a delete takes the rows away."""
    lookup, _total = TOTALS.get(work.item.name, ("", ""))
    if not lookup:
        return set()
    rows = [row for row in range(work.batch.size) if row not in work.errors]
    return {key for (key,) in work.stored(rows, lookup).values()}


def add_up(work: Work, touched: set[str]) -> None:
    """After the write: totals on parents, of the lines that are there now."""
    if touched:
        lookup, total = TOTALS[work.item.name]
        work.store.ensure_index(work.item.name, lookup)
        work.store.db.executemany(total, [(key,) for key in sorted(touched)])


def before_delete(work: Work) -> None:
    if work.item.name == "Pricebook2":
        for row, (standard,) in work.stored(work.updates(), "IsStandard").items():
            if standard:
                work.fail(row, "CANNOT_DELETE_MANAGED_OBJECT", "the standard price book cannot be deleted")
    if work.item.name == "Order":
        for row, (status,) in work.stored(work.updates(), "Status").items():
            if status != "Draft":
                work.fail(row, "FIELD_INTEGRITY_EXCEPTION", "an activated order cannot be deleted", "Status")


def _lead(work: Work) -> None:
    for row, (converted,) in work.stored(work.updates(), "IsConverted").items():
        if converted:
            work.fail(row, "CANNOT_UPDATE_CONVERTED_LEAD", "cannot reference converted lead")


def _opportunity(work: Work) -> None:
    for row in work.creates() + work.updates():
        derived = STAGES.get(work.given(row, "StageName") or "")
        if derived is None:
            continue
        for name, value in (("Probability", float(derived[0])), ("ForecastCategoryName", derived[1])):
            if not work.sends(row, name):
                work.put(row, name, value)


def _opportunity_line(work: Work) -> None:
    creates = work.creates()
    entries = work.linked(creates, "PricebookEntryId", "Pricebook2Id", "Product2Id", "UnitPrice", "ProductCode", "Name")
    books = work.linked(creates, "OpportunityId", "Pricebook2Id", "Name")
    for row in creates:
        unit, total = work.given(row, "UnitPrice"), work.given(row, "TotalPrice")
        if (unit is None) == (total is None):
            work.fail(row, "FIELD_INTEGRITY_EXCEPTION", "give either UnitPrice or TotalPrice, not both", "UnitPrice")
            continue
        book, product, listed, code, name = entries[row]
        if books[row][0] not in (None, book):
            _wrong_book(work, row)
            continue
        quantity = work.given(row, "Quantity") or 1
        work.put(row, "UnitPrice", round(total / quantity, 2) if unit is None else unit)
        work.put(row, "TotalPrice", round(unit * quantity, 2) if total is None else total)
        derived = {"Product2Id": product, "ListPrice": listed, "ProductCode": code, "Name": f"{books[row][1]} {name}"}
        for field, value in derived.items():
            work.put(row, field, value)


def _wrong_book(work: Work, row: int) -> None:
    message = "pricebook entry is in a different pricebook than the one assigned"
    work.fail(row, "FIELD_INTEGRITY_EXCEPTION", message, "PricebookEntryId")


def _order(work: Work) -> None:
    _drafts_only(work, item="order")
    for row, (status, items) in _order_states(work).items():
        wanted = work.given(row, "Status")
        if status == "Activated" and _changes_more_than_status(work, row):
            work.fail(
                row, "FIELD_INTEGRITY_EXCEPTION", "an activated order is locked; change its Status only", "Status"
            )
        elif wanted == "Activated" and not items:
            work.fail(row, "FAILED_ACTIVATION", "An order must have at least one product.", "Status")
        elif wanted == "Activated" and status == "Draft":
            work.put(row, "ActivatedDate", work.store.moment())


def _order_states(work: Work) -> dict[int, tuple[Any, int]]:
    stored = work.stored(work.updates(), "Status")
    if not stored:
        return {}
    work.store.ensure_index("OrderItem", "OrderId")
    count = 'SELECT count(*) FROM "OrderItem" WHERE "OrderId" = ? AND "IsDeleted" = 0'
    return {
        row: (status, work.store.db.execute(count, (work.targets[row],)).fetchone()[0])
        for row, (status,) in stored.items()
    }


def _drafts_only(work: Work, *, item: str) -> None:
    for row in work.creates():
        if work.given(row, "Status") == "Activated":
            work.fail(row, "FIELD_INTEGRITY_EXCEPTION", f"a new {item} must have the status Draft", "Status")


def _changes_more_than_status(work: Work, row: int) -> bool:
    quiet = {"Status", "Id", work.batch.key.name if work.batch.key else "Id"}
    return any(work.sends(row, name) for name in work.batch.columns if name not in quiet)


def _order_item(work: Work) -> None:
    creates = work.creates()
    entries = work.linked(creates, "PricebookEntryId", "Pricebook2Id", "Product2Id", "UnitPrice")
    orders = work.linked(creates, "OrderId", "Pricebook2Id", "Status")
    for row in creates:
        book, product, listed = entries[row]
        if orders[row][0] != book:
            _wrong_book(work, row)
        elif orders[row][1] != "Draft":
            work.fail(row, "FIELD_INTEGRITY_EXCEPTION", "an activated order takes no further products", "OrderId")
        else:
            work.put(row, "Product2Id", product)
            work.put(row, "ListPrice", listed)


def _pricebook_entry(work: Work) -> None:
    store, creates = work.store, work.creates()
    products = work.linked(creates, "Product2Id", "Name", "ProductCode")
    books = work.linked(creates, "Pricebook2Id", "IsStandard")
    store.ensure_index("PricebookEntry", "Product2Id")
    seen: set[tuple[str, str]] = set()
    for row in creates:
        product, book = work.given(row, "Product2Id"), work.given(row, "Pricebook2Id")
        sql = 'SELECT "Pricebook2Id", "UnitPrice" FROM "PricebookEntry" WHERE "Product2Id" = ? AND "IsDeleted" = 0'
        present = dict(store.db.execute(sql, (product,)).fetchall())
        standard = next((price for key, price in present.items() if key == store.standard_book), None)
        if book in present or (product, book) in seen:
            work.fail(row, "DUPLICATE_VALUE", "This price definition already exists in this price book")
        elif not books[row][0] and standard is None and (product, store.standard_book) not in seen:
            # code unverified
            message = "Before creating a custom price, create a standard price."
            work.fail(row, "STANDARD_PRICE_NOT_DEFINED", message)
        else:
            _price(work, row, standard=standard)
            work.put(row, "Name", products[row][0])
            work.put(row, "ProductCode", products[row][1])
            seen.add((product, book))


def _price(work: Work, row: int, *, standard: float | None) -> None:
    if work.given(row, "UnitPrice") is not None:
        return
    if work.given(row, "UseStandardPrice") and standard is not None:
        work.put(row, "UnitPrice", standard)
    else:
        work.fail(row, "REQUIRED_FIELD_MISSING", "Required fields are missing: [UnitPrice]", "UnitPrice")


def _campaign_member(work: Work) -> None:
    store, seen = work.store, set()
    store.ensure_index("CampaignMember", "CampaignId")
    for row in work.creates():
        contact, lead = work.given(row, "ContactId"), work.given(row, "LeadId")
        if contact is None and lead is None:
            message = "Required fields are missing: [ContactId or LeadId]"
            work.fail(row, "REQUIRED_FIELD_MISSING", message, "LeadId", "ContactId")
            continue
        if contact is not None and lead is not None:
            work.put(row, "LeadId", None)
        field = "ContactId" if contact is not None else "LeadId"
        member = (work.given(row, "CampaignId"), contact or lead)
        sql = f'SELECT 1 FROM "CampaignMember" WHERE "CampaignId" = ? AND "{field}" = ? AND "IsDeleted" = 0'
        if member in seen or store.db.execute(sql, member).fetchone():
            work.fail(row, "DUPLICATE_VALUE", "Already a campaign member.")
        seen.add(member)
    for row in work.creates() + work.updates():
        if work.given(row, "Status") not in (None, "Sent", "Responded"):
            work.put(row, "Status", "Sent")


def _contract(work: Work) -> None:
    _drafts_only(work, item="contract")
    for row, (status,) in work.stored(work.updates(), "Status").items():
        if status == "Activated" and _changes_more_than_status(work, row):
            work.fail(row, "FIELD_INTEGRITY_EXCEPTION", "an activated contract is locked", "Status")


BEFORE: dict[str, Rule] = {
    "Lead": _lead,
    "Opportunity": _opportunity,
    "OpportunityLineItem": _opportunity_line,
    "Order": _order,
    "OrderItem": _order_item,
    "PricebookEntry": _pricebook_entry,
    "CampaignMember": _campaign_member,
    "Contract": _contract,
}
# object of the lines -> the lookup to what they add up to, the SQL that does it
TOTALS: dict[str, tuple[str, str]] = {
    "OpportunityLineItem": (
        "OpportunityId",
        'UPDATE "Opportunity" SET ("HasOpportunityLineItem", "Amount") = (SELECT count(*) > 0, '
        'coalesce(sum("TotalPrice"), "Opportunity"."Amount") FROM "OpportunityLineItem" AS line '
        'WHERE line."OpportunityId" = "Opportunity"."Id" AND line."IsDeleted" = 0) WHERE "Id" = ?',
    ),
    "OrderItem": (
        "OrderId",
        'UPDATE "Order" SET "TotalAmount" = coalesce((SELECT sum("TotalPrice") FROM "OrderItem" AS line '
        'WHERE line."OrderId" = "Order"."Id" AND line."IsDeleted" = 0), 0) WHERE "Id" = ?',
    ),
}
