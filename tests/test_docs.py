"""The documentation says what is true: links, commands, blocks, names and generated parts."""

import dataclasses
import importlib.util
import inspect
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from jsonschema import Draft202012Validator

from commerce_sync import agreement, mapping, mapping_file
from commerce_sync.__main__ import _parser

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
COMMANDS = next(item.choices for item in _parser()._actions if isinstance(item.choices, dict))
SCHEMA = json.loads((ROOT / "plugins/commerce_sync/mapping_schema.json").read_text())
pages = pytest.mark.parametrize("page", PAGES, ids=NAMES)


def prose(page):
    """The page without its code blocks."""
    return FENCE.sub("", page.read_text())


def blocks(page, *kinds):
    return [body for kind, body in FENCE.findall(page.read_text()) if kind in kinds]


def codes(page):
    """What stands in code: inline, and line by line in blocks of commands."""
    lines = [line for body in blocks(page, "", "bash") for line in re.sub(r"\\\n", " ", body).splitlines()]
    return [*INLINE.findall(prose(page)), *lines]


def slug(heading):
    """A heading's anchor, as GitHub makes it."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading.strip().lower())
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def anchors(page):
    return {slug(line.lstrip("#")) for line in prose(page).splitlines() if re.match(r"#+ ", line)}


def tool(name):
    """One of the programs in ``docs/``."""
    spec = importlib.util.spec_from_file_location(f"docs_{name}", DOCS / f"{name}.py")
    found = importlib.util.module_from_spec(spec)
    before = list(sys.path)
    try:
        spec.loader.exec_module(found)
    finally:
        sys.path[:] = before
    return found


@pytest.fixture(scope="module")
def generate():
    return tool("generate")


@pytest.fixture(scope="module")
def known():
    """Names there are: DAG ids, legs, connections of the mappings."""
    found = {"dags": {path.stem for path in (ROOT / "dags").glob("*.py")}, "legs": set(), "connections": set()}
    for path in (ROOT / "include/mappings").rglob("*.yaml"):
        content = yaml.safe_load(path.read_text())
        found["legs"].add(content["leg"])
        given = content["from"]
        sources = [given] if isinstance(given.get("system"), str) else list(given.values())
        for item in (*sources, content["to"]):
            found["connections"].add(item.get("connection", f"{item['system']}_default"))
        options = content["to"].get("options", {})
        found["connections"] |= {options[name] for name in ("hot_folder",) if name in options}
    return found


@pages
def test_every_link_leads_somewhere(page):
    for target in LINK.findall(prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        aim = (page.parent / path).resolve() if path else page
        assert aim.exists(), f"{target}: no such file"
        assert not anchor or anchor in anchors(aim), f"{target}: its headings are {sorted(anchors(aim))}"


def test_every_page_is_in_the_index():
    linked = {(DOCS / target.partition("#")[0]).resolve() for target in LINK.findall(prose(DOCS / "README.md"))}
    assert {page for page in DOCS.rglob("*.md")} - linked == {DOCS / "README.md"}


def parsed(words):
    """What the command line understands; False when it does not, None when it was asked for help."""
    try:
        return _parser().parse_args(words)
    except SystemExit as error:
        return False if error.code else None


@pages
def test_every_command_is_one_the_command_line_takes(page, known, capsys):
    for line in codes(page):
        if found := re.search(r"python -m commerce_sync (.+)", line):
            words = shlex.split(found[1], comments=True)
            if len(words) == 1 and words[0] in COMMANDS and f"`{line}`" in page.read_text():
                continue  # the command is spoken of, not shown
            options = parsed(words)
            if options is None:
                continue
            assert options, f"{line}: {capsys.readouterr().err}"
            assert getattr(options, "flow", None) in {None, "FLOW", "LEG", *known["dags"]}, line
            leg = getattr(options, "leg", None)
            assert leg is None or leg.startswith("feed/") or leg in {"LEG", *known["legs"]}, line


@pages
def test_every_make_target_exists(page):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    wanted = {found[1] for line in codes(page) if (found := re.match(r"\$? ?make ([a-z-]+)", line))}
    assert wanted <= targets


@pages
def test_every_block_can_be_read_by_what_reads_it(page):
    for body in blocks(page, "json"):
        json.loads(body)
    for body in blocks(page, "python"):
        compile(body, str(page), "exec")
    for body in blocks(page, "bash"):
        done = subprocess.run(["bash", "-n"], input=body, capture_output=True, text=True, timeout=20, check=False)
        assert done.returncode == 0, done.stderr


@pages
def test_every_mapping_shown_is_valid(page, tmp_path):
    for body in blocks(page, "yaml"):
        content = yaml.safe_load(body)
        is_whole = page.name == "mapping.md" or set(SCHEMA["required"]) <= set(content)
        if "leg" in content and is_whole:
            path = tmp_path / f"{content['leg']}.yaml"
            path.write_text(body)
            assert mapping_file.load(path).leg == content["leg"]
        elif set(content) <= set(SCHEMA["properties"]):
            part = {"properties": SCHEMA["properties"], "$defs": SCHEMA["$defs"]}
            assert not [error.message for error in Draft202012Validator(part).iter_errors(content)]


def test_a_page_with_mappings_really_has_some():
    assert sum("leg:" in body for body in blocks(DOCS / "mapping.md", "yaml")) >= 4


@pages
def test_flows_legs_and_variables_named_exist(page, known):
    sources = "\n".join(path.read_text() for path in (ROOT / "plugins").rglob("*.py"))
    for name in INLINE.findall(prose(page)):
        if re.fullmatch(r"(salesforce|iconik|iot)_[a-z_]+", name):
            assert name in known["dags"] | known["legs"] | known["connections"], name
        if re.fullmatch(r"[a-z][a-z0-9_]*_to_[a-z0-9_]+", name):
            assert name in known["legs"], name
    for name in re.findall(r"\bCOMMERCE_SYNC_[A-Z_]+[A-Z]\b", page.read_text()):
        assert re.search(rf"\b{name}\b", sources), name


@pages
def test_connections_shown_are_what_their_forms_take(page, generate, known):
    ours = {item["connection-type"]: item for item in generate.CONNECTIONS.values()}
    for body in blocks(page, "bash"):
        for name, text in re.findall(r"AIRFLOW_CONN_([A-Z_]+)='(\{.*?\})'", body, re.DOTALL):
            content = json.loads(text)
            if content["conn_type"] in ours:
                assert name.lower() in known["connections"]
                assert set(content.get("extra", {})) <= set(ours[content["conn_type"]]["conn-fields"])


@pytest.mark.parametrize("system", ["sap_commerce", "salesforce", "iconik", "opentext_iot"])
def test_every_way_to_connect_shows_a_connection_of_that_system(system, generate):
    kind = generate.CONNECTIONS[system]["connection-type"]
    assert any(kind in body for body in blocks(DOCS / f"connecting/{system}.md", "bash"))


def test_generated_parts_are_what_the_generator_writes(generate):
    written = generate.pages()
    assert {page.stem for page in written} >= {"mapping", "reasons", "sap_commerce", "salesforce", "iconik"}
    stale = [str(page.relative_to(ROOT)) for page, text in written.items() if page.read_text() != text]
    assert not stale, "run python docs/generate.py"


def _described(part, at):
    for name, item in part.get("properties", {}).items():
        about = item.get("description") or SCHEMA["$defs"].get(item.get("$ref", "").rpartition("/")[2], {})
        yield f"{at}.{name}", bool(about) and about != {} and (isinstance(about, str) or "description" in about)
        yield from _described(item, f"{at}.{name}")
        for inner in (item.get("items", {}), *(item.get("anyOf", ())), item.get("additionalProperties", {})):
            if isinstance(inner, dict):
                yield from _described(inner, f"{at}.{name}")
                for one in inner.get("anyOf", ()):
                    yield from _described(one, f"{at}.{name}")


def test_every_key_of_a_mapping_is_described():
    found = dict(_described(SCHEMA, "file"))
    for name, part in SCHEMA["$defs"].items():
        found |= {name: "description" in part, **dict(_described(part, name))}
    assert len(found) > 50
    assert [name for name, is_described in found.items() if not is_described] == []


def test_defaults_in_the_schema_are_those_a_mapping_gets(tmp_path):
    path = tmp_path / "leg.yaml"
    path.write_text(blocks(DOCS / "mapping.md", "yaml")[0])
    loaded, top = mapping_file.load(path), SCHEMA["properties"]
    assert top["complete_scan"]["default"] == loaded.complete_scan
    assert top["version"]["default"] == loaded.version
    for name, item in top["guards"]["properties"].items():
        wanted = item["default"] and mapping_file._limit(item["default"])
        assert getattr(loaded.guards, name) == wanted, name
    for name in ("on_delete", "on_leave", "bulk_from"):
        assert top["to"]["properties"][name]["default"] == getattr(loaded.target, name)
    retries = {name: item["default"] for name, item in top["retries"]["properties"].items()}
    assert mapping_file._retries(retries) == loaded.retries
    assert mapping_file._duration(top["approval"]["properties"]["timeout"]["default"]) == mapping.Approval().timeout
    assert (
        mapping_file._duration(SCHEMA["$defs"]["source"]["properties"]["overlap"]["default"]) == loaded.source.overlap
    )
    field = top["fields"]["additionalProperties"]["anyOf"][1]["properties"]
    assert (field["on_null"]["default"], field["pii"]["default"]) == (loaded.fields[0].on_null, loaded.fields[0].pii)


def _options():
    """System -> every option its sources and targets take."""
    from commerce_sync.systems.iconik import sources, targets
    from commerce_sync.systems.opentext_iot import asked, rows
    from commerce_sync.systems.salesforce import hook, loader, source_query
    from commerce_sync.systems.sap_commerce import carts, media_options, members, reading, together_rows
    from commerce_sync.systems.sap_commerce import loader as sap_loader

    classes = {
        "sap_commerce": (reading.ReadOptions, sap_loader.LoadOptions, members.MemberOptions, carts.CartOptions,
                         media_options.MediaOptions, together_rows.TogetherOptions),
        "salesforce": (source_query.ReadOptions, loader.Pace),
        "iconik": (sources.ReadOptions, targets.WriteOptions),
        "opentext_iot": (asked.ReadOptions, rows.LoadOptions),
    }  # fmt: skip
    found = {name: {item.name for one in parts for item in dataclasses.fields(one)} for name, parts in classes.items()}
    said = inspect.getdoc(hook.SalesforceHook.load)
    found["salesforce"] |= {name for name in ("headers", "assignment_rule", "create_only") if name in said}
    return {name: parts | set(agreement.OURS) for name, parts in found.items()}


@pytest.mark.parametrize("system", ["sap_commerce", "salesforce", "iconik", "opentext_iot"])
def test_every_switch_named_is_an_option(system):
    text = (DOCS / f"connecting/{system}.md").read_text()
    parts = re.findall(r"^\| option \| of \| when \|\n\|[-|]+\n((?:\|.*\n)+)", text, re.MULTILINE)
    named = {name for part in parts for row in part.splitlines() for name in INLINE.findall(row.split("|")[1])}
    assert len(named) >= 8
    assert named <= _options()[system]


def test_profile_keys_named_are_keys_of_the_profiles():
    text = (DOCS / "connecting/opentext_iot.md").read_text()
    part = re.search(r"^\| key \| what \|\n\|[-|]+\n((?:\|.*\n)+)", text, re.MULTILINE)[1]
    path = ROOT / "plugins/commerce_sync/systems/opentext_iot/profiles/covisint_classic.yaml"
    profile = yaml.safe_load(path.read_text())
    for name in (name for row in part.splitlines() for name in INLINE.findall(row.split("|")[1])):
        at = profile
        for key in name.split("."):
            assert key in at, name
            at = at[key]


def test_every_class_and_state_has_its_part_in_the_runbook(generate):
    headings = anchors(DOCS / "reasons.md")
    assert {*generate.CLASSES, "quarantined", "held", "parked", "conflict", "loop", "left_behind"} <= headings
    used = {item for table in generate.reason_codes().values() for item in table.values()}
    assert used <= set(generate.CLASSES)


def test_codes_of_the_runbook_are_codes_there_are(generate):
    of_theirs = {code for table in generate.reason_codes().values() for code in table}
    sources = "\n".join(path.read_text() for path in (ROOT / "plugins").rglob("*.py"))
    for name in INLINE.findall(prose(DOCS / "reasons.md")):
        if re.fullmatch(r"[A-Z]+(_[A-Z]+)+", name):
            assert name in of_theirs, name
        elif re.fullmatch(r"[a-z]+(_[a-z]+)+", name):
            assert re.search(rf"\b{name}\b", sources) or name in of_theirs, name


@pages
def test_every_picture_is_there(page):
    for target in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", page.read_text()):
        assert (page.parent / target).is_file(), target


def test_the_picture_needs_nothing_from_elsewhere_and_knows_the_dark():
    text = (DOCS / "images/architecture.svg").read_text()
    root = ElementTree.fromstring(text)
    tags = {item.tag.rpartition("}")[2] for item in root.iter()}
    assert {"title", "desc", "style"} <= tags
    assert not tags & {"image", "script", "foreignObject"}
    assert "prefers-color-scheme: dark" in text
    assert not re.search(r"url\((?!#)|@import|@font-face|href=", text)
