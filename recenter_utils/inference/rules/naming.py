"""Does a text name an attribute of its reader outright? "Since you live in Porto", "as a nurse, you", "your allergy".

Read are phrases in the second person that state or presuppose something of the reader, and the words that the
attribute turns on. Advice ("you could visit Porto") and conditions ("if you live in Porto") state nothing.
English only.
"""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import NamedTuple

from recenter_utils.inference.rules import lexicon as lex
from recenter_utils.inference.rules.bearing import stems
from recenter_utils.inference.rules.text import clean, prose, sentences, spell_out

#: Characters of a sentence that are read, and those of a quotation that is read as a name.
SENTENCE, NAME = 1000, 12
#: Words after "your" in which the thing stands that the reader is said to have.
OWNED = 3
#: Words that tell how often or how much, and who; what they qualify is the attribute.
_WEAK = stems(
    "regularly often usually always sometimes rarely never currently really quite mostly person someone people thing "
    "things time lot kind sort way good bad favourite favorite name enjoys loves hates dislikes"
)
#: Up to where a phrase goes on: its clause, and lists inside it, and not what is said next of the reader.
_PHRASE = (
    r"((?:(?! and you\b)[^,.;:!?()–—]|,(?= (?:and|or) |[\w' -]{1,25},? (?:and|or) )"
    r"(?! ?(?:I|you|we|it|this|here|try|let|so|then)\b))*)"
)
#: What gives a reason; "as" only where it opens a sentence, since elsewhere it may mean *while*.
_REASON = (
    r"(?:^\W*as|\b(?:since|because|given(?: that)?|considering(?: that)?|knowing(?: that)?|seeing(?: that| as| how)?"
    r"|now that|(?:even )?though|although|(?:know|see|remember|recall|understand|notice|aware|fact|mind|account"
    r"|mentioned)(?: that)?))"
)
_STATES = (
    r"(?:are|were|have|had|live|work|prefer|like|love|enjoy|hate|dislike|avoid|own|speak|suffer|want|tend|said|told"
    r"|mentioned|cannot stand|do not|always|usually|often|already|rarely|never|currently|mostly|mainly|really"
    r"|regularly)"
)
_UNSAID = r"(?:can|could|would|should|will|may|might|must|shall|need to|ought)"
_INTEREST = (
    r"(?:interests?|love|liking|passion|fondness|enthusiasm|dislike|aversion|preferences?|taste|wish|background|experience"
    r"|work|job|role|career|life|training|allergy|sensitivity|intolerance|fear|commitment|habit|being|having|use)"
)
_AS = re.compile(
    r"(?:^|[,;(–—-]\s*|\b(?:you|and|but|so|because|also)\s+)(?:as|being) (an? (?:[\w'-]+ ){0,5}?[\w'-]+)"
    r"(?=[,.!)–—]|$| you\b| who\b)",
    re.I,
)
_LASTING = "|".join(sorted(lex.LASTING))
_PHRASES = (
    re.compile(rf"^you ((?:{_LASTING})\b{_PHRASE[1:]}", re.I),
    re.compile(rf"{_REASON},? you (?!{_UNSAID}\b){_PHRASE}", re.I),
    re.compile(rf"{_REASON},? you (?!{_UNSAID}\b)[^.;:!?]*? and you (?!{_UNSAID}\b){_PHRASE}", re.I),
    re.compile(
        rf"(?<!\bif )(?<!unless )(?<!whether )(?<!\bcan )(?<!could )(?<!would )(?<!should )(?<!\bdo )(?<!help )"
        rf"(?<!helps )(?<!\blet )(?<!\blets )(?<!until )\byou ({_STATES}\b{_PHRASE[1:]}",
        re.I,
    ),
    re.compile(rf"\byour (?:[\w'-]+ )?{_INTEREST} (?:in|of|for|as|with|to|towards?|on|at|from|an?) {_PHRASE}", re.I),
    re.compile(rf"\byour ((?:[\w'-]+(?: |(?![\w'-]))){{1,{OWNED}}})", re.I),
    re.compile(rf"\b(?:as|for|being) (?:someone|somebody|a person)(?: like you)? (?:who|with|in|on) {_PHRASE}", re.I),
    _AS,
)
#: Marks by twos: what stands between a closing and the next opening one is not quoted.
_QUOTED = re.compile(r'"([^"\n]*)"')
#: Headings and cells of tables, which would pass for comments and output.
_MARKS = re.compile(r"^[ \t]*#+[ \t]+|\|", re.M)
_EITHER = re.compile(r"\b(?:and|or)\b|[,/]", re.I)
_SUBJECT = re.compile(r"^(?:the )?(?:user|person|I)(?:'s)?\s+", re.I)
_VERB = re.compile(r"^(?!is\b|has\b)[a-z]+s\s+(?=\S)", re.I)


class Claim(NamedTuple):
    """A phrase that says something of the reader, with its sentence and the words of meaning that it holds."""

    sentence: str
    phrase: str
    words: frozenset[str]


def mentions(text: str, attribute: str) -> bool:
    """Say whether a response names an attribute of its reader outright.

    A phrase that addresses the reader must hold the attribute's words, cut to what their forms share: both of two,
    more than half of many, half where the attribute lists several things. Its verb may differ, and quotations and code
    are passed over. Deterministic; an attribute without a word of meaning is never named.
    """
    wanted, needed = _wanted(attribute)
    return bool(wanted) and any(len(wanted & claim.words) >= needed for claim in claims(text))


@lru_cache(maxsize=4096)
def claims(text: str) -> tuple[Claim, ...]:
    """Return what a text states or presupposes of its reader, each phrase once."""
    found: dict[str, Claim] = {}
    said = clean(prose(_MARKS.sub("\n", text)))
    for sentence in sentences(_QUOTED.sub(_short, said)):
        plain = spell_out(sentence[:SENTENCE])
        for pattern in _PHRASES:
            for match in pattern.finditer(plain):
                if held := _cut(match[1]):
                    found.setdefault(match[1].strip(), Claim(sentence, match[1].strip(), held))
    return tuple(found.values())


def _short(quoted: re.Match[str]) -> str:
    """Return what stands between quotation marks, with them, if it is as short as a name."""
    return quoted[0] if len(quoted[1]) < NAME else " "


@lru_cache(maxsize=4096)
def _wanted(attribute: str) -> tuple[frozenset[str], int]:
    """Return the words that an attribute turns on, and how many of them must be said."""
    said = _SUBJECT.sub("", spell_out(clean(attribute)).strip())
    without_verb = _cut(_VERB.sub("", said)) - _WEAK
    wanted = without_verb or _cut(said) - _WEAK
    share = 0.5 if _EITHER.search(said) else 1.0 if len(wanted) <= 2 else 0.6
    return wanted, max(1, math.ceil(share * len(wanted)))


def _cut(text: str) -> frozenset[str]:
    """Return the stems of a text, a doubled last letter made one: swims and swimming are one word."""
    return frozenset(
        stem[:-1] if len(stem) > 3 and stem[-1] == stem[-2] and stem[-1] not in "aeiouls" else stem
        for stem in stems(text)
    )
