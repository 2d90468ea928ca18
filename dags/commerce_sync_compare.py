"""
# Comparison of both sides

Every night at 00:40 UTC, before the complete scans, it compares what the legs with `compare` in their mapping sent with
what their target holds: by sums of the marks in its records, and by what others modified since the night before. What
was edited, deleted, doubled or brought back there is listed, people are told, and the leg's next complete scan repairs
it, with its gate, its guards and its balance. Nothing is written to a target here. Without such a leg it does nothing.

**Normal**: seconds per leg and about six calls, also for a million records. **A leg at work** is left for the next
night. **Red**, with `GuardError`: more differs than a repair may touch; somebody emptied the object, loaded a copy, or
the marks are new (raise `version` in the mapping). `python -m commerce_sync compare LEG` lists it. **Red** otherwise:
the target could not be asked; run it again, legs that were compared are left out.
With the parameter `repair` off it only looks. **Backfill**: pointless.
"""

from datetime import timedelta

from airflow.sdk import Param

from commerce_sync.comparing_step import CompareLegs
from commerce_sync.flow import duty_dag  # builds an Airflow DAG

REPAIR = Param(True, type="boolean", title="Let the next complete scan repair what differs")
with duty_dag(
    "commerce_sync_compare", schedule="40 0 * * *", doc=__doc__, takes=timedelta(hours=1), params={"repair": REPAIR}
) as dag:
    CompareLegs(task_id="compare")
