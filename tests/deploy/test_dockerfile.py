"""Dockerfile: linted by hadolint, and every file it copies is there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from deploy.compose import ROOT, raw

DOCKERFILE = ROOT / "Dockerfile"


def test_hadolint_has_nothing_to_say() -> None:
    program = str(Path(sys.executable).with_name("hadolint"))
    done = subprocess.run([program, "--no-color", "--failure-threshold", "info", str(DOCKERFILE)], capture_output=True,
                          text=True, timeout=60, check=False)  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "")


def test_what_it_copies_is_there_and_installs_only_what_is_locked() -> None:
    text = DOCKERFILE.read_text()
    for source in re.findall(r"^COPY (?:--\S+ )*(\S+) ", text, re.MULTILINE):
        assert (ROOT / source).exists(), source
    for line in re.findall(r"pip install [^\\\n]*", text):
        assert "--require-hashes" in line or "--no-deps" in line, line


def test_it_has_the_stages_that_are_built_and_ends_without_root() -> None:
    text = DOCKERFILE.read_text()
    stages = set(re.findall(r"^FROM \S+ AS (\w+)", text, re.MULTILINE))
    wanted = {service["build"]["target"] for service in raw()["services"].values() if "build" in service}
    assert wanted == stages
    assert re.findall(r"^USER (\S+)", text.split(" AS simulators")[0], re.MULTILINE)[-1] == "50000:0"
    assert re.search(r"^FROM python:3\.\d+\.\d+-\S+ ", text, re.MULTILINE), "a version, not a moving tag"


def test_the_build_sees_what_it_copies_and_no_secret() -> None:
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert rules[0] == "*"
    allowed = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}
    copied = set(re.findall(r"^COPY (?:--\S+ )*(\S+) ", DOCKERFILE.read_text(), re.MULTILINE))
    assert copied == allowed
