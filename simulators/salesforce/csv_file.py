"""The CSV a Bulk 2.0 job was given: what is wrong with it, its header, its rows in internal batches."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import NamedTuple

DELIMITERS = {"COMMA": ",", "TAB": "\t", "SEMICOLON": ";", "PIPE": "|", "CARET": "^", "BACKQUOTE": "`"}
LINE_ENDINGS = {"LF": "\n", "CRLF": "\r\n"}


class BadFile(Exception):
    """The whole job fails; the text is the job's errorMessage."""


def opened(raw: bytes, *, line_ending: str) -> str:
    """The text with LF line ends; raises BadFile when it is not UTF-8 or ends its lines otherwise."""
    try:
        text = raw.decode("utf-8")  # a byte order mark stays and spoils the first header cell, as it does there
    except UnicodeDecodeError as error:
        raise BadFile(f"ClientInputError : Failed to parse CSV, not UTF-8: {error.reason}") from error
    crlf = text.count("\r\n")
    wrong = crlf > 0 if line_ending == "LF" else crlf != text.count("\n")
    if wrong:
        raise BadFile(
            f"ClientInputError : LineEnding is invalid on user data. Current LineEnding setting is {line_ending}"
        )
    return text.replace("\r\n", "\n") if crlf else text


def split(text: str, *, delimiter: str, rows: int) -> tuple[list[str], list[str]]:
    """(header, blocks of text with at most ``rows`` records each).

    A block ends at a line end outside quotes; quotes are doubled inside quotes, so their parity tells.
    """
    lines = text.split("\n")
    if lines and lines[-1] == "":
        lines.pop()
    if not lines:
        raise BadFile("InvalidBatch : The CSV has no header")
    header = next(csv.reader([lines[0]], delimiter=delimiter), [])
    return header, list(_blocks(lines, rows=rows, quoted='"' in text))


def _blocks(lines: list[str], *, rows: int, quoted: bool) -> Iterator[str]:
    at = 1
    while at < len(lines):
        end = min(at + rows, len(lines))
        block = "\n".join(lines[at:end])
        if quoted and block.count('"') % 2:
            while end < len(lines):
                end += 1
                if lines[end - 1].count('"') % 2:
                    break
            block = "\n".join(lines[at:end])
        yield block
        at = end


class Rows(NamedTuple):
    """Some records as columns of cells; ``lines`` echoes them, every cell in quotes.

    misfits: rows whose number of cells is wrong, with that number; their cells are cut or filled up.
    """

    columns: list[list[str]]
    lines: list[str]
    misfits: dict[int, int]

    def part(self, start: int, stop: int) -> Rows:
        misfits = {row - start: width for row, width in self.misfits.items() if start <= row < stop}
        return Rows([column[start:stop] for column in self.columns], self.lines[start:stop], misfits)


def parse(block: str, *, delimiter: str, width: int) -> Rows:
    """The records of one block; blank lines are none. Raises BadFile for broken quotes."""
    if '"' not in block:
        lines = [line for line in block.split("\n") if line]
        if all(line.count(delimiter) == width - 1 for line in lines):
            return _unquoted(lines, delimiter=delimiter, width=width)
    try:
        records = [row for row in csv.reader(io.StringIO(block, newline=""), delimiter=delimiter, strict=True) if row]
    except csv.Error as error:
        raise BadFile(f"InvalidBatch : Failed to parse CSV: {error}") from error
    misfits = {row: len(record) for row, record in enumerate(records) if len(record) != width}
    for row in misfits:
        records[row] = (records[row] + [""] * width)[:width]
    columns = [list(column) for column in zip(*records, strict=True)] or [[] for _ in range(width)]
    return Rows(columns, [quoted(record, delimiter=delimiter) for record in records], misfits)


def _unquoted(lines: list[str], *, delimiter: str, width: int) -> Rows:
    # most files have no quotes; then one split of the whole block gives all columns
    cells = delimiter.join(lines).split(delimiter) if lines else []
    between = f'"{delimiter}"'
    echoes = [f'"{line.replace(delimiter, between)}"' for line in lines]
    return Rows([cells[index::width] for index in range(width)], echoes, {})


def quoted(cells: list[str], *, delimiter: str) -> str:
    """One line with every cell in quotes."""
    inner = f'"{delimiter}"'.join(cells)
    if '"' in inner.replace(f'"{delimiter}"', ""):
        inner = f'"{delimiter}"'.join(cell.replace('"', '""') for cell in cells)
    return f'"{inner}"'
