"""What embedded generators write whoever asks: common words by kind and subject, and the request's own."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from recenter_utils.inference.rules.bearing import FRAME
from recenter_utils.inference.rules.knowledge import Asked, knowledge
from recenter_utils.inference.rules.lexicon import word_set
from recenter_utils.inference.rules.text import sentences
from recenter_utils.lots import drawn

#: Points of a response.
POINTS = 5
#: Words of a question up to which it always gets the same text.
BRIEF = 12
#: Words of a request that a response takes up.
TOPIC = 4

#: Of requests alone: words that say how to answer, and not what about.
_ASKING = FRAME | word_set(
    "please give list suggest recommend explain describe summarise summarize draft write plan convert calculate "
    "rewrite compute translate include show tell help need needs sounds sound use each make create difference "
    "between few idea ideas tips short well something somebody someone first while after before next during into "
    "through over under sentence sentences line lines word words only fits begin start starts much many more most "
    "own really way ways good nice best should might thing things think thinking know known come"
)
_WORD = re.compile(r"[^\W_](?:[\w'-]*\w)?|[^\w\s]")
_QUOTED = re.compile(r"""(?:^|\s)['"]+(.{8,300}?)['"]+(?=\W|$)""", re.S)
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_SQL = re.compile(r"\b(?:sql|quer(?:y|ies)|database|table)\b", re.I)


class Point(NamedTuple):
    """A point of a list: what stands in bold, and a sentence."""

    lead: str
    says: str


@dataclass(slots=True)
class Written:
    """A response before it is put into Markdown."""

    opening: str
    block: str
    points: list[Point]
    closing: str
    named: list[str] = field(default_factory=list)
    style: str = "numbered"
    short: bool = False

    def markdown(self) -> str:
        """Return it as text."""
        parts = [self.opening, *self.named, self.block, self._listed(), "" if self.short else self.closing]
        return "\n\n".join(filter(None, parts))

    def _listed(self) -> str:
        if self.style == "prose":
            return " ".join(f"{lead} {says}" for lead, says in self.points)
        if self.style == "table":
            rows = [f"| {' | '.join(part.replace('|', '/') for part in point)} |" for point in self.points]
            return "\n".join(["| What | How |", "|---|---|", *rows])
        marks = [f"{n}." if self.style == "numbered" else "-" for n in range(1, len(self.points) + 1)]
        return "\n".join(f"{mark} **{lead}** {says}" for mark, (lead, says) in zip(marks, self.points, strict=True))


def written(request: Asked, *lots: str) -> Written:
    """Return a response to a request that takes no account of who asks.

    lots: names that it is drawn for; a brief question gets the same text whatever they are but for the first.
    """
    kind = "fact" if request.kind == "rewriting" and not _QUOTED.search(request.text) else request.kind
    brief = kind in ("fact", "calculation", "rewriting") and len(request.text.split()) <= BRIEF
    names = (request.text, *(lots[:1] if brief else lots))
    subjects = texts()["subjects"]
    entry = texts()["kinds"].get(kind) or subjects.get(subject_of(request)) or subjects["other"]
    topic = _topic(request.text)
    opening = drawn(entry["openings"], 1, 0, "opening", *names)[0]
    numbers = " and ".join(_NUMBER.findall(request.text)[:3]) or "of the task"
    return Written(
        opening.format(topic=topic, Topic=topic[:1].upper() + topic[1:]),
        _block(request.text, kind, topic),
        [point(says.replace("{numbers}", numbers)) for says in drawn(entry["points"], POINTS, 0, "points", *names)],
        drawn(entry["closings"], 1, 0, "closing", *names)[0],
    )


def subject_of(request: Asked) -> str:
    """Return what a request is about: of several subjects, the one it speaks of first; empty where none is known."""
    spoken = knowledge().subjects

    def place(name: str) -> tuple[float, int, str]:
        said = (match.start() for match in spoken[name].finditer(request.text) if match[0].lower() not in _ASKING)
        return -request.subjects[name], next(said, len(request.text)), name

    return min(request.subjects, key=place, default="")


def point(text: str) -> Point:
    """Return a point as the file of texts has it: "Lead. Sentence."."""
    lead, _, says = text.partition(". ")
    return Point(f"{lead}.", says)


@cache
def texts() -> dict[str, Any]:
    """Return the file of texts: subjects, kinds, and what matters change."""
    held: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("generation.yaml").read_text(encoding="utf-8"))
    return held


def _topic(text: str) -> str:
    """Return the request's own words on what it is about: runs of words with a meaning, the first few."""
    first = " ".join(sentences(text)[:2])
    runs = [" ".join(words) for told, words in groupby(_WORD.findall(first), key=lambda word: _tells(word)) if told]
    kept: list[str] = []
    for run in dict.fromkeys(runs):
        if len(" ".join([*kept, run]).split()) > TOPIC:
            break
        kept.append(run)
    return " and ".join(filter(None, [", ".join(kept[:-1]), *kept[-1:]])) or "the question"


def _tells(word: str) -> bool:
    return word[0].isalnum() and word.lower() not in _ASKING and len(word) > 1


def _block(text: str, kind: str, topic: str) -> str:
    """Return what stands apart in an answer: code, a draft, the reworked text."""
    title = f"{topic[:1].upper()}{topic[1:]}"
    if kind == "code" and _SQL.search(text):
        code = "SELECT name, COUNT(*) AS n\nFROM entries\nGROUP BY name\nORDER BY n DESC;"
        return f"```sql\n-- {title}\n{code}\n```"
    if kind == "code":
        code = "    kept = sorted(set(values))\n    return kept[-2] if len(kept) > 1 else None"
        return f'```python\ndef answer(values):\n    """{title}."""\n{code}\n```'
    if kind == "draft":
        lines = ("Hello [name],", "", f"A few lines from me: {topic}.", "I look forward to your answer.", "", "[name]")
        return "\n".join(f"> {line}".rstrip() for line in lines)
    quoted = _QUOTED.search(text) if kind == "rewriting" else None
    return f"> {' '.join(quoted[1].split())}" if quoted else ""
