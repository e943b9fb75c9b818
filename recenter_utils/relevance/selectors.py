"""The trained selector (Appendix F, Table 3): an encoder learns from the reference which attributes a request needs.

The positive class is *relevant*: the reference says yes. All of a request's pairs are in one part of the data.
"""

from __future__ import annotations

import polars as pl

from recenter_utils.report import interval_of, with_interval
from recenter_utils.scales import RELEVANCE
from recenter_utils.settings import Selector
from recenter_utils.stats import classification
from recenter_utils.tables import table
from recenter_utils.training import examples as pairs
from recenter_utils.training.classifier import Classifier
from recenter_utils.training.parts import divide

_WITH_RELEVANT = "requests with a relevant pair"


def split(consensus: pl.DataFrame, rules: Selector, seed: int) -> pl.DataFrame:
    """Return the table `selector_split`: requests drawn into train, validation and test.

    A pair without a reference is in no part; see `divided`. The same seed and requests give the same parts, whatever
    the order of the rows and whatever the labels.

    consensus: the table `relevance_consensus`.
    """
    judged = consensus.drop_nulls("reference")
    requests = judged.select(cluster="prompt_id").unique().sort("cluster")
    parts = divide(requests.with_columns(stratum=pl.lit(""), group=pl.lit("")), rules.validation, rules.test, seed)
    found = judged.with_columns(
        split=pl.col("prompt_id").replace_strict(parts, return_dtype=pl.String), relevant=pl.col("reference") == "yes"
    )
    return found.select(table("selector_split").columns.names())


def divided(consensus: pl.DataFrame, parts: pl.DataFrame) -> pl.DataFrame:
    """Return how many pairs and requests each part holds, and how many pairs are in none, and why.

    Columns part, pairs, requests, relevant (pairs; null where there is no reference) and requests with a relevant pair:
    on so few rests what is said of precision, recall and F1.
    """
    rows = [
        {
            "part": split,
            "pairs": len(part := parts.filter(split=split)),
            "requests": part["prompt_id"].n_unique(),
            "relevant": int(part["relevant"].sum()),
            _WITH_RELEVANT: part.filter("relevant")["prompt_id"].n_unique(),
        }
        for split in pairs.SPLITS
    ]
    out = consensus.filter(pl.col("reference").is_null())
    tied = pl.col("yes") + pl.col("no") > 0
    for reason, part in (("the annotators are divided", out.filter(tied)), ("nobody judged it", out.filter(~tied))):
        requests = part["prompt_id"].n_unique()
        rows.append({"part": f"none: {reason}", "pairs": len(part), "requests": requests})
    counts = ("pairs", "requests", "relevant", _WITH_RELEVANT)
    return pl.DataFrame(rows, schema={"part": pl.String} | dict.fromkeys(counts, pl.Int64))


def examples(items: pl.DataFrame, parts: pl.DataFrame) -> pl.DataFrame:
    """Return what the encoder is trained and measured on: see `training.examples.SCHEMA`.

    items: pair_id, prompt and attribute. parts: the table `selector_split`.
    """
    joined = parts.join(items.select("pair_id", "attribute", text="prompt"), on="pair_id", maintain_order="left")
    return joined.rename({"pair_id": "item_id", "prompt_id": "cluster", "relevant": "positive"}).select(
        list(pairs.SCHEMA)
    )


def labelled_by(consensus: pl.DataFrame) -> str:
    """Return who made the references, in the words of `relevance_consensus`; an empty string where there is none."""
    return next(iter(consensus["reference_by"].drop_nulls().unique().sort()), "")


def judge(examples: pl.DataFrame, selector: Classifier | None) -> pl.DataFrame:
    """Return the table `selector_judgments`: what the trained selector says of the test part; no rows without one."""
    columns = table("selector_judgments").columns
    test = examples.filter(split="test")
    if selector is None or test.is_empty():
        return table("selector_judgments").empty()
    scores = pl.Series(selector.scores(test["text"].to_list(), test["attribute"].to_list()), dtype=pl.Float64)
    found = test.select(
        "item_id",
        task=pl.lit(RELEVANCE.task),
        rater=pl.lit(selector.name),
        rater_kind=pl.lit("trained"),
        label=pl.when(scores >= selector.threshold).then(pl.lit("yes")).otherwise(pl.lit("no")),
        score=scores,
        flagged=pl.lit(value=False),
    )
    lacking = [pl.lit(None, dtype).alias(column) for column, dtype in columns.items() if column not in found.columns]
    return found.with_columns(lacking).select(list(columns)).cast(columns)


def history(selector: Classifier | None) -> pl.DataFrame:
    """Return a row for each epoch: epoch, loss (training), f_beta and average_precision (validation), kept."""
    schema = {"epoch": pl.Int64, "loss": pl.Float64, "f_beta": pl.Float64, "average_precision": pl.Float64}
    if selector is None:
        return pl.DataFrame(schema=schema | {"kept": pl.Boolean})
    rows = pl.DataFrame([{name: row.get(name) for name in schema} for row in selector.record["history"]], schema)
    return rows.with_columns(kept=pl.col("epoch") == selector.record["best_epoch"])


def curve(judgments: pl.DataFrame, parts: pl.DataFrame) -> pl.DataFrame:
    """Return precision and recall on the test part at every threshold: columns precision, recall, threshold."""
    graded = _graded(judgments, parts)
    return pl.from_pandas(classification.pr_curve(graded["relevant"].to_numpy(), graded["score"].to_numpy()))


def base_rate(parts: pl.DataFrame) -> float:
    """Return the share of relevant pairs in the test part; NaN where it is empty."""
    test = parts.filter(split="test")["relevant"]
    return float(test.mean()) if len(test) else float("nan")  # type: ignore[arg-type]


def mistakes(judgments: pl.DataFrame, parts: pl.DataFrame, items: pl.DataFrame, most: int = 5) -> pl.DataFrame:
    """Return the surest mistakes on the test part, at most so many of each kind: false alarms, then misses.

    Columns request, attribute, mistake and score. items: pair_id, prompt and attribute.
    """
    wrong = _graded(judgments, parts).filter((pl.col("label") == "yes") != pl.col("relevant"))
    wrong = wrong.join(items.select("pair_id", "prompt", "attribute"), on="pair_id", how="left", maintain_order="left")
    # Users who share a wording share its score.
    alarms = wrong.filter(~pl.col("relevant")).sort("score", "pair_id", descending=[True, False])
    misses = wrong.filter("relevant").sort("score", "pair_id")
    found = pl.concat(
        part.unique(["prompt", "attribute"], keep="first", maintain_order=True).head(most) for part in (alarms, misses)
    )
    mistake = pl.when("relevant").then(pl.lit("missed")).otherwise(pl.lit("selected wrongly"))
    return found.select("attribute", "score", request="prompt", mistake=mistake).select(
        "request", "attribute", "mistake", "score"
    )


def sentence(judgments: pl.DataFrame, parts: pl.DataFrame, seed: int, lacking: str = "") -> str:
    """Return what the trained selector reaches on the test part as a claim; lacking: why there is none."""
    test, graded = parts.filter(split="test"), _graded(judgments, parts)
    if graded.is_empty():
        return f"Nothing can be said of a trained selector: {lacking or 'the test part is empty'}."
    truth, requests = graded["relevant"].to_numpy(), graded["prompt_id"].to_numpy()
    said = (graded["label"] == "yes").to_numpy()
    found = {
        row["metric"]: interval_of(row)
        for row in pl.from_pandas(classification.scores(truth, said, requests, seed=seed)).to_dicts()
    }
    precise = classification.average_precision(truth, graded["score"].to_numpy(), requests, seed=seed)
    base = base_rate(parts)
    return (
        f"On {len(graded):,} held-out pairs of {test['prompt_id'].n_unique():,} requests, {base:.0%} of them relevant, "
        f"{judgments['rater'][0]} reaches an F1 of {with_interval(found['f1'], '{:.2f}')} (selecting everything: "
        f"{2 * base / (1 + base):.2f}), with a precision of {with_interval(found['precision'], '{:.2f}')} and a recall "
        f"of {with_interval(found['recall'], '{:.2f}')}. Its average precision is {with_interval(precise, '{:.2f}')}; "
        f"scores that know nothing give about {base:.2f}."
    )


def _graded(judgments: pl.DataFrame, parts: pl.DataFrame) -> pl.DataFrame:
    """Return the trained selector's judgments of the test part with the pair's request and whether it is relevant."""
    test = parts.filter(split="test").select("pair_id", "prompt_id", "relevant")
    said = judgments.filter(rater_kind="trained").select("label", "score", pair_id="item_id")
    return test.join(said, on="pair_id", maintain_order="left").sort("pair_id")
