"""Reward models of a study: what they learn from, and what they predict of requests that they never saw (§6.3).

The predicted preference of a comparison is the personalised response's score less the generic one's, held to the mean
rating less 3: whichever response stands first cannot matter. Requests are divided into parts, and each part is
predicted by a model that learned from the others.
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from tqdm import tqdm

from recenter_utils.annotation.annotators import who
from recenter_utils.errors import RecenterError
from recenter_utils.responses.reward_data import Rated
from recenter_utils.scales import PREFERENCE
from recenter_utils.settings import Reward
from recenter_utils.stats.predictions import fits
from recenter_utils.tables import table
from recenter_utils.training import bases
from recenter_utils.training.reward.comparisons import MIDDLE, drawn
from recenter_utils.training.reward.learners import Backbone, Head, Learner, OutOfFold, out_of_fold
from recenter_utils.training.reward.model import fitted, rating

Array = NDArray[np.float64]

#: What trains, or is read, in a `tune: head`; the other settings then decide nothing.
_OF_HEAD = ("tune", "max_tokens")
_OF_BACKBONE = ("tune", "max_tokens", "epochs", "batch_size", "learning_rate", "lora_rank", "lora_learning_rate")


@dataclass(frozen=True)
class Predicted:
    """What reward models predict of every comparison out of fold, in points from the middle of the scale.

    models: by name, of the mean rating. The rest is of the first model: curve: by the number of ratings, a prediction a
    draw. own: by annotator, from theirs alone.
    """

    models: dict[str, OutOfFold]
    curve: dict[int, list[OutOfFold]]
    own: dict[int, OutOfFold]

    @property
    def first(self) -> str:
        """The model whose learning curve and annotators are looked at; an empty string where there is none."""
        return next(iter(self.models), "")


def name(base: str) -> str:
    """Return how tables and figures call the reward model of a base."""
    return f"reward/{Path(base).name}"


def predict(
    rated: Rated,
    rules: Reward,
    seed: int,
    *,
    home: Path,
    cache: Path | None = None,
    origin: str = "",
    progress: bool = True,
) -> Predicted:
    """Return what reward models predict out of fold; with `tune: all`, what earlier runs trained is found again.

    The model that learned from all ratings is kept in `models/reward/` of the study's folder, for use elsewhere.

    Args:
        rated: See `reward_data.read`.
        rules: `settings.Reward`.
        seed: The same seed, ratings and texts give the same predictions on the same machine.
        home: The study's folder.
        cache: The study's file of embeddings.
        origin: Where the data come from, for the cards.
        progress: Show a bar over what is trained.

    Raises:
        RecenterError: A base cannot be had, or two have one name.
    """
    twice = [one for one, times in Counter(map(name, rules.bases)).items() if times > 1]
    if twice:
        raise RecenterError(f"reward.bases: two bases would be called '{twice[0]}'; rename one's folder.")
    if rated.lacking:
        return Predicted({}, {}, {})
    models: dict[str, OutOfFold] = {}
    curve: dict[int, list[OutOfFold]] = {}
    own: dict[int, OutOfFold] = {}
    targets, counts = rated.mean - MIDDLE, rated.counts
    able = rated.able()
    with tqdm(desc="reward models", unit="model", disable=not progress, file=sys.stderr) as bar:

        def learned(learner: Learner, wanted: Array, ratings: NDArray[np.int64], **more: Any) -> OutOfFold:
            found = out_of_fold(learner, wanted, ratings, rated.parts, **more)
            bar.update(len(np.unique(rated.parts)))
            return found

        for base in rules.bases:
            learner, differences = _learner(rated, base, rules, seed, home, cache)
            models[name(base)] = learned(learner, targets, counts)
            about = {"origin": origin, "measured": _measured(rated, models[name(base)])}
            _keep(rated, base, rules, seed, home, differences, about)
            if len(models) > 1:
                continue
            most = models[name(base)].n_ratings
            for number in sorted({number for number in rules.ratings if number < most}):
                curve[number] = [
                    learned(learner, targets, counts, draw=_draw(rated, number, [seed, number, repeat]))
                    for repeat in range(rules.repeats)
                ]
            for place in able:
                single = rated.numbers[:, place]
                own[place] = learned(learner, single - MIDDLE, np.isfinite(single).astype(int))
    return Predicted(models, curve, own)


def _learner(
    rated: Rated, base: str, rules: Reward, seed: int, home: Path, cache: Path | None
) -> tuple[Learner, Array | None]:
    place = bases.located(base, home)
    if rules.tune == "all":
        settings = {name: getattr(rules, name) for name in _OF_BACKBONE}
        return Backbone(rated.texts, place, settings, seed, home / "models" / "reward" / "predictions"), None
    from recenter_utils.training.reward.features import differences  # on first use: it brings torch along

    apart = differences(rated.texts, place, rules.max_tokens, cache)
    return Head(apart, rated.requests), apart


def _keep(
    rated: Rated, base: str, rules: Reward, seed: int, home: Path, differences: Array | None, about: dict[str, Any]
) -> None:
    """Train the model that others may use on all ratings, where it is not there yet."""
    there = np.isfinite(rated.mean)
    names = _OF_HEAD if rules.tune == "head" else _OF_BACKBONE
    known = {"n_ratings": int(rated.counts.sum()), "n_annotators": len(rated.annotators)}
    fitted(
        home / "models" / "reward" / Path(base).name,
        rated.texts.filter(pl.Series(there)),
        rated.mean[there] - MIDDLE,
        base,
        {one: getattr(rules, one) for one in names},
        seed,
        home=home,
        differences=None if differences is None else differences[there],
        about=about | known,
    )


def _measured(rated: Rated, found: OutOfFold) -> str:
    """Return for a card how well models like it predict requests that they never saw."""
    (one,) = fits(rated.mean, found.values[:, None], "spearman", rated.requests, draws=0)
    value = f"{one.value:.2f}" if np.isfinite(one.value) else f"undefined ({one.note})"
    return (
        f"Models trained like it, each without a part of the requests, predicted the {one.n:,} comparisons of these "
        f"with a Spearman correlation of {value} with the mean rating."
    )


def _draw(rated: Rated, number: int, seed: list[int]) -> Any:
    """Return what draws so many ratings from those that may be learned from; the same seed draws the same."""
    generator = np.random.default_rng(seed)
    return partial(drawn, clusters=rated.requests, ratings=rated.counts, number=number, generator=generator)


def judge(rated: Rated, predicted: Predicted) -> pl.DataFrame:
    """Return the table `reward_judgments`: what each reward model predicts out of fold, as a rating."""
    rows = []
    for model, found in predicted.models.items():
        for item, score in zip(rated.texts["comparison_id"], rating(found.values), strict=True):
            if np.isfinite(score):
                rows.append(
                    {
                        "task": PREFERENCE.task,
                        "item_id": item,
                        "rater": model,
                        "rater_kind": "trained",
                        "label": str(int(np.rint(score))),
                        "score": float(score),
                        "flagged": False,
                    }
                )
    return table("reward_judgments").frame(rows)


def described(rated: Rated, rules: Reward, judgments: pl.DataFrame) -> str:
    """Return in a sentence what is trained, and from whom. judgments: the table `preference_judgments`."""
    if rated.lacking:
        return f"No reward model can be trained: {rated.lacking}."
    named = ", ".join(Path(base).name for base in rules.bases)
    what = "A linear head on a frozen backbone" if rules.tune == "head" else "A whole backbone"
    people = judgments.filter(pl.col("rater").is_in(rated.annotators))
    parts = len(np.unique(rated.parts))
    return (
        f"{what} ({named}) learns the mean ratings of {who(people)}. No request is divided: each of the {parts} parts "
        "is predicted by a model that learned from the others."
    )
