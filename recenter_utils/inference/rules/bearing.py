"""Which sentences of an excerpt bear on an attribute, whose words they are, and how near they come to it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from recenter_utils.inference.rules import lexicon as lex
from recenter_utils.inference.rules import topics
from recenter_utils.inference.rules.framing import voices
from recenter_utils.inference.rules.style import styles
from recenter_utils.inference.rules.text import clean, sentences, spell_out, words

#: Characters of a sentence that MiniLM sees, and how many sentences it compares with the attribute.
SENTENCE, COMPARED = 160, 2
#: Turns from a draft, in the excerpt, within which what is said without an "I" is still about the draft.
BESIDE = 2

#: Words that carry no meaning of their own, or that stand in every attribute and reason.
FRAME = lex.word_set(
    "user users says say said asks ask asked speaks speak spoke of it its once twice times the a an and or to in on at "
    "for with by from as is are was were be been has have had do does did not no that this these those they their them "
    "he she his her you your i my me we our who what how why when which whole conversation about can could would will "
    "want wants likes like interested learning works work lives live prefers prefer uses use gets get mentions states "
    "indicates suggests implies being so but if than then there here just also one some any all very"
)
ONESELF = re.compile(r"\b(?:I|I am|my|me|mine|myself|we|our|us)\b")
#: What is to be put into a text is not said of oneself.
_DICTATES = re.compile(
    r"^(?:(?:ok|okay|now|and|also|please|then|good|exactly right),? )*(?:add|mention|include|say|write)\b", re.I
)
_QUOTED = re.compile(r'"([^"]{12,})"')


@dataclass(frozen=True, slots=True)
class Said:
    """A sentence of the excerpt, and whose it is."""

    text: str
    own: bool
    user: bool
    cited: bool
    place: tuple[int, int]  # conversation and turn


class Reading:
    """An attribute beside its excerpt: which sentences bear on it, and whose they are."""

    def __init__(self, slots: Mapping[str, Any]) -> None:
        self.attribute = spell_out(clean(slots["attribute"])).strip()
        self.reason = clean(slots["reason"])
        self.judgment = slots["judgment"]
        self.said = list(_said(slots["excerpt"]))
        self.topic = stems(self.attribute)
        quoted = " ".join(_QUOTED.findall(self.reason))
        self.quoted = stems(spell_out(quoted))
        self.cues = self.topic | stems(_QUOTED.sub(" ", self.reason))
        self.drafting = [said.place for said in self.said if said.user and not said.own]
        self.styled = [
            said for said in self.said if said.user and self.attribute in (style for style, _ in styles(said.text))
        ]

    @cached_property
    def bearers(self) -> list[Said]:
        """The user's sentences that the attribute seems to come from: cited ones before others, nearest first."""
        own = [sentence for sentence in self.said if sentence.user]
        if self.styled:
            return self.styled
        for pool in ([sentence for sentence in own if sentence.cited], own):
            for cues, share in ((self.quoted, 0.5), (self.cues, 0.0)):
                shared = {sentence: stems(sentence.text) for sentence in pool}
                fit = [
                    sentence
                    for sentence, held in shared.items()
                    if held and len(held & cues) > share * len(held) and held & cues
                ]
                if fit:
                    most = max(len(shared[sentence] & self.topic) for sentence in fit)
                    near = [sentence for sentence in fit if len(shared[sentence] & self.topic) >= min(most, 1)]
                    return sorted(near, key=lambda sentence: -len(shared[sentence] & self.topic))
        return []

    @property
    def texts(self) -> list[str]:
        """What MiniLM has to see: the attribute and the sentences that bear on it most."""
        return [self.attribute, *(sentence.text[:SENTENCE] for sentence in self.bearers[:COMPARED])]

    @cached_property
    def nearness(self) -> float:
        """The best cosine of the attribute and a sentence that bears on it; 0 where none does."""
        vectors = topics.vectors(self.texts)
        return round(float((vectors[1:] @ vectors[0]).max()), 3) if len(vectors) > 1 else 0.0

    def of_oneself(self, said: Said) -> bool:
        """Whether a sentence is the user's own voice: no draft, and beside one it must speak of "I" or "my"."""
        if not said.own or _DICTATES.match(said.text):
            return False
        conversation, turn = said.place
        beside = any(place[0] == conversation and abs(place[1] - turn) <= BESIDE for place in self.drafting)
        return not beside or bool(ONESELF.search(said.text))

    def turn_of(self, said: Said) -> str:
        """Return all that the user says in the turn of a sentence."""
        return " ".join(other.text for other in self.said if other.place == said.place)

    @property
    def outright(self) -> float:
        """The largest share of the attribute's words that one of the user's own sentences holds."""
        own = [stems(sentence.text) for sentence in self.bearers if sentence.own]
        return max((len(held & self.topic) / len(self.topic) for held in own if self.topic), default=0.0)


def stems(text: str) -> frozenset[str]:
    """Return the words of a text that carry meaning, cut to what their forms share."""
    return frozenset(_stem(word) for word in words(text) if word not in FRAME and len(word) > 1)


def _stem(word: str) -> str:
    word = word.removesuffix("'s")
    for ending in ("ies", "ing", "ed", "es", "s", "er"):
        if word.endswith(ending) and len(word) - len(ending) > 2:
            return word[: -len(ending)] + ("y" if ending == "ies" else "")
    return word.removesuffix("e") if len(word) > 4 else word


def _said(excerpt: Sequence[Mapping[str, Any]]) -> Iterable[Said]:
    turns: dict[int, list[Mapping[str, Any]]] = {}
    for turn in excerpt:
        turns.setdefault(turn["conversation"], []).append(turn)
    for conversation, members in turns.items():
        own = [turn for turn in members if turn["role"] == "user"]
        for turn, spoken in zip(own, voices([clean(turn["content"]) for turn in own]), strict=True):
            for sentence in spoken:
                yield Said(sentence.text, sentence.own, True, turn["cited"], (conversation, turn["turn"]))
        for turn in members:
            if turn["role"] == "assistant":
                for text in sentences(spell_out(clean(turn["content"]))):
                    yield Said(text, False, False, turn["cited"], (conversation, turn["turn"]))
