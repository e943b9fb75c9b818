"""How well each selector finds what people find relevant (§5.2, §5.3; Figure 4, Table 3).

Within one set of pairs every row is measured on the same ones: an answer that a selector did not give counts as *not
selected*. A trained selector has answers on the test part alone, so all others are measured there as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recenter_utils.annotation.annotators import included
from recenter_utils.report import in_cell, interval_of, with_interval
from recenter_utils.scales import PEOPLE
from recenter_utils.stats import classification, confusion
from recenter_utils.stats.resampling import Interval
from recenter_utils.tables import table

#: Selectors that read nothing, and what they say.
BASELINES = {"select everything": "yes", "select nothing": "no"}

#: Two that select as often as pairs are relevant, whatever they say: of all pairs, and of each request's.
AT_RANDOM, WITHIN = "select at random", "select at random within requests"

#: The names of a smoke run's rows, before and after: `training.grpo.smoke`, which would bring all of torch here.
SMOKE = ("smoke-model", "smoke-model + GRPO")

#: In the order of pages.
KINDS = ("retrieval", "llm", "trained")

#: What a set of pairs is called on pages.
ITEMS = {"all": "all pairs", "test": "the held-out pairs"}

#: A selector's answer on a pair. relevant: by the reference, null where that is silent.
SCHEMA: dict[str, Any] = {
    "selector": pl.String,
    "rater_kind": pl.String,
    "items": pl.String,
    "pair_id": pl.String,
    "prompt_id": pl.String,
    "relevant": pl.Boolean,
    "selected": pl.Boolean,
    "answered": pl.Boolean,
}


def selections(
    everywhere: Sequence[pl.DataFrame],
    held_out: Sequence[pl.DataFrame],
    raters: pl.DataFrame,
    consensus: pl.DataFrame,
    parts: pl.DataFrame,
    excluded: tuple[str, ...] = (),
) -> pl.DataFrame:
    """Return what every selector selects, a row a selector, set of pairs and pair: see SCHEMA; the baselines first.

    The rows of a smoke run, which is no model, are left out; see `smoke_run`.

    Args:
        everywhere: Judgments of selectors that were asked about all pairs; people's among them are passed over.
        held_out: Judgments of selectors that were asked about the test part alone.
        raters: The table `relevance_raters`: a model that never gave an answer that could be used has rows too.
        consensus: The table `relevance_consensus`.
        parts: The table `selector_split`.
        excluded: Raters whom study.yaml leaves out.
    """
    pairs = consensus.select("pair_id", "prompt_id", relevant=pl.col("reference") == "yes")
    held = pairs.join(parts.filter(split="test"), on="pair_id", how="semi", maintain_order="left")
    asked = included(pl.concat(everywhere), excluded).filter(~pl.col("rater_kind").is_in(PEOPLE))
    late = included(pl.concat(held_out), excluded).filter(~pl.col("rater").is_in(SMOKE))
    # A model that is judge and starting point of GRPO alike has two rows there.
    twice = pl.col("rater").is_in(asked["rater"].unique().to_list())
    late = late.with_columns(rater=pl.when(twice).then(pl.col("rater") + " (asked again)").otherwise("rater"))
    silent = included(raters, excluded).filter(rater_kind="llm").select(selector="rater", rater_kind="rater_kind")
    found = [pl.DataFrame(schema=SCHEMA)]
    for items, rows, said in (("all", pairs, asked), ("test", held, pl.concat([asked, late]))):
        given = said.select("label", selector="rater", rater_kind="rater_kind", pair_id="item_id")
        names = pl.concat([silent, given.select("selector", "rater_kind")]).unique(maintain_order=True)
        names = names.sort(
            pl.col("rater_kind").replace_strict(KINDS, range(len(KINDS)), default=0), maintain_order=True
        )
        blind = pl.DataFrame({"selector": list(BASELINES)}).with_columns(rater_kind=pl.lit(None, pl.String))
        answers = pl.concat([blind, names]).join(rows, how="cross", maintain_order="left_right")
        answers = answers.join(given.drop("rater_kind"), on=["selector", "pair_id"], how="left", maintain_order="left")
        label = pl.coalesce("label", pl.when(pl.col("rater_kind").is_null()).then(_blind()))
        selected = (label == "yes").fill_null(value=False)
        found.append(answers.with_columns(items=pl.lit(items), selected=selected, answered=label.is_not_null()))
    return pl.concat([part.select(list(SCHEMA)) for part in found])


def _blind() -> pl.Expr:
    return pl.col("selector").replace_strict(BASELINES, default=None, return_dtype=pl.String)


def smoke_run(held_out: Sequence[pl.DataFrame]) -> str:
    """Return a sentence on the rows of a smoke run, which `selections` leaves out; an empty string without any."""
    names = pl.concat(held_out).filter(pl.col("rater").is_in(SMOKE))["rater"].unique().sort()
    if names.is_empty():
        return ""
    return f" Left out: {' and '.join(names)}. That was a smoke run, and no model: see the page on GRPO."


def measure(found: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Return the table `selection_scores`: every selector on all pairs with a reference, and on the test part.

    found: see `selections`.
    """
    rows: list[dict[str, Any]] = []
    judged = found.drop_nulls("relevant").sort("items", "pair_id", maintain_order=True)
    for (name, kind, items), part in judged.group_by("selector", "rater_kind", "items", maintain_order=True):
        truth, selected, requests = (part[column].to_numpy() for column in ("relevant", "selected", "prompt_id"))
        about = {"rater_kind": kind, "items": items, "n_positive": int(truth.sum())}
        silent = int((~part["answered"]).sum())
        scores: list[dict[Any, Any]] = classification.scores(truth, selected, requests, seed=seed).to_dict("records")
        rows += [{"selector": name, **about, "n_unanswered": silent} | row for row in scores]
        if name == list(BASELINES)[-1]:
            _, place = np.unique(requests, return_inverse=True)
            for drawn, group in ((AT_RANDOM, np.zeros_like(place)), (WITHIN, place)):
                expected = _at_random(np.bincount(group), np.bincount(group, truth).astype(float))
                rows += [{"selector": drawn, **about, "n_unanswered": 0} | row for row in expected]
    return table("selection_scores").frame(rows)


def _at_random(pairs: NDArray[np.int64], relevant: NDArray[np.float64]) -> list[dict[str, Any]]:
    """Return each metric of the counts that are expected of selecting, in each group, at its own base rate.

    pairs, relevant: how many a group has, of all and of the relevant ones; shape (groups,).
    """
    n, yes = int(pairs.sum()), relevant / pairs
    counts = np.array([pairs @ (first * second) for first in (yes, 1 - yes) for second in (yes, 1 - yes)])
    rows = []
    for name, metric in confusion.METRICS.items():
        value = round(float(metric.value(counts)), 12) + 0.0  # no minus before a 0
        note = metric.undefined if np.isnan(value) else "of the expected counts, in closed form: no interval"
        rows.append({"metric": name, "value": value, "low": None, "high": None, "n": n, "reason": note})
    return rows


def wide(scores: pl.DataFrame, items: str) -> pl.DataFrame:
    """Return `selection_scores` on one set of pairs as readers want it: a row a selector, intervals behind numbers."""
    schema = {"selector": pl.String, "kind": pl.String, "unanswered": pl.Int64}
    part = scores.filter(pl.col("items") == items)
    if part.is_empty():
        return pl.DataFrame(schema=schema)
    said = part.with_columns(text=pl.struct("value", "low", "high").map_elements(in_cell, pl.String))
    rows = said.pivot("metric", index=["selector", "rater_kind", "n_unanswered"], values="text", maintain_order=True)
    rows = rows.rename({"rater_kind": "kind", "n_unanswered": "unanswered", "flag_rate": "selects"})
    return rows.select("selector", "kind", "precision", "recall", "f1", "accuracy", "kappa", "selects", "unanswered")


def on_what(found: pl.DataFrame, items: str) -> str:
    """Return in words which pairs the rows of one set are measured on, and how many have no reference.

    It says how many requests have a relevant pair as well: an interval over requests rests on these.
    """
    one = found.filter(pl.col("items") == items, pl.col("selector") == next(iter(BASELINES)))
    judged = one.drop_nulls("relevant")
    hits = judged.filter("relevant")
    out = f"; {len(one) - len(judged):,} more have no reference" if len(judged) < len(one) else ""
    return (
        f"{len(judged):,} pairs of {judged['prompt_id'].n_unique():,} requests, "
        f"{len(hits):,} of them relevant, in {hits['prompt_id'].n_unique():,} of the requests{out}"
    )


def best(scores: pl.DataFrame, kind: str, items: str, metric: str = "f1") -> dict[str, Any] | None:
    """Return the row of the selector of a kind with the highest metric on a set of pairs; None where there is none."""
    part = scores.filter(rater_kind=kind, items=items, metric=metric).drop_nulls("value")
    return next(iter(part.sort("value", "selector", descending=[True, False]).to_dicts()), None)


def differences(found: pl.DataFrame, scores: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Return each trained row less the best zero-shot row on the same held-out pairs: F1, precision and recall.

    Columns selector, against, metric, value, low, high and reason; no rows where one of the two lacks.
    """
    schema = {"selector": pl.String, "against": pl.String, "metric": pl.String} | dict.fromkeys(
        ("value", "low", "high"), pl.Float64
    )
    rows: list[dict[str, Any]] = []
    model = best(scores, "llm", "test")
    for name in scores.filter(rater_kind="trained", items="test")["selector"].unique(maintain_order=True):
        for metric in ("f1", "precision", "recall") if model else ():
            assert model is not None
            gap = difference(found, model["selector"], name, metric, seed)
            rows.append({"selector": name, "against": model["selector"], "metric": metric} | gap._asdict())
    frame = pl.DataFrame(rows, schema=schema | {"reason": pl.String})
    return frame.with_columns(pl.col("value", "low", "high").fill_nan(None))


def difference(found: pl.DataFrame, first: str, second: str, metric: str, seed: int, items: str = "test") -> Interval:
    """Return the second selector's metric less the first's on one set of pairs with a reference."""
    judged = found.drop_nulls("relevant").filter(pl.col("items") == items).sort("pair_id")
    one, other = (judged.filter(selector=name) for name in (first, second))
    truth, requests = one["relevant"].to_numpy(), one["prompt_id"].to_numpy()
    return classification.difference(
        truth, one["selected"].to_numpy(), other["selected"].to_numpy(), metric, requests, seed=seed
    )


def sentence(found: pl.DataFrame, scores: pl.DataFrame, seed: int) -> str:
    """Return Figure 4 and Table 3 as a claim: the best rows on all pairs, and what training adds on held-out ones."""
    if scores.is_empty():
        return "Nothing can be said of selectors: no pair has a reference."
    everything = scores.filter(selector=next(iter(BASELINES)), metric="f1")
    blind = {row["items"]: row["value"] for row in everything.to_dicts()}
    parts = [f"On {on_what(found, 'all')}: {_named(scores, 'all', ('llm', 'retrieval'))}"]
    parts[0] += f"; selecting everything reaches {_number(blind.get('all'))}."
    trained, model = best(scores, "trained", "test"), best(scores, "llm", "test")
    if trained is None:
        return f"{parts[0]} No trained selector has an F1 on held-out pairs."
    parts.append(f"On the held-out {on_what(found, 'test')}: {_named(scores, 'test', ('trained', 'llm'))}")
    parts[1] += f"; selecting everything reaches {_number(blind.get('test'))}."
    if model is not None:
        gap = difference(found, model["selector"], trained["selector"], "f1", seed)
        parts.append(f"The trained one's F1 less that model's: {with_interval(gap, '{:+.2f}')}.")
    return " ".join(parts)


def _named(scores: pl.DataFrame, items: str, kinds: tuple[str, ...]) -> str:
    words = {"llm": "model", "retrieval": "retrieval row", "trained": "trained selector"}
    said = []
    for kind in kinds:
        row = best(scores, kind, items)
        said.append(
            f"no {words[kind]} has an F1"
            if row is None
            else f"the best {words[kind]}, {row['selector']}, has an F1 of {with_interval(interval_of(row), '{:.2f}')}"
        )
    return "; ".join(said)


def _number(value: float | None) -> str:
    return "no F1" if value is None else f"{value:.2f}"


def printed(rows: pl.DataFrame, counts: pl.DataFrame) -> pl.DataFrame:
    """Return Table 3 as printed, and beside it what the counts behind a row give, where these are known.

    Columns selector, printed accuracy, precision, recall and f1, then pairs, relevant (share), f1, kappa and selects by
    the counts; null where a row has none.

    rows: item, statistic and value (see `published.read`). counts: item, tp, fp, fn and n (see `published.counts`).
    """
    names = ("accuracy", "precision", "recall", "f1")
    recomputed = []
    for item, tp, fp, fn, n in counts.select("item", "tp", "fp", "fn", "n").iter_rows():
        values: dict[str, float] = dict(
            classification.from_counts(tp, fp, fn, n)[["metric", "value"]].itertuples(index=False)
        )
        recomputed.append(
            {"item": item, "pairs": n, "relevant": (tp + fn) / n} | {_OF[name]: values[name] for name in _OF}
        )
    schema = {"item": pl.String, "pairs": pl.Int64} | dict.fromkeys(("relevant", *_OF.values()), pl.Float64)
    table3 = rows.filter(pl.col("statistic").is_in(names)).pivot("statistic", index="item", values="value")
    found = table3.join(pl.DataFrame(recomputed, schema=schema), on="item", how="left", maintain_order="left")
    return found.select(pl.col("item").alias("selector"), *names, *list(schema)[1:])


_OF = {"f1": "f1 by counts", "kappa": "kappa by counts", "flag_rate": "selects by counts"}
