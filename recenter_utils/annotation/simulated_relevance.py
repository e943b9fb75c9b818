"""What simulated annotators say of relevance, and what that plants: yes-rates and agreement in closed form.

An annotator says yes where strength + noise · N(0, 1) > threshold. To an item of strength s it therefore says yes with
the probability Φ((s − threshold) / noise), and two annotators err independently of each other once s is given. All that
is expected of their answers follows: two annotators may differ in their threshold alone, or in how well they rank.
"""

from __future__ import annotations

from pathlib import Path
from statistics import NormalDist

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from recenter_utils.annotation import simulation
from recenter_utils.annotation.simulation import Annotator, Annotators, Relevance
from recenter_utils.errors import RecenterError

#: How much an attribute should change the answer to a request, by the truth.
STRENGTHS = {0: "none", 1: "slight", 2: "clear", 3: "decisive"}

FILE = "relevance.jsonl"

_COLUMNS = {"prompt_id": pl.String, "attribute": pl.String, "strength": pl.Int64}
_NORMAL = NormalDist()


def truth(folder: Path) -> pl.DataFrame:
    """Read relevance.jsonl in the folder of a truth: prompt_id, attribute and strength, of all that was read.

    The file is sparse. Whatever request and whatever attribute it names were read against each other, and a combination
    without a line has strength 0. An attribute that matters to no request stands on a line without a prompt_id.
    A truth without the file says nothing of relevance, and has no rows.
    """
    path = folder / FILE
    if not path.is_file():
        return pl.DataFrame(schema=_COLUMNS)
    try:
        lines = pl.read_ndjson(path, schema=_COLUMNS)
    except pl.exceptions.PolarsError as problem:
        raise RecenterError(f"{path} cannot be read: {' '.join(str(problem).split())}") from None
    nothing = pl.col("prompt_id").is_null() & (pl.col("strength") == 0)
    something = pl.col("prompt_id").is_not_null() & pl.col("strength").is_in(list(STRENGTHS))
    wrong = lines.filter(~(nothing | something).fill_null(False) | pl.col("attribute").is_null())
    if len(wrong):
        raise RecenterError(
            f"{path}: {wrong.row(0)} is not a request, an attribute and a strength from 0 to {max(STRENGTHS)}."
        )
    named = lines.filter(pl.col("prompt_id").is_not_null())
    if (twice := named.select("prompt_id", "attribute").is_duplicated()).any():
        raise RecenterError(f"{path}: {named.filter(twice).row(0)[:2]} is there twice.")
    prompts = named.select("prompt_id").unique(maintain_order=True)
    read = prompts.join(lines.select("attribute").unique(maintain_order=True), how="cross")
    found = read.join(named, on=["prompt_id", "attribute"], how="left", maintain_order="left")
    return found.with_columns(pl.col("strength").fill_null(0))


def simulate(items: pl.DataFrame, who: Annotators, seed: int) -> pl.DataFrame:
    """Return what the annotators answer to each pair whose strength is known, in `simulation.ANSWERS`.

    items: item_id, page (its place in the order of pages, from 0) and strength (null: not answered). Each answer is
    drawn by itself, as in `simulation.simulate`.
    """
    known = items.drop_nulls("strength").select("item_id", "page", "strength").unique()
    return simulation.work(known, who, seed, _said)


def chances(strengths: ArrayLike, rule: Relevance) -> NDArray[np.float64]:
    """Return with what probability an annotator says yes to items of these strengths."""
    places = (np.asarray(strengths, dtype=float) - rule.threshold) / rule.noise
    return np.array([_NORMAL.cdf(place) for place in places.ravel()]).reshape(places.shape)


def _said(one: Annotator, strength: int, place: float) -> str | None:
    if one.relevance is None:
        return None
    return "yes" if strength + one.relevance.noise * _NORMAL.inv_cdf(place) > one.relevance.threshold else "no"
