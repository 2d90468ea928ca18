"""Rules of the house: where imports may point, how large things may be, what Airflow must not find."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "plugins" / "commerce_sync"
FILES = sorted(path for path in PACKAGE.rglob("*.py") if "versions" not in path.parts)

# A module may import from its own floor's package and from the floors below it (lower number).
FLOORS = [
    ["errors"],
    ["budget", "disguise"],
    ["mapping", "batches", "schema_file"],
    ["window", "binding", "budget_forecast"],
    ["changes", "mapping_file", "ledger"],
    ["gate_page", "history_files", "budget_meter", "forget_rows"],
    ["gate_rows", "history_rows", "tombstones"],
    ["gate_checks", "gate_proofs", "history"],
    ["gates"],
    ["replica"],
    ["places"],
    ["systems"],
    ["attempts", "company", "drift", "planned"],
    ["leg"],
    ["agreement", "doubt", "high_water", "editing", "recording", "forget_files", "forget_names"],
    ["folding", "rejecting"],
    ["applying"],
    ["before_images", "forget"],
    ["detection", "delivery"],
    ["aim_check", "sharding"],
    ["undo_compare", "differing"],
    ["undo_settle"],
    ["undo", "comparing"],
    ["approval", "portion", "error_desk", "explain", "planning", "upkeep"],
    ["plan_rows", "walk"],
    ["steps"],
    ["sending", "shard_steps", "watching"],
    ["alerts"],
    ["receiver"],
    ["flow"],
    ["undo_step"],
    ["duty", "monitor", "provider"],
    ["drifting", "comparing_step"],
    ["plugin", "commands"],
    ["__main__"],
]
FLOOR = {name: number for number, names in enumerate(FLOORS) for name in names}
OF_DAGS = {
    "comparing_step",
    "drifting",
    "flow",
    "steps",
    "systems",
    "alerts",
    "duty",
    "upkeep",
    "watching",
    "errors",
    "undo_step",
}
"""What a DAG file may import from."""
SYSTEMS = ("sap_commerce", "salesforce", "iconik", "opentext_iot", "inbox", "links")


def imported(path: Path) -> set[tuple[str, ...]]:
    """What a file imports from this package, as paths below it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "commerce_sync":
            below = tuple(node.module.split(".")[1:])
            found |= {below or (alias.name,) for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {tuple(a.name.split(".")[1:]) for a in node.names if a.name.startswith("commerce_sync.")}
    return found


def room(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[0]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_only_point_downwards(path):
    here = room(path)
    if here == "__init__":
        return
    assert here in FLOOR, f"{path} has no floor: put it on one in this test"
    for target in imported(path):
        there = target[0] if target else here
        assert there == here or FLOOR[there] < FLOOR[here], (
            f"{path.name} imports {'.'.join(target)} from above or beside"
        )


@pytest.mark.parametrize("system", SYSTEMS)
def test_systems_never_know_each_other(system):
    for path in (PACKAGE / "systems" / system).rglob("*.py"):
        known = {target[1] for target in imported(path) if target[:1] == ("systems",) and len(target) > 1}
        assert not known & (set(SYSTEMS) - {system}), path


@pytest.mark.parametrize(("library", "rooms"), [("sqlalchemy", {"ledger"}), ("great_expectations", {"gates"})])
def test_a_heavy_library_has_one_home(library, rooms):
    for path in FILES:
        text = path.read_text()
        lines = [line.strip() for line in text.splitlines()]
        if any(line.startswith((f"import {library}", f"from {library}")) for line in lines):
            assert room(path) in rooms, path


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_file_is_longer_than_400_lines(path):
    assert len(path.read_text().splitlines()) <= 400


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_function_is_longer_than_40_lines(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) and len(node.body) > 1 else node.body
            assert node.end_lineno - body[0].lineno < 40, f"{path.name}: {node.name}"


def test_no_room_has_a_name_that_says_nothing():
    silent = {"utils", "util", "common", "helpers", "helper", "base", "core", "manager", "misc"}
    assert not {path.stem for path in FILES} & silent


def test_airflow_does_not_execute_the_package_under_bare_file_names():
    assert (ROOT / "plugins" / ".airflowignore").read_text().split() == ["*"]


def test_dags_import_only_from_the_flow_floor():
    for path in (ROOT / "dags").glob("*.py"):
        assert {target[0] for target in imported(path)} <= OF_DAGS, path


def test_no_two_files_of_tests_share_a_name():
    """Tests have no packages, so pytest imports each file by its bare name: a second one of that name stops the run."""
    ours = [path for path in (ROOT / "tests").rglob("*.py") if "node_modules" not in path.parts]
    names = [path.name for path in ours if path.name != "conftest.py"]
    assert not {name for name in names if names.count(name) > 1}
