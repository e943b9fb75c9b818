"""Over-selection or misranking: models against annotators as they answer, and cut to say yes as often (§5.2)."""

from __future__ import annotations

import pandas as pd
import polars as pl

from recenter_utils import report
from recenter_utils.errors import RecenterError
from recenter_utils.relevance.agreement import LABELS, answers, groups, people_word, raters, requests
from recenter_utils.stats.thresholds import ALL_PEOPLE, STATISTICS, thresholds
from recenter_utils.tables import table

#: What the reference of `relevance_consensus` is called.
MAJORITY, BENCHMARK = "majority", "benchmark"

_SHOWN = 3  # models that a sentence names one by one


def measure(
    judgments: pl.DataFrame,
    pairs: pl.DataFrame,
    consensus: pl.DataFrame,
    excluded: tuple[str, ...] = (),
    *,
    draws: int = 10_000,
    seed: int = 0,
) -> pl.DataFrame:
    """Return the table `relevance_thresholds`: each model against each annotator, the mean over them, the majority.

    Args:
        judgments: The table `relevance_judgments`.
        pairs: The table.
        consensus: The table `relevance_consensus`.
        excluded: Annotators whom study.yaml leaves out.
        draws: Resamples of requests.
        seed: Where they start.
    """
    kinds = raters(judgments, excluded)
    people = [name for name, group in groups(kinds).items() if group == "people"]
    models = [name for name in kinds if name not in people]
    if not models:
        return table("relevance_thresholds").empty()
    wide = answers(judgments, excluded)
    known = consensus.drop_nulls("reference")
    if known.height:
        name = BENCHMARK if known["reference_by"][0] == "benchmark" else MAJORITY
        if taken := [own for own in (ALL_PEOPLE, name) if own in kinds]:
            raise RecenterError(f"A rater is called '{taken[0]}', which stands for something else here: rename them.")
        wide[name] = wide.index.map(dict(known.select("pair_id", "reference").iter_rows())).astype(object)
    found = thresholds(
        wide, _scores(judgments, wide, models), people, labels=LABELS, clusters=requests(wide, pairs),
        draws=draws, seed=seed,
    )  # fmt: skip
    return table("relevance_thresholds").frame(pl.from_pandas(found.rename(columns={"judge": "rater"})).to_dicts())


def _scores(judgments: pl.DataFrame, wide: pd.DataFrame, models: list[str]) -> pd.DataFrame:
    own = judgments.filter(pl.col("rater").is_in(models))
    pivot = own.pivot("rater", index="item_id", values="score").to_pandas().set_index("item_id")
    return pivot.reindex(index=wide.index, columns=models)


def for_page(found: pl.DataFrame, judgments: pl.DataFrame, excluded: tuple[str, ...] = ()) -> pl.DataFrame:
    """Return the table as a page shows it: a row a model against the mean over annotators, and against the majority.

    Each number has its interval behind it; single annotators are in the table alone.
    """
    word = people_word(raters(judgments, excluded).values())
    said = {ALL_PEOPLE: f"mean over {word}", MAJORITY: f"majority of {word}", BENCHMARK: "benchmark"}
    rows = _together(found).with_columns(
        against=pl.col("reference").replace_strict(said, return_dtype=pl.String),
        text=pl.struct("value", "low", "high").map_elements(report.in_cell, pl.String),
    )
    if rows.is_empty():
        return pl.DataFrame(schema=dict.fromkeys(("model", "against", *STATISTICS), pl.String))
    wide = rows.pivot("statistic", index=["rater", "against", "reference"], values="text", maintain_order=True)
    order = pl.col("reference").replace_strict({name: n for n, name in enumerate(said)}, return_dtype=pl.Int64)
    shown = wide.sort(order, maintain_order=True).rename({"rater": "model"}).select("model", "against", *STATISTICS)
    return shown.rename({"kappa_people": f"kappa_among_{word.replace(' ', '_')}"})


def notes(found: pl.DataFrame, judgments: pl.DataFrame, excluded: tuple[str, ...] = ()) -> pl.DataFrame:
    """Return what is missing or to know of the numbers of `for_page`: against, models, statistics, why."""
    word = people_word(raters(judgments, excluded).values())
    rows = (
        _together(found)
        .drop_nulls("reason")
        .with_columns(
            pl.col("statistic").str.replace("kappa_people", f"kappa_among_{word}").str.replace_all("_", " "),
            why=pl.col("reason").str.replace_all(r"\bpeople\b", word),
        )
    )
    listed = [pl.col(name).unique(maintain_order=True) for name in ("rater", "statistic")]
    grouped = rows.group_by("reference", "why", maintain_order=True).agg(listed)
    return grouped.select(against="reference", models="rater", statistics="statistic", why="why")


def _together(found: pl.DataFrame) -> pl.DataFrame:
    return found.filter(pl.col("reference").is_in([ALL_PEOPLE, MAJORITY, BENCHMARK]))


def over_annotators(found: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of the mean over annotators; in a study without any those of its benchmark."""
    own = found.filter(reference=ALL_PEOPLE)
    return own if own.height else found.filter(reference=BENCHMARK)


def sentence(found: pl.DataFrame, judgments: pl.DataFrame, excluded: tuple[str, ...] = ()) -> str:
    """Return as a claim how much of models' distance from annotators goes away where they say yes as often.

    found: the table `relevance_thresholds`.
    """
    own = over_annotators(found)
    if "models" not in groups(raters(judgments, excluded)).values():
        return "Nothing can be said of thresholds: no model has judged a pair of this study."
    if own.is_empty():
        return "Nothing can be said of how far models are from annotators: there is none, and no benchmark either."
    rows = {(row["rater"], row["statistic"]): row for row in own.to_dicts()}
    moved = {
        name: row["value"] - rows[name, "kappa"]["value"]
        for (name, statistic), row in rows.items()
        if statistic == "kappa_matched" and row["value"] is not None
    }
    if not moved:
        (reason, *_) = (row["reason"] for (_, statistic), row in rows.items() if statistic == "kappa_matched")
        return f"Nothing can be said of other thresholds: {reason}."
    names = sorted(moved, key=lambda name: (-moved[name], name))
    word = people_word(raters(judgments, excluded).values())
    people = own["reference"][0] == ALL_PEOPLE
    whom = f"each of the {word}, a model's mean kappa with them" if people else "the benchmark, a model's kappa with it"
    shown = names if len(names) <= _SHOWN else [names[0], names[-1]]
    parts = []
    for name in shown:
        kappa, cut, share = (
            report.interval_of(rows[name, statistic]) for statistic in ("kappa", "kappa_matched", "threshold_share")
        )
        closed = "" if share.low != share.low else f", {report.with_interval(share, '{:z.0%}')} of the gap"
        before, after = report.with_interval(kappa, "{:.2f}"), report.with_interval(cut, "{:.2f}")
        parts.append(f"{name} from {before} to {after}{closed}")
    level = ""
    if people:
        among = report.with_interval(report.interval_of(rows[names[0], "kappa_people"]), "{:.2f}")
        level = f"; among {word} it is {among}".replace("two people", f"two {word}")
    chosen = f" (of {len(names)} models, those that move most and least)" if len(shown) < len(names) else ""
    return f"Cut where it says yes as often as {whom} moves: {'; '.join(parts)}{chosen}{level}."
