"""Starting a DAG from a page, as Airflow's own *Trigger* does; the work itself is done by Airflow's workers."""

from __future__ import annotations

from typing import Any

from commerce_sync.errors import ConfigurationError
from commerce_sync.monitor.access import Visit


def trigger(visit: Visit, dag_id: str, conf: dict[str, Any]) -> None:
    """Start a DAG in the name of who asks. Raises ConfigurationError when Airflow does not know it."""
    from airflow.api.common.trigger_dag import trigger_dag
    from airflow.exceptions import DagNotFound
    from airflow.utils.types import DagRunTriggeredByType

    try:
        trigger_dag(
            dag_id, triggered_by=DagRunTriggeredByType.UI, triggering_user_name=visit.name, conf=conf,
            replace_microseconds=False,
        )  # fmt: skip
    except DagNotFound as error:
        raise ConfigurationError(f"Airflow has no DAG {dag_id}; is its file in the DAGs folder?") from error
