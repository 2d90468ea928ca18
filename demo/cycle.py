"""One cycle: some flows are triggered, all others follow them; what each did, as a table and in the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from demo import flows
from demo.airflow_rest import Question
from demo.balances import Balance, Refusal, read_balances, read_refusals
from demo.errors import DemoError
from demo.flows import Watched
from demo.plan import CUSTOMERS, HISTORY, Start, short
from demo.screen import shorten
from demo.simulated import Calls
from demo.world import World

CYCLE_S = {"slice": 3600.0, "full": 10800.0}
HEADERS = ("flow", "started by", "legs", "read", "sent", "delivered", "refused", "seconds")
NEEDED = (CUSTOMERS, HISTORY)
"""Flows the proofs rest on; without them the demo cannot go on."""
ROOM = 96


@dataclass(frozen=True, slots=True)
class Outcome:
    """One flow's run with what its legs did."""

    watched: Watched
    balances: tuple[Balance, ...]
    refusals: tuple[Refusal, ...] = ()

    @property
    def name(self) -> str:
        """The DAG id without the part that all have."""
        return short(self.watched.run.dag)

    @property
    def day(self) -> date:
        """The UTC date the figures' scores refer to."""
        return max(balance.as_of for balance in self.balances)

    def total(self, count: str) -> int:
        """A count over all legs."""
        return sum(balance.counts[count] for balance in self.balances)


@dataclass(frozen=True, slots=True)
class Cycle:
    """What one trigger set off. ``outcomes``: by DAG id, in the order they started; ``calls``: by system."""

    outcomes: dict[str, Outcome]
    calls: dict[str, Calls]
    answers: tuple[Question, ...] = ()
    more: tuple[str, ...] = ()
    """Runs beyond the one per flow."""

    @property
    def balances(self) -> list[Balance]:
        """Every leg's balance."""
        return [balance for outcome in self.outcomes.values() for balance in outcome.balances]

    @property
    def run_ids(self) -> set[str]:
        """Every run of the cycle."""
        return {outcome.watched.run.run_id for outcome in self.outcomes.values()} | set(self.more)

    def total(self, count: str) -> int:
        """A count over all flows."""
        return sum(outcome.total(count) for outcome in self.outcomes.values())

    @property
    def writes(self) -> dict[str, int]:
        """Writing calls by system, as the far sides counted them."""
        return {system: calls.writes for system, calls in self.calls.items()}


def run_cycle(world: World, *, name: str, starts: Sequence[Start], flows_run: Sequence[str] | None = None) -> Cycle:
    """Run flows as one stage, note what they did. Raises DemoError when a flow the proofs need has failed.

    starts: what is triggered by hand.   flows_run: what has to run, all flows unless told otherwise.
    """
    wanted = world.flows if flows_run is None else flows_run
    with world.screen.stage(name) as stage:
        for system in world.simulated.values():
            system.reset_calls()
        seconds = CYCLE_S[world.report.scale]
        must_run = world.children.must_run
        watch = flows.run_flows(world.airflow, wanted, starts=starts, stage=stage, seconds=seconds, must_run=must_run)
        calls = {system: far.calls() for system, far in world.simulated.items()}
        found = {flow: _outcome(world, watched) for flow, watched in watch.watched().items()}
        cycle = Cycle(found, calls, tuple(watch.answers), tuple(watch.more))
        stage.done(_summary(cycle))
    world.report.add_cycle(name, cycle)
    show(world, cycle)
    _check(world, cycle, name=name)
    return cycle


def _outcome(world: World, watched: Watched) -> Outcome:
    balances = read_balances(world.folder.sync, run_id=watched.run.run_id)
    refusals = read_refusals(world.folder.sync, balances) if balances else []
    return Outcome(watched, tuple(balances), tuple(refusals))


def _summary(cycle: Cycle) -> str:
    followed = sum(outcome.watched.run.by_assets for outcome in cycle.outcomes.values())
    calls = sum(calls.total for calls in cycle.calls.values())
    return f"{len(cycle.outcomes)} flows, {followed} by assets; {cycle.total('sent'):,} rows sent, {calls:,} calls"


def show(world: World, cycle: Cycle) -> None:
    """Print a line per flow, and below them what was refused, asked, and what failed."""
    world.screen.table("Flows", HEADERS, [_row(outcome) for outcome in cycle.outcomes.values()])
    for line in _notes(cycle):
        world.screen.line(f"  {line}")
    world.screen.line()


def _row(outcome: Outcome) -> list[object]:
    run = outcome.watched.run
    seconds = "" if run.seconds is None else f"{run.seconds:.1f}"
    refused = outcome.total("quarantined") + outcome.total("rejected") + outcome.total("unprocessed")
    counts = [outcome.total(name) for name in ("read", "sent", "delivered")]
    starter = ", ".join(short(name) for name in outcome.watched.started_by.split(", "))
    name = outcome.name if outcome.watched.succeeded else f"{outcome.name} FAILED"
    return [name, starter, len(outcome.balances), *counts, refused, seconds]


def _notes(cycle: Cycle) -> list[str]:
    found = [
        shorten(f"{outcome.name}: {item.rows:,} refused by {item.leg}: {item.code} {item.reason}".rstrip(), ROOM)
        for outcome in cycle.outcomes.values()
        for item in outcome.refusals
    ]
    found += [f"{short(item.dag)}: {item.subject} Approved by admin." for item in cycle.answers]
    return found


def _check(world: World, cycle: Cycle, *, name: str) -> None:
    for outcome in cycle.outcomes.values():
        watched = outcome.watched
        detail = "success" if watched.succeeded else flows.failure(world.airflow, watched)
        world.report.check(f"{name}: {outcome.name} succeeds", passed=watched.succeeded, detail=detail)
        if watched.started_by == flows.DID_NOT_FOLLOW:
            world.report.check(f"{name}: {outcome.name} starts by assets", passed=False, detail=watched.started_by)
        _check_balances(world, outcome.balances, name=name)
    broken = [flow for flow in NEEDED if flow in cycle.outcomes and not cycle.outcomes[flow].watched.succeeded]
    if broken:
        raise DemoError(f"without {', '.join(broken)} nothing more can be proved")


def _check_balances(world: World, balances: Sequence[Balance], *, name: str) -> None:
    for balance in balances:
        world.report.check(
            f"{name}: {balance.leg} balances",
            passed=balance.is_balanced and balance.status == "green",
            detail=f"{balance.status}, {balance.counts}",
        )
