"""What only a deployment imports is locked in versions that fit each other."""

from __future__ import annotations

import subprocess
import sys

import pytest

IMPORTS = {
    "the Celery executor": "from airflow.providers.celery.executors.celery_executor import CeleryExecutor",
    "Airflow on PostgreSQL": "import asyncpg, psycopg2",
    "batches on S3": "import fsspec; fsspec.get_filesystem_class('s3')",
}


@pytest.mark.parametrize("script", IMPORTS.values(), ids=IMPORTS)
def test_it_can_be_imported(script: str) -> None:
    """In a process of its own: `--help` of a component imports none of these."""
    subprocess.run([sys.executable, "-W", "ignore", "-c", script], check=True, timeout=120, capture_output=True)
