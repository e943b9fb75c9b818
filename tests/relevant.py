"""Pairs and judgments of relevance with planted yes-rates, thresholds and noise, without running a study."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from recenter_utils.tables import table


@dataclass(frozen=True)
class Rater:
    """Says yes where latent relevance plus noise of its own exceeds its threshold. Latent relevance is 0 on average,
    with a deviation of 1: a threshold of .84 without noise says yes to a fifth."""

    kind: str = "simulated"
    threshold: float = 0.84
    noise: float = 0.4
    skips: float = 0.0  # share of pairs without an answer
    graded: bool = False  # whether its score is graded, 0 to 1; else the label's number, and null for a model


PEOPLE = {f"simulated-{n}": Rater() for n in (1, 2, 3)}
MODELS = {
    "lenient": Rater("llm", threshold=0.0, noise=0.4, graded=True),  # people's ranking, another threshold
    "noisy": Rater("llm", threshold=1.75, noise=2.0, graded=True),  # people's yes-rate, another ranking
    "both": Rater("llm", threshold=0.2, noise=1.0, graded=True),
}


def pairs_of(prompts: int = 41, attributes: int = 97, users: int = 4) -> pl.DataFrame:
    """Return the table `pairs`; attributes are those of one request."""
    rows = [
        {
            "pair_id": f"q{prompt:03}/a{prompt:03}-{place:03}",
            "prompt_id": f"q{prompt:03}",
            "attribute_id": f"a{prompt:03}-{place:03}",
            "user_id": f"chat/u{place % users:02}",
            "attribute": f"Attribute {place} of request {prompt}.",
            "place": place,
            "benchmark": None,
        }
        for prompt in range(prompts)
        for place in range(attributes)
    ]
    return pl.DataFrame(rows, schema=table("pairs").columns)


def judgments_of(
    pairs: pl.DataFrame, seed: int, raters: Mapping[str, Rater] = PEOPLE | MODELS, between: float = 0.3
) -> pl.DataFrame:
    """Return judgments in the columns of the codebook. between: the part of latent variance between requests."""
    rng = np.random.default_rng(seed)
    prompts, place = np.unique(pairs["prompt_id"].to_numpy(), return_inverse=True)
    latent = np.sqrt(between) * rng.standard_normal(len(prompts))[place]
    latent += np.sqrt(1 - between) * rng.standard_normal(len(pairs))
    columns = table("relevance_judgments").columns
    parts = []
    for name, rater in raters.items():
        seen = latent + rater.noise * rng.standard_normal(len(pairs))
        yes = seen > rater.threshold
        score = 1 / (1 + np.exp(-2 * (seen - rater.threshold))) if rater.graded else yes.astype(float)
        lacks = rater.kind == "llm" and not rater.graded
        part = pairs.select(item_id="pair_id").with_columns(
            task=pl.lit("relevance"),
            rater=pl.lit(name),
            rater_kind=pl.lit(rater.kind),
            label=pl.Series(np.where(yes, "yes", "no")),
            score=pl.lit(None, pl.Float64) if lacks else pl.Series(score),
            flagged=pl.lit(False),
        )
        parts.append(part.filter(rng.random(len(pairs)) >= rater.skips))
    found = pl.concat(parts)
    lacking = [pl.lit(None, dtype).alias(column) for column, dtype in columns.items() if column not in found.columns]
    return found.with_columns(lacking).select(list(columns)).cast(columns)
