"""Airflow's local settings in the cluster: flows start by hand, and workers import Great Expectations once."""

from __future__ import annotations

import sys

from demo.policy import dag_policy

__all__ = ["LOCAL_SETTINGS", "dag_policy"]

LOCAL_SETTINGS = "import cluster.policy\nfrom demo.policy import dag_policy  # noqa: F401\n\ncluster.policy.preload()\n"
"""What ``airflow_local_settings.py`` has to say."""


def preload() -> None:
    """In a worker, import what its tasks need before they are forked: a gate costs seconds otherwise."""
    if sys.argv[1:3] == ["celery", "worker"]:
        import great_expectations  # noqa: F401
        import pandas  # noqa: F401
