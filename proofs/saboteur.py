"""The saboteur: drops, doubles or alters one row somewhere between extract and commit, and has to be caught.

Each round plays a short history; in its second run one Parquet file is tampered with between two steps. Caught means:
the run stops with a BalanceError, nothing the ledger knows has moved, and the runs after it end with both sides equal.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from unittest import mock

import pyarrow as pa
import pyarrow.parquet as pq

from commerce_sync import delivery, detection
from commerce_sync import leg as legs
from commerce_sync.errors import BalanceError
from proofs.acts import KEYS, POOLS, History
from proofs.cheap import Ground
from proofs.oracle import Violation
from proofs.story import LEG, Story

PLACES = (
    ("begin", "carry"), ("extract", "extract-source"), ("map_changes", "changes"), ("map_changes", "verdicts"),
    ("check", "changes"), ("check", "check"), ("load", "changes"), ("load", "verdicts"), ("load", "check"),
    ("load", "load"), ("stage", "markers"),
)  # fmt: skip
"""After which step, in which batch."""
DEEDS = ("drop", "double", "alter")


class NothingThere(Exception):
    """The file to tamper with has no row in this history."""


def history(seed: int) -> tuple[History, random.Random]:
    """Some records arrive, some change, one goes, one is refused; the second run is the one to spoil."""
    draw = random.Random(f"saboteur {seed}")
    setting = {
        "overlap_s": 300, "page_rows": draw.choice((2, 1000)), "paging": "keyset", "grain_ms": 1000,
        "precision": "seconds", "concurrency": 1, "on_delete": draw.choice(("delete", "clear")), "on_leave": "delete",
        "skew_s": 0, "held": draw.random() < 0.5,
    }  # fmt: skip
    keys = draw.sample(KEYS, 6)
    rows = {key: {name: draw.choice(pool) for name, pool in POOLS.items() if name != "hidden"} for key in keys}
    acts: list[Any] = [["edit", key, rows[key], 0] for key in keys[:5]]
    acts += [["refuse", keys[0], 1, "rejected"], ["wait", 5], ["run", {"mode": "auto"}], ["wait", 120]]
    acts += [
        ["edit", key, {"name": f"new {draw.random()}", "city": draw.choice((None, "Rome"))}, 0] for key in keys[1:3]
    ]
    acts += [["edit", keys[5], {**rows[keys[5]], "city": "Rome"}, 0], ["refuse", keys[1], 1, "rejected"]]
    acts += [["delete", keys[4]], ["wait", 5], ["run", {"mode": draw.choice(("changes", "complete"))}], ["wait", 60]]
    return History(seed, setting, acts), draw


def round_of(seed: int, ground: Ground) -> tuple[str, str]:
    """One round; gives what was done, and "caught" or why not. Draws until there is a row to tamper with."""
    plan, draw = history(seed)
    story = Story(plan, ground)
    *before, doomed, _pause = plan.acts
    for act in before:
        story._act(act)
    look = story.oracle.before("run-2", doomed[1]["mode"], story.mapping, None)
    places = [place for place in draw.sample(PLACES, len(PLACES)) if _is_read(place[1], doomed[1]["mode"])]
    deed = draw.choice(DEEDS)
    while places:
        step, batch = places.pop()
        try:
            verdict = _spoil(story, doomed[1]["mode"], step, batch, deed, draw)
        except NothingThere:
            story.runs += 1
            continue
        return f"{deed} a row of {batch} after {step}", verdict or _aftermath(story, look, batch)
    return deed, "there was nothing to tamper with"


def _is_read(batch: str, mode: str) -> bool:
    """A complete scan does not need what earlier runs carry."""
    return batch != "carry" or mode == "changes"


def _spoil(story: Story, mode: str, step: str, batch: str, deed: str, draw: random.Random) -> str:
    """ "" when it was caught."""
    name = story._name = story.crm.run = f"run-{story.runs + 1}"
    try:
        with _tampering(story, name, step, batch, lambda path: _tamper(path, deed, draw)) as done:
            row = story._walk(name, story._request({"mode": mode}))
    except BalanceError:
        return ""
    if not done:
        raise NothingThere
    return f"the run is {row.status}"


@contextmanager
def _tampering(story: Story, run: str, step: str, batch: str, tamper: Callable[[str], None]) -> Iterator[list[str]]:
    """Within, the file is tampered with once the step is done; NothingThere stops the run where it has no rows."""
    done: list[str] = []

    def spoil(paths: list[str]) -> None:
        filled = [path for path in paths if pq.read_metadata(path).num_rows]
        if not filled:
            raise NothingThere
        tamper(filled[0])
        done.append(filled[0])

    def of_batch() -> list[str]:
        if batch == "carry":
            address = story.ledger.state(LEG).carry
            found = story.site.stores.open(address) if address else None
        else:
            found = story.site.batches.find(LEG, run, batch)
        return found.paths() if found else []

    def after(real: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **options: Any) -> Any:
            result = real(*args, **options)
            spoil([story.ledger.files.uri(result.name)] if step == "stage" else of_batch())
            return result

        return wrapped

    place = {
        "begin": (legs, "begin"), "extract": (legs, "extract"), "map_changes": (detection, "map_changes"),
        "check": (delivery, "check"), "load": (delivery, "load"), "stage": (story.ledger, "stage_delta"),
    }[step]  # fmt: skip
    with mock.patch.object(*place, after(getattr(*place))):
        yield done


def _tamper(path: str, deed: str, draw: random.Random) -> None:
    table = pq.read_table(path)
    row = draw.randrange(table.num_rows)
    one = table.slice(row, 1)
    others = [table.slice(0, row), table.slice(row + 1)]
    if deed == "double":
        others.append(pa.concat_tables([one, one]))
    if deed == "alter":
        others.append(_altered(one, draw.randrange(table.num_columns)))
    pq.write_table(pa.concat_tables(others), path)


def _altered(row: pa.Table, column: int) -> pa.Table:
    """The row with one value that it did not have."""
    field, value = row.schema.field(column), row.column(column)[0].as_py()
    kind = field.type
    if pa.types.is_boolean(kind):
        other: Any = not value
    elif pa.types.is_timestamp(kind):
        other = None if value else pa.scalar(0, kind)
        other = value + timedelta(seconds=1) if value else other.as_py()
    elif pa.types.is_integer(kind) or pa.types.is_floating(kind):
        other = (value or 0) + 1
    else:
        other = f"{value or ''}~"
    return row.set_column(column, field, pa.array([other], kind))


def _aftermath(story: Story, look: Any, batch: str) -> str:
    """What the doomed run left, and what the next ones make of it; what is carried only a complete scan replaces."""
    try:
        look.run = story._name
        story.oracle.after_failure(look, BalanceError("caught"), story.reading)
        story.runs += 1
        if batch == "carry":
            story._do_run({"mode": "complete"})
        story.quiet()
    except Violation as violation:
        return f"caught, but then: {violation}"
    return "caught"


def tally(rounds: list[tuple[str, str]]) -> list[tuple[str, int, int]]:
    """What was done, how often, how often it was caught."""
    done, caught = Counter(what for what, _ in rounds), Counter(what for what, said in rounds if said == "caught")
    return [(what, count, caught[what]) for what, count in sorted(done.items())]
