"""Third person into second: "Is improving their English." becomes "you are improving your English"."""

from __future__ import annotations

import re

from recenter_utils.inference.rules import lexicon as lex
from recenter_utils.inference.rules.grammar import third_person

_SUBJECT = re.compile(r"^(?:(?:the|this) )?(?:users?|person|they|he|she)(?:'s)? (?=\S)", re.I)
_PRONOUNS = {
    "they are": "you are", "they were": "you were", "they": "you", "them": "you", "their": "your", "theirs": "yours",
    "themselves": "yourself", "themself": "yourself", "the user's": "your", "the user": "you",
}  # fmt: skip
_PRONOUN = re.compile(r"\b(" + "|".join(sorted(_PRONOUNS, key=len, reverse=True)) + r")\b", re.I)
_IRREGULAR = {"is": "are", "was": "were", "has": "have", "does": "do", "focuses": "focus"}
_SAME = lex.word_set("cannot can could will would should may might must did had were are")
_VERBS = lex.LASTING | lex.DOUBTFUL | lex.TASTES | lex.NEVER | lex.AT_HAND
_ADVERBS = lex.HABITUAL | lex.EMPTY_ADVERBS
#: As a benchmark's affinities are put: "For restaurants, the cuisine preference is Thai."
_AFFINITY = re.compile(r"^for (?P<where>[^,]{1,60}), the (?P<what>.{1,80}?) (?P<verb>is|are) (?P<rest>.+)$", re.I)
_NOUN = re.compile(r"^an? ", re.I)
_ALSO = re.compile(r"(,? (?:and|or|but) )([a-z]+s)\b")


def second_person(attribute: str) -> str:
    """Return what a statement says of a person as a clause said to them, without a full stop: "you live in Porto".

    A statement that is no sentence about them ("Vegan.") is put as it stands: `"Vegan" is what describes you`.
    """
    said = " ".join(attribute.split()).rstrip(" .!;,")
    if affinity := _AFFINITY.match(said):
        return "your {what} for {where} {verb} {rest}".format(**affinity.groupdict())
    body = _SUBJECT.sub("", said)
    if _NOUN.match(body):
        return f"you are {body[0].lower()}{body[1:]}"
    words = body.split(" ")
    at = 0
    while at < len(words) - 1 and words[at].lower() in _ADVERBS:
        at += 1
    verb = _base(words[at].lower())
    if verb:
        rest = _ALSO.sub(_also, " ".join(["", *words[at + 1 :]]))
        lead = "".join(f"{word.lower()} " for word in words[:at])
        return f"you {lead}{verb}{_to_you(rest)}"
    if _PRONOUN.search(said) and said[-1:].isalnum():
        turned = _to_you(said)
        return turned[:1].lower() + turned[1:] if turned[1:2].islower() else turned
    return f'"{said}" is what describes you'


def somebody(attribute: str) -> str:
    """Return a statement as words for somebody ("someone who lives in Porto"); empty where it cannot be put so."""
    said = _SUBJECT.sub("", " ".join(attribute.split()).rstrip(" .!;,"))
    first = said.split(" ")[0].lower()
    return f"someone who {said[:1].lower()}{said[1:]}" if _base(first) or first in _ADVERBS else ""


def _base(word: str) -> str:
    """Return a verb's form after "you", from its form in the third person; empty where the word is none."""
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if word in _SAME or word in lex.EVENTS:
        return word
    if not re.fullmatch(r"[a-z]+s", word) or word.endswith("ss"):
        return ""
    for base in (word[:-1], word[:-2], word[:-3] + "y"):
        if base in _VERBS and third_person(base) == word:
            return base
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    return word[:-2] if word.endswith(("sses", "shes", "ches", "xes", "zzes", "oes")) else word[:-1]


def _also(match: re.Match[str]) -> str:
    """A second verb of the same person, where it is known to be one: "works as a nurse and lives in Porto"."""
    base = _base(match[2])
    known = match[2] in _IRREGULAR or base in lex.LASTING | lex.TASTES
    return match[1] + (base if known else match[2])


def _to_you(text: str) -> str:
    return _PRONOUN.sub(lambda match: _PRONOUNS[match[0].lower()], text)
