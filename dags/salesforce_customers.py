"""
### S1 Customers, accounts and contacts, both ways

Every 15 minutes, and once a night as a complete scan, in this order:

1. **Merges** of accounts and contacts in Salesforce go into the link table (`merged_*_to_links`). From then on
   nothing is sent to a record that was merged away, and its people go to the account that is left. An un-merge takes
   the link back; people who have not changed since follow at the next complete scan.
2. **Shop to Salesforce**: units and private customers become accounts, then buyers and private customers their
   contacts.
3. **Salesforce to shop**: what sales edited of names, phones and addresses goes back to units, customers, buyers and
   their addresses, for records the shop has; the CRM makes no customers and no units.
4. **Activity**: carts left behind (`carts_to_accounts`, `activity_to_contacts`) and consent to e-mail. Consent comes
   from the shop only; the CRM may withdraw it, and a sync never gives it back.

**Who owns what**: login, language, state and unit membership are the shop's. Name, phone and address (and a buyer's
e-mail) may be edited on both sides; where both were edited, the CRM's word wins for units and the person's own in the
shop for people, and the other value is in the list of conflicts. Tier, terms, prices and owners of accounts are
`salesforce_contract_prices`.

**Normal**: most runs find nothing to send. What one side was told comes back from the other and is not sent again. In
the first run, values that differ are listed as conflicts: look through them once.
**Red**: a guard or gate refused (read the message of the failed task; nothing of that leg was sent), or more rows
were rejected than the leg allows (what arrived is kept; the others are offered again).
- `units_to_accounts` .. `customers_to_contacts`: rows with code DUPLICATES_DETECTED name the records they resemble:
  merge those in Salesforce or give one the shop's id. Rows set aside by `country_is_known` or for their e-mail need a
  correction in the shop. A contact refused for its account waits until the account is there.
- `accounts_to_*`, `contacts_to_*`: rows parked with code `loop` are rewritten by somebody else after every run; find
  out who, then retry or dismiss them. Conflicts are kept with both values.
- `merged_*_to_links`: rows refused as a circle name the chain; un-merge one of its steps.

**By hand**: *Trigger*, mode `complete` reads everything, `replay` offers only rejected rows again, `plan` sends
nothing. A retried or cleared task never sends a change twice. A backfill reads what changed in its interval.
"""

from commerce_sync.flow import sync_dag  # builds an Airflow DAG

# Legs that share values (units: accounts and their addresses; people: contacts, customers, addresses) settle in turn.
dag = sync_dag(
    "salesforce_customers",
    legs=[
        ("salesforce/merged_accounts_to_links", "salesforce/merged_contacts_to_links"),
        ("salesforce/units_to_accounts", "salesforce/households_to_accounts"),
        ("salesforce/b2b_customers_to_contacts", "salesforce/accounts_to_units"),
        ("salesforce/customers_to_contacts", "salesforce/accounts_to_addresses"),
        ("salesforce/contacts_to_customers", "salesforce/carts_to_accounts"),
        ("salesforce/contacts_to_b2b_customers", "salesforce/activity_to_contacts"),
        "salesforce/contacts_to_addresses",
    ],
    schedule="*/15 * * * *",
    doc=__doc__,
    tags=["salesforce", "S1"],
)
