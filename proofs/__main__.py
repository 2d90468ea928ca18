"""``python -m proofs completeness|saboteur|mutations|crashes|faults|privacy [--histories N] [--seed S] [--jobs J]``.

completeness: that many histories from seed S on; with ``--verbose`` only the one of seed S, told act by act, and shrunk
when it fails. saboteur: so many rounds. mutations: known bugs put back one by one. The exit code is 1 when something
was lost, invented, doubled, not caught. crashes, faults: every cell of every flow, or of those ``--flow`` names, or a
``--sample`` of each; ``--resume`` goes on where it was stopped. privacy: a person is forgotten, and ``--attempts`` are
made to bring her back. publish: write the kept figures into docs/evidence.md.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from proofs import completeness, crashes, faults, mutations, over_http, privacy, results
from proofs.acts import history
from proofs.cheap import cheaply
from proofs.crash_bugs import BUGS
from proofs.crash_stories import STORIES

HISTORIES = {"completeness": 10_000, "saboteur": 1_000, "mutations": 80}
CELLS = {"crashes": crashes.run, "faults": faults.run}
HTTP_SHARE = 100
"""One history in so many also runs over HTTP."""


def main() -> int:
    options = _arguments()
    logging.disable(logging.WARNING)
    if options.proof == "publish":
        results.publish()
        return 0
    if options.proof == "privacy":
        return privacy.command(options.attempts, seed=options.seed)
    if options.proof in CELLS:
        return CELLS[options.proof](crashes.Wanted(
            flows=options.flow or (), sample=options.sample, seed=options.seed, jobs=options.jobs,
            resume=options.resume, only=options.cell, bug=options.bug, kept=options.kept or crashes.KEPT,
            everywhere=options.everywhere,
        ))  # fmt: skip
    count = options.histories or HISTORIES[options.proof]
    if options.proof == "completeness" and options.verbose:
        return _one(options.seed)
    if options.proof == "mutations":
        return mutations.run(histories=count, seed=options.seed, only=options.only)
    if options.stop:
        return _until_first(options.proof, options.seed, count)
    failed = _many(options.proof, count=count, seed=options.seed, jobs=options.jobs, resume=options.resume)
    share = count // HTTP_SHARE if options.http is None else options.http
    return failed | (_over_http(options.seed, share) if options.proof == "completeness" and share else 0)


def _one(seed: int) -> int:
    plan = history(seed)
    print(f"seed {seed}: {plan.setting}")
    with cheaply() as ground:
        said, _story = completeness.played(plan, ground, print)
        print(f"\n{said or 'held'}")
        if not said:
            return 0
        small = completeness.shrunk(plan, ground)
        print(f"\nshrunk to {len(small.acts)} of {len(plan.acts)} acts:")
        said, _story = completeness.played(small, ground, print)
    print(f"\n{said}")
    return 1


def _until_first(proof: str, seed: int, count: int) -> int:
    work = completeness.histories if proof == "completeness" else completeness.rounds
    found = work(seed, count, stop=True)
    for at, said in found.failed.items():
        print(f"history {found.histories}, seed {at}: {said}")
    return int(bool(found.failed))


def _many(proof: str, *, count: int, seed: int, jobs: int, resume: bool) -> int:
    work = completeness.histories if proof == "completeness" else completeness.rounds
    done, began = _done(proof, seed) if resume else (completeness.Found(), None)
    done.failed = _again(work, done.failed)
    found = done
    for found in completeness.over_processes(work, first=seed, count=count, jobs=jobs, done=done):
        results.keep(proof, _figures(found, seed) | ({"began": began} if began else {}))
        print(f"\r{found.histories:,} of {count:,}, {len(found.failed)} failed", end="", flush=True, file=sys.stderr)
    print(file=sys.stderr)
    rows = [(what, done, caught) for what, done, caught in completeness.saboteur.tally(found.rounds)]
    counted: list[tuple[Any, ...]] = sorted(found.counts.items())
    print(results.table([("what was done", "rounds", "caught"), *rows] if rows else [("", "number"), *counted]))
    for at, said in list(found.failed.items())[: completeness.MOST_REPORTED]:
        print(f"seed {at}: {said}")
    cpu = found.cpu_s / max(found.histories, 1)
    print(f"\n{found.histories:,} from seed {seed}, {len(found.failed)} failed, {cpu:.2f} s CPU each")
    return int(bool(found.failed))


def _again(work: Callable[[int, int], completeness.Found], failed: dict[int, str]) -> dict[int, str]:
    """Those of the seeds that fail still."""
    return {at: said for seed in failed for at, said in work(seed, 1).failed.items()}


def _done(proof: str, seed: int) -> tuple[completeness.Found, str | None]:
    """What is kept of the seeds from ``seed`` on, and when that began."""
    kept = results.kept(proof)
    if kept is None or kept["first_seed"] != seed:
        return completeness.Found(), None
    failed = {int(at): said for at, said in kept["failed"].items()}
    found = completeness.Found(kept["histories"], failed, Counter(kept["counts"]))
    found.cpu_s = kept["cpu_s_each"] * kept["histories"]
    for row in kept["rounds"]:
        said = ["caught"] * row["caught"] + ["not caught"] * (row["rounds"] - row["caught"])
        found.rounds += [(row["what"], item) for item in said]
    return found, kept.get("began") or kept["date"]


def _over_http(seed: int, count: int) -> int:
    _count, runs, failed, seconds = over_http.histories(seed, count)
    figures = {"histories": count, "first_seed": seed, "runs": runs, "failed": failed, "seconds": round(seconds)}
    results.keep("completeness_http", figures)
    for at, said in failed.items():
        print(f"over HTTP, seed {at}: {said}")
    print(f"{count:,} over HTTP with {runs:,} runs, {len(failed)} failed, {seconds / count:.1f} s each")
    return int(bool(failed))


def _figures(found: completeness.Found, seed: int) -> dict[str, Any]:
    cpu = round(found.cpu_s / max(found.histories, 1), 3)
    told = [{"what": what, "rounds": done, "caught": caught} for what, done, caught in
            completeness.saboteur.tally(found.rounds)]  # fmt: skip
    return {
        "histories": found.histories, "first_seed": seed, "failed": found.failed, "cpu_s_each": cpu,
        "counts": dict(sorted(found.counts.items())), "rounds": told,
    }  # fmt: skip


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m proofs", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("proof", choices=[*sorted(HISTORIES), *CELLS, "privacy", "publish"])
    parser.add_argument("--histories", type=int, help="how many (10,000; 1,000 rounds; 80 for each bug)")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--http", type=int, help="how many over HTTP (a hundredth)")
    parser.add_argument("--verbose", action="store_true", help="tell one history, and shrink it when it fails")
    parser.add_argument("--stop", action="store_true", help="in this process, until the first that fails")
    parser.add_argument("--resume", action="store_true", help="go on where it was stopped; play failed seeds again")
    parser.add_argument("--attempts", type=int, default=1_000, help="privacy: how many")
    parser.add_argument("--only", help="mutations: only bugs whose name contains this")
    add = parser.add_argument_group("crashes, faults").add_argument
    add("--flow", action="append", choices=sorted(STORIES), metavar="DAG", help="only this one; may be given again")
    add("--sample", type=int, help="so many cells of each flow, spread over kinds and ways (all)")
    add("--everywhere", action="store_true", help="faults: at every route of a flow, not at one that the seed draws")
    add("--cell", metavar="TEXT", help="only cells whose name has this text")
    add("--bug", choices=sorted(BUGS), help="put a known bug in first: the proof has to fail")
    add(
        "--kept",
        type=Path,
        metavar="DIR",
        help="where to keep what is done (build/proofs); figures are kept only there",
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
