"""Who agrees with whom on relevance: people and models in one matrix, its blocks, and the published ones (Figure 3)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import pandas as pd
import polars as pl
from numpy.typing import NDArray

from recenter_utils import published, report
from recenter_utils.annotation import annotators
from recenter_utils.scales import PEOPLE, RATER_KINDS, RELEVANCE
from recenter_utils.stats import agreement
from recenter_utils.stats.blocks import Block, block_means, block_means_of, block_name, difference_name
from recenter_utils.tables import table

LABELS = RELEVANCE.labels
_PEOPLE = re.compile(r"\bpeople\b")

#: The groups of raters in tables; pages say `simulated annotators` where people are simulated (`people_word`).
GROUPS = ("people", "models")

WITHIN_PEOPLE: Block = ("people", "people")
WITHIN_MODELS: Block = ("models", "models")
BETWEEN: Block = ("people", "models")

#: How far models are from people, and how much more alike models are than people.
DIFFERENCES = ((WITHIN_PEOPLE, BETWEEN), (WITHIN_MODELS, WITHIN_PEOPLE))

_WORDS = {"human": "people", "simulated": "simulated annotators"}


def raters(judgments: pl.DataFrame, excluded: tuple[str, ...] = ()) -> dict[str, str]:
    """Return the kind of everybody who answered and counts, by name: people first, then models, each by name."""
    found = annotators.included(judgments, excluded).select("rater", "rater_kind").unique()
    return dict(sorted(found.iter_rows(), key=lambda row: (RATER_KINDS.index(row[1]), row[0])))


def groups(kinds: Mapping[str, str]) -> dict[str, str]:
    """Return the group of each rater; kinds: see `raters`."""
    return {name: GROUPS[kind not in PEOPLE] for name, kind in kinds.items()}


def answers(judgments: pl.DataFrame, excluded: tuple[str, ...] = ()) -> pd.DataFrame:
    """Return who said what: one row a pair of request and attribute, one column a rater, in the order of `raters`."""
    wide = annotators.wide(annotators.included(judgments, excluded))
    return wide[list(raters(judgments, excluded))]


def requests(wide: pd.DataFrame, pairs: pl.DataFrame) -> NDArray:
    """Return the request of each row of `answers`: the cluster of its interval. pairs: the table."""
    return annotators.clusters_of(wide, pairs.rename({"pair_id": "item_id"}), "prompt_id")


def matrix(
    judgments: pl.DataFrame,
    pairs: pl.DataFrame,
    excluded: tuple[str, ...] = (),
    *,
    draws: int = 10_000,
    seed: int = 0,
) -> pl.DataFrame:
    """Return the table `relevance_agreement`: Cohen's kappa of every two raters, on what both answered (Figure 3).

    Args:
        judgments: The table `relevance_judgments`.
        pairs: The table.
        excluded: Annotators whom study.yaml leaves out.
        draws: Resamples of requests.
        seed: Where they start.
    """
    wide, kinds = answers(judgments, excluded), raters(judgments, excluded)
    if len(kinds) < 2:
        return table("relevance_agreement").empty()
    found = agreement.pairwise(wide, LABELS, clusters=requests(wide, pairs), draws=draws, seed=seed)
    found.insert(2, "kind_a", found["rater_a"].map(kinds))
    found.insert(3, "kind_b", found["rater_b"].map(kinds))
    return _stored(found, "relevance_agreement")


def blocks(
    judgments: pl.DataFrame,
    pairs: pl.DataFrame,
    excluded: tuple[str, ...] = (),
    *,
    draws: int = 10_000,
    seed: int = 0,
) -> pl.DataFrame:
    """Return the table `relevance_blocks`: mean kappa within people, within models and between them, and differences.

    All from the same resamples of requests as `matrix`; the arguments are its.
    """
    wide, kinds = answers(judgments, excluded), raters(judgments, excluded)
    found = block_means(
        wide, LABELS, groups(kinds), order=GROUPS, differences=DIFFERENCES, clusters=requests(wide, pairs),
        draws=draws, seed=seed,
    )  # fmt: skip
    return _stored(found, "relevance_blocks")


def published_blocks(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the published block means: from the printed cells, by the code of `blocks`, and as the text says.

    frame: the published numbers of Figure 3. Columns block, n_pairs, value, in_the_text, source, tag.
    """
    cells = frame.filter(statistic="kappa")
    sides = groups(published.kinds(cells))
    means = block_means_of(published.pairs(cells), sides, order=GROUPS, differences=DIFFERENCES)
    said = {
        block_name((GROUPS[row["kind"] not in PEOPLE], GROUPS[row["other_kind"] not in PEOPLE])): row["value"]
        for row in frame.filter(statistic="mean_kappa").to_dicts()
    }
    found = pl.from_pandas(means[["block", "n_pairs", "value"]])
    return found.with_columns(
        in_the_text=pl.Series([said.get(name) for name in found["block"]], dtype=pl.Float64),
        source=pl.lit(" and ".join(cells["source"].unique().sort())),
        tag=pl.lit(f"derived from {', '.join(cells['tag'].unique().sort())} cells"),
    )


def people_word(kinds: Iterable[str]) -> str:
    """Return what a page calls those who stand where people stand, so that nobody simulated passes for a person."""
    words = [_WORDS[kind] for kind in PEOPLE if kind in set(kinds)]
    return words[0] if len(words) == 1 else "annotators"


def in_words(found: pl.DataFrame, kinds: Iterable[str]) -> pl.DataFrame:
    """Return a table as a page shows it, with the study's word for people in `block` and `reason`."""
    word = people_word(kinds)
    shown = [name for name in ("block", "reason") if name in found.columns]
    return found.with_columns(pl.col(shown).str.replace_all(_PEOPLE.pattern, word))


def for_page(found: pl.DataFrame, names: Mapping[str, str]) -> pl.DataFrame:
    """Return the table `relevance_agreement` as a page shows it: rater, other, n, kappa with its interval, note.

    names: see `annotators.page_names`.
    """
    sides = [[names.get(name, annotators.SOMEBODY) for name in found[column]] for column in ("rater_a", "rater_b")]
    return found.select(
        rater=pl.Series(sides[0], dtype=pl.String),
        other=pl.Series(sides[1], dtype=pl.String),
        n="n",
        kappa=pl.struct("value", "low", "high").map_elements(report.in_cell, pl.String),
        note="reason",
    )


def sentence(found: pl.DataFrame, judgments: pl.DataFrame, pairs: pl.DataFrame, excluded: tuple[str, ...] = ()) -> str:
    """Return Figure 3 as a claim. found: the table `relevance_blocks`; the others: see `matrix`."""
    kinds = raters(judgments, excluded)
    if not kinds:
        return "Nothing can be said of agreement: nobody has judged a pair of this study yet."
    sides = list(groups(kinds).values())
    word = people_word(kinds.values())
    n_people, n_models = sides.count("people"), sides.count("models")
    items = annotators.included(judgments, excluded)["item_id"].unique()
    n_requests = pairs.filter(pl.col("pair_id").is_in(items.implode()))["prompt_id"].n_unique()
    where = (
        f"On {len(items):,} pairs of {n_requests:,} requests, judged by {_counted(n_people, word)} and "
        f"{_counted(n_models, 'models')},"
    )
    rows = {row["block"]: row for row in found.to_dicts()}
    parts = [
        f"{what} {report.with_interval(report.interval_of(rows[block_name(block)]), '{:.2f}')}"
        for what, block in (
            (f"mean Cohen's kappa among {word} is", WITHIN_PEOPLE),
            ("among models", WITHIN_MODELS),
            (f"and between {word} and models", BETWEEN),
        )
    ]
    gap = report.with_interval(report.interval_of(rows[difference_name(*DIFFERENCES[0])]), "{:+.2f}")
    said = f"{where} {', '.join(parts)}; {word} among themselves less {word} with models: {gap}."
    return _PEOPLE.sub(word, said)


def _counted(number: int, word: str) -> str:
    singular = {"people": "person", "models": "model"}.get(word, word.removesuffix("s"))
    return f"{number or 'no'} {singular if number == 1 else word}"


def _stored(found: pd.DataFrame, name: str) -> pl.DataFrame:
    return table(name).frame(pl.from_pandas(found).to_dicts())
