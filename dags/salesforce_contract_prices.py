"""
### S3 Contract prices, tiers, terms, ownership: Salesforce to SAP Commerce

Every half hour, after `salesforce_customers`, and once a night as a complete scan.

1. `account_terms_to_units` reads accounts and B2B units; writes the unit's price group, its groups `crm-tier-*` and
   `crm-terms-*`, and its credit limit. `account_owners_to_units` writes the account manager.
2. `agreements_to_price_rows` reads agreements, accounts, contracts and the shop's price rows; writes price rows for the
   account's price group. Validity is by UTC date. In one slot (price group, product, unit, currency, quantity) windows
   never overlap, at no moment: the later start wins, the row before it is cut first, the new one arrives a run later.

**Normal**: `account_owners_to_units` sets rows aside (`owner_works_in_the_shop`) for accounts whose owner has no login
in the shop. The run after one that wrote prices reads them back; it sends nothing, or opens what had to wait.
**Waiting for you** (`approve`): a price below half or above one and a half times the list price, or without list
price, and any run that changes more than a fifth of the rows (and more than 1,000). Approved prices are in force one
run after they are sent; while a changed price waits, the shop sells at the old one. *Refuse* keeps them out until
they change.
**check red**: many rows failed the gate: look at the *Gate result*. A single agreement with a bad price, quantity,
date or account is set aside, the others go. `unit_is_in_the_shop` means an account with terms but without B2B unit:
units are made by the shop.
**load, commit red**: `missing_nav_property` means the shop has no such product, currency or unit. Rows are offered
again with growing pauses; once what is missing is there, mode `replay` brings them at once.
**An agreement is withdrawn** (deleted, inactive, contract not activated): its row ends at the start of the current
hour; what it had replaced is taken up again by the next run.
**Backfill**: reads what changed in its interval; windows are always computed from what the shop has now.
"""

from commerce_sync.flow import sync_dag  # builds an Airflow DAG

dag = sync_dag(
    "salesforce_contract_prices",
    legs=[
        ("salesforce/account_terms_to_units", "salesforce/account_owners_to_units"),
        "salesforce/agreements_to_price_rows",
    ],
    schedule="*/30 * * * *",
    doc=__doc__,
    tags=["salesforce", "S3"],
    after=["salesforce_customers"],
)
