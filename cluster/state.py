"""What both plays have to leave behind: the records at the far side, and each leg's counts in its ledger."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from demo.errors import DemoError
from demo.folder import PROJECT
from demo.simulated import Simulated

KINDS = {"salesforce": ("Account", "Contact"), "sap_commerce": ("Customer", "B2BCustomer", "B2BUnit", "Address")}
KEY = {"Account": "Commerce_Id__c", "Contact": "Commerce_Id__c", "Customer": "uid", "B2BCustomer": "uid",
       "B2BUnit": "uid", "Address": "publicKey"}  # fmt: skip
OWN = ("Id", "id", "pk", "SystemModstamp", "CreatedDate", "LastModifiedDate", "modifiedtime", "creationtime",
       "Registered_At__c")  # fmt: skip
"""Given by the far side itself, and another one in every play; the last is the shop's creationtime, handed on."""
REFERENCES = {"AccountId": "Account", "ParentId": "Account"}
LEDGER_SCRIPT = """
import json
from commerce_sync import places
ledger, found = places.open_ledger(), {}
for leg in %(legs)r:
    runs = ledger.runs(leg)
    rejects = sorted((r.key, r.status, r.code) for r in ledger.rejects(leg))
    shown = [{"status": run.status, "counts": run.counts, "digest": run.digest, "run": run.run} for run in runs]
    found[leg] = {"runs": shown, "rejects": rejects}
print("LEDGER " + json.dumps(found))
"""


@dataclass(frozen=True, slots=True)
class End:
    """How a play ended. far: kind -> key -> fields.   ledger: leg -> its runs, the newest first, and its rejects."""

    far: dict[str, dict[str, dict[str, Any]]]
    ledger: dict[str, Any]


def look(systems: Mapping[str, Any], *, env: Mapping[str, str], legs: list[str], only: Sequence[str] = ()) -> End:
    """The end state now. only: the runs that count, and not those that started after other flows; all without it."""
    far: dict[str, dict[str, dict[str, Any]]] = {}
    for system, kinds in KINDS.items():
        side = Simulated(systems[system]["url"])
        rows = {kind: [row for row in side.records(kind) if not row.get("IsDeleted")] for kind in kinds}
        names = {row["Id"]: row.get(KEY[kind]) for kind in kinds for row in rows[kind] if "Id" in row}
        for kind in kinds:
            far[kind] = {str(row.get(KEY[kind])): _plain(row, names) for row in rows[kind]}
    known = ledger(env, legs)
    for of_leg in known.values():
        of_leg["runs"] = [run for run in of_leg["runs"] if not only or run["run"] in only]
    return End(far, known)


def _plain(row: Mapping[str, Any], names: Mapping[str, Any]) -> dict[str, Any]:
    """Without what the far side gives itself; references by the external id of what they point at."""
    kept = {name: value for name, value in row.items() if name not in OWN}
    return {name: names.get(value, value) if name in REFERENCES else value for name, value in kept.items()}


def ledger(env: Mapping[str, str], legs: list[str]) -> dict[str, Any]:
    """Leg -> runs and rejects, read by the ledger's own code with the settings of a play."""
    done = subprocess.run([sys.executable, "-c", LEDGER_SCRIPT % {"legs": legs}], env=dict(env), cwd=PROJECT, text=True,
                          capture_output=True, timeout=300, check=False)  # fmt: skip
    lines = [line for line in done.stdout.splitlines() if line.startswith("LEDGER ")]
    if not lines:
        raise DemoError(f"the ledger could not be read:\n{done.stderr[-2000:]}")
    return dict(json.loads(lines[0].removeprefix("LEDGER ")))


def differences(wanted: End, found: End) -> list[str]:
    """In words; empty when the two plays ended alike."""
    said = [line for kind in wanted.far for line in _of_kind(kind, wanted.far[kind], found.far[kind])]
    for leg in wanted.ledger:
        one, two = (of_leg(end.ledger[leg]) for end in (wanted, found))
        said += [f"leg {leg}: {one} undisturbed, {two} in the cluster"] if one != two else []
    return said


def _of_kind(kind: str, wanted: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    said = [f"{kind} {key} is only in one of the two" for key in sorted(wanted.keys() ^ found.keys())]
    examples: dict[str, list[str]] = {}
    for key in sorted(wanted.keys() & found.keys()):
        one, two = wanted[key], found[key]
        for name in sorted(name for name in one.keys() | two.keys() if one.get(name) != two.get(name)):
            examples.setdefault(name, []).append(f"{key}: {one.get(name)!r} undisturbed, {two.get(name)!r}")
    return said + [f"{kind}.{name} of {len(shown)} records, {shown[0]}" for name, shown in examples.items()]


def of_leg(known: Mapping[str, Any]) -> Any:
    """Runs and rejects to compare; without ``created``: what a killed load made, its second try finds there."""
    kept = [
        (run["status"], run["digest"], {n: v for n, v in run["counts"].items() if n != "created"})
        for run in known["runs"]
    ]
    return kept, known["rejects"]
