"""Which requests meet which users (§5.1): a sample of requests, a coarse filter by a model, four users a request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from recenter_utils.annotation.quality_pages import sample_users
from recenter_utils.corpora.lima import read_prompts
from recenter_utils.errors import RecenterError
from recenter_utils.inference.models import Model
from recenter_utils.inference.run import run, unanswered
from recenter_utils.inference.tasks import PAIR_FILTER
from recenter_utils.relevance import benchmark
from recenter_utils.relevance.draws import drawn, pooled, sampled
from recenter_utils.settings import Annotation, Pairing
from recenter_utils.tables import table

if TYPE_CHECKING:
    from recenter_utils.study import Study

#: What a user brings to a request: an attribute of theirs.
ATTRIBUTES: dict[str, Any] = {"user_id": pl.String, "attribute_id": pl.String, "attribute": pl.String}


@dataclass(frozen=True)
class Paired:
    """The tables of pairing, and how many there were at each step.

    steps: step, n, note; see `pair_counts.funnel`. unanswered: combinations worth asking again. made_by: who said
    which attributes may matter, as an origin; empty where nobody was asked.
    """

    prompts: pl.DataFrame
    pairing: pl.DataFrame
    pairs: pl.DataFrame
    steps: tuple[tuple[str, int, str], ...] = ()
    unanswered: int = 0
    made_by: str = ""


def pair(study: Study, max_cost: float | None = None, progress: bool = True) -> Paired:
    """Pair a study's requests with its users, by its settings; nothing but empty tables where it has no requests.

    max_cost: US dollars for the filter. Raises RecenterError where the file of requests cannot be used, or the
    filter's model answers nothing at all.
    """
    rules, seed = study.settings.pairing, study.settings.seed
    path = study.read_named("pairing.prompts", origin=rules.origin)
    if path is not None and not path.exists():
        raise RecenterError(f"There are no requests at {path}: correct pairing.prompts in {study.folder}/study.yaml.")
    if path is not None and rules.format == "personalens":
        return Paired(*benchmark.pair(path, rules.sample, seed))
    users, merged = study.frame("users"), study.frame("merged_attributes")
    if path is None:
        return Paired(table("prompts").empty(), table("pairing").empty(), table("pairs").empty())
    requests = read_prompts(path)
    prompts = sampled(requests, rules.sample, seed)
    chosen = eligible(users, merged, study.settings.annotation, seed)
    brought = merged.filter(pl.col("user_id").is_in(chosen)).select(list(ATTRIBUTES))
    found, worth_asking = ask(
        prompts, brought, study.model("pairing"), rules.least, cache=study.cache, max_cost=max_cost, progress=progress
    )
    pairing = choose(found, rules.users, seed)
    pairs = pool(prompts, pairing, brought, seed)
    steps = _steps(requests, prompts, users, merged, chosen, pairing, rules)
    return Paired(prompts, pairing, pairs, tuple(steps), worth_asking, "model" if len(pairing) else "")


def eligible(users: pl.DataFrame, merged: pl.DataFrame, rules: Annotation, seed: int) -> list[str]:
    """Return whose attributes can meet requests: the users judged in stage 1, of real sources if any of them is (§5.1).

    users: the table. merged: the table `merged_attributes`; who has none is out, and so is whom a filter dropped.
    """
    known = users.join(merged.select("user_id"), on="user_id", how="semi")
    judged = sample_users(known, rules, seed)
    real = set(known.filter(kind="real")["user_id"])
    return [user for user in judged if user in real] or judged


def ask(
    prompts: pl.DataFrame,
    attributes: pl.DataFrame,
    model: Model,
    least: int,
    *,
    cache: Path | None = None,
    max_cost: float | None = None,
    progress: bool = True,
    **more: Any,
) -> tuple[pl.DataFrame, int]:
    """Ask `model` which attributes of each user may matter for each request: the coarse filter.

    A user with fewer than `least` attributes cannot pass and is not asked about. Without a usable answer a user does
    not pass.

    Args:
        prompts: The table.
        attributes: user_id, attribute_id, attribute.
        model: Who is asked.
        least: Potentially relevant attributes that a user needs.
        cache: File of stored answers.
        max_cost: US dollars.
        progress: Whether to say how far it is.
        more: For `run`.

    Returns:
        The table `pairing` with nobody chosen yet, and how many combinations are worth asking about again.
    """
    brought = _by_user(attributes)
    combinations = [(request, user) for request in prompts.to_dicts() for user in brought]
    numbered = {
        user: [{"number": number, "attribute": words} for number, words in enumerate(said, 1)]
        for user, said in brought.items()
    }
    asked = [(request, user) for request, user in combinations if len(brought[user]) >= least]
    items = [{"prompt": request["text"], "attributes": numbered[user]} for request, user in asked]
    answers = run(PAIR_FILTER, items, model, cache=cache, max_cost=max_cost, progress=progress, **more)
    worth_asking = unanswered(answers)  # raises where no request at all was answered
    said: dict[tuple[str, str], Mapping[Any, Any]] = {
        (request["prompt_id"], user): answer
        for (request, user), answer in zip(asked, answers.to_dict("records"), strict=True)
    }
    rows = []
    for request, user in combinations:
        n = len(brought[user])
        potential, why = None, f"fewer than {least} attributes, so not asked"
        if (answer := said.get((request["prompt_id"], user))) is not None:
            if isinstance(answer["error"], str):
                why = f"no answer: {answer['error']}"
            else:
                potential = len(answer["relevant"])
                why = f"fewer than {least} potentially relevant attributes"
        kept = potential is not None and potential >= least
        rows.append((request["prompt_id"], user, n, potential, kept, False, None if kept else why))
    return pl.DataFrame(rows, schema=table("pairing").columns, orient="row"), worth_asking


def choose(pairing: pl.DataFrame, users: int, seed: int) -> pl.DataFrame:
    """Return the table `pairing` with so many users drawn for each request among those who passed; all if fewer did."""
    chosen = [
        (request, user)
        for (request,), part in pairing.filter("kept").group_by("prompt_id", maintain_order=True)
        for user in drawn(part["user_id"], users, seed, "users", str(request))
    ]
    marked = pl.DataFrame(chosen, schema={"prompt_id": pl.String, "user_id": pl.String}, orient="row")
    found = pairing.drop("chosen").join(
        marked.with_columns(chosen=pl.lit(True)),
        on=["prompt_id", "user_id"],
        how="left",
        maintain_order="left",
    )
    return found.with_columns(pl.col("chosen").fill_null(value=False)).select(list(table("pairing").columns))


def pool(prompts: pl.DataFrame, pairing: pl.DataFrame, attributes: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Return the table `pairs`: all attributes of a request's chosen users together, in an order drawn by the seed."""
    candidates = pairing.filter("chosen").select("prompt_id", "user_id").join(attributes, on="user_id")
    return pooled(candidates.with_columns(benchmark=pl.lit(None, pl.Boolean)), prompts, seed)


def worded(pairs: pl.DataFrame, prompts: pl.DataFrame) -> pl.DataFrame:
    """Return the table `pairs`, in its order, with the column `prompt`: the request's text."""
    return pairs.join(prompts.select("prompt_id", prompt="text"), on="prompt_id", how="left", maintain_order="left")


def named(names: Sequence[str] | pl.Series, most: int = 20) -> str:
    """Return ids one after another, and after `most` of them how many more there are."""
    listed = sorted(names)
    more = f" and {len(listed) - most:,} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more


def _by_user(attributes: pl.DataFrame) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    # Sorted, so that the order of the rows decides neither a number nor what the cache holds.
    for user, _, words in attributes.select(list(ATTRIBUTES)).sort("user_id", "attribute_id").iter_rows():
        found.setdefault(user, []).append(words)
    return found


def _steps(
    requests: pl.DataFrame,
    prompts: pl.DataFrame,
    users: pl.DataFrame,
    merged: pl.DataFrame,
    chosen: Sequence[str],
    pairing: pl.DataFrame,
    rules: Pairing,
) -> list[tuple[str, int, str]]:
    """Return how many there were at each step up to the pairs: step, n, note."""
    theirs = users.join(merged.select("user_id"), on="user_id", how="semi")
    stay = theirs.filter("kept") if "kept" in theirs.columns else theirs
    lost = merged["user_id"].n_unique() - len(stay)
    kinds = set(users.filter(pl.col("user_id").is_in(list(chosen)))["kind"])
    out = f"{lost:,} more are dropped by the filters, and their attributes meet no request" if lost else ""
    who = "judged in stage 1" + (", of real sources" if kinds == {"real"} else ", none of a real source")
    drawn_users = pairing.group_by("prompt_id", maintain_order=True).agg(pl.col("chosen").sum())
    short = drawn_users.filter(pl.col("chosen") < rules.users)["prompt_id"]
    lacking = pairing.filter(pl.col("n_potential").is_null()).group_by("reason").len().sort("reason")
    return [
        ("requests in the file", len(requests), ""),
        ("requests drawn", len(prompts), f"{rules.sample:,} are wanted"),
        ("users with attributes", len(stay), out),
        ("users whose attributes meet requests", len(chosen), who if chosen else ""),
        ("combinations of a request and a user", len(pairing), ""),
        (
            "combinations with an answer",
            len(pairing) - pairing["n_potential"].null_count(),
            "; ".join(f"{n:,} {why}" for why, n in lacking.iter_rows()),
        ),
        ("combinations that pass the filter", int(pairing["kept"].sum()), f"{rules.least:,} attributes or more"),
        (
            "combinations drawn",
            int(pairing["chosen"].sum()),
            f"{rules.users:,} users for each request, if so many pass",
        ),
        (f"requests with fewer than {rules.users:,} users", len(short), named(short)),
    ]
