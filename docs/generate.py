"""Writes the generated parts of the documentation: what stands between ``<!-- generated: NAME -->`` and its end.

python docs/generate.py            writes them anew
python docs/generate.py --check    writes nothing; 1 when a page is not what it would be

Keys come from the mapping's JSON schema, forms from the connection types, codes from the systems' reason tables, rights
from the mappings and the DAG files, so that no page can say something the program does not do.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
sys.path[:0] = [str(DOCS), str(ROOT / "plugins")]

import rights  # noqa: E402  # stands beside this file

from commerce_sync.systems.iconik import connection as iconik  # noqa: E402
from commerce_sync.systems.opentext_iot import connection as opentext_iot  # noqa: E402
from commerce_sync.systems.salesforce import connection as salesforce  # noqa: E402
from commerce_sync.systems.sap_commerce import connection as sap_commerce  # noqa: E402

CONNECTIONS = {
    "sap_commerce": sap_commerce.CONNECTION,
    "salesforce": salesforce.CONNECTION,
    "iconik": iconik.CONNECTION,
    "opentext_iot": opentext_iot.CONNECTION,
}
CLASSES = ("transient", "lock", "limit", "validation", "reference", "permission", "duplicate", "unknown")
PART = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
STANDARD = {"host": "Host", "login": "Login", "password": "Password", "port": "Port"}


def main(arguments: list[str]) -> int:
    """Write or check every page; 1 when ``--check`` finds one that is out of date."""
    stale = [page for page, text in pages().items() if text != page.read_text(encoding="utf-8")]
    for page in stale:
        print(f"{page.relative_to(ROOT)}: {'out of date, run python docs/generate.py' if arguments else 'written'}")
        if not arguments:
            page.write_text(pages()[page], encoding="utf-8")
    return 1 if stale and arguments else 0


def pages() -> dict[Path, str]:
    """Every page that has a generated part -> what it should read."""
    found = {}
    for page in sorted(DOCS.rglob("*.md")):
        text = page.read_text(encoding="utf-8")
        if PART.search(text):
            found[page] = PART.sub(lambda match, page=page: _filled(match, page), text)
    return found


def _filled(match: re.Match[str], page: Path) -> str:
    return f"{match[1]}{PARTS[match[2]](page.stem).strip()}\n{match[3]}"


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table in Markdown; a vertical bar in a cell is escaped."""
    lines = [list(head), *(list(row) for row in rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def form(system: str) -> str:
    """Every field of a connection's form: its label, its key in JSON, what goes in."""
    connection = CONNECTIONS[system]
    behaviour = connection["ui-field-behaviour"]
    rows = []
    for name, label in STANDARD.items():
        if name not in behaviour["hidden-fields"]:
            hint = behaviour.get("placeholders", {}).get(name, "")
            rows.append([behaviour.get("relabeling", {}).get(name, label), f"`{name}`", hint, ""])
    for name, item in connection["conn-fields"].items():
        schema = item["schema"]
        legal = f" One of {', '.join(f'`{value}`' for value in schema['enum'])}." if "enum" in schema else ""
        default = f"`{schema['default']}`" if "default" in schema else ""
        rows.append([item["label"], f"`extra.{name}`", item.get("description", "") + legal, default])
    return table(("field", "in JSON", "what goes in", "default"), rows)


def codes(_page: str) -> str:
    """Reason class x system -> the far side's codes and ours, from the tables the loads go by."""
    known = reason_codes()
    names = list(known)
    rows = [[f"[{item}](#{item})", *(_cell(known[name], item) for name in names)] for item in CLASSES]
    return table(("class", "SAP Commerce", "Salesforce", "iconik", "OpenText IoT"), rows)


def _cell(known: dict[str, str], wanted: str) -> str:
    return ", ".join(f"`{code}`" for code, item in known.items() if item == wanted)


def reason_codes() -> dict[str, dict[str, str]]:
    """System -> code (HTTP statuses as ``409``) -> reason class."""
    from commerce_sync.systems.iconik import reasons as iconik_reasons
    from commerce_sync.systems.opentext_iot import client as iot_client
    from commerce_sync.systems.opentext_iot.profile import profile
    from commerce_sync.systems.salesforce import reasons as salesforce_reasons
    from commerce_sync.systems.sap_commerce import protocol

    named = {iconik_reasons.CODES[status]: found for status, found in iconik_reasons.CLASSES.items()}
    conflicts = {f"HTTP {status}": "lock" for status in profile().errors.conflicts}
    return {
        "sap_commerce": dict(protocol.REASON_CLASSES),
        "salesforce": dict(salesforce_reasons.CLASSES),
        "iconik": named,
        "opentext_iot": {f"HTTP {status}": found for status, found in iot_client.REASONS.items()} | conflicts,
    }


SECTIONS = {
    "from": "[source](#source), or a name and a source for each",
    "fields": "an expression, or [fields.NAME](#fieldsname)",
    **{name: f"[{name}](#{name})" for name in ("to", "checks", "guards", "retries", "approval")},
}
"""What the keys of the file that hold more keys take."""
SCHEMA = ROOT / "plugins" / "commerce_sync" / "mapping_schema.json"


def keys(_page: str) -> str:
    """Every key of a mapping file, from the schema it is checked against."""
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    parts = [("The file", schema), *_inner(schema), *((name, item) for name, item in schema["$defs"].items())]
    return "\n\n".join(_section(name, part) for name, part in parts)


def _inner(schema: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The objects below the file, in order: ``to``, ``fields.<name>`` and so on."""
    found = []
    for name, item in schema.get("properties", {}).items():
        if name == "fields":
            field = item["additionalProperties"]["anyOf"][1]
            found += [("fields.NAME", field), ("fields.NAME.shared", field["properties"]["shared"])]
        elif "properties" in item:
            found.append((name, item))
            if name == "checks":
                found.append(("checks.rows", item["properties"]["rows"]["items"]))
    return found


def _section(name: str, part: dict[str, Any]) -> str:
    lines = [f"### {name}", part.get("description", "")]
    if "properties" in part:
        needed = part.get("required", ())
        is_file = name == "The file"
        rows = (
            [
                f"`{key}`{' (needed)' if key in needed else ''}",
                SECTIONS[key] if is_file and key in SECTIONS else value(item),
                default(item),
                item.get("description", ""),
            ]
            for key, item in part["properties"].items()
        )
        lines.append(table(("key", "value", "default", "meaning"), rows))
    elif name != "limit":
        lines.append(f"Value: {value(part)}.")
    return "\n\n".join(line for line in lines if line)


def default(item: dict[str, Any]) -> str:
    """A key's default as it would be written in YAML."""
    if "default" not in item:
        return ""
    found = item["default"]
    if isinstance(found, dict):
        return "`{" + ", ".join(f"{key}: {part}" for key, part in found.items()) + "}`"
    return f"`{found}`" if isinstance(found, str) else f"`{json.dumps(found)}`"


def value(item: dict[str, Any]) -> str:
    """What a key takes, in words."""
    if "$ref" in item:
        name = item["$ref"].rpartition("/")[2]
        return f"[{name}](#{name})"
    if "enum" in item:
        return " or ".join(f"`{one}`" for one in item["enum"])
    if "anyOf" in item:
        return " or ".join(value(one) for one in item["anyOf"])
    if item.get("type") == "array":
        return f"list of {value(item['items'])}"
    kinds = item.get("type", "object")
    text = " or ".join(kinds if isinstance(kinds, list) else [kinds])
    return text + (f" from {item['minimum']}" if "minimum" in item else "")


PARTS: dict[str, Callable[[str], str]] = {
    "form": form,
    "codes": codes,
    "keys": keys,
    "rights": lambda page: table(*rights.of(page)),
    "views": lambda _page: table(*rights.views()),
    "attributes": lambda _page: table(*rights.attributes()),
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
