"""Comparisons whose responses hold words that annotators like or dislike, and features by which a head can see them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recenter_utils.responses import reward_data
from recenter_utils.responses.reward_data import Rated
from recenter_utils.settings import Reward
from recenter_utils.tables import table

Array = NDArray[np.float64]

WORDS = ["bees", "hives", "garden", "bread", "piano", "nurse", "night", "train", "coffee", "chess", "river", "stone"]
#: Words that a personalised response may hold, each in half of them.
WARM, BLUNT = "warmth", "bluntness"

#: What annotators like: points for each telling word. All alike, or half of them the other way round.
ALIKE: dict[str, Mapping[str, float]] = {f"simulated-{n}": {WARM: 0.9, BLUNT: -0.9} for n in (1, 2, 3, 4)}
OPPOSED: dict[str, Mapping[str, float]] = {
    name: {word: points * (1 if place < 2 else -1) for word, points in likes.items()}
    for place, (name, likes) in enumerate(ALIKE.items())
}
#: The same likes, but one of them only guesses: nobody's taste, and unequal noise.
THREE_AND_GUESSER = ALIKE | {"simulated-1": {}}
GUESSER = {name: likes for name, likes in THREE_AND_GUESSER.items() if name != "simulated-4"}
NOTHING: dict[str, Mapping[str, float]] = {name: {} for name in ALIKE}

RULES = Reward(tune="head", ratings=(50, 100), repeats=2)


class Planted:
    """The tables of a study in which annotators rate by words, plus noise of their own."""

    def __init__(
        self,
        likes: Mapping[str, Mapping[str, float]] = ALIKE,
        seed: int = 0,
        requests: int = 24,
        pages: int = 4,
        attributes: int = 3,
        noise: float = 1.0,
        judges: Mapping[str, float] | None = None,
    ) -> None:
        rng = np.random.default_rng(seed)
        prompts, responses, comparisons, judgments = [], [], [], []
        for request in range(requests):
            prompt = f"q{request:03}"
            prompts.append({"prompt_id": prompt, "source": "demo", "text": _words(rng, 6)})
            for page in range(pages):
                told = [word for word in (WARM, BLUNT) if rng.random() < 0.5]
                ids = {side: f"{prompt}/{page}/{side}" for side in ("generic", "personalised")}
                for side, words in (("generic", []), ("personalised", told)):
                    responses.append({"response_id": ids[side], "text": " ".join([_words(rng, 8), *words])})
                for attribute in range(attributes):
                    item = f"p{request:03}{page}/a{attribute}"
                    comparisons.append(
                        {
                            "comparison_id": item,
                            "page_id": f"p{request:03}{page}",
                            "prompt_id": prompt,
                            "user_id": "chat/u00",
                            "generator": f"generator-{page}",
                            "attribute_id": f"{prompt}/a{attribute}",
                            "attribute": _words(rng, 3),
                            "generic_id": ids["generic"],
                            "personalised_id": ids["personalised"],
                        }
                    )
                    for rater, points in likes.items():
                        score = 3 + sum(points.get(word, 0) for word in told) + noise * rng.standard_normal()
                        judgments.append(_judged(item, rater, "simulated", score))
                    for rater, share in (judges or {}).items():
                        score = 3 + share * (WARM in told) - share * (BLUNT in told) + rng.standard_normal()
                        judgments.append(_judged(item, rater, "llm", score))
        self.prompts = pl.DataFrame(prompts)
        self.responses = pl.DataFrame(responses, {"response_id": pl.String, "text": pl.String})
        self.comparisons = table("comparisons").frame(comparisons)
        self.judgments = table("preference_judgments").frame(judgments)

    def rated(self, rules: Reward = RULES, seed: int = 0, excluded: tuple[str, ...] = ()) -> Rated:
        """Return what reward models read of it."""
        return reward_data.read(self.comparisons, self.responses, self.prompts, self.judgments, rules, seed, excluded)


def _words(rng: np.random.Generator, number: int) -> str:
    return " ".join(rng.choice(WORDS, number))


def _judged(item: str, rater: str, kind: str, score: float) -> dict[str, object]:
    held = int(np.clip(np.rint(score), 1, 5))
    return {
        "task": "preference",
        "item_id": item,
        "rater": rater,
        "rater_kind": kind,
        "label": str(held),
        "score": float(held),
        "flagged": False,
        "first_shown": "generic",
    }


def vectors(texts: Sequence[str], width: int = 40) -> Array:
    """Return each text as the mean of vectors drawn for its words, of unit length."""
    known = {word: _drawn(word, width) for word in {word for text in texts for word in text.split()}}
    found = np.array([sum(known[word] for word in text.split()) for text in texts]).reshape(len(texts), width)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def _drawn(word: str, width: int) -> Array:
    seed = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=4).digest(), "big")
    return np.random.default_rng(seed).standard_normal(width)


def differences(comparisons: pl.DataFrame, *_: object) -> Array:
    """Return features of the texts in place of `features.differences`, without an encoder."""
    return vectors(comparisons["personalised"].to_list()) - vectors(comparisons["generic"].to_list())
