"""``--state DIR``: what clients wrote is there again after a stop, and after a kill."""

from __future__ import annotations

import json
import signal
import sqlite3
from contextlib import closing

import pytest
import requests
from own_simulators import own_simulators

ATTRIBUTE = "application/vnd.com.covisint.platform.attributeType.v1+json"
FORM = {"grant_type": "client_credentials", "scope": "all"}


def all_four(folder, *, end):
    return own_simulators("--seed", "empty", "--state", str(folder), end=end)


def call(method, url, **more):
    return requests.request(method, url, timeout=20, **more)


def ok(method, url, **more):
    answer = call(method, url, **more)
    assert answer.ok, f"{method} {url}: {answer.status_code} {answer.text}"
    return answer.json()


class Clients:
    """Writes and reads through the public APIs alone; a bearer may be one of an earlier process."""

    def __init__(self, ready, *, bearers=None):
        self.ready = ready
        self.bearers = bearers or {
            "sap_commerce": self.token("sap_commerce", "/authorizationserver/oauth/token"),
            "salesforce": self.token("salesforce", "/services/oauth2/token"),
            "opentext_iot": self.token("opentext_iot", "/oauth/v3/token"),
        }

    def token(self, name, path):
        given, kind = self.ready[name], {"Accept": "application/json"}
        answer = ok(
            "POST", given["url"] + path, data=FORM, auth=(given["client_id"], given["client_secret"]), headers=kind
        )
        return answer["access_token"]

    def headers(self, name, **more):
        if name == "iconik":
            return {"App-ID": self.ready[name]["app_id"], "Auth-Token": self.ready[name]["auth_token"]}
        return {"Authorization": f"Bearer {self.bearers[name]}", **more}

    def address(self, name):
        paths = {
            "sap_commerce": "/odata2webservices/AccountTermsSync/B2BUnits",
            "salesforce": "/services/data/v60.0/sobjects/Account",
            "iconik": "/API/assets/v1/assets/",
            "opentext_iot": "/attributetype/v1/attributeTypes",
        }
        return self.ready[name]["url"] + paths[name]

    def write(self, word):
        """One record in each system; gives their ids."""
        unit = {"uid": word, "name": word}
        ok(
            "POST",
            self.address("sap_commerce"),
            json=unit,
            headers=self.headers("sap_commerce", Accept="application/json"),
        )
        account = ok("POST", self.address("salesforce"), json={"Name": word}, headers=self.headers("salesforce"))
        asset = ok("POST", self.address("iconik"), json={"title": word}, headers=self.headers("iconik"))
        kinds = {"Content-Type": ATTRIBUTE, "Accept": ATTRIBUTE}
        body = json.dumps({"name": word, "type": "string"})
        kind = ok("POST", self.address("opentext_iot"), data=body, headers=self.headers("opentext_iot", **kinds))
        return {"salesforce": account["id"], "iconik": asset["id"], "opentext_iot": kind["id"], "sap_commerce": word}

    def has(self, keys):
        """The systems in which the record with this id is found."""
        places = {
            "sap_commerce": f"{self.address('sap_commerce')}('{keys['sap_commerce']}')",
            "salesforce": f"{self.address('salesforce')}/{keys['salesforce']}",
            "iconik": f"{self.address('iconik')}{keys['iconik']}/",
            "opentext_iot": f"{self.address('opentext_iot')}/{keys['opentext_iot']}",
        }
        accept = {"sap_commerce": "application/json", "opentext_iot": ATTRIBUTE, "salesforce": "*/*"}
        return {
            name
            for name, url in places.items()
            if call("GET", url, headers=self.headers(name, Accept=accept.get(name, "*/*"))).status_code == 200
        }


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
def test_all_four_systems_go_on_where_they_were(tmp_path, end):
    with all_four(tmp_path, end=end) as ready:
        before = Clients(ready)
        first = before.write("first")
    with all_four(tmp_path, end=end) as ready:
        after = Clients(ready)
        assert after.has(first) == set(first)
        second = after.write("second")
        assert second["salesforce"] > first["salesforce"]
        assert not set(second.values()) & set(first.values())
    with all_four(tmp_path, end=signal.SIGTERM) as ready:
        last = Clients(ready)
        assert last.has(first) == last.has(second) == set(first)
        # sessions of Salesforce and tokens of iconik are kept; bearers of the other two end with the process
        assert Clients(ready, bearers=before.bearers).has(first) == {"salesforce", "iconik"}


def test_a_kill_while_everybody_writes_leaves_whole_folders(tmp_path):
    with all_four(tmp_path, end=signal.SIGKILL) as ready:
        clients = Clients(ready)
        written = [clients.write(f"w{number}") for number in range(15)]
    with all_four(tmp_path, end=signal.SIGTERM) as ready:
        after = Clients(ready)
        assert [keys for keys in written if after.has(keys) != set(keys)] == []
    for path in tmp_path.glob("*.sqlite"):
        with closing(sqlite3.connect(path)) as database:
            assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",), path.name
