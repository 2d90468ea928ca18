"""
### K7 Usage: where SAP Commerce uses an asset, onto the asset in iconik

Once a day after the catalog synchronisation. Reads products, categories, banners and content pages completely, finds
the media that were made from assets (`iconik-<asset id>-<rendition>`), and writes `commerce_placements` (sorted, at
most 200), `commerce_usage_count` (all of them) and `commerce_last_used` (the day since which it stands exactly there;
for one no longer in use, the day it was last seen), with an entry in the asset's history.

**Normal**: assets whose places did not change are not written, whatever else happened to them.
**Red at extract**: a source could not be read to its end; nothing was counted down. Run it again.
**Red at guard** `max_changes`: very many assets changed places, or a part of the shop showed none (a permission lost?).
Raise the guard if it is meant.
**Rejected** with reason `reference`: live media with no master: the asset was deleted in iconik, the shop still shows
it. Restore it, or replace it in the shop.
**Backfill**: none; a snapshot has no past.
"""

from commerce_sync.flow import sync_dag  # builds an Airflow DAG

dag = sync_dag(
    "iconik_usage",
    legs=["iconik/placements_to_assets"],
    schedule="30 4 * * *",
    doc=__doc__,
    priority="low",
    tags=["iconik", "K7"],
)
