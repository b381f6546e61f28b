"""Fits each row of a table on one line and marks shortened text with an ellipsis."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Collection, Mapping, Sequence

from commands.cli.output import WIDTH

ELLIPSIS = "…"
GAP = 2  # between two columns


def room() -> int:
    """Return how wide a table can be: the terminal's width, or 100 columns without a terminal."""
    return shutil.get_terminal_size((WIDTH, 1)).columns if sys.stdout.isatty() else WIDTH


def fit(rows: Sequence[Mapping[str, str]], width: int, elastic: Collection[str]) -> list[dict[str, str]]:
    """Return rows that take one line of `width` cells each.

    Args:
        rows: the text of each column by its heading; the same headings in every row.
        width: the cells of a line.
        elastic: the columns that may become narrower, but never narrower than their heading; the widest goes first.
    """
    shown = [{heading: _printable(text) for heading, text in row.items()} for row in rows]
    if not shown:
        return []
    widths = {heading: max(map(_cells, [heading, *(row[heading] for row in shown)])) for heading in shown[0]}
    floors = {heading: _cells(heading) for heading in elastic if heading in widths}
    excess = sum(widths.values()) + GAP * (len(widths) - 1) - width
    while excess > 0 and (wide := [heading for heading, floor in floors.items() if widths[heading] > floor]):
        widths[max(wide, key=widths.__getitem__)] -= 1
        excess -= 1
    return [{heading: shorten(text, widths[heading]) for heading, text in row.items()} for row in shown]


def shorten(text: str, width: int) -> str:
    """Return the beginning of a text that is too wide, with an ellipsis; for a path the end, which tells more."""
    from rich.cells import set_cell_size

    if _cells(text) <= width:
        return text
    folders, slash, name = text.rpartition("/")
    if slash and " " not in text:
        while folders and _cells(f"{ELLIPSIS}/{folders}/{name}") > width:
            folders = folders.partition("/")[2]
        text = f"{ELLIPSIS}/{folders}/{name}" if folders else f"{ELLIPSIS}/{name}"
    return text if _cells(text) <= width else set_cell_size(text, max(0, width - 1)).rstrip() + ELLIPSIS


def _cells(text: str) -> int:
    from rich.cells import cell_len

    return cell_len(text)


def _printable(text: str) -> str:
    """Return a text with line breaks, colours and half characters escaped."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
