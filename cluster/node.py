"""What Airflow calls this machine: every worker here is a machine of its own, so that one can see who did what."""

from __future__ import annotations

import os


def name() -> str:
    """For ``[core] hostname_callable``."""
    return os.environ.get("CLUSTER_NODE", "control")
