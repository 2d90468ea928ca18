"""What a proof found, as a table on the screen and as a JSON file in ``proofs/results``."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "results"
EVIDENCE = Path(__file__).parents[1] / "docs" / "evidence.md"


def keep(proof: str, figures: dict[str, Any]) -> Path:
    """Write ``results/<proof>.json``."""
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{proof}.json"
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    machine = {"cores": os.cpu_count(), "memory_gb": round(memory_gb, 1), "python": platform.python_version()}
    date = datetime.now(UTC).isoformat(timespec="seconds")
    content = {"proof": proof, "date": date, "machine": machine, **figures}
    path.write_text(json.dumps(content, indent=1, default=str, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def kept(proof: str) -> dict[str, Any] | None:
    """The figures of the last run of a proof; None when it never ran."""
    path = FOLDER / f"{proof}.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None


def table(rows: Sequence[Sequence[Any]]) -> str:
    """Columns aligned, the first row underlined."""
    texts = [[f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in texts) for column in range(len(texts[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in texts]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def publish() -> None:
    """Write what ``results`` holds between the marks of docs/evidence.md."""
    text = EVIDENCE.read_text(encoding="utf-8")
    for path in sorted(FOLDER.glob("*.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        mark = f"<!-- figures: {found['proof']} -->\n"
        if mark in text:
            before, after = text.split(mark)
            text = f"{before}{mark}{_section(found)}\n<!-- end -->{after.partition('<!-- end -->')[2]}"
    EVIDENCE.write_text(text, encoding="utf-8")


def _section(found: dict[str, Any]) -> str:
    machine = found["machine"]
    since = f"{found['began'][:10]} to " if found.get("began", found["date"])[:10] != found["date"][:10] else ""
    where = f"{machine['cores']} cores, {machine['memory_gb']:.0f} GB, Python {machine['python']}"
    day = f"{since}{found['date'][:10]}, {where}"
    if found["proof"] == "mutations":
        rows = [(row["bug"], row["caught_by"] or "**not caught**") for row in found["rows"]]
        text = f"{day}: {found['bugs']} of {found['listed']} bugs tried, {found['caught']} caught."
        return f"{text}\n\n{_markdown(('bug', 'caught by'), rows)}"
    if found["proof"] == "saboteur":
        rows = [(row["what"], row["rounds"], row["caught"]) for row in found["rounds"]]
        text = f"{day}: {found['histories']:,} rounds, {len(found['failed'])} not caught."
        return f"{text}\n\n{_markdown(('what', 'rounds', 'caught'), rows)}"
    if found["proof"] == "privacy":
        return f"{day}: {_of_privacy(found)}"
    if found["proof"] in ("crashes", "faults"):
        return f"{day}: {_of_cells(found)}"
    if found["proof"] == "completeness_http":
        return f"Over HTTP: {found['histories']:,} histories, {found['runs']:,} runs, {len(found['failed'])} failed."
    text = f"{day}: {found['histories']:,} histories, {len(found['failed'])} with anything lost, invented or doubled"
    rows = list(found["counts"].items())
    return f"{text}; {found['cpu_s_each']:.2f} s CPU each.\n\n{_markdown(('met on the way', 'number'), rows)}"


def _of_privacy(found: dict[str, Any]) -> str:
    control = found["control"]
    if control is None:  # its last scan looked only at what was new
        return f"not at its end: {found['attempts']:,} attempts so far, {found['finds']} finds, no control yet."
    text = (
        f"{found['attempts']:,} attempts, {found['finds']} finds in {found['bytes_scanned']:,} bytes over "
        f"{found['scans']:,} scans. The edge left out {found['rows_left_out']:,} rows, the inbox did not take "
        f"{found['events_not_taken']:,} events, {found['stopped_by_guards']:,} runs were stopped by their own guards. "
        f"Control: with the tombstones lifted she was back after {control['back_after']} attempts, {control['finds']} "
        "finds."
    )
    stores = [
        tuple(row[name] for name in ("store", "finds_before", "files_after", "bytes_after", "finds_after"))
        for row in found["stores"]
    ]
    head = ("store", "finds before forgetting", "files or tables at the end", "bytes", "finds")
    return f"{text}\n\n{_markdown(('attempt', 'number'), list(found['kinds'].items()))}\n\n{_markdown(head, stores)}"


def _of_cells(found: dict[str, Any]) -> str:
    from proofs import crashes, faults  # they keep their figures here

    if found["proof"] == "faults":
        rows = [tuple(row.values()) for row in found["faults"]]
        return f"{faults.sentence(found)}.\n\n{_markdown(faults.HEAD, rows)}"
    rows = [tuple(row.values()) for row in found["flows"]] + [("all", *found["total"].values())]
    return f"{crashes.sentence(found)}.\n\n{_markdown(crashes.HEAD, rows)}"


def _markdown(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    texts = [[f"{cell:,}" if isinstance(cell, int) else cell for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *texts))
