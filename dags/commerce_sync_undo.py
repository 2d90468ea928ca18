"""
### Undo: put back what one run of one leg changed

Started by hand only: from the button on a run's page in the monitor, or *Trigger* with the leg and the name of the run.
Fields that nobody changed since the run are put back as they were; fields that somebody changed are left and listed.
Records the run made are taken away as the leg's `on_delete` says, records it deleted come back. What was undone waits
until its source changes, or until somebody lets it go again: `python -m commerce_sync redo LEG`.

**Normal**: a minute for some thousand records. The log names what was left because it had changed; so does the page of
the undo's run in the monitor. With `plan` nothing is sent and the task is skipped.
**Red**, with `ConfigurationError`: the run cannot be undone (no before-images are kept for it, or its leg's target
cannot be read back); nothing was sent. **Red**, with `GuardError`: the target refused records; the run's messages have
the reasons. Trigger it again: what went back already is left as it is.
**A task that died**: clear it, the same undo goes on. **Wrong run undone**: undo the undo, it is a run like others.
**Backfill**: there is nothing to backfill.
"""

from datetime import timedelta

from airflow.sdk import Param

from commerce_sync.flow import duty_dag, flow_asset  # builds an Airflow DAG
from commerce_sync.undo_step import Undone, UndoRun

FORM = {
    "leg": Param("", type="string", title="Leg", description="As `python -m commerce_sync flows` lists them."),
    "run": Param("", type="string", title="Run to undo", description="Its name in the monitor."),
    "plan": Param(False, type="boolean", title="Only show what would be done"),
    "by": Param("", type="string", title="Who asks", description="Kept in the ledger."),
    "reason": Param(None, type=["null", "string"], title="Reason", description="Kept in the ledger."),
}
with duty_dag(
    "commerce_sync_undo", schedule=None, doc=__doc__, takes=timedelta(hours=3), tags=(),
    retry_delay=timedelta(minutes=1), params=FORM,
) as dag:  # fmt: skip
    done = Undone(task_id="done", outlets=[flow_asset("commerce_sync_undo")], trigger_rule="none_failed")
    UndoRun(task_id="undo") >> done
