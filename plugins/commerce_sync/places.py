"""Where things live: mapping files, ledger, batches, stores, history and gate pages; and how long some are kept.

COMMERCE_SYNC_HOME      folder for everything below       (default: $AIRFLOW_HOME/commerce_sync)
COMMERCE_SYNC_MAPPINGS  folder of the mapping files       (default: ../include/mappings beside the DAGs folder)
COMMERCE_SYNC_BUDGETS   file of the systems' allowances   (default: budgets.yaml beside the folder of the mappings)
COMMERCE_SYNC_BATCHES   folder or fsspec URL for batches and stores   (default: $COMMERCE_SYNC_HOME/batches)
COMMERCE_SYNC_MEMORY    of a step's DuckDB session; aggregations take up to twice that   (default: 256MB)
COMMERCE_SYNC_UNDO      on: legs whose mapping does not say keep before-images if they can   (default: off)
Airflow connection ``commerce_sync_ledger``  the ledger's database    (default: SQLite in $COMMERCE_SYNC_HOME)

Days, whole numbers; what is older is swept by the DAG ``commerce_sync_maintenance``:
COMMERCE_SYNC_KEEP_SUCCESS_DAYS  history of what arrived         (default: 7)
COMMERCE_SYNC_KEEP_ERROR_DAYS    history of what did not         (default: 30)
COMMERCE_SYNC_KEEP_PAYLOAD_DAYS  change batches, from which the payloads of what arrived are shown   (default: 7)
COMMERCE_SYNC_KEEP_IMAGE_DAYS    before-images, and what their runs sent: so long a run can be undone   (default: 7)
COMMERCE_SYNC_KEEP_BATCH_DAYS    the other batches of runs that ended    (default: 2)
COMMERCE_SYNC_KEEP_RUN_DAYS      runs in the ledger, gate pages, what people answered   (default: 90)
COMMERCE_SYNC_KEEP_EVENT_DAYS    events of the inbox   (default: 400)
COMMERCE_SYNC_KEEP_RECEIPT_DAYS  what the receiver was sent and answered, at the most   (default: 90)
"""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

from commerce_sync import budget
from commerce_sync.batches import MEMORY_LIMIT, Batches, roomier
from commerce_sync.budget import Budget
from commerce_sync.errors import ConfigurationError
from commerce_sync.history import History
from commerce_sync.ledger import Ledger

LEDGER_CONNECTION = "commerce_sync_ledger"
DAYS = {"SUCCESS": 7, "ERROR": 30, "PAYLOAD": 7, "IMAGE": 7, "BATCH": 2, "RUN": 90, "EVENT": 400, "RECEIPT": 90}
"""How long things are kept unless COMMERCE_SYNC_KEEP_..._DAYS says otherwise."""


def home() -> Path:
    """The folder that holds ledger, batches and pages unless told otherwise."""
    airflow_home = os.environ.get("AIRFLOW_HOME", "~/airflow")
    return Path(os.environ.get("COMMERCE_SYNC_HOME", f"{airflow_home}/commerce_sync")).expanduser()


def mappings() -> Path:
    """The folder of the mapping files."""
    if "COMMERCE_SYNC_MAPPINGS" in os.environ:
        return Path(os.environ["COMMERCE_SYNC_MAPPINGS"])
    dags = os.environ.get("AIRFLOW__CORE__DAGS_FOLDER", "dags")
    return Path(dags).resolve().parent / "include" / "mappings"


def mapping_path(name: str) -> Path:
    """The file of a mapping named like ``salesforce/customers_to_contacts``. Raises ConfigurationError if missing."""
    path = mappings() / f"{name}.yaml"
    if not path.is_file():
        known = sorted(str(item.relative_to(mappings()).with_suffix("")) for item in mappings().rglob("*.yaml"))
        raise ConfigurationError(f"no mapping {name!r} ({path}); there are: {', '.join(known) or 'none'}")
    return path


def budgets() -> dict[str, Budget]:
    """What our flows may use of each system. Raises ConfigurationError for a broken file."""
    return budget.load(Path(os.environ.get("COMMERCE_SYNC_BUDGETS", str(mappings().parent / "budgets.yaml"))))


def batches() -> Batches:
    """Batches that steps hand to each other; may be emptied when no run is active."""
    return Batches(f"{_files_root()}/runs")


def stores() -> Batches:
    """Replicas and figures of the legs that aggregate; kept."""
    return Batches(f"{_files_root()}/stores")


def history() -> History:
    """What became of every record, for as long as it is kept."""
    keep = {"keep_success": kept("SUCCESS"), "keep_error": kept("ERROR")}
    return History(f"{_files_root()}/history", runs=batches(), **keep)


def kept(what: str) -> timedelta:
    """How long something is kept, see ``DAYS``. Raises ConfigurationError when the setting is no number of days."""
    name = f"COMMERCE_SYNC_KEEP_{what}_DAYS"
    text = os.environ.get(name, str(DAYS[what]))
    if not text.isdecimal() or int(text) < 1:
        raise ConfigurationError(f"{name} is {text!r}; give a whole number of days from 1 on")
    return timedelta(days=int(text))


def undo() -> bool:
    """Whether legs keep before-images unless their mapping says. Raises ConfigurationError for another word."""
    text = os.environ.get("COMMERCE_SYNC_UNDO", "off")
    if text not in ("on", "off"):
        raise ConfigurationError(f"COMMERCE_SYNC_UNDO is {text!r}; legal: on, off")
    return text == "on"


def memory() -> str:
    """What a step's DuckDB session may take. Raises ConfigurationError when the setting is no size."""
    return roomier(os.environ.get("COMMERCE_SYNC_MEMORY", MEMORY_LIMIT), 1)


def pages() -> Path:
    """Folder of the gates' result pages."""
    return home() / "pages"


def open_ledger() -> Ledger:
    """The ledger named by the Airflow connection, or the SQLite file in the home folder."""
    return Ledger.open(_ledger_url(), files=f"{_files_root()}/markers")


def _files_root() -> str:
    return os.environ.get("COMMERCE_SYNC_BATCHES", str(home() / "batches")).rstrip("/")


def _ledger_url() -> str:
    from airflow.sdk import BaseHook
    from airflow.sdk.exceptions import AirflowNotFoundException, AirflowRuntimeError

    try:
        uri = BaseHook.get_connection(LEDGER_CONNECTION).get_uri()
    except (AirflowNotFoundException, AirflowRuntimeError):
        home().mkdir(parents=True, exist_ok=True)
        return f"sqlite:///{home() / 'ledger.db'}"
    return uri.replace("postgres://", "postgresql+psycopg2://", 1)
