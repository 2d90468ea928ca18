"""
### S2 Lead and opportunity signals: SAP Commerce and its storefront to Salesforce

Every 15 minutes, after the customers have moved, and once a night as a complete scan. Polls the feed `storefront`, then

- **quotes** that a buyer submitted become one *Opportunity* per quote code (record type *Quote*), and who asked becomes
  its contact role. The newest version says amount, lines, close day and stage; cancelled, rejected and expired ones
  close as lost, ordered ones as won, nothing is deleted. A stage further on that a salesperson chose stands until the
  shop's own state moves past it; name, stage and close day edited there stand until the shop changes them.
- **people whom Salesforce does not know** and who registered, downloaded a gated document or looked at a valuable
  product at least three times in a month become one *Lead*, an hour later: a registered customer is a contact by then.
- **interest of known accounts** becomes one open *Opportunity* per account and product (or document), never a lead.

Rules, thresholds and consent stand at the head of the three `.sql` files.

**Normal**: visitors without an address, customers, people with a lead from elsewhere, and interests that an open
opportunity or quote covers are *filtered*. A storm of views is one record with a count. A complete scan brings contacts
that moved to another account and stock that was released.
**Red**: *extract*: is the feed's path there, does the shop answer? *map_changes*: `max_changes` means a flood of
signals, or the first load of a large shop; look at the feed, then raise the guard. *check*: the gate's page names
quotes without account or with an unknown state or currency, and addresses that are none; correct them in the shop.
*load*: a reference that is not found, or `REQUIRED_FIELD_MISSING`, means the account is not in Salesforce yet: run
`salesforce_customers`; rejected rows are offered again by themselves.
**Backfill**: reads the versions changed and the events received in its interval; the replica keeps all others.
"""

from commerce_sync.flow import sync_dag  # builds an Airflow DAG

dag = sync_dag(
    "salesforce_signals",
    legs=[
        "salesforce/quotes_to_opportunities",
        ("salesforce/quotes_to_contact_roles", "salesforce/interests_to_leads"),
        "salesforce/interests_to_opportunities",
    ],
    schedule="*/15 * * * *",
    doc=__doc__,
    tags=["salesforce", "S2"],
    after=["salesforce_customers"],
    feeds=["storefront"],
)
