"""
# Schema drift

Every night at 02:10 UTC it reads the fields of everything the mappings name (Salesforce's describes, the `$metadata` of
SAP Commerce, iconik's metadata views), compares them with what it saw the night before and with the mappings, and tells
people (connections named in `COMMERCE_SYNC_ALERTS`) before a run is hurt:

* a field a mapping uses is **gone**, or was **renamed** (one of the same label or a similar name came)
* a target field became **shorter**, keeps **fewer digits**, is **required** or **read-only**, or has **another type**
* a closed list lost a value (with a note when the mapping writes it) or got a **new** one
* a **new field** that every new record needs, and that no mapping fills
* a mapping names what the far side does not have: told once, and again when it is over

Each change is told once. `python -m commerce_sync drift` shows the same at any time and remembers nothing.

**Normal**: seconds to a minute, one call per object or service. **Red**: the ledger or the stores could not be reached;
run it again. A system that cannot be asked is named in the log and left for the next night. **Backfill**: pointless.
"""

from datetime import timedelta

from commerce_sync.drifting import DriftWatch
from commerce_sync.flow import duty_dag  # builds an Airflow DAG

with duty_dag("commerce_sync_drift", schedule="10 2 * * *", doc=__doc__, takes=timedelta(hours=1)) as dag:
    DriftWatch(task_id="look")
