"""Scores of a pair classifier, and the threshold from which on a pair counts as positive."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from recenter_utils.training import examples as pairs

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

#: Pairs scored at once.
BATCH = 32


def predict(
    tokenizer: PreTrainedTokenizerBase,
    model: PreTrainedModel,
    texts: Sequence[str] | pl.Series,
    attributes: Sequence[str] | pl.Series,
    max_tokens: int,
) -> NDArray[np.float64]:
    """Return a model's probability of the positive class for each pair, in order."""
    import torch

    encoded = pairs.encode(list(texts), list(attributes), tokenizer, max_tokens)
    order = sorted(range(len(encoded)), key=lambda row: len(encoded[row]["input_ids"]))
    scores = np.full(len(encoded), np.nan)
    model.eval()
    with torch.inference_mode():
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            batch = tokenizer.pad([encoded[row] for row in rows], return_tensors="pt").to(model.device)
            scores[rows] = model(**batch).logits.float().softmax(-1)[:, 1].cpu().numpy()
    return scores


def best_threshold(positive: ArrayLike, scores: ArrayLike, beta: float) -> tuple[float, float]:
    """Return the threshold with the highest F-beta, and that F-beta; of equal ones the highest threshold.

    positive: booleans; scores: 0 to 1, a pair counts as positive from the threshold on. Between two scores the
    threshold lies in the middle. Where the rows lack one of the classes it is .5, and F-beta is NaN.
    """
    truth, values = np.asarray(positive, dtype=bool), np.asarray(scores, dtype=float)
    if truth.all() or not truth.any():
        return 0.5, float("nan")
    cuts, place = np.unique(values, return_inverse=True)
    flagged = np.bincount(place, minlength=len(cuts))[::-1].cumsum()[::-1]
    caught = np.bincount(place, truth, len(cuts))[::-1].cumsum()[::-1]
    f_beta = (1 + beta**2) * caught / (flagged + beta**2 * truth.sum())
    best = len(cuts) - 1 - int(f_beta[::-1].argmax())
    below = cuts[best - 1] if best else 0.0
    return float((below + cuts[best]) / 2), float(f_beta[best])
