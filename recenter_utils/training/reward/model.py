"""A finished reward model: trained on all ratings of a study, kept with a card, and asked for the score of a response.

How well such a model does is measured on others, each of which left a part of the requests out: see `learners`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from recenter_utils.errors import RecenterError
from recenter_utils.training import bases, card, folders
from recenter_utils.training.reward import features, kept, ridge
from recenter_utils.training.reward.card import readme
from recenter_utils.training.reward.comparisons import MIDDLE, check, fingerprint

Array = NDArray[np.float64]

#: What a card must say for the model to be used.
NEEDED = ("key", "base", "settings")

#: The linear head's file.
HEAD = "head.safetensors"


class RewardModel:
    """A reward model in its folder. Loaded when it is first asked.

    home: The study's folder, from which a base that is a folder is looked for.
    """

    def __init__(self, folder: Path, home: Path | None = None) -> None:
        self.folder, self._home = folder, home
        self.record: dict[str, Any] = card.read(folder, "reward model", NEEDED)

    @property
    def tune(self) -> str:
        """What was trained: `all`, or `head`."""
        return str(self.record["settings"]["tune"])

    def scores(self, requests: Sequence[str], attributes: Sequence[str], responses: Sequence[str]) -> Array:
        """Return what each response is worth to whoever has the attribute and makes the request.

        In points of the five-point scale, from no origin: only differences between responses to the same mean anything.
        """
        if not responses:
            return np.empty(0)
        if self.tune == "head":
            base = bases.located(self.record["base"], self._home)
            most = self.record["settings"]["max_tokens"]
            return np.asarray(features.features(requests, attributes, responses, base, most) @ self._weights)
        from recenter_utils.training.reward import backbone  # on first use: it brings torch along

        tokenizer, model = self._loaded
        inputs = backbone.encode(tokenizer, requests, attributes, responses, self.record["settings"]["max_tokens"])
        return backbone.scores(tokenizer, model, inputs)

    def ratings(
        self, requests: Sequence[str], attributes: Sequence[str], first: Sequence[str], second: Sequence[str]
    ) -> Array:
        """Return how far the second response is preferred to the first: 1 strongly the first to 5 strongly the second.

        Two responses that change places change the rating to 6 less it.
        """
        apart = self.scores(requests, attributes, second) - self.scores(requests, attributes, first)
        return rating(apart)

    @cached_property
    def _weights(self) -> Array:
        return load_file(self.folder / HEAD)["weights"].astype(float)

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        from recenter_utils.training.reward import backbone

        return backbone.load_trained(self.folder, bases.located(self.record["base"], self._home))


def rating(apart: Array) -> Array:
    """Return differences of two scores on the five-point scale, to which they are held."""
    return np.clip(MIDDLE + apart, 1.0, 5.0)


def fitted(
    folder: Path,
    comparisons: pl.DataFrame,
    targets: Array,
    base: str,
    settings: Mapping[str, Any],
    seed: int,
    *,
    home: Path | None = None,
    differences: Array | None = None,
    about: Mapping[str, Any] | None = None,
) -> RewardModel:
    """Return the reward model that all of these ratings give: the stored one, or else trained now.

    Args:
        folder: Where it is kept, with a card (README.md). Replaced whole or not at all.
        comparisons: See `comparisons.SCHEMA`; those that have a rating.
        targets: Mean rating of each, less 3.
        base: The backbone, as study.yaml names it.
        settings: tune, max_tokens, and for `tune: all` what `fitting.fit` takes.
        seed: The same seed gives the same model on the same machine.
        home: The study's folder, from which a base that is a folder is looked for; see `bases.located`.
        differences: See `features.differences`; needed for `tune: head`.
        about: What else the card says: origin, labels, n_ratings, n_annotators, and scores out of fold.

    Raises:
        RecenterError: There is nothing to learn from, or the base cannot be had.
    """
    check(comparisons)
    if comparisons.is_empty():
        raise RecenterError("No reward model can be trained: no comparison has a rating.")
    place = bases.located(base, home)
    parts = [
        fingerprint(comparisons),
        targets.tolist(),
        dict(settings),
        bases.fingerprint(place),
        seed,
        kept.VERSION,
    ]
    key = hashlib.blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=12).hexdigest()
    said = dict(about or {})
    if card.stored_key(folder, NEEDED) == key:
        stored = card.read(folder, needed=NEEDED)
        if stored | said != stored:
            card.store(folder, stored | said, readme(stored | said))
        return RewardModel(folder, home)
    record = {"key": key, "base": base, "settings": dict(settings), "seed": seed, **said}
    record |= {"n_comparisons": len(comparisons), "n_requests": comparisons["cluster"].n_unique()}
    made = folders.partial(folder)
    if settings["tune"] == "head":
        assert differences is not None
        found = ridge.fit(differences, targets, comparisons["cluster"].to_numpy())
        save_file({"weights": found.weights}, made / HEAD)
        record |= {"penalty": found.penalty}
    else:
        from recenter_utils.training.reward import backbone, fitting  # on first use: they bring torch along

        trained = fitting.fit(comparisons, targets, place, settings, seed)
        backbone.save(trained.tokenizer, trained.model, made)
        record |= trained.spent
    card.store(made, record, readme(record))
    folders.replace(folder, made)
    return RewardModel(folder, home)
