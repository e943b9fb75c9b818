"""Chat text made regular enough for rules: one spelling, no code, sentences apart."""

from __future__ import annotations

import re

#: A longer line is a paragraph, not code; and a pattern tried on it would take its time.
LINE = 300

_QUOTES = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "«": '"', "»": '"', "`": "'", "\u00a0": " "})
_UNREADABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]{1,200}`|https?://\S+", re.S)
_CODE_LINE = re.compile(
    r"^\s*(?:[\w.\[\]]+\s*[+\-*/]?=[^=].*|.*[{};]\s*|(?:def|class|import|from|return|for|while|if|elif|else|print"
    r"|SELECT|const|let|var|#include|public|private)\b.*[:;(){}=].*|[>$|#].*|<.*>\s*|\s*at .+\(.+\))$"
)
_BREAK = re.compile(r"(?<=[.!?…])[\"')\]]*\s+|\s*\n+\s*")
_ABBREVIATION = re.compile(r"(?:\b(?:e\.g|i\.e|etc|vs|approx|no|dr|mr|mrs|ms|st|prof|ca|yr|yrs|hrs|min)\.)$", re.I)
_BULLET = re.compile(r"^(?:[-*•>]+|\d{1,2}[.)])\s+")

_SPELLINGS = {
    "i": "I", "im": "I am", "i'm": "I am", "ive": "I have", "i've": "I have", "i'd": "I would", "i'll": "I will",
    "we're": "we are", "we've": "we have", "we'd": "we would", "you're": "you are", "you've": "you have",
    "they're": "they are", "he's": "he is", "she's": "she is", "who's": "who is",
    "dont": "do not", "don't": "do not", "doesnt": "does not", "doesn't": "does not", "didnt": "did not",
    "didn't": "did not", "cant": "cannot", "can't": "cannot", "wont": "will not", "won't": "will not",
    "isnt": "is not", "isn't": "is not", "arent": "are not", "aren't": "are not", "wasnt": "was not",
    "wasn't": "was not", "havent": "have not", "haven't": "have not", "hasn't": "has not", "couldn't": "could not",
    "wouldn't": "would not", "gonna": "going to", "wanna": "want to", "u": "you", "ur": "your", "pls": "please",
    "plz": "please", "tho": "though", "cuz": "because", "bc": "because", "b/c": "because",
}  # fmt: skip
_SPELLING = re.compile(
    r"(?<![\w'/])(?:" + "|".join(sorted(map(re.escape, _SPELLINGS), key=len, reverse=True)) + r")(?![\w'/]|\.\w)",
    re.I,
)


def clean(content: object) -> str:
    """Return `content` as text that any encoder takes: no lone surrogates or control characters, plain quotes."""
    text = content if isinstance(content, str) else ""
    return _UNREADABLE.sub(" ", text).translate(_QUOTES)


def prose(text: str) -> str:
    """Return the text without fenced and inline code, links and lines that read as code."""
    if "```" in text or "http" in text:
        text = _CODE.sub(" ", text)
    return "\n".join(line for line in text.splitlines() if len(line) > LINE or not _CODE_LINE.match(line))


def spell_out(text: str) -> str:
    """Return chat English with contractions and common chat spellings written out (`im` becomes `I am`)."""
    # Some letters match another's case without being it: a Turkish İ is no "i".
    return _SPELLING.sub(lambda match: _SPELLINGS.get(match[0].lower(), match[0]), text)


def sentences(text: str) -> list[str]:
    """Return the sentences and lines of a text, in order, each with its closing mark and without bullets."""
    pieces: list[str] = []
    for piece in _BREAK.split(text):
        if not piece:
            continue
        if pieces and _ABBREVIATION.search(pieces[-1]):
            pieces[-1] += " " + piece
        else:
            pieces.append(_BULLET.sub("", piece).strip())
    return [piece for piece in pieces if piece]


def words(text: str) -> list[str]:
    """Return the lower-cased words of a text, apostrophes kept inside them."""
    return re.findall(r"[^\W\d_]+(?:'[^\W\d_]+)*", text.lower())
