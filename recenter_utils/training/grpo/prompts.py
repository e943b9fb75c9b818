"""What a reasoning model is asked in GRPO: the judges' own prompt, and the label that the reference has."""

from __future__ import annotations

from typing import Any

import polars as pl

from recenter_utils.inference.tasks import RELEVANCE_JUDGMENT
from recenter_utils.training.examples import SPLITS


def prompts(examples: pl.DataFrame) -> list[list[dict[str, str]]]:
    """Return the messages that judges are asked with, one list a pair, in order."""
    rows = examples.select("attribute", prompt="text").to_dicts()
    return [RELEVANCE_JUDGMENT.prompt.messages(row) for row in rows]


def reference(examples: pl.DataFrame) -> list[str]:
    """Return the reference labels, in order."""
    return ["yes" if positive else "no" for positive in examples["positive"]]


def short_enough(examples: pl.DataFrame, tokenizer: Any, most: int) -> tuple[pl.DataFrame, dict[str, int]]:
    """Return the pairs whose prompts fit, and how many of each part do not. most: In tokens."""
    from recenter_utils.training.grpo.reasoners import prompt_ids  # on first use: it brings torch along

    fits = pl.Series([len(ids) <= most for ids in prompt_ids(tokenizer, prompts(examples))], dtype=pl.Boolean)
    left = examples.filter(~fits)
    return examples.filter(fits), {split: len(left.filter(split=split)) for split in SPLITS}
