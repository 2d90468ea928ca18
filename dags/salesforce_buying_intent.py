"""
### S6 Buying intent: carts and views in SAP Commerce to Salesforce tasks

Every 30 minutes, after the customers have moved, and once a night as a complete scan. Polls the feed `storefront`
(views and comparisons), reads carts, orders and consents of the shop and the contacts of Salesforce. Writes one task
per abandonment of a cart, or per customer, product and week, and completes it with a reason when the customer orders,
changes the cart or withdraws consent. Thresholds, the frequency cap, the consent templates and the address of product
pages stand at the top of `buying_intent_to_tasks.sql`.

**Normal**: nobody is approached without consent in the shop *and* at the contact (`Consent_Email__c`), so few tasks may
just mean few consents. Carts the shop purged are found by the nightly scan and close as expired. Every run computes
everything, because time decides; that takes seconds.
**Red**: *poll_storefront*: the feed cannot be read; carts wait with it, nothing is lost. *map_changes*: `max_changes`
stopped a flood; look at the thresholds and at the shop's clock. *check*: the gate's page names carts with an unknown
currency or an impossible value. *load*: reasons stand at the rejected tasks.
**Backfill**: reads what changed in its interval; what is bought by now becomes no task.
"""

from commerce_sync.flow import sync_dag  # builds an Airflow DAG

dag = sync_dag(
    "salesforce_buying_intent",
    legs=["salesforce/buying_intent_to_tasks"],
    schedule="*/30 * * * *",
    doc=__doc__,
    priority="low",
    tags=["salesforce", "S6"],
    feeds=["storefront"],
    after=["salesforce_customers"],
)
