"""A generic response beside a personalised one: which pages there are to judge, and what became of the others."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence

import polars as pl

from recenter_utils import report
from recenter_utils.lots import lot
from recenter_utils.stats.resampling import cluster_bootstrap
from recenter_utils.tables import table

#: What became of a page: the first that applies. Only the first of all is judged.
OUTCOMES = ("compared", "failed", "refused", "empty", "identical")

_WORD = re.compile(r"\w+(?:['’-]\w+)*")
_PAGE = ("prompt_id", "user_id", "generator")


def page_name(prompt: str, user: str, generator: str) -> str:
    """Return the name of a page. It does not tell the generator, of whom annotators must know nothing."""
    return hashlib.blake2b(json.dumps([prompt, user, generator]).encode(), digest_size=6).hexdigest()


def pages(responses: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Return every page: a request, a user and a generator with both responses.

    Columns: page_id, prompt_id, user_id, generator, attribute_ids, generic_id, personalised_id, generic and
    personalised (texts), outcome (see `OUTCOMES`). In the order in which requests and users were drawn, and for each
    the generators in an order drawn anew: a page's place tells nothing of its generator.

    responses: the table.
    """
    kept = ("response_id", "text", "status")
    generic = responses.filter(condition="generic").select("prompt_id", "generator", *kept)
    both = responses.filter(condition="personalised").join(
        generic, on=["prompt_id", "generator"], how="left", maintain_order="left", suffix="_generic"
    )
    statuses = pl.concat_list("status", pl.col("status_generic").fill_null("failed"))
    same = _plain("text") == _plain("text_generic")
    outcome = pl.coalesce(
        *(pl.when(statuses.list.contains(status)).then(pl.lit(status)) for status in OUTCOMES[1:4]),
        pl.when(same).then(pl.lit("identical")),
        pl.lit("compared"),
    )
    found = both.with_columns(outcome=outcome).select(
        pl.struct(_PAGE).map_elements(lambda row: page_name(*row.values()), pl.String).alias("page_id"),
        *_PAGE,
        "attribute_ids",
        "outcome",
        generic_id="response_id_generic",
        personalised_id="response_id",
        generic="text_generic",
        personalised="text",
    )
    order = {key: place for place, key in enumerate(dict.fromkeys(found.select(_PAGE[:2]).iter_rows()))}
    places = [
        (order[request, user], lot(seed, "pages", page))
        for page, request, user in found.select("page_id", *_PAGE[:2]).iter_rows()
    ]
    return found[sorted(range(len(places)), key=places.__getitem__)]


def comparisons(found: pl.DataFrame, pairs: pl.DataFrame) -> pl.DataFrame:
    """Return the table `comparisons`: one row for each attribute of each page that can be judged.

    found: see `pages`. pairs: the table, for the attributes' words.
    """
    rows = found.filter(outcome="compared").explode("attribute_ids").rename({"attribute_ids": "attribute_id"})
    words = pairs.select("prompt_id", "attribute_id", "attribute")
    rows = rows.join(words, on=["prompt_id", "attribute_id"], how="left", maintain_order="left")
    rows = rows.with_columns(comparison_id=pl.concat_str("page_id", "attribute_id", separator="/"))
    columns = table("comparisons").columns
    return rows.select(list(columns)).cast(columns)


def summary(found: pl.DataFrame, generators: Sequence[str]) -> pl.DataFrame:
    """Return the table `generation`: every generator of the study, with or without pages. found: see `pages`."""
    rows = []
    for name in generators:
        own = found.filter(generator=name)
        judged = own.filter(outcome="compared")
        counted = {f"n_{outcome}": int((own["outcome"] == outcome).sum()) for outcome in OUTCOMES}
        lengths = {
            f"words_{condition}": lengths_of(judged[condition]).mean() for condition in ("generic", "personalised")
        }
        rows.append({"generator": name, "n_pages": len(own), **counted, **lengths})
    return table("generation").frame(rows)


def lengths_of(texts: Iterable[str]) -> pl.Series:
    """Return how many words each text has: runs of letters and digits, Markdown's marks aside."""
    return pl.Series([len(_WORD.findall(text)) for text in texts], dtype=pl.Int64)


def examples(found: pl.DataFrame, compared: pl.DataFrame, prompts: pl.DataFrame, number: int) -> pl.DataFrame:
    """Return pages to show: each of another generator as long as there is one, and of another request.

    Columns: request, attributes (list), generator, generic, personalised. found: see `pages`; compared: the table
    `comparisons`; prompts: the table.
    """
    rows = found.filter(outcome="compared")
    names = sorted(rows["generator"].unique())
    chosen: list[int] = []
    keys = list(rows.select("generator", "prompt_id").iter_rows())
    for turn in range(number):
        shown = {keys[place][1] for place in chosen}
        free = [place for place in range(len(keys)) if place not in chosen]
        free.sort(key=lambda place: (keys[place][0] != names[turn % len(names)], keys[place][1] in shown))
        chosen += free[:1]
    words = compared.group_by("page_id", maintain_order=True).agg(attributes="attribute")
    joined = (
        rows[chosen]
        .join(words, on="page_id", how="left", maintain_order="left")
        .join(prompts.select("prompt_id", request="text"), on="prompt_id", how="left", maintain_order="left")
    )
    return joined.select("request", "attributes", "generator", "generic", "personalised")


def sentence(found: pl.DataFrame, compared: pl.DataFrame, lacking: str, seed: int) -> str:
    """Return how many pages there are to judge, what is left out, and how much longer personalised responses are.

    found: see `pages`; compared: the table `comparisons`; lacking: see `instances.lacking`.
    """
    if lacking or found.is_empty():
        return f"There are no responses to compare. {lacking}".strip()
    judged = found.filter(outcome="compared")
    share = report.with_interval(
        cluster_bootstrap(found["outcome"] == "compared", found["prompt_id"], seed=seed), "{:.1%}"
    )
    left = [
        f"{n:,} {outcome} ({n / len(found):.1%})"
        for outcome in OUTCOMES[1:]
        if (n := int((found["outcome"] == outcome).sum()))
    ]
    out = f", {share}. Left out: {', '.join(left)}." if left else ": none failed, was refused, empty or identical."
    n_generators, n_instances = found["generator"].n_unique(), found.select(_PAGE[:2]).n_unique()
    said = (
        f"{n_generators:,} generator{'s were' if n_generators > 1 else ' was'} asked to answer {n_instances:,} "
        f"request{'s' * (n_instances > 1)} of a user. {len(judged):,} of {len(found):,} pages can be judged{out} "
        f"They make {len(compared):,} comparisons, one for each attribute."
    )
    if missing := sorted(set(found["generator"]) - set(judged["generator"])):
        said += f" Nothing can be judged of {', '.join(missing)}."
    if judged.is_empty():
        return said
    more = lengths_of(judged["personalised"]) - lengths_of(judged["generic"])
    longer = report.with_interval(cluster_bootstrap(more, judged["prompt_id"], seed=seed), "{:+.1f}")
    return f"{said} Personalised responses differ from generic ones in length by {longer} words on average."


def _plain(column: str) -> pl.Expr:
    return pl.col(column).str.replace_all(r"\s+", " ").str.strip_chars()
