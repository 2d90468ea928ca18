"""Schemathesis against descriptions of the main calls: whatever it makes up, no answer is a server error."""

from __future__ import annotations

from pathlib import Path

import pytest
import requests
import schemathesis
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from own_simulators import own_simulators, sides

FOLDER = Path(__file__).parent / "openapi"
EXAMPLES = 20  # of every call; the whole file is to take half a minute
QUIET = settings(
    max_examples=EXAMPLES,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def operations():
    """(system, METHOD /path) of every call that is described."""
    for path in sorted(FOLDER.glob("*.yaml")):
        for template, item in yaml.safe_load(path.read_text())["paths"].items():
            yield from (
                pytest.param(path.stem, template, method, id=f"{path.stem} {method} {template}") for method in item
            )


def described(system):
    raw = yaml.safe_load((FOLDER / f"{system}.yaml").read_text())
    return schemathesis.openapi.from_dict(raw), raw.get("servers", [{"url": ""}])[0]["url"]


@pytest.fixture(scope="module")
def schemas():
    return {path.stem: described(path.stem) for path in FOLDER.glob("*.yaml")}


@pytest.fixture(scope="module")
def far():
    """Each system's address and the headers of a client that may do everything."""
    with own_simulators("--seed", "empty", "--control") as ready:
        # else most requests end at their media type
        sides(ready)["opentext_iot"].control("POST", "options", json={"media": "lenient"})
        yield {name: (given["url"], signed_in(name, given)) for name, given in ready.items() if name != "ca_file"}


def signed_in(name, given):
    if name == "iconik":
        return {"App-ID": given["app_id"], "Auth-Token": given["auth_token"]}
    if name == "sap_commerce":
        return {"Authorization": f"Bearer {token(given, '/authorizationserver/oauth/token')}"}
    path = "/services/oauth2/token" if name == "salesforce" else "/oauth/v3/token"
    return {"Authorization": f"Bearer {token(given, path)}"}


def token(given, path):
    form = {"grant_type": "client_credentials", "scope": "all"}
    kind = {"Accept": "application/json"} if "v3" in path else {}
    names = given["client_id"], given["client_secret"]
    answer = requests.post(f"{given['url']}{path}", data=form, auth=names, headers=kind, timeout=10)
    answer.raise_for_status()
    return answer.json().get("access_token") or answer.json()["accessToken"]


@pytest.mark.parametrize(("system", "path", "method"), list(operations()))
def test_no_made_up_request_is_a_server_error(schemas, far, system, path, method):
    schema, prefix = schemas[system]
    url, headers = far[system]

    @QUIET
    @given(case=schema[path][method.upper()].as_strategy())
    def probe(case):
        answer = case.call(base_url=url + prefix, headers=headers, timeout=20)
        case.validate_response(answer, checks=[schemathesis.checks.not_a_server_error])
        assert "Traceback" not in answer.text

    probe()
