"""Comparisons, mentions and preferences with planted quality, leanings and mention uplift, without running a study."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.stats import norm

from recenter_utils.tables import table


@dataclass(frozen=True)
class Generator:
    """Its responses are worth so many points beside the generic ones, and name so large a share of attributes."""

    quality: float = 0.0
    mentions: float = 0.4


@dataclass(frozen=True)
class Rater:
    """Rates 3 + lean + quality (times `reads`) + uplift where the attribute is named + page and own noise, rounded to
    a whole number and held to 1 to 5."""

    kind: str = "simulated"
    lean: float = 0.0
    uplift: float = 0.0
    noise: float = 0.8
    reads: float = 1.0  # how far it sees quality and what pages share
    skips: float = 0.0  # share of comparisons without an answer


#: Those that name attributes more are worse, as in the paper: a pooled gap is below the planted uplift.
GENERATORS = {
    "reserved": Generator(0.5, 0.05),
    "plain": Generator(0.3, 0.25),
    "middling": Generator(0.0, 0.45),
    "frequent": Generator(-0.2, 0.6),
    "constant": Generator(-0.4, 0.8),
}
PEOPLE = {f"simulated-{n}": Rater(lean=lean, uplift=0.3) for n, lean in enumerate((-0.2, 0.0, 0.3), 1)}
#: Named as the generators are: those that name attributes more also reward it more.
JUDGES = {
    "reserved": Rater("llm", lean=0.2, uplift=-0.4, reads=0.8),
    "plain": Rater("llm", lean=0.4, uplift=0.0, reads=0.8),
    "middling": Rater("llm", lean=0.5, uplift=0.3, reads=0.5),
    "frequent": Rater("llm", lean=0.5, uplift=0.6, reads=0.3),
    "constant": Rater("llm", lean=1.0, uplift=0.9, reads=0.3),
}
#: Deviation of what all raters see alike in a page.
PAGE = 0.4


def comparisons_of(
    instances: int = 16, seed: int = 0, generators: Mapping[str, Generator] = GENERATORS, most: int = 8
) -> pl.DataFrame:
    """Return the table `comparisons`: `instances` requests with a user, each with up to `most` attributes, answered by
    every generator."""
    rng = np.random.default_rng(seed)
    rows = []
    for instance in range(instances):
        size = int(rng.integers(1, most + 1))
        for place, generator in enumerate(generators):
            page = f"p{instance:03}{place}"
            for number in range(size):
                rows.append(
                    {
                        "comparison_id": f"{page}/a{instance:03}-{number}",
                        "page_id": page,
                        "prompt_id": f"q{instance:03}",
                        "user_id": f"chat/u{instance % 40:02}",
                        "generator": generator,
                        "attribute_id": f"a{instance:03}-{number}",
                        "attribute": f"Attribute {number} of request {instance}.",
                        "generic_id": f"q{instance:03}/{generator}",
                        "personalised_id": f"q{instance:03}/u{instance % 40:02}/{generator}",
                    }
                )
    return table("comparisons").frame(rows)


def explicit_of(comparisons: pl.DataFrame, seed: int, generators: Mapping[str, Generator] = GENERATORS) -> pl.DataFrame:
    """Return comparison_id and explicit: which attributes the responses name, drawn by generator."""
    rng = np.random.default_rng([seed, 1])
    rates = comparisons["generator"].replace_strict({name: one.mentions for name, one in generators.items()})
    return comparisons.select("comparison_id", explicit=pl.Series(rng.random(len(comparisons)) < rates.to_numpy()))


def preferences_of(
    comparisons: pl.DataFrame,
    explicit: pl.DataFrame,
    seed: int,
    raters: Mapping[str, Rater] = PEOPLE | JUDGES,
    generators: Mapping[str, Generator] = GENERATORS,
) -> pl.DataFrame:
    """Return preference judgments in the columns of the codebook.

    explicit: comparison_id and explicit, see `explicit_of`.
    """
    rng = np.random.default_rng([seed, 2])
    held = comparisons.join(explicit, on="comparison_id", how="left", maintain_order="left")
    pages, place = np.unique(held["page_id"].to_numpy(), return_inverse=True)
    shared = PAGE * rng.standard_normal(len(pages))[place]
    quality = held["generator"].replace_strict({name: one.quality for name, one in generators.items()}).to_numpy()
    named = held["explicit"].cast(pl.Float64).to_numpy()
    parts = []
    for name, rater in raters.items():
        noise = rater.noise * rng.standard_normal(len(held))
        latent = 3 + rater.lean + rater.reads * (quality + shared) + rater.uplift * named + noise
        score = np.clip(np.rint(latent), 1, 5)
        part = held.select(item_id="comparison_id").with_columns(
            task=pl.lit("preference"),
            rater=pl.lit(name),
            rater_kind=pl.lit(rater.kind),
            label=pl.Series(score.astype(int).astype(str)),
            score=pl.Series(score),
            flagged=pl.lit(False),
            first_shown=pl.Series(np.where(rng.random(len(held)) < 0.5, "generic", "personalised")),
        )
        parts.append(part.filter(rng.random(len(held)) >= rater.skips))
    found = pl.concat(parts)
    columns = table("preference_judgments").columns
    lacking = [pl.lit(None, dtype).alias(column) for column, dtype in columns.items() if column not in found.columns]
    return found.with_columns(lacking).select(list(columns)).cast(columns)


def expected_rating(centre: float, deviation: float) -> float:
    """Return the mean rating that a normal latent with this centre and deviation is rounded and held to."""
    above = norm.sf(np.array([1.5, 2.5, 3.5, 4.5]), centre, deviation)
    return 1 + float(above.sum())


def expected_uplift(
    rater: Rater, generators: Mapping[str, Generator] = GENERATORS, weights: Mapping[str, float] | None = None
) -> float:
    """Return the mean over generators of how much naming an attribute moves a rater's expected rating.

    weights: what each generator counts for; default: all the same. Rounding and the ends of the scale take a little of
    the planted uplift.
    """
    deviation = float(np.hypot(rater.noise, rater.reads * PAGE))
    found = {
        name: expected_rating(3 + rater.lean + rater.reads * one.quality + rater.uplift, deviation)
        - expected_rating(3 + rater.lean + rater.reads * one.quality, deviation)
        for name, one in generators.items()
    }
    return float(np.average(list(found.values()), weights=[(weights or {}).get(name, 1.0) for name in found]))
