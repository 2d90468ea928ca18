"""
### K1 Approved media: iconik to SAP Commerce product, category and landing pages

Every 15 minutes, and after every K3 run. Reads the assets that are `ready_for_commerce` or `published` (all of them,
each run: a review that is taken back moves no date), products and categories. Writes Media
`iconik-<asset>-<rendition>` with their bytes through the shop's hot folder, one MediaContainer `iconik-<asset>`
each, the pictures, thumbnails, galleries and data sheets of products, the pictures of categories; and back to iconik
`commerce_status`, `commerce_media_code`. What may be shown is decided by `media_decisions.sql`. All is written to
the draft catalog (Staged); its synchronization is the shop's.

**Connections**: `sap_commerce_hot_folder` (type HTTP): host is the container
`https://<account>.blob.core.windows.net/hybris`, password a shared access signature that may create, write and read.
**Normal**: `filtered` are assets that may not be shown (K3 says why, in their history). A withdrawn asset loses
every link and its Media within one run and is set to `withdrawn`; a person sets `ready_for_commerce` again. A new
version that is not approved changes nothing: the approved one stays. Assets with a `campaign_code` are uploaded and
linked to nothing, and pictures a campaign has claimed are left alone: K8 places and takes them back.
**Red** `approved_media_to_shop`: guard `max_deletes` means that more would be withdrawn than 20 or 5 %: look at
iconik before raising it. `import_refused`: see the zip's log in the hot folder's `error`. `the shop has not
imported`: the hot folder stands still; nothing is lost, the next run looks again. `not_decodable`: the file is not
what its name says. `complete scan found nothing`: iconik shows no governed asset at all, everything is kept.
**Backfill**: reads everything anyway; there is nothing to backfill.
"""

from commerce_sync.flow import sync_dag  # builds an Airflow DAG

dag = sync_dag(
    "iconik_approved_media",
    legs=[
        "iconik/approved_media_to_shop",
        (
            "iconik/media_to_products",
            "iconik/media_to_pictures",
            "iconik/media_to_categories",
            "iconik/media_to_assets",
        ),
    ],
    schedule="*/15 * * * *",
    doc=__doc__,
    tags=["iconik", "K1"],
    after=["iconik_governance"],
)
