"""
### S5 Orders, shipments, returns and their status: SAP Commerce to Salesforce

Every 10 minutes and after `salesforce_customers`; once a night as a complete scan.

**Reads** orders with their lines, consignments and return requests. **Writes**, parents first: the mark of the
standard price book, a product and a price entry for what was ordered, Order, OrderItem, Commerce_Shipment__c,
Commerce_Return__c, Commerce_Status__c, and on Account and Contact the newest order of 100.00 or more
(`last_orders_to_*.sql`).

**Normal**: an order of somebody who is not in Salesforce yet is refused (`INVALID_FIELD`, foreign key), its lines too;
all arrive after `salesforce_customers` ran, and are offered for a week. Orders of guests are filtered. A status that
is late or goes back is a row of the history with `Late__c`; the order keeps the status it had reached.
**`check` names rows**: `lines_add_up_to_the_total` (lines + delivery + payment - discounts is not the total, to the
cent; lines stay as they were), `currency_is_known`, `order_date_is_plausible`, `status_is_on_the_map` (a new status of
the shop: give it a rank in the `.sql`). Correct the order in the shop; the next run takes it.
**`load` is red**: `FIELD_INTEGRITY_EXCEPTION` on orders means that a person activated one here: set it back to draft.
`DUPLICATE_VALUE` on price entries means that somebody made one: give it the product's code as `Commerce_Id__c`.
**Backfill**: reads what changed in its interval; a reached status never moves back.

**Choices.** Orders stay drafts, because Salesforce locks activated ones. Ordered products, not the whole catalogue,
and not one product for all lines: beyond 10,000 lines on one record writers wait for each other. Orders older than
400 days are not sent (`where` of each leg). Where Order is in use for something else, make an object
`Commerce_Order__c` with the same fields and one for its lines, write their names into `to.object` and the lookups,
and drop the price legs and the fields that only Salesforce's own Order has.
"""

from commerce_sync.flow import sync_dag  # builds an Airflow DAG

dag = sync_dag(
    "salesforce_orders",
    legs=[
        ("salesforce/standard_price_book_to_price_books", "salesforce/ordered_products_to_products"),
        "salesforce/products_to_price_entries",
        "salesforce/orders_to_orders",
        "salesforce/order_entries_to_order_items",
        ("salesforce/consignments_to_shipments", "salesforce/return_requests_to_returns"),
        ("salesforce/order_states_to_history", "salesforce/last_orders_to_accounts"),
        "salesforce/last_orders_to_contacts",
    ],
    schedule="*/10 * * * *",
    doc=__doc__,
    priority="high",
    tags=["salesforce", "S5"],
    after=["salesforce_customers"],
)
