"""What the pages know of legs and flows: mapping files for what a leg moves, Airflow's own tables for when it runs.

The API server never parses a DAG file, so the flow of a leg is taken from the serialized DAGs: every leg is a task
group of its flow. A mapping file is read for names only and not validated: the monitor works while one is broken.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from commerce_sync import places

SYSTEMS = {
    "sap_commerce": "SAP Commerce",
    "salesforce": "Salesforce",
    "iconik": "iconik",
    "opentext_iot": "OpenText IoT",
    "inbox": "Inbox",
    "links": "Link table",
}
TAG = "commerce-sync"
FLOWS_FOR_S = 30.0
"""How long what Airflow said about its DAGs is good for; longer than people notice, shorter than they wait."""


@dataclass(frozen=True, slots=True)
class Moves:
    """What one leg moves, by its mapping file.

    personal: target fields with personal values.   shared: personal values both sides may edit, by their shared name.
    fields: target fields in the order of the file.   hides_key: whether the key is a personal value, or made from one.
    hides_target: whether the target knows its records by a personal value.
    """

    leg: str
    source: str
    target: str
    object: str
    pair: str = ""
    fields: tuple[str, ...] = ()
    personal: frozenset[str] = frozenset()
    shared: frozenset[str] = frozenset()
    hides_key: bool = False
    hides_target: bool = False

    @property
    def arrow(self) -> str:
        """From where to where, in people's words."""
        return f"{system(self.source)} \u2192 {system(self.target)} {self.object}"

    @property
    def direction(self) -> str:
        """``inbound`` into SAP Commerce, ``outbound`` to its neighbours."""
        return "inbound" if self.target == "sap_commerce" else "outbound"


@dataclass(frozen=True, slots=True)
class Flow:
    """What Airflow knows of a flow. ``interval``: between two scheduled runs; None when nothing is scheduled.

    title: first heading of the runbook.   legs: in the order they run.
    """

    dag_id: str
    title: str
    legs: tuple[str, ...]
    paused: bool
    schedule: str
    interval: timedelta | None = None
    next_run: datetime | None = None


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All legs and flows by name. ``problem``: why Airflow could not be asked about its DAGs, else empty."""

    moves: Mapping[str, Moves]
    flows: Mapping[str, Flow]
    problem: str = ""
    _flow_of: Mapping[str, str] = field(default_factory=dict)

    def flow_of(self, leg: str) -> Flow | None:
        """The flow a leg belongs to; None for a leg that no active DAG has."""
        return self.flows.get(self._flow_of.get(leg, ""))

    def order(self, known: Iterable[str]) -> list[str]:
        """Legs by flow in the order they run; legs only the ledger knows (``known``) come last."""
        listed = [leg for flow in self.flows.values() for leg in flow.legs]
        return list(dict.fromkeys([*listed, *sorted(set(self.moves) | set(known))]))

    def legs_of_pair(self, pair: str) -> list[Moves]:
        """The legs that settle the values of a pair."""
        return [item for item in self.moves.values() if pair in (item.pair, item.leg)]


def system(name: str) -> str:
    """A system's name in people's words."""
    return SYSTEMS.get(name, name)


_lock = threading.Lock()
_files: dict[Path, tuple[int, Moves | None]] = {}
_flows: tuple[float, dict[str, Flow], str] = (0.0, {}, "")


def read() -> Catalogue:
    """The catalogue as it is now; only files that changed are read again."""
    with _lock:
        moves, (flows, problem) = _moves(), _known_flows()
    owners = {leg: flow.dag_id for flow in flows.values() for leg in flow.legs}
    return Catalogue(moves, flows, problem, owners)


def _moves() -> dict[str, Moves]:
    paths = {path: path.stat().st_mtime_ns for path in sorted(places.mappings().rglob("*.yaml"))}
    for path in _files.keys() - paths.keys():
        del _files[path]
    for path, changed in paths.items():
        if _files.get(path, (0, None))[0] != changed:
            _files[path] = (changed, _read(path))
    return {found.leg: found for _changed, found in _files.values() if found is not None}


def _read(path: Path) -> Moves | None:
    """None for a file that is not a mapping; ``check`` and the DAG's import error say what is wrong with it."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        return _named(content)
    except (yaml.YAMLError, OSError, UnicodeDecodeError, KeyError, TypeError, AttributeError):
        return None


def _named(content: Any) -> Moves:
    given, to = content["from"], content["to"]
    first = given if isinstance(given.get("system"), str) else next(iter(given.values()))
    fields = {name: value if isinstance(value, dict) else {"value": value} for name, value in content["fields"].items()}
    personal = {name: value for name, value in fields.items() if value.get("pii")}
    key = str(content["key"]).strip()
    return Moves(
        leg=content["leg"],
        source=first["system"],
        target=to["system"],
        object=str(to.get("object", "")),
        pair=str(content.get("pair", "")),
        fields=tuple(fields),
        personal=frozenset(personal),
        shared=frozenset(value["shared"]["name"] for value in personal.values() if "shared" in value),
        hides_key=any(_is_in(str(value.get("value", "")), key) for value in personal.values()),
        hides_target=to.get("external_id") in personal,
    )


def _is_in(value: str, key: str) -> bool:
    """Whether a key is made from a personal value: a column as it stands, or in lower case."""
    column = re.fullmatch(r"\s*(?:lower\()?\s*([A-Za-z_][\w.]*)\s*\)?\s*", value)
    return value.strip() == key or (column is not None and column[1] in re.findall(r"[A-Za-z_][\w.]*", key))


def _known_flows() -> tuple[dict[str, Flow], str]:
    global _flows
    asked, flows, problem = _flows
    if not asked or time.monotonic() - asked > FLOWS_FOR_S:
        flows, problem = _ask_airflow(flows)
        _flows = (time.monotonic(), flows, problem)
    return flows, problem


def forget() -> None:
    """Read everything again at the next request."""
    global _flows
    with _lock:
        _files.clear()
        _flows = (0.0, {}, "")


def _ask_airflow(before: dict[str, Flow]) -> tuple[dict[str, Flow], str]:
    """Flow by DAG id, by name; what was known before when the metadata database does not answer."""
    from airflow.models.dag import DagModel
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.utils.session import create_session

    try:
        with create_session() as session:
            # The tag says which DAGs are ours; a DAG whose file is gone is stale and runs no more.
            dags = session.query(DagModel).filter(DagModel.tags.any(name=TAG), ~DagModel.is_stale).all()
            plans = SerializedDagModel.get_latest_serialized_dags(dag_ids=[dag.dag_id for dag in dags], session=session)
            contents = {plan.dag_id: (plan.data or {}).get("dag", {}) for plan in plans}
            flows = [_flow(dag, contents.get(dag.dag_id, {})) for dag in sorted(dags, key=lambda dag: dag.dag_id)]
    except Exception as error:  # whatever the database's driver raises: the ledger's pages are of use without it
        return before, f"Airflow's database did not answer ({type(error).__name__}): flows and schedules may be missing"
    return {flow.dag_id: flow for flow in flows}, ""


def _flow(dag: Any, content: dict[str, Any]) -> Flow:
    children = content.get("task_group", {}).get("children", {})
    groups = {
        name: child.get("upstream_group_ids", ()) for name, (kind, child) in children.items() if kind != "operator"
    }
    begin, end = dag.next_dagrun_data_interval_start, dag.next_dagrun_data_interval_end
    return Flow(
        dag_id=dag.dag_id,
        title=_title(content.get("doc_md") or ""),
        legs=_in_order(groups),
        paused=bool(dag.is_paused),
        schedule=dag.timetable_summary or "",
        interval=end - begin if begin and end and end > begin else None,
        next_run=dag.next_dagrun_create_after,
    )


def _title(doc: str) -> str:
    lines = [line.strip().lstrip("#").strip() for line in doc.splitlines()]
    return next((line for line in lines if line), "")


def _in_order(groups: dict[str, Iterable[str]]) -> tuple[str, ...]:
    """Legs (with those right before each) as they follow each other."""
    placed: list[str] = []
    while len(placed) < len(groups):
        waiting = [leg for leg in groups if leg not in placed]
        free = [leg for leg in waiting if not set(groups[leg]) & set(waiting)]
        placed += free or waiting
    return tuple(placed)
