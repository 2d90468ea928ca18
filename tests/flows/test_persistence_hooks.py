"""A mapping names persistence hooks of the shop, and every write of its leg is seen by them."""

from __future__ import annotations

import pytest

from flows.marketing import CAMPAIGNS, GROUPS, Marketing
from flows.walking import Org, Shop, Walk


@pytest.fixture
def marketing(shop: Shop, org: Org, monkeypatch: pytest.MonkeyPatch) -> Marketing:
    found = Marketing(shop, org, monkeypatch)
    found.people(1)
    found.campaign("campaign-x", 1)
    return found


def group(shop: Shop) -> list[str]:
    return [row["uid"] for row in shop.far.records("UserGroup") if row["uid"] == "campaign-x"]


def hooked(walk: Walk, **hooks: str) -> None:
    walk.alter(GROUPS, target={"options": hooks})
    walk(CAMPAIGNS, "complete", GROUPS)


@pytest.mark.parametrize(("hooks", "code"), [
    ({"pre_persist_hook": "failingPrePersistHook"}, "pre_persist_error"),
    ({"post_persist_hook": "failingPostPersistHook"}, "post_persist_error"),
    ({"pre_persist_hook": "nobodysHook"}, "hook_not_found"),
    ({"pre_persist_hook": "noopPrePersistHook", "post_persist_hook": "bean://nobodysHook"}, "hook_not_found"),
])  # fmt: skip
def test_a_hook_that_refuses_keeps_the_record_out_and_is_named(
    walk: Walk, shop: Shop, marketing: Marketing, hooks: dict[str, str], code: str
) -> None:
    hooked(walk, **hooks)
    assert group(shop) == []
    reject = walk.rejects(GROUPS)["campaign-x"]
    assert reject.code == code
    assert any(name.removeprefix("bean://") in (reject.reason or "") for name in hooks.values())


def test_hooks_that_agree_let_the_record_in(walk: Walk, shop: Shop, marketing: Marketing) -> None:
    hooked(walk, pre_persist_hook="noopPrePersistHook", post_persist_hook="bean://noopPostPersistHook")
    assert walk.errors == {}
    assert group(shop) == ["campaign-x"]
    run = walk(CAMPAIGNS, "complete", GROUPS)[GROUPS]
    assert run.sent == 0


def test_the_history_knows_the_message_by_the_id_under_which_the_shop_recorded_it(
    walk: Walk, shop: Shop, marketing: Marketing
) -> None:
    hooked(walk, pre_persist_hook="noopPrePersistHook")
    assert walk.site.history is not None
    (message,) = walk.site.history.search(key="campaign-x", legs=[GROUPS])
    recorded = {row["messageId"]: row["status"] for row in shop.far.records("InboundRequest")}
    assert message.message_id is not None
    assert message.message_id in recorded
