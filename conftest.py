"""Airflow reads its settings when it is first imported: every test process gets a home of its own before that."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent
MEMORY = Path("/dev/shm")
ROOM_BYTES = 4 << 30


def _has_room(folder: Path) -> bool:
    return os.access(folder, os.W_OK) and shutil.disk_usage(folder).free >= ROOM_BYTES


# Thousands of small ledgers commit in these tests, and each commit would wait for the disk.
if "TMPDIR" not in os.environ and _has_room(MEMORY):
    os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)

HOME = tempfile.mkdtemp(prefix="commerce-sync-tests-")
atexit.register(shutil.rmtree, HOME, ignore_errors=True)

for name in [name for name in os.environ if name.startswith(("AIRFLOW_", "COMMERCE_SYNC_"))]:
    del os.environ[name]
os.environ |= {
    "AIRFLOW_HOME": HOME,
    "AIRFLOW__CORE__UNIT_TEST_MODE": "True",
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
    "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
    "AIRFLOW__API_AUTH__JWT_SECRET": "a-secret-of-the-tests-that-is-long-enough-for-the-signature-algorithm",
    "COMMERCE_SYNC_HOME": f"{HOME}/commerce_sync",
    "COMMERCE_SYNC_MAPPINGS": str(ROOT / "include" / "mappings"),
    "GX_ANALYTICS_ENABLED": "false",
}
