"""Personal values stay where they belong: no page, log, message or alert shows one to those who may only look."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from benchmarks.monitor_web import application, know_flows
from commerce_sync import disguise, undo
from commerce_sync.monitor import book, catalogue, page, references
from commerce_sync.monitor.catalogue import Moves
from flows.walking import CONTACTS, HOUSEHOLDS, mapping_of
from monitor.monitor_person import Person
from privacy.life import BY_SALES, EDITED, FORENAME, KEY, LEFT_BY_SALES, LOG, PHONE, STREET, SURNAME, UID, Life, scan
from proofs import bytescan

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Airflow's own while it starts
VALUES = (FORENAME, SURNAME, PHONE, STREET, BY_SALES, LEFT_BY_SALES)
"""What fields marked as personal hold."""
PERSONAL = (UID, FORENAME, SURNAME, PHONE, STREET, EDITED, LEFT_BY_SALES)


@pytest.fixture(scope="module")
def web() -> Iterator[Any]:
    from fastapi.testclient import TestClient

    app = application()
    know_flows()
    with TestClient(app, raise_server_exceptions=False, follow_redirects=False) as found:
        yield found


def forget() -> None:
    """The pages look at this home folder from now on."""
    book.forget()
    catalogue.forget()


@pytest.fixture
def watched(lived: Life, web: Any) -> Iterator[tuple[Life, Person, Person]]:
    forget()
    yield lived, Person(web, "vera", "viewer"), Person(web, "ada", "admin")
    forget()


def shown(text: str) -> list[str]:
    low = text.lower()
    return [value for value in PERSONAL if value.lower() in low or value.replace("@", "%40").lower() in low]


def test_no_page_shows_a_personal_value_to_who_may_only_look(watched: tuple[Life, Person, Person]) -> None:
    _life, vera, _ada = watched
    seen: dict[str, str] = {}
    waiting = ["/", "/runs", "/messages?over=all", "/errors?status=rejected", "/errors", "/conflicts?status=all",
               "/holds?status=all", "/gates", "/receipts", f"/explain?key={KEY}", f"/errors/{HOUSEHOLDS}?key={KEY}"]  # fmt: skip
    while waiting and len(seen) < 250:
        path = waiting.pop(0)
        answer = vera.get(path)
        assert answer.status_code == 200, path
        seen[path] = answer.text
        links = re.findall(r'href="/commerce-sync(/[^"#]*)"', answer.text)
        new = [link.replace("&amp;", "&") for link in links if "static" not in link and KEY in link + path]
        waiting += [link for link in dict.fromkeys(new) if link not in seen and link not in waiting]
    assert len(seen) > 20
    found = {path: shown(text) for path, text in seen.items() if shown(text)}
    assert found == {}


def test_pages_of_runs_gates_plans_and_undos_show_no_personal_value(life: Life, web: Any) -> None:
    leg = mapping_of(CONTACTS)
    run = next(
        run for run in life.walk.runs(CONTACTS) if run.settled and not undo.standing(life.site, leg, run).objection
    )
    undo.run(life.site, life.walk.mapping(CONTACTS), run.run, targets=life.walk.target, run_id="undo-1", by="anna")
    forget()
    seen: dict[str, str] = {}
    for name, person in {"vera": Person(web, "vera", "viewer"), "ada": Person(web, "ada", "admin")}.items():
        # The run "stopped" has a message that ``Life.left`` made up; what runs say themselves is masked.
        for item in (run for run in life.ledger.runs() if run.run != "stopped"):
            kinds = ["runs", "gates", *(["plans"] if item.kind == "plan" else [])]
            for path in (f"/{kind}/{page.part(item.leg)}/{page.quoted(item.run)}" for kind in kinds):
                answer = person.get(path)
                assert answer.status_code == 200 or (path.startswith("/gates"), answer.status_code) == (True, 404), path
                seen[f"{path} of {name}"] = answer.text
    assert {path: shown(text) for path, text in seen.items() if shown(text)} == {}
    assert "***" in seen[f"/runs/{CONTACTS}/undo-1 of ada"], "what the undo found is shown, masked"
    assert any(path.startswith("/plans") and KEY in text for path, text in seen.items())
    forget()


def test_what_is_kept_for_people_to_look_at_is_stored_masked(life: Life) -> None:
    """Only where a value has work to do does it stand as it is: events, what lost a conflict, an unsent correction."""
    seen = bytescan.look(life.walk.folder, VALUES, engine=life.ledger._engine)
    assert {where for where, _value in seen[bytescan.ROWS].finds} == {"ledger_conflict", "ledger_event"}
    assert seen["history"].files > 0
    assert seen["history"].finds == seen["gate pages"].finds == seen["logs"].finds == []
    edited = bytescan.look(life.walk.folder, [EDITED], engine=life.ledger._engine)
    assert {where for where, _value in edited[bytescan.ROWS].finds} == {"ledger_answer"}


def test_a_personal_key_in_an_address_is_a_reference_that_leads_to_it(watched: tuple[Life, Person, Person]) -> None:
    _life, vera, _ada = watched
    reference = references.of(UID)
    assert reference == references.of(UID), "links can be kept"
    assert references.key_of(reference) == UID
    assert references.key_of("~nonsense") == "~nonsense"
    hidden = Moves("x", "a", "b", "c", hides_key=True)
    assert references.key_of(references.linked(KEY, hidden)) == KEY
    assert references.linked(KEY, None) == KEY
    text = vera.text("/explain", key=references.of(KEY))
    assert "Where it stands" in text
    assert references.of(UID) in vera.text("/explain", key=UID), "what was typed is not sent back"
    assert shown(text) == []


def test_forgetting_on_the_page_needs_the_right_and_a_confirmation(watched: tuple[Life, Person, Person]) -> None:
    life, vera, ada = watched
    assert vera.get("/explain/forget", key=KEY).status_code == 403
    assert "Forget this record" not in vera.text("/explain", key=KEY)
    assert "Forget this record" in ada.text("/explain", key=KEY)
    assert ada.get("/explain/forget", key="abc").status_code == 400, "too short a key could be anything"
    page = ada.text("/explain/forget", key=KEY)
    assert "What goes" in page
    assert shown(page) == []
    assert ada.post("/explain/forget", key=KEY).status_code == 400
    assert life.ledger.tombstones() == []
    done = ada.post("/explain/forget", key=KEY, confirmed="yes")
    assert done.status_code == 303
    assert [(item.by, item.erased_at is None) for item in life.ledger.tombstones()] == [("ada", False)]
    assert list(scan(life.walk.folder, PERSONAL)) == []
    assert life.ledger.readmit(KEY) > 0


def test_an_error_of_a_converter_does_not_quote_the_value(life: Life) -> None:
    fields = tuple(replace(item, value="CAST(uid AS INTEGER)") if item.name == "Phone" else item
                   for item in mapping_of(CONTACTS).fields)  # fmt: skip
    before = life.walk.mapping(CONTACTS)
    life.walk.alter(CONTACTS, fields=fields)
    life.walk.attempt(CONTACTS, "complete")
    error = life.walk.error
    assert error is not None
    assert "could not convert" in str(error).lower()
    assert shown(str(error)) == []
    assert error.__suppress_context__, "a traceback would say it again"
    assert shown(str(life.walk.runs(CONTACTS)[0].message)) == []
    life.walk.alter(CONTACTS, fields=before.fields)


@pytest.mark.parametrize(("text", "left"), [
    ("sent to a.b+c@shop.example, twice", "sent to ***, twice"),
    ("GET /Customers('x%40shop.example')", "GET /Customers('***')"),
    ("price @ 5 USD", "price @ 5 USD"),
    ("nothing of the kind", "nothing of the kind"),
])  # fmt: skip
def test_addresses_are_masked_in_texts(text: str, left: str) -> None:
    assert disguise.plain(text) == left


def test_the_log_names_nobody(lived: Life) -> None:
    assert [secret for _path, secret in scan((lived.walk.folder / LOG).parent)] == []
