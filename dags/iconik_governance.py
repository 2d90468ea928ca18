"""
### K3 Governance: every decision on publishing media, with its evidence

Every 15 minutes, before K1 and K6. Reads the governed assets of iconik, and products and categories of the shop;
decides for each rendition `publish`, `hold`, `wait`, `withdraw` or `block` (rules and policy:
`media_decisions.sql`), and writes each decision once into the history of its asset: version, file and checksum,
reviewers, which checks passed and which failed. K1 and K6 act on the same rules in their own runs, so that a
withdrawal does not depend on this flow.

**Normal**: an entry per rendition when a decision, its reasons, the version or the policy changes; silence
otherwise.
**Red** `extract`: iconik or the shop is not reachable. Nothing is withdrawn for that; what is published stays. When
it lasts for hours, decide by hand: a withdrawal cannot be seen meanwhile. `source ... has no field`: a field of the
view "SAP Commerce" was renamed; the gate stays shut until the mapping knows it.
**Change of policy**: edit `policy`, `roles` or `kinds` at the top of the SQL and raise `version`; `plan` shows what
would go.
**Backfill**: decides as of now; there is nothing to backfill.
"""

from commerce_sync.flow import sync_dag  # builds an Airflow DAG

dag = sync_dag(
    "iconik_governance",
    legs=["iconik/media_decisions_to_history"],
    schedule="*/15 * * * *",
    doc=__doc__,
    priority="high",
    tags=["iconik", "K3"],
)
