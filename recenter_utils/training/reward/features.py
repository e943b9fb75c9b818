"""What a frozen backbone makes of a response: the features that a linear head reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recenter_utils.inference import embeddings

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Array = NDArray[np.float64]


def features(
    requests: Sequence[str],
    attributes: Sequence[str],
    responses: Sequence[str],
    base: str,
    max_tokens: int,
    cache: Path | None = None,
) -> Array:
    """Return the features of each response, shape (responses, 3 * width + 1).

    They are the response's embedding, its product with the attribute's and its product with the request's, number by
    number, so that a linear head can tell what is good for one attribute and bad for another; and the logarithm of its
    words, which an average over tokens loses. What depends on request and attribute alone would be the same for both
    responses of a comparison, and is not there. Each of the three parts has the same mean square for embeddings that
    have nothing to do with each other.

    Args:
        requests: One a response, as are `attributes`.
        attributes: What is known of the user.
        responses: The texts.
        base: The backbone, see `embeddings.encoder`; one that was not made for embeddings averages its tokens.
        max_tokens: Longest text; what is longer is cut at its end.
        cache: The study's file of embeddings.
    """
    tokenizer = embeddings.encoder(base).tokenizer
    parts = [shortened(part, tokenizer, max_tokens) for part in (responses, attributes, requests)]
    vectors = embeddings.embed([text for part in parts for text in part], base, cache).astype(float)
    response, attribute, request = vectors.reshape(3, len(responses), vectors.shape[1])
    wide = np.sqrt(vectors.shape[1])
    words = np.log([[1 + len(text.split())] for text in responses])
    return np.concatenate([response, wide * response * attribute, wide * response * request, words], axis=1)


def differences(comparisons: pl.DataFrame, base: str, max_tokens: int, cache: Path | None = None) -> Array:
    """Return the features of each personalised response less those of the generic one, shape (comparisons, features).

    comparisons: see `comparisons.SCHEMA`.
    """
    both = pl.concat([comparisons.with_columns(response=pl.col(name)) for name in ("personalised", "generic")])
    request, attribute, response = (both[name].to_list() for name in ("request", "attribute", "response"))
    found = features(request, attribute, response, base, max_tokens, cache)
    return found[: len(comparisons)] - found[len(comparisons) :]


def shortened(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, max_tokens: int) -> list[str]:
    """Return the texts, each cut at the end of its last whole token within `max_tokens`."""
    # A token has a character at least.
    long = {text for text in texts if len(text) > max_tokens}
    if not long:
        return list(texts)
    room = max(1, max_tokens - tokenizer.num_special_tokens_to_add(pair=False))
    known = sorted(long)
    ends = tokenizer(known, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    cut = {
        text: text[: places[room - 1][1]] if len(places) > room else text
        for text, places in zip(known, ends, strict=True)
    }
    return [cut.get(text, text) for text in texts]
