"""What the demo shows: one line per stage with its seconds, a live line while it waits, tables."""

from __future__ import annotations

import re
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

WIDTH = 100
NAME_WIDTH = 18
NARROWEST = 50
NUMBER = re.compile(r"[-\d,.]*( %)?$")
QUIET_S = 30.0
"""Without a terminal the live line is printed at most this often."""


class Stage:
    """One line of the demo. ``text`` is what the line says when the stage is done."""

    def __init__(self, screen: Screen, name: str) -> None:
        self._screen, self.name, self.text = screen, name, ""
        self._began = time.monotonic()
        self._last_shown = self._began
        self._last_text = ""

    @property
    def seconds(self) -> float:
        """Since the stage began."""
        return time.monotonic() - self._began

    def live(self, text: str) -> None:
        """Say what is being waited for; overwritten by the next call."""
        if self._screen.is_terminal:
            self._screen.overwrite(stage_line("..", self.name, text, self.seconds, width=live_width()))
            return
        now = time.monotonic()
        if text != self._last_text and now - self._last_shown >= QUIET_S:
            self._screen.line(stage_line("..", self.name, text, self.seconds))
            self._last_shown, self._last_text = now, text

    def done(self, text: str) -> None:
        """Say what came out."""
        self.text = text


class Screen:
    """Where the demo prints. ``seconds`` keeps each stage's duration by its name, in order."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self.is_terminal = self._out.isatty()
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[Stage]:
        """Print the stage's line when the block ends: ok with its text, or FAILED when it raises."""
        stage, mark = Stage(self, name), "FAILED"
        stage.live("")
        try:
            yield stage
            mark = "ok"
        finally:
            self.seconds[name] = round(stage.seconds, 2)
            self._print_stage(mark, stage)

    def _print_stage(self, mark: str, stage: Stage) -> None:
        self.clear()
        first, *rest = stage.text.splitlines() or [""]
        self.line(stage_line(mark, stage.name, first, stage.seconds))
        for text in rest:
            self.line(f"{'':{NAME_WIDTH + 10}}{text}")

    def line(self, text: str = "") -> None:
        """Print one line."""
        self.clear()
        print(text, file=self._out, flush=True)

    def overwrite(self, text: str) -> None:
        """Show ``text`` on the live line; it must fit the terminal, or lines are left behind."""
        print(f"\r\x1b[2K{text}", end="", file=self._out, flush=True)

    def clear(self) -> None:
        """Empty the live line."""
        if self.is_terminal:
            print("\r\x1b[2K", end="", file=self._out, flush=True)

    def table(self, title: str, headers: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Print a table: text to the left, numbers to the right."""
        self.line()
        self.line(f"  {title}")
        for text in table_lines(headers, rows):
            self.line(f"  {text}")


def live_width() -> int:
    """Columns the live line may use: one less than the terminal has, at most 100."""
    return max(NARROWEST, min(WIDTH, shutil.get_terminal_size((WIDTH + 1, 24)).columns - 1))


def stage_line(mark: str, name: str, text: str, seconds: float, *, width: int = WIDTH) -> str:
    """``  ok      simulators     what came out                    12.3 s`` in ``width`` columns."""
    head = f"  {mark:<6}  {name:<{NAME_WIDTH}}"
    tail = f"{seconds:8.1f} s"
    room = width - len(head) - len(tail) - 1
    return f"{head}{shorten(text, room):<{room}} {tail}"


def shorten(text: str, room: int) -> str:
    """``text`` in at most ``room`` characters."""
    return text if len(text) <= room else text[: room - 3] + "..."


def cell(value: object) -> str:
    """How a table shows a value: thousands separated, nothing for None."""
    if value is None:
        return ""
    if isinstance(value, int):
        return f"{value:,}"
    return str(value)


def table_lines(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """Header, rule and rows; columns that hold only numbers, amounts or dates are set to the right."""
    texts = [[cell(value) for value in row] for row in rows]
    widths = [max([len(header), *(len(row[i]) for row in texts)]) for i, header in enumerate(headers)]
    is_number = [all(NUMBER.match(row[i]) for row in texts) for i in range(len(headers))]

    def line(cells: Sequence[str]) -> str:
        parts = (
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(cells, widths, is_number, strict=True)
        )
        return "  ".join(parts).rstrip()

    return [line(headers), "  ".join("-" * width for width in widths), *(line(row) for row in texts)]
