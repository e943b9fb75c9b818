"""The graded score of an answer: the probability of yes against no at its final word, from log-probabilities.

The word's first letter decides between the two, so the score is read at the token that holds it, whatever pieces the
tokenizer makes: ` YES`, `YES`, `Y` and `ES`. There, the listed tokens that begin one of the words, in any case and with
any white space before, are summed: P(yes) / (P(yes) + P(no)). The probability is that of the word given the reasoning
before it, which is one of many that the model might have given.

Where one of the two is not listed, its mass is not known but bounded: by what the list leaves of 1, and, as one token,
by the smallest listed probability, since a likelier token would be listed. It is taken to be the smaller of these two,
the most that it can be, so that a score errs towards one half and never away from it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from recenter_utils.inference.final_line import FinalLine

#: How many alternatives a token may be asked for with, as servers allow them, the most first.
ALTERNATIVES = (20, 5)
#: Tokens at the end of an answer among which the final line is looked for.
TAIL = 48

#: White space, and the mark by which some tokenizers show it.
_BLANK = re.compile(r"[\s\u2581]+")


@dataclass(frozen=True, slots=True)
class Token:
    """A token of an answer, its log-probability, and those that might have stood in its place, with theirs."""

    text: str
    logprob: float
    others: Sequence[tuple[str, float]] = ()


def score(text: str | None, tokens: Sequence[Token], line: FinalLine) -> float | None:
    """Return the probability of yes against no at the final word, 0 to 1.

    None where the text does not end with the line, the tokens are not those of the text, or the probabilities are none.
    """
    try:
        _, yes = line.read(text or "")
    except ValueError:
        return None
    found = _token_of_word(tokens[-TAIL:], line, yes)
    if found is None:
        return None
    token, before = found
    listed = list(token.others)
    if token.text not in (other for other, _ in listed):  # drawn, or forced by a grammar, from beyond the list
        listed.append((token.text, token.logprob))
    masses = [(_leaning(other, before, line), _mass(logprob)) for other, logprob in listed]
    said = {way: math.fsum(mass for leaning, mass in masses if leaning is way) for way in (True, False)}
    if not said[yes]:
        return None
    if not said[not yes]:
        left = max(0.0, 1.0 - math.fsum(mass for _, mass in masses))
        said[not yes] = min(left, min(mass for _, mass in masses))
    return said[True] / (said[True] + said[False])


def openai_tokens(choice: Mapping[str, Any]) -> list[Token]:
    """Return the tokens of a chat completion's choice, as OpenAI and vLLM list them; none where it lists none."""
    logprobs = choice.get("logprobs")
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    if not isinstance(content, list):
        return []
    try:
        return [
            Token(_text(entry), entry["logprob"], [(_text(other), other["logprob"]) for other in _others(entry)])
            for entry in content[-TAIL:]
        ]
    except (KeyError, TypeError, AttributeError):
        return []


def _others(entry: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    return entry.get("top_logprobs") or ()


def _text(entry: Mapping[str, Any]) -> str:
    # The bytes are exact where the text may be a token's number, or the half of a character.
    data = entry.get("bytes")
    if isinstance(data, list) and data:
        try:
            return bytes(data).decode("utf-8", "replace")
        except (ValueError, TypeError):
            pass
    return str(entry["token"])


def _token_of_word(tokens: Sequence[Token], line: FinalLine, yes: bool) -> tuple[Token, str] | None:
    """Return the token that holds the final word's first letter, and what it holds before that letter."""
    # White space aside: some tokenizers lose it when a token is shown alone.
    pieces = [_BLANK.sub("", token.text) for token in tokens]
    wanted = _BLANK.sub("", line.lines[0 if yes else 1])
    # The last place, since an end mark may follow that is no part of the text.
    start = "".join(pieces).rfind(wanted)
    if start < 0:
        return None
    start += len(wanted) - len(line.yes if yes else line.no)
    for token, piece in zip(tokens, pieces, strict=True):
        if start < len(piece):
            return token, piece[:start]
        start -= len(piece)
    return None


def _leaning(text: str, before: str, line: FinalLine) -> bool | None:
    """Say whether a token in the word's place begins yes (True), no (False) or anything else."""
    piece = _BLANK.sub(" ", text).strip()
    if not piece.startswith(before):
        return None
    begun = piece[len(before) :].strip().casefold()
    for word, way in ((line.yes.casefold(), True), (line.no.casefold(), False)):
        whole = begun.startswith(word) and not begun[len(word) : len(word) + 1].isalpha()
        if begun and (word.startswith(begun) or whole):
            return way
    return None


def _mass(logprob: Any) -> float:
    """Return a probability; 0 for what is none (servers send null, -9999 or NaN for the impossible)."""
    if not isinstance(logprob, int | float) or math.isnan(logprob):
        return 0.0
    return math.exp(min(float(logprob), 0.0))
