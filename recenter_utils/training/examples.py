"""Examples of a pair classifier: a text, an attribute, and whether people said yes (Appendices E and F)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from recenter_utils.errors import RecenterError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SPLITS = ("train", "validation", "test")

SCHEMA: dict[str, Any] = {
    "item_id": pl.String,
    "cluster": pl.String,  # the user or request that is never divided between parts
    "text": pl.String,
    "attribute": pl.String,
    "positive": pl.Boolean,
    "split": pl.String,
}

#: Tokens that the text keeps, however long the attribute.
TEXT_TOKENS = 8


def check(examples: pl.DataFrame) -> None:
    """Raise where examples lack a column, or a cluster stands in two parts: what is tested would have been learned."""
    if missing := [name for name in SCHEMA if name not in examples.columns]:
        raise RecenterError(f"Training needs the column{'s' * (len(missing) > 1)} {', '.join(missing)}.")
    if unknown := set(examples["split"].unique()) - set(SPLITS):
        raise RecenterError(f"'{sorted(unknown)[0]}' is no part of the data; these are: {', '.join(SPLITS)}.")
    divided = examples.group_by("cluster").agg(pl.col("split").n_unique()).filter(pl.col("split") > 1)
    if len(divided):
        raise RecenterError(f"'{divided['cluster'].sort()[0]}' stands in several parts of the training data.")


def lacking(examples: pl.DataFrame) -> str:
    """Return in words why nothing can be learned from these examples; an empty string where something can."""
    train = examples.filter(split="train")
    if examples.is_empty():
        return "no example has a label"
    if train.is_empty():
        return "the training part is empty"
    if train["positive"].n_unique() < 2:
        return f"all {len(train):,} examples of the training part have the same label"
    return ""


def fingerprint(examples: pl.DataFrame) -> str:
    """Return a hash of what is learned from and tested on, whatever the order of the rows."""
    rows = examples.select("item_id", "text", "attribute", "positive", "split").sort("item_id").rows()
    return hashlib.blake2b(json.dumps(rows).encode(), digest_size=12).hexdigest()


def counts(examples: pl.DataFrame) -> list[dict[str, Any]]:
    """Return for each part how many examples, clusters and positive examples it has."""
    return [
        {
            "split": split,
            "examples": len(part := examples.filter(split=split)),
            "clusters": part["cluster"].n_unique(),
            "positive": int(part["positive"].sum()),
        }
        for split in SPLITS
    ]


def encode(
    texts: Sequence[str], attributes: Sequence[str], tokenizer: PreTrainedTokenizerBase, max_tokens: int
) -> list[dict[str, list[int]]]:
    """Return `[CLS] text [SEP] attribute [SEP]` as token ids, at most `max_tokens`; only the text is cut (Appendix E).

    An attribute that would leave the text fewer than `TEXT_TOKENS` is no attribute any more, and is cut to that.
    """
    room = max_tokens - tokenizer.num_special_tokens_to_add(pair=True) - TEXT_TOKENS
    plain = tokenizer(list(attributes), add_special_tokens=False)["input_ids"] if len(attributes) else []
    fitting = [
        attribute if len(ids) <= room else tokenizer.decode(ids[: max(1, room - 2)])
        for attribute, ids in zip(attributes, plain, strict=True)
    ]
    if not fitting:
        return []
    encoded = tokenizer(list(texts), fitting, truncation="only_first", max_length=max_tokens)
    return [{name: encoded[name][row] for name in encoded} for row in range(len(fitting))]
