"""A whole flow, killed at every boundary of every step of every leg, must end as an undisturbed one does."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from commerce_sync import delivery, detection, flow, walk
from commerce_sync import leg as legs
from commerce_sync.ledger import Ledger
from commerce_sync.mapping import Mapping
from commerce_sync.window import Request
from flows.dying import after, before, in_a_process
from flows.walking import Walk, legs_of, mapping_of, open_site, swift

KILLED = -9
BOUNDARIES: dict[str, Callable[[], None]] = {
    "after extract": lambda: after(legs, "extract"),
    "after aggregate": lambda: after(legs, "aggregate"),
    "after map_changes": lambda: after(detection, "map_changes"),
    "after check": lambda: after(delivery, "check"),
    "after load": lambda: after(delivery, "load"),
    "before the commit's transaction": lambda: before(Ledger, "settle"),
    "after commit": lambda: after(Ledger, "settle"),
}
"""Point -> what makes the process die there."""


def boundaries(leg: str) -> list[str]:
    """The points of a leg at which a kill can leave something behind."""
    return [point for point in BOUNDARIES if point != "after aggregate" or mapping_of(leg).aggregate]


ROUNDS = 3
"""A third of the boundaries is tried when everything is new, the others when something changes."""


def assert_survives(
    dag_id: str, folder: Path, *, reset: Callable[[], None], edit: Callable[[int], None], look: Callable[[], Any]
) -> None:
    """Play the same history twice, undisturbed and killed at every boundary of each leg, and compare the ends.

    reset: empties the far sides.   edit: what happens on them before round n (0 fills them); it must give every leg
    something to send in every round.   look: the end state, without ids and times that differ between two plays.
    """
    reset()
    quiet = Walk(folder / "undisturbed")
    for number in range(ROUNDS):
        edit(number)
        quiet(dag_id, run_id=f"round-{number}")
        assert quiet.errors == {}
    expected = look()
    reset()
    hurt, deaths = Walk(folder / "killed"), 0
    for number in range(ROUNDS):
        edit(number)
        for mapping in legs_of(dag_id):
            deaths += sum(_kill(hurt, mapping.leg, number, point) for point in boundaries(mapping.leg)[number::ROUNDS])
            hurt(dag_id, leg=mapping.leg, run_id=f"round-{number}")
            assert hurt.errors == {}
    assert deaths >= 2 * len(legs_of(dag_id)), (
        "hardly any kill hit its mark: let `edit` give every leg something to send"
    )
    assert look() == expected


def _kill(hurt: Walk, leg: str, number: int, point: str) -> bool:
    """Run a leg in a process that dies at ``point``; the next process takes the same run up again."""
    names = ("AIRFLOW_CONN_", "COMMERCE_SYNC_")
    environment = {name: value for name, value in os.environ.items() if name.startswith(names)}
    code = in_a_process(str(hurt.folder), environment, leg, f"round-{number}", ("whole",), point)
    if code not in (0, KILLED):
        pytest.fail(f"{leg}, {point}: the process ended with {code}")
    return code == KILLED


def whole(folder: str, leg: Mapping, run_id: str, point: str) -> None:
    """One run of a leg as it is, dying at ``point`` when it gets there."""
    BOUNDARIES[point]()
    walk.leg(open_site(Path(folder)), swift(leg), run_id, request=Request(), sources=flow.source_system,
             targets=flow.target_system)  # fmt: skip
