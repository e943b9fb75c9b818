"""Requests whose relevant attributes are known: PersonaLens' tasks, its users' affinities, and the links between them.

The benchmark names, for each task, the affinities that bear on it. A link is an affinity's where the user, the domain
and the name agree. Some names are spelled one way in a task and another in a profile (Favorite Books, Favourite Books):
these agree too, and are counted apart. A link that agrees with no affinity makes no pair relevant.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

import polars as pl

from recenter_utils.corpora import personalens
from recenter_utils.errors import RecenterError
from recenter_utils.relevance.draws import drawn, pooled
from recenter_utils.tables import table

#: What the tables call the source of these requests and users.
SOURCE = "personalens"

#: How a link agrees with one of the user's affinities.
Agreement = Literal["exactly", "in another spelling", "not at all"]
_AGREEMENTS: tuple[Agreement, ...] = ("exactly", "in another spelling", "not at all")

#: What stands where a file says nothing.
_NOTHING = ("", "None")


def pair(
    path: Path, number: int, seed: int
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame, tuple[tuple[str, int, str], ...]]:
    """Return the tables `prompts`, `pairing` and `pairs`, and how many there were at each step (step, n, note).

    Each of the `number` tasks that are drawn meets its own user alone, with all affinities; no filter is asked.
    """
    affinities = personalens.read_affinities(path)
    stated = personalens.read_tasks(path)
    tasks = stated.filter(~pl.col("text").is_in(_NOTHING)).with_columns(
        prompt_id=pl.concat_str("user_id", "task_id", separator="-")
    )
    twice = tasks.filter(pl.col("prompt_id").is_duplicated())["prompt_id"]
    if len(twice):
        raise RecenterError(f"{path}: two tasks of one user are called '{twice[0]}'; ids must differ.")
    chosen = drawn(tasks["prompt_id"], number, seed, "prompts")
    order = pl.DataFrame({"prompt_id": chosen}, {"prompt_id": pl.String})
    tasks = order.join(tasks, on="prompt_id", how="left", maintain_order="left")
    known = _stated(affinities.filter(~pl.col("value").is_in(_NOTHING)))
    linked = links(tasks, affinities)
    yes = linked.filter(pl.col("agrees") != "not at all").select("prompt_id", "attribute_id").unique()
    candidates = (
        tasks.select("prompt_id", "user_id")
        .join(known, on="user_id")
        .join(yes.with_columns(benchmark=pl.lit(True)), on=["prompt_id", "attribute_id"], how="left")
        .with_columns(
            pl.col("benchmark").fill_null(value=False), pl.format(f"{SOURCE}/{{}}", "user_id").alias("user_id")
        )
    )
    prompts = tasks.select("prompt_id", source=pl.lit(SOURCE), text="text")
    pairs = pooled(candidates, prompts, seed)
    counts = dict(known.group_by("user_id").len().iter_rows())
    rows = [
        (name, f"{SOURCE}/{user}", counts.get(user, 0), None, user in counts, user in counts, _lacking(user in counts))
        for name, user in tasks.select("prompt_id", "user_id").iter_rows()
    ]
    pairing = pl.DataFrame(rows, schema=table("pairing").columns, orient="row")
    return prompts, pairing, pairs, _steps(stated, affinities, known, tasks, linked, pairs)


def statement(domain: str, affinity: str, value: str) -> str:
    """Return an affinity as a sentence: `For restaurants, the cuisine preference is Italian; Thai.`"""
    name = _lower(affinity)
    verb = "are" if re.search(r"(?<!s)s$", name) else "is"
    return f"For {_lower(domain)}, the {name} {verb} {value.rstrip('. ')}."


def links(tasks: pl.DataFrame, affinities: pl.DataFrame) -> pl.DataFrame:
    """Return each link of a task to an affinity: prompt_id, affinity, attribute_id (null if none), agrees.

    tasks: prompt_id, user_id, domains, relevant. affinities: user_id, domain, affinity.
    """
    names: dict[tuple[str, str, str], str] = {}
    spelled: dict[tuple[str, str, str], str] = {}
    for user, domain, name in affinities.select("user_id", "domain", "affinity").iter_rows():
        names[user, domain, name] = _attribute_id(user, domain, name)
        spelled.setdefault((user, _spelled(domain), _spelled(name)), names[user, domain, name])
    rows: list[tuple[str, str, str | None, Agreement]] = []
    for task, user, domains, relevant in tasks.select("prompt_id", "user_id", "domains", "relevant").iter_rows():
        for name in dict.fromkeys(relevant):
            exact = [names[user, domain, name] for domain in domains if (user, domain, name) in names]
            folded = [(user, _spelled(domain), _spelled(name)) for domain in domains]
            other = [spelled[key] for key in folded if key in spelled]
            agrees = _AGREEMENTS[0 if exact else 1 if other else 2]
            rows += [(task, name, found, agrees) for found in dict.fromkeys(exact or other)]
            if not (exact or other):
                rows.append((task, name, None, agrees))
    schema = dict.fromkeys(("prompt_id", "affinity", "attribute_id", "agrees"), pl.String)
    return pl.DataFrame(rows, schema=schema, orient="row")


def _stated(affinities: pl.DataFrame) -> pl.DataFrame:
    rows: list[dict[str, Any]] = [
        {
            "user_id": user,
            "attribute_id": _attribute_id(user, domain, name),
            "attribute": statement(domain, name, value),
        }
        for user, domain, name, value in affinities.select("user_id", "domain", "affinity", "value").iter_rows()
    ]
    return pl.DataFrame(rows, schema=dict.fromkeys(("user_id", "attribute_id", "attribute"), pl.String))


def _steps(
    stated: pl.DataFrame,
    affinities: pl.DataFrame,
    known: pl.DataFrame,
    tasks: pl.DataFrame,
    linked: pl.DataFrame,
    pairs: pl.DataFrame,
) -> tuple[tuple[str, int, str], ...]:
    everywhere = links(stated.with_columns(prompt_id=pl.concat_str("user_id", "task_id", separator="-")), affinities)
    silent, valueless = int(stated["text"].is_in(_NOTHING).sum()), len(affinities) - len(known)
    lost = linked.drop_nulls("attribute_id").filter(~pl.col("attribute_id").is_in(known["attribute_id"].to_list()))
    return (
        ("tasks in the file", len(stated), f"{silent:,} say nothing and are left out" if silent else ""),
        ("users in the file", affinities["user_id"].n_unique(), ""),
        (
            "affinities in the file",
            len(affinities),
            f"{valueless:,} have no value and make no pair" if valueless else "",
        ),
        ("links of a task to an affinity, in the file", _count(everywhere), _agree(everywhere)),
        ("tasks drawn", len(tasks), f"of {tasks['user_id'].n_unique():,} users; each meets its own user alone"),
        ("links of these tasks", _count(linked), _agree(linked)),
        ("links to an affinity without a value", _count(lost), "make no pair"),
        ("pairs that are linked", int(pairs["benchmark"].sum()), "the benchmark calls them relevant, all others not"),
    )


def _count(linked: pl.DataFrame) -> int:
    return linked.select("prompt_id", "affinity").n_unique()


def _agree(linked: pl.DataFrame) -> str:
    counts = dict(linked.unique(["prompt_id", "affinity"]).group_by("agrees").len().iter_rows())
    return "agree with one of the user's: " + ", ".join(f"{counts.get(how, 0):,} {how}" for how in _AGREEMENTS)


def _lacking(there: bool) -> str | None:
    return None if there else "no affinities"


def _attribute_id(user: str, domain: str, name: str) -> str:
    return f"{user}/{domain}/{name}"


def _lower(words: str) -> str:
    """Return words in small letters, but for those that are no plain words (TV, iOS)."""
    return " ".join(word.lower() if word[1:].islower() or len(word) == 1 else word for word in words.split())


def _spelled(name: str) -> str:
    """Return a name in one spelling, whether it is written the British or the American way."""
    return " ".join(name.casefold().split()).replace("our", "or")
