"""The screens' templates, and what they call: one environment for the app and for whoever wants to look at a page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from recenter_utils.annotation.markdown import render

FOLDER = Path(__file__).parent
TEMPLATES = FOLDER / "templates"
STATIC = FOLDER / "static"

#: The template of each task's pages.
PAGES = {
    "attribute_quality": "quality.html",
    "refined_attributes": "quality.html",
    "relevance": "relevance.html",
    "preference": "preference.html",
}

#: A turn longer than CLIPPED shows its first HEAD characters until somebody asks for all of it.
CLIPPED, HEAD = 1_400, 900

#: Characters in one block of a long turn: the browser lays out only the blocks that are in sight.
BLOCK = 8_000


@dataclass(frozen=True)
class Pieces:
    """A long text cut for showing; head and rest joined are the text."""

    head: str
    rest: tuple[str, ...]

    @property
    def length(self) -> int:
        """Characters in all."""
        return len(self.head) + sum(map(len, self.rest))


def pieces(text: str) -> Pieces:
    """Cut a turn into what is shown at once and blocks for the rest, at line ends or spaces where there are any."""
    if len(text) <= CLIPPED:
        return Pieces(text, ())
    head = _cut(text, 0, HEAD)
    blocks, start = [], head
    while start < len(text):
        end = _cut(text, start, BLOCK)
        blocks.append(text[start:end])
        start = end
    return Pieces(text[:head], tuple(blocks))


def _cut(text: str, start: int, room: int) -> int:
    """Return where to end a piece that starts at `start` and has at most `room` characters."""
    end = start + room
    if end >= len(text):
        return len(text)
    for mark in ("\n", " "):
        found = text.rfind(mark, start + room // 2, end)
        if found >= 0:
            return found + 1
    return end


def environment() -> Environment:
    """Return the templates' environment: everything is escaped but what `markdown` made, and a missing value raises."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"markdown": render, "pieces": pieces}
    return made
