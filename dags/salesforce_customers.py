"""
### S1 Customers, accounts and contacts: SAP Commerce to Salesforce

Every 15 minutes, and once a night as a complete scan. Four legs: B2B units and private customers become accounts,
then buyers and private customers become their contacts.

**Normal**: most runs find nothing to send and end after two tasks per leg.
**Red**: a guard or gate refused (read the message of the failed task; nothing of that leg was sent), or more rows
were rejected than the leg allows (what arrived is kept; the others are offered again).
**By hand**: *Trigger*, mode `complete` reads everything, `replay` offers only rejected rows again, `plan` sends
nothing. A retried or cleared task never sends a change twice.
"""

from commerce_sync.flow import sync_dag  # builds an Airflow DAG

dag = sync_dag(
    "salesforce_customers",
    legs=[
        ("salesforce/units_to_accounts", "salesforce/households_to_accounts"),
        ("salesforce/b2b_customers_to_contacts", "salesforce/customers_to_contacts"),
    ],
    schedule="*/15 * * * *",
    doc=__doc__,
    tags=["salesforce", "S1"],
)
