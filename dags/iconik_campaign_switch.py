"""
### K8 Seasonal campaigns: media of a whole campaign replace those of the shop, all at once, and go back

Every 5 minutes, and after every K1 run. A campaign is a collection in iconik with `campaign_code`, `campaign_revision`,
`campaign_start`, `campaign_end` (times of `campaign_zone` unless they carry an offset), `campaign_slots`,
`campaign_locales`, `territories`, `commerce_status`; `sku` and `category_codes` name the products and categories whose
pictures it takes. Its assets lie in the collection and carry `campaign_code`, `campaign_slots`, `language`. Metadata
view: *SAP Commerce Campaign*. K1 and K6 upload approved assets beforehand and link none that has a `campaign_code`.
Writes `media` of banner components, pictures and thumbnails of products, pictures of categories: one ChangeSet per
campaign. Slots, their components and default media are the tables `slots` and `own_slots` of `campaign_places.sql`; all
are in drafts (Staged), whose synchronization is the shop's and is not atomic: name Online there for places that must
switch at the minute.

**Normal**: nothing is sent between start and end. `campaign_report` of the collection says how it stands and what holds
it back. A campaign that is new, or whose places a person just changed, is noted in one run and shown by the next.
Extended, cancelled (`withdrawn`), deleted or incomplete campaigns are found in the next run; places go back to what
stood there before, to a slot's default where that is gone, and what people put there meanwhile stays. A new revision
replaces the whole campaign. `Held back: overlaps`: two campaigns want a place; who is there stays.
**Red** `campaigns_to_places`: the shop refused a campaign and rolled all of it back; the row that is at fault names it,
the others say `group_refused`. `group_incomplete`: rows were set aside by hand or by `limit`; replay all of them.
`unprocessed`: no answer, and reading back did not show it; the next run sends it again, which is harmless.
**An asset that loses its approval meanwhile** is taken out by K1 at once; the campaign follows in the run after.
**Backfill**: reads everything anyway; there is nothing to backfill.
"""

from commerce_sync.flow import sync_dag  # builds an Airflow DAG

dag = sync_dag(
    "iconik_campaign_switch",
    legs=["iconik/campaigns_to_places", "iconik/campaign_states_to_collections"],
    schedule="*/5 * * * *",
    doc=__doc__,
    tags=["iconik", "K8"],
    after=["iconik_approved_media"],
)
