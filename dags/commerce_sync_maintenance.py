"""
### Maintenance: what is older than it is kept goes

Every night at 03:30 UTC. Removes the history of records, the batches of runs that ended, gate pages, runs and events
that are older than the settings `COMMERCE_SYNC_KEEP_..._DAYS` say, puts small files of the history together, and
brings what people said at the error desk into the history where a process died before it could.

**Normal**: minutes; its log and its result say how many rows, batches, pages, events and files went. Flows may run
meanwhile. **Red**: the folder of the batches or the ledger's database was not to be reached; nothing is lost, the next
night goes on. A setting that is no number of days is named in the log.
**Backfill**: pointless; what is old is counted from now.
"""

from datetime import timedelta

from commerce_sync.flow import duty_dag, flow_asset  # builds an Airflow DAG
from commerce_sync.steps import Done, Upkeep

with duty_dag(
    "commerce_sync_maintenance", schedule="30 3 * * *", doc=__doc__, takes=timedelta(hours=3), tags=()
) as dag:
    done = Done(task_id="done", moves=[], outlets=[flow_asset("commerce_sync_maintenance")], trigger_rule="none_failed")
    Upkeep(task_id="sweep") >> done
