"""What annotators see: pages of items. A page is handed out whole; each of its items is judged by itself."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from recenter_utils.errors import RecenterError
from recenter_utils.scales import Scale, scale_of


class Part(BaseModel):
    """Base of all that stands on a page."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Turn(Part):
    """One turn of a conversation."""

    role: str
    content: str


class Conversation(Part):
    """A conversation, in order."""

    conversation_id: str
    turns: tuple[Turn, ...]


class Evidence(Part):
    """A turn that an attribute rests on: which conversation of the page, and which turn, both from 0."""

    conversation: int = Field(ge=0)
    turn: int = Field(ge=0)


class Item(Part):
    """One question. `expected`, for a check item, names the labels that a careful annotator may give."""

    item_id: str = Field(min_length=1)
    attribute: str
    reason: str = ""
    evidence: tuple[Evidence, ...] = ()
    expected: tuple[str, ...] | None = None


class Page(Part):
    """A page: a user with attributes (attribute quality), or a request with attributes, and for preference responses.

    attribute_quality fills `conversations`; relevance fills `prompt`; preference fills `prompt` and both responses,
    which the screen calls A and B in an order drawn for each annotator.
    """

    page_id: str = Field(min_length=1)
    items: tuple[Item, ...] = Field(min_length=1)
    conversations: tuple[Conversation, ...] = ()
    prompt: str = ""
    generic: str = ""
    personalised: str = ""

    @cached_property
    def version(self) -> str:
        """A short hash of all that the page shows."""
        return _hash(self.model_dump(mode="json", exclude={"items"}), [self.item_version(item) for item in self.items])

    def item_version(self, item: Item) -> str:
        """Return a short hash of the wording that was judged: an answer to another wording is not an answer to this."""
        return _hash(item.attribute, item.reason, self.prompt, self.generic, self.personalised)


def _hash(*parts: Any) -> str:
    return hashlib.blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=8).hexdigest()


def check(pages: Sequence[Page], task: str, where: str) -> list[Page]:
    """Return the pages if the task's screen can show them, or raise naming `where`, the page and the remedy."""
    scale = scale_of(task)
    if not pages:
        raise RecenterError(f"{where} holds no pages for {task.replace('_', '-')}: there is nothing to judge.")
    seen_pages: set[str] = set()
    seen_items: set[str] = set()
    for page in pages:
        for fault in _faults(page, scale):
            raise RecenterError(f"{where}: page '{page.page_id}' {fault}.")
        items = [item.item_id for item in page.items]
        if page.page_id in seen_pages or len(set(items)) < len(items) or seen_items & set(items):
            raise RecenterError(f"{where}: page '{page.page_id}' or one of its items is there twice; ids must differ.")
        seen_pages.add(page.page_id)
        seen_items.update(items)
    return list(pages)


def _faults(page: Page, scale: Scale) -> Iterable[str]:
    if scale.task == "attribute_quality" and not page.conversations:
        yield "has no 'conversations'"
    if scale.task != "attribute_quality" and not page.prompt.strip():
        yield "has no 'prompt'"
    if scale.task == "preference" and not (page.generic.strip() and page.personalised.strip()):
        yield "lacks 'generic' or 'personalised', the two responses"
    for item in page.items:
        for spot in item.evidence:
            turns = page.conversations[spot.conversation].turns if spot.conversation < len(page.conversations) else ()
            if spot.turn >= len(turns):
                yield f"cites turn {spot.turn} of conversation {spot.conversation}, which is not there"
        if item.expected == ():
            yield f"has a check item, '{item.item_id}', that expects no label at all"
        for label in item.expected or ():
            if label not in scale.labels:
                yield f"expects '{label}' for a check item, but the labels are {', '.join(scale.labels)}"


def read(path: Path, task: str) -> list[Page]:
    """Read pages from a JSON-lines file, one page a line; raise naming the file, the line and the key at fault."""
    pages = []
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        raise RecenterError(f"There is no file {path}.") from None
    except (OSError, UnicodeDecodeError) as problem:
        raise RecenterError(f"{path} cannot be read as UTF-8 text ({problem}).") from None
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                pages.append(Page.model_validate_json(line))
            except ValidationError as problem:
                fault = problem.errors()[0]
                key = ".".join(map(str, fault["loc"]))
                raise RecenterError(f"{path}, line {number}: {key + ': ' if key else ''}{fault['msg']}.") from None
    return check(pages, task, str(path))
