"""Which responses name an attribute outright (§6.2): a model is asked, and the words alone are read beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recenter_utils.inference.models import Model
from recenter_utils.inference.run import run, unanswered
from recenter_utils.inference.tasks import MENTION
from recenter_utils.report import in_cell, interval_of, with_interval
from recenter_utils.responses import lexical
from recenter_utils.stats import agreement
from recenter_utils.stats.pairs import Drawn, divided
from recenter_utils.stats.resampling import resampled
from recenter_utils.tables import table

#: What tables call the detector that reads words alone, and the row over all generators.
LEXICAL = "lexical"
EVERY = "all generators"

_SIDES = {"both": (True, True), "model only": (True, False), "words only": (False, True), "neither": (False, False)}


def detect(
    comparisons: pl.DataFrame,
    responses: pl.DataFrame,
    model: Model,
    *,
    cache: Path | None = None,
    max_cost: float | None = None,
    progress: bool = True,
    **more: Any,
) -> tuple[pl.DataFrame, int]:
    """Look for each comparison's attribute in its personalised response.

    A model's answer counts if the words it quotes stand in the response; without a usable answer it is not known
    whether the attribute is named, which is neither yes nor no.

    Args:
        comparisons: The table.
        responses: The table.
        model: Who is asked.
        cache: File of stored answers.
        max_cost: US dollars.
        progress: Whether to say how far it is.
        more: For `run`.

    Returns:
        The table `mentions`, with the model's rows first, and how many requests are worth asking again.

    Raises:
        RecenterError: The model answered no request at all, because of its server.
    """
    texts = responses.select(personalised_id="response_id", response="text")
    items = comparisons.join(texts, on="personalised_id", how="left", maintain_order="left")
    items = items.select("comparison_id", "attribute", "response")
    slots = items.select("attribute", "response")
    answers = run(MENTION, slots, model, cache=cache, max_cost=max_cost, progress=progress, **more)
    worth_asking = unanswered(answers)  # raises where no request at all was answered
    asked = []
    for name, answer in zip(items["comparison_id"], answers.to_dict("records"), strict=True):
        row = {"comparison_id": name, "detector": model.name, "detector_kind": "llm"}
        if isinstance(answer["error"], str):
            asked.append(row | {"error": answer["error"]})
        else:
            asked.append(row | {"explicit": answer["explicit"], "quote": answer["quote"] or None})
    read = [
        {
            "comparison_id": name,
            "detector": LEXICAL,
            "detector_kind": "lexical",
            "explicit": lexical.mentions(response, attribute),
        }
        for name, attribute, response in items.iter_rows()
    ]
    return table("mentions").frame(asked + read), worth_asking


def explicit(mentions: pl.DataFrame) -> pl.DataFrame:
    """Return comparison_id and explicit, null where unknown, by the detector that analyses go by.

    That is the model; the words alone only where no model was asked: two detectors in one column would differ between
    responses for reasons of their own.
    """
    rows = mentions.filter(detector_kind="llm")
    rows = mentions.filter(detector_kind="lexical") if rows.is_empty() else rows
    return rows.filter(pl.col("detector") == pl.col("detector").first()).select("comparison_id", "explicit")


def rates(comparisons: pl.DataFrame, mentions: pl.DataFrame, *, draws: int = 10_000, seed: int = 0) -> pl.DataFrame:
    """Return the table `mention_rates`: how often attributes are named, by generator and over all, for each detector.

    comparisons, mentions: the tables; a comparison without a row in `mentions` is unknown. draws: resamples of
    requests. seed: where they start.
    """
    requests = comparisons["prompt_id"].unique().sort()
    rows = []
    for name, kind in mentions.select("detector", "detector_kind").unique(maintain_order=True).iter_rows():
        found = mentions.filter(detector=name).select("comparison_id", "explicit")
        held = comparisons.join(found, on="comparison_id", how="left", maintain_order="left")
        parts = [(EVERY, held), *((one, held.filter(generator=one)) for one in generators(comparisons))]
        for generator, part in parts:
            known = rate(part, requests, draws=draws, seed=seed)
            interval = known.interval()
            rows.append(
                {
                    "generator": generator,
                    "detector": name,
                    "detector_kind": kind,
                    "n_comparisons": len(part),
                    "n_unknown": len(part) - known.n,
                    "n_explicit": int(part["explicit"].sum()),
                    **interval._asdict(),
                    "reason": interval.reason or None,
                }
            )
    return table("mention_rates").frame(rows)


def rate(held: pl.DataFrame, requests: pl.Series, *, draws: int = 10_000, seed: int = 0) -> Drawn:
    """Return the share of comparisons with an explicit mention among those where it is known, with its draws.

    Intervals are over requests: all generators answer the same ones, and what a request invites, all responses share.

    held: prompt_id and explicit, null where unknown. requests: all there are, sorted, drawn again by `draws` and
    `seed`: other shares and gaps of the same requests have the same resamples.
    """
    known = held.drop_nulls("explicit")
    if known.is_empty():
        return Drawn(float("nan"), np.full(draws, np.nan), 0, 0, "no response has an answer from the detector")
    cluster = requests.search_sorted(known["prompt_id"]).to_numpy()
    kinds = (known["explicit"].to_numpy(), None)
    sums = np.column_stack([np.bincount(cluster, weights, len(requests)) for weights in kinds])

    def share(totals: NDArray[np.float64]) -> NDArray[np.float64]:
        return divided(totals[..., 0], totals[..., 1])

    drawn = resampled(sums, share, draws, seed) if draws else np.empty(0)
    return Drawn(float(share(sums.sum(axis=0))), drawn, known["prompt_id"].n_unique(), len(known), "")


def generators(comparisons: pl.DataFrame) -> list[str]:
    """Return the generators by name."""
    return comparisons["generator"].unique().sort().to_list()


def compared(comparisons: pl.DataFrame, mentions: pl.DataFrame, *, draws: int = 10_000, seed: int = 0) -> pl.DataFrame:
    """Return how far the model and the words alone agree, by generator and over all, with intervals over requests.

    A detector that misses more of one generator's mentions than of another's would move every gap; so by generator.

    Returns generator, n (comparisons on which both have an answer), both, model only, words only, neither (counts),
    kappa (with its interval), note. No rows unless there are two detectors.
    """
    wide = _beside(comparisons, mentions)
    rows = []
    for generator in [EVERY, *generators(comparisons)] if len(wide) else ():
        part = wide if generator == EVERY else wide.filter(generator=generator)
        both = part.drop_nulls(["llm", "lexical"])
        said = both.select(pl.col("llm", "lexical").replace_strict({True: "yes", False: "no"}, return_dtype=pl.String))
        kappa = agreement.pairwise(
            said.to_pandas(), ["no", "yes"], clusters=both["prompt_id"], draws=draws, seed=seed
        ).to_dict("records")[0]
        ends = {name: None if kappa[name] != kappa[name] else kappa[name] for name in ("value", "low", "high")}
        counts = {
            words: both.filter(llm=model, lexical=lexically).height for words, (model, lexically) in _SIDES.items()
        }
        rows.append(
            {"generator": generator, "n": len(both), **counts, "kappa": in_cell(ends), "note": kappa["reason"] or None}
        )
    numbers = dict.fromkeys(("n", *_SIDES), pl.Int64)
    return pl.DataFrame(rows, {"generator": pl.String, **numbers, "kappa": pl.String, "note": pl.String})


def differing(comparisons: pl.DataFrame, mentions: pl.DataFrame, most: int = 12) -> tuple[pl.DataFrame, int]:
    """Return examples of comparisons on which the two detectors differ, and how many there are.

    Columns generator, attribute, model and words (whether each finds it named), nearest_words. As many of each kind as
    there are, by turns; the choice is by the comparison's name and not by what stands in it.
    """
    apart = _beside(comparisons, mentions).filter(pl.col("llm") != pl.col("lexical"))
    turns = apart.sort("llm", "comparison_id").with_columns(turn=pl.int_range(pl.len()).over("llm"))
    shown = turns.sort("turn", "llm").head(most)
    words = pl.col("llm", "lexical").replace_strict({True: "named", False: "not named"}, return_dtype=pl.String)
    shown = shown.with_columns(words).select(
        "generator", "attribute", model="llm", words="lexical", nearest_words="quote"
    )
    return shown, len(apart)


def lost(comparisons: pl.DataFrame, mentions: pl.DataFrame) -> pl.DataFrame:
    """Return what the model gave no usable answer to: generator, error, n."""
    rows = mentions.filter(pl.col("error").is_not_null()).join(comparisons, on="comparison_id", maintain_order="left")
    return rows.group_by("generator", "error", maintain_order=True).agg(n=pl.len())


def sentence(rates: pl.DataFrame, mentions: pl.DataFrame) -> str:
    """Return the mention rates as a claim. rates: the table `mention_rates`."""
    names = mentions.filter(detector_kind="llm")["detector"].unique().to_list() or [LEXICAL]
    rows = rates.filter(detector=names[0])
    if rows.is_empty():
        return "Nothing can be said of mentions: there are no comparisons."
    over, single = rows.filter(generator=EVERY).row(0, named=True), rows.filter(pl.col("generator") != EVERY)
    said = f"Attributes are named outright in {with_interval(interval_of(over), '{:.0%}')} of the comparisons"
    known = single.drop_nulls("value").sort("value", "generator").to_dicts()
    if known and known[0]["value"] < known[-1]["value"]:
        least, most = known[0], known[-1]
        said += (
            f": from {with_interval(interval_of(least), '{:.0%}')} of {least['generator']}'s to "
            f"{with_interval(interval_of(most), '{:.0%}')} of {most['generator']}'s"
        )
    lost = f" {over['n_unknown']:,} of {over['n_comparisons']:,} are not known and count on neither side."
    return f"{said}.{lost if over['n_unknown'] else ''}"


def _beside(comparisons: pl.DataFrame, mentions: pl.DataFrame) -> pl.DataFrame:
    """Return the comparisons with the columns llm, lexical and quote; no rows unless there are both detectors."""
    if mentions["detector_kind"].n_unique() < 2:
        return comparisons.clear().with_columns(
            llm=pl.lit(None, pl.Boolean), lexical=pl.lit(None, pl.Boolean), quote=pl.lit(None, pl.String)
        )
    found = comparisons
    for kind in ("llm", "lexical"):
        rows = mentions.filter(detector_kind=kind).select(
            "comparison_id", pl.col("explicit").alias(kind), *(["quote"] if kind == "llm" else [])
        )
        found = found.join(rows, on="comparison_id", how="left", maintain_order="left")
    return found
