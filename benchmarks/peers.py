"""The environment of peers that cannot share the project's: made here on first use, kept below ``.data``."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
FOLDER = HERE / ".data" / "peers"
REQUIREMENTS = HERE / "requirements-peers.txt"


def python() -> Path:
    """The interpreter of the peers' environment."""
    return FOLDER / "bin" / "python"


def install() -> str | None:
    """Make the environment unless it stands; returns why it could not be made, so that the rest can still run."""
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    stamp = FOLDER / ".installed"
    if stamp.exists() and stamp.read_text() == wanted:
        return None
    print("Installing the peers into benchmarks/.data/peers ...", file=sys.stderr, flush=True)
    pip = [str(python()), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(REQUIREMENTS)]
    for command in ([sys.executable, "-m", "venv", str(FOLDER)], pip):
        done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
        if done.returncode:
            return f"peers are left out, {' '.join(command[:4])} failed: {done.stderr.strip()[-300:]}"
    stamp.write_text(wanted)
    return None
