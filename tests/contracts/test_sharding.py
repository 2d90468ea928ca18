"""Large loads in shards: however many there are, and whatever dies between them, the end is that of one load."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from commerce_sync import before_images, mapping_file, sharding
from commerce_sync.errors import ConfigurationError
from commerce_sync.leg import LOAD
from commerce_sync.mapping import Shards
from commerce_sync.systems.salesforce.bulk import Ingest
from flows.walking import CONTACTS, HOUSEHOLDS, SPEND, Org, Shop, Walk, line

ROOT = Path(__file__).resolve().parents[2]
SINCE = "2026-01-05T08:00:00+00:00"
LEGS = (HOUSEHOLDS, CONTACTS, SPEND)
VOLATILE = ("Id", "SystemModstamp", "CreatedDate", "LastModifiedDate", "AccountId")


class Death(BaseException):
    """Nothing in the program may catch it."""


def fill(shop: Shop) -> None:
    shop.product("p1")
    shop.customers(*range(40), creationtime=SINCE)
    for number in range(40):
        shop.order(f"o{number}", customer=number, day="2026-10-01", lines=[line(0, "p1", 1 + number, 9.99)])


def edit(shop: Shop, org: Org) -> None:
    """What arrived is changed, removed and joined by others; one account and one contact are refused."""
    shop.customers(40, 41, 42, creationtime=SINCE)
    for number in range(0, 20):
        shop.change(number, name=f"Grace Hopper{number}")
        shop.touch(f"o{number}", status="CANCELLED")
    shop.remove(33)
    org.far.fault(action="row_error", object="Account", when={"field": "Commerce_Id__c", "regex": "C0041"}, times=None)
    org.far.fault(action="row_error", object="Contact", when={"field": "Commerce_Id__c", "regex": "C0007"}, times=None)


def play(walk: Walk, shop: Shop, org: Org, *, shards: Shards | None) -> dict[str, Any]:
    """The same history from nothing on; gives all that has to be the same however it was loaded."""
    shop.far.reset()
    org.far.reset()
    org.far.options(job_min_polls=1)
    shop.moment = shop.moment.replace(year=2026, month=10, day=1)
    walk.gated = False
    for leg in LEGS:
        walk.alter(leg, shards=shards, undo=True, target={"bulk_from": 1 if leg == HOUSEHOLDS else 10_000})
    fill(shop)
    for turn in range(2):
        if turn == 1:
            edit(shop, org)
        for leg in LEGS:
            walk.leg(leg, "complete", run_id=f"turn-{turn}")
    return {leg: of_ledger(walk, leg) for leg in LEGS} | {"far": of_org(org)}


def of_ledger(walk: Walk, leg: str) -> dict[str, Any]:
    runs = {run.run: (run.status, run.counts, run.digest) for run in walk.runs(leg)}
    marks = {key: marker["fingerprint"] for key, marker in walk.markers(leg).items()}
    rejects = {key: (item.status, item.attempts, item.code) for key, item in walk.rejects(leg).items()}
    return {"runs": runs, "marks": marks, "rejects": rejects}


def of_org(org: Org) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for kind in ("Account", "Contact"):
        rows = org.live(kind)
        found[kind] = {key: {n: v for n, v in row.items() if n not in VOLATILE} for key, row in rows.items()}
    return found


def test_four_shards_end_as_one(walk: Walk, shop: Shop, org: Org, tmp_path: Path) -> None:
    """By bulk jobs and by collections, with values shared with the other side, and figures."""
    whole = play(walk, shop, org, shards=None)
    assert whole[HOUSEHOLDS]["runs"]["turn-1"][1]["sent"] > 20
    assert whole[HOUSEHOLDS]["rejects"].keys() == {"C0041"}
    split = Walk(tmp_path / "split")
    assert play(split, shop, org, shards=Shards(4, rows=5)) == whole
    for leg in LEGS:
        facts = split.site.batches.read(leg, "turn-0", sharding.SHARDS).facts
        assert facts[sharding.OF] == 4, "it was split at all"


def test_what_the_shards_left_is_joined_and_then_removed(walk: Walk, shop: Shop, org: Org) -> None:
    shop.customers(*range(40))
    walk.alter(HOUSEHOLDS, shards=Shards(4, rows=5), undo=True)
    run = walk.leg(HOUSEHOLDS)
    images = walk.site.batches.read(HOUSEHOLDS, run.run, before_images.BEFORE)
    assert images.rows == run.sent == walk.site.batches.read(HOUSEHOLDS, run.run, LOAD).rows == 40
    assert not {step for step in walk.steps_of(HOUSEHOLDS, run.run) if "-of-" in step}


def test_a_small_load_is_not_split(walk: Walk, shop: Shop, org: Org) -> None:
    shop.customers(*range(9))
    walk.alter(HOUSEHOLDS, shards=Shards(4, rows=5))
    run = walk.leg(HOUSEHOLDS)
    assert run.delivered == 9
    assert walk.site.batches.read(HOUSEHOLDS, run.run, sharding.SHARDS).facts[sharding.OF] == 1


def test_a_shard_that_dies_takes_up_its_own_jobs(
    walk: Walk, shop: Shop, org: Org, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two of four jobs were closed when a task went: its other try takes the job's results and makes none of its own."""
    org.far.options(job_min_polls=1)
    shop.customers(*range(40), creationtime=SINCE)
    walk.alter(HOUSEHOLDS, shards=Shards(4, rows=5), target={"bulk_from": 1})
    work, real, closed = found(walk), Ingest.close, []

    async def close(self: Ingest, job_id: str) -> str:
        closed.append(job_id)
        state = await real(self, job_id)
        if len(closed) == 2:
            raise Death
        return state

    monkeypatch.setattr(Ingest, "close", close)
    for shard in sharding.plan(work):
        if shard["number"] == 2:
            with pytest.raises(Death):
                load(walk, shard)
        load(walk, shard)
    run = sharding.commit(again(walk))
    assert (run.status, run.sent, run.delivered, run.created) == ("green", 40, 40, 40)
    assert org.jobs() == 4
    assert len(org.accounts) == 40


def again(walk: Walk) -> Any:
    """The run as another process takes it up."""
    from commerce_sync import leg as legs

    return legs.resume(walk.site, walk.mapping(HOUSEHOLDS), "the-run")


def load(walk: Walk, shard: dict[str, int]) -> None:
    from commerce_sync import flow

    sharding.load(sharding.part(again(walk), **shard), flow.target_system, wait_s=60)


def test_changes_found_anew_are_planned_anew(walk: Walk, shop: Shop, org: Org) -> None:
    shop.customers(*range(40))
    walk.alter(HOUSEHOLDS, shards=Shards(4, rows=5))
    work = found(walk)
    assert sharding.plan(work) == sharding.plan(work) == [{"number": n, "of": 4} for n in (1, 2, 3, 4)]
    sharding.part(work, number=1, of=4)
    with pytest.raises(ConfigurationError, match="has no shard 1 of 4"):
        sharding.part(found(walk), number=1, of=4)


def found(walk: Walk) -> Any:
    from commerce_sync import detection, flow
    from commerce_sync import leg as legs

    work = walk.begin(HOUSEHOLDS, "complete", run_id="the-run")
    legs.extract(work, flow.source_system)
    detection.map_changes(work)
    return work


def test_a_commit_without_the_results_of_a_shard_commits_nothing(walk: Walk, shop: Shop, org: Org) -> None:
    shop.customers(*range(40))
    walk.alter(HOUSEHOLDS, shards=Shards(4, rows=5))
    work = found(walk)
    for shard in sharding.plan(work)[:3]:
        load(walk, shard)
    with pytest.raises(ConfigurationError, match="no results of shard 4 of 4"):
        sharding.commit(work)
    assert walk.markers(HOUSEHOLDS) == {}


def test_children_of_one_parent_stay_in_one_shard(walk: Walk, shop: Shop, org: Org) -> None:
    shop.customers(*range(40))
    for number in range(40):
        shop.change(number, name=f"Ada Lovelace{number % 3}")
    walk.alter(HOUSEHOLDS, shards=Shards(4, rows=5, by="Name"))
    work, where = found(walk), {}
    for shard in sharding.plan(work):
        part = sharding.part(work, **shard)
        con = part.connect()
        for (name,) in con.execute(f"SELECT DISTINCT Name FROM {part.read('changes').scan()}").fetchall():
            where.setdefault(name, []).append(shard["number"])
    assert len(where) == 3
    assert all(len(shards) == 1 for shards in where.values())


@pytest.mark.parametrize(
    ("name", "shards", "message"),
    [
        ("salesforce/households_to_accounts", "{count: 4, by: Nmae}", "shards.by 'Nmae' is none of the fields: "),
        ("salesforce/households_to_accounts", "1", "shards"),
        ("salesforce/households_to_accounts", "{rows: 5}", "count"),
        ("iot/condition_offers_to_groups", "4", "`shards`, but a target of style 'customer_group'"),
    ],
)
def test_a_mapping_that_cannot_be_split_is_refused(tmp_path: Path, name: str, shards: str, message: str) -> None:
    shutil.copytree(ROOT / "include" / "mappings", tmp_path / "mappings")
    path = tmp_path / "mappings" / f"{name}.yaml"
    path.write_text(f"{path.read_text()}\nshards: {shards}\n")
    with pytest.raises(ConfigurationError, match=message):
        mapping_file.load(path)


def test_the_tasks_of_a_leg_keep_their_names(tmp_path: Path) -> None:
    from airflow.sdk import DAG

    from commerce_sync import flow

    shutil.copytree(ROOT / "include" / "mappings", tmp_path / "mappings")
    path = tmp_path / "mappings" / "salesforce" / "households_to_accounts.yaml"
    whole = mapping_file.load(path)
    path.write_text(f"{path.read_text()}\nshards: 4\n")
    dags = []
    for mapping in (whole, mapping_file.load(path)):
        with DAG("customers", schedule=None) as dag:
            flow.leg_group(mapping)
        dags.append(dag)
    assert dags[0].task_ids == dags[1].task_ids
    load = dags[1].get_task(f"{HOUSEHOLDS}.load")
    assert (load.is_mapped, load.upstream_task_ids) == (True, {f"{HOUSEHOLDS}.check"})
    assert not dags[0].get_task(f"{HOUSEHOLDS}.load").is_mapped
