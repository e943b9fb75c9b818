"""What a team reads in the table `designs`: the smallest gap a size sees, the fewest requests for a gap, and trust."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from recenter_utils.codebook.preferences import GAP_KINDS
from recenter_utils.relevance.agreement import people_word
from recenter_utils.report import in_cell, interval_of, with_interval
from recenter_utils.responses.planning import Basis
from recenter_utils.responses.ratings import Ratings
from recenter_utils.settings import Planning

#: An analysis that sees a gap more often than this where there is none has too few requests for it.
MOST_FALSE = 0.1

_SIZE = ["gap_kind", "requests", "users"]


def asked(designs: pl.DataFrame, rules: Planning) -> pl.DataFrame:
    """Return the designs that study.yaml asks for, without the study's own where that is none of them."""
    return designs.filter(
        pl.col("requests").is_in(rules.requests),
        pl.col("users").is_in(rules.users),
        pl.col("annotators").is_in(rules.annotators),
    )


def usable(designs: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of designs with requests enough: with few false alarms, on average over annotators."""
    alarms = designs.filter(gap=0).group_by(_SIZE).agg(pl.col("power").mean())
    enough = alarms.filter(pl.col("power") <= MOST_FALSE)
    return designs.join(enough, on=_SIZE, how="semi", maintain_order="left")


def fewest(designs: pl.DataFrame, rules: Planning) -> pl.DataFrame:
    """Return for each gap and number of annotators the design with the fewest pages that sees it as often as asked for.

    More requests must see it as well, so that chance does not decide. Columns gap_kind, gap, annotators, and of the
    design requests, users, pages, comparisons and ratings (null: none that was tried sees it).
    """
    of_design = ["requests", "users", "pages", "comparisons", "ratings"]
    rows = []
    tried = asked(designs, rules)
    good = usable(tried)
    known = tried.drop_nulls("power").select("gap_kind", "annotators").unique()
    for kind in GAP_KINDS:
        for gap in rules.gaps:
            for annotators in sorted(rules.annotators):
                if known.filter(gap_kind=kind, annotators=annotators).is_empty():
                    continue
                own = good.filter(gap_kind=kind, gap=gap, annotators=annotators).sort("requests", descending=True)
                seeing = own.filter((pl.col("power") >= rules.power).cum_min().over("users"))
                best = seeing.sort("pages", "users").select(of_design).head(1).to_dicts()
                rows.append({"gap_kind": kind, "gap": gap, "annotators": annotators} | (best[0] if best else {}))
    columns = dict.fromkeys(("annotators", *of_design), pl.Int64)
    return pl.DataFrame(rows, {"gap_kind": pl.String, "gap": pl.Float64, **columns})


def for_page(found: pl.DataFrame, rules: Planning, kinds: Iterable[str]) -> pl.DataFrame:
    """Return `fewest` as a page shows it: a row a gap, a column a number of annotators, and the cheapest of them."""
    beyond = f"more than {max(rules.requests)} × {max(rules.users)}"
    rows = []
    for (kind, gap), part in found.group_by("gap_kind", "gap", maintain_order=True):
        row = {"what is to be seen": kind, "gap": gap}
        row |= {_column(number, kinds): "–" for number in sorted(rules.annotators)}
        for one in part.to_dicts():
            cell = beyond if one["requests"] is None else f"{one['requests']:,} × {one['users']}"
            row[_column(one["annotators"], kinds)] = cell
        cheap = part.drop_nulls("ratings").sort("ratings", "annotators").head(1).to_dicts()
        row["fewest ratings: pages × attributes a page × annotators"] = _product(**cheap[0]) if cheap else "–"
        rows.append(row)
    return pl.DataFrame(rows)


def _product(ratings: int, pages: int, comparisons: int, annotators: int, **_: object) -> str:
    return f"{pages:,} × {comparisons} × {annotators} = {ratings:,}"


def smallest(designs: pl.DataFrame, rules: Planning, kinds: Iterable[str]) -> pl.DataFrame:
    """Return the smallest gap that each design sees as often as asked for: a row a size, a column an annotators'.

    In brackets where it has too many false alarms, so that what it sees is not to be trusted.
    """
    none = asked(designs, rules).filter(gap=0)
    trusted = usable(none)
    rows = []
    for (kind, requests, users), part in none.group_by(_SIZE, maintain_order=True):
        form = "({:.2f})" if trusted.filter(gap_kind=kind, requests=requests, users=users).is_empty() else "{:.2f}"
        row = {"what is to be seen": kind, "requests": requests, "users a request": users}
        row |= {"users": requests * users, "pages": part["pages"][0]}
        row |= {_column(number, kinds): "–" for number in sorted(rules.annotators)}
        for annotators, gap in part.select("annotators", "smallest").iter_rows():
            if gap is not None:
                row[_column(annotators, kinds)] = form.format(gap)
        rows.append(row)
    return pl.DataFrame(rows)


def false_alarms(designs: pl.DataFrame, rules: Planning, kinds: Iterable[str]) -> pl.DataFrame:
    """Return how often a gap is seen where there is none: a row a kind and size, a column a number of annotators."""
    rows = []
    for (kind, requests, users), part in asked(designs, rules).filter(gap=0).group_by(_SIZE, maintain_order=True):
        row = {"what is to be seen": kind, "requests": requests, "users a request": users}
        row |= {_column(number, kinds): "–" for number in sorted(rules.annotators)}
        for annotators, power in part.select("annotators", "power").iter_rows():
            if power is not None:
                row[_column(annotators, kinds)] = f"{power:.1%}"
        rows.append(row)
    return pl.DataFrame(rows)


def likeness(ratings: Ratings, found: Basis) -> pl.DataFrame:
    """Return this study beside the balanced design that is nearest to it, a row each."""
    rated = ratings.comparisons.filter(ratings.by_people)
    if rated.is_empty():
        return pl.DataFrame()
    design, pages = found.design, rated["page_id"].n_unique()
    requests, instances = (rated.select(names).n_unique() for names in (["prompt_id"], ["prompt_id", "user_id"]))
    given = int(ratings.answered[:, ratings.people].sum())
    every = requests, instances / requests, rated["user_id"].n_unique(), pages, len(rated) / pages, found.annotators
    near = design.requests, design.users, design.requests * design.users, design.pages, design.comparisons
    names = "requests", "users a request", "users", "pages", "attributes a page", "annotators", "ratings"
    rows = [("this study", *every, given), ("the nearest design", *near, design.annotators, design.ratings)]
    return pl.DataFrame([dict(zip(("what", *names), row, strict=True)) for row in rows], infer_schema_length=None)


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
        nobody = "no annotator's rating counts, and models' ratings say nothing of how people differ"
        why = found.reason if found.annotators else nobody
        return f"No design can be tried: {why}."
    own = designs.filter(gap=0, requests=found.requests, users=found.users, annotators=found.annotators)
    users = f"{found.users} user{'s' * (found.users > 1)} each"
    size = (
        f"{found.requests:,} requests of {users}, {found.design.pages:,} pages and {_column(found.annotators, kinds)}"
    )
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
    of_one = designs.filter(gap_kind=GAP_KINDS[0], gap=0, annotators=found.annotators)
    most = of_one.drop_nulls("smallest").sort("pages", "users")
    if spread["deviation"] is not None and len(most) > 1:
        told = with_interval(interval_of({"value": spread["deviation"]} | spread), "{:.2f}")
        first, last = most.row(0, named=True), most.row(-1, named=True)
        said.append(
            f"Between {word} ratings have a standard deviation of {told}, which no number of pages takes away: with "
            f"{_column(found.annotators, kinds)}, the smallest gap of one generator against 3 goes from "
            f"{first['smallest']:.2f} with {first['pages']:,} pages to {last['smallest']:.2f} with {last['pages']:,}."
        )
    return " ".join(said)
