"""
### S7 Purchase history: SAP Commerce orders to Salesforce accounts

Hourly, and once a night as a complete scan. Orders and returns are kept as a local replica; the figures of the
accounts that own a new, changed, cancelled or returned order are computed again from all their orders, and only
accounts whose figures changed are written. The rules stand in `purchase_history_to_accounts.sql`. Orders in another
currency are converted by the rate of their day (feed `rates`, `include/feeds/rates.yaml`); products to offer next come
from the shop's product references. Accounts merged in Salesforce and guests merged in the shop count together.

**Normal**: after midnight UTC more accounts change than usual, because recency scores move with the date.
**Red**: `REQUIRED_FIELD_MISSING` means the account is not in Salesforce yet: run `salesforce_customers` first.
Quarantined by `every_order_has_a_currency_rate`: deliver the missing rate to the feed; the figures follow.
**Backfill**: reads the orders changed in its interval; it never moves the high water back.
"""

from commerce_sync.flow import sync_dag  # builds an Airflow DAG

dag = sync_dag(
    "salesforce_purchase_history",
    legs=["salesforce/purchase_history_to_accounts"],
    schedule="5 * * * *",
    doc=__doc__,
    priority="low",
    tags=["salesforce", "S7"],
    after=["salesforce_customers"],
    feeds=["rates"],
)
