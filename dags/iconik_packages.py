"""
### K2 Media packages: SAP Commerce products to iconik, and the finished pictures' page back

Every 15 minutes, and once a night as a complete scan. A new product gets a collection `sapcc:<catalog>:<code>` and a
placeholder asset for each role and language its categories ask for (template: `products_to_placeholders.sql`). A
product that is refused, offline or gone sets them to `withdrawn`; nothing is deleted. Back: an asset that a product
shows carries the address of the product's page (base address: `product_pages_to_assets.yaml`).

**Normal**: renamed packages keep their name; an asset people have worked on is never set back to `draft`.
**Red**: `ambiguous_external_id` means somebody doubled a package in iconik: give all but one another external id, the
next run goes on. `deleted_in_iconik`: restore or purge it there. A package that is not there yet rejects its
placeholders; they are offered again. Guard `max_changes` at the first load of a catalog: run by hand with *At most so
many changes per leg*, or raise the guard.
**Backfill**: opens packages for products changed in its interval.
"""

from commerce_sync.flow import sync_dag  # builds an Airflow DAG

dag = sync_dag(
    "iconik_packages",
    legs=["iconik/products_to_packages", "iconik/products_to_placeholders", "iconik/product_pages_to_assets"],
    schedule="*/15 * * * *",
    doc=__doc__,
    tags=["iconik", "K2"],
)
