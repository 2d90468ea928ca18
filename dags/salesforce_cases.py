"""
### S4 Order exceptions: SAP Commerce to Salesforce cases

Every 10 minutes, after orders and customers have moved, and once a night as a complete scan. Reads orders, shipments,
returns and payments of the shop, and which contacts, accounts and orders Salesforce has. Writes one case per order and
kind (*Delayed*, *Cancelled*, *Returned*, *Payment Failed*) and closes it when the exception is over in the shop; coming
back, it is a new case. The rules (grace, horizon, masking) stand in `order_exceptions_to_cases.sql`.

**Normal**: after midnight UTC more cases come, because orders get late by date, and open ones count their days. A
customer who is not in Salesforce gets a case without a contact and with a warning; the contact is added when it comes.
Priority, subject and texts are the shop's; status is the service team's until the case closes.
**Red**: *map_changes*: `max_deletes` means unusually many exceptions ended at once; look at the shop, then raise the
guard. *check*: the gate's page names orders without total, currency or a plausible date, or whose text still looks
personal; correct them in the shop. *load*: reasons stand at the rejected cases; nothing else is held up by them.
**Backfill**: reads what changed in its interval; what is over by now becomes no case.
"""

from commerce_sync.flow import sync_dag  # builds an Airflow DAG

dag = sync_dag(
    "salesforce_cases",
    legs=["salesforce/order_exceptions_to_cases"],
    schedule="*/10 * * * *",
    doc=__doc__,
    priority="high",
    tags=["salesforce", "S4"],
    after=["salesforce_orders", "salesforce_customers"],
)
