"""What the tests of the set-up share: a small file, the command line, what the shop then holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from commerce_sync.__main__ import main

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "include/setup/sap_commerce.yaml"
META = "IntegrationService,OutboundChannelConfig,WebhookService,ScriptService"
SECRET = "not-to-be-seen-anywhere"
RECEIVER = {"conn_type": "http", "host": "https://airflow.example.com", "login": "shop", "password": SECRET}
REFERENCE = {"connection": "commerce_sync_receiver_sap_commerce"}
SMALL: dict[str, Any] = {
    "owns": ["commerceSync*"],
    "integration_objects": {
        "UnitSync": {
            "authentication": "OAUTH",
            "items": {
                "Country": {"attributes": {"isocode": {"key": True}}},
                "Address": {"attributes": {"publicKey": {"key": True}, "town": {}, "country": {"returns": "Country"}}},
                "B2BUnit": {
                    "root": True,
                    "attributes": {"uid": {"key": True}, "title": {"of": "name"},
                                   "addresses": {"returns": "Address", "auto_create": True}},
                },
            },
        }
    },
    "scripts": {"activeUnits": {"content": "// accept everything"}},
    "credentials": {
        "commerceSyncCred": {"username": REFERENCE | {"field": "login"}, "password": REFERENCE | {"field": "password"}}
    },
    "destinations": {
        "commerceSyncHook": {"target": "webhookServices", "url": REFERENCE | {"field": "host", "path": "/hook"},
                             "credential": "commerceSyncCred"},
        "commerceSyncOut": {"target": "commerceSyncTarget", "url": "https://crm.example/in", "credential": "commerceSyncCred",
                            "csrf_url": "https://crm.example/token"},
    },
    "outbound_channels": {
        "commerceSyncUnits": {"integration_object": "UnitSync", "destination": "commerceSyncOut", "batch": True,
                              "synchronize_delete": True, "cron": "0 0/5 * * * ?", "session_language": "en",
                              "streams": {"B2BUnit": {"where": "{item.active} = 1"}}},
    },
    "webhooks": [{"integration_object": "UnitSync", "event": "Saved", "destination": "commerceSyncHook",
                  "filter": "activeUnits"}],
}  # fmt: skip
"""One of each."""


class Setup:
    """``sap-setup`` as a person calls it; ``content`` is what the file holds."""

    def __init__(self, shop: Any, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.shop, self.path, self._capsys = shop, path, capsys
        self.content: dict[str, Any] = json.loads(json.dumps(SMALL))
        self.out = self.err = ""

    def __call__(self, action: str, *more: str, file: Path | None = None) -> int:
        """The exit code; ``out`` and ``err`` hold what was printed."""
        self.path.write_text(yaml.safe_dump(self.content, sort_keys=False))
        code = main(["sap-setup", action, "--file", str(file or self.path), *more])
        self.out, self.err = self._capsys.readouterr()
        return code

    def json(self, action: str, *more: str) -> Any:
        self(action, "--json", *more)
        return json.loads(self.out)

    def item(self, name: str, code: str = "UnitSync") -> dict[str, Any]:
        return self.content["integration_objects"][code]["items"][name]

    def apply(self, *more: str) -> None:
        """Apply what must go through."""
        assert self("apply", *more) == 0, self.out + self.err
