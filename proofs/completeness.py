"""Many histories: how many ran, what was found, and the smallest form of each that failed."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from typing import Any

from proofs import saboteur
from proofs.acts import Act, History, history
from proofs.cheap import Ground, cheaply
from proofs.oracle import Violation
from proofs.story import Story

CHUNK = 20
MOST_REPORTED = 20


@dataclass
class Found:
    """What some seeds gave. ``failed``: seed -> what was wrong.   counts: acts, runs, writes met on the way."""

    histories: int = 0
    failed: dict[int, str] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    cpu_s: float = 0.0
    rounds: list[tuple[str, str]] = field(default_factory=list)

    def add(self, other: Found) -> None:
        self.histories += other.histories
        self.failed |= other.failed
        self.counts += other.counts
        self.cpu_s += other.cpu_s
        self.rounds += other.rounds


def played(plan: History, ground: Ground, say: Callable[[str], None] = lambda _text: None) -> tuple[str, Story]:
    """ "" and the story when everything held, else what did not. A crash of the engine counts as well."""
    story = Story(plan, ground, say)
    try:
        story.play()
    except Violation as violation:
        return str(violation), story
    except Exception as error:
        return f"{type(error).__name__}: {error}", story
    return "", story


def histories(first: int, count: int, *, stop: bool = False) -> Found:
    """Play the histories of some seeds in this process. stop: at the first that fails."""
    found, began = Found(), time.process_time()
    with cheaply() as ground:
        for seed in range(first, first + count):
            said, story = played(history(seed), ground)
            found.histories += 1
            found.counts += _counted(story)
            if said:
                found.failed[seed] = said
                if stop:
                    break
    found.cpu_s = time.process_time() - began
    return found


def rounds(first: int, count: int, *, stop: bool = False) -> Found:
    """Let the saboteur at work, once per seed."""
    found, began = Found(), time.process_time()
    with cheaply() as ground:
        for seed in range(first, first + count):
            what, said = saboteur.round_of(seed, ground)
            found.histories += 1
            found.rounds.append((what, said))
            if said != "caught":
                found.failed[seed] = f"{what}: {said}"
                if stop:
                    break
    found.cpu_s = time.process_time() - began
    return found


def over_processes(
    work: Callable[[int, int], Found], *, first: int, count: int, jobs: int, done: Found
) -> Iterator[Found]:
    """The same in several processes, behind what is ``done``; gives what was found so far after each chunk."""
    end, total = first + count, done
    chunks = [(start, min(CHUNK, end - start)) for start in range(first + done.histories, end, CHUNK)]
    if not chunks:
        yield total
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        for part in pool.map(work, *zip(*chunks, strict=True)):
            total.add(part)
            yield total


def _counted(story: Story) -> Counter[str]:
    acts = Counter(f"acts: {name}" for name in _names(story.history.acts))
    acts["runs"] += story.runs
    for item in story.crm.writes:
        acts[f"writes: {item.outcome}"] += 1
    acts["versions"] += len(story.shop.log)
    return acts


def _names(acts: list[Act]) -> Iterator[str]:
    for name, *rest in acts:
        late = name == "edit" and rest[2] > 0
        yield "late commit" if late else name
        if name == "run":
            yield from (f"within a {where}" for where in ("read", "load") for _ in rest[0].get(where, []))
            yield from ["fault"] if "fault" in rest[0] else []


def shrunk(plan: History, ground: Ground) -> History:
    """A history that still fails, without the acts that do not matter."""
    smaller = True
    while smaller:
        smaller = False
        for shorter in _shorter(plan):
            if played(shorter, ground)[0]:
                plan, smaller = shorter, True
                break
    return plan


def _shorter(plan: History) -> Iterator[History]:
    size = len(plan.acts)
    for length in (size // 2, size // 4, 1):
        for start in range(0, size, max(length, 1)) if length else ():
            yield replace(plan, acts=plan.acts[:start] + plan.acts[start + length :])
    for number, act in enumerate(plan.acts):
        if act[0] == "run":
            yield from (
                replace(plan, acts=[*plan.acts[:number], run, *plan.acts[number + 1 :]]) for run in _calmer(act)
            )


def _calmer(act: Act) -> Iterator[Act]:
    run: dict[str, Any] = act[1]
    for name in ("read", "load"):
        for place in range(len(run.get(name, []))):
            yield ["run", run | {name: run[name][:place] + run[name][place + 1 :]}]
    if "fault" in run:
        yield ["run", {name: value for name, value in run.items() if name not in ("fault", "again")}]
