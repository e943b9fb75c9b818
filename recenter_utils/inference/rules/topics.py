"""Which topics a conversation is about: tell-tale words turn by turn, and MiniLM for the whole of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import yaml

from recenter_utils.inference.embeddings import embed

#: What MiniLM sees: the opening of each turn, up to a length that it encodes quickly.
TURN, CONVERSATION = 45, 130
#: Vectors kept between requests (384 float32 each, so about 30 MB).
REMEMBERED = 20_000

#: Characters of a turn read for tell-tale words, and the most words in one of those.
READ, LONGEST = 3000, 4

_TOKEN = re.compile(r"[^\W_][\w'&+#.-]*[\w+#]|[^\W_]")
_vectors: dict[str, np.ndarray] = {}
_kept: Path | None = None


class Bank(NamedTuple):
    """The topics: their attributes, whose tell-tale words are which, anchors' unit vectors and their topics."""

    attributes: list[str]
    topics_of: dict[str, list[int]]
    anchors: np.ndarray
    anchored: np.ndarray


def _encode(texts: list[str]) -> np.ndarray:
    return embed(texts, cache=_kept)


def keep(file: Path | None) -> None:
    """Keep vectors in a file from here on, for other processes; None: in this process alone."""
    global _kept
    _kept = file


@cache
def bank() -> Bank:
    """Return the bank of topics, its anchors encoded."""
    entries = yaml.safe_load(Path(__file__).with_name("topics.yaml").read_text(encoding="utf-8"))
    topics_of: dict[str, list[int]] = {}
    for topic, entry in enumerate(entries.values()):
        for word in str(entry["words"]).split():
            topics_of.setdefault(word.replace("_", " ").lower(), []).append(topic)
    anchors = [(anchor, topic) for topic, entry in enumerate(entries.values()) for anchor in entry.get("says", ())]
    vectors = _encode([anchor for anchor, _ in anchors])
    return Bank(list(entries), topics_of, vectors, np.array([topic for _, topic in anchors]))


def told(turn: str) -> dict[int, set[str]]:
    """Return the topics whose tell-tale words stand in a turn, each with the words."""
    topics_of = bank().topics_of
    tokens = _TOKEN.findall(turn[:READ].lower())
    found: dict[int, set[str]] = {}
    for place in range(len(tokens)):
        for length in range(LONGEST, 0, -1):
            phrase = " ".join(tokens[place : place + length])
            if topics := topics_of.get(phrase):
                for topic in topics:
                    found.setdefault(topic, set()).add(phrase)
                break
    return found


def gist(turns: Sequence[str]) -> str:
    """Return the part of a conversation's user turns that is compared with the bank."""
    openings = (" ".join(turn[: 4 * TURN].split())[:TURN] for turn in turns)
    return " ".join(filter(None, openings))[:CONVERSATION]


def remember(gists: Iterable[str]) -> None:
    """Encode gists in one batch, so that single requests find their vectors ready."""
    missing = [text for text in dict.fromkeys(gists) if text and text not in _vectors]
    if not missing:
        return
    if len(_vectors) + len(missing) > REMEMBERED:
        forget()
    _vectors.update(zip(missing, _encode(missing), strict=True))


def vectors(texts: Sequence[str]) -> np.ndarray:
    """Return the unit vectors of some texts, shape (texts, dimensions), in order; encoded once, then remembered."""
    spoken = [text or " " for text in texts]
    remember(spoken)
    remember(spoken)  # the first may have dropped some to make room
    return np.array([_vectors[text] for text in spoken])


def forget() -> None:
    """Drop every remembered vector."""
    _vectors.clear()


def similarities(turns: Sequence[str]) -> np.ndarray:
    """Return the similarity of a conversation to each topic: its best anchor's cosine, 0 where it has none."""
    attributes, _, anchors, anchored = bank()
    scores = np.zeros(len(attributes), dtype=np.float32)
    if text := gist(turns):
        remember([text])
        np.maximum.at(scores, anchored, anchors @ _vectors[text])
    return scores.round(4)
