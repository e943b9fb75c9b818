"""What a team reads in the table `designs`: the fewest pages that see a gap, and how far a design can be trusted."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from recenter_utils.codebook.preferences import GAP_KINDS
from recenter_utils.relevance.agreement import people_word
from recenter_utils.report import in_cell, interval_of, with_interval
from recenter_utils.responses.planning import Basis
from recenter_utils.settings import Planning

#: Pages on which an analysis sees a gap more often than this where there is none are too few for it.
MOST_FALSE = 0.1


def usable(designs: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of designs with pages enough: with few false alarms, on average over numbers of annotators."""
    alarms = designs.filter(gap=0).group_by("gap_kind", "pages").agg(pl.col("power").mean())
    enough = alarms.filter(pl.col("power") <= MOST_FALSE)
    return designs.join(enough, on=["gap_kind", "pages"], how="semi", maintain_order="left")


def fewest(designs: pl.DataFrame, rules: Planning) -> pl.DataFrame:
    """Return for each gap and number of annotators the fewest pages that see it as often as asked for.

    More pages must see it as well, so that chance does not decide. Columns gap_kind, gap, annotators, pages (null: more
    than were tried) and ratings.
    """
    rows = []
    tried = designs.filter(pl.col("pages").is_in(rules.pages), pl.col("annotators").is_in(rules.annotators))
    good = usable(tried)
    known = tried.drop_nulls("power").select("gap_kind", "annotators").unique()
    for kind in GAP_KINDS:
        for gap in rules.gaps:
            for annotators in sorted(rules.annotators):
                if known.filter(gap_kind=kind, annotators=annotators).is_empty():
                    continue
                found = good.filter(gap_kind=kind, gap=gap, annotators=annotators).sort("pages", descending=True)
                seeing = found.filter((pl.col("power") >= rules.power).cum_min())
                last = seeing.row(-1, named=True) if len(seeing) else {"pages": None, "ratings": None}
                about = {"gap_kind": kind, "gap": gap, "annotators": annotators}
                rows.append(about | {"pages": last["pages"], "ratings": last["ratings"]})
    columns = {"annotators": pl.Int64, "pages": pl.Int64, "ratings": pl.Int64}
    return pl.DataFrame(rows, {"gap_kind": pl.String, "gap": pl.Float64, **columns})


def for_page(found: pl.DataFrame, rules: Planning, kinds: Iterable[str]) -> pl.DataFrame:
    """Return `fewest` as a page shows it: a row a gap, a column a number of annotators, and the cheapest of them."""
    beyond = f"more than {max(rules.pages)}"
    rows = []
    for (kind, gap), part in found.group_by("gap_kind", "gap", maintain_order=True):
        row = {"what is to be seen": kind, "gap": gap}
        row |= {_column(number, kinds): "–" for number in sorted(rules.annotators)}
        for annotators, pages in part.select("annotators", "pages").iter_rows():
            row[_column(annotators, kinds)] = beyond if pages is None else f"{pages:,}"
        cheap = part.drop_nulls("pages").sort("ratings", "annotators").head(1).to_dicts()
        row["fewest ratings (pages × annotators)"] = (
            f"{cheap[0]['ratings']:,} ({cheap[0]['pages']:,} × {cheap[0]['annotators']})" if cheap else "–"
        )
        rows.append(row)
    return pl.DataFrame(rows)


def false_alarms(designs: pl.DataFrame, rules: Planning, kinds: Iterable[str]) -> pl.DataFrame:
    """Return how often a gap is seen where there is none: a row a kind and number of pages, a column an annotators'."""
    none = designs.filter(pl.col("gap") == 0, pl.col("pages").is_in(rules.pages))
    rows = []
    for (kind, pages, requests), part in none.group_by("gap_kind", "pages", "requests", maintain_order=True):
        row = {"what is to be seen": kind, "pages": pages, "requests": requests}
        row |= {_column(number, kinds): "–" for number in sorted(rules.annotators)}
        for annotators, power in part.select("annotators", "power").iter_rows():
            if power is not None and annotators in rules.annotators:
                row[_column(annotators, kinds)] = f"{power:.1%}"
        rows.append(row)
    return pl.DataFrame(rows)


def _column(number: int, kinds: Iterable[str]) -> str:
    one = {"people": "person", "simulated annotators": "annotator"}.get(people_word(kinds), "annotator")
    many = {"person": "people"}.get(one, f"{one}s")
    return f"{number} {one if number == 1 else many}"


def notes(designs: pl.DataFrame) -> pl.DataFrame:
    """Return why designs have no power: gap_kind, reason, and how many designs."""
    lacking = designs.filter(pl.col("gap") == 0).drop_nulls("reason")
    found = lacking.group_by("gap_kind", "reason", maintain_order=True).agg(designs=pl.len())
    return found.select(pl.col("gap_kind").alias("what is to be seen"), "designs", "reason")


def components_for_page(components: pl.DataFrame, kinds: Iterable[str]) -> pl.DataFrame:
    """Return the table `variance_components` as a page shows it: between what, deviation, share of variance."""
    one = {"people": "people", "simulated annotators": "simulated annotators"}.get(people_word(kinds), "annotators")
    words = {
        "request": "requests",
        "user": "users of a request",
        "page": "a user's pages, of generators",
        "comparison": "attributes of a page",
        "annotator": one,
        "residual": "single ratings",
    }
    variance = pl.col("deviation") ** 2
    return components.select(
        between=pl.col("factor").replace_strict(words),
        groups="n_groups",
        deviation=pl.struct(value="deviation", low="low", high="high").map_elements(in_cell, pl.String),
        share_of_variance=(variance / variance.sum()).map_elements("{:.0%}".format, pl.String),
        note="reason",
    )


def sentence(
    designs: pl.DataFrame, components: pl.DataFrame, found: Basis, rules: Planning, kinds: Iterable[str]
) -> str:
    """Return in words what a study of this size sees, and what more pages or annotators would do."""
    word = people_word(kinds)
    if designs.is_empty():
        why = found.reason or "no annotator's rating counts, and models' ratings say nothing of how people differ"
        return f"No design can be tried: {why}."
    own = designs.filter(gap=0, pages=found.pages, annotators=found.annotators)
    size = f"{found.pages:,} pages and {_column(found.annotators, kinds)}"
    seen, unseen = [], []
    for row in own.to_dicts():
        if row["smallest"] is None:
            unseen.append(f"{row['gap_kind']}: {row['reason'] or 'no gap is seen so often'}")
        else:
            trusted = "" if row["power"] <= MOST_FALSE else f", but sees one in {row['power']:.0%} where there is none"
            seen.append(f"{row['gap_kind']} from {row['smallest']:.2f} points on{trusted}")
    said = (
        [f"{rules.power:.0%} of studies of this size ({size}) would see these gaps: {'; '.join(seen)}."] if seen else []
    )
    if unseen:
        said.append(f"Of others nothing can be said: {'; '.join(unseen)}.")
    spread = components.filter(factor="annotator").row(0, named=True)
    most = (
        designs.filter(gap_kind=GAP_KINDS[0], gap=0, annotators=found.annotators).drop_nulls("smallest").sort("pages")
    )
    if spread["deviation"] is not None and len(most) > 1:
        told = with_interval(interval_of({"value": spread["deviation"]} | spread), "{:.2f}")
        first, last = most.row(0, named=True), most.row(-1, named=True)
        said.append(
            f"Between {word} ratings have a standard deviation of {told}, which no number of pages takes away: with "
            f"{_column(found.annotators, kinds)}, the smallest gap of one generator against 3 goes from "
            f"{first['smallest']:.2f} with {first['pages']:,} pages to {last['smallest']:.2f} with {last['pages']:,}."
        )
    return " ".join(said)
