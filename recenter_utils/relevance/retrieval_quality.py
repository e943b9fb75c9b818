"""How well retrieval finds the attributes that matter (§5.2): two cut-offs, all thresholds, and its mistakes.

All pairs are ranked; every number is over those with a reference.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import polars as pl

from recenter_utils import report
from recenter_utils.relevance.retrieval import BM25, CUT_OFFS
from recenter_utils.stats import classification

#: The numbers of a choice, of those that `stats.classification` has.
METRICS = ("precision", "recall", "f1")

#: How a page calls what it is held against, by `relevance_consensus.reference_by`.
WHO = {
    "people": "the annotators' majority",
    "simulated": "the simulated annotators' majority",
    "people and simulated": "the majority of people and simulated annotators",
    "benchmark": "the benchmark's links",
}

_FOUND: dict[str, Any] = dict.fromkeys(("value", "low", "high"), pl.Float64) | {"n": pl.Int64, "reason": pl.String}
_CHOICE: dict[str, Any] = {"rater": pl.String, "metric": pl.String} | _FOUND
_AVERAGE: dict[str, Any] = {"ranker": pl.String, "statistic": pl.String} | _FOUND


def measure(choices: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Return precision, recall and F1 of each choice: rater, metric, value, low, high, n, reason.

    Intervals are over requests; the cut-off stays where it is while requests are drawn again. choices: see
    `retrieval.chosen`.
    """
    rows: list[dict[Any, Any]] = []
    choices = _known(choices)
    for (rater,), part in choices.sort("pair_id").group_by("rater", maintain_order=True):
        columns = (part[column].to_numpy() for column in ("relevant", "selected", "prompt_id"))
        found = classification.scores(*columns, seed=seed).to_dict("records")
        rows += [{"rater": rater} | row for row in found if row["metric"] in METRICS]
    order = pl.DataFrame({"rater": choices["rater"].unique(maintain_order=True)}, {"rater": pl.String})
    measured = pl.DataFrame(rows, schema=_CHOICE).fill_nan(None)
    return order.join(measured, on="rater", maintain_order="left")


def by_lot(choices: pl.DataFrame) -> pl.DataFrame:
    """Return, for each choice, how much of it a lottery explains.

    Columns: rater, selected, drawn (selected at a score that pairs beyond the cut-off share), blind: the precision to
    expect of drawing as many pairs, over all or within each request, without reading them. The second knows how many
    each request has, and so is the better one.
    """
    part = pl.col("selected").sum() * pl.col("relevant").mean()
    groups = (
        _known(choices)
        .group_by("rater", "cut_off", "prompt_id", maintain_order=True)
        .agg(
            pl.col("selected", "by_lot", "relevant").sum().cast(pl.Int64), pl.len().cast(pl.Int64).alias("n"), hits=part
        )
    )
    total = pl.col("selected").sum()
    overall = pl.col("relevant").sum() / pl.col("n").sum()
    blind = pl.when(pl.col("cut_off").first() == "over all").then(overall).otherwise(pl.col("hits").sum() / total)
    found = groups.group_by("rater", maintain_order=True).agg(
        selected=total, drawn=pl.col("by_lot").sum(), blind=pl.when(total > 0).then(blind)
    )
    return found.with_columns(pl.col("blind").fill_nan(None))


def average_precision(best: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Return each ranker's average precision over all pairs, and what it is over the base rate, drawn together.

    Columns: ranker, statistic (`average precision`, `over the base rate`), value, low, high, n, reason. A pair without
    text counts as the last. best: see `retrieval.ranked`.
    """
    rows: list[dict[str, Any]] = []
    best = _known(best)
    for (ranker,), part in _graded(best).sort("pair_id").group_by("ranker", maintain_order=True):
        truth, scores, requests = (part[column].to_numpy() for column in ("relevant", "score", "prompt_id"))
        found = {
            "average precision": classification.average_precision(truth, scores, requests, seed=seed),
            # Whoever gives every pair the same score has the base rate as average precision, in each resample too.
            "over the base rate": classification.difference(
                truth, 0 * scores, scores, "average_precision", requests, draws=2_000, seed=seed
            ),
        }
        rows += [
            {"ranker": ranker, "statistic": statistic, "n": len(part)}
            | number._asdict()
            | {"reason": number.reason or None}
            for statistic, number in found.items()
        ]
    order = pl.DataFrame({"ranker": best["ranker"].unique(maintain_order=True)}, {"ranker": pl.String})
    return order.join(pl.DataFrame(rows, schema=_AVERAGE).fill_nan(None), on="ranker", maintain_order="left")


def curves(best: pl.DataFrame) -> pl.DataFrame:
    """Return every ranker's precision and recall at every threshold: ranker, precision, recall, threshold."""
    parts = [
        pl.from_pandas(classification.pr_curve(part["relevant"].to_numpy(), part["score"].to_numpy())).select(
            pl.lit(ranker).alias("ranker"), pl.all()
        )
        for (ranker,), part in _graded(_known(best)).group_by("ranker", maintain_order=True)
    ]
    schema = {"ranker": pl.String, "precision": pl.Float64, "recall": pl.Float64, "threshold": pl.Float64}
    return pl.concat(parts) if parts else pl.DataFrame(schema=schema)


def base_rate(best: pl.DataFrame) -> float:
    """Return the share of relevant pairs among those with a reference; NaN where there are none."""
    pairs = _known(best).unique("pair_id")["relevant"]
    return float(pairs.mean()) if len(pairs) else float("nan")  # type: ignore[arg-type]


def counted(scores: pl.DataFrame, consensus: pl.DataFrame) -> pl.DataFrame:
    """Return what is ranked and what counts, in numbers: what, pairs, requests. scores: see `retrieval.score`."""
    pairs = consensus.select("pair_id", "prompt_id", "reference")
    known = pairs.drop_nulls("reference")
    ours = scores.join(known, on=["pair_id", "prompt_id"])
    silent = ours.filter(pl.col("score").is_null()).unique("pair_id")
    words = ours.filter(ranker=BM25)
    mute = words.group_by("prompt_id").agg(pl.len(), pl.col("score").max()).filter(pl.col("score").fill_null(0) == 0)
    rows = [
        ("pairs of the study", len(pairs), pairs["prompt_id"].n_unique()),
        ("without a reference (no majority, or not judged): ranked, and in no number", *_size(pairs, known)),
        ("with a reference", len(known), known["prompt_id"].n_unique()),
        ("of these, relevant", *_size(known.filter(reference="yes"))),
        ("of these, without text: ranked last", *_size(silent)),
        ("of these, sharing no word: BM25 is 0 and their order a lottery", *_size(words.filter(score=0))),
        ("requests that share no word with any of their attributes", int(mute["len"].sum()), len(mute)),
    ]
    return pl.DataFrame(rows, {"what": pl.String, "pairs": pl.Int64, "requests": pl.Int64}, orient="row")


def mistakes(best: pl.DataFrame, worded: pl.DataFrame, ranker: str, most: int = 6) -> pl.DataFrame:
    """Return the worst mistakes of a ranker: relevant pairs that it ranks low and irrelevant ones that it ranks high.

    One a request of each kind. Columns: mistake, attribute, request, score, rank, BM25_rank and of (pairs ranked).
    worded: see `pairing.worded`; of a long request its first 200 characters are shown.
    """
    other = best.filter(ranker=BM25).select("pair_id", BM25_rank="rank")
    rows = best.filter(ranker=ranker).with_columns(of=pl.len().cast(pl.Int64)).join(other, on="pair_id")
    rows = rows.join(worded.select("pair_id", "attribute", request="prompt"), on="pair_id").with_columns(
        pl.when(pl.col("request").str.len_chars() > 200)
        .then(pl.col("request").str.slice(0, 200) + "…")
        .otherwise("request")
        .alias("request")
    )
    parts = [
        rows.filter(relevant=relevant)
        .sort("rank", descending=relevant)
        .unique("prompt_id", keep="first", maintain_order=True)
        .head(most)
        .with_columns(mistake=pl.lit(said))
        for relevant, said in ((True, "relevant, and not similar"), (False, "similar, and not relevant"))
    ]
    return pl.concat(parts).select("mistake", "attribute", "request", "score", "rank", "BM25_rank", "of")


def wide(measured: pl.DataFrame, lots: pl.DataFrame) -> pl.DataFrame:
    """Return choices as readers want them: a row a choice, each number with its interval behind it.

    measured: see `measure`. lots: see `by_lot`.
    """
    if measured.is_empty():
        return pl.DataFrame(schema={"choice": pl.String, "pairs": pl.Int64})
    said = measured.with_columns(
        text=pl.struct("value", "low", "high").map_elements(partial(report.in_cell, form="{:.3f}"), pl.String)
    )
    table = said.pivot("metric", index=["rater", "n"], values="text", maintain_order=True).join(
        lots, on="rater", maintain_order="left"
    )
    notes = measured.group_by("rater").agg(
        note=pl.col("reason").drop_nulls().unique(maintain_order=True).str.join("; ")
    )
    return table.join(notes, on="rater", maintain_order="left").select(
        choice="rater",
        pairs="n",
        selected="selected",
        selected_by_lot="drawn",
        precision="precision",
        recall="recall",
        F1="f1",
        choosing_blindly="blind",
        note=pl.when(pl.col("note") != "").then("note"),
    )


def printed(numbers: pl.DataFrame) -> pl.DataFrame:
    """Return what the paper shows of retrieval: ranker, statistic, value, source, tag.

    numbers: of Figure 4; see `published.read`.
    """
    found = numbers.filter(pl.col("kind") == "retrieval", pl.col("statistic").is_in(METRICS))
    return found.select("statistic", "value", "source", "tag", ranker="item").select("ranker", pl.exclude("ranker"))


def sentence(measured: pl.DataFrame, averages: pl.DataFrame, consensus: pl.DataFrame) -> str:
    """Return Figure 4's retrieval rows as a claim: F1 at the cut-off over all, and average precision against chance."""
    nothing = "Nothing can be said of retrieval: "
    known = consensus.drop_nulls("reference")
    if known.is_empty():
        lacking = "the study pairs no request with any attribute" if consensus.is_empty() else "no pair has a reference"
        return f"{nothing}{lacking}."
    who = WHO[known["reference_by"][0]]
    relevant = int((known["reference"] == "yes").sum())
    if not relevant:
        return f"{nothing}{who} calls none of {len(known):,} pairs relevant, so there is nothing to find."
    share = relevant / len(known)
    first = next(iter(CUT_OFFS))
    f1, above = measured.filter(metric="f1"), averages.filter(statistic="over the base rate")
    rates = {row["rater"]: report.with_interval(report.interval_of(row), "{:.3f}") for row in f1.to_dicts()}
    said = "; ".join(f"{ranker} {rates[f'{ranker} ({first})']}" for ranker in above["ranker"])
    gains = "; ".join(
        f"{row['ranker']} {report.with_interval(report.interval_of(row), '{:+.3f}')}" for row in above.to_dicts()
    )
    return (
        f"By {who}, {relevant:,} of {len(known):,} pairs ({share:.1%}) are relevant. A ranker that chooses as many "
        f"over all has one number as precision, recall and F1: {said}; choosing blindly has {share:.3f}. Average "
        f"precision less that share: {gains}."
    )


def _known(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the rows whose pair has a reference."""
    return rows.drop_nulls("relevant")


def _graded(best: pl.DataFrame) -> pl.DataFrame:
    """Return `best` with a score for pairs without text, under all others of the ranker."""
    return best.with_columns(pl.col("score").fill_null((pl.col("score").min() - 1).over("ranker")).fill_null(0.0))


def _size(pairs: pl.DataFrame, less: pl.DataFrame | None = None) -> tuple[int, int]:
    """Return the number of pairs and of requests that they are of. less: pairs that do not count."""
    left = pairs if less is None else pairs.join(less, on="pair_id", how="anti")
    return len(left), left["prompt_id"].n_unique()
