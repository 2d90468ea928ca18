"""
# The watch over all flows

Every ten minutes it reads the DAG files and the ledger, and tells people (connections named in `COMMERCE_SYNC_ALERTS`,
by default `commerce_sync_alerts`) what no failing task would tell:

* **broken**: a DAG file or its mapping no longer loads, so its flow no longer runs
* **unscheduled**: no run began for longer than two intervals and half an hour (a paused DAG, a scheduler that is down)
* **stale**: a leg had no green run for longer than three intervals and an hour
* **idle**: a week of green runs in which a leg that used to read something read nothing
* **rejects**: more than 5 % (and 20 rows) of the last run were refused or quarantined
* **parked**: rows that used up their attempts and wait for a person
* **limits**: a system's allowance is expected to fall below the reserve for others (`include/budgets.yaml`)

and sends alerts that were noted but never left, because the process died or the mail server was down. Each trouble is
told once, and again when it is over. Limits of a flow stand in its DAG file: `sync_dag(..., limits=Limits(...))`.

**When it is red**: it could not reach the ledger. It writes nothing but what was told; run it again at any time.
"""

from datetime import timedelta

from commerce_sync.duty import Watch
from commerce_sync.flow import duty_dag  # builds an Airflow DAG

with duty_dag(
    "commerce_sync_watch", schedule="*/10 * * * *", doc=__doc__, takes=timedelta(minutes=30), retries=2,
    retry_delay=timedelta(minutes=5),
) as dag:  # fmt: skip
    Watch(task_id="watch")
