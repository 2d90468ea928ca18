"""Airflow's cluster policy in the demo: flows start by hand or after other flows, never by the clock.

A scheduled run between two stages would take the changes the next stage is going to prove. Switching the
scheduler's own schedules off (``use_job_schedule``) would also switch off starting by assets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow.sdk import DAG

LOCAL_SETTINGS = "from demo.policy import dag_policy  # noqa: F401\n"
"""What Airflow's ``airflow_local_settings.py`` has to say for the policy to be found."""


def dag_policy(dag: DAG) -> None:
    """Keep the assets of a DAG's schedule and take away its clock."""
    from airflow.sdk.definitions.timetables.assets import AssetTriggeredTimetable
    from airflow.sdk.definitions.timetables.simple import NullTimetable

    assets = dag.timetable.asset_condition
    dag.timetable = NullTimetable() if assets is None else AssetTriggeredTimetable(assets)
