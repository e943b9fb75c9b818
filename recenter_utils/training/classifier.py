"""A pair classifier: an encoder fine-tuned on what people said of (text, attribute) pairs (Appendices E and F).

The loss is cross-entropy in which a positive example weighs beta squared and a negative one 1, as a missed positive
and a false alarm weigh in F-beta. The paper names the weighting and its beta, and no formula: this is our reading.
No further weight evens out the classes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recenter_utils.errors import RecenterError
from recenter_utils.settings import Selector, Verifier
from recenter_utils.training import bases, card, folders
from recenter_utils.training import examples as pairs
from recenter_utils.training.scoring import best_threshold, predict

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

#: What decides the trained model besides its examples; the other settings divide the data or come after it.
DECIDES = ("base", "layers", "epochs", "patience", "learning_rate", "batch_size", "max_tokens", "beta")

#: Raised by hand when this package would train other weights from the same settings and examples.
VERSION = 1


class Classifier:
    """A trained classifier in its folder. Loaded when it is first asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.record: dict[str, Any] = card.read(folder)

    @property
    def name(self) -> str:
        """How tables and figures call it."""
        return f"trained {self.record['settings']['base'].rpartition('/')[2]}"

    @property
    def threshold(self) -> float:
        """The score from which on a pair counts as positive; chosen on the validation part."""
        return float(self.record["threshold"])

    @cached_property
    def _loaded(self) -> tuple[PreTrainedTokenizerBase, PreTrainedModel]:
        from recenter_utils.training.encoders import tokenizer_and_model  # on first use: it brings torch along

        return tokenizer_and_model(str(self.folder))

    def scores(self, texts: Sequence[str], attributes: Sequence[str]) -> NDArray[np.float64]:
        """Return how sure the classifier is that each pair is positive, 0 to 1, in order."""
        return predict(*self._loaded, texts, attributes, self.record["settings"]["max_tokens"])


def fitted(
    folder: Path,
    examples: pl.DataFrame,
    rules: Verifier | Selector,
    seed: int,
    *,
    home: Path | None = None,
    origin: str = "",
    labels: str = "",
    progress: bool = True,
) -> Classifier:
    """Return the classifier that these examples, settings and seed give: the stored one, or else trained now.

    It is trained on a GPU where there is one. The card says on what, how long it took and how much memory.

    Args:
        folder: Where it is kept, with a card (README.md). Replaced whole or not at all.
        examples: See `examples.SCHEMA`. The training part is learned from; the validation part decides which epoch
            is kept (F-beta, ties by average precision) and the threshold; the test part is only measured.
        rules: How it is trained, see `DECIDES`, and what for: a verifier or a selector.
        seed: The same seed gives the same model on the same machine.
        home: The study's folder, from which a base that is a folder is looked for; see `bases.located`.
        origin: Where the data come from, for the card.
        labels: Who made the labels, for the card: see `card.said_of_data`; default: as the origin has it.
        progress: Show a bar over the epochs.

    Raises:
        RecenterError: There is nothing to learn (see `examples.lacking`), or the base cannot be had.
    """
    pairs.check(examples)
    settings = {name: getattr(rules, name) for name in DECIDES}
    base = bases.located(rules.base, home)
    key = _key(examples, settings | {"base": bases.fingerprint(base)}, seed)
    if (stored := card.stored_key(folder)) is not None and stored == key:
        return Classifier(folder)
    if reason := pairs.lacking(examples):
        raise RecenterError(f"No classifier can be trained: {reason}.")
    from recenter_utils.training.encoders import quiet, tokenizer_and_model
    from recenter_utils.training.fitting import fit

    tokenizer, model, found = fit(examples, settings | {"base": base}, seed, progress)
    partial = folders.partial(folder)
    with quiet():
        model.save_pretrained(partial)
        tokenizer.save_pretrained(partial)
    record: dict[str, Any] = {"key": key, "settings": settings, "seed": seed, "origin": origin, "labels": labels}
    record |= {"purpose": "selector" if isinstance(rules, Selector) else "verifier", "parts": pairs.counts(examples)}
    record |= found
    # Chosen and measured on what was stored, so that the card speaks of the model that others load: on a GPU it was
    # trained and watched in another precision.
    loaded = tokenizer_and_model(str(partial))
    validation, test = (examples.filter(split=split).sort("item_id") for split in ("validation", "test"))
    sure, scores = (
        predict(*loaded, part["text"], part["attribute"], settings["max_tokens"]) for part in (validation, test)
    )
    record["threshold"] = best_threshold(validation["positive"].to_numpy(), sure, settings["beta"])[0]
    record["test"] = card.measured(test, scores, record["threshold"], seed)
    card.write(partial, record)
    folders.replace(folder, partial)
    return Classifier(folder)


def described(found: Classifier | None, lacking: str = "") -> str:
    """Return in a sentence what was trained, where and how long; lacking: why nothing was, see `examples.lacking`."""
    if found is None:
        return f"No encoder was trained: {lacking}."
    base = found.record["settings"]["base"].rpartition("/")[2] + card.kept_layers(found.record["settings"])
    return (
        f"Trained from {base}, in {found.record['seconds']:,.0f} seconds on {found.record['device']}, with "
        f"{found.record['peak_memory'] / 2**30:.1f} GiB at most {found.record['memory_of']}."
    )


def _key(examples: pl.DataFrame, settings: dict[str, Any], seed: int) -> str:
    parts = [VERSION, pairs.fingerprint(examples), settings, seed]
    return hashlib.blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=12).hexdigest()
