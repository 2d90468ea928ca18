"""What only a deployment imports is locked in versions that fit each other."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

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


@pytest.mark.parametrize("file", ["requirements.txt", "requirements-dev.txt"])
def test_a_pin_with_extras_has_a_bare_one_beside_it(file: str) -> None:
    """pip before 23.3 calls `celery` unpinned where the file only pins `celery[redis]`, and installs nothing."""
    text = (Path(__file__).parents[2] / file).read_text()
    with_extras = set(re.findall(r"(?m)^([a-z0-9._-]+)\[[^]]+\]==(\S+)", text))
    bare = set(re.findall(r"(?m)^([a-z0-9._-]+)==(\S+)", text))
    assert with_extras
    assert with_extras <= bare
