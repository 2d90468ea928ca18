"""
### IoT inbox: the platform's events, polled once for all flows

Every minute. Reads the events of the OpenText IoT Platform (connection `opentext_iot_default`) since the feed's cursor,
compares them with the platform's own count, and keeps each once in the feed `iot` of the inbox. The IoT flows read that
feed by event type and start when this flow brought something new.

**Normal**: a poll ends two minutes behind the present and looks 15 minutes back, for events the index shows late;
most of what it reads is known already. Nothing new: `done` is skipped, and no flow starts.
**Red** `poll`: fewer events came than the platform counts. Nothing is lost, the cursor stays where it is proven, and
the next run goes on there; if it stays red for an hour, ask the platform's support about the search index. 401 or 403:
look at client id and secret of the connection.
**Set aside**: events that cannot be read are among the rejects of `feed/iot`; those of an unknown template are kept
under the type `unmapped`.
**Backfill**: not needed; a poll goes through everything since the cursor, however long ago that is.
"""

from datetime import timedelta

from commerce_sync.flow import duty_dag, flow_asset  # builds an Airflow DAG
from commerce_sync.steps import Done
from commerce_sync.systems.opentext_iot.operators import PollIotEvents

with duty_dag(
    "iot_inbox", schedule="* * * * *", doc=__doc__, takes=timedelta(hours=1), tags=("opentext_iot",),
    retry_delay=timedelta(minutes=1),
) as dag:  # fmt: skip
    done = Done(task_id="done", moves=[], outlets=[flow_asset("iot_inbox")], trigger_rule="none_failed")
    PollIotEvents(task_id="poll", is_quiet=True) >> done
