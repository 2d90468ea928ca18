"""No secret comes to light: each system's flow runs over a wire that knows every credential that passed, in good days and
while the far side repeats them in its errors; then everything that could show one is searched. Personal values have a
contract of their own (contracts/test_hiding.py)."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from commerce_sync.__main__ import main
from flows.appliances import Appliances
from flows.archive import Archive, Catalog
from flows.walking import CUSTOMERS, Org, Shop, Walk, connection, legs_of
from security.tapping import Tap, assert_no_secret, everything_in

SHOP_SECRET = "shop-client-s3cret-of-the-story"
LEDGER_PASSWORD = "ledger-pa55word-nobody-reads"


class Story:
    """What one system's flow did, and where it may have told of it."""

    def __init__(self, walk: Walk, taps: dict[str, Tap], flow: str, caplog: Any, capfd: Any) -> None:
        self.walk, self.taps, self.flow, self._log, self._fd = walk, taps, flow, caplog, capfd
        self.errors: list[BaseException] = []
        self.told: list[str] = []

    def go(self, mode: str = "auto", leg: str | None = None) -> dict[str, Any]:
        runs = self.walk(self.flow, mode, leg)
        self.errors += self.walk.errors.values()
        return runs

    def run_command(self, *arguments: str) -> None:
        """One call of the command line; what it prints is kept."""
        try:
            main(list(arguments))
        except SystemExit as end:
            self.told.append(str(end))
        except Exception as error:  # noqa: BLE001  # whatever it is, it is printed
            self.errors.append(error)

    @property
    def secrets(self) -> set[str]:
        return set().union(*(tap.secrets for tap in self.taps.values()))

    def search(self) -> None:
        secrets = self.secrets
        assert len(secrets) >= 2, "the wire saw credentials"
        formatter = logging.Formatter()
        for record in self._log.records:
            assert_no_secret(
                formatter.format(record) + repr(record.args), secrets, where=f"a log record of {record.name}"
            )
        printed = self._fd.readouterr()
        assert_no_secret(printed.out + printed.err + "".join(self.told), secrets, where="the console")
        for error in self.errors:
            text = "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error))
            assert_no_secret(text, secrets, where=f"the error {type(error).__name__}")
        assert_no_secret(everything_in(self.walk.folder), secrets, where="a file (ledger, batch, page, history)")
        ledger = self.walk.site.ledger
        for item in legs_of(self.flow):
            seen = [ledger.runs(item.leg), ledger.rejects(item.leg), ledger.explain(item.leg, "C0001")]
            assert_no_secret(repr(seen), secrets, where=f"the ledger's rows of {item.leg}")


@pytest.fixture
def tapped() -> Iterator[Callable[[Any], Tap]]:
    taps: list[Tap] = []

    def tap(far: Any) -> Tap:
        taps.append(Tap(far))
        return taps[-1]

    yield tap
    for one in taps:
        one.close()


@pytest.fixture
def told(walk: Walk, tapped: Any, monkeypatch: Any, caplog: Any, capfd: Any) -> Callable[..., Story]:
    """A story of one flow: the systems' connections lead over taps, everything is logged."""

    def begin(flow: str, **far: Any) -> Story:
        taps = {}
        for system, (side, extra) in far.items():
            taps[system] = tapped(side)
            fields = json.loads(connection(side, **extra)) | {"host": taps[system].url}
            if system == "sap_commerce":  # the simulator's own is a word that stands everywhere
                side.patch("IntegrationClientCredentialsDetails", side.client_id, clientSecret=SHOP_SECRET)
                fields["extra"]["client_secret"] = SHOP_SECRET
            monkeypatch.setenv(f"AIRFLOW_CONN_{system.upper()}_DEFAULT", json.dumps(fields))
        caplog.set_level(logging.DEBUG)
        caplog.clear()
        capfd.readouterr()
        return Story(walk, taps, flow, caplog, capfd)

    return begin


def in_good_days_and_bad(
    story: Story, leg: str, writes: str, change: Callable[[int], Any] = lambda _number: None
) -> None:
    """Runs, commands, refusals that repeat the request, tokens that are refused. change: something new to send."""
    good = story.go()
    assert story.errors == [], story.errors
    assert sum(run.delivered for run in good.values()) > 0
    for status in (400, 403):
        change(status)
        for tap in story.taps.values():
            tap.echoes.clear()
            tap.echo("*", writes, status)
        story.go("complete", leg)
    for tap in story.taps.values():
        tap.echoes.clear()
        tap.echo("*", ".", 401)
    story.go("complete", leg)
    story.run_command("plan", leg)
    assert story.errors, "a far side that refuses everything is noticed"
    assert any("***" in str(error) for error in story.errors), "what was repeated is masked, not left out"
    story.search()


def test_customers_and_salesforce(told: Any, shop: Shop, org: Org) -> None:
    story = told(CUSTOMERS, sap_commerce=(shop.far, {}), salesforce=(org.far, {}))
    shop.units("acme")
    shop.customers(1, 2, 3)
    story.walk.gated = False
    in_good_days_and_bad(story, "units_to_accounts", r"/services/data/", lambda n: shop.units(f"u{n}"))


def test_salesforce_with_a_private_key(told: Any, shop: Shop, org: Org, monkeypatch: Any) -> None:
    story = told(CUSTOMERS, sap_commerce=(shop.far, {}), salesforce=(org.far, {}))
    key = org.far.private_key
    fields = json.loads(connection(org.far, private_key=key, username=org.far.username))
    address = {"host": story.taps["salesforce"].url}
    monkeypatch.setenv("AIRFLOW_CONN_SALESFORCE_DEFAULT", json.dumps(fields | address | {"password": ""}))
    story.taps["salesforce"].secrets |= set(key.split("\n")[1:-2])
    shop.units("acme")
    story.walk.gated = False
    story.go()
    assert story.errors == [], story.errors
    story.taps["salesforce"].echo("POST", "/oauth2/token", 400)
    shop.units("one-more")
    story.go("complete", "units_to_accounts")
    assert any("token endpoint" in str(error) for error in story.errors)
    story.search()


def test_metadata_and_iconik(told: Any, shop: Shop, media: Any) -> None:
    story = told("iconik_metadata", sap_commerce=(shop.far, {}), iconik=(media, {"max_per_second": 100_000}))
    archive, catalog = Archive(media), Catalog(shop.far)
    catalog.product("drill")
    key = archive.asset("Drill", metadata={"sku": ["drill"], "alt_text": "A drill"})
    catalog.media(f"iconik-{key}-web")
    in_good_days_and_bad(story, "assets_to_media_texts", r"/odata2webservices/|/API/")


@pytest.mark.parametrize("profile", ["covisint_classic", "generic_rest"])
def test_context_and_opentext_iot(told: Any, shop: Shop, opentext_iot: Any, monkeypatch: Any, profile: str) -> None:
    opentext_iot.clear_faults()
    fleet = Appliances(opentext_iot, shop, monkeypatch, profile=profile)
    extra = {"profile": profile, "realm": opentext_iot.realm, "tenant": opentext_iot.tenant, "max_per_second": 2000}
    story = told("iot_insights", sap_commerce=(shop.far, {}), opentext_iot=(opentext_iot, extra))
    shop.categories("Machines")
    shop.product("c200", "machines")
    shop.customers(1)
    fleet.device(1, productCode="c200", customerRef="C0001")
    in_good_days_and_bad(story, "context_to_device_attributes", "/")


@pytest.fixture
def ledger_that_refuses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # Port 9 refuses at once.
    address = f"postgresql://sync:{LEDGER_PASSWORD}@127.0.0.1:9/ledger?connect_timeout=2"
    monkeypatch.setenv("AIRFLOW_CONN_COMMERCE_SYNC_LEDGER", address)
    monkeypatch.setenv("COMMERCE_SYNC_HOME", str(tmp_path))


def test_the_ledgers_password_is_in_no_message(ledger_that_refuses: None, caplog: Any, capfd: Any) -> None:
    from commerce_sync import places

    caplog.set_level(logging.DEBUG)
    said = []
    for command in (["rejects"], ["approvals"], ["release", "units_to_accounts", "run-1"]):
        try:
            main(command)
        except SystemExit as end:
            said.append(str(end))
        except Exception as error:  # noqa: BLE001
            said.append("".join(traceback.format_exception(error)) + repr(error))
    try:
        said.append(repr(places.open_ledger()))
    except Exception as error:  # noqa: BLE001
        said.append("".join(traceback.format_exception(error)) + repr(error))
    printed = capfd.readouterr()
    logged = [logging.Formatter().format(record) for record in caplog.records]
    text = "\n".join([*said, *logged, printed.out, printed.err])
    assert "ledger" in text
    assert_no_secret(text, {LEDGER_PASSWORD}, where="a message about the ledger")
