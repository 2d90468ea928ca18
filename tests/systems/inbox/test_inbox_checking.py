"""The event schema: what is valid gets in as it is, what is not is set aside with a reason, nothing is lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from commerce_sync.errors import ConfigurationError
from commerce_sync.ledger import REFUSED, Added
from commerce_sync.systems.inbox import schema, taking

FILE = Path(schema.__file__).with_name("events.schema.json")
LEGAL = [
    ("product.viewed", {"uid": None, "visitor": "v-1"}, {}),
    ("product.viewed", {"value": 0, "url": "https://shop.example/p/1"}, {"subject": "v-1", "traceparent": "00-1"}),
    ("product.compared", {"future": {"any": 1}}, {"datacontenttype": "application/json"}),
    ("content.downloaded", {"product": None}, {}),
    ("customer.registered", {"name": None, "company": None}, {"time": "2026-03-01T14:00:00.123+02:00"}),
    ("search.performed", {"results": None}, {}),
]
WRONG = [
    ("product.viewed", {"product": None}, {}, "product"),
    ("product.viewed", {"product": 7}, {}, "data"),
    ("product.viewed", {"uid": None}, {}, "data"),
    ("product.viewed", {"value": -1}, {}, "value"),
    ("product.viewed", {"currency": "euro"}, {}, "currency"),
    ("product.viewed", {"consent": "yes"}, {}, "consent"),
    ("product.compared", {"products": ["P1"]}, {}, "products"),
    ("customer.registered", {"email": "ada"}, {}, "email"),
    ("customer.registered", {"uid": None, "visitor": "v-1"}, {}, "uid"),
    ("search.performed", {"query": ""}, {}, "query"),
    ("cart.abandoned", {}, {}, "type"),
    ("product.viewed", {}, {"id": None}, "id"),
    ("product.viewed", {}, {"id": 7}, "id"),
    ("product.viewed", {}, {"specversion": "0.3"}, "specversion"),
    ("product.viewed", {}, {"time": "yesterday"}, "time"),
    ("product.viewed", {}, {"time": "2026-03-01T12:00:00"}, "time"),
    ("product.viewed", [1], {}, "data"),
]


@pytest.fixture
def take(ledger):
    return lambda *events, **options: taking.take(
        ledger, "storefront", [e if isinstance(e, bytes) else json.dumps(e).encode() for e in events], **options
    )


@pytest.mark.parametrize(("kind", "data", "envelope"), LEGAL)
def test_a_legal_event_gets_in_as_it_is(take, kept, event, kind, data, envelope):
    sent = event(kind, data=data, **envelope)
    assert take(sent) == Added(new=1)
    (row,) = kept()
    assert json.loads(row["data"]) == sent["data"]
    assert (row["event_id"], row["type"], row["source"]) == (sent["id"], kind, "https://shop.example")


@pytest.mark.parametrize(("kind", "data", "envelope", "place"), WRONG)
def test_a_wrong_event_is_set_aside_with_the_reason_and_the_place(
    take, kept, ledger, event, kind, data, envelope, place
):
    good, bad = event(), event(kind, data=data, **envelope)
    assert take(bad, good, where="page 1") == Added(new=1, refused=1)
    assert [row["event_id"] for row in kept()] == [good["id"]]
    (reject,) = ledger.rejects("feed/storefront")
    assert reject.reason.startswith("page 1: ")
    assert place in f"{reject.fields} {reject.reason}"
    assert json.loads(kept(types=[REFUSED])[0]["data"]) == bad


@pytest.mark.parametrize(("kind", "data", "envelope"), LEGAL)
def test_the_schema_file_takes_what_the_inbox_takes(event, kind, data, envelope):
    Draft202012Validator(json.loads(FILE.read_text())).validate(event(kind, data=data, **envelope))


@pytest.mark.parametrize(("kind", "data", "envelope", "_place"), [row for row in WRONG if row[3] != "time"])
def test_the_schema_file_refuses_what_the_inbox_refuses(event, kind, data, envelope, _place):
    assert not Draft202012Validator(json.loads(FILE.read_text())).is_valid(event(kind, data=data, **envelope))


def test_the_schema_file_is_written_from_the_classes():
    assert json.loads(FILE.read_text()) == schema.document()


def test_every_type_and_every_field_is_documented():
    text = (Path(__file__).parents[3] / "docs" / "events.md").read_text()
    for kind, struct in schema.TYPES.items():
        missing = [name for name in (kind, *struct.__struct_fields__) if f"`{name}`" not in text]
        assert missing == []


def test_who_somebody_is_counts_as_personal():
    assert schema.personal() == {"uid", "visitor", "email", "name", "company", "query"}


@pytest.mark.parametrize("body", [b"{", b"nonsense", b"[1]", b'{"id": "\xff"}', b'{"id": "\\ud800"}', b"7"])
def test_what_is_no_event_at_all_is_kept_too(take, kept, ledger, event, body):
    assert take(body, event()) == Added(new=1, refused=1)
    assert kept(types=[REFUSED])[0]["data"] == body.decode("utf-8", "replace")
    assert len(ledger.rejects("feed/storefront")) == 1


def test_an_event_from_the_day_after_tomorrow_is_set_aside(take, event):
    assert take(event(time="2999-01-01T00:00:00Z")).refused == 1


def test_what_a_refused_event_says_about_a_person_is_masked(take, ledger, event):
    take(event("customer.registered", data={"email": "ada", "phone": "0301234567"}, subject="ada@people.example"))
    (reject,) = ledger.rejects("feed/storefront")
    shown = json.dumps([reject.payload, reject.reason, reject.key])
    for secret in ("ada", "Ada", "Engines", "0301234567"):
        assert secret not in shown
    assert reject.payload["data"]["consent"] is True


def test_a_feed_takes_the_types_it_lists_with_any_data_where_none_is_defined(take, kept, event):
    assert take(event("device.fault"), event(), types=["device.fault"]) == Added(new=1, refused=1)
    assert [row["type"] for row in kept()] == ["device.fault"]
    with pytest.raises(ConfigurationError, match="name at least one"):
        take(event(), types=[])


def test_refused_events_get_in_once_the_feed_takes_them(take, kept, ledger, event):
    take(event("device.fault"), event(data={"product": None}))
    again = taking.retry_refused(ledger, "storefront", types=["device.fault", "product.viewed"])
    assert again == Added(new=1, refused=1)
    assert [row["type"] for row in kept()] == ["device.fault"]
    assert [item.code for item in ledger.rejects("feed/storefront")] == ["product.viewed"]
    assert taking.retry_refused(ledger, "storefront", types=["device.fault", "product.viewed"]) == Added(refused=1)


@pytest.mark.parametrize("body", [b'{"id": 1}\n{"id": 2}\n', b' [{"id": 1}, {"id": 2}]', b'{"id": 1}\r\n\r\n{"id": 2}'])
def test_a_body_may_hold_several_deliveries(body):
    assert [json.loads(item)["id"] for item in taking.split(body)] == [1, 2]


def test_a_body_may_hold_one_delivery_over_several_lines():
    assert taking.split(b'{"id":\n 1}') == [b'{"id":\n 1}']
    assert taking.split(b"[broken\n{}") == [b"[broken", b"{}"]
    with pytest.raises(ConfigurationError, match="no body"):
        taking.split(b" \n")
