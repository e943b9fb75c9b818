"""What a rater can answer: the three tasks of the study, their labels, and the numbers these stand for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from recenter_utils.errors import RecenterError, nearest

#: Who answers. `simulated` raters stand where people stand in the demo, and are never called human.
RATER_KINDS = ("human", "simulated", "llm", "retrieval", "trained")

#: The kinds that answer on the annotation screens.
PEOPLE = ("human", "simulated")


@dataclass(frozen=True)
class Scale:
    """The answers that one task allows, from least to most, with the words of its buttons (Appendix G).

    `judged` is what is judged, in the plural, for sentences about answers. `graded`: labels differ by degrees, so that
    annotators are compared by how far their answers lie apart.
    """

    task: str
    question: str
    words: Mapping[str, str]  # label to what the button says
    judged: str
    lowest: int = 0
    graded: bool = False

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels in order."""
        return tuple(self.words)

    @property
    def kappa(self) -> str:
        """The statistic of `stats.agreement` by which two annotators are compared."""
        return "linear_kappa" if self.graded else "kappa"

    @property
    def kappa_words(self) -> str:
        """What a sentence calls it."""
        return "weighted kappa" if self.graded else "kappa"

    def score(self, label: str) -> int:
        """Return the number that a label stands for; raise where it is none of this scale."""
        if label not in self.words:
            raise RecenterError(f"'{label}' is no answer to {self.task}: {', '.join(self.labels)} are.")
        return self.labels.index(label) + self.lowest

    def find(self, said: str) -> str | None:
        """Return the label that somebody's wording stands for: itself or its button's words, in any case."""
        plain = " ".join(said.replace("’", "'").casefold().split())
        for label, words in self.words.items():
            if plain in (label.casefold(), words.casefold()):
                return label
        return None


def _scale(task: str, question: str, words: Mapping[str, str], judged: str, **more: Any) -> Scale:
    return Scale(task, question, MappingProxyType(dict(words)), judged, **more)


ATTRIBUTE_QUALITY = _scale(
    "attribute_quality",
    "Going by the conversations, does this statement about the user make sense?",
    {"rejected": "Doesn't make sense", "uncertain": "Maybe", "accepted": "Makes sense"},
    "attributes",
)
RELEVANCE = _scale(
    "relevance",
    "Should this attribute change the answer to the request in any way?",
    {"no": "NO", "yes": "YES"},
    "pairs",
)
#: Stored as generic to personalised; the screen asks A to B, in an order drawn for each annotator.
PREFERENCE = _scale(
    "preference",
    "Given this attribute, which response is better?",
    {
        "1": "Strongly prefer A",
        "2": "Prefer A",
        "3": "No preference",
        "4": "Prefer B",
        "5": "Strongly prefer B",
    },
    "comparisons",
    lowest=1,
    graded=True,
)

SCALES: Mapping[str, Scale] = MappingProxyType(
    {scale.task: scale for scale in (ATTRIBUTE_QUALITY, RELEVANCE, PREFERENCE)}
)


def scale_of(task: str) -> Scale:
    """Return a task's scale by its name, with `-` or `_`; raise with the nearest name."""
    name = task.replace("-", "_")
    if name not in SCALES:
        known = [known.replace("_", "-") for known in SCALES]
        raise RecenterError(f"There is no task '{task}': {', '.join(known)} are.{nearest(task, known)}")
    return SCALES[name]
