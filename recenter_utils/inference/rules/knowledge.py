"""What requests ask for and what statements about people are about, by tell-tale words, else by MiniLM."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from recenter_utils.inference.rules import topics
from recenter_utils.inference.rules.text import clean, spell_out

#: Characters of a request and of a statement that are read.
REQUEST, STATEMENT = 600, 200
#: Cosine at which a text without tell-tale words counts for a subject, by its nearest anchor.
LIKE = 0.4

#: What is asked for, the first that fits. Advice is what remains where a person asks for themselves. A fence of code
#: has become quotation marks by then (`clean`).
_KINDS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (kind, re.compile(pattern, re.I | re.S))
    for kind, pattern in (
        (
            "code",
            r"'{3}|\b(?:write|implement|fix|debug|refactor|create|build|make)\b.{0,60}\b(?:function|quer(?:y|ies)"
            r"|script|class|program|regex|code|macro|unit tests?|endpoint|sql)\b"
            r"|\b(?:traceback|syntax ?error|compile error)\b",
        ),
        (
            "rewriting",
            r"\b(?:rewrite|rephrase|paraphrase|translate|proofread|summari[sz]e|shorten|correct (?:this|the|my)"
            r"|synonyms?|make (?:this|it) (?:more|less|sound)|fix (?:the|my) (?:grammar|spelling))\b",
        ),
        (
            "calculation",
            r"\b(?:convert|calculate|compute|solve|simplify|integrate|factori[sz]e|evaluate)\b|\d\s*[-+*/×^=]\s*\d"
            r"|\bwhat is \d|\bhow (?:many|much) .{0,20}\b(?:in|per) (?:a|an|one|\d)",
        ),
        (
            "draft",
            r"\b(?:write|draft|compose|create|prepare|come up with)\b.{0,50}\b(?:messages?|e-?mails?|letters?|poems?"
            r"|stor(?:y|ies)|speech|toast|posts?|captions?|essay|article|bio|invitation|card|slogan|lyrics|review"
            r"|introduction|statement)\b",
        ),
        (
            "advice",
            r"\b(?:plan|suggest(?:ions?)?|recommend(?:ations?)?|advice|advise|tips?|ideas?|help me|should (?:I|we)"
            r"|would you (?:do|suggest|recommend)|good idea|can I|how (?:can|could|should|do|would) (?:I|we)"
            r"|what (?:can|could|should) (?:I|we)|ways? to|for me|set up|routine|itinerary|steps)\b",
        ),
        (
            "fact",
            r"\b(?:explain|define|describe|what (?:is|are|was|were|does)|why|who|whom|whose|when|which|where|difference"
            r"|how (?:does|do|did|is|are|many|much|old|far|long|tall)|meaning|list|name)\b",
        ),
    )
)
#: Somebody's own matters; "tell me" and "when I know two sides" are manners of speaking.
_OWN = re.compile(
    r"\bmy(?:self)?\b|\b(?:I am|I have|I want|I need|I would|I feel|I live|I work|I like|I might|should I|can I)\b",
    re.I,
)
_METHOD = re.compile(r"\bhow (?:do|can|would) I (?:calculate|compute|convert|solve|prove|derive|integrate)\b", re.I)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request: its text as it is read, what kind it is, whether it is about the asker, and its subjects."""

    text: str
    kind: str
    own: bool
    subjects: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Known:
    """A statement about a person: its text as it is read, and the matters that it touches, with how surely."""

    text: str
    matters: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Matter:
    """What statements of one kind bear on: subjects of requests, and kinds of request whatever their subject."""

    words: re.Pattern[str]
    bears: Mapping[str, float]
    always: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Knowledge:
    """The file, its words as patterns and its anchors as unit vectors."""

    subjects: Mapping[str, re.Pattern[str]]
    matters: Mapping[str, Matter]
    subject_anchors: tuple[np.ndarray, list[str]]
    matter_anchors: tuple[np.ndarray, list[str]]


@cache
def knowledge() -> Knowledge:
    """Return the common knowledge, its anchors encoded."""
    held = yaml.safe_load(Path(__file__).with_name("relevance.yaml").read_text(encoding="utf-8"))
    return Knowledge(
        {name: _pattern(entry["words"]) for name, entry in held["requests"].items()},
        {
            name: Matter(_pattern(entry["words"]), entry.get("bears", {}), entry.get("always", {}))
            for name, entry in held["attributes"].items()
        },
        _anchors(held["requests"]),
        _anchors(held["attributes"]),
    )


def request_text(request: object) -> str:
    """Return as much of a request as is read."""
    return _read(request, REQUEST)


def statement_text(attribute: object) -> str:
    """Return as much of a statement as is read."""
    return _read(attribute, STATEMENT)


@lru_cache(maxsize=4096)
def asked(text: str) -> Asked:
    """Say what a request (of `request_text`) asks for."""
    own = bool(_OWN.search(text))
    kind = next((kind for kind, pattern in _KINDS if pattern.search(text)), "advice" if own else "fact")
    if kind == "advice" and _METHOD.search(text):
        kind = "calculation"
    found = knowledge()
    said = {name: 1.0 for name, pattern in found.subjects.items() if pattern.search(text)}
    return Asked(text, kind, own, said or _nearest(text, *found.subject_anchors))


@lru_cache(maxsize=16384)
def known(text: str) -> Known:
    """Say what a statement (of `statement_text`) is about."""
    found = knowledge()
    said = {name: 1.0 for name, matter in found.matters.items() if matter.words.search(text)}
    return Known(text, said or _nearest(text, *found.matter_anchors))


def _read(value: object, longest: int) -> str:
    # A string of any size may come, and most of it is never looked at.
    return " ".join(spell_out(clean(value[: 4 * longest] if isinstance(value, str) else value)).split())[:longest]


def _nearest(text: str, anchors: np.ndarray, names: list[str]) -> dict[str, float]:
    if not text:
        return {}
    near: dict[str, float] = {}
    for name, cosine in zip(names, (anchors @ topics.vectors([text])[0]).tolist(), strict=True):
        if cosine >= LIKE:
            near[name] = max(near.get(name, 0.0), round(cosine, 4))
    return near


def _pattern(words: str) -> re.Pattern[str]:
    return re.compile(
        r"(?<![\w-])(?:"
        + "|".join(re.escape(word).replace("_", "[ -]").replace(r"\*", r"[\w-]*") for word in str(words).split())
        + r")(?![\w-])",
        re.I,
    )


def _anchors(entries: Mapping[str, Any]) -> tuple[np.ndarray, list[str]]:
    pairs = [(says, name) for name, entry in entries.items() for says in entry["says"]]
    return topics.vectors([says for says, _ in pairs]), [name for _, name in pairs]
