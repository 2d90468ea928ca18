"""The monitor's pages: nobody without a login, escaped and masked for everybody, designed when empty or broken."""

from __future__ import annotations

import html
import re
import sqlite3

import pytest

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Airflow's own while it starts

VIEWS = (
    "/",
    "/runs",
    "/plans",
    "/messages",
    "/errors",
    "/conflicts",
    "/holds",
    "/gates",
    "/receipts",
    "/limits",
    "/explain",
)
HOSTILE = "<script>alert(1)</script>\"'&<img src=x onerror=alert(2)>"
REASON = '"><svg onload=alert(3)> {{ 7*7 }} {% raw %}'


def test_every_route_refuses_those_who_are_not_logged_in(web) -> None:
    from commerce_sync.monitor.app import build

    routes = build().routes
    assert len(routes) > 15
    for route in routes:
        path = "/commerce-sync" + route.path.format(leg="customers", run="manual__1", name="monitor.css")
        for method in route.methods - {"HEAD"}:
            assert web.request(method, path).status_code == 401, (method, path)


def test_who_is_not_logged_in_is_told_so_on_a_page(web) -> None:
    found = web.get("/commerce-sync/")
    assert "Log in to Airflow" in found.text
    assert found.headers["content-type"].startswith("text/html")


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_says_what_to_do_when_there_is_nothing_yet(bare, vera, view) -> None:
    text = vera.text(view)
    assert 'class="nothing"' in text or view in ("/", "/explain", "/limits")


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_says_what_to_do_when_the_ledger_does_not_answer(bare, vera, view, monkeypatch) -> None:
    from commerce_sync import places
    from commerce_sync.monitor import book

    nowhere = "postgresql+psycopg2://sync:secret@127.0.0.1:9/sync"
    monkeypatch.setattr(places, "_ledger_url", lambda: nowhere)
    book.forget()
    found = vera.get(view)
    assert found.status_code == 503
    assert "The ledger does not answer" in found.text
    assert "commerce_sync_ledger is up" in found.text
    assert "secret" not in found.text


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_shows_weeks_of_work(scene, vera, view) -> None:
    assert "<h1>" in vera.text(view)


@pytest.mark.parametrize("view", VIEWS)
def test_no_view_may_run_a_foreign_script_or_load_from_elsewhere(scene, vera, view) -> None:
    found = vera.get(view)
    policy = found.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert found.headers["cache-control"] == "no-store"
    text = found.text.replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"""(src|href|action)=["'](https?:)?//""", text)
    assert not re.search(r"\son\w+=|<style|style=|javascript:", text)


def test_streams_name_flows_as_airflow_runs_them(scene, vera) -> None:
    text = vera.text("/")
    assert "salesforce_customers" in text
    assert "S1 Customers, accounts and contacts, both ways" in html.unescape(text)
    assert (
        text.index("merged_accounts_to_links") < text.index("units_to_accounts") < text.index("customers_to_contacts")
    )


def rows_of(text: str) -> dict[str, str]:
    """Leg -> its row on the page, as text."""
    rows = re.findall(r"<tr>(.*?)</tr>", text, re.S)
    plain = [re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", row))).strip() for row in rows]
    return {row.partition(" ")[0]: row for row in plain}


def test_a_stream_says_whether_it_is_in_step(scene, vera) -> None:
    rows = rows_of(vera.text("/"))
    assert " green " in rows["units_to_accounts"]
    assert " red " in rows["approved_media_to_shop"]
    assert " stopped " in rows["assets_to_media_texts"]
    assert " late " in rows["purchase_history_to_accounts"]
    assert " paused " in rows["repair_carts"]
    assert " never ran " in rows["context_to_device_tags"]
    assert re.search(r" (8|9|1\d) min ", rows["units_to_accounts"]), "how far behind its source has been read"
    attention = rows_of(vera.text("/", show="attention"))
    assert {"approved_media_to_shop", "assets_to_media_texts", "purchase_history_to_accounts"} < set(attention)
    assert "units_to_accounts" not in attention


def test_charts_add_up_to_the_runs(scene, vera) -> None:
    from commerce_sync import places

    runs = places.open_ledger().runs("customers_to_contacts", limit=10_000)
    delivered = sum(run.delivered for run in runs)
    text = vera.text("/runs", leg="customers_to_contacts", over="30d")
    assert f"delivered {delivered:,}" in text
    assert f"rejected {sum(run.rejected for run in runs):,}" in text


def test_every_run_is_reached_page_by_page_and_none_twice(scene, vera) -> None:
    from commerce_sync import places

    wanted = {run.run for run in places.open_ledger().runs("units_to_accounts", limit=10_000)}
    seen: list[str] = []
    query = {"leg": "units_to_accounts"}
    while True:
        text = vera.text("/runs", **query)
        seen += re.findall(r'<th scope="row"><a href="[^"]*/runs/units_to_accounts/([^"]+)"', text)
        older = re.search(r'before=([^"&]+)">Older', text)
        if not older:
            break
        query["before"] = unquoted(older[1])
    assert len(seen) == len(set(seen)) == len(wanted)


def unquoted(text: str) -> str:
    from urllib.parse import unquote_plus

    return unquote_plus(html.unescape(text))


def test_every_error_is_reached_page_by_page_and_none_twice(scene, vera) -> None:
    seen: list[str] = []
    query: dict[str, str] = {}
    while True:
        text = vera.text("/errors", **query)
        seen += re.findall(r'class="key"><a href="([^"]+)"', text)
        after = re.search(r'after=([^"&]+)">Next', text)
        if not after:
            break
        query["after"] = unquoted(after[1])
    assert len(seen) == len(set(seen)) == 203


def test_a_run_shows_its_balance_steps_and_jobs(scene, vera) -> None:
    from commerce_sync import places

    run = places.open_ledger().runs("customers_to_contacts", limit=1)[0]
    text = vera.text(f"/runs/customers_to_contacts/{run.run.replace('+', '%2B')}")
    assert "balanced" in text
    assert "750Bq000001xYzAIAU" in text
    assert "JobComplete" in text


def test_an_unknown_run_is_a_page_with_status_404(scene, vera) -> None:
    found = vera.get("/runs/units_to_accounts/never")
    assert found.status_code == 404
    assert "The ledger has no run never" in found.text


def test_errors_are_grouped_by_reason_and_say_what_to_do(scene, vera) -> None:
    text = vera.text("/errors", **{"class": "duplicate"})
    assert "Merge them there" in text
    assert "DUPLICATES_DETECTED" in text
    assert text.count('class="pickcell"') == 0, "who may only look has nothing to tick"
    assert len(re.findall(r'class="key"><a', text)) == 14


def test_a_dismissed_row_is_shown_when_asked_for(scene, vera, home) -> None:
    from commerce_sync import places

    places.open_ledger().dismiss_rejects("placements_to_assets", keys=["P50000000"], by="ada", reason="gone for good")
    assert "P50000000" not in vera.text("/errors", leg="placements_to_assets")
    assert "P50000000" in vera.text("/errors", leg="placements_to_assets", status="dismissed")
    assert "gone for good" in vera.text("/errors/placements_to_assets", key="P50000000")


def test_personal_values_of_conflicts_are_masked(scene, vera) -> None:
    text = vera.text("/conflicts", status="all")
    assert "+49 30" not in text
    assert "Ada" not in text.replace("ada", "")
    assert "Berlin" in text, "the town is not marked as personal"
    assert "Upton Bakery Inc" in text, "neither is the name of a unit"


def test_values_of_a_leg_without_a_mapping_count_as_personal(bare, vera) -> None:
    import pyarrow as pa

    from commerce_sync import places

    rows = [
        {
            "key": "k1",
            "field": "anything",
            "owner": "iconik",
            "losing": "sap_commerce",
            "kept": "VISIBLE",
            "lost": "SEEN",
        }
    ]
    places.open_ledger().note_conflicts("gone", leg="gone_leg", run="r1", rows=pa.Table.from_pylist(rows))
    text = vera.text("/conflicts")
    assert "k1" in text
    assert "VISIBLE" not in text
    assert "SEEN" not in text


def test_a_payload_that_was_not_masked_is_masked_on_the_page(bare, vera) -> None:
    put_reject("customers_to_contacts", "C1", payload='{"Email": "ada@example.com", "MailingCity": "Berlin"}')
    text = vera.text("/errors/customers_to_contacts", key="C1")
    assert "ada@example.com" not in text
    assert "Berlin" in text


def put_reject(leg: str, key: str, **values: object) -> None:
    import pyarrow as pa

    from commerce_sync import places
    from commerce_sync.ledger import rejects
    from commerce_sync.ledger.database import writing

    row = {"key": key, "status": "rejected", "reason": "no", "fingerprint": 7, "attempts": 1} | values
    with writing(places.open_ledger()._engine) as connection:
        rejects.put(connection, leg, run="run-1", rows=pa.Table.from_pylist([row]))


@pytest.mark.parametrize("leg", ["customers_to_contacts", "feed/storefront", HOSTILE.replace("/", "|")])
def test_hostile_keys_and_reasons_are_only_text(bare, vera, leg) -> None:
    put_reject(leg, HOSTILE, code=REASON, reason=REASON, fields=HOSTILE, payload='{"<b>": "<i>x</i>"}')
    overview = vera.text("/errors")
    address = html.unescape(re.search(r'class="key"><a href="/commerce-sync([^"]+)"', overview)[1])
    page = vera.get(address)
    assert page.status_code == 200, page.text
    for text in (overview, page.text, vera.text("/errors", key=HOSTILE), vera.text("/explain", key=HOSTILE, leg=leg)):
        body = text.partition("<body>")[2]
        assert "<script>alert" not in body
        assert "<img src=x" not in body
        assert "<svg onload" not in body
        assert "49" not in re.findall(r"&lt;svg onload=alert\(3\)&gt; (.{2})", body)
    assert html.escape(HOSTILE, quote=True).replace("&#x27;", "&#39;").replace("&quot;", "&#34;") in page.text


@pytest.mark.parametrize("key", ["..", ".", "/", "a/../../b", "%2F", "a?b#c", " ", "Zürich 42", "*", "0"])
def test_a_row_is_found_by_its_address_whatever_its_key(bare, vera, key) -> None:
    put_reject("customers_to_contacts", key)
    overview = vera.text("/errors")
    address = html.unescape(re.search(r'class="key"><a href="/commerce-sync([^"]+)"', overview)[1])
    found = vera.get(address)
    assert found.status_code == (200 if key.strip() else 404)


def test_a_message_is_found_by_key_and_shows_its_masked_payload(scene, vera) -> None:
    text = vera.text("/messages", key="C0000001", outcome="rejected")
    address = html.unescape(re.search(r'class="key"><a href="/commerce-sync([^"]+)"', text)[1])
    page = vera.text(address)
    assert "DUPLICATES_DETECTED" in page
    assert "Berlin" in page
    assert "Successes are kept for" in text


def test_messages_of_one_direction_are_those_of_its_legs(scene, vera) -> None:
    inbound, outbound = (vera.text("/messages", direction=name, key="C0000001") for name in ("inbound", "outbound"))
    assert "contacts_to_addresses" in table_of(inbound)
    assert "contacts_to_addresses" not in table_of(outbound)
    assert "customers_to_contacts" in table_of(outbound)
    assert "No message found" in vera.text("/messages", direction="inbound", leg="orders_to_orders")


def table_of(text: str) -> str:
    return text.partition("<tbody>")[2].partition("</tbody>")[0]


def test_gates_are_listed_with_what_they_decided(scene, vera) -> None:
    text = vera.text("/gates", verdict="stopped")
    assert "assets_to_media_texts" in table_of(text)
    address = html.unescape(re.search(r'<th scope="row"><a href="/commerce-sync([^"]+)"', text)[1])
    page = vera.get(address)
    assert "Nothing was sent" in page.text
    assert "script-src" not in page.headers["content-security-policy"]


def test_receipts_tell_errors_from_successes(scene, vera) -> None:
    failed = table_of(vera.text("/receipts", outcome="failed").rpartition("<form")[2])
    assert "signature" in failed
    assert "taken" not in failed


def test_filters_that_are_nonsense_show_everything(scene, vera) -> None:
    for view in VIEWS:
        for query in ({"status": "x'--"}, {"class": "<"}, {"start": "-1"}, {"start": "9" * 40}, {"before": "soon"},
                      {"after": "x"}, {"over": "never"}, {"verdict": "?"}, {"outcome": "?"}, {"direction": "up"}):  # fmt: skip
            assert vera.get(view, **query).status_code == 200, (view, query)


def test_a_link_cannot_make_the_page_say_anything(scene, vera) -> None:
    assert "your account was closed" not in vera.text("/errors", done="your account was closed")
    assert "3 rows dismissed" in vera.text("/errors", done="dismissed", rows="3")


def test_static_files_have_closed_names(web, vera) -> None:
    assert vera.get("/static/monitor.css").status_code == 200
    for name in ("..%2Fpage.html.j2", "page.html.j2", "%2e%2e/%2e%2e/plugin.py"):
        assert vera.get(f"/static/{name}").status_code == 404, name


def test_a_newer_ledger_is_named_as_the_fault(bare, vera) -> None:
    from commerce_sync import places
    from commerce_sync.ledger import ledger as opened
    from commerce_sync.monitor import book

    places.open_ledger()
    with sqlite3.connect(bare / "ledger.db") as connection:
        connection.execute("UPDATE ledger_version SET version_num = '9999'")
    connection.close()
    opened._opened.clear()
    book.forget()
    found = vera.get("/")
    assert found.status_code == 500
    assert "deploy the newer program" in found.text
