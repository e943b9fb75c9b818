"""What readers see of ratings: generators against 3, models beside annotators, the paper's numbers, and claims."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

from recenter_utils import published
from recenter_utils.annotation import annotators
from recenter_utils.relevance.agreement import people_word
from recenter_utils.report import in_cell, interval_of, with_interval
from recenter_utils.responses import quality
from recenter_utils.responses.effects import sides
from recenter_utils.responses.ratings import ALL_ANNOTATORS, ALL_GENERATORS, NEUTRAL, Ratings
from recenter_utils.scales import PEOPLE
from recenter_utils.stats.resampling import Interval

#: What an interval of a mean says of 3.
SIDES = ("above 3", "below 3", "not told apart from 3")


_FORM = "{:z.2f}"  # no minus before a 0


def side(row: Mapping[str, Any]) -> str | None:
    """Return what a mean's interval says of 3; None where there is none. row: low and high."""
    if row["low"] is None or row["high"] is None:
        return None
    return SIDES[0] if row["low"] > NEUTRAL else SIDES[1] if row["high"] < NEUTRAL else SIDES[2]


def identical(generation: pl.DataFrame, generator: str = ALL_GENERATORS) -> int:
    """Return on how many pages both responses are the same text, which nobody is asked about.

    generation: the table.
    """
    own = generation if generator == ALL_GENERATORS else generation.filter(generator=generator)
    return int(own["n_identical"].sum())


def with_identical(found: Interval, generation: pl.DataFrame, generator: str = ALL_GENERATORS) -> Interval:
    """Return a share of ratings that find no difference for the better, pages of identical responses among them.

    Each counts as 3 throughout, with as many ratings as a compared page has on average. The interval takes how many of
    them there are for given.

    found: the share of the pages that are compared. generation: the table.
    """
    compared = generation if generator == ALL_GENERATORS else generation.filter(generator=generator)
    pages = int(compared["n_compared"].sum())
    more = identical(generation, generator) / pages if pages else 0.0
    return found._replace(**{end: (getattr(found, end) + more) / (1 + more) for end in ("value", "low", "high")})


def by_generator(scores: pl.DataFrame, generation: pl.DataFrame) -> pl.DataFrame:
    """Return annotators' ratings of each generator's responses as a page shows them, best first, then of all.

    Where no annotator's rating counts: each model's mean rating of each generator instead, a column a model. Last come
    generators that have nothing to rate.

    scores: the table `preference_scores`. generation: the table.
    """
    own = scores.filter(rater=ALL_ANNOTATORS)
    means = own.filter(statistic="mean").with_columns(last=pl.col("generator") == ALL_GENERATORS)
    if not means["value"].count():
        said = scores.filter(statistic="mean", rater_kind="llm")
        said = said.with_columns(text=pl.struct("value", "low", "high").map_elements(in_cell, pl.String))
        shown = said.pivot("rater", index="generator", values="text", maintain_order=True)
        without = pl.DataFrame({"generator": unheard(generation)}, {"generator": pl.String})
        return pl.concat([shown, without], how="diagonal")
    rows = []
    for row in means.sort("last", "value", "generator", descending=[False, True, False], nulls_last=True).to_dicts():
        beside = {one["statistic"]: one for one in own.filter(generator=row["generator"]).to_dicts()}
        pages = {"value": row["value"], "low": row["low_pages"], "high": row["high_pages"]}
        whole = with_identical(interval_of(beside["no_better"]), generation, row["generator"])
        rows.append(
            {
                "generator": row["generator"],
                "mean (95% interval over requests)": in_cell(row),
                "against 3": side(row),
                "mean (over pages)": in_cell(pages),
                "no better, of ratings": in_cell(beside["no_better"], "{:.0%}"),
                "no better, by mean": in_cell(beside["no_better_by_mean"], "{:.0%}"),
                "identical pages": identical(generation, row["generator"]),
                "no better, identical ones as 3": in_cell(_known(whole), "{:.0%}"),
                "comparisons": row["n"],
                "unrated": row["n_unanswered"],
                "note": row["reason"],
            }
        )
    rows += [
        {"generator": name, "comparisons": 0, "note": "none of its pages can be judged"} for name in unheard(generation)
    ]
    return pl.DataFrame(rows, infer_schema_length=None)


def unheard(generation: pl.DataFrame) -> list[str]:
    """Return the generators of whom no page can be judged. generation: the table."""
    return generation.filter(pl.col("n_compared") == 0)["generator"].sort().to_list()


def _known(found: Interval) -> dict[str, float | None]:
    """Return an interval as a row of a table has it, None where undefined."""
    return {end: None if math.isnan(value := getattr(found, end)) else value for end in ("value", "low", "high")}


def whose(ratings: Ratings) -> str:
    """Return whose ratings `by_generator` shows, for its caption."""
    return "all annotators who count" if ratings.people else "models alone: no annotator's rating counts"


def raters(scores: pl.DataFrame, names: Mapping[str, str]) -> pl.DataFrame:
    """Return how everybody rates the responses of all generators, as a page shows it (Table 6).

    names: see `annotators.page_names`.
    """
    rows = []
    together = scores.filter(generator=ALL_GENERATORS)
    for (rater,), part in together.group_by("rater", maintain_order=True):
        found = {row["statistic"]: row for row in part.to_dicts()}
        reasons = [one["reason"] for one in found.values() if one["reason"]]
        rows.append(
            {
                "rater": names.get(str(rater), str(rater)),
                "mean": in_cell(found["mean"]),
                "no better": in_cell(found["no_better"], "{:.0%}"),
                "less annotators": in_cell(found["inflation"], "{:+z.2f}") if "inflation" in found else None,
                "Spearman": in_cell(found["spearman"], _FORM) if "spearman" in found else None,
                "Spearman, one left out": in_cell(left, _FORM) if (left := _left_out(found)) else None,
                "linear kappa": in_cell(found["linear_kappa"], _FORM),
                "quadratic kappa": in_cell(found["quadratic_kappa"], _FORM),
                "unanswered": found["mean"]["n_unanswered"],
                "note": "; ".join(dict.fromkeys(reasons)) or None,
            }
        )
    return pl.DataFrame(rows, infer_schema_length=None)


def _left_out(found: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Return the correlation with the means that leave one annotator out: an annotator's own is one. found: a rater's
    rows by statistic."""
    return found.get("spearman_left_out", found.get("spearman"))


def shown_names(page_names: Mapping[str, str], kinds: Iterable[str]) -> dict[str, str]:
    """Return what pages call each rater, with the study's word for all annotators together."""
    return {**page_names, ALL_ANNOTATORS: f"all {people_word(kinds)}"}


def sentence(scores: pl.DataFrame, ratings: Ratings, generation: pl.DataFrame, study: str = "") -> str:
    """Return Figure 5 as a claim: how often responses are no better, and which generators' are told apart from 3.

    scores: the table `preference_scores`. generation: the table. study: what a command finds the study by.
    """
    same = identical(generation)
    if ratings.comparisons.is_empty():
        said = "Nothing can be said of personalised responses: this study compares none."
        return said + (f" On {_pages(same)} both responses are the same text, hence no better." if same else "")
    people = ratings.long(ratings.people)
    if people.is_empty():
        means = _of(scores, "mean").filter(rater_kind="llm").drop_nulls("value").sort("value", "rater").to_dicts()
        ends = [f"{row['value']:.2f} ({row['rater']})" for row in (*means[:1], *means[1:][-1:])]
        models = f"models' mean ratings run from {' to '.join(ends)}" if means else "no model answered either"
        return (
            "Of people nothing can be said: no annotator's rating counts "
            f"('recenter annotate {study} preference' opens the screens). What is left is what models say: {models}."
        )
    kinds = pl.DataFrame({"rater": ratings.raters, "rater_kind": ratings.kinds})
    who = annotators.who(kinds.filter(pl.col("rater_kind").is_in(PEOPLE)))
    found = {row["statistic"]: interval_of(row) for row in _of(scores, "", ALL_ANNOTATORS).to_dicts()}
    said = (
        f"Of the {len(people):,} ratings by {who} of {people['comparison_id'].n_unique():,} comparisons on "
        f"{people['page_id'].n_unique():,} pages of {people['prompt_id'].n_unique():,} requests, "
        f"{with_interval(found['no_better'], '{:.1%}')} find the personalised response no better than the "
        f"generic one; by the annotators' mean, "
        f"{with_interval(found['no_better_by_mean'], '{:.1%}')} of comparisons are no better. The mean rating is "
        f"{with_interval(found['mean'], '{:.2f}')}."
    )
    if same:
        whole = with_interval(with_identical(found["no_better"], generation), "{:.1%}")
        said += (
            f" On {_pages(same)} more both responses are the same text, which nobody is asked about and which is no "
            f"better by definition: counted as 3, the share no better is {whole}."
        )
    single = scores.filter(pl.col("generator") != ALL_GENERATORS, rater=ALL_ANNOTATORS, statistic="mean")
    known = [(row["generator"], interval_of(row)) for row in single.drop_nulls("low").to_dicts()]
    if known:
        said += f" Generators' means by their intervals over requests: {sides(known, SIDES, NEUTRAL)}."
    if missing := unheard(generation):
        said += f" Of {', '.join(missing)} nothing can be said: no page can be judged."
    if lacking := len(ratings.comparisons) - people["comparison_id"].n_unique():
        said += f" {lacking:,} comparisons have no rating by an annotator who counts."
    return said


def _pages(number: int) -> str:
    return f"{number:,} page{'s' * (number != 1)}"


def judges_sentence(scores: pl.DataFrame, kinds: Iterable[str]) -> str:
    """Return Table 6 as a claim: how much higher models rate than annotators, and how well they follow them."""
    word = people_word(kinds)
    gaps = _of(scores, "inflation").drop_nulls("value").sort("value", "rater")
    if gaps.is_empty():
        return "Models cannot be held against annotators: no comparison has ratings of both."
    ends = [f"{row['value']:+.2f} ({row['rater']})" for row in (gaps.row(0, named=True), gaps.row(-1, named=True))]
    above, below = int((gaps["low"] > 0).sum()), int((gaps["high"] < 0).sum())
    several = len(gaps) > 1
    spread = f"goes from {ends[0]} to {ends[1]}" if several else f"is {ends[0]}"
    said = (
        f"On the same comparisons, {'a' if several else 'the'} model's mean rating less that of {word} "
        f"{spread}; {above} of {len(gaps)} intervals over requests lie above 0, {below} below."
    )
    own = _of(scores, "spearman")
    follow = own.filter(rater_kind="llm").drop_nulls("value").sort("value", "rater").to_dicts()
    if follow:
        ends = [f"{row['value']:z.2f} ({row['rater']})" for row in (follow[0], follow[-1])]
        said += f" Spearman's correlation with the mean of {word} {'goes from ' if len(follow) > 1 else 'is '}"
        said += " to ".join(ends[: len(follow)])
        told = [row for row in follow if row["low"] is not None and (row["low"] > 0 or row["high"] < 0)]
        said += f"; {len(told)} of {len(follow)} judges' correlations are told from 0."
        yardstick = interval_of(own.filter(rater=ALL_ANNOTATORS).row(0, named=True))
        left = _of(scores, "spearman_left_out").drop_nulls("value").sort("value", "rater").to_dicts()
        if left:
            ends = [f"{row['value']:z.2f} ({row['rater']})" for row in (left[0], left[-1])]
            said += f" With the means that leave one annotator out it {'goes from' if len(left) > 1 else 'is'} "
            said += f"{' to '.join(ends[: len(left)])}; that of the one left out is"
        else:
            said += " That of an annotator with the mean of the others:"
        said += f" {with_interval(yardstick, '{:.2f}')}."
    return said


def reported_generators(frame: pl.DataFrame) -> pl.DataFrame:
    """Return Figure 5 and §6.2 as published, and what their counts give through the code that this page goes by.

    frame: the published numbers of Figure 5. Columns generator, comparisons, ratings, mean (as read off or printed),
    mean by counts, and the same of the share no better; as text, with the digits that the source has.
    """
    known = {
        name: published.numbers(frame, name) for name in ("n", "n_ratings", "sum", "n_no_better", "mean", "no_better")
    }
    rows = []
    for item, n in known["n"].items():
        ratings = known["n_ratings"].get(item, 3 * n)
        total = known["sum"].get(item, sum(known["sum"].values()))
        share, mean = quality.share_and_mean(total, known["n_no_better"].get(item, math.nan), ratings)
        rows.append(
            {
                "generator": item,
                "comparisons": int(n),
                "ratings": int(ratings),
                "mean": f"{known['mean'][item]:.3f}",
                "mean by counts": f"{mean:.3f}",
                "no better": f"{known['no_better'][item]:.1%}" if item in known["no_better"] else None,
                "no better by counts": None if math.isnan(share) else f"{share:.1%}",
            }
        )
    return pl.DataFrame(rows, infer_schema_length=None)


def reported_judges(frame: pl.DataFrame) -> pl.DataFrame:
    """Return Table 6 as published, with each mean less the annotators'. frame: the published numbers of Table 6."""
    means, spearman = published.numbers(frame, "mean"), published.numbers(frame, "spearman")
    rows = [
        {
            "rater": item,
            "mean": f"{mean:.3f}",
            "less annotators": None if item == ALL_ANNOTATORS else f"{mean - means[ALL_ANNOTATORS]:+.3f}",
            "Spearman": f"{spearman[item]:.3f}" if item in spearman else None,
        }
        for item, mean in means.items()
    ]
    return pl.DataFrame(rows, infer_schema_length=None)


def _of(scores: pl.DataFrame, statistic: str = "", rater: str = "") -> pl.DataFrame:
    """Return the rows over all generators, of one statistic or rater where these are given."""
    found = scores.filter(generator=ALL_GENERATORS)
    found = found.filter(pl.col("statistic") == statistic) if statistic else found
    return found.filter(pl.col("rater") == rater) if rater else found
